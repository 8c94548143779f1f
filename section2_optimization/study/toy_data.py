"""Four toy problems in the plane, of different shape and difficulty.

linear    two overlapping clouds: one neuron would do, and the loss is nearly convex
moons     two crescents: a bent boundary
circles   a ring around a disc: a closed boundary
spirals   two interleaved arms: a long, winding valley of the loss
"""

import math
from dataclasses import dataclass

import numpy as np

from shared_utils.seed import stream

SIZES = {"train": 300, "val": 300, "test": 1000}
NAMES = ("linear", "moons", "circles", "spirals")


@dataclass(frozen=True)
class ToyData:
    """Points (N, 2), float32, scaled by the training set, and labels (N,) in {0, 1}; three splits.

    The validation set chooses learning rates; the test set is used once, at the end.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def make_toy_data(name: str, seed: int) -> ToyData:
    """Draw the data set `name`. Raises ValueError for an unknown name, with those that exist."""
    from sklearn.datasets import make_blobs, make_circles, make_moons

    rng = stream(seed, f"data {name}")
    n, random_state = sum(SIZES.values()), int(rng.integers(2**31))
    if name == "linear":
        x, y = make_blobs(n, centers=[[-1, -1], [1, 1]], random_state=random_state)
    elif name == "moons":
        x, y = make_moons(n, noise=0.2, random_state=random_state)
    elif name == "circles":
        x, y = make_circles(n, noise=0.12, factor=0.5, random_state=random_state)
    elif name == "spirals":
        x, y = _make_spirals(n, rng)
    else:
        raise ValueError(f"there is no data set {name!r}; there are {', '.join(NAMES)}")
    train, val = SIZES["train"], SIZES["train"] + SIZES["val"]
    x = ((x - x[:train].mean(axis=0)) / x[:train].std(axis=0)).astype(np.float32)
    splits = slice(train), slice(train, val), slice(val, n)
    return ToyData(name, *(array[split] for split in splits for array in (x, y)))


def _make_spirals(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two arms r = phi from half a turn to one and three quarters, the second turned by pi."""
    y = rng.permutation(np.arange(n) % 2)
    phi = 2 * math.pi * (0.5 + 1.25 * np.sqrt(rng.random(n)))
    angle = phi + math.pi * y
    x = phi[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return x + rng.normal(0, 0.35, (n, 2)), y
