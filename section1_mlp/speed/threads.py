"""A batch shared by threads: the same bytes for any number of them.

The loss is a mean over the batch, so its gradient is a mean, too, and can be taken in chunks: with
a mean loss L_c over the n_c samples of each chunk, dL/dW = sum over chunks of (n_c / N) dL_c/dW.
The cut depends on the batch alone, and the chunks are added in their order. NumPy gives Python's
lock back while it computes, so threads are enough.

A library of matrix products has threads of its own, but they spin while they wait for each other:
where another program has one of the cores, two of them are many times slower than one. The threads
here sleep, and each has its products for itself.
"""

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from section1_mlp import training
from section1_mlp.model import MLP

CHUNK = 64  # samples: a thread that works on fewer does not make up for its waking


class Threads:
    """`compute_gradients` and `evaluate` of the lesson, shared with the threads of a pool.

    `pool` None: this thread does it all.
    """

    def __init__(self, pool: ThreadPoolExecutor | None):
        self._pool = pool
        self._model, self._replicas = None, []

    def compute_gradients(self, model: MLP, x: np.ndarray, y: np.ndarray) -> float:
        """Overwrite `model.grads` with those of the mean loss of x, y; return the loss."""
        chunks = _cut(len(x), CHUNK)
        replicas = self._replicas_of(model, len(chunks))

        def work(replica: MLP, chunk: slice) -> float:
            fraction = (chunk.stop - chunk.start) / len(x)
            with np.errstate(over="ignore", invalid="ignore"):  # each thread has its own state
                loss = training.compute_gradients(replica, x[chunk], y[chunk])
                for grad in replica.grads.values():
                    grad *= fraction
            return fraction * loss

        loss = sum(self._map(work, list(zip(replicas, chunks, strict=True))))
        for key, grad in model.grads.items():
            np.copyto(grad, replicas[0].grads[key])
            for replica in replicas[1:]:
                grad += replica.grads[key]
        return loss

    def evaluate(self, model: MLP, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        """Return a classifier's mean cross-entropy and accuracy over all samples."""
        chunks = _cut(len(x), training.EVALUATION_BATCH)
        replicas = self._replicas_of(model, len(chunks))
        work = [(replica, x[c], y[c]) for replica, c in zip(replicas, chunks, strict=True)]
        scores = np.array(self._map(training.evaluate, work))
        loss, accuracy = scores.T @ [c.stop - c.start for c in chunks] / len(x)
        return float(loss), float(accuracy)

    def _map(self, function: Callable, arguments: list[tuple]) -> list:
        """Return the results in order; this thread takes its share of the work."""
        if self._pool is None:
            return [function(*one) for one in arguments]
        waiting: list[Future] = [self._pool.submit(function, *one) for one in arguments[1:]]
        first = function(*arguments[0])
        return [first, *(future.result() for future in waiting)]

    def _replicas_of(self, model: MLP, count: int) -> list[MLP]:
        """Return networks with the parameters of `model`, and gradients and memory of their own."""
        if self._model is not model:
            self._model, self._replicas = model, []
        while len(self._replicas) < count:
            replica = copy.copy(model)
            replica.grads = {key: np.zeros_like(grad) for key, grad in model.grads.items()}
            self._replicas.append(replica)
        return self._replicas[:count]


def _cut(n: int, size: int) -> list[slice]:
    """Return slices of 0..n-1 of nearly equal lengths, about `size`."""
    count = max(1, round(n / size))
    return [slice(n * c // count, n * (c + 1) // count) for c in range(count)]


@contextmanager
def start_threads(count: int) -> Iterator[Threads]:
    """Yield `Threads` that share the work by `count`, and hold the library's own to one each."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        if count == 1:
            yield Threads(None)
        else:
            with ThreadPoolExecutor(count - 1) as pool:
                yield Threads(pool)
