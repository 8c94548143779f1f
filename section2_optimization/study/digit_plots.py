"""The figures of the experiments on digits: means over the seeds, and their range as a band."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from section2_optimization.study.digit_experiments import (
    BATCH_SIZES,
    NORMS,
    Searches,
    best_lrs,
)
from shared_utils.plotting import COLORS, MARKERS, new_figure, save_figure

LOOKS = {norm: {"color": COLORS[i], "marker": MARKERS[i]} for i, norm in enumerate(NORMS)}
SPLITS = {"train": "training", "val": "validation"}
SPLIT_LOOKS = {split: {"color": COLORS[i], "marker": MARKERS[i]} for i, split in enumerate(SPLITS)}
METRICS = {"acc": "accuracy", "loss": "loss"}


def draw_norms(path: Path, found: Searches, title: str, *, xlabel: str) -> None:
    """Draw accuracies of each normalisation along an axis, training and validation beside."""
    fig, axes = new_figure(1, 2, size=(10, 4.2), sharey=True)
    for norm in dict.fromkeys(norm for norm, _ in found):
        places = [place for line, place in found if line == norm]
        searches = [found[norm, place] for place in places]
        for ax, split in zip(axes, SPLITS, strict=True):
            values = [search.final(f"{split}_acc")[search.chosen] for search in searches]
            _line(ax, places, values, label=NORMS[norm], **LOOKS[norm])
            lost = [
                (p, np.mean(v))
                for p, v, s in zip(places, values, searches, strict=True)
                if s.diverged
            ]
            ax.plot(*np.reshape(lost, (-1, 2)).T, ls="", mfc="w", zorder=3, **LOOKS[norm])
    for ax, words in zip(axes, SPLITS.values(), strict=True):
        ax.set(title=f"{words} set", xlabel=xlabel, xscale="log")
        ax.set_xticks(places, [f"{place:g}" for place in places], minor=False)
        ax.minorticks_off()
    axes[0].set_ylabel("accuracy at the best rate")
    axes[0].legend()
    lost = any(search.diverged for search in found.values())
    _title(fig, found, title, "hollow: a seed diverged, counted as guessing" if lost else "")
    save_figure(fig, path)


def draw_overfitting(path: Path, found: Searches, title: str) -> None:
    """Draw accuracy and loss: by epoch with neither, by dropout, by decay."""
    fig, axes = new_figure(2, 3, size=(11, 6.4), sharex="col", sharey="row")
    nothing = found["neither",]
    (networks,) = nothing.rows
    epochs = [row["epoch"] for row in networks[0]]
    for row, metric in zip(axes, METRICS, strict=True):
        for split, words in SPLITS.items():
            key, look = f"{split}_{metric}", SPLIT_LOOKS[split]
            course = np.array([[row[key] for row in rows] for rows in networks]).T
            _line(row[0], epochs, course, label=words, markevery=4, **look)
            for ax, name in zip(row[1:], ("dropout", "weight_decay"), strict=True):
                search = found[name,]
                strengths = [getattr(setting, name) for setting in search.settings]
                _line(ax, strengths, search.final(key), label=words, **look)
                without = nothing.final(key).mean()
                ax.axhline(without, color=look["color"], ls="--", lw=1.2)
        row[0].set_ylabel(METRICS[metric])
    axes[1, 0].set_ylim(bottom=0)
    axes[0, 0].legend(loc="lower right")
    axes[0, 2].set_xscale("log")
    for ax, words in zip(axes[0], ("neither", "dropout", "weight decay"), strict=True):
        ax.set_title(words)
    for ax, words in zip(axes[1], ("epoch", "probability", "lambda"), strict=True):
        ax.set_xlabel(words)
    _title(fig, found, title, "dashed: with neither")
    save_figure(fig, path)


def draw_learning_rates(path: Path, found: Searches, title: str) -> None:
    """Draw the validation loss against the rate for each batch size, and the best rates."""
    fig, (left, right) = new_figure(1, 2, size=(10, 4.2))
    for i, ((size,), search) in enumerate(found.items()):
        look = {"color": COLORS[i], "marker": MARKERS[i]}
        lrs, losses = [s.lr for s in search.settings], search.final("val_loss")
        _line(left, lrs, losses, label=f"batches of {size}", **look)
        left.plot(search.setting.lr, losses[search.chosen].mean(), "o", ms=12, mfc="none", mec="k")
        best = best_lrs(search)
        beside = size * 1.07 ** (np.arange(len(best)) - (len(best) - 1) / 2)
        right.plot(beside, best, ls="", alpha=0.4, **look)
        right.plot(size, search.setting.lr, "o", ms=12, mfc="none", mec="k")
    lowest = min(np.nanmin(search.final("val_loss")) for search in found.values())
    left.set(xlabel="learning rate", ylabel="validation loss", xscale="log", yscale="log")
    left.set_ylim(0.8 * lowest, 8)
    left.set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    left.yaxis.minorticks_off()
    left.legend(fontsize=9, ncols=2, loc="upper left")
    _slopes(right, found)
    _title(fig, found, title, "ring: the chosen rate; faint: of one seed")
    save_figure(fig, path)


def _slopes(ax, found: Searches) -> None:
    """Draw the two rules of thumb through the first chosen rate."""
    sizes = np.array(BATCH_SIZES)
    first = found[BATCH_SIZES[0],].setting.lr
    for power, style, words in ((1, "--", "in proportion"), (0.5, ":", "as the root")):
        lrs = first * (sizes / sizes[0]) ** power
        ax.plot(sizes, lrs, ls=style, color="k", lw=1.2, label=words)
    ax.set(xlabel="batch size", ylabel="best learning rate", xscale="log", yscale="log")
    ax.set_xticks(sizes, sizes)
    ax.minorticks_off()
    ax.legend(fontsize=9)


def _line(ax, places: Iterable[float], values, **look) -> None:
    """Draw values (places, seeds): the mean, and the range as a band; none that is infinite."""
    values = np.array(values)
    values = np.where(np.isfinite(values).all(axis=1, keepdims=True), values, np.nan)
    ax.plot(places, values.mean(axis=1), **look)
    low, high = values.min(axis=1), values.max(axis=1)
    ax.fill_between(places, low, high, color=look["color"], alpha=0.15, lw=0)


def _title(fig, found: Searches, title: str, more: str = "") -> None:
    seeds = len(next(iter(found.values())).tests)
    fig.suptitle("; ".join(filter(None, (f"{title}, mean and range over {seeds} seeds", more))))


DRAW = {
    "weight-scale": partial(draw_norms, xlabel="initial weights / those of He et al."),
    "batch-size": partial(draw_norms, xlabel="batch size"),
    "overfitting": draw_overfitting,
    "learning-rate": draw_learning_rates,
}
