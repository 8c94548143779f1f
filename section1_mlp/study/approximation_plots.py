"""The figures of the approximation demo: errors against width, and the fitted functions."""

from collections.abc import Iterable

import numpy as np

from section1_mlp.study import by_hand
from section1_mlp.study.approximation import Network
from section1_mlp.study.targets import Target
from shared_utils.plotting import COLORS, DIVERGING, MARKERS, new_figure


def draw_errors(targets: dict[str, Target], errors: dict[Network, list[float]]):
    """Error against width for each activation: mean over seeds, with the range as a band."""
    fig, axes = new_figure(1, len(targets), (13, 3.8), sharey=True)
    widths, activations = _widths_and_activations(errors)
    for ax, (name, target) in zip(axes, targets.items(), strict=True):
        for activation, color, marker in zip(activations, COLORS, MARKERS, strict=False):
            values = np.array([errors[Network(name, activation, width)] for width in widths])
            ax.plot(widths, values.mean(axis=1), color=color, marker=marker, label=activation)
            ax.fill_between(widths, values.min(axis=1), values.max(axis=1), color=color, alpha=0.2)
        ax.axhline(1, color="black", lw=1, ls="--", label="a constant")
        ax.set(xscale="log", yscale="log", xlabel="hidden units", title=target.title)
        ax.set_xticks(widths, widths, minor=False)
        ax.xaxis.minorticks_off()
    axes[0].set_ylabel("mean squared error\n(variance of the target: 1)")
    axes[0].legend(fontsize=9)
    return fig


def draw_fits(targets: dict[str, Target], outputs: dict[Network, np.ndarray]):
    """The one-dimensional targets and what networks of a few widths make of them."""
    lines = {name: target for name, target in targets.items() if target.x.shape[1] == 1}
    widths, activations = _widths_and_activations(outputs)
    shown = widths if len(widths) <= 3 else [widths[1], widths[len(widths) // 2], widths[-1]]
    fig, axes = new_figure(len(lines), len(activations), (12, 7), sharex=True, sharey="row")
    for row, (name, target) in zip(axes, lines.items(), strict=True):
        t = 2 * np.pi * target.x_dense[:, 0]
        for ax, activation in zip(row, activations, strict=True):
            ax.plot(t, target.y_dense, color="black", lw=3, alpha=0.35, label="target")
            for width, color in zip(shown, (COLORS[4], COLORS[1], COLORS[0]), strict=False):
                label = f"{width} units"
                ax.plot(
                    t, outputs[Network(name, activation, width)], color=color, lw=1.5, label=label
                )
            ax.set(title=f"{activation}, {target.title}", ylim=(-2.4, 2.4))
    for ax in axes[-1]:
        ax.set_xlabel("t (radians)")
    fig.supylabel("value / standard deviation", fontsize="medium")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return fig


def draw_by_hand(targets: dict[str, Target], outputs: dict[Network, np.ndarray]):
    """A bump of two steep sigmoids; what weights set by hand and trained ones make of two targets.

    The trained network is the widest one of sigmoids.
    """
    fig, axes = new_figure(1, 3, (13, 3.9))
    width, x = _widths_and_activations(outputs)[0][-1], targets["sine"].x_dense
    for slope, color in zip(
        (20, 100, by_hand.SLOPE), (COLORS[4], COLORS[1], COLORS[0]), strict=True
    ):
        bump = by_hand.steps((-0.25, 0.25), (1, -1), slope=slope)
        axes[0].plot(x, bump.forward(x), color=color, label=f"s = {slope:.0f}")
    axes[0].set(title="sigmoid(s(x + 0.25)) - sigmoid(s(x - 0.25))", ylabel="value", xlabel="x")
    for ax, (name, model) in zip(axes[1:], by_hand.networks(targets, width).items(), strict=True):
        target, hand = targets[name], f"by hand, {model.layer_sizes[1]} units"
        ax.plot(x, target.y_dense, color="black", lw=3, alpha=0.35, label="target")
        trained = outputs[Network(name, "sigmoid", width)]
        ax.plot(x, trained, color=COLORS[1], lw=1.5, label=f"trained, {width} units")
        ax.plot(x, model.forward(x), color=COLORS[0], lw=1.2, label=hand)
        ax.set(
            title=target.title,
            ylabel="value / standard deviation",
            xlabel="x = t / 2π",
            ylim=(-1.8, 3.2),
        )
    for ax in axes:
        ax.legend(fontsize=9, loc="upper left" if ax is not axes[0] else "upper right")
    return fig


def draw_surface(target: Target, outputs: dict[Network, np.ndarray], width: int):
    """The surface and the widest networks' errors on it, each with its own colour bar."""
    side = round(len(target.x_dense) ** 0.5)
    images = {"the target": target.y_dense} | {
        f"{a}, {width} units: its error": outputs[Network("surface", a, width)] - target.y_dense
        for a in _widths_and_activations(outputs)[1]
    }
    fig, axes = new_figure(2, 2, (9, 7.4))
    for ax, (title, values) in zip(axes.flat, images.items(), strict=True):
        limit = np.nanmax(np.abs(values)) if np.isfinite(values).any() else 1
        image = ax.imshow(
            values.reshape(side, side).T,
            cmap=DIVERGING,
            vmin=-limit,
            vmax=limit,
            origin="lower",
            extent=(-1, 1, -1, 1),
        )
        fig.colorbar(image, ax=ax, label="value / standard deviation")
        ax.set(title=title, xlabel="u", ylabel="v")
        ax.grid(False)
    return fig


def _widths_and_activations(networks: Iterable[Network]) -> tuple[list[int], list[str]]:
    widths = sorted({network.width for network in networks})
    return widths, list(dict.fromkeys(network.activation for network in networks))
