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
