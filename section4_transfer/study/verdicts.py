"""What the three studies found, in computed sentences.

Each study makes several comparisons, and one in twenty would seem clear by chance: so all intervals
of a study are widened until they hold together.
"""

from collections.abc import Iterable, Sequence

from section4_transfer.augment import AUGMENTATIONS
from section4_transfer.study.labels import with_frozen_stages, with_labels
from section4_transfer.study.variants import Groups, label
from shared_utils.runs.outcomes import Outcome, accuracy_difference
from shared_utils.stats import Difference, paired_difference


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
    for what, difference, compared in (
        ("test accuracy", accuracy_difference, pairs + deeper),
        ("training error in the last epoch", training_error_difference, deeper),
    ):
        for a, b in compared:
            if a in groups and b in groups:
                found = difference(groups[a], groups[b], comparisons)
                lines.append(found.sentence(f"{what}, {a} minus {b}"))
    return lines + [_gradients(name, outcomes[0]) for name, outcomes in groups.items()]


def training_error(outcome: Outcome) -> float:
    """Return which part of the training images was wrong in the last epoch.

    That is on augmented images, while the network learned. That it grows with depth is called
    degradation; overfitting would show in the test alone.
    """
    return 1 - outcome.history.rows[-1]["train_acc"]


def training_error_difference(
    a: list[Outcome], b: list[Outcome], comparisons: int = 1
) -> Difference:
    """Return the difference in training error, a minus b, of outcomes paired by their seeds."""
    others = {outcome.seed: training_error(outcome) for outcome in b}
    pairs = [(training_error(one), others[one.seed]) for one in a if one.seed in others]
    ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
    return paired_difference(ours, theirs, comparisons=comparisons)


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


def pairs_of(sets: Iterable[str], fraction: float) -> dict[str, dict[str, tuple[str, str]]]:
    """Return for each augmentation the pairs of `sets` that differ in it alone: with, without."""
    pairs = {
        name: {"alone": (name, "none"), "leave-one-out": ("all", f"all but {name}")}
        for name in AUGMENTATIONS
    }
    return {
        name: {
            kind: (label(a, fraction), label(b, fraction))
            for kind, (a, b) in kinds.items()
            if a in sets and b in sets
        }
        for name, kinds in pairs.items()
    }


def all_pairs(sets: Iterable[str], fractions: list[float]) -> list[tuple[str, str]]:
    """Return the pairs of every fraction that are compared: all with none, and those above.

    Among so many intervals of 95 % each, one that misses the truth would be no surprise. So each is
    widened until all of them together hold with 95 %.
    """
    pairs = []
    for fraction in fractions:
        if "all" in sets and "none" in sets:
            pairs.append((label("all", fraction), label("none", fraction)))
        for kinds in pairs_of(sets, fraction).values():
            pairs += kinds.values()
    return pairs


def find_gains(groups: Groups, sets: Iterable[str], fractions: list[float]) -> dict:
    """Return by fraction, augmentation and kind: the gain in test accuracy, low end, high end."""
    comparisons = len(all_pairs(sets, fractions))
    return {
        f"{fraction:g}": {
            name: {
                kind: (gain.mean, gain.low, gain.high)
                for kind, pair in kinds.items()
                if (gain := _gain(groups, pair, comparisons)) is not None
            }
            for name, kinds in pairs_of(sets, fraction).items()
        }
        for fraction in fractions
    }


def compare_augmentations(groups: Groups, sets: Iterable[str], fractions: list[float]) -> list[str]:
    """Return sentences: what all augmentations together gain, and what each gains."""
    pairs = all_pairs(sets, fractions)
    return [
        gain.sentence(f"test accuracy, {pair[0]} minus {pair[1]}")
        for pair in pairs
        if (gain := _gain(groups, pair, len(pairs))) is not None
    ]


def _gain(groups: Groups, pair: tuple[str, str], comparisons: int) -> Difference | None:
    """Return the difference between the two of a pair; None where one has diverged."""
    if not all(name in groups for name in pair):
        return None
    return accuracy_difference(*(groups[name] for name in pair), comparisons)
