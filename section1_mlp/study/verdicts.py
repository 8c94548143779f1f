"""What the comparison found: a summary, and sentences computed from it.

The rule by which one network is better than another stands in `shared_utils/stats.py`.
"""

from shared_utils.datasets.gray_images import ImageData
from shared_utils.runs.memory import peak_memory_mib
from shared_utils.runs.outcomes import (
    Outcome,
    accuracy_difference,
    best_variant,
    by_name,
    summarize,
)


def summarize_all(outcomes: list[Outcome], data: ImageData) -> dict:
    """Return `summary.json`."""
    groups = by_name(outcomes)
    return {
        "data": data.name,
        "runs": {activation: summarize(group) for activation, group in groups.items()},
        "peak_memory_mib": peak_memory_mib(),
        "conclusions": conclude(groups),
    }


def conclude(groups: dict[str, list[Outcome]]) -> list[str]:
    """Return sentences: the test accuracy of the best activation minus that of each other.

    "Best" was chosen by validation. Differences are paired by seed: equal seeds, equal batches.
    """
    best = best_variant(groups)
    others = [name for name in groups if name != best]
    return [f"{best} has the best validation accuracy"] + [
        accuracy_difference(groups[best], groups[name], comparisons=len(others)).sentence(
            f"test accuracy, {best} minus {name}"
        )
        for name in others
    ]
