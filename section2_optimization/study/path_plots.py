"""The paths of the optimizers on the three surfaces, as a still picture and as an animation."""

from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np

from section2_optimization.study.plots import LABELS, style
from section2_optimization.study.trajectories import SURFACES, Surface, height
from shared_utils.files import write_atomically
from shared_utils.plotting import new_figure, save_figure

FRAMES = 45
Paths = Mapping[str, Mapping[str, tuple[float, np.ndarray]]]  # surface -> method -> (rate, path)


def draw_all(folder: Path, paths: Paths) -> None:
    """Draw the still picture and the animation."""
    draw_paths(folder / "paths.png", paths)
    animate_paths(folder / "paths.gif", paths)


def draw_paths(path: Path, paths: Paths) -> None:
    """Draw a panel for each path, a row a surface, and the height over the minimum by step."""
    methods = list(paths[SURFACES[0].name])
    size, widths = (1.8 * len(methods) + 3.2, 5.8), [1] * len(methods) + [1.8]
    fig, axes = new_figure(len(SURFACES), len(methods) + 1, size=size, width_ratios=widths)
    for surface, row in zip(SURFACES, axes, strict=True):
        for ax, (method, (lr, points)) in zip(row, paths[surface.name].items(), strict=False):
            _draw_surface(ax, surface)
            ax.plot(*points.T, color=style(method)["color"], marker=".", ms=3, lw=1)
            ax.set_xlabel(f"lr {lr:g}", fontsize=9)
            ax.set(xticks=[], yticks=[])
            look = style(method) | {"markevery": max(1, len(points) // 8), "lw": 1.2}
            look["label"] = LABELS[method]
            row[-1].semilogy(np.maximum(height(surface, points), 1e-16), **look)
        row[0].set_ylabel(surface.name)
        row[-1].set_ylim(1e-8, 1e3)
    for ax, method in zip(axes[0], methods, strict=False):
        ax.set_title(LABELS[method], fontsize=11, color=style(method)["color"])
    axes[0, -1].set_title("height over the minimum", fontsize=11)
    axes[-1, -1].set_xlabel("step")
    axes[1, -1].legend(fontsize=6, loc="lower left", ncols=2)
    fig.suptitle("Each rule at its best rate that stays in the picture; ring: start, star: minimum")
    save_figure(fig, path)


def animate_paths(path: Path, paths: Paths) -> None:
    """Write the same paths as an animated GIF; every surface takes FRAMES frames."""
    from PIL import Image

    # One palette for all frames, or the background would flicker; the last one has all colours.
    frames = [Image.fromarray(pixels) for pixels in _frames(paths)]
    palette = frames[-1].quantize(64)
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    buffer = BytesIO()
    durations = [120] * FRAMES + [3000]
    frames[0].save(
        buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0
    )
    write_atomically(path, buffer.getvalue())


def _frames(paths: Paths) -> Iterator[np.ndarray]:
    """Yield the pixels of each frame. The background is drawn once: contours take their time."""
    fig, axes = new_figure(1, len(SURFACES), size=(12, 4.6))
    fig.set_dpi(60)
    moving = []
    for surface, ax in zip(SURFACES, axes, strict=True):
        _draw_surface(ax, surface)
        for method, (_, points) in paths[surface.name].items():
            (trail,) = ax.plot([], [], color=style(method)["color"], lw=1.6)
            (head,) = ax.plot([], [], **style(method), label=LABELS[method], ms=8, mec="w", lw=0)
            moving.append((ax, trail, head, points, surface.steps))
        ax.set(xlabel="x", ylabel="y", title=surface.name)
    axes[0].legend(fontsize=8, loc="upper right")
    fig.canvas.draw()
    fig.set_layout_engine("none")
    background = fig.canvas.copy_from_bbox(fig.bbox)
    for frame in range(FRAMES + 1):
        fig.canvas.restore_region(background)
        for ax, trail, head, points, steps in moving:
            shown = points[: 1 + round(frame / FRAMES * steps)]
            for artist, at in ((trail, shown), (head, shown[-1:])):
                artist.set_data(*at.T)
                ax.draw_artist(artist)
        yield np.asarray(fig.canvas.buffer_rgba())[..., :3].copy()


def _draw_surface(ax, surface: Surface) -> None:
    left, right, bottom, top = surface.view
    x, y = np.meshgrid(np.linspace(left, right, 120), np.linspace(bottom, top, 120))
    # Levels of equal ratio: they show the floor of a valley as well as its walls.
    above = np.log10(surface.f(x, y) - surface.lowest + 1e-3)
    ax.contour(x, y, above, levels=8, cmap="Greys", linewidths=0.8, alpha=0.6)
    ax.plot(*np.transpose(surface.minima), "k*", ms=9)
    ax.plot(*surface.start, "ko", ms=6, mfc="w")
    ax.set(xlim=(left, right), ylim=(bottom, top))
    ax.grid(False)
