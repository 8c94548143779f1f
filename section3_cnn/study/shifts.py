"""Max against average pooling: how many digits a network still knows when they are moved.

A pool keeps what was found and forgets exactly where, within its window. The two kinds differ in
what they keep, so digits further from the centre than any in training tell them apart.
"""

from collections.abc import Callable

import numpy as np

from shared_utils.datasets.gray_images import ImageData
from shared_utils.runs.outcomes import Outcome
from shared_utils.stats import paired_difference

SHIFTS = (0, 1, 2, 3, 4)  # pixels
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


def conclude(shifted: dict[str, list[list[float]]]) -> list[str]:
    """Return a sentence for each shift: max minus average; `shifted` has a list a seed."""
    lines = []
    for place, pixels in enumerate(SHIFTS):
        of_max, of_avg = ([accuracies[place] for accuracies in shifted[p]] for p in ("max", "avg"))
        difference = paired_difference(of_max, of_avg, comparisons=len(SHIFTS))
        where = f"shifted by {pixels} pixels" if pixels else "as it is"
        lines.append(difference.sentence(f"accuracy on the test set {where}, max minus average"))
    return lines
