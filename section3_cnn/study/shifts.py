"""Digits that are moved: how many of them a network still knows.

To an MLP a digit that moves is another vector. A convolution finds the same features, moved alike
(equivariance); a pool keeps what was found and forgets exactly where, within its window (a little
invariance). So four networks are compared, each with one idea more than the one before it.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from section3_cnn.model import build_cnn, build_mlp, build_strided
from shared_utils.datasets.gray_images import ImageData
from shared_utils.runs.outcomes import Outcome

SHIFTS = (0, 1, 2, 3, 4)  # pixels
NETWORKS = {  # from the fewest ideas to the most
    "mlp": build_mlp,
    "strided": build_strided,
    "avg": partial(build_cnn, "small", "avg"),
    "max": partial(build_cnn, "small", "max"),
}
STEPS = (("strided", "mlp"), ("avg", "strided"), ("max", "avg"))
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))  # down, up, right, left


def shift(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return images (N, C, H, W) moved by whole pixels; what comes in from outside is black."""
    border = max(abs(down), abs(right))
    padded = np.pad(images, ((0, 0), (0, 0), (border, border), (border, border)))
    height, width = images.shape[2:]
    rows = slice(border - down, border - down + height)
    return padded[:, :, rows, border - right : border - right + width]


def accuracy_by_shift(outcome: Outcome, data: ImageData, predict: Callable) -> list[float]:
    """Return the test accuracy at every shift, the mean over the four directions."""
    accuracies = [float(outcome.correct.mean())]
    for pixels in SHIFTS[1:]:
        correct = 0
        for down, right in DIRECTIONS:
            moved = shift(data.x_test, pixels * down, pixels * right)
            correct += int(np.sum(predict(outcome.model, moved).argmax(axis=1) == data.y_test))
        accuracies.append(correct / (len(data.y_test) * len(DIRECTIONS)))
    return accuracies
