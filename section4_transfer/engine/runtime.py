"""This process, and where it computes. With several of them, see `distributed.py`.

All that a training needs of the machine is one small object, `Runtime`: it places a network on the
device, runs a forward pass in its precision, and stands where several processes would share work.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from section4_transfer.engine.devices import choose_device, choose_precision
from shared_utils.runs import TrainingRun


@dataclass(frozen=True)
class Runtime:
    """The device and precision of the one process that trains."""

    device: torch.device
    precision: str  # "fp32" or "bf16"
    rank: int = 0  # of this process
    world: int = 1  # how many processes there are

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def place(self, model: nn.Module) -> nn.Module:
        """Move the model to the device, in the memory format that convolutions like; return it."""
        return model.to(self.device, memory_format=torch.channels_last)

    def autocast(self):
        """Return the context in which a forward pass runs."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def parallel(self, model: nn.Module) -> nn.Module:
        """Return the model so wrapped that `backward` averages gradients over all processes."""
        return model

    def shard(self, batch: Tensor) -> Tensor:
        """Return this process's part of a batch of indices."""
        return batch

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of every process's `values`, in place."""
        return values

    def share_buffers(self, model: nn.Module) -> None:
        """Give every process the main one's running statistics: all evaluate one network."""

    def wait(self) -> None:
        """Return when the device has done all its work: a GPU computes while Python continues."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the main process through first: it downloads and decodes, the others find it."""
        yield

    @contextmanager
    def only_main(self, context: AbstractContextManager) -> Iterator:
        """Enter `context` in the main process alone; the others wait until it has, and get None."""
        with ExitStack() as stack:
            with self.main_first():
                entered = stack.enter_context(context) if self.is_main else None
            yield entered

    def training_run(self, *args, **options) -> TrainingRun:
        """Return a training's place in the run folder (see `TrainingRun`)."""
        return TrainingRun(*args, wait=self.wait, **options)

    def describe(self) -> dict:
        """Return what `config.json` says of the device."""
        names = {"cuda": torch.cuda.get_device_name} if self.device.type == "cuda" else {}
        return {
            "device": names.get(self.device.type, str)(self.device),
            "precision": self.precision,
            "processes": self.world,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }


@contextmanager
def init_runtime(device: str, precision: str, threads: int | None = None) -> Iterator[Runtime]:
    """Choose device and precision; under torchrun, join the group and leave it at the end.

    `threads` are those of the processor; None leaves PyTorch's number. Raises UserError when the
    device is absent.
    """
    world = int(os.environ.get("WORLD_SIZE", 1))
    chosen = choose_device(device, int(os.environ.get("LOCAL_RANK", 0)), world)
    precision = choose_precision(precision, chosen)
    if threads is not None:
        torch.set_num_threads(threads)
    if world == 1:
        yield Runtime(chosen, precision)
    else:
        from section4_transfer.engine.distributed import join_group

        with join_group(chosen, precision, int(os.environ["RANK"]), world) as group:
            yield group
