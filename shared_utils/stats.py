"""How sure a result is: an interval for a counted accuracy, a spread over seeds."""

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


def mcnemar_p(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """Return the exact McNemar p-value that two classifiers are equally good on the same samples.

    Only the samples that one of them gets right and the other wrong count: were both equally good,
    each such sample would be a fair coin. Source: McNemar (1947), in its exact, binomial form.
    """
    from scipy.stats import binomtest

    only_a = int(np.sum(correct_a & ~correct_b))
    only_b = int(np.sum(correct_b & ~correct_a))
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
