"""Functions to approximate: smooth, kinked, with jumps, and a surface.

A network of one hidden layer is a sum of bumps, ramps or steps whose places and slopes it learns.
Which functions come easily depends on how alike they are to its building blocks.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

N_TRAIN = 256
JUMPS = (-0.5, 0.1)  # where the target "step" jumps


@dataclass(frozen=True)
class Target:
    """A function sampled on a grid over [-1, 1]^d, scaled to mean 0 and variance 1."""

    title: str
    x: np.ndarray  # (256, d), to learn from
    y: np.ndarray  # (256, 1)
    x_dense: np.ndarray  # (N, d), finer, to measure the error on
    y_dense: np.ndarray  # (N, 1)


def make_targets() -> dict[str, Target]:
    """Return the targets by name. One-dimensional ones stretch [-2 pi, 2 pi] over [-1, 1]."""
    return {
        "sine": _target("sine: sin(t)", lambda x: np.sin(2 * np.pi * x[:, 0])),
        "kink": _target("kinks: a triangle wave", lambda x: np.abs((3 * x[:, 0] + 1) % 4 - 2)),
        "step": _target(
            "steps: two jumps", lambda x: sum(np.sign(x[:, 0] - place) for place in JUMPS)
        ),
        "surface": _target(
            "surface: sin(πu) cos(πv)",
            lambda x: np.sin(np.pi * x[:, 0]) * np.cos(np.pi * x[:, 1]),
            dims=2,
        ),
    }


def grid(n: int, dims: int) -> np.ndarray:
    """Return about n points (n, dims), evenly spread over [-1, 1]^dims, the ends included."""
    axis = np.linspace(-1, 1, round(n ** (1 / dims)))
    return np.stack(np.meshgrid(*[axis] * dims, indexing="ij"), axis=-1).reshape(-1, dims)


def _target(title: str, f: Callable[[np.ndarray], np.ndarray], dims: int = 1) -> Target:
    x, x_dense = grid(N_TRAIN, dims), grid(2500, dims)
    y_dense = f(x_dense)
    mean, std = y_dense.mean(), y_dense.std()
    scaled = [((f(points) - mean) / std)[:, None] for points in (x, x_dense)]
    return Target(title, x, scaled[0], x_dense, scaled[1])
