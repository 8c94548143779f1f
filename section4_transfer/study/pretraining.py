"""Pretraining on labelled images: features that other tasks can start from."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from section4_transfer.augment import Pipeline
from section4_transfer.models import initialise, resnet18
from section4_transfer.study import transfer_plots
from section4_transfer.study.base import Study
from section4_transfer.study.variants import Groups, Variant
from section4_transfer.training import fit
from shared_utils.datasets.color_images import generator
from shared_utils.runs.outcomes import Outcome

NAME = "resnet18"  # of the network and of its files


@dataclass
class Pretraining(Study):
    """A ResNet-18 for every seed; the first one's weights are saved."""

    size: int  # of the images that the network sees

    shorter = "fewer --epochs, a smaller --resize or --limit, --quick"

    @property
    def total_work(self) -> float:
        """One unit a network."""
        return len(self.seeds)

    def variants(self) -> Iterator[Variant]:
        """Yield one network a seed."""
        data = self.data
        pipeline = Pipeline(*data.statistics(), self.augmentations, self.size)
        train, val = (data.x_train, data.y_train), (data.x_val, data.y_val)
        for seed in self.seeds:
            model = initialise(resnet18(len(data.classes)), generator(seed, "init"))
            learn = partial(fit, model, train, val, pipeline, self.recipe, self.runtime, seed=seed)
            yield Variant(NAME, seed, model, pipeline, learn, work=1.0, file=NAME)

    def save(self, file: str, outcome: Outcome, pipeline: Pipeline, **changes) -> None:
        """Save the weights; beside them also how long they took, which a comparison counts."""
        seconds = outcome.history.seconds
        super().save(file, outcome, pipeline, train_seconds=seconds, **changes)

    def conclusions(self, groups: Groups) -> list[str]:
        """Return nothing: there is nothing to compare."""
        return []

    def draw(self, path: Path, groups: Groups) -> None:
        """Draw the course of the training."""
        history = groups[NAME][0].history
        transfer_plots.curves(path / "curves.png", {NAME: history}, self.data.title)
