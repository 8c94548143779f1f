"""Four questions to networks on digits, each a table of searches.

    weight-scale   how large may the initial weights be, with and without batch norm?
    batch-size     how small may the batches be, with batch norm and with layer norm?
    overfitting    what do dropout and weight decay do where there are too few images?
    learning-rate  which rate does a batch of which size need?

Where the rate is not the question, every network is trained with several, and keeps its best one.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from section2_optimization.study.digit_search import Search, Setting
from shared_utils.stats import paired_difference

LRS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
MANY_LRS = tuple(0.001 * 2**k for k in range(11))  # fine, as the rate itself is the question
DEEP = Setting(hidden=(50,) * 5, lr=0.03)
WIDE = Setting(hidden=(200, 200), lr=0.03)
SHALLOW = Setting(hidden=(100,), lr=0.03)

NORMS = {"": "no normalisation", "batch": "batch norm", "layer": "layer norm"}
WEIGHT_SCALES = (0.03, 0.1, 0.3, 1, 3, 10, 30)
SMALL_TO_LARGE = (2, 8, 32, 128)
BATCH_SIZES = (4, 16, 64, 256)
DROPOUTS = (0.1, 0.25, 0.5, 0.75)
DECAYS = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2)

Key = tuple  # of a search: the line of the figure, and the place on it
Searches = Mapping[Key, Search]


@dataclass(frozen=True)
class Experiment:
    """Which settings are searched, and what is concluded; epochs are in units of `--epochs`."""

    plan: Mapping[Key, list[Setting]]
    conclude: Callable[[Searches], list[str]]
    epochs: int = 1
    measurements: int = 1


def with_lrs(setting: Setting, lrs: Iterable[float] = LRS) -> list[Setting]:
    """Return the setting with each of the rates."""
    return [replace(setting, lr=lr) for lr in lrs]


def compare_norms(found: Searches, a: str, b: str, where: str) -> list[str]:
    """Compare two normalisations at every place on the axis where both were trained."""
    places, lines = list(dict.fromkeys(place for _, place in found)), []
    for place in places:
        what = f"{where.format(place)}: test accuracy, {NORMS[a]} minus {NORMS[b]}"
        lost = [NORMS[norm] for norm in (a, b) if found[norm, place].diverged]
        if lost:
            lines.append(
                f"{what}: nothing to compare, some seed of {' and of '.join(lost)} diverged"
                " at every rate"
            )
            continue
        difference = paired_difference(
            found[a, place].test("acc"), found[b, place].test("acc"), comparisons=len(places)
        )
        lines.append(difference.sentence(what))
    return lines


def conclude_overfitting(found: Searches) -> list[str]:
    """Compare the chosen dropout and the chosen decay with neither."""
    nothing, lines = found["neither",], []
    gap = nothing.final("train_acc").mean() - nothing.final("val_acc").mean()
    lines.append(f"without both: training minus validation accuracy {100 * gap:.2f} points")
    for key in ("dropout", "weight_decay"):
        chosen = found[key,]
        name = f"{key.replace('_', ' ')} {getattr(chosen.setting, key):g}"
        for metric, words, form in (
            ("loss", "test loss", {"unit": "", "scale": 1, "digits": 3}),
            ("acc", "test accuracy", {}),
        ):
            difference = paired_difference(chosen.test(metric), nothing.test(metric), comparisons=4)
            lines.append(difference.sentence(f"{words}, {name} minus neither", **form))
    return lines


def conclude_learning_rates(found: Searches) -> list[str]:
    """Compare the best rates of the largest and the smallest batches, in doublings.

    The grid of rates is as coarse as what is asked, so each seed's answer is told, and no interval.
    """
    small, large = BATCH_SIZES[0], BATCH_SIZES[-1]
    doublings = math.log2(large / small)
    growth = np.log2(np.divide(*(best_lrs(found[size,]) for size in (large, small))))
    chosen = ", ".join(f"{search.setting.lr:g} for {size}" for (size,), search in found.items())
    return [
        f"best rates: {chosen}",
        f"from batches of {small} to batches of {large} the best rate grows by"
        f" {growth.min():.3g} to {growth.max():.3g} doublings, {growth.mean():.3g} on average of"
        f" {len(growth)} seeds; in proportion it would be {doublings:g}, by the root"
        f" {doublings / 2:g}",
    ]


def best_lrs(search: Search) -> list[float]:
    """Return the rate with the lowest validation loss for each seed by itself."""
    return [search.settings[i].lr for i in search.final("val_loss").argmin(axis=0)]


EXPERIMENTS = {
    "weight-scale": Experiment(
        {
            (norm, scale): with_lrs(replace(DEEP, norm=norm, weight_scale=scale))
            for norm in ("", "batch")
            for scale in WEIGHT_SCALES
        },
        partial(compare_norms, a="batch", b="", where="initial weights {:g} times He's"),
    ),
    "batch-size": Experiment(
        {
            (norm, size): with_lrs(replace(DEEP, norm=norm, batch_size=size))
            for norm in ("batch", "layer")
            for size in SMALL_TO_LARGE
        },
        partial(compare_norms, a="batch", b="layer", where="batches of {}"),
    ),
    "overfitting": Experiment(
        {
            ("neither",): [WIDE],
            ("dropout",): [replace(WIDE, dropout=p) for p in DROPOUTS],
            ("weight_decay",): [replace(WIDE, weight_decay=decay) for decay in DECAYS],
        },
        conclude_overfitting,
        epochs=5,
        measurements=25,
    ),
    "learning-rate": Experiment(
        {(size,): with_lrs(replace(SHALLOW, batch_size=size), MANY_LRS) for size in BATCH_SIZES},
        conclude_learning_rates,
    ),
}
