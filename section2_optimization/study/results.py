"""What a comparison measured: its rows of `metrics.csv`, its `summary.json`, its table."""

from collections.abc import Sequence

from section2_optimization.study.comparison import (
    TrialsByLr,
    TrialsByName,
    best_lr,
    final_train_losses,
)
from section2_optimization.study.toy_data import ToyData
from section2_optimization.study.verdicts import conclude, count_comparisons
from section2_optimization.training import evaluate
from shared_utils.runs import RunFolder
from shared_utils.stats import accuracy_ci95, mean_std


def summarize_all(
    results: Sequence[tuple[ToyData, TrialsByName]], schedules: TrialsByName, method: str
) -> dict:
    """Return what `summary.json` holds; the `schedules` were tried with `method` on the last data.

    This is where the test set is used.
    """
    found = {data.name: summarize(data, trials) for data, trials in results}
    last = results[-1][0]
    of_schedules = summarize(last, schedules)
    comparisons = count_comparisons(found.values(), of_schedules)
    conclusions = [conclude(name, result, comparisons) for name, result in found.items()]
    title = f"schedules on {last.name}, {method}"
    conclusions.append(conclude(title, of_schedules, comparisons, baseline="constant"))
    return {
        "runs": {f"{data}/{name}": r for data, rs in found.items() for name, r in rs.items()},
        "sensitivity": {data.name: sensitivity(trials) for data, trials in results},
        "schedules": of_schedules,
        "conclusions": [line for lines in conclusions for line in lines],
    }


def write_metrics(
    run: RunFolder,
    results: Sequence[tuple[ToyData, TrialsByName]],
    schedules: TrialsByName,
) -> None:
    """Write all measurements of the trainings at the chosen rates, at once: they are thousands."""
    searches = [by_lr for _, trials in results for by_lr in trials.values()]
    searches += schedules.values()
    run.log(
        *(row for by_lr in searches for trial in by_lr[best_lr(by_lr)] for row in trial.history)
    )


def print_summary(summary: dict) -> None:
    """Print one line a data set and optimizer, and the conclusions."""
    print(f"{'data/optimizer':<20}{'lr':>7}{'train loss':>12}", end="")
    print(f"{'test loss':>20}{'test acc':>20}  {'95 % interval, first seed'}")
    for name, result in summary["runs"].items():
        if result["diverged"]:
            print(f"{name:<20} diverged with every rate: try smaller --lrs")
            continue
        over = result["over_seeds"]
        low, high = result["test_ci95"]
        loss = f"{over['test_loss']['mean']:.4g} +- {over['test_loss']['std']:.1g}"
        acc = f"{over['test_acc']['mean']:.2%} +- {over['test_acc']['std']:.2%}"
        print(f"{name:<20}{result['lr']:>7g}{over['train_loss']['mean']:>12.4g}", end="")
        print(f"{loss:>20}{acc:>20}  {low:.2%} - {high:.2%}")
    print("\n" + "\n".join(summary["conclusions"]))


def summarize(data: ToyData, trials: TrialsByName) -> dict[str, dict]:
    """Return the results of every method at its chosen rate."""
    return {name: _result(data, by_lr) for name, by_lr in trials.items()}


def _result(data: ToyData, by_lr: TrialsByLr) -> dict:
    lr = best_lr(by_lr)
    chosen = by_lr[lr]
    if any(trial.diverged for trial in chosen):
        return {"lr": None, "diverged": True}
    tests = [evaluate(trial.model, data.x_test, data.y_test) for trial in chosen]
    losses, accuracies = map(list, zip(*tests, strict=True))
    total = len(data.y_test)
    return {
        "lr": lr,
        "diverged": False,
        "val_acc": chosen[0].final("val_acc"),
        "test_acc": accuracies[0],
        "test_ci95": accuracy_ci95(round(accuracies[0] * total), total),
        "train_seconds": chosen[0].seconds,
        "test_losses": losses,
        "over_seeds": {
            "train_loss": mean_std([trial.final("train_loss") for trial in chosen]),
            "val_loss": mean_std([trial.final("val_loss") for trial in chosen]),
            "test_loss": mean_std(losses),
            "test_acc": mean_std(accuracies),
        },
    }


def sensitivity(trials: TrialsByName) -> dict:
    """Return the final training loss of every method and rate over the seeds."""
    return {
        name: {f"{lr:g}": mean_std(losses) for lr, losses in final_train_losses(by_lr).items()}
        for name, by_lr in trials.items()
    }
