"""Figures of the study of depth and shortcuts."""

from pathlib import Path

import numpy as np

from section4_transfer.study.variants import Groups
from section4_transfer.study.verdicts import training_error
from shared_utils.plotting import COLORS, MARKERS, SEQUENTIAL, new_figure, save_figure
from shared_utils.runs.outcomes import Outcome, summarize


def draw_all(folder: Path, groups: Groups, depths: list[int], title: str) -> None:
    """Draw every figure into `folder`; `title` names the data."""
    curves(folder / "curves.png", groups, depths, title)
    first_gradient(folder / "gradient_first_layer.png", groups, depths, title)
    gradient_at_start(folder / "gradient_at_start.png", groups, depths, title)
    gradient_map(folder / "gradient_map.png", groups, title)
    error_against_depth(folder / "error_against_depth.png", groups, depths, title)
    test_error(folder / "test_error.png", groups, depths, title)


def curves(path: Path, groups: Groups, depths: list[int], title: str) -> None:
    """Training and validation error by epoch, first seed."""
    fig, axes = new_figure(1, 2, (10, 4.2))
    for name, outcomes in groups.items():
        rows = outcomes[0].history.rows
        epochs = [row["epoch"] for row in rows]
        for ax, part in zip(axes, ("train", "val"), strict=True):
            errors = [100 - 100 * row[f"{part}_acc"] for row in rows]
            ax.plot(epochs, errors, label=name, **_style(name, depths))
    axes[0].set(xlabel="epoch", ylabel="error on augmented images (%)", title="Training error")
    axes[1].set(xlabel="epoch", ylabel="error (%)", title="Validation error")
    for ax in axes:
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[0].legend()
    fig.suptitle(f"With and without shortcuts: {title}")
    save_figure(fig, path)


def first_gradient(path: Path, groups: Groups, depths: list[int], title: str) -> None:
    """The gradient that reaches the first convolution, by epoch, first seed."""
    fig, ax = new_figure()
    for name, outcomes in groups.items():
        norms = _gradient_norms(outcomes[0])[0]
        ax.plot(range(len(norms)), norms, label=name, **_style(name, depths))
    ax.set(
        xlabel="epoch (0: before the first step)",
        ylabel="mean norm of the weights' gradient",
        yscale="log",
        title=f"Gradient at the first convolution: {title}",
    )
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    save_figure(fig, path)


def gradient_at_start(path: Path, groups: Groups, depths: list[int], title: str) -> None:
    """Gradient norm by layer before the first step, first seed; the head is left out."""
    fig, ax = new_figure()
    for name, outcomes in groups.items():
        norms = _gradient_norms(outcomes[0])[:-1, 0]
        place = np.linspace(0, 1, len(norms))
        style = _style(name, depths) | {"markevery": 0.1}
        ax.plot(place, norms, label=name, **style)
    ax.set(
        xlabel="depth of the convolution: 0 the first, 1 the last",
        ylabel="norm of the weights' gradient",
        yscale="log",
        title=f"Gradients before the first step: {title}",
    )
    ax.legend()
    save_figure(fig, path)


