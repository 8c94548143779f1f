"""Processes of their own for tests, where the system allows it forked from one with PyTorch in it.

To import PyTorch takes seconds; most of what a test has in another process takes less.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

# macOS's own libraries do not survive a fork.
CONTEXT = multiprocessing.get_context("spawn" if sys.platform == "darwin" else "forkserver")
if CONTEXT.get_start_method() == "forkserver":
    CONTEXT.set_forkserver_preload(["sklearn.datasets", "torchvision", "torch._dynamo"])


@contextmanager
def run(
    function: Callable, *args, output: Path, environment: dict[str, str] | None = None
) -> Iterator[BaseProcess]:
    """Call `function` in a process that ends with the block; what it writes goes to `output`."""
    variables = os.environ | (environment or {})
    process = CONTEXT.Process(target=_call, args=(function, args, output, variables))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def _call(function: Callable, args: tuple, output: Path, variables: dict[str, str]) -> None:
    with output.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.environ |= variables
    function(*args)
