"""The figures of the comparison: how each network learned, and what it still gets wrong."""

from pathlib import Path

import numpy as np

from section1_mlp.model import MLP
from section1_mlp.training import flat
from shared_utils.datasets.gray_images import ImageData
from shared_utils.plotting import COLORS, MARKERS, SEQUENTIAL, new_figure, save_figure
from shared_utils.runs.outcomes import Outcome, best_variant, by_name
from shared_utils.seed import stream

_NUMBERED = 30  # classes: with more, numbers in a confusion matrix cannot be read


def draw_all(folder: Path, outcomes: list[Outcome], data: ImageData) -> None:
    """Draw every figure into `folder`: curves over all seeds, the rest for each first seed."""
    groups = by_name(outcomes)
    firsts = [group[0] for group in groups.values()]
    best = groups[best_variant(groups)][0]
    figures = {
        "curves": draw_curves(groups, data),
        "activations": draw_activations(firsts, data),
        "gradient_norms": draw_gradient_norms(firsts, data),
        "confusion": draw_confusion({one.name: one.scores for one in firsts}, data),
        "mistakes": draw_mistakes(best, data),
    }
    for name, figure in figures.items():
        save_figure(figure, folder / f"{name}.png")


def draw_curves(groups: dict[str, list[Outcome]], data: ImageData):
    """Loss and accuracy against the epoch: mean over seeds, with the range as a band."""
    fig, axes = new_figure(1, 3, (14, 4))
    for color, marker, (name, group) in zip(COLORS, MARKERS, groups.items(), strict=False):
        for ax, measure in zip(axes[:2], ("loss", "acc"), strict=True):
            for split, dashes in (("train", "--"), ("val", "-")):
                rows = [outcome.history.rows for outcome in group]
                values = np.array([[row[f"{split}_{measure}"] for row in r] for r in rows])
                epochs = np.arange(1, values.shape[1] + 1)
                ax.plot(
                    epochs,
                    values.mean(axis=0),
                    dashes,
                    color=color,
                    marker=marker,
                    mfc=color if split == "val" else "white",
                    label=f"{name}, {'validation' if split == 'val' else 'training'}",
                )
                ax.fill_between(
                    epochs, values.min(axis=0), values.max(axis=0), color=color, alpha=0.2, lw=0
                )
    axes[0].set(xlabel="epoch", ylabel="cross-entropy (nats)", yscale="log", title="Loss")
    axes[1].set(xlabel="epoch", ylabel="accuracy (fraction)", title="Accuracy, near its end")
    ends = [one.history.rows[-1]["val_acc"] for group in groups.values() for one in group]
    axes[1].set_ylim(min(ends) - 0.05, 1.005)  # a slow start would flatten all that follows
    axes[1].legend(fontsize=9)
    _draw_validation_loss(axes[2], groups)
    for ax in axes:
        ax.xaxis.get_major_locator().set_params(integer=True)
    fig.suptitle(f"{data.title}: {_seeds(groups)}")
    return fig


def _draw_validation_loss(ax, groups: dict[str, list[Outcome]]) -> None:
    """Draw the mean over seeds near its lowest values, which a ring marks."""
    lowest = []
    for color, marker, group in zip(COLORS, MARKERS, groups.values(), strict=False):
        losses = [[row["val_loss"] for row in outcome.history.rows] for outcome in group]
        mean = np.mean(losses, axis=0)
        epochs, best = np.arange(1, len(mean) + 1), mean.argmin()
        ax.plot(epochs, mean, color=color, marker=marker)
        ax.plot(epochs[best], mean[best], "o", ms=12, mfc="none", mec="black")
        lowest.append(mean[best])
    ax.set(ylim=(0.9 * min(lowest), 1.6 * max(lowest)), xlabel="epoch")
    ax.set_ylabel("cross-entropy (nats)")
    ax.set_title("Validation loss, enlarged; ring: lowest")


