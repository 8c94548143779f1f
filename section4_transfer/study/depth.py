"""The study of depth and shortcuts: residual networks and their plain twins.

The twins of a depth start from the same weights and see the same batches; they differ in the
shortcuts alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from section4_transfer.augment import Pipeline
from section4_transfer.models import CifarNet, initialise
from section4_transfer.study import plots_depth
from section4_transfer.study.template import Study
from section4_transfer.study.variants import Groups, Variant
from section4_transfer.training import fit
from shared_utils.datasets.color_images import generator
from shared_utils.runs.outcomes import accuracy_difference

KINDS = ("resnet", "plain")


@dataclass
class DepthStudy(Study):
    """A residual network and a plain one for every depth and seed."""

    depths: list[int]

    shorter = "--epochs 2, --limit 5000, --quick"

    @property
    def total_work(self) -> float:
        """A network's time grows with its depth."""
        return 2 * sum(self.depths) * len(self.seeds)

    def variants(self) -> Iterator[Variant]:
        """Yield the twins of every depth and seed."""
        data = self.data
        pipeline = Pipeline(*data.statistics(), self.augmentations)
        train, val = (data.x_train, data.y_train), (data.x_val, data.y_val)
        for depth in self.depths:
            for seed in self.seeds:
                for kind in KINDS:
                    model = CifarNet(depth, len(data.classes), residual=kind == "resnet")
                    initialise(model, generator(seed, "init"))  # the same for both twins
                    learn = partial(
                        fit, model, train, val, pipeline, self.recipe, self.runtime, seed=seed
                    )
                    name = f"{kind}-{depth}"
                    yield Variant(name, seed, model, pipeline, learn, depth, name)

    def conclusions(self, groups: Groups) -> list[str]:
        """Return what the shortcuts change at each depth, and what depth changes."""
        first, last = self.depths[0], self.depths[-1]
        pairs = [(f"resnet-{depth}", f"plain-{depth}") for depth in self.depths]
        if first != last:
            pairs += [(f"{kind}-{last}", f"{kind}-{first}") for kind in KINDS]
        lines = []
        for a, b in pairs:
            if a in groups and b in groups:
                difference = accuracy_difference(groups[a], groups[b], comparisons=len(pairs))
                lines.append(difference.sentence(f"test accuracy, {a} minus {b}"))
        for name, outcomes in groups.items():
            norm = outcomes[0].history.series["gradient_norms"][0][0]
            lines.append(f"gradient norm at the first convolution, epoch 1, {name}: {norm:.3g}")
        return lines

    def draw(self, path: Path, groups: Groups) -> None:
        """Draw the figures of this study."""
        plots_depth.draw_all(path, groups, self.depths, self.data.title)
