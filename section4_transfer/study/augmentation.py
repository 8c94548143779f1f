"""The study of augmentation: what each gains, alone and left out, and how sure that is.

Alone: the network with it minus the network without any. Leave-one-out: the network with all minus
the network with all but it. There are many such differences, and their intervals hold together.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from torch import Tensor

from section4_transfer.augment import AUGMENTATIONS, Pipeline, augmentations_of
from section4_transfer.engine.recipe import passes_for
from section4_transfer.models import CifarNet, initialise, resnet18
from section4_transfer.study import augmentation_plots
from section4_transfer.study.base import Study
from section4_transfer.study.variants import Groups, Variant, label
from section4_transfer.study.verdicts import by_augmentation, compare_augmentations, find_gains
from section4_transfer.training import fit
from shared_utils.datasets.color_images import generator
from shared_utils.runs.outcomes import Outcome

MODELS = {"resnet18": resnet18, "resnet20": lambda classes: CifarNet(20, classes)}


@dataclass
class AugmentationStudy(Study):
    """A network for every set of augmentations, fraction of the images and seed."""

    model: str
    size: int  # of the images that the network sees
    fractions: dict[float, Tensor]  # of the training images, and which they are
    sets: dict[str, list[str]]  # of augmentations, by name: some of `augmentation_sets`

    best: float = field(default=-1.0, init=False)  # validation accuracy of the network saved

    shorter = "fewer --epochs, --model resnet20, a smaller --resize or --limit, --quick"

    @property
    def total_work(self) -> float:
        """In passes over all images; each set of augmentations takes about as long."""
        shown = sum(passes_for(fraction) * fraction for fraction in self.fractions)
        return shown * len(self.sets) * len(self.seeds)

    def variants(self) -> Iterator[Variant]:
        """Yield every set of augmentations on every fraction, all seeds of it."""
        for fraction in self.fractions:
            for name, augmentations in self.sets.items():
                for seed in self.seeds:
                    yield self.variant(name, augmentations, fraction, seed)

    def variant(self, name: str, augmentations: list[str], fraction: float, seed: int) -> Variant:
        """Return a network, about to be trained with these augmentations."""
        data, kept = self.data, self.fractions[fraction]
        classes, passes = len(data.classes), passes_for(fraction)
        model = initialise(MODELS[self.model](classes), generator(seed, "init"))
        augmentations = augmentations_of(augmentations, classes, self.recipe.crop)
        pipeline = Pipeline(*data.statistics(), augmentations, self.size)
        train = partial(
            fit,
            model,
            data.part("train", kept),
            (data.x_val, data.y_val),
            pipeline,
            replace(self.recipe, passes=passes),
            self.runtime,
            seed=seed,
        )
        work = passes * fraction
        return Variant(label(name, fraction), seed, model, pipeline, train, work, file="best")

    def save(self, file: str, outcome: Outcome, pipeline: Pipeline, **changes) -> None:
        """Save the weights if no network before was better in validation: all would be many."""
        if outcome.seed == self.seeds[0] and outcome.history.best["val_acc"] > self.best:
            self.best = outcome.history.best["val_acc"]
            super().save(file, outcome, pipeline, **changes)

    def details(self, groups: Groups) -> dict:
        """Return the gains: by fraction, augmentation and kind, mean and interval."""
        gains = find_gains(groups, self.sets, list(self.fractions))
        return {"gains": by_augmentation(gains, list(self.fractions))}

    def conclusions(self, groups: Groups) -> list[str]:
        """Return what all augmentations together gain, and what each gains."""
        return compare_augmentations(groups, self.sets, list(self.fractions))

    def draw(self, path: Path, groups: Groups) -> None:
        """Draw the figures of this study."""
        sizes = {fraction: len(kept) for fraction, kept in self.fractions.items()}
        gains = self.details(groups)["gains"]
        images = f"{self.data.title}, {len(self.data.y_train):,} images of {self.size} pixels"
        augmentation_plots.draw_all(path, groups, gains, sizes, images)
        augmentation_plots.grid(path / "grid.png", self.data, self.recipe.crop)


def augmentation_sets() -> dict[str, list[str]]:
    """Return the names of the augmentations that each variant uses."""
    alone = {name: [name] for name in AUGMENTATIONS}
    but_one = {f"all but {a}": [b for b in AUGMENTATIONS if b != a] for a in AUGMENTATIONS}
    return {"none": [], **alone, "all": list(AUGMENTATIONS), **but_one}


def choose_sets(names: list[str] | None) -> dict[str, list[str]]:
    """Return the sets of these names, all for None. Raises ValueError for an unknown name."""
    sets = augmentation_sets()
    if unknown := sorted(set(names or ()) - set(sets)):
        raise ValueError(f"{unknown[0]!r} is not one of {', '.join(map(repr, sets))}")
    return {name: sets[name] for name in sets if names is None or name in names}
