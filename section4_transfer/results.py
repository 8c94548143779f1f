"""What a study reports: counts over the whole test set, with intervals, and fair differences."""

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor, nn

from section4_transfer.engine import Fit
from shared_utils.files import write_atomically
from shared_utils.stats import accuracy_ci95, mean_std

LONG_SECONDS = 600


@dataclass
class Outcome:
    """One trained network: its arm and seed, how it was trained, what it got right in the test."""

    arm: str
    seed: int
    model: nn.Module
    fit: Fit
    correct: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))  # (test images,)


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write a network's state dict, on the CPU, whole or not at all."""
    buffer = BytesIO()
    torch.save({key: value.cpu() for key, value in state.items()}, buffer)
    write_atomically(path, buffer.getvalue())


def describe_arm(outcomes: list[Outcome]) -> dict:
    """Return what `summary.json` says of an arm: its first seed's results, and all seeds'."""
    first, total = outcomes[0], len(outcomes[0].correct)
    accuracies = [float(outcome.correct.mean()) for outcome in outcomes]
    return {
        "val_acc": first.fit.best["val_acc"],
        "test_acc": accuracies[0],
        "test_ci95": accuracy_ci95(int(first.correct.sum()), total),
        "best_epoch": first.fit.best_epoch,
        "train_seconds": first.fit.seconds[-1],
        "images_per_second": first.fit.images_per_second,
        "over_seeds": {
            "val_acc": mean_std([outcome.fit.best["val_acc"] for outcome in outcomes]),
            "test_acc": mean_std(accuracies),
        },
    }


def by_arm(outcomes: list[Outcome]) -> dict[str, list[Outcome]]:
    """Return the outcomes grouped by arm, in order of appearance."""
    arms = {}
    for outcome in outcomes:
        arms.setdefault(outcome.arm, []).append(outcome)
    return arms


def gain(
    arm: list[Outcome], base: list[Outcome], comparisons: int = 1
) -> tuple[float, float, float]:
    """Return the difference in test accuracy, arm minus base, and its 95 % interval.

    With so many `comparisons` each interval has a level of 1 - 0.05 / comparisons: then all of them
    are right at once with 95 % (Bonferroni's inequality).

    Outcomes of equal seeds are compared on the same test images. One seed: the interval of a paired
    difference of proportions, (b - c) / n, with 1/2 added to each of the four counts (Agresti and
    Min 2005, "Simple improved confidence intervals for comparing matched proportions"); it speaks
    of these two networks. Several seeds: Student's interval of the mean difference, which speaks of
    the arms. All NaN when no seed is in both.
    """
    bases = {outcome.seed: outcome for outcome in base}
    pairs = [
        (outcome.correct, bases[outcome.seed].correct) for outcome in arm if outcome.seed in bases
    ]
    if not pairs:
        return (float("nan"),) * 3
    differences = np.array([a.mean() - b.mean() for a, b in pairs])
    level = 1 - 0.025 / comparisons
    if len(pairs) > 1:
        from scipy.stats import t

        half = t.ppf(level, len(pairs) - 1) * differences.std(ddof=1) / np.sqrt(len(pairs))
        middle = differences.mean()
    else:
        ours, theirs = pairs[0]
        n = len(ours) + 2
        only_ours, only_theirs = (ours & ~theirs).sum() + 0.5, (~ours & theirs).sum() + 0.5
        middle = (only_ours - only_theirs) / n
        variance = (only_ours + only_theirs) / n - middle**2
        half = NormalDist().inv_cdf(level) * np.sqrt(variance / n)
    return float(differences.mean()), float(middle - half), float(middle + half)


def gain_line(
    name: str, base_name: str, arm: list[Outcome], base: list[Outcome], comparisons: int = 1
) -> str:
    """Return a sentence on the difference of two arms and on what it can be trusted for."""
    difference, low, high = gain(arm, base, comparisons)
    if np.isnan(difference):
        return f"{name} and {base_name}: no seed trained both to the end"
    seeds = len({o.seed for o in arm} & {o.seed for o in base})
    verdict = "a difference" if low > 0 or high < 0 else "could be chance"
    of = f"over {seeds} seeds" if seeds > 1 else "of these two networks, one seed"
    return (
        f"test accuracy, {name} minus {base_name}: {100 * difference:+.2f} points,"
        f" 95 % interval {100 * low:+.2f} to {100 * high:+.2f}: {verdict} ({of})"
    )


def epoch_line(arm: str, seed: int, epochs: int, row: dict) -> str:
    """Return what is printed after an epoch."""
    return (
        f"{arm}, seed {seed}, epoch {row['epoch']}/{epochs}: train loss {row['train_loss']:.3f},"
        f" acc {row['train_acc']:.2%}; val loss {row['val_loss']:.3f}, acc {row['val_acc']:.2%}"
    )


def estimate_line(seconds: float, shorter: str) -> str:
    """Return a warning that names the flags that shorten a run, or "" for a short one."""
    if seconds <= LONG_SECONDS:
        return ""
    return f"*** this run will take about {seconds / 60:.0f} minutes; shorter: {shorter} ***"


def table(runs: dict[str, dict]) -> str:
    """Return the closing table, one line an arm."""
    width = max(len(arm) for arm in runs) + 2
    lines = [
        f"{'arm':<{width}}{'epoch':>6}{'val acc':>9}{'test acc':>10}  {'95 % interval':<18}"
        f"{'over seeds':<20}{'seconds':>8}{'images/s':>10}"
    ]
    for arm, result in runs.items():
        low, high = result["test_ci95"]
        over = result["over_seeds"]["test_acc"]
        spread = f"{over['mean']:.2%} +- {over['std']:.2%}" if over["n"] > 1 else "(one seed)"
        lines.append(
            f"{arm:<{width}}{result['best_epoch']:>6}{result['val_acc']:>9.2%}"
            f"{result['test_acc']:>10.2%}  {f'{low:.2%} - {high:.2%}':<18}{spread:<20}"
            f"{result['train_seconds']:>8.1f}{result['images_per_second']:>10,.0f}"
        )
    return "\n".join(lines)
