"""Paths of the optimizers on three surfaces, each of which is hard in its own way.

    ravine      f = (x^2 + 300 y^2) / 2                 the steep walls bound the rate, the flat
                                                        floor needs a large one
    Rosenbrock  f = (1 - x)^2 + 100 (y - x^2)^2         the floor is bent, too
    saddle      f = x^2 / 2 + y^4 / 4 - y^2 / 2         flat at (0, 0), with minima at y = -1, 1

There are no batches and no noise here, so stochastic and full-batch gradient descent are one.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from section2_optimization.optimizers import make_optimizer
from section2_optimization.study.comparison import Method

LRS = tuple(float(f"{lr:.2g}") for lr in np.logspace(-4, 0, 33))  # fine: the grid decides nothing


@dataclass(frozen=True)
class Surface:
    """A function of (x, y), its gradient, where paths start, and the part of the plane to show."""

    name: str
    f: Callable[[np.ndarray, np.ndarray], np.ndarray]
    grad: Callable[[np.ndarray, np.ndarray], tuple]
    start: tuple[float, float]
    minima: tuple[tuple[float, float], ...]
    lowest: float
    view: tuple[float, float, float, float]  # left, right, bottom, top
    steps: int


SURFACES = (
    Surface(
        "ravine",
        lambda x, y: (x**2 + 300 * y**2) / 2,
        lambda x, y: (x, 300 * y),
        start=(-2.0, 0.6),
        minima=((0.0, 0.0),),
        lowest=0.0,
        view=(-2.3, 1.3, -0.9, 0.9),
        steps=60,
    ),
    Surface(
        "Rosenbrock",
        lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
        lambda x, y: (-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)),
        start=(-1.2, 1.0),
        minima=((1.0, 1.0),),
        lowest=0.0,
        view=(-1.8, 1.8, -0.8, 2.2),
        steps=400,
    ),
    Surface(
        "saddle",
        lambda x, y: x**2 / 2 + y**4 / 4 - y**2 / 2,
        lambda x, y: (x, y**3 - y),
        start=(-1.6, 0.001),
        minima=((0.0, 1.0), (0.0, -1.0)),
        lowest=-0.25,
        view=(-1.9, 1.4, -0.5, 1.5),
        steps=60,
    ),
)


def follow(surface: Surface, method: Method, lr: float) -> np.ndarray:
    """Return the path (steps + 1, 2) of a method; it ends early where it leaves all numbers."""
    optimizer = make_optimizer(method.rule, lr, **method.options)
    params = {"xy": np.array(surface.start)}
    path = [params["xy"].copy()]
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(surface.steps):
            grad = np.array(surface.grad(*params["xy"]))
            if not np.isfinite(grad).all():
                break
            optimizer.step(params, {"xy": grad})
            path.append(params["xy"].copy())
    return np.array(path)


def height(surface: Surface, path: np.ndarray) -> np.ndarray:
    """Return f minus its minimum along a path; NaN and overflow count as infinitely high."""
    with np.errstate(over="ignore", invalid="ignore"):
        above = surface.f(*path.T) - surface.lowest
    return np.nan_to_num(above, nan=np.inf, posinf=np.inf)


def best_paths(
    surface: Surface, methods: Iterable[Method], lrs: Iterable[float] = LRS
) -> dict[str, tuple[float, np.ndarray]]:
    """Return, for each method, the best rate of the grid, and its path.

    The best has the lowest mean logarithm of the height along the path: it comes down early and
    stays there. Only paths that stay in the picture count; where no rate keeps it there, the lowest
    is taken. SGD has the path of gradient descent, and is left out beside it.
    """
    best = {}
    for method in methods:
        if method.name == "sgd" and "gd" in best:
            continue
        paths = {lr: follow(surface, method, lr) for lr in lrs}
        lr = min(sorted(paths), key=lambda lr, paths=paths: _mean_log_height(surface, paths[lr]))
        best[method.name] = lr, paths[lr]
    return best


def _mean_log_height(surface: Surface, path: np.ndarray) -> float:
    left, right, bottom, top = surface.view
    x, y = path.T
    inside = (left < x) & (x < right) & (bottom < y) & (y < top)
    if len(path) <= surface.steps or not inside.all():
        return np.inf
    return float(np.mean(np.log10(height(surface, path) + 1e-16)))
