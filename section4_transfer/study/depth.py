"""The study of depth and shortcuts: residual networks and their plain twins.

The twins of a depth start from the same weights and see the same batches; they differ in the
shortcuts alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from section4_transfer.augment import Pipeline
from section4_transfer.models import CifarNet, initialise
from section4_transfer.study import depth_plots
from section4_transfer.study.base import Study
from section4_transfer.study.variants import Groups, Variant
from section4_transfer.study.verdicts import compare_depths
from section4_transfer.training import fit
from shared_utils.datasets.color_images import generator


@dataclass
class DepthStudy(Study):
    """A residual network and a plain one for every depth and seed."""

    depths: list[int]
    kinds: Sequence[str] = ("resnet", "plain")  # both, or one of them

    shorter = "fewer --epochs, a smaller --limit, --quick"

    @property
    def total_work(self) -> float:
        """A network's time grows with its depth."""
        return len(self.kinds) * sum(self.depths) * len(self.seeds)

    def variants(self) -> Iterator[Variant]:
        """Yield the twins of every depth and seed."""
        data = self.data
        pipeline = Pipeline(*data.statistics(), self.augmentations)
        train, val = (data.x_train, data.y_train), (data.x_val, data.y_val)
        for depth in self.depths:
            for seed in self.seeds:
                for kind in self.kinds:
                    model = CifarNet(depth, len(data.classes), residual=kind == "resnet")
                    initialise(model, generator(seed, "init"))  # the same for both twins
                    learn = partial(
                        fit, model, train, val, pipeline, self.recipe, self.runtime, seed=seed
                    )
                    name = f"{kind}-{depth}"
                    yield Variant(name, seed, model, pipeline, learn, depth, name)

    def conclusions(self, groups: Groups) -> list[str]:
        """Return what the shortcuts change at each depth, what depth changes, and the gradients."""
        return compare_depths(groups, self.depths, self.kinds, len(self.seeds))

    def draw(self, path: Path, groups: Groups) -> None:
        """Draw the figures of this study."""
        depth_plots.draw_all(path, groups, self.depths, self.data.title)
