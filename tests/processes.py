"""Processes of their own for tests, forked from one that has imported the slow packages already.

To import PyTorch takes seconds; most of what a test has in another process takes less.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["sklearn.datasets", "torchvision", "torch._dynamo"])


@contextmanager
def run(
    function: Callable, *args, output: Path, environment: dict[str, str] | None = None
) -> Iterator:
    """Call `function` in a process that ends with the block; what it writes goes to `output`."""
    process = _FORKS.Process(target=_call, args=(function, args, output, environment or {}))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def _call(function: Callable, args: tuple, output: Path, environment: dict[str, str]) -> None:
    with output.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.environ |= environment
    function(*args)
