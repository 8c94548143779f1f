"""The figures of this section's training scripts."""

from pathlib import Path

from section3_cnn.fit import Fit
from shared_utils.plotting import COLORS, MARKERS, new_figure, save_figure, show_figures

__all__ = ["draw_curves", "show_figures"]

_KINDS = {"loss": "mean cross-entropy (nats)", "acc": "accuracy (%)"}


def draw_curves(folder: Path, fits: list[Fit], title: str) -> None:
    """Write curves_loss.png and curves_acc.png: training and validation, a thin line a seed."""
    for kind, label in _KINDS.items():
        fig, ax = new_figure()
        scale = 100 if kind == "acc" else 1
        for part, color, marker, style in zip(
            ("train", "val"), COLORS, MARKERS, ("--", "-"), strict=False
        ):
            for number, fit in enumerate(fits):
                epochs = [row["epoch"] for row in fit.history]
                values = [scale * row[f"{part}_{kind}"] for row in fit.history]
                name = {"train": "training", "val": "validation"}[part]
                ax.plot(
                    epochs,
                    values,
                    style,
                    color=color,
                    marker=marker,
                    alpha=1 if number == 0 else 0.4,
                    label=name if number == 0 else None,
                )
        if kind == "loss":
            ax.set_yscale("log")
        seeds = f" ({len(fits)} seeds)" if len(fits) > 1 else ""
        ax.set(xlabel="epoch", ylabel=label, title=f"{title}{seeds}")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend()
        save_figure(fig, folder / f"curves_{kind}.png")
