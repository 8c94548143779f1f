"""The figures of the comparison. Each optimizer has one colour and one marker in all of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from section2_optimization.schedules import SCHEDULES, make_schedule
from section2_optimization.study.comparison import (
    METHODS,
    Trial,
    TrialsByLr,
    TrialsByName,
    best_lr,
    chosen_trials,
    final_train_losses,
)
from section2_optimization.study.toy_data import ToyData
from shared_utils.plotting import COLORS, DIVERGING, MARKERS, new_figure, save_figure

LABELS = {
    "gd": "gradient descent",
    "sgd": "SGD",
    "momentum": "momentum",
    "nesterov": "Nesterov",
    "rmsprop": "RMSprop",
    "adam": "Adam",
    "adamw": "AdamW",
}
FAMILIES = {  # a column of the curves each: more than three curves in one panel are a tangle
    "the gradient alone": ("gd", "sgd"),
    "with a velocity": ("momentum", "nesterov"),
    "adaptive": ("rmsprop", "adam", "adamw"),
}
MEASURED = {
    "train_loss": ("training loss", "log"),
    "val_acc": ("validation accuracy", "linear"),
    "grad_norm": ("norm of the gradient", "log"),
    "param_norm": ("norm of the parameters", "linear"),
}
POINT_COLORS = ("#053061", "#67001f")  # of the two classes: the ends of DIVERGING


def draw_all(
    folder: Path,
    results: Sequence[tuple[ToyData, TrialsByName]],
    schedules: TrialsByName,
    steps: int,
) -> None:
    """Draw all figures of the comparison; `steps` is how many an optimizer took in a training."""
    for data, trials in results:
        draw_curves(folder / f"curves_{data.name}.png", data, trials)
    draw_boundaries(folder / "boundaries.png", results)
    draw_sensitivity(folder / "sensitivity.png", results)
    draw_schedules(folder / "schedules.png", results[-1][0], schedules, steps)


def style(method: str) -> dict:
    """Return the colour and the marker that belong to a method."""
    index = list(METHODS).index(method)
    return {"color": COLORS[index], "marker": MARKERS[index]}


def draw_curves(path: Path, data: ToyData, trials: TrialsByName) -> None:
    """Draw loss, accuracy and norms by epoch, each method at its chosen rate, a column a family."""
    chosen = {method: chosen_trials(by_lr) for method, by_lr in trials.items()}
    families = {
        title: [method for method in methods if chosen.get(method)]
        for title, methods in FAMILIES.items()
    }
    families = {title: methods for title, methods in families.items() if methods}
    if not families:
        return
    size, rows = (3.6 * len(families) + 0.8, 9.5), len(MEASURED)
    fig, axes = new_figure(rows, len(families), size=size, sharex=True, sharey="row", squeeze=False)
    for column, (title, methods) in zip(axes.T, families.items(), strict=True):
        for method in methods:
            label = f"{LABELS[method]}, lr {best_lr(trials[method]):g}"
            for ax, measured in zip(column, MEASURED, strict=True):
                _curve(ax, chosen[method], measured, label=label, **style(method))
        column[0].set_title(title)
        column[0].legend(fontsize=9, loc="lower left")
        column[-1].set_xlabel("epoch")
    for ax, (label, scale) in zip(axes[:, 0], MEASURED.values(), strict=True):
        ax.set_yscale(scale)
        ax.set_ylabel(label)
    seeds = max(map(len, chosen.values()))
    fig.suptitle(f"{data.name} (generated): mean and range over the seeds ({seeds})")
    save_figure(fig, path)


def draw_boundaries(path: Path, results: Sequence[tuple[ToyData, TrialsByName]]) -> None:
    """Draw how the first seed's networks divide the plane: a row a data set, a column a method."""
    methods = list(results[0][1])
    size = (max(6, 1.5 * len(methods) + 0.5), 1.5 * len(results) + 0.8)
    fig, axes = new_figure(len(results), len(methods), size=size, squeeze=False)
    for row, (data, trials) in zip(axes, results, strict=True):
        for ax, by_lr in zip(row, trials.values(), strict=True):
            _draw_boundary(ax, data, by_lr[best_lr(by_lr)][0])
        row[0].set_ylabel(data.name)
    for ax, method in zip(axes[0], methods, strict=True):
        ax.set_title(LABELS[method], fontsize=11)
    fig.suptitle("Decision boundaries of the first seed, with 200 test points (generated data)")
    save_figure(fig, path)


