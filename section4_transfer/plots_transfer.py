"""Figures of the transfer study."""

from pathlib import Path

from section4_transfer.pretrained import Start
from section4_transfer.results import Outcome, describe_arm
from section4_transfer.transfer import ARMS
from shared_utils.plotting import COLORS, MARKERS, new_figure, save_figure, show_figures

__all__ = ["draw_all", "show_figures"]

Arms = dict[str, list[Outcome]]
_STYLES = {
    arm: {"color": color, "marker": marker}
    for arm, color, marker in zip(ARMS, COLORS, MARKERS, strict=False)
}


def draw_all(folder: Path, arms: Arms, sizes: dict[float, int], start: Start, title: str) -> None:
    """Draw every figure into `folder`; `sizes` holds the number of labels of each share."""
    title = f"{title}; pretrained: {Path(start.origin).name}"
    accuracy_against_labels(folder / "accuracy_against_labels.png", arms, sizes, title)
    accuracy_against_time(folder / "accuracy_against_time.png", arms, sizes, start, title)
    curves(folder / "curves.png", arms, sizes, title)
    if start.fit is not None:
        pretext(folder / "pretraining.png", start, title)


def accuracy_against_labels(path: Path, arms: Arms, sizes: dict[float, int], title: str) -> None:
    """Test accuracy by the number of labelled images, with 95 % intervals, first seed."""
    fig, ax = new_figure()
    for shift, (arm, style) in enumerate(_STYLES.items()):
        there = [fraction for fraction in sizes if _name(arm, fraction) in arms]
        described = [describe_arm(arms[_name(arm, fraction)]) for fraction in there]
        accuracy = [100 * d["test_acc"] for d in described]
        below = [100 * (d["test_acc"] - d["test_ci95"][0]) for d in described]
        above = [100 * (d["test_ci95"][1] - d["test_acc"]) for d in described]
        labels = [sizes[fraction] * 1.03 ** (shift - 1) for fraction in there]  # side by side
        ax.errorbar(labels, accuracy, yerr=[below, above], capsize=4, label=arm, **style)
    ax.set(
        xscale="log",
        xlabel="labelled training images",
        ylabel="test accuracy (%), 95 % interval",
        title=title,
    )
    ax.minorticks_off()
    ax.set_xticks(list(sizes.values()), [f"{size:,}" for size in sizes.values()])
    ax.legend()
    save_figure(fig, path)


def accuracy_against_time(
    path: Path, arms: Arms, sizes: dict[float, int], start: Start, title: str
) -> None:
    """Best validation accuracy so far by the seconds of training, all labels, first seed."""
    fig, ax = new_figure()
    for arm, style in _STYLES.items():
        fit = _fit(arms, arm, sizes)
        if fit is None:
            continue
        best = [
            100 * max(row["val_acc"] for row in fit.history[: epoch + 1])
            for epoch in range(len(fit.history))
        ]
        ax.plot(fit.seconds, best, label=arm, **style)
        if arm != "scratch" and start.seconds:
            later = [start.seconds + seconds for seconds in fit.seconds]
            ax.plot(later, best, linestyle=":", label=f"{arm}, pretraining included", **style)
    ax.set(xlabel="training time (s)", ylabel="validation accuracy (%), best so far", title=title)
    fig.legend(loc="outside lower center", ncols=2)
    save_figure(fig, path)


def curves(path: Path, arms: Arms, sizes: dict[float, int], title: str) -> None:
    """Training loss and validation accuracy by epoch, all labels, first seed."""
    fig, axes = new_figure(1, 2, (10, 4.2))
    for arm, style in _STYLES.items():
        fit = _fit(arms, arm, sizes)
        if fit is None:
            continue
        epochs = [row["epoch"] for row in fit.history]
        axes[0].plot(epochs, [row["train_loss"] for row in fit.history], label=arm, **style)
        axes[1].plot(epochs, [100 * row["val_acc"] for row in fit.history], label=arm, **style)
    axes[0].set(xlabel="epoch", ylabel="training loss (nats)", title="Training loss")
    axes[1].set(xlabel="epoch", ylabel="accuracy (%)", title="Validation accuracy")
    for ax in axes:
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[0].legend()
    fig.suptitle(title)
    save_figure(fig, path)


def pretext(path: Path, start: Start, title: str) -> None:
    """How well the quarter turns of training and validation images are told, by epoch."""
    fig, ax = new_figure()
    history = start.fit.history
    epochs = [row["epoch"] for row in history]
    for key, name, marker in (("train_acc", "training", "o"), ("val_acc", "validation", "s")):
        ax.plot(epochs, [100 * row[key] for row in history], label=name, marker=marker)
    ax.axhline(25, color="black", linestyle=":", label="chance")
    ax.set(xlabel="epoch", ylabel="quarter turns told rightly (%)", title=title)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    save_figure(fig, path)


def _name(arm: str, fraction: float) -> str:
    return f"{arm} {100 * fraction:g}%"


def _fit(arms: Arms, arm: str, sizes: dict[float, int]):
    """Return the first seed's fit of an arm on the largest share, or None if it diverged."""
    outcomes = arms.get(_name(arm, max(sizes)))
    return outcomes[0].fit if outcomes else None
