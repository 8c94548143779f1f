"""Data parallelism: every process trains the same network on its share of every batch.

The gradient of a batch is the mean of its samples' gradients, and a mean can be taken in parts. So
k processes, each with every k-th image of the batch, average their gradients and make one and the
same step, that of one process on the whole batch (batch norm's statistics aside: each process takes
those of its own share). `torchrun` starts the processes and tells each its rank.

Source: Li et al. (2020), "PyTorch distributed: experiences on accelerating data parallel training".
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from section4_transfer.devices import Runtime, choose_device, choose_precision
from shared_utils.errors import NothingToDo

# How long a process waits for the others. PyTorch's 10 or 30 minutes are too short for the first
# one to download and decode a large data set, or to draw and write, while the others wait.
_PATIENCE = timedelta(hours=2)
_DONE, _FAILED = 1, 2  # how the main process may end before the others begin


@contextmanager
def runtime(device: str, precision: str) -> Iterator[Runtime]:
    """Choose device and precision; under torchrun, join the group and leave it at the end.

    NCCL connects GPUs, Gloo all else. Raises UserError when the device is absent.
    """
    rank, world, local_rank = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
    )
    chosen = choose_device(device, local_rank, world)
    result = Runtime(chosen, choose_precision(precision, chosen), rank, world)
    if world == 1:
        yield result
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield result
    finally:
        distributed.destroy_process_group()


def parallel(model: nn.Module, runtime: Runtime) -> nn.Module:
    """Return the model so wrapped that `backward` averages gradients over all processes."""
    if runtime.world == 1:
        return model
    return DistributedDataParallel(
        model, device_ids=[runtime.device] if runtime.device.type == "cuda" else None
    )


def share(batch: Tensor, runtime: Runtime) -> Tensor:
    """Return this process's part of a batch of indices: every world-th, from its rank on."""
    return batch[runtime.rank :: runtime.world]


def sum_over_processes(values: Tensor, runtime: Runtime) -> Tensor:
    """Return the sum of every process's `values`, in place."""
    if runtime.world > 1:
        distributed.all_reduce(values)
    return values


def share_buffers(model: nn.Module, runtime: Runtime) -> None:
    """Give every process the first one's running statistics, so that all evaluate one network."""
    if runtime.world > 1:
        for buffer in model.buffers():
            distributed.broadcast(buffer, 0)


def from_main(value):
    """Return, in every process, the main one's `value`."""
    values = [value]
    distributed.broadcast_object_list(values, 0)
    return values[0]


@contextmanager
def main_first(runtime: Runtime) -> Iterator[None]:
    """Let the main process through before the others: it downloads and decodes, they find it.

    When it fails there, the others end too, without a word: it has told the user why.
    """
    status = torch.zeros(1, device=runtime.device)
    if runtime.world > 1 and not runtime.is_main:
        distributed.broadcast(status, 0)
        if status:
            raise SystemExit(0 if status == _DONE else 2)
    try:
        yield
    except BaseException as error:
        status.fill_(_DONE if isinstance(error, NothingToDo) else _FAILED)
        raise
    finally:
        if runtime.world > 1 and runtime.is_main:
            distributed.broadcast(status, 0)
