"""Measuring speed: contenders that take turns, and the peak of the machine.

A machine's speed changes from minute to minute. So contenders are never timed one after the other:
they take turns, in several rounds, and whatever else the machine does hits all of them. What is
reported is a ratio, from one run.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

WARM_UP = 3  # calls before each turn: caches, and threads that were asleep


def take_turns(
    contenders: Mapping[str, Callable], batches: Sequence[tuple], rounds: int, count: int
) -> dict[str, dict]:
    """Return, for each contender, the "median" milliseconds of a call and their "quartiles".

    Each is called with the arguments of one batch after the other, `count` times a turn, and has a
    turn in each round. Raises RuntimeError when they do not return the same numbers at first: then
    there is nothing to compare.
    """
    results = {name: [call(*batch) for batch in batches[:5]] for name, call in contenders.items()}
    first = next(iter(results.values()))
    for name, values in results.items():
        if not np.allclose(values, first, rtol=1e-4, atol=1e-6):
            raise RuntimeError(f"{name} does not compute what the others do")
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            for batch in batches[:WARM_UP]:
                call(*batch)
            clock = time.perf_counter()
            for number in range(count):
                call(*batches[number % len(batches)])
            times[name].append(1e3 * (time.perf_counter() - clock) / count)
    return {
        name: {
            "median": float(np.median(values)),
            "quartiles": np.percentile(values, [25, 75]).tolist(),
        }
        for name, values in times.items()
    }


def matrix_product_peak(dtype: str) -> float:
    """Return the operations per second of a large square matrix product, the best of thirty."""
    n = 1024
    a = np.random.default_rng(0).random((n, n)).astype(dtype)
    out, best = np.empty_like(a), np.inf
    for _ in range(30):
        clock = time.perf_counter()
        np.matmul(a, a, out=out)
        best = min(best, time.perf_counter() - clock)
    return 2 * n**3 / best
