"""How sure a result is: intervals for accuracies, and for the difference of two methods.

One rule decides everywhere whether one method is better than another: the 95 % interval of their
paired difference leaves out zero. Pairs share what would otherwise blur the comparison: the test
images, or the seed, which fixes initial weights and batches.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np


def accuracy_ci95(correct: int, total: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of the accuracy `correct / total`, as fractions.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    """
    from scipy.stats import binomtest

    interval = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def mean_std(values: list[float]) -> dict[str, float]:
    """Return the mean and the sample standard deviation (n - 1) of one value per seed.

    One value has no spread: its deviation is NaN, never a reassuring zero.
    """
    std = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return {"mean": float(np.mean(values)), "std": std, "n": len(values)}


@dataclass(frozen=True)
class Difference:
    """A paired difference and its 95 % interval; NaN where there is nothing to judge by."""

    mean: float
    low: float
    high: float
    pairs: int  # seeds or folds
    comparisons: int = 1  # the interval is so wide that this many hold together
    pair: str = "seed"  # what a pair is

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def sentence(self, what: str, unit: str = "points", scale: float = 100, digits: int = 2) -> str:
        """Return what the difference is, its interval, and the verdict, in one line.

        `what` says what is subtracted from what: "test accuracy, A minus B". Values are multiplied
        by `scale`: accuracies, which are fractions, become percentage points.
        """
        if not self.pairs:
            return f"{what}: no {self.pair} was trained both ways to the end"
        mean, low, high = (f"{scale * v:+.{digits}f}" for v in (self.mean, self.low, self.high))
        line = f"{what}: {mean} {unit}".rstrip()
        if math.isnan(self.low):
            return f"{line}; one {self.pair} has no spread to judge by"
        together = f" ({self.comparisons} comparisons together)" if self.comparisons > 1 else ""
        verdict = "a clear difference" if self.is_clear else "no clear difference"
        if self.pairs > 1:
            of = f"over {self.pairs} {self.pair}s"
        else:
            of = f"of these two networks, one {self.pair}"
        return f"{line}, 95 % interval {low} to {high}{together}: {verdict} ({of})"


def paired_difference(
    a: Sequence, b: Sequence, *, comparisons: int = 1, overlap: float = 0.0, pair: str = "seed"
) -> Difference:
    """Return the mean of a - b over pairs (a_i, b_i), with its 95 % interval.

    A pair is two numbers, or two boolean arrays: which test samples each network gets right, whose
    means are compared. One pair of numbers has no interval.

    Several pairs: Student's interval, mean +- t_{0.975, J - 1} sqrt((1/J + overlap) var), with the
    variance over the J differences. `overlap` is 0 for seeds; for the folds of a cross-validation,
    whose training sets overlap, it is n_test / n_train (Nadeau and Bengio 2003, "Inference for the
    generalization error"; Bouckaert and Frank 2004 for repeated folds).

    One pair of arrays: the interval of a paired difference of proportions, (b - c) / n, with 1/2
    added to each of the four counts (Agresti and Min 2005, "Simple improved confidence intervals
    for comparing matched proportions"). It speaks of these two networks alone.

    With many `comparisons` each interval has the level 1 - 0.05 / comparisons: all of them hold at
    once with 95 % (Bonferroni's inequality).
    """
    pairs = [(np.asarray(one), np.asarray(other)) for one, other in zip(a, b, strict=True)]
    if not pairs:
        return Difference(math.nan, math.nan, math.nan, 0, comparisons, pair)
    differences = np.array([one.mean() - other.mean() for one, other in pairs])
    mean, level = float(differences.mean()), 1 - 0.025 / comparisons
    middle, half = mean, math.nan
    if len(pairs) > 1:
        from scipy.stats import t

        J = len(pairs)
        half = t.ppf(level, J - 1) * math.sqrt((1 / J + overlap) * differences.var(ddof=1))
    elif pairs[0][0].dtype == bool:
        ours, theirs = pairs[0]
        n = len(ours) + 2
        only_ours, only_theirs = (ours & ~theirs).sum() + 0.5, (~ours & theirs).sum() + 0.5
        middle = (only_ours - only_theirs) / n
        variance = (only_ours + only_theirs) / n - middle**2
        half = NormalDist().inv_cdf(level) * math.sqrt(variance / n)
    low, high = float(middle - half), float(middle + half)
    return Difference(mean, low, high, len(pairs), comparisons, pair)
