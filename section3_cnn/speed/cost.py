"""What a step of the small network costs: its operations, and the time of each layer."""

import time

import numpy as np

from section3_cnn.losses import SoftmaxCrossEntropy
from section3_cnn.model import CLASSES, IMAGE_SHAPE, build_cnn


def operations() -> int:
    """Return the additions and multiplications that the products of one image's step take.

    Forward and dW of every layer, dx of all but the first: 2 for each weight, at each place.
    """
    weights = [28 * 28 * 8 * 9, 14 * 14 * 16 * 72, 784 * 128, 128 * CLASSES]
    return 2 * (3 * sum(weights) - weights[0])


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
