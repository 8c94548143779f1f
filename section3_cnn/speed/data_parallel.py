"""Data parallelism: every processor core works on chunks of the batch.

`Workers` has `compute_gradients` and `predict` of `training.py`, with the same bytes as result: the
chunks of a batch depend on the batch alone, and their gradients are added in the order of the
chunks, however many workers there are.

The workers are processes that share memory. Threads would be simpler, but only one of them at a
time can hold Python's interpreter, and NumPy's calls are so short here, a few dozen microseconds,
that they wait for it most of the time. Each core has one process, so BLAS gets one thread in each:
products of small matrices gain nothing from a second one.
"""

import argparse
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
from threadpoolctl import threadpool_limits

from section3_cnn.model import Sequential
from section3_cnn.training import CHUNK, chunk_gradients, chunks, compute_gradients, predict
from shared_utils.cli import positive_int

ROUND = 16  # chunks that are worked on at once; there is memory for so many
# A fresh interpreter, on every system: a copy of this process (fork) would miss its threads.
CONTEXT = multiprocessing.get_context("spawn")


def add_threads_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--threads`, which changes no result, only the time."""
    parser.add_argument(
        "--threads",
        type=positive_int,
        default=os.cpu_count(),
        help="processor cores that share a batch in chunks of 32 images, a process each, at most 16"
        " (default: all, %(default)s)",
    )


@dataclass
class _Helper:
    """A worker process, the pipe to it, and the network that it was sent last."""

    process: multiprocessing.process.BaseProcess
    pipe: Connection
    model: Sequential | None = None


class Workers:
    """`count` processes, this one among them, that train and predict together.

    The others live while it is entered (`with`). Those that cannot be started are done without.
    They work for `model`, and for any other network for the same images and classes that has no
    more numbers in its arrays.
    """

    def __init__(self, model: Sequential, count: int):
        self._count, self._helpers = min(count, ROUND), []
        self._memory = _shared_memory(model) if self._count > 1 else {}
        self._board = _views(self._memory)

    def __enter__(self) -> "Workers":
        self._limits = threadpool_limits(1, "blas")  # not the threads of a PyTorch that we race
        started = []
        with suppress(OSError):  # such as a limit on processes
            for _ in range(self._count - 1):
                started.append(self._start())
        self._helpers = [helper for helper in started if _answers(helper)]
        return self

    def __exit__(self, *error) -> None:
        for helper in self._helpers:
            helper.pipe.close()  # which ends it
        for helper in self._helpers:
            helper.process.join()
        self._helpers = []
        self._limits.restore_original_limits()

    def compute_gradients(self, model: Sequential, x: np.ndarray, y: np.ndarray) -> float:
        """Do as `training.compute_gradients`."""
        if not self._helpers or model.mixes_images:
            return compute_gradients(model, x, y)
        loss, total = 0.0, np.zeros(count_numbers(model.grads), model.dtype)
        for rows, cut in _rounds(len(x)):
            self._board["y"][: rows.stop - rows.start] = y[rows]
            self._run(model, _chunk_gradients, x[rows], cut, len(x))
            for place in range(len(cut)):
                loss += float(self._board["losses"][place])
                total += self._board["grads"][place, : len(total)]
        for grad, numbers in _in_a_row(model.grads, total):
            grad[:] = numbers
        return loss

    def predict(self, model: Sequential, x: np.ndarray) -> np.ndarray:
        """Do as `training.predict`."""
        if not self._helpers:
            return predict(model, x)
        logits = np.empty((len(x), model.classes), model.dtype)
        for rows, cut in _rounds(len(x)):
            self._run(model, _predict, x[rows], cut)
            logits[rows] = self._board["logits"][: rows.stop - rows.start]
        return logits

    def _start(self) -> _Helper:
        ours, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(target=_work, args=(theirs, self._memory), daemon=True)
        process.start()
        theirs.close()  # or its end would not be noticed
        return _Helper(process, ours)

    def _run(
        self, model: Sequential, task: Callable, x: np.ndarray, cut: list[slice], *args
    ) -> None:
        """Put weights and images on the board; have all workers do `task` on chunks of them."""
        board, jobs = self._board, list(enumerate(cut))
        board["x"][: len(x)] = x
        for array, numbers in _in_a_row(model.params | model.state, board["weights"]):
            numbers[:] = array
        helpers = self._helpers[: len(jobs) - 1]
        for number, helper in enumerate(helpers, 1):
            news = None if helper.model is model else model
            helper.pipe.send((news, task, (jobs[number :: len(helpers) + 1], *args)))
            helper.model = model
        task(model, board, jobs[:: len(helpers) + 1], *args)
        for helper in helpers:
            try:
                _receive(helper.pipe)
            except (EOFError, OSError) as error:
                raise RuntimeError("a worker process ended before its work was done") from error


def _chunk_gradients(model: Sequential, board: dict, jobs: list[tuple[int, slice]], n: int) -> None:
    """Write the losses and gradients of some chunks on the board."""
    model.train()
    for place, chunk in jobs:
        board["losses"][place] = chunk_gradients(model, board["x"][chunk], board["y"][chunk], n)
        for grad, numbers in _in_a_row(model.grads, board["grads"][place]):
            numbers[:] = grad


def _predict(model: Sequential, board: dict, jobs: list[tuple[int, slice]]) -> None:
    """Write the logits of some chunks on the board."""
    model.eval()
    for _, chunk in jobs:
        board["logits"][chunk] = model.forward(board["x"][chunk])


def _work(pipe: Connection, memory: dict) -> None:
    """Do what comes through the pipe, until its other end is closed, or its process is gone.

    Ctrl-C reaches all processes of a terminal: it is for the first one to decide what it means.
    """
    for asked_to_end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked_to_end, signal.SIG_IGN)
    board, model = _views(memory), None
    try:
        with threadpool_limits(1, "blas"), np.errstate(all="ignore"):
            pipe.send("ready")
            while True:
                news, task, args = _receive(pipe)
                model = news or model
                for array, numbers in _in_a_row(model.params | model.state, board["weights"]):
                    array[:] = numbers
                task(model, board, *args)
                pipe.send("done")
    except (EOFError, OSError):
        pass


def _answers(helper: _Helper) -> bool:
    """Return whether a worker has started; if not, wait for its end."""
    try:
        return helper.pipe.recv() == "ready"
    except (EOFError, OSError):
        helper.process.join()
        return False


def _receive(pipe: Connection):
    """Return the next message.

    Sleep only after a while: to wake up takes longer than the pause between two steps.
    """
    for _ in range(200):
        if pipe.poll():
            break
    return pipe.recv()


def _rounds(n: int) -> Iterator[tuple[slice, list[slice]]]:
    """Yield the rows of a batch that are worked on at once, and how these are cut."""
    cut = chunks(n)
    for first in range(0, len(cut), ROUND):
        some = cut[first : first + ROUND]
        at = some[0].start
        yield slice(at, some[-1].stop), [slice(c.start - at, c.stop - at) for c in some]


def _shared_memory(model: Sequential) -> dict:
    """Return name -> (memory, shape, dtype) of the arrays that all workers see."""
    images, dtype = ROUND * CHUNK, model.dtype
    shapes = {
        "x": ((images, *model.image_shape), dtype),
        "y": ((images,), np.dtype(np.int64)),
        "logits": ((images, model.classes), dtype),
        "losses": ((ROUND,), np.dtype(np.float64)),
        "weights": ((count_numbers(model.params | model.state),), dtype),
        "grads": ((ROUND, count_numbers(model.grads)), dtype),
    }
    return {
        name: (CONTEXT.RawArray("b", int(np.prod(shape)) * kind.itemsize), shape, kind)
        for name, (shape, kind) in shapes.items()
    }


def count_numbers(arrays: dict[str, np.ndarray]) -> int:
    """Return how many numbers the arrays hold together."""
    return sum(array.size for array in arrays.values())


def _in_a_row(
    arrays: dict[str, np.ndarray], row: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each array and, in its shape, its numbers' place in `row`: one behind the other."""
    start = 0
    for array in arrays.values():
        yield array, row[start : start + array.size].reshape(array.shape)
        start += array.size


def _views(memory: dict) -> dict[str, np.ndarray]:
    return {
        name: np.frombuffer(raw, kind).reshape(shape) for name, (raw, shape, kind) in memory.items()
    }
