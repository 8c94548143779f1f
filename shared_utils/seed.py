"""Reproducible randomness: one seed, one independent stream per purpose.

If initialisation and shuffling shared a generator, drawing one more weight would change every batch
that follows, and two networks could not be compared on the same data order. So each purpose
has a stream of its own, and all of them follow from one `--seed`.
"""

import numpy as np


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Return the generator that belongs to `purpose` (for instance "init" or "shuffle").

    The purpose's name is the spawn key of a `numpy.random.SeedSequence`: streams with different
    names are statistically independent, and a new purpose never disturbs those that exist.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(purpose.encode())))