def _draw_boundary(ax, data: ToyData, trial: Trial) -> None:
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    if trial.diverged:
        ax.set_xlabel("diverged")
        return
    low, high = data.x_test.min(axis=0) - 0.3, data.x_test.max(axis=0) + 0.3
    grid = np.meshgrid(*(np.linspace(a, b, 70) for a, b in zip(low, high, strict=True)))
    points = np.stack([axis.ravel() for axis in grid], axis=1).astype(np.float32)
    logits = trial.model.forward(points)
    margin = np.tanh((logits[:, 1] - logits[:, 0]) / 2).reshape(grid[0].shape)
    ax.contourf(*grid, margin, levels=np.linspace(-1, 1, 9), cmap=DIVERGING, alpha=0.7)
    if margin.min() < 0 < margin.max():
        ax.contour(*grid, margin, levels=[0], colors="k", linewidths=1)
    # Light circles and dark squares: in grey, both halves of the plane look alike.
    for label, (marker, inside) in enumerate((("o", "w"), ("s", POINT_COLORS[1]))):
        points = data.x_test[:200][data.y_test[:200] == label]
        ax.scatter(*points.T, s=7, marker=marker, fc=inside, ec=POINT_COLORS[label], lw=0.6)


def draw_sensitivity(path: Path, results: Sequence[tuple[ToyData, TrialsByName]]) -> None:
    """Draw the final training loss against the rate; a ring marks the rate that was chosen."""
    cols = min(2, len(results))
    rows = -(-len(results) // cols)
    fig, axes = new_figure(rows, cols, size=(5.2 * cols + 0.5, 3.7 * rows + 0.6), squeeze=False)
    for ax, (data, trials) in zip(axes.flat, results, strict=False):
        for method, by_lr in trials.items():
            _draw_valley(ax, method, by_lr)
        ax.set_title(f"{data.name} (generated)")
        ax.set_xlabel("learning rate")
        ax.set_ylabel("final training loss")
    for ax in axes.flat[len(results) :]:
        ax.set_axis_off()
    axes[0, 0].legend(fontsize=8)
    fig.suptitle("Mean and range over the seeds; ring: the rate chosen on validation")
    save_figure(fig, path)


def _draw_valley(ax, method: str, by_lr: TrialsByLr) -> None:
    final = final_train_losses(by_lr)
    if not final:
        return
    lrs, values = list(final), np.array(list(final.values()))
    low, high = values.min(axis=1), values.max(axis=1)
    ax.loglog(lrs, values.mean(axis=1), label=LABELS[method], **style(method))
    ax.fill_between(lrs, low, high, color=style(method)["color"], alpha=0.15, lw=0)
    chosen = best_lr(by_lr)
    if chosen in final:
        ax.plot(chosen, np.mean(final[chosen]), "o", ms=12, mfc="none", mec="k")


def draw_schedules(path: Path, data: ToyData, trials: TrialsByName, steps: int) -> None:
    """Draw the schedules, and the training loss under each at its chosen peak rate."""
    fig, (left, right) = new_figure(1, 2, size=(11, 4.6))
    t = np.arange(steps)
    for name, by_lr in trials.items():
        index = SCHEDULES.index(name)
        look = {"color": COLORS[index], "marker": MARKERS[index]}
        if name == "constant":
            look |= {"ls": "--", "zorder": 3}  # over the others, which lie on it for a while
        lr_at = make_schedule(name, 1.0, steps)
        every = max(1, steps // 10)
        left.plot(t, [lr_at(step) for step in t], label=name, markevery=every, **look)
        if chosen := chosen_trials(by_lr):
            label = f"{name}, peak lr {best_lr(by_lr):g}"
            _curve(right, chosen, "train_loss", label=label, **look)
    left.set_xlabel("step")
    left.set_ylabel("learning rate / peak")
    left.legend(fontsize=9)
    right.set_yscale("log")
    right.set_xlabel("epoch")
    right.set_ylabel("training loss")
    right.legend(fontsize=9)
    fig.suptitle(f"Schedules, and their effect with momentum on {data.name} (generated)")
    save_figure(fig, path)


def _curve(ax, trials: list[Trial], key: str, label: str, **look) -> None:
    epochs = [row["epoch"] for row in trials[0].history]
    values = np.array([[row[key] for row in trial.history] for trial in trials])
    ax.plot(epochs, values.mean(axis=0), label=label, markevery=3, **look)
    if len(trials) > 1:
        low, high = values.min(axis=0), values.max(axis=0)
        ax.fill_between(epochs, low, high, color=look["color"], alpha=0.15, lw=0)
