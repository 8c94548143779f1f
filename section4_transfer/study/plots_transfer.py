"""Figures of the transfer study."""

from pathlib import Path

from section4_transfer.pretrained import PretrainedWeights
from section4_transfer.study.variants import Groups, with_fraction
from shared_utils.plotting import COLORS, MARKERS, new_figure, save_figure
from shared_utils.runs import History
from shared_utils.runs.outcomes import summarize

_STYLES = {
    method: {"color": color, "marker": marker}
    for method, color, marker in zip(
        ("scratch", "frozen", "fine-tuned"), COLORS, MARKERS, strict=False
    )
}


def draw_all(
    folder: Path, groups: Groups, sizes: dict[float, int], weights: PretrainedWeights, title: str
) -> None:
    """Draw every figure into `folder`; `sizes` holds the number of labels of each fraction."""
    title = f"{title}; pretrained: {Path(weights.origin).name}"
    accuracy_against_labels(folder / "accuracy_against_labels.png", groups, sizes, title)
    largest = {
        method: groups[name][0].history
        for method in _STYLES
        if (name := with_fraction(method, max(sizes))) in groups
    }
    accuracy_against_time(folder / "accuracy_against_time.png", largest, weights, title)
    curves(folder / "curves.png", largest, title)
    if weights.history is not None:
        pretext(folder / "pretraining.png", weights.history, title)


def accuracy_against_labels(
    path: Path, groups: Groups, sizes: dict[float, int], title: str
) -> None:
    """Test accuracy by the number of labelled images, with 95 % intervals, first seed."""
    fig, ax = new_figure()
    for shift, (method, style) in enumerate(_STYLES.items()):
        there = [fraction for fraction in sizes if with_fraction(method, fraction) in groups]
        results = [summarize(groups[with_fraction(method, fraction)]) for fraction in there]
        accuracy = [100 * r["test_acc"] for r in results]
        below = [100 * (r["test_acc"] - r["test_ci95"][0]) for r in results]
        above = [100 * (r["test_ci95"][1] - r["test_acc"]) for r in results]
        labels = [sizes[fraction] * 1.03 ** (shift - 1) for fraction in there]  # side by side
        ax.errorbar(labels, accuracy, yerr=[below, above], capsize=4, label=method, **style)
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
    path: Path, histories: dict[str, History], weights: PretrainedWeights, title: str
) -> None:
    """Best validation accuracy so far by the seconds of training, all labels, first seed."""
    fig, ax = new_figure()
    for method, history in histories.items():
        style, seconds = _STYLES[method], history.series["seconds"]
        best = [
            100 * max(row["val_acc"] for row in history.rows[: epoch + 1])
            for epoch in range(len(history.rows))
        ]
        ax.plot(seconds, best, label=method, **style)
        if method != "scratch" and weights.seconds:
            later = [weights.seconds + s for s in seconds]
            ax.plot(later, best, linestyle=":", label=f"{method}, pretraining included", **style)
    ax.set(xlabel="training time (s)", ylabel="validation accuracy (%), best so far", title=title)
    fig.legend(loc="outside lower center", ncols=2)
    save_figure(fig, path)


def curves(path: Path, histories: dict[str, History], title: str) -> None:
    """Training loss and validation accuracy by epoch, all labels, first seed."""
    fig, axes = new_figure(1, 2, (10, 4.2))
    for method, history in histories.items():
        epochs = [row["epoch"] for row in history.rows]
        style = _STYLES[method] | {"label": method}
        axes[0].plot(epochs, [row["train_loss"] for row in history.rows], **style)
        axes[1].plot(epochs, [100 * row["val_acc"] for row in history.rows], **style)
    axes[0].set(xlabel="epoch", ylabel="training loss (nats)", title="Training loss")
    axes[1].set(xlabel="epoch", ylabel="accuracy (%)", title="Validation accuracy")
    for ax in axes:
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[0].legend()
    fig.suptitle(title)
    save_figure(fig, path)


def pretext(path: Path, history: History, title: str) -> None:
    """Accuracy in telling the quarter turns of training and validation images, by epoch."""
    fig, ax = new_figure()
    epochs = [row["epoch"] for row in history.rows]
    for key, name, marker in (("train_acc", "training", "o"), ("val_acc", "validation", "s")):
        ax.plot(epochs, [100 * row[key] for row in history.rows], label=name, marker=marker)
    ax.axhline(25, color="black", linestyle=":", label="chance")
    ax.set(xlabel="epoch", ylabel="rotation accuracy (%)", title=title)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    save_figure(fig, path)
