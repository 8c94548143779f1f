"""What each augmentation gains, alone and beside all others, and how sure that is.

Alone: the arm with it minus the arm without any. Beside all others: the arm with all minus the arm
with all but it. The study has many such differences, and their intervals hold together.
"""

from section4_transfer.augment import AUGMENTATIONS
from section4_transfer.results import Outcome, gain, gain_line


def label(arm: str, fraction: float) -> str:
    """Return an arm's name in the results: with its share of the images, where that is not all."""
    return arm if fraction == 1 else f"{arm} {100 * fraction:g}%"


def comparisons(fraction: float) -> dict[str, dict[str, tuple[str, str]]]:
    """Return for each augmentation the pairs of arms that differ in it alone: with, without."""
    pairs = {}
    for name in AUGMENTATIONS:
        alone, others = (name, "none"), ("all", f"all but {name}")
        pairs[name] = {
            "alone": tuple(label(arm, fraction) for arm in alone),
            "beside all others": tuple(label(arm, fraction) for arm in others),
        }
    return pairs


def number_of_comparisons(fractions: list[float]) -> int:
    """Return how many gains the study reports: two an augmentation, one of all together, a share.

    Among so many intervals of 95 % each, one that misses the truth would be no surprise. So each is
    widened until all of them together hold with 95 %.
    """
    return (2 * len(AUGMENTATIONS) + 1) * len(fractions)


def find_gains(grouped: dict[str, list[Outcome]], fractions: list[float]) -> dict:
    """Return by share, augmentation and kind of comparison: the gain and its 95 % interval."""
    many = number_of_comparisons(fractions)
    return {
        f"{fraction:g}": {
            name: {
                kind: gain(grouped[with_it], grouped[without], many)
                for kind, (with_it, without) in pairs.items()
                if with_it in grouped and without in grouped
            }
            for name, pairs in comparisons(fraction).items()
        }
        for fraction in fractions
    }


def conclude(grouped: dict[str, list[Outcome]], fractions: list[float]) -> list[str]:
    """Return sentences: what all augmentations together gain, and what each gains alone."""
    many = number_of_comparisons(fractions)
    lines = [f"each interval is widened so that all {many} hold together with 95 % (Bonferroni)"]
    for fraction in fractions:
        pairs = [(label("all", fraction), label("none", fraction))]
        pairs += [pair for both in comparisons(fraction).values() for pair in both.values()]
        lines += [
            gain_line(with_it, without, grouped[with_it], grouped[without], many)
            for with_it, without in pairs
            if with_it in grouped and without in grouped
        ]
    return lines
