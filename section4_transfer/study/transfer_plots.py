"""Figures of the transfer study."""

from itertools import cycle
from pathlib import Path

from section4_transfer.pretrained import STAGES, PretrainedWeights
from section4_transfer.study.labels import with_frozen_stages, with_labels
from section4_transfer.study.variants import Groups
from shared_utils.plotting import COLORS, MARKERS, new_figure, save_figure
from shared_utils.runs import History
from shared_utils.runs.outcomes import Outcome, summarize

_STYLES = {
    method: {"color": color, "marker": marker}
    for method, color, marker in zip(
        ("scratch", "frozen", "fine-tuned"), COLORS, MARKERS, strict=False
    )
}


def draw_all(
    folder: Path, groups: Groups, labels: list[int], weights: PretrainedWeights, title: str
) -> None:
    """Draw every figure into `folder`; `labels` holds the numbers of labels."""
    accuracy_against_labels(folder / "accuracy_against_labels.png", groups, labels, title)
    most = {
        method: groups[name][0].history
        for method in _STYLES
        if (name := with_labels(method, max(labels))) in groups
    }
    accuracy_against_time(folder / "accuracy_against_time.png", most, weights, title)
    curves(folder / "curves.png", most, title)
    if weights.history is not None:
        pretext(folder / "pretraining.png", weights.history, title)


def accuracy_against_labels(path: Path, groups: Groups, labels: list[int], title: str) -> None:
    """Test accuracy by the number of labelled images."""
    fig, ax = new_figure()
    for shift, (method, style) in enumerate(_STYLES.items()):
        found = {n: groups[name] for n in labels if (name := with_labels(method, n)) in groups}
        places = [n * 1.03 ** (shift - 1) for n in found]  # side by side
        ylabel = draw_accuracies(ax, places, list(found.values()), method, style)
    ax.set(xscale="log", xlabel="labelled training images", ylabel=ylabel, title=title)
    ax.minorticks_off()
    ax.set_xticks(labels, [f"{n:,}" for n in labels])
    ax.legend()
    save_figure(fig, path)


def frozen_stages(
    path: Path, groups: Groups, labels: list[int], freeze: list[int], title: str
) -> None:
    """Test accuracy by the number of stages that fine-tuning leaves as they are.

    For comparison, the head alone (hollow: it sees no augmentation) and training from scratch.
    """
    fig, ax = new_figure()
    names = {0: "fine-tuned"} | {k: with_frozen_stages(k) for k in freeze}
    for n, color, marker in zip(labels, cycle(COLORS), cycle(MARKERS)):
        found = {
            k: groups[at] for k, name in names.items() if (at := with_labels(name, n)) in groups
        }
        style = {"color": color, "marker": marker}
        ylabel = draw_accuracies(ax, list(found), list(found.values()), f"{n:,} labels", style)
        if (head := with_labels("frozen", n)) in groups:
            alone = style | {"ls": "", "mfc": "white", "zorder": 3}
            draw_accuracies(ax, [len(STAGES)], [groups[head]], "the head alone", alone)
        if (scratch := with_labels("scratch", n)) in groups:
            accuracy = summarize(groups[scratch])["over_seeds"]["test_acc"]["mean"]
            ax.axhline(100 * accuracy, color=color, ls="--", lw=1.2, label="from scratch")
    ax.set(xlabel="frozen stages of the backbone", ylabel=ylabel, title=title)
    ax.set_xticks(range(len(STAGES) + 1))
    ax.legend()
    save_figure(fig, path)


def draw_accuracies(ax, places: list, found: list[list[Outcome]], label: str, style: dict) -> str:
    """Draw the test accuracies of variants; return what the axis shows.

    Of several seeds: their mean, and each of them. Of one: the accuracy and its 95 % interval.
    """
    results = [summarize(outcomes) for outcomes in found]
    if any(len(outcomes) > 1 for outcomes in found):
        means = [100 * result["over_seeds"]["test_acc"]["mean"] for result in results]
        ax.plot(places, means, label=label, **style)
        for place, outcomes in zip(places, found, strict=True):
            dots = [100 * outcome.correct.mean() for outcome in outcomes]
            ax.plot([place] * len(dots), dots, ".", color=style["color"], alpha=0.5)
        return "test accuracy (%), mean and every seed"
    accuracy = [100 * result["test_acc"] for result in results]
    below = [100 * (result["test_acc"] - result["test_ci95"][0]) for result in results]
    above = [100 * (result["test_ci95"][1] - result["test_acc"]) for result in results]
    ax.errorbar(places, accuracy, yerr=[below, above], capsize=4, label=label, **style)
    return "test accuracy (%), 95 % interval"


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
            ax.plot(later, best, linestyle=":", label=f"{method}, with pretraining", **style)
    ax.set(xlabel="training time (s)", ylabel="validation accuracy (%), best so far", title=title)
    fig.legend(loc="outside lower center", ncols=2)
    save_figure(fig, path)


def curves(path: Path, histories: dict[str, History], title: str) -> None:
    """Training loss and validation accuracy by epoch, first seed."""
    fig, axes = new_figure(1, 2, (10, 4.2))
    for method, history in histories.items():
        epochs = [row["epoch"] for row in history.rows]
        style = _STYLES.get(method, {"marker": "o"}) | {"label": method}
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
