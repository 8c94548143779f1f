"""The figures of the comparison. Each optimizer has one colour and one marker in all of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from section2_optimization.comparison import ARMS, Trial, best_rate
from section2_optimization.schedules import SCHEDULES, make_schedule
from section2_optimization.toy_data import ToyData
from shared_utils.plotting import COLORS, MARKERS, new_figure, save_figure

NAMES = {
    "gd": "gradient descent",
    "sgd": "SGD",
    "momentum": "momentum",
    "nesterov": "Nesterov",
    "rmsprop": "RMSprop",
    "adam": "Adam",
    "adamw": "AdamW",
}
PANELS = {
    "train_loss": ("training loss", "log"),
    "val_acc": ("validation accuracy", "linear"),
    "grad_norm": ("norm of the gradient", "log"),
    "param_norm": ("norm of the parameters", "linear"),
}
ByRate = Mapping[float, list[Trial]]


def style(arm: str) -> dict:
    """Return the colour and the marker that belong to an arm."""
    index = ARMS.index(arm)
    return {"color": COLORS[index], "marker": MARKERS[index]}


def draw_curves(path: Path, data: ToyData, trials: Mapping[str, ByRate]) -> None:
    """Draw loss, accuracy and the two norms over the epochs, each arm at its chosen rate."""
    fig, axes = new_figure(2, 2, size=(10, 7.5), sharex=True)
    seeds = 1
    for arm, by_rate in trials.items():
        lr = best_rate(by_rate)
        chosen = [trial for trial in by_rate[lr] if not trial.diverged]
        if not chosen:
            continue
        seeds = len(chosen)
        for ax, key in zip(axes.flat, PANELS, strict=True):
            _curve(ax, chosen, key, label=f"{NAMES[arm]}, lr {lr:g}", **style(arm))
    for ax, (label, scale) in zip(axes.flat, PANELS.values(), strict=True):
        ax.set_yscale(scale)
        ax.set_ylabel(label)
    for ax in axes[1]:
        ax.set_xlabel("epoch")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    fig.suptitle(f"{data.name} (generated): mean and range over {seeds} seeds")
    save_figure(fig, path)


def draw_boundaries(path: Path, results: Sequence[tuple[ToyData, Mapping[str, ByRate]]]) -> None:
    """Draw how the first seed's networks divide the plane: a row a data set, a column an arm."""
    arms = list(results[0][1])
    size = (max(6, 1.5 * len(arms) + 0.5), 1.5 * len(results) + 0.8)
    fig, axes = new_figure(len(results), len(arms), size=size, squeeze=False)
    for row, (data, trials) in zip(axes, results, strict=True):
        low, high = data.x_test.min(axis=0) - 0.3, data.x_test.max(axis=0) + 0.3
        grid = np.meshgrid(*(np.linspace(a, b, 70) for a, b in zip(low, high, strict=True)))
        points = np.stack([axis.ravel() for axis in grid], axis=1).astype(np.float32)
        for ax, by_rate in zip(row, trials.values(), strict=True):
            trial = by_rate[best_rate(by_rate)][0]
            ax.set(xticks=[], yticks=[])
            if trial.diverged:
                ax.set_xlabel("diverged")
                continue
            logits = trial.model.forward(points)
            margin = np.tanh((logits[:, 1] - logits[:, 0]) / 2).reshape(grid[0].shape)
            ax.contourf(*grid, margin, levels=np.linspace(-1, 1, 9), cmap="RdBu_r", alpha=0.7)
            if margin.min() < 0 < margin.max():
                ax.contour(*grid, margin, levels=[0], colors="k", linewidths=1)
            for label, marker in enumerate("os"):
                ax.scatter(
                    *data.x_test[:200][data.y_test[:200] == label].T,
                    s=4, marker=marker, c=("#053061", "#67001f")[label],
                )  # fmt: skip
            ax.grid(False)
        row[0].set_ylabel(data.name)
    for ax, arm in zip(axes[0], arms, strict=True):
        ax.set_title(NAMES[arm], fontsize=11)
    fig.suptitle("Decision boundaries of the first seed, with 200 test points (generated data)")
    save_figure(fig, path)


def draw_sensitivity(path: Path, results: Sequence[tuple[ToyData, Mapping[str, ByRate]]]) -> None:
    """Draw the final training loss against the rate; a ring marks the rate that was chosen."""
    cols = min(2, len(results))
    rows = -(-len(results) // cols)
    fig, axes = new_figure(rows, cols, size=(5.2 * cols + 0.5, 3.7 * rows + 0.6), squeeze=False)
    for ax, (data, trials) in zip(axes.flat, results, strict=False):
        for arm, by_rate in trials.items():
            final = {
                lr: [trial.final("train_loss") for trial in of_rate]
                for lr, of_rate in by_rate.items()
                if not any(trial.diverged for trial in of_rate)
            }
            if not final:
                continue
            values = np.array(list(final.values()))
            ax.loglog(list(final), values.mean(axis=1), label=NAMES[arm], **style(arm))
            ax.fill_between(
                list(final), values.min(axis=1), values.max(axis=1),
                color=style(arm)["color"], alpha=0.15, lw=0,
            )  # fmt: skip
            chosen = best_rate(by_rate)
            if chosen in final:
                ax.plot(chosen, np.mean(final[chosen]), "o", ms=12, mfc="none", mec="k")
        ax.set_title(f"{data.name} (generated)")
        ax.set_xlabel("learning rate")
        ax.set_ylabel("final training loss")
    for ax in axes.flat[len(results) :]:
        ax.set_axis_off()
    axes[0, 0].legend(fontsize=8)
    fig.suptitle("Mean and range over the seeds; ring: the rate chosen on validation")
    save_figure(fig, path)


def draw_schedules(
    path: Path, data: ToyData, arm: str, trials: Mapping[str, ByRate], steps: int
) -> None:
    """Draw the schedules, and the training loss under each at its chosen peak rate."""
    fig, (left, right) = new_figure(1, 2, size=(11, 4.6))
    t = np.arange(steps)
    for name, by_rate in trials.items():
        index = SCHEDULES.index(name)
        look = {"color": COLORS[index], "marker": MARKERS[index]}
        rate = make_schedule(name, 1.0, steps)
        every = max(1, steps // 10)
        left.plot(t, [rate(step) for step in t], label=name, markevery=every, **look)
        lr = best_rate(by_rate)
        chosen = [trial for trial in by_rate[lr] if not trial.diverged]
        if chosen:
            _curve(right, chosen, "train_loss", label=f"{name}, peak lr {lr:g}", **look)
    left.set_xlabel("step")
    left.set_ylabel("learning rate / peak")
    left.legend(fontsize=9)
    right.set_yscale("log")
    right.set_xlabel("epoch")
    right.set_ylabel("training loss")
    right.legend(fontsize=9)
    fig.suptitle(f"Schedules, and their effect with {NAMES[arm]} on {data.name} (generated)")
    save_figure(fig, path)


def _curve(ax, trials: list[Trial], key: str, label: str, **look) -> None:
    epochs = [row["epoch"] for row in trials[0].history]
    values = np.array([[row[key] for row in trial.history] for trial in trials])
    ax.plot(epochs, values.mean(axis=0), label=label, markevery=3, **look)
    if len(trials) > 1:
        low, high = values.min(axis=0), values.max(axis=0)
        ax.fill_between(epochs, low, high, color=look["color"], alpha=0.15, lw=0)
