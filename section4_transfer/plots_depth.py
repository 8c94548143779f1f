"""Figures of the study of depth and shortcuts."""

from pathlib import Path

import numpy as np

from section4_transfer.results import Outcome, describe_arm
from shared_utils.plotting import (
    COLORS,
    MARKERS,
    SEQUENTIAL,
    new_figure,
    save_figure,
    show_figures,
)

__all__ = ["draw_all", "show_figures"]

Arms = dict[str, list[Outcome]]


def draw_all(folder: Path, arms: Arms, depths: list[int], title: str) -> None:
    """Draw every figure into `folder`; `title` names the data."""
    curves(folder / "curves.png", arms, depths, title)
    first_gradient(folder / "gradient_first_layer.png", arms, depths, title)
    gradient_map(folder / "gradient_map.png", arms, title)
    error_against_depth(folder / "error_against_depth.png", arms, depths, title)
    test_error(folder / "test_error.png", arms, depths, title)


def curves(path: Path, arms: Arms, depths: list[int], title: str) -> None:
    """Training loss and validation accuracy by epoch, first seed."""
    fig, axes = new_figure(1, 2, (10, 4.2))
    for arm, outcomes in arms.items():
        history = outcomes[0].fit.history
        epochs = [row["epoch"] for row in history]
        style = _style(arm, depths)
        axes[0].plot(epochs, [row["train_loss"] for row in history], label=arm, **style)
        axes[1].plot(epochs, [100 * row["val_acc"] for row in history], label=arm, **style)
    axes[0].set(xlabel="epoch", ylabel="training loss (nats)", title="Training loss")
    axes[1].set(xlabel="epoch", ylabel="accuracy (%)", title="Validation accuracy")
    for ax in axes:
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[0].legend()
    fig.suptitle(f"With and without shortcuts: {title}")
    save_figure(fig, path)


def first_gradient(path: Path, arms: Arms, depths: list[int], title: str) -> None:
    """The gradient that reaches the first convolution, averaged over each epoch, first seed."""
    fig, ax = new_figure()
    for arm, outcomes in arms.items():
        norms = [layers[0] for layers in outcomes[0].fit.gradient_norms]
        ax.plot(range(1, len(norms) + 1), norms, label=arm, **_style(arm, depths))
    ax.set(
        xlabel="epoch",
        ylabel="mean norm of the gradient",
        yscale="log",
        title=f"Gradient at the first convolution: {title}",
    )
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    save_figure(fig, path)


def gradient_map(path: Path, arms: Arms, title: str) -> None:
    """Gradient norm by layer and epoch, the twins of the greatest depth on one colour scale."""
    from matplotlib.colors import LogNorm

    deepest = max(int(arm.split("-")[1]) for arm in arms)  # of those that did not diverge
    names = [name for name in (f"resnet-{deepest}", f"plain-{deepest}") if name in arms]
    maps = [np.array(arms[name][0].fit.gradient_norms).T for name in names]
    floor = min(values[values > 0].min() for values in maps)
    norm = LogNorm(floor, max(values.max() for values in maps))
    fig, axes = new_figure(1, len(maps), (10, 4.5), sharey=True, squeeze=False)
    for ax, name, values in zip(axes[0], names, maps, strict=True):
        layers, epochs = values.shape
        extent = (0.5, epochs + 0.5, layers + 0.5, 0.5)
        shown = ax.imshow(
            values.clip(floor), aspect="auto", cmap=SEQUENTIAL, norm=norm, extent=extent
        )
        ax.set(title=name, xlabel="epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(False)
    axes[0, 0].set_ylabel("layer, from the input")
    axes[0, 0].yaxis.get_major_locator().set_params(integer=True)
    fig.colorbar(shown, ax=axes, label="mean norm of the gradient")
    fig.suptitle(f"Gradient flow: {title}")
    save_figure(fig, path)


def error_against_depth(path: Path, arms: Arms, depths: list[int], title: str) -> None:
    """Training and test error by depth: degradation, and its cure; means over seeds."""
    fig, axes = new_figure(1, 2, (10, 4.2), sharex=True)
    for color, marker, kind in zip(COLORS, MARKERS, ("resnet", "plain"), strict=False):
        there = [depth for depth in depths if f"{kind}-{depth}" in arms]
        groups = [arms[f"{kind}-{depth}"] for depth in there]
        train = [[100 - 100 * o.fit.history[-1]["train_acc"] for o in group] for group in groups]
        test = [[100 - 100 * o.correct.mean() for o in group] for group in groups]
        for ax, errors in zip(axes, (train, test), strict=True):
            means = [np.mean(values) for values in errors]
            ax.plot(there, means, label=kind, color=color, marker=marker)
            for depth, values in zip(there, errors, strict=True):
                if len(values) > 1:
                    ax.plot([depth] * len(values), values, ".", color=color, alpha=0.5)
    for ax, which in zip(axes, ("Training (last epoch)", "Test"), strict=True):
        ax.set(xlabel="depth (layers)", ylabel="error (%)", title=which, xticks=depths)
    axes[0].legend()
    fig.suptitle(f"Error against depth: {title}")
    save_figure(fig, path)


def test_error(path: Path, arms: Arms, depths: list[int], title: str) -> None:
    """Test error of every arm's first seed with its 95 % interval."""
    fig, ax = new_figure(size=(7, 1.6 + 0.5 * len(arms)))
    for place, (arm, outcomes) in enumerate(arms.items()):
        described = describe_arm(outcomes)
        low, high = (100 - 100 * bound for bound in reversed(described["test_ci95"]))
        error = 100 - 100 * described["test_acc"]
        style = _style(arm, depths) | {"linestyle": "none"}
        ax.errorbar(error, place, xerr=[[error - low], [high - error]], capsize=4, **style)
    ax.set(
        xlabel="test error (%), 95 % interval",
        yticks=range(len(arms)),
        yticklabels=list(arms),
        ylim=(len(arms) - 0.5, -0.5),
        title=f"Test error: {title}",
    )
    save_figure(fig, path)


def _style(arm: str, depths: list[int]) -> dict:
    """Colour and marker tell the depth, the line's style the kind."""
    kind, depth = arm.split("-")
    place = depths.index(int(depth)) * (2 if len(depths) == 1 else 1)
    if len(depths) == 1:
        place += kind == "plain"
    return {
        "color": COLORS[place % len(COLORS)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": "-" if kind == "resnet" else "--",
    }
