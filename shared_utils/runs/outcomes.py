"""What a comparison reports of each of its networks: counts over the whole test set."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from shared_utils.runs.best_epoch import History
from shared_utils.stats import Difference, accuracy_ci95, mean_std, paired_difference


@dataclass
class Outcome:
    """One trained network: which variant and seed it is, and how it was trained.

    `scores` are its logits or probabilities of the test samples (N, classes), `correct` tells which
    of them it gets right (N,). Both are None until all choices are made and it is tested, once.
    """

    name: str
    seed: int
    model: object
    history: History
    scores: np.ndarray | None = None
    correct: np.ndarray | None = None

    def test(self, scores: np.ndarray, labels: np.ndarray) -> None:
        """Note what the network says of the test samples."""
        self.scores, self.correct = scores, scores.argmax(axis=1) == labels

    @property
    def val_acc(self) -> float:
        """The best validation accuracy, by which the epoch was chosen."""
        return self.history.best["val_acc"]


def best_variant(groups: dict[str, list[Outcome]]) -> str:
    """Return the variant with the best validation accuracy, averaged over its seeds."""
    return max(groups, key=lambda name: np.mean([outcome.val_acc for outcome in groups[name]]))


def by_name(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    """Return the outcomes of each variant, one a seed, in order of appearance."""
    groups = {}
    for outcome in outcomes:
        groups.setdefault(outcome.name, []).append(outcome)
    return groups


def summarize(outcomes: list[Outcome]) -> dict:
    """Return what `summary.json` says of a variant: its first seed's results, and all seeds'."""
    first, accuracies = outcomes[0], [float(outcome.correct.mean()) for outcome in outcomes]
    return {
        "val_acc": first.val_acc,
        "test_acc": accuracies[0],
        "test_ci95": accuracy_ci95(int(first.correct.sum()), len(first.correct)),
        "best_epoch": first.history.best_epoch,
        "train_seconds": first.history.seconds,
        "images_per_second": first.history.samples_per_second,
        "over_seeds": {
            "val_acc": mean_std([outcome.val_acc for outcome in outcomes]),
            "test_acc": mean_std(accuracies),
        },
    }


def accuracy_difference(
    a: list[Outcome],
    b: list[Outcome],
    comparisons: int = 1,
    measure: Callable[[Outcome], object] = lambda outcome: outcome.correct,
) -> Difference:
    """Return the difference in test accuracy, a minus b, of outcomes paired by their seeds.

    Another `measure` of an outcome is compared in the same way.
    """
    others = {outcome.seed: outcome for outcome in b}
    pairs = [(measure(one), measure(others[one.seed])) for one in a if one.seed in others]
    ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
    return paired_difference(ours, theirs, comparisons=comparisons)


def table(summaries: dict[str, dict], title: str = "network") -> str:
    """Return the closing table: a line for each variant's `summarize`."""
    width = max(len(name) for name in (*summaries, title)) + 2
    lines = [
        f"{title:<{width}}{'epoch':>6}{'val acc':>9}{'test acc':>10}  {'95 % interval':<18}"
        f"{'over seeds':<20}{'seconds':>8}{'images/s':>10}"
    ]
    for name, result in summaries.items():
        low, high = result["test_ci95"]
        over = result["over_seeds"]["test_acc"]
        spread = f"{over['mean']:.2%} +- {over['std']:.2%}" if over["n"] > 1 else "(one seed)"
        lines.append(
            f"{name:<{width}}{result['best_epoch']:>6}{result['val_acc']:>9.2%}"
            f"{result['test_acc']:>10.2%}  {f'{low:.2%} - {high:.2%}':<18}{spread:<20}"
            f"{result['train_seconds']:>8.1f}{result['images_per_second']:>10,.0f}"
        )
    return "\n".join(lines)
