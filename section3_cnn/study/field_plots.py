"""The figures of the receptive fields."""

from pathlib import Path

import numpy as np

from section3_cnn.study.fields import Field, effective_side
from shared_utils.plotting import COLORS, SEQUENTIAL, new_figure, save_figure


def draw_theoretical(path: Path, fields: list[Field], image: np.ndarray, title: str) -> None:
    """Draw what the central unit of every layer can see, as a frame over one digit (1, H, W)."""
    fig, axes = _panels(1, len(fields))
    for ax, field in zip(axes[0], fields, strict=True):
        ax.imshow(image[0], cmap="gray_r")
        _frame(ax, field, COLORS[1])
        ax.set_title(f"{field.name}: {field.size[0]}x{field.size[1]} pixels", fontsize="medium")
    fig.suptitle(f"What the central unit can see ({title})")
    save_figure(fig, path)


def draw_effective(path: Path, fields: list[Field], effective: dict, title: str) -> None:
    """Draw how much every pixel counts for the central unit, before and after training.

    Each panel shows what the last layer's unit can see, and two pixels around it.
    """
    fig, axes = _panels(len(effective), len(fields))
    rows, cols = fields[-1].pixels(fields[-1].centre)
    for of_row, (when, maps) in zip(axes, effective.items(), strict=True):
        for ax, field in zip(of_row, fields, strict=True):
            drawn = ax.imshow(maps[field.name], cmap=SEQUENTIAL, vmin=0, vmax=1)
            _frame(ax, field, "white")
            ax.set(
                xlim=(cols.start - 2.5, cols.stop + 1.5), ylim=(rows.stop + 1.5, rows.start - 2.5)
            )
            side = effective_side(maps[field.name])
            ax.set_title(f"{field.name}: side {side:.1f}", fontsize="medium")
        of_row[0].set_ylabel(f"{when} training")
    fig.colorbar(drawn, ax=axes, label="mean |gradient|, largest = 1", shrink=0.8)
    fig.suptitle(f"What the central unit looks at; frame: what it can see ({title})")
    save_figure(fig, path)


def _frame(ax, field: Field, color: str) -> None:
    from matplotlib.patches import Rectangle

    rows, cols = field.pixels(field.centre)
    corner, width, height = (cols.start - 0.5, rows.start - 0.5), *field.size[::-1]
    ax.add_patch(Rectangle(corner, width, height, fill=False, color=color, linewidth=2))


def _panels(rows: int, cols: int):
    fig, axes = new_figure(rows, cols, size=(2.0 * cols + 1, 2.2 * rows + 0.6), squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_visible(False)
    return fig, axes
