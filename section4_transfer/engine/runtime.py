"""This process among those that train: where it computes, and what it shares with the others.

The gradient of a batch is the mean of its samples' gradients, and a mean can be taken in parts. So
k processes, each with every k-th image of the batch, average their gradients and make one and the
same step, that of one process on the whole batch (batch norm's statistics aside: each process takes
those of its own shard). `torchrun` starts the processes and gives each its rank. With one process,
nothing is shared, and every method is nearly nothing.

Source: Li et al. (2020), "PyTorch distributed: experiences on accelerating data parallel training".
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from section4_transfer.engine.devices import choose_device, choose_precision
from shared_utils.errors import NothingToDo

# How long a process waits for the others. PyTorch's 10 or 30 minutes are too short for the first
# one to download and decode a large data set, or to draw and write, while the others wait.
_PATIENCE = timedelta(hours=2)
_DONE, _FAILED = 1, 2  # how the main process may end before the others begin


@dataclass(frozen=True)
class Runtime:
    """The device and precision of this process, and its place among the processes that train."""

    device: torch.device
    precision: str  # "fp32" or "bf16"
    rank: int = 0
    world: int = 1  # how many processes there are

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

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

    def place(self, model: nn.Module) -> nn.Module:
        """Move the model to the device, in the memory format that convolutions like; return it."""
        return model.to(self.device, memory_format=torch.channels_last)

    def autocast(self):
        """Return the context in which a forward pass runs."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def parallel(self, model: nn.Module) -> nn.Module:
        """Return the model so wrapped that `backward` averages gradients over all processes."""
        if self.world == 1:
            return model
        return DistributedDataParallel(
            model, device_ids=[self.device] if self.device.type == "cuda" else None
        )

    def shard(self, batch: Tensor) -> Tensor:
        """Return this process's part of a batch of indices: every world-th, from its rank on."""
        return batch[self.rank :: self.world]

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of every process's `values`, in place."""
        if self.world > 1:
            distributed.all_reduce(values)
        return values

    def share_buffers(self, model: nn.Module) -> None:
        """Give every process the main one's running statistics: all evaluate one network."""
        if self.world > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, 0)

    def from_main(self, value):
        """Return, in every process, the main one's `value`."""
        values = [value]
        if self.world > 1:
            distributed.broadcast_object_list(values, 0)
        return values[0]

    def wait(self) -> None:
        """Return when the device has done all its work: a GPU computes while Python goes on."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the main process through before the others: it downloads and decodes, they find it.

        When it fails there, the others end too, silently: it has said why.
        """
        status = torch.zeros(1, device=self.device)
        if self.world > 1 and not self.is_main:
            distributed.broadcast(status, 0)
            if status:
                raise SystemExit(0 if status == _DONE else 2)
        try:
            yield
        except BaseException as error:
            status.fill_(_DONE if isinstance(error, NothingToDo) else _FAILED)
            raise
        finally:
            if self.world > 1 and self.is_main:
                distributed.broadcast(status, 0)

    @contextmanager
    def only_main(self, context: AbstractContextManager) -> Iterator:
        """Enter `context` in the main process alone; the others wait until it has, and get None."""
        with ExitStack() as stack:
            entered = None
            with self.main_first():
                if self.is_main:
                    entered = stack.enter_context(context)
            yield entered


@contextmanager
def init_runtime(device: str, precision: str) -> Iterator[Runtime]:
    """Choose device and precision; under torchrun, join the group and leave it at the end.

    NCCL connects GPUs, Gloo everything else. Raises UserError when the device is absent.
    """
    rank, world, local_rank = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
    )
    chosen = choose_device(device, local_rank, world)
    runtime = Runtime(chosen, choose_precision(precision, chosen), rank, world)
    if world == 1:
        yield runtime
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield runtime
    finally:
        distributed.destroy_process_group()
