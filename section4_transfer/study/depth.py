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
from section4_transfer.study import plots_depth
from section4_transfer.study.degradation import training_error_difference
from section4_transfer.study.template import Study
from section4_transfer.study.variants import Groups, Variant
from section4_transfer.training import fit
from shared_utils.datasets.color_images import generator
from shared_utils.runs.outcomes import Outcome, accuracy_difference


@dataclass
class DepthStudy(Study):
    """A residual network and a plain one for every depth and seed."""

    depths: list[int]
    kinds: Sequence[str] = ("resnet", "plain")  # both, or one of them

    shorter = "--epochs 2, --limit 5000, --quick"

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
        first, last = self.depths[0], self.depths[-1]
        twins = [(f"resnet-{depth}", f"plain-{depth}") for depth in self.depths]
        pairs = twins if len(self.kinds) == 2 else []
        deeper = [(f"{k}-{last}", f"{k}-{first}") for k in self.kinds] if first != last else []
        # With one seed, a training error has no interval.
        comparisons = len(pairs) + len(deeper) * (1 + (len(self.seeds) > 1))
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

    def draw(self, path: Path, groups: Groups) -> None:
        """Draw the figures of this study."""
        plots_depth.draw_all(path, groups, self.depths, self.data.title)


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
