"""The figures of this section's training scripts."""

from pathlib import Path

import numpy as np

from section3_cnn.study.shifts import SHIFTS
from shared_utils.plotting import COLORS, MARKERS, new_figure, save_figure
from shared_utils.runs.outcomes import Outcome

_QUANTITIES = {"loss": "mean cross-entropy (nats)", "acc": "accuracy (%)"}
_SPLITS = {"train": ("training", "--"), "val": ("validation", "-")}
STYLES = (":", "-.", "--", "-")
LABELS = {
    "mlp": "MLP",
    "strided": "CNN without pools",
    "avg": "CNN, average pooling",
    "max": "CNN, max pooling",
}


def draw_curves(folder: Path, outcomes: list[Outcome], title: str) -> None:
    """Write curves_loss.png and curves_acc.png: training and validation, a line a seed."""
    for quantity, label in _QUANTITIES.items():
        fig, ax = new_figure()
        if quantity == "loss":
            ax.set_yscale("log")
        for number, (split, (name, style)) in enumerate(_SPLITS.items()):
            look = {"color": COLORS[number], "marker": MARKERS[number], "linestyle": style}
            _draw_seeds(ax, outcomes, f"{split}_{quantity}", name, look)
        ax.set(xlabel="epoch", ylabel=label, title=f"{title}, {_seeds(len(outcomes))}")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend()
        save_figure(fig, folder / f"curves_{quantity}.png")


def draw_validation(path: Path, groups: dict[str, list[Outcome]], title: str) -> None:
    """Draw the validation accuracy of several networks after every epoch, a line a seed."""
    fig, ax = new_figure()
    for number, (name, outcomes) in enumerate(groups.items()):
        look = {"color": COLORS[number], "marker": MARKERS[number], "linestyle": STYLES[number]}
        _draw_seeds(ax, outcomes, "val_acc", LABELS[name], look)
    seeds = _seeds(len(next(iter(groups.values()))))
    ax.set(xlabel="epoch", ylabel="validation accuracy (%)", title=f"{title}, {seeds}")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    save_figure(fig, path)


def draw_shifts(
    path: Path, runs: dict[str, dict], shifted: dict[str, list[list[float]]], title: str
) -> None:
    """Draw the test accuracy of each network, with its parameters, and accuracy against shift.

    `runs` has the summary of each, `shifted` a list of accuracies a seed. On the left a small mark
    is a seed, a large one the mean; bars on the right reach over one deviation of the seeds.
    """
    fig, (ax, ax_shift) = new_figure(1, 2, (11, 4.5), width_ratios=(2, 3))
    for number, (name, accuracies) in enumerate(shifted.items()):
        percent = 100 * np.array(accuracies)  # (seeds, shifts)
        look = {"color": COLORS[number], "marker": MARKERS[number]}
        ax.plot(percent[:, 0], [number] * len(percent), **look, alpha=0.4, linestyle="")
        ax.plot(percent[:, 0].mean(), number, **look, markersize=11)
        spread = percent.std(axis=0, ddof=1) if len(percent) > 1 else None
        look |= {"capsize": 3, "linestyle": STYLES[number]}
        ax_shift.errorbar(SHIFTS, percent.mean(axis=0), spread, label=LABELS[name], **look)
    names = [f"{LABELS[name]}\n{run['parameters']:,} parameters" for name, run in runs.items()]
    ax.set_yticks(range(len(names)), names)
    ax.set(
        xlabel="test accuracy (%)", title="Test images as they are", ylim=(len(names) - 0.5, -0.5)
    )
    ax_shift.set(
        xlabel="shift (pixels; mean of up, down, left and right)",
        ylabel="test accuracy (%)",
        title="Trained on images as they are, tested on shifted ones",
        xticks=SHIFTS,
    )
    ax_shift.legend()
    fig.suptitle(f"{title}, {_seeds(len(shifted['max']))}")
    save_figure(fig, path)


def _draw_seeds(ax, outcomes: list[Outcome], column: str, label: str, look: dict) -> None:
    """Draw one line a seed; the first is the one in the legend, the others are paler."""
    for number, outcome in enumerate(outcomes):
        rows = outcome.history.rows
        values = np.array([row[column] for row in rows]) * (100 if column.endswith("acc") else 1)
        pale = {"alpha": 0.35} if number else {"label": label}
        ax.plot([row["epoch"] for row in rows], values, **pale, **look)


def _seeds(number: int) -> str:
    return "one seed" if number == 1 else f"{number} seeds"
