"""What the three studies found, in computed sentences.

Each study makes several comparisons, and one in twenty would seem clear by chance: so all intervals
of a study are widened until they hold together. The rule stands in `shared_utils/stats.py`.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter

from section4_transfer.augment import AUGMENTATIONS
from section4_transfer.study.labels import with_frozen_stages, with_labels
from section4_transfer.study.variants import Groups, label
from shared_utils.runs.outcomes import Outcome, accuracy_difference
from shared_utils.stats import Difference

Pair = tuple[float, str, str, str, str]  # fraction, augmentation, kind; the two networks


def compare_depths(
    groups: Groups, depths: list[int], kinds: Sequence[str], seeds: int
) -> list[str]:
    """Return what the shortcuts change at each depth, what depth changes, and the gradients."""
    first, last = depths[0], depths[-1]
    twins = [(f"resnet-{depth}", f"plain-{depth}") for depth in depths]
    pairs = twins if len(kinds) == 2 else []
    deeper = [(f"{k}-{last}", f"{k}-{first}") for k in kinds] if first != last else []
    # With one seed, a training error has no interval.
    comparisons = len(pairs) + len(deeper) * (1 + (seeds > 1))
    lines = []
    for what, measure, compared in (
        ("test accuracy", attrgetter("correct"), pairs + deeper),
        ("training error in the last epoch", training_error, deeper),
    ):
        for a, b in compared:
            if a in groups and b in groups:
                found = accuracy_difference(groups[a], groups[b], comparisons, measure)
                lines.append(found.sentence(f"{what}, {a} minus {b}"))
    return lines + [_gradients(name, outcomes[0]) for name, outcomes in groups.items()]


def training_error(outcome: Outcome) -> float:
    """Return which part of the training images was wrong in the last epoch.

    That is on augmented images, while the network learned. That it grows with depth is called
    degradation; overfitting would show in the test alone.
    """
    return 1 - outcome.history.rows[-1]["train_acc"]


def _gradients(name: str, outcome: Outcome) -> str:
    """Return how large the gradient is that reaches the first convolution, and how evenly."""
    series = outcome.history.series
    norms = {"before the first step": series["first_gradient_norms"]}
    for epoch in sorted({1, len(series["gradient_norms"])}):
        norms[f"in epoch {epoch}"] = series["gradient_norms"][epoch - 1]
    # The head is left out: its gradient does not pass through any block.
    found = [
        f"{layers[0]:.2g} {when} ({layers[0] / layers[-2]:.2g} times that at the last convolution)"
        if layers[-2]
        else f"{layers[0]:.2g} {when}"
        for when, layers in norms.items()
    ]
    return f"gradient norm at the first convolution, {name}: {', '.join(found)}"


def compare_methods(groups: Groups, labels: list[int], freeze: list[int]) -> list[str]:
    """Return what pretraining, and freezing, change for each number of labels."""
    pairs = [("frozen", "scratch"), ("fine-tuned", "scratch")]
    pairs += [(with_frozen_stages(k), "fine-tuned") for k in freeze]
    lines, comparisons = [], len(pairs) * len(labels)
    for n in labels:
        for name, other in ((with_labels(a, n), with_labels(b, n)) for a, b in pairs):
            if name in groups and other in groups:
                difference = accuracy_difference(groups[name], groups[other], comparisons)
                lines.append(difference.sentence(f"test accuracy, {name} minus {other}"))
    return lines


def compare_augmentations(groups: Groups, sets: Iterable[str], fractions: list[float]) -> list[str]:
    """Return what all augmentations together gain, and what each gains."""
    gains = find_gains(groups, sets, fractions)
    return [gain.sentence(f"test accuracy, {a} minus {b}") for (*_, a, b), gain in gains.items()]


def find_gains(
    groups: Groups, sets: Iterable[str], fractions: list[float]
) -> dict[Pair, Difference]:
    """Return the gain in test accuracy of each of `pairs_of`, where neither network diverged."""
    pairs = pairs_of(sets, fractions)
    return {
        (*what, a, b): accuracy_difference(groups[a], groups[b], len(pairs))
        for *what, a, b in pairs
        if a in groups and b in groups
    }


def pairs_of(sets: Iterable[str], fractions: list[float]) -> list[Pair]:
    """Return what is compared: fraction, augmentation, kind, and the two networks."""
    pairs = [("all", "together", "all", "none")]
    for name in AUGMENTATIONS:
        pairs.append((name, "alone", name, "none"))
        pairs.append((name, "leave-one-out", "all", f"all but {name}"))
    return [
        (fraction, name, kind, label(a, fraction), label(b, fraction))
        for fraction in fractions
        for name, kind, a, b in pairs
        if a in sets and b in sets
    ]


def by_augmentation(gains: dict[Pair, Difference], fractions: list[float]) -> dict:
    """Return by fraction, augmentation and kind: the gain in test accuracy, low end, high end."""
    found = {f"{fraction:g}": {name: {} for name in AUGMENTATIONS} for fraction in fractions}
    for (fraction, name, kind, *_), gain in gains.items():
        if name in AUGMENTATIONS:
            found[f"{fraction:g}"][name][kind] = gain.mean, gain.low, gain.high
    return found
