"""What the comparison found: a summary, and sentences computed from it."""

import argparse

import numpy as np

from section1_mlp.arms import Fit
from shared_utils.datasets.gray_images import ImageData
from shared_utils.runs.memory import peak_memory_mib
from shared_utils.stats import accuracy_ci95, mcnemar_p, mean_std


def summarise(fits: list[Fit], data: ImageData, args: argparse.Namespace) -> dict:
    """Return `summary.json`: every arm's results for its first seed, and over the seeds."""
    runs = {}
    for arm in dict.fromkeys(fit.arm for fit in fits):
        of_arm = [fit for fit in fits if fit.arm == arm]
        first = of_arm[0]
        correct = [int(right(fit, data).sum()) for fit in of_arm]
        total = len(data.y_test)
        runs[arm] = {
            "val_acc": first.best_val_acc,
            "test_acc": correct[0] / total,
            "test_ci95": accuracy_ci95(correct[0], total),
            "best_epoch": first.best_epoch,
            "train_seconds": first.train_seconds,
            "images_per_second": len(data.y_train) * args.epochs / first.train_seconds,
            "over_seeds": {
                "val_acc": mean_std([f.best_val_acc for f in of_arm]),
                "test_acc": mean_std([count / total for count in correct]),
            },
        }
    return {
        "data": data.name,
        "runs": runs,
        "peak_memory_mib": peak_memory_mib(),
        "conclusions": conclude(fits, data),
    }


def best_arm(fits: list[Fit]) -> str:
    """Return the arm with the best validation accuracy, averaged over its seeds."""
    val_acc = {}
    for fit in fits:
        val_acc.setdefault(fit.arm, []).append(fit.best_val_acc)
    return max(val_acc, key=lambda arm: np.mean(val_acc[arm]))


def conclude(fits: list[Fit], data: ImageData) -> list[str]:
    """Return sentences that compare the test accuracy of the best arm with that of the others.

    "Best" was chosen by validation. Over several seeds, the differences are paired by seed, since
    equal seeds mean equal batches.
    """
    best = best_arm(fits)
    by_arm = {}  # arm -> seed -> which test images it gets right
    for fit in fits:
        by_arm.setdefault(fit.arm, {})[fit.seed] = right(fit, data)
    lines = [f"{best} has the best validation accuracy"]
    for arm, of_arm in by_arm.items():
        seeds = [seed for seed in of_arm if seed in by_arm[best]]
        if arm == best or not seeds:
            continue
        points = [100 * (by_arm[best][seed].mean() - of_arm[seed].mean()) for seed in seeds]
        line = f"test accuracy, {best} minus {arm}: {np.mean(points):+.2f} points"
        if len(seeds) > 1:
            spread = np.std(points, ddof=1)
            verdict = "more" if abs(np.mean(points)) > 2 * spread else "not more"
            line += f", {verdict} than twice its deviation over {len(seeds)} seeds ({spread:.2f})"
        else:
            p = mcnemar_p(by_arm[best][seeds[0]], of_arm[seeds[0]])
            verdict = "is unlikely to be chance" if p < 0.05 else "could be chance"
            line += f", which {verdict} for these two networks (McNemar p = {p:.2g}); to compare "
            line += "the activations, repeat with --seeds 3"
        lines.append(line)
    return lines


def print_table(summary: dict) -> None:
    """Print one line an arm, and the conclusions."""
    print(f"\n{'arm':<9}{'epoch':>6}{'val acc':>9}{'test acc':>10}  {'95 % interval':<17}", end="")
    print(f"{'over seeds':<22}{'seconds':>8}{'images/s':>10}")
    for arm, result in summary["runs"].items():
        low, high = result["test_ci95"]
        over = result["over_seeds"]["test_acc"]
        spread = f"{over['mean']:.2%} +- {over['std']:.2%}" if over["n"] > 1 else "(one seed)"
        print(
            f"{arm:<9}{result['best_epoch']:>6}{result['val_acc']:>9.2%}{result['test_acc']:>10.2%}"
            f"  {f'{low:.2%} - {high:.2%}':<17}{spread:<22}"
            f"{result['train_seconds']:>8.1f}{result['images_per_second']:>10,.0f}"
        )
    print("\n" + "\n".join(summary["conclusions"]))


def right(fit: Fit, data: ImageData) -> np.ndarray:
    """Return which test images a network gets right, a boolean (N,)."""
    return fit.probs.argmax(axis=1) == data.y_test
