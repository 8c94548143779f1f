"""Three parts for three uses, each with a fair number of every class.

A model learns from the training part, is chosen by the validation part, and is evaluated once on
the test part. A class that is missing in one of them would be learned and never tested, or tested
and never learned, so every part gets at least one sample of each class, or there is no split.
"""

from dataclasses import dataclass

import numpy as np

from shared_utils.datasets.names import enumeration
from shared_utils.errors import UserError

SPLIT_SEED = 0  # a constant: the split belongs to the data set, not to a run


@dataclass(frozen=True)
class Limit:
    """At most `count` images to learn from, and with `everywhere` as many in the other parts."""

    count: int
    everywhere: bool = False

    def check(self, classes: int) -> None:
        """Raise UserError when it leaves no image for some of the classes."""
        if self.count < classes:
            raise UserError(
                f"{self.count:,} training images are too few for {classes:,} classes: give"
                f" --limit {classes} or more"
            )

    def choose(self, part: str, y: np.ndarray) -> np.ndarray:
        """Return the indices of the samples to use of the part "train", "val" or "test"."""
        return subset(y, self.count if self.everywhere or part == "train" else len(y))


def hold_out(y: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the kept samples and of the `count` that are held out, stratified.

    `y` (N,) holds the labels. Of each class at least one sample is held out and one is kept, if it
    has two (`check_class_sizes`) and `count` leaves room for that.
    """
    kept, held = _stratified(y, count)
    _guarantee(y, held, kept)
    _guarantee(y, kept, held)
    return kept, held


def subset(y: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of `count` samples, stratified, at least one of each class if it can be.

    Fewer samples than classes cannot be left out in proportion: then they are the last ones, which
    are as good as any, for the samples are in random order already.
    """
    if count >= len(y):
        return np.arange(len(y))
    if len(y) - count < len(np.unique(y)):
        chosen, rest = np.arange(count), np.arange(count, len(y))
    else:
        rest, chosen = _stratified(y, count)
    _guarantee(y, chosen, rest)
    return chosen


def check_class_sizes(y: np.ndarray, classes: tuple[str, ...], least: int, where: str) -> None:
    """Raise UserError, naming the classes, when one has fewer than `least` samples.

    `least` is the number of parts that the samples are still to be split into.
    """
    counts = np.bincount(y, minlength=len(classes))
    small = [f"{classes[label]!r} has {counts[label]}" for label in np.flatnonzero(counts < least)]
    if small:
        raise UserError(
            f"{where}: every class needs {least} images or more, one for each part, but"
            f" {enumeration(small)}: add images, or remove the class"
        )


def _stratified(y: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the rest and of `count` samples, classes in proportion."""
    from sklearn.model_selection import train_test_split

    sizes = np.unique(y, return_counts=True)[1]
    if sizes.min() >= 2 and min(count, len(y) - count) >= len(sizes):
        return tuple(
            train_test_split(
                np.arange(len(y)), test_size=count, stratify=y, random_state=SPLIT_SEED
            )
        )
    # Very small classes are too much for scikit-learn. Here every class is spread evenly over
    # (0, 1), in random order; the first samples on that line are a stratified choice.
    order = np.random.default_rng(SPLIT_SEED).permutation(len(y))
    place = np.empty(len(y))
    for label in np.unique(y):
        members = order[y[order] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    ranked = order[np.argsort(place[order], kind="stable")]
    return ranked[count:], ranked[:count]


def _guarantee(y: np.ndarray, part: np.ndarray, other: np.ndarray) -> None:
    """Swap samples, in place, until `part` has one of each class; sizes stay as they are.

    What leaves `part` is a sample of the class that it has most of.
    """
    counts = np.bincount(y[part], minlength=y.max() + 1)
    for label in np.unique(y):
        if counts[label] == 0 and counts.max() > 1 and (y[other] == label).any():
            giver = counts.argmax()
            leaving = np.flatnonzero(y[part] == giver)[-1]
            coming = np.flatnonzero(y[other] == label)[-1]
            part[leaving], other[coming] = other[coming], part[leaving]
            counts[giver] -= 1
            counts[label] += 1
