"""The confusion matrix of a study's best network."""

from pathlib import Path

import numpy as np

from section4_transfer.study.classes import confusion_matrix
from shared_utils.datasets.color_images import TorchData
from shared_utils.datasets.names import shortened
from shared_utils.plotting import SEQUENTIAL, new_figure, save_figure
from shared_utils.runs.outcomes import Outcome, best_variant

_NAMED, _NUMBERED = 40, 20  # classes: with more, neither names nor numbers could be read


def confusion(path: Path, groups: dict[str, list[Outcome]], data: TorchData) -> None:
    """Which class was taken for which, of the best variant by validation, first seed."""
    best, classes = best_variant(groups), len(data.classes)
    counts = confusion_matrix(groups[best][0], data.y_test.numpy(), classes)
    rows = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = np.clip(2.5 + 0.42 * classes, 4.5, 10)
    fig, ax = new_figure(size=(side + 0.8, side))
    image = ax.imshow(100 * rows, cmap=SEQUENTIAL, vmin=0, vmax=100)
    fig.colorbar(image, label="of the class's test images (%)")
    if classes <= _NAMED:
        names = [shortened(name, 20) for name in data.classes]
        ax.set_xticks(range(classes), names, rotation=90)
        ax.set_yticks(range(classes), names)
    if classes <= _NUMBERED:
        for i, j in np.ndindex(counts.shape):
            color = "black" if rows[i, j] > 0.5 else "white"
            ax.text(j, i, counts[i, j], ha="center", va="center", color=color, fontsize=8)
    ax.grid(False)
    ax.set(xlabel="answer", ylabel="class", title=f"{best}: {data.title}")
    save_figure(fig, path)
