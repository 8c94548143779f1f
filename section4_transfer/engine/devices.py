"""On which device a network is trained, in which arithmetic, and what to do when memory runs out.

bfloat16 has the range of float32 with 8 bits of precision: products in it are cheap where the chip
has units for them, and no loss scaling is needed. Under autocast the weights, their updates, batch
norm's statistics and the loss stay float32.
"""

import time
from collections.abc import Callable
from contextlib import contextmanager
from statistics import median

import torch
from torch.nn import functional as F

from shared_utils.errors import UserError


def choose_device(name: str, local_rank: int = 0, world: int = 1) -> torch.device:
    """Return the device called `name`; "auto" takes CUDA, else MPS, else the CPU.

    Several processes do without MPS: nothing sums tensors over processes there. Raises UserError
    when the device that was asked for is absent, or cannot serve so many.
    """
    there = {"cuda": torch.cuda.is_available()}
    if world == 1:
        there["mps"] = torch.backends.mps.is_available()
    elif name == "mps":
        raise UserError("--device mps serves one process: leave torchrun out, or use --device cpu")
    if name == "auto":
        name = next((kind for kind, found in there.items() if found), "cpu")
    elif not there.get(name, True):
        raise UserError(f"--device {name}: PyTorch finds none on this machine: use --device auto")
    if name != "cuda":
        return torch.device(name)
    if local_rank >= torch.cuda.device_count():
        raise UserError(
            f"process {local_rank + 1} has no GPU of its own: start at most"
            f" {torch.cuda.device_count()} processes"
        )
    return torch.device("cuda", local_rank)


def choose_precision(name: str, device: torch.device) -> str:
    """Return "fp32" or "bf16"; "auto" takes bf16 on devices with units for it, where it pays."""
    if name != "auto":
        return name
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    elif device.type == "cpu":
        # Older PyTorch does not tell: there, auto means fp32 on a CPU, and bf16 must be asked for.
        units = getattr(torch.cpu, "get_capabilities", dict)()
        fast = units.get("avx512_bf16", False) or units.get("amx_bf16", False)
    else:
        fast = False
    return "bf16" if fast else "fp32"


@contextmanager
def memory_errors(remedy: str):
    """Turn an out-of-memory error, a device's or the machine's, into a UserError with a remedy."""
    try:
        yield
    except RuntimeError as error:
        words = str(error)  # of MPS and of the CPU, which have no exception of their own
        if "out of memory" not in words and "allocate memory" not in words:
            raise
        raise UserError(f"out of memory: try {remedy}") from error


def crowded(clock: Callable[[], float] = time.perf_counter) -> bool:
    """Whether one thread is clearly faster than all: other programs are at work on the cores.

    PyTorch's threads wait for each other at the end of every operation. Where one of them gets no
    core, all of them wait, and more is lost than shared. The two take turns at a convolution.
    """
    threads = torch.get_num_threads()
    x, weight = torch.ones(32, 16, 32, 32), torch.ones(16, 16, 3, 3)
    seconds = {threads: [], 1: []}
    try:
        for _ in range(3 if threads > 1 else 0):
            for number, times in seconds.items():
                torch.set_num_threads(number)
                F.conv2d(x, weight)  # wakes the threads
                start = clock()
                for _ in range(4):
                    F.conv2d(x, weight)
                times.append(clock() - start)
    finally:
        torch.set_num_threads(threads)
    return threads > 1 and median(seconds[threads]) > 1.5 * median(seconds[1])
