"""Which method is better, in computed sentences.

Seeds fix the initial weights and the batches, so methods are compared seed by seed: the mean of the
paired differences has a 95 % interval, and a method is better when that leaves out zero. Many
differences are looked at, and one in twenty would seem clear by chance: so all intervals of a run
are widened until they hold together.
"""

import math
from collections.abc import Iterable, Mapping

from shared_utils.stats import paired_difference

GUESSING = math.log(2)  # the loss of a network that says one half to everything
Results = Mapping[str, dict]  # method or schedule -> its part of `summary.json`


def count_comparisons(results: Iterable[Results], schedules: Results) -> int:
    """Return how many differences are looked at in a run.

    On each data set any method may turn out to be the first, so each pair counts. Schedules are
    compared with the constant rate alone.
    """
    pairs = sum(math.comb(len(_sound(found)), 2) for found in results)
    return pairs + max(0, len(_sound(schedules)) - 1)


def conclude(name: str, results: Results, comparisons: int, baseline: str = "") -> list[str]:
    """Return which method has the lowest test loss, and how far the others are from the baseline.

    Without a baseline, or where it diverged, the method with the lowest loss takes its place.
    """
    ranked = _sound(results)
    if not ranked or _test_loss(results[ranked[0]]) > GUESSING:
        return [f"{name}: none is better than guessing; try smaller --lrs"]
    first = ranked[0]
    lines = [f"{name}: {first} has the lowest test loss, {_test_loss(results[first]):.4f}"]
    baseline = baseline if baseline in ranked else first
    others = (other for other in ranked if other != baseline)
    return lines + [_difference(results, other, baseline, comparisons) for other in others]


def _sound(results: Results) -> list[str]:
    """Return the names of those that did not diverge, lowest test loss first."""
    sound = (name for name, result in results.items() if not result["diverged"])
    return sorted(sound, key=lambda name: _test_loss(results[name]))


def _test_loss(result: dict) -> float:
    return result["over_seeds"]["test_loss"]["mean"]


def _difference(results: Results, a: str, b: str, comparisons: int) -> str:
    losses = results[a]["test_losses"], results[b]["test_losses"]
    difference = paired_difference(*losses, comparisons=comparisons)
    return difference.sentence(f"  test loss, {a} minus {b}", unit="", scale=1, digits=4)
