"""The paths of the optimizers on the three surfaces, as a still picture and as an animation."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np

from section2_optimization.plots import NAMES, style
from section2_optimization.trajectories import SURFACES, Surface, height
from shared_utils.files import write_atomically
from shared_utils.plotting import new_figure, save_figure

FRAMES = 45
Paths = Mapping[str, Mapping[str, tuple[float, np.ndarray]]]  # surface -> arm -> (rate, path)


def draw_paths(path: Path, paths: Paths) -> None:
    """Draw all paths above, and the height over the minimum at every step below."""
    fig, axes = new_figure(2, len(SURFACES), size=(13, 7.6))
    for surface, upper, lower in zip(SURFACES, *axes, strict=True):
        _draw_surface(upper, surface)
        for arm, (lr, points) in paths[surface.name].items():
            look = style(arm) | {"markevery": max(1, len(points) // 12), "ms": 5, "lw": 1.5}
            upper.plot(*points.T, **look)
            heights = np.maximum(height(surface, points), 1e-16)
            lower.semilogy(heights, label=f"{NAMES[arm]}, lr {lr:g}", **look)
        lower.set_ylim(top=1e3)
        lower.set_xlabel("step")
        lower.set_ylabel("f minus its minimum")
        lower.legend(fontsize=8)
    fig.suptitle("Each at the best rate that stays in the picture; circles: starts, stars: minima")
    save_figure(fig, path)


def animate_paths(path: Path, paths: Paths) -> None:
    """Write the same paths as an animated GIF; every surface takes FRAMES frames."""
    from PIL import Image

    fig, axes = new_figure(1, len(SURFACES), size=(12, 4.6))
    fig.set_dpi(60)
    moving = []
    for surface, ax in zip(SURFACES, axes, strict=True):
        _draw_surface(ax, surface)
        for arm, (_, points) in paths[surface.name].items():
            (trail,) = ax.plot([], [], color=style(arm)["color"], lw=1.6)
            (head,) = ax.plot([], [], **style(arm), label=NAMES[arm], ms=8, mec="w", lw=0)
            moving.append((ax, trail, head, points, surface.steps))
    axes[0].legend(fontsize=8, loc="upper right")
    fig.canvas.draw()
    fig.set_layout_engine("none")
    background = fig.canvas.copy_from_bbox(fig.bbox)  # drawn once: contours take their time
    frames = []
    for frame in range(FRAMES + 1):
        fig.canvas.restore_region(background)
        for ax, trail, head, points, steps in moving:
            shown = points[: 1 + round(frame / FRAMES * steps)]
            for artist, at in ((trail, shown), (head, shown[-1:])):
                artist.set_data(*at.T)
                ax.draw_artist(artist)
        frames.append(Image.fromarray(np.asarray(fig.canvas.buffer_rgba())[..., :3].copy()))
    # One palette for all frames, or the background would flicker; the last one has all colours.
    palette = frames[-1].quantize(64)
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    buffer = BytesIO()
    durations = [120] * FRAMES + [3000]
    frames[0].save(
        buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0
    )
    write_atomically(path, buffer.getvalue())


def _draw_surface(ax, surface: Surface) -> None:
    left, right, bottom, top = surface.view
    x, y = np.meshgrid(np.linspace(left, right, 120), np.linspace(bottom, top, 120))
    # Levels of equal ratio: they show the floor of a valley as well as its walls.
    above = np.log10(surface.f(x, y) - surface.lowest + 1e-3)
    ax.contour(x, y, above, levels=12, cmap="Greys", linewidths=0.8, alpha=0.6)
    ax.plot(*np.transpose(surface.minima), "k*", ms=11)
    ax.plot(*surface.start, "ko", ms=6, mfc="w")
    ax.set(xlim=(left, right), ylim=(bottom, top), xlabel="x", ylabel="y", title=surface.name)
    ax.grid(False)
