"""What a comparison found, in numbers and in computed sentences.

Two optimizers differ when the difference of their results, taken seed by seed, since seeds share
weights and batches, is larger than twice its own spread over the seeds.
"""

import math
from collections.abc import Mapping

import numpy as np

from section2_optimization.comparison import Trial, best_rate
from section2_optimization.losses import SoftmaxCrossEntropy
from section2_optimization.toy_data import ToyData
from shared_utils.stats import accuracy_ci95, mean_std

GUESSING = math.log(2)  # the loss of who says one half to everything


def summarise(data: ToyData, trials: Mapping[str, Mapping[float, list[Trial]]]) -> dict[str, dict]:
    """Return the results of every arm at its chosen rate; this is where the test set is used."""
    results = {}
    for arm, by_rate in trials.items():
        lr = best_rate(by_rate)
        chosen = by_rate[lr]
        if any(trial.diverged for trial in chosen):
            results[arm] = {"lr": None, "diverged": True}
            continue
        losses, correct = zip(*(_test(trial, data) for trial in chosen), strict=True)
        total = len(data.y_test)
        results[arm] = {
            "lr": lr,
            "diverged": False,
            "val_acc": chosen[0].final("val_acc"),
            "test_acc": correct[0] / total,
            "test_ci95": accuracy_ci95(correct[0], total),
            "train_seconds": chosen[0].seconds,
            "test_losses": list(losses),
            "over_seeds": {
                "train_loss": mean_std([trial.final("train_loss") for trial in chosen]),
                "val_loss": mean_std([trial.final("val_loss") for trial in chosen]),
                "test_loss": mean_std(list(losses)),
                "test_acc": mean_std([count / total for count in correct]),
            },
        }
    return results


def conclude(name: str, results: Mapping[str, dict]) -> str:
    """Return who had the lowest test loss, ahead of whom, by how much, and whether that is sure."""
    ranked = sorted(
        (arm for arm, result in results.items() if not result["diverged"]),
        key=lambda arm: results[arm]["over_seeds"]["test_loss"]["mean"],
    )
    if not ranked or results[ranked[0]]["over_seeds"]["test_loss"]["mean"] > GUESSING:
        return f"{name}: no optimizer is better than guessing; try smaller --rates"
    first = results[ranked[0]]
    line = f"{name}: {ranked[0]} is first (lr {first['lr']:g}, "
    line += f"test loss {first['over_seeds']['test_loss']['mean']:.4f}"
    if len(ranked) < 2:
        return line + ")"
    second = results[ranked[1]]
    ahead = np.subtract(second["test_losses"], first["test_losses"])
    line += f"), {ranked[1]} second; test loss {np.mean(ahead):+.4f} apart, {_verdict(ahead)}"
    if len(ahead) < 2:
        return line
    equals = [
        arm
        for arm in ranked[1:]
        if not _beyond(np.subtract(results[arm]["test_losses"], first["test_losses"]))
    ]
    if equals:
        line += f"; not told apart from {ranked[0]}: {', '.join(equals)}"
    return line


def conclude_schedules(name: str, arm: str, results: Mapping[str, dict]) -> str:
    """Return which schedule was first, and what it gained over a constant rate."""
    sound = {key: result for key, result in results.items() if not result["diverged"]}
    first = min(sound, key=lambda key: sound[key]["over_seeds"]["test_loss"]["mean"], default=None)
    if first is None or sound[first]["over_seeds"]["test_loss"]["mean"] > GUESSING:
        return f"schedules on {name}: none is better than guessing; try smaller --rates"
    line = f"schedules on {name}, {arm}: {first} is first"
    if first == "constant" or "constant" not in sound:
        return line
    gain = np.subtract(sound["constant"]["test_losses"], sound[first]["test_losses"])
    return f"{line}; test loss {np.mean(gain):+.4f} below a constant rate, {_verdict(gain)}"


def sensitivity(trials: Mapping[str, Mapping[float, list[Trial]]]) -> dict:
    """Return the final training loss of every arm and rate over the seeds."""
    return {
        arm: {
            f"{lr:g}": mean_std([trial.final("train_loss") for trial in of_rate])
            for lr, of_rate in by_rate.items()
            if not any(trial.diverged for trial in of_rate)
        }
        for arm, by_rate in trials.items()
    }


def _test(trial: Trial, data: ToyData) -> tuple[float, int]:
    logits = trial.model.forward(data.x_test)
    loss = SoftmaxCrossEntropy().forward(logits, data.y_test)
    return loss, int(np.sum(logits.argmax(axis=1) == data.y_test))


def _beyond(differences: np.ndarray) -> bool:
    return abs(np.mean(differences)) > 2 * np.std(differences, ddof=1)


def _verdict(differences: np.ndarray) -> str:
    if len(differences) < 2:
        return "one seed tells nothing of the spread: --seeds 3"
    spread = np.std(differences, ddof=1)
    where = "beyond" if _beyond(differences) else "within"
    return f"{where} twice the spread over {len(differences)} seeds ({spread:.4f})"
