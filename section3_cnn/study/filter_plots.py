"""The figures that show a network from within."""

import math
from pathlib import Path

import numpy as np

from shared_utils.plotting import (
    COLORS,
    DIVERGING,
    new_figure,
    save_figure,
)

_MOST_MAPS = 16  # maps of a stage in one row; more would be too small to see
_MOST_IMAGES = 10  # in one row


def draw_filters(path: Path, W: np.ndarray, title: str) -> None:
    """Draw weights (O, C, kh, kw): a column a filter, a row an input channel, red for positive."""
    filters, channels = W.shape[:2]
    if channels == 1:  # a few large pictures
        grid = _mosaic(W.reshape(_rows_of_eight(filters), -1, *W.shape[2:]))
        labels = ("", "")
    else:
        grid = _mosaic(W.swapaxes(0, 1))
        labels = ("filter", "input channel")
    fig, ax = new_figure(size=_size(grid.shape))
    limit = np.abs(W).max()
    drawn = ax.imshow(grid, cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="nearest")
    fig.colorbar(drawn, label="weight", shrink=0.8)
    _bare(ax)
    ax.set(title=title, xlabel=labels[0], ylabel=labels[1])
    save_figure(fig, path)


def draw_patches(path: Path, patches: np.ndarray, title: str) -> None:
    """Draw patches (filters, best, h, w): a column a filter, strongest on top."""
    grid = _mosaic(patches.swapaxes(0, 1))
    fig, ax = new_figure(size=_size(grid.shape))
    ax.imshow(grid, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    ax.set_facecolor(COLORS[5])  # the gaps, and what lies beyond the image
    _bare(ax)
    ax.set(title=title, xlabel="filter", ylabel="strongest response on top")
    save_figure(fig, path)


def draw_features(path: Path, image: np.ndarray, stages: dict[str, np.ndarray], title: str) -> None:
    """Draw the image (H, W) and the maps (C, h, w) of every stage, a row a stage, white for 0."""
    fig, axes = new_figure(len(stages) + 1, 1, size=(10, 0.85 * (len(stages) + 1) + 0.5))
    rows = {"input": image[None], **stages}
    for ax, (name, maps) in zip(axes, rows.items(), strict=True):
        shown = maps[:_MOST_MAPS]
        grid = _mosaic(shown[None] / (np.abs(shown).max() or 1), gap=max(1, maps.shape[1] // 9))
        drawn = ax.imshow(grid, cmap=DIVERGING, vmin=-1, vmax=1)
        ax.set_facecolor("0.85")  # the gaps
        ax.set_anchor("W")
        _bare(ax)
        of = f"\n{len(shown)} of {len(maps)}" if len(shown) < len(maps) else ""
        ax.set_ylabel(f"{name}{of}", rotation=0, ha="right", va="center")
    label = "value, largest of its row = 1"
    fig.colorbar(drawn, ax=axes, label=label, shrink=0.6, panchor=False)
    fig.suptitle(title)
    save_figure(fig, path)


def draw_saliency(
    path: Path, images: np.ndarray, maps: np.ndarray, predicted: list[str], title: str
) -> None:
    """Draw images (N, H, W) above the gradients of their class scores, red where ink helps.

    `predicted` names the class of each score.
    """
    columns = min(len(images), _MOST_IMAGES)
    rows = math.ceil(len(images) / columns)
    fig, axes = new_figure(2 * rows, columns, size=(1.1 * columns + 1, 3 * rows))
    for ax in axes.flat:
        _bare(ax)
    for number, (image, gradient, label) in enumerate(zip(images, maps, predicted, strict=True)):
        row, column = divmod(number, columns)
        top, bottom = axes[2 * row : 2 * row + 2, column]
        top.imshow(image, cmap="gray_r")
        top.set_title(f"class {label}", fontsize="medium")
        limit = np.abs(gradient).max() or 1
        drawn = bottom.imshow(gradient / limit, cmap=DIVERGING, vmin=-1, vmax=1)
    fig.colorbar(drawn, ax=axes, label="d score / d pixel,\nlargest = 1", shrink=0.8)
    fig.suptitle(title)
    save_figure(fig, path)


def _mosaic(tiles: np.ndarray, gap: int = 1) -> np.ndarray:
    """Return tiles (rows, columns, h, w) as one image, with gaps of NaN between them."""
    border = ((0, 0), (0, 0), (0, gap), (0, gap))
    framed = np.pad(tiles.astype(float), border, constant_values=np.nan)
    rows, columns, h, w = framed.shape
    return framed.transpose(0, 2, 1, 3).reshape(rows * h, columns * w)[:-gap, :-gap]


def _rows_of_eight(number: int) -> int:
    return number // 8 if number % 8 == 0 else 1


def _size(shape: tuple[int, int]) -> tuple[float, float]:
    """Return a figure's size in inches for an image of this shape: nine wide or six high."""
    height, width = shape
    scale = min(8 / width, 5.5 / height)
    return max(width * scale + 1.5, 6.5), height * scale + 1


def _bare(ax) -> None:
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)