def draw_activations(outcomes: list[Outcome], data: ImageData):
    """Distributions of every hidden layer's outputs on validation images, before and after."""
    depth, rows = outcomes[0].model.depth - 1, len(outcomes)
    fig, axes = new_figure(rows, depth, (4.5 * depth, 2.5 * rows), squeeze=False)
    x = flat(data.x_val)[:1000]
    for row, one in zip(axes, outcomes, strict=True):
        untrained = MLP(one.model.layer_sizes, one.name, rng=stream(one.seed, "init"))
        for layer, ax in enumerate(row, start=1):
            before, after = (m.hidden(x)[layer].ravel() for m in (untrained, one.model))
            top = np.percentile(np.concatenate([before, after]), 99.9)
            bins = np.linspace(min(before.min(), after.min()), max(top, 1e-6), 50)
            for values, color, label in (
                (before, COLORS[5], "at the start"),
                (after, COLORS[1], "trained"),
            ):
                weights = np.full(len(values), 100 / len(values))
                ax.hist(values, bins, weights=weights, histtype="step", lw=2, color=color)
                ax.plot([], [], color=color, label=label)
            if one.name == "relu":
                zeros = [f"{np.mean(v == 0):.0%}" for v in (before, after)]
                note = f"exactly zero:\n{zeros[0]} at the start\n{zeros[1]} trained"
                ax.text(0.97, 0.97, note, transform=ax.transAxes, ha="right", va="top", fontsize=9)
            ax.set(title=f"{one.name}, hidden layer {layer}", yscale="log")
            ax.set_ylabel("fraction of outputs (%)" if layer == 1 else "")
            ax.set_xlabel("output of a unit" if one is outcomes[-1] else "")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    fig.suptitle(f"{data.title}: hidden activations of {len(x)} validation images")
    return fig


def draw_gradient_norms(outcomes: list[Outcome], data: ImageData):
    """Norm of every weight matrix's gradient over training: where it vanishes, learning is slow.

    The nearer a layer is to the input, the darker its colour.
    """
    import matplotlib

    cols = len(outcomes)
    fig, axes = new_figure(1, cols, (4 * cols, 3.8), sharey=True, squeeze=False)
    for ax, outcome in zip(axes[0], outcomes, strict=True):
        epochs, *layers = np.array(outcome.history.series["gradient_norms"]).T
        colors = matplotlib.colormaps[SEQUENTIAL](np.linspace(0, 0.9, len(layers)))
        for layer, (norms, color) in enumerate(zip(layers, colors, strict=True), start=1):
            ax.plot(epochs, norms, color=color, lw=0.6, alpha=0.35)
            ax.plot(epochs, _running_mean(norms), color=color, label=f"W{layer}")
        ax.set(xlabel="epoch", yscale="log", title=outcome.name)
    axes[0, 0].set_ylabel("norm of the minibatch gradient")
    axes[0, 0].legend(title="running mean", fontsize=9)
    fig.suptitle(f"{data.title}: gradient norm by layer")
    return fig


def draw_confusion(probs: dict[str, np.ndarray], data: ImageData):
    """Confusion matrices of the test set, one a network: counts, coloured by the errors."""
    from sklearn.metrics import confusion_matrix

    ticks = range(len(data.classes))
    side = min(max(4.4, 0.35 * len(ticks)), 10)
    fig, axes = new_figure(1, len(probs), (side * len(probs), side + 0.6), squeeze=False)
    for ax, (name, p) in zip(axes[0], probs.items(), strict=True):
        counts = confusion_matrix(data.y_test, p.argmax(axis=1), labels=ticks)
        errors = counts - np.diag(np.diag(counts))
        ax.imshow(errors, cmap="Blues", vmax=max(errors.max() * 2, 1))
        for (row, col), count in np.ndenumerate(counts):
            if count and len(ticks) <= _NUMBERED:
                ax.text(col, row, count, ha="center", va="center", fontsize=8)
        ax.set(xlabel="predicted class", ylabel="true class")
        if len(ticks) <= _NUMBERED:
            ax.set_xticks(ticks, data.classes)
            ax.set_yticks(ticks, data.classes)
        ax.set_title(f"{name}: {errors.sum()} of {counts.sum():,} wrong")
        ax.grid(False)
    fig.suptitle(f"{data.title}, test set")
    return fig


def draw_mistakes(outcome: Outcome, data: ImageData):
    """The test images that the network gets wrong with the most confidence."""
    predicted, confidence = outcome.scores.argmax(axis=1), outcome.scores.max(axis=1)
    wrong = np.flatnonzero(predicted != data.y_test)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:18]
    fig, axes = new_figure(3, 6, (9, 5.6))
    for ax in axes.flat:
        ax.axis("off")
    for ax, index in zip(axes.flat, shown, strict=False):
        ax.imshow(data.x_test[index, 0], cmap="gray_r", interpolation="nearest")
        true, taken = data.classes[data.y_test[index]], data.classes[predicted[index]]
        title = f"{true} taken for {taken}\n{confidence[index]:.1%}"
        ax.set_title(title, fontsize=9)
    fig.suptitle(f"{data.title}: the most confident of {outcome.name}'s {len(wrong)} test errors")
    return fig


def _seeds(groups: dict[str, list[Outcome]]) -> str:
    n = max(len(group) for group in groups.values())
    return "one seed" if n == 1 else f"mean and range over {n} seeds"


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Average every value with its neighbours, ten on each side where there are so many."""
    window = np.ones(min(21, len(values)))
    return np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")
