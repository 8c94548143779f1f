"""Several processes that train one network, each on its shard of every batch.

The gradient of a batch is the mean of its samples' gradients, and a mean can be taken in parts. So
k processes, each with every k-th image of the batch, average their gradients and make one and the
same step, that of one process on the whole batch (batch norm's statistics aside: each process takes
those of its own shard). `torchrun` starts the processes and gives each its rank.

Source: Li et al. (2020), "PyTorch distributed: experiences on accelerating data parallel training".
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from section4_transfer.engine.runtime import Runtime
from shared_utils.errors import NothingToDo
from shared_utils.runs import TrainingRun

# How long a process waits for the others. PyTorch's 10 or 30 minutes are too short for the first
# one to download and decode a large data set, or to draw and write, while the others wait.
_PATIENCE = timedelta(hours=2)
_DONE, _FAILED = 1, 2  # how the main process may end before the others begin


class Group(Runtime):
    """One of several processes; the main one, of rank 0, alone writes and prints."""

    def parallel(self, model: nn.Module) -> nn.Module:
        """Return the model so wrapped that `backward` averages gradients over all processes."""
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=devices)

    def shard(self, batch: Tensor) -> Tensor:
        """Return this process's part of a batch of indices: every world-th, from its rank on."""
        return batch[self.rank :: self.world]

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of every process's `values`, in place."""
        distributed.all_reduce(values)
        return values

    def share_buffers(self, model: nn.Module) -> None:
        """Give every process the main one's running statistics: all evaluate one network."""
        for buffer in model.buffers():
            distributed.broadcast(buffer, 0)

    def from_main(self, value):
        """Return, in every process, the main one's `value`."""
        values = [value]
        distributed.broadcast_object_list(values, 0)
        return values[0]

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the main process through before the others: it downloads and decodes, they find it.

        When it fails there, the others end too, silently: it has said why.
        """
        status = torch.zeros(1, device=self.device)
        if not self.is_main:
            distributed.broadcast(status, 0)
            if status:
                raise SystemExit(0 if status == _DONE else 2)
        try:
            yield
        except BaseException as error:
            status.fill_(_DONE if isinstance(error, NothingToDo) else _FAILED)
            raise
        finally:
            if self.is_main:
                distributed.broadcast(status, 0)

    def training_run(self, *args, **options) -> TrainingRun:
        """Return a training's place in the run folder, which the main process alone has."""
        return _GroupRun(self, *args, within_epochs=False, wait=self.wait, **options)


class _GroupRun(TrainingRun):
    """A `TrainingRun` of a group: what the main process finds on disk, all of them restore."""

    def __init__(self, group: Group, *args, **options):
        super().__init__(*args, **options)
        self._group = group

    def restore(self, load: Callable[[dict], None]) -> None:
        """Give `load`, in every process, the state that the main one finds, if there is one."""
        found = []

        def note(state: dict) -> None:
            load(state)
            found.append(state)

        with self._group.main_first():  # a bad state ends all processes
            super().restore(note)
        state = self._group.from_main(found[0] if found else None)
        if state is not None and not found:
            load(state)


@contextmanager
def join_group(device: torch.device, precision: str, rank: int, world: int) -> Iterator[Group]:
    """Join the other processes and leave them at the end. NCCL connects GPUs, Gloo all else."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield Group(device, precision, rank, world)
    finally:
        distributed.destroy_process_group()
