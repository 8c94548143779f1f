"""One elementwise operation on large arrays, shared by the cores.

What is computed for an entry depends on that entry alone, so arrays may be cut anywhere, with the
same bytes as the result. Threads are enough: NumPy gives Python's lock back while it computes.
"""

import contextvars
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np

PIECE = 2**17  # entries: to wake a thread for fewer costs as much as it gives


def in_pieces(threads: int, operation: Callable[..., None], *arrays: np.ndarray) -> None:
    """Call `operation` with arrays of equal shape; if they are large, with pieces of their rows.

    The pieces are views, and up to `threads` of them are worked on at the same time. Raises what
    the operation raises, when all of them have ended.
    """
    if threads < 2 or arrays[0].size < 2 * PIECE:
        operation(*arrays)
        return
    count = min(threads, arrays[0].size // PIECE, len(arrays[0]))
    mine, *others = zip(*(np.array_split(array, count) for array in arrays), strict=True)
    # Each thread has a copy of the context: np.errstate is a part of it.
    started = [
        _pool().submit(contextvars.copy_context().run, operation, *piece) for piece in others
    ]
    try:
        operation(*mine)
    finally:
        wait(started)
    for piece in started:
        piece.result()


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count())


if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
