"""Figures of the augmentation study."""

from pathlib import Path

import numpy as np
import torch

from section4_transfer.augment import AUGMENTATIONS, augmentations_of
from section4_transfer.study.variants import Groups, label
from shared_utils.datasets.color_images import TorchData, generator
from shared_utils.plotting import COLORS, MARKERS, new_figure, save_figure
from shared_utils.runs.outcomes import summarize

_SHOWN = 8  # images in the grid


def draw_all(
    folder: Path, groups: Groups, gains: dict, sizes: dict[float, int], title: str
) -> None:
    """Draw the results into `folder`; `sizes` holds the number of images of each fraction."""
    largest = max(sizes)
    suffix = label("", largest)
    seeds = max(len(outcomes) for outcomes in groups.values())
    if any(gains[f"{largest:g}"].values()):
        gains_of_each(folder / "gains.png", gains[f"{largest:g}"], seeds, title)
    accuracies(folder / "accuracy.png", groups, title)
    shown = [f"{name}{suffix}" for name in ("none", *AUGMENTATIONS, "all")]
    curves(folder / "curves.png", {name: groups[name] for name in shown if name in groups}, title)
    if len(sizes) > 1:
        accuracy_against_images(folder / "accuracy_against_images.png", groups, sizes, title)


def grid(path: Path, data: TorchData, pad: float) -> None:
    """Show what each augmentation, and all together, does to the same images, one a column."""
    rows = {"none": [], **{name: [name] for name in AUGMENTATIONS}, "all": list(AUGMENTATIONS)}
    images, labels = data.x_train[:_SHOWN].float() / 255, data.y_train[:_SHOWN]
    fig, axes = new_figure(len(rows), 1, (7.6, 0.84 * len(rows)))
    for ax, (name, names) in zip(axes, rows.items(), strict=True):
        x, y, draws = images, labels, generator(0, f"grid of {name}")
        for augmentation in augmentations_of(names, len(data.classes), pad):
            x, y = augmentation(x, y, draws)
        strip = torch.cat([torch.nn.functional.pad(image, (1, 1), value=1.0) for image in x], 2)
        ax.imshow(strip.permute(1, 2, 0).numpy(), interpolation="nearest")
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        for spine in ax.spines.values():
            spine.set_visible(False)
    fig.suptitle(f"The same images, augmented: {data.title}")
    save_figure(fig, path)


def gains_of_each(path: Path, gains: dict, seeds: int, title: str) -> None:
    """Gain in test accuracy of each augmentation, alone and leave-one-out, with intervals."""
    fig, ax = new_figure(size=(8, 5))
    of = f"{seeds} seeds" if seeds > 1 else "one seed"
    for shift, (kind, color, marker) in enumerate(
        zip(("alone", "leave-one-out"), COLORS, MARKERS, strict=False)
    ):
        there = [place for place, name in enumerate(gains) if kind in gains[name]]
        values = 100 * np.array([list(gains.values())[place][kind] for place in there])
        if len(there) == 0:
            continue
        middle, low, high = values.T
        places = np.array(there) + 0.2 * (shift - 0.5)
        # The interval of a paired difference is not centred on it: each end is drawn where it is.
        spread = np.clip([middle - low, high - middle], 0, None)
        ax.errorbar(middle, places, xerr=spread, fmt=marker, color=color, capsize=3, label=kind)
    ax.axvline(0, color="black", linewidth=1)
    ax.set(
        yticks=range(len(gains)),
        yticklabels=list(gains),
        ylim=(len(gains) - 0.5, -0.5),
        xlabel="gain in test accuracy (points), 95 % intervals (all hold together)",
        title=f"What each augmentation adds, {of}: {title}",
    )
    fig.legend(loc="outside lower center", ncols=2)
    save_figure(fig, path)


def accuracies(path: Path, groups: Groups, title: str) -> None:
    """Test accuracy of every network's first seed with its 95 % interval."""
    fig, ax = new_figure(size=(8, 1.6 + 0.28 * len(groups)))
    for place, (name, outcomes) in enumerate(groups.items()):
        result = summarize(outcomes)
        low, high = (100 * bound for bound in result["test_ci95"])
        accuracy = 100 * result["test_acc"]
        together = name.startswith("all")
        ax.errorbar(
            accuracy,
            place,
            xerr=[[accuracy - low], [high - accuracy]],
            capsize=3,
            color=COLORS[together],
            marker=MARKERS[together],
        )
    ax.set(
        yticks=range(len(groups)),
        yticklabels=list(groups),
        ylim=(len(groups) - 0.5, -0.5),
        xlabel="test accuracy (%), 95 % interval",
        title=f"Test accuracy, first seed: {title}",
    )
    save_figure(fig, path)


def curves(path: Path, groups: Groups, title: str) -> None:
    """Training loss and validation accuracy by epoch, first seed."""
    fig, axes = new_figure(1, 2, (10.5, 4.6))
    for place, (name, outcomes) in enumerate(groups.items()):
        style = {"color": COLORS[place - 1], "marker": MARKERS[place - 1]}
        if name.startswith("none"):
            style = {"color": "0.45", "marker": "o", "linestyle": ":"}
        elif name.startswith("all"):
            style = {"color": "#8B4513", "marker": "s", "linestyle": "--"}  # a colour of no other
        rows = outcomes[0].history.rows
        epochs = [row["epoch"] for row in rows]
        axes[0].plot(epochs, [row["train_loss"] for row in rows], label=name, **style)
        axes[1].plot(epochs, [100 * row["val_acc"] for row in rows], **style)
    axes[0].set(xlabel="epoch", ylabel="loss on augmented images (nats)", title="Training loss")
    axes[1].set(xlabel="epoch", ylabel="accuracy (%)", title="Validation accuracy")
    for ax in axes:
        ax.xaxis.get_major_locator().set_params(integer=True)
    fig.legend(loc="outside right center")
    fig.suptitle(title)
    save_figure(fig, path)


def accuracy_against_images(
    path: Path, groups: Groups, sizes: dict[float, int], title: str
) -> None:
    """Test accuracy by the number of training images, with no and with all augmentations."""
    fig, ax = new_figure()
    for kind, color, marker in zip(("none", "all"), COLORS, MARKERS, strict=False):
        labels = {f: label(kind, f) for f in sizes}
        there = [f for f in sizes if labels[f] in groups]
        result = [summarize(groups[labels[f]]) for f in there]
        accuracy = [100 * d["test_acc"] for d in result]
        spread = [
            [100 * (d["test_acc"] - d["test_ci95"][0]) for d in result],
            [100 * (d["test_ci95"][1] - d["test_acc"]) for d in result],
        ]
        counts = [sizes[f] for f in there]
        ax.errorbar(
            counts, accuracy, yerr=spread, capsize=4, color=color, marker=marker, label=kind
        )
    ax.set(
        xscale="log",
        xlabel="training images",
        ylabel="test accuracy (%), 95 % interval",
        title=f"Augmentation and the number of images, first seed: {title}",
    )
    ax.minorticks_off()
    ax.set_xticks(list(sizes.values()), [f"{size:,}" for size in sizes.values()])
    ax.legend()
    save_figure(fig, path)
