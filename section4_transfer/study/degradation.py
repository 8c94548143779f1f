"""Degradation: that the error on the training images grows when a network gets deeper.

It is not overfitting, which would show in the test alone: the deeper network could represent all
that the shallower one does, and is not led there. The error is that of the last epoch, on augmented
images, while the network learned.
"""

from shared_utils.runs.outcomes import Outcome
from shared_utils.stats import Difference, paired_difference


def training_error(outcome: Outcome) -> float:
    """Return which part of the training images was wrong in the last epoch."""
    return 1 - outcome.history.rows[-1]["train_acc"]


def training_error_difference(
    a: list[Outcome], b: list[Outcome], comparisons: int = 1
) -> Difference:
    """Return the difference in training error, a minus b, of outcomes paired by their seeds."""
    others = {outcome.seed: training_error(outcome) for outcome in b}
    pairs = [(training_error(one), others[one.seed]) for one in a if one.seed in others]
    ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
    return paired_difference(ours, theirs, comparisons=comparisons)
