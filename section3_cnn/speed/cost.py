"""Measuring speed: turns, the machine's peak, and where the time of a step goes."""

import time
from collections.abc import Callable

import numpy as np

from section3_cnn.losses import SoftmaxCrossEntropy
from section3_cnn.model import CLASSES, IMAGE_SHAPE, build_cnn

WARM_UP = 3  # steps before each turn: caches, and threads that were asleep


def take_turns(steps: dict[str, Callable], batches: list, rounds: int, count: int) -> dict:
    """Return name -> milliseconds a step, (median, lower quartile, upper quartile) over the rounds.

    Raises RuntimeError when they do not compute the same losses: then there is nothing to compare.
    """
    losses = {name: [step(*batch) for batch in batches[:5]] for name, step in steps.items()}
    for of_one in losses.values():
        if not np.allclose(of_one, next(iter(losses.values())), rtol=1e-4):
            raise RuntimeError(f"the contenders compute different losses: {losses}")
    times = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            for batch in batches[:WARM_UP]:
                step(*batch)
            clock = time.perf_counter()
            for number in range(count):
                step(*batches[number % len(batches)])
            times[name].append(1e3 * (time.perf_counter() - clock) / count)
    return {name: np.percentile(values, [50, 25, 75]) for name, values in times.items()}


def operations() -> int:
    """Return the additions and multiplications that the products of one image's step take.

    Forward and dW of every layer, dx of all but the first: 2 for each weight, at each place.
    """
    weights = [28 * 28 * 8 * 9, 14 * 14 * 16 * 72, 784 * 128, 128 * CLASSES]
    return 2 * (3 * sum(weights) - weights[0])


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


def time_layers(images: int, repeats: int) -> dict[str, dict[str, float]]:
    """Return each layer's median microseconds, forward and backward, for so many images."""
    model, loss = build_cnn(rng=np.random.default_rng(0)), SoftmaxCrossEntropy()
    model.layers[0].needs_input_grad = False
    rng = np.random.default_rng(0)
    x, y = rng.random((images, *IMAGE_SHAPE), np.float32), rng.integers(0, CLASSES, images)
    times = {name: {"forward": [], "backward": []} for name in model.names}
    chain = list(zip(model.names, model.layers, strict=True))
    for _ in range(repeats):
        array = x
        for name, layer in chain:
            clock = time.perf_counter()
            array = layer.forward(array)
            times[name]["forward"].append(1e6 * (time.perf_counter() - clock))
        loss.forward(array, y)
        array = loss.backward()
        for name, layer in reversed(chain):
            clock = time.perf_counter()
            array = layer.backward(array)
            times[name]["backward"].append(1e6 * (time.perf_counter() - clock))
    return {
        name: {way: float(np.median(values)) for way, values in both.items()}
        for name, both in times.items()
    }
