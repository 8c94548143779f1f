"""What the comparison of networks found, in computed sentences.

The rule by which one network is better than another stands in `shared_utils/stats.py`.
"""

from section3_cnn.study.shifts import SHIFTS, STEPS
from shared_utils.stats import paired_difference


def conclude(shifted: dict[str, list[list[float]]]) -> list[str]:
    """Return a sentence for each step from network to network and each shift.

    `shifted` has a list of accuracies a seed, for each network.
    """
    lines = []
    for one, other in STEPS:
        for place, pixels in enumerate(SHIFTS):
            pair = [[accuracies[place] for accuracies in shifted[n]] for n in (one, other)]
            difference = paired_difference(*pair, comparisons=len(STEPS) * len(SHIFTS))
            where = f"shifted by {pixels} pixel{'s' * (pixels > 1)}" if pixels else "as it is"
            what = f"accuracy on the test set {where}, {one} minus {other}"
            lines.append(difference.sentence(what))
    return lines


def compare_speed(runs: dict[str, dict]) -> str:
    """Return one sentence on the time of a step."""
    ratio = runs["max"]["ms_per_step"] / runs["avg"]["ms_per_step"]
    return f"a step with max pooling takes {ratio:.2f} times as long as one with average"
