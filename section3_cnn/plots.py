"""The figures of this section's training scripts."""

from pathlib import Path

import numpy as np

from section3_cnn.fit import Fit
from shared_utils.plotting import COLORS, MARKERS, new_figure, save_figure, show_figures

__all__ = ["draw_comparison", "draw_curves", "draw_shifts", "show_figures"]

_QUANTITIES = {"loss": "mean cross-entropy (nats)", "acc": "accuracy (%)"}
_PARTS = {"train": ("training", "--"), "val": ("validation", "-")}
_POOLS = {"max": "max pooling", "avg": "average pooling"}


def draw_curves(folder: Path, fits: list[Fit], title: str, prefix: str = "") -> None:
    """Write curves_loss.png and curves_acc.png: training and validation, a line a seed."""
    for quantity in _QUANTITIES:
        fig, ax = _curve_axes(quantity, title, len(fits))
        for number, (part, (name, style)) in enumerate(_PARTS.items()):
            look = {"color": COLORS[number], "marker": MARKERS[number], "linestyle": style}
            _draw_seeds(ax, fits, part, quantity, name, look)
        ax.legend()
        save_figure(fig, folder / f"{prefix}curves_{quantity}.png")


def draw_comparison(folder: Path, fits: dict[str, list[Fit]], title: str) -> None:
    """Write both_curves_loss.png and both_curves_acc.png: max and average in one figure."""
    for quantity in _QUANTITIES:
        fig, ax = _curve_axes(quantity, title, len(fits["max"]))
        for number, (pool, of_arm) in enumerate(fits.items()):
            look = {"color": COLORS[number], "marker": MARKERS[number]}
            for part, (name, style) in _PARTS.items():
                label = f"{_POOLS[pool]}, {name}"
                _draw_seeds(ax, of_arm, part, quantity, label, look | {"linestyle": style})
        ax.legend()
        save_figure(fig, folder / f"both_curves_{quantity}.png")


def draw_shifts(path: Path, shifts: tuple[int, ...], shifted: dict, title: str) -> None:
    """Draw accuracy against the shift for each pool; bars reach over one deviation of the seeds."""
    fig, ax = new_figure()
    for number, (pool, accuracies) in enumerate(shifted.items()):
        percent = 100 * np.array(accuracies)  # (seeds, shifts)
        spread = percent.std(axis=0, ddof=1) if len(percent) > 1 else None
        look = {"color": COLORS[number], "marker": MARKERS[number], "capsize": 3}
        ax.errorbar(shifts, percent.mean(axis=0), spread, label=_POOLS[pool], **look)
    seeds = len(shifted["max"])
    ax.set(
        xlabel="shift (pixels; mean of up, down, left and right)",
        ylabel="test accuracy (%)",
        title=f"Trained on centred digits, tested on shifted ones\n{title}, {_seeds(seeds)}",
        xticks=shifts,
    )
    ax.legend()
    save_figure(fig, path)


def _curve_axes(quantity: str, title: str, seeds: int):
    fig, ax = new_figure()
    if quantity == "loss":
        ax.set_yscale("log")
    ax.set(xlabel="epoch", ylabel=_QUANTITIES[quantity], title=f"{title}, {_seeds(seeds)}")
    ax.xaxis.get_major_locator().set_params(integer=True)
    return fig, ax


def _draw_seeds(ax, fits: list[Fit], part: str, quantity: str, label: str, look: dict) -> None:
    """Draw one line a seed; the first is the one in the legend, the others are paler."""
    for number, fit in enumerate(fits):
        epochs = [row["epoch"] for row in fit.history]
        values = np.array([row[f"{part}_{quantity}"] for row in fit.history])
        if quantity == "acc":
            values = 100 * values
        first = number == 0
        ax.plot(epochs, values, alpha=1 if first else 0.35, label=label if first else None, **look)


def _seeds(number: int) -> str:
    return "one seed" if number == 1 else f"{number} seeds"