def gradient_map(path: Path, groups: Groups, title: str) -> None:
    """Gradient norm by layer and epoch, twins of least and greatest depth, on one colour scale.

    Epoch 0 is the first step, in which the weights are the initial ones.
    """
    from matplotlib.colors import LogNorm

    there = [int(name.split("-")[1]) for name in groups]  # those that did not diverge
    shown = sorted({min(there), max(there)})
    names = [f"{kind}-{depth}" for depth in shown for kind in ("resnet", "plain")]
    maps = {name: _gradient_norms(groups[name][0]) for name in names if name in groups}
    # Images of one colour give no gradient at all, and zero has no place on this scale.
    floor = min((v[v > 0].min() for v in maps.values() if v.any()), default=1.0)
    norm = LogNorm(floor, max(floor, *(values.max() for values in maps.values())))
    fig, axes = new_figure(1, len(maps), (5 * len(shown), 4.5), squeeze=False)
    for ax, (name, values) in zip(axes[0], maps.items(), strict=True):
        layers, columns = values.shape
        extent = (-0.5, columns - 0.5, layers + 0.5, 0.5)
        image = ax.imshow(
            values.clip(floor), aspect="auto", cmap=SEQUENTIAL, norm=norm, extent=extent
        )
        ax.axvline(0.5, color="white", linewidth=3)  # what is behind it has learned
        ax.set(title=name, xlabel="epoch (0: before)")
        for axis in (ax.xaxis, ax.yaxis):
            axis.get_major_locator().set_params(integer=True)
        ax.grid(False)
    axes[0, 0].set_ylabel("layer, from the input")
    fig.colorbar(image, ax=axes, label="mean norm of the weights' gradient")
    fig.suptitle(f"Gradients by layer: {title}")
    save_figure(fig, path)


def error_against_depth(path: Path, groups: Groups, depths: list[int], title: str) -> None:
    """Training and test error by depth: degradation, and its cure; means over seeds."""
    fig, axes = new_figure(1, 2, (10, 4.2), sharex=True, sharey=True)
    for color, marker, kind in zip(COLORS, MARKERS, ("resnet", "plain"), strict=False):
        there = [depth for depth in depths if f"{kind}-{depth}" in groups]
        if not there:
            continue
        found = [groups[f"{kind}-{depth}"] for depth in there]
        train = [[100 * training_error(outcome) for outcome in group] for group in found]
        test = [[100 - 100 * o.correct.mean() for o in group] for group in found]
        for ax, errors in zip(axes, (train, test), strict=True):
            means = [np.mean(values) for values in errors]
            ax.plot(there, means, label=kind, color=color, marker=marker)
            for depth, values in zip(there, errors, strict=True):
                if len(values) > 1:
                    ax.plot([depth] * len(values), values, ".", color=color, alpha=0.5)
    axes[0].set(ylabel="error (%)", title="Augmented training images, in the last epoch")
    axes[1].set_title("Test images")
    for ax in axes:
        ax.set(xlabel="depth (layers)", xticks=depths)
        ax.yaxis.set_tick_params(labelleft=True)
    axes[0].legend()
    fig.suptitle(f"Error against depth: {title}")
    save_figure(fig, path)


def test_error(path: Path, groups: Groups, depths: list[int], title: str) -> None:
    """Test error of every network's first seed with its 95 % interval."""
    fig, ax = new_figure(size=(7, 1.6 + 0.5 * len(groups)))
    for place, (name, outcomes) in enumerate(groups.items()):
        result = summarize(outcomes)
        low, high = (100 - 100 * bound for bound in reversed(result["test_ci95"]))
        error = 100 - 100 * result["test_acc"]
        style = _style(name, depths) | {"linestyle": "none"}
        ax.errorbar(error, place, xerr=[[error - low], [high - error]], capsize=4, **style)
    ax.set(
        xlabel="test error (%), 95 % interval",
        yticks=range(len(groups)),
        yticklabels=list(groups),
        ylim=(len(groups) - 0.5, -0.5),
        title=f"Test error, first seed: {title}",
    )
    save_figure(fig, path)


def _gradient_norms(outcome: Outcome) -> np.ndarray:
    """Return the norms (layers, 1 + epochs): before the first step, and the mean of each epoch."""
    series = outcome.history.series
    return np.array([series["first_gradient_norms"], *series["gradient_norms"]]).T


def _style(name: str, depths: list[int]) -> dict:
    """Colour and marker tell the depth, the line's style the kind."""
    kind, depth = name.split("-")
    place = depths.index(int(depth)) * (2 if len(depths) == 1 else 1)
    if len(depths) == 1:
        place += kind == "plain"
    return {
        "color": COLORS[place % len(COLORS)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": "-" if kind == "resnet" else "--",
    }
