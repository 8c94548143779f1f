"""How many threads a training should use, found out while it runs.

The threads of a matrix product wait for each other, and while they wait they spin. On idle cores
that is fast; where another program has one of the cores, every product waits for a thread that the
system has put aside, and two threads are many times slower than one. Nobody can know that before
the start, so it is measured: a few steps with all threads, a few with one, and the faster wins;
again when steps get slower than they were.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_WARM, _TRIAL = 1, 5  # steps with a number of threads: those not counted, and all
_WINDOW = 50  # steps, once it is settled, over which the time of a step is watched
_SLOWER = 1.5  # times as long as when it was settled: time for another trial
_PATIENCE = 4  # windows before the first one; doubled when a trial changes nothing


class FastestThreads:
    """Sets a number of threads by `limit(n)`: 1 or `most`, whichever is the faster at the moment.

    `after_step(seconds)` is told the time of every step.
    """

    def __init__(self, limit: Callable[[int], object], most: int):
        self._limit, self._most = limit, most
        self._patience = _PATIENCE
        self._settled = 0
        self._begin_trial()

    def after_step(self, seconds: float) -> None:
        """Note the time of a step, and change the number of threads when that is due."""
        self._times.append(seconds)
        if self._trial is None:
            self._watch()
        elif len(self._times) == _TRIAL:
            self._trial[self._threads] = sum(self._times[_WARM:]) / (_TRIAL - _WARM)
            if self._threads != 1:
                self._use(1)
            else:
                self._settle(min(self._trial, key=self._trial.get))

    def _begin_trial(self) -> None:
        self._trial: dict[int, float] | None = {}
        self._use(self._most)

    def _settle(self, threads: int) -> None:
        self._patience *= 2 if threads == self._settled else 1
        self._settled, self._reference = threads, self._trial[threads]
        self._trial, self._windows = None, 0
        self._use(threads)

    def _watch(self) -> None:
        """Begin another trial when steps have become slower, but not again and again."""
        if len(self._times) < _WINDOW:
            return
        self._windows += 1
        slow = sum(self._times) / _WINDOW > _SLOWER * self._reference
        self._times = []
        if self._windows >= self._patience and (slow or self._settled != self._most):
            self._begin_trial()

    def _use(self, threads: int) -> None:
        self._threads, self._times = threads, []
        self._limit(threads)


class FixedThreads:
    """The number of threads that a person has asked for."""

    def after_step(self, seconds: float) -> None:
        """Change nothing."""


@contextmanager
def blas_threads(threads: int | None) -> Iterator[FastestThreads | FixedThreads]:
    """Hold NumPy's matrix products to `threads`; None: to the fastest number at the moment.

    The number changes the last digits of a result, since sums are taken in another order.
    """
    from threadpoolctl import ThreadpoolController

    blas = ThreadpoolController().select(user_api="blas")
    before = [library.num_threads for library in blas.lib_controllers]
    most = min([os.cpu_count() or 1, *before])  # OMP_NUM_THREADS and its like have their say

    def limit(n: int) -> None:
        for library in blas.lib_controllers:
            library.set_num_threads(n)

    try:
        if threads is None and most > 1:
            yield FastestThreads(limit, most)
        else:
            limit(threads or most)
            yield FixedThreads()
    finally:
        for library, n in zip(blas.lib_controllers, before, strict=True):
            library.set_num_threads(n)
