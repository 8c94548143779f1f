"""Minibatches: a new random order in every epoch, cut into pieces."""

from collections.abc import Iterator

import numpy as np


def minibatches(n: int, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the indices 0..n-1 in random order, `batch_size` at a time; the last may be shorter."""
    order = rng.permutation(n)
    for start in range(0, n, batch_size):
        yield order[start : start + batch_size]
