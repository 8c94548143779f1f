"""What the comparison found: a summary, and sentences computed from it."""

import numpy as np

from shared_utils.datasets.gray_images import ImageData
from shared_utils.runs.memory import peak_memory_mib
from shared_utils.runs.outcomes import Outcome, accuracy_difference, by_name, summarize, table


def summarize_all(outcomes: list[Outcome], data: ImageData) -> dict:
    """Return `summary.json`."""
    groups = by_name(outcomes)
    return {
        "data": data.name,
        "runs": {activation: summarize(group) for activation, group in groups.items()},
        "peak_memory_mib": peak_memory_mib(),
        "conclusions": conclude(groups),
    }


def best_activation(groups: dict[str, list[Outcome]]) -> str:
    """Return the activation with the best validation accuracy, averaged over its seeds."""
    return max(groups, key=lambda name: np.mean([outcome.val_acc for outcome in groups[name]]))


def conclude(groups: dict[str, list[Outcome]]) -> list[str]:
    """Return sentences: the test accuracy of the best activation minus that of each other.

    "Best" was chosen by validation. Differences are paired by seed: equal seeds, equal batches.
    """
    best = best_activation(groups)
    others = [name for name in groups if name != best]
    return [f"{best} has the best validation accuracy"] + [
        accuracy_difference(groups[best], groups[name], comparisons=len(others)).sentence(
            f"test accuracy, {best} minus {name}"
        )
        for name in others
    ]


def print_results(summary: dict) -> None:
    """Print one line a network, and the conclusions."""
    print("\n" + table(summary["runs"], "activation") + "\n\n" + "\n".join(summary["conclusions"]))
