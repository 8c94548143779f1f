"""The template of a study: train every variant with every seed, test each once, report.

A study says which variants there are, what follows from them and what is drawn. Validation chooses
each network's epoch; the test set is looked at once, when all networks are trained.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from section4_transfer.augment import Augmentation, Pipeline, crop, flip
from section4_transfer.engine.devices import crowded
from section4_transfer.engine.recipe import Recipe
from section4_transfer.engine.runtime import Runtime
from section4_transfer.engine.weights import save_weights
from section4_transfer.study import class_plots
from section4_transfer.study.classes import class_report
from section4_transfer.study.saved import describe_network
from section4_transfer.study.variants import Groups, Variant
from section4_transfer.training import predict
from shared_utils.datasets.color_images import TorchData
from shared_utils.errors import UserError
from shared_utils.plotting import show_figures
from shared_utils.runs import RunFolder, TrainingRun
from shared_utils.runs.outcomes import Outcome, by_name, summarize, table
from shared_utils.weights_about import describe_weights

LONG_SECONDS = 600


@dataclass
class Study:
    """What the studies share. `folder` is None in processes beside the main one."""

    data: TorchData
    runtime: Runtime
    recipe: Recipe
    seeds: range
    folder: RunFolder | None
    announced: bool = field(default=False, init=False)  # how long it takes
    crowded_epochs: int = field(default=0, init=False)  # in a row: other programs on the cores

    total_work = 1.0  # of all trainings together
    shorter = ""  # flags that shorten the study

    @property
    def augmentations(self) -> list[Augmentation]:
        """The augmentations of a network that is trained as usual; a 2 has no mirror image."""
        shift = partial(crop, pad=self.recipe.crop)
        return [shift] if self.data.name == "photo-digits" else [shift, flip]

    def variants(self) -> Iterator[Variant]:
        """Yield every network to train. What they share may be made on the way."""
        raise NotImplementedError

    def conclusions(self, groups: Groups) -> list[str]:
        """Return what follows from the results, a sentence each."""
        raise NotImplementedError

    def details(self, groups: Groups) -> dict:
        """Return what the summary holds beside the results of every variant."""
        return {}

    def draw(self, path: Path, groups: Groups) -> None:
        """Draw the study's figures into the folder `path`."""
        raise NotImplementedError

    def run(self, no_show: bool) -> dict:
        """Train, test and report; return the summary ({} in processes beside the main one)."""
        trained = []
        for variant in self.variants():
            outcome = self.train(variant)
            if outcome is not None:
                trained.append((outcome, variant.pipeline))
        if not trained:
            raise UserError("every network diverged: try a smaller --lr")
        for outcome, pipeline in trained:  # all choices are made: the test set, once
            scores = predict(outcome.model, self.data.x_test, pipeline, self.runtime)
            outcome.test(scores.numpy(), self.data.y_test.numpy())
            outcome.model.cpu()
        if self.folder is None:
            return {}
        groups = by_name(outcome for outcome, _ in trained)
        summary = self.report(groups)
        self.draw(self.folder.path, groups)
        class_plots.confusion(self.folder.path / "confusion.png", groups, self.data)
        print(f"weights, metrics and figures: {self.folder.path}")
        show_figures(no_show)
        return summary

    def train(self, variant: Variant) -> Outcome | None:
        """Train one network and save the first seed's weights; None when its loss diverges."""
        name, seed = variant.name, variant.seed
        run = self.training_run(name, seed, self.recipe.epochs, variant.work)
        try:
            history = variant.train(run=run)
        except FloatingPointError as error:
            if self.runtime.is_main:
                _print(f"{name}, seed {seed}: {error}: it is stopped here; try a smaller --lr")
            return None
        outcome = Outcome(name, seed, variant.model, history)
        if variant.file:
            self.save(variant.file, outcome, variant.pipeline)
        return outcome

    def training_run(self, name: str, seed: int, epochs: int, work: float) -> TrainingRun:
        """Return a network's place in the run folder, which shows its epochs."""
        first, self.announced = self.runtime.is_main and not self.announced, True
        return self.runtime.training_run(
            self.folder,
            f"{name}, seed {seed}",
            {"arm": name, "seed": seed},
            show=partial(self.show_epoch, epochs),
            on_estimate=partial(self.announce, work) if first else None,
        )

    def show_epoch(self, epochs: int, row: dict) -> None:
        """Print an epoch's row of the metrics."""
        _print(
            f"{row['arm']}, seed {row['seed']}, epoch {row['epoch']}/{epochs}:"
            f" train loss {row['train_loss']:.3f}, acc {row['train_acc']:.2%};"
            f" val loss {row['val_loss']:.3f}, acc {row['val_acc']:.2%}"
        )
        self.warn_if_crowded()

    def warn_if_crowded(self) -> None:
        """Say, once, when one thread was clearly faster at the ends of two epochs in a row."""
        on_cpu = self.runtime.is_main and self.runtime.device.type == "cpu"
        if not on_cpu or self.crowded_epochs == 2:
            return
        self.crowded_epochs = self.crowded_epochs + 1 if crowded() else 0
        if self.crowded_epochs == 2:
            _print(
                "*** other programs are at work on the processor's cores: if that lasts, stop this"
                " run (Ctrl-C) and continue it with --resume --threads 1, which is faster now ***"
            )

    def announce(self, work: float, seconds: float) -> None:
        """Say how long the study takes, if that is long, when one training takes `seconds`."""
        total = seconds * self.total_work / work
        if total > LONG_SECONDS:
            minutes = f"{total / 60:.0f} minutes"
            _print(f"*** this run will take about {minutes}; shorter: {self.shorter} ***")

    def save(self, file: str, outcome: Outcome, pipeline: Pipeline, **changes) -> None:
        """Save the first seed's weights, and beside them a JSON that says what they are."""
        if self.folder is None or outcome.seed != self.seeds[0]:
            return
        about = {"arm": outcome.name, "precision": self.runtime.precision}
        about |= describe_weights(self.data, outcome) | describe_network(outcome.model, pipeline)
        save_weights(self.folder.path / f"{file}.pt", outcome.model.state_dict())
        self.folder.write_json(f"{file}.json", about | changes)

    def report(self, groups: Groups) -> dict:
        """Write and print the summary; return it."""
        summary = {"data": self.data.name} | self.details(groups)
        summary["runs"] = {name: summarize(outcomes) for name, outcomes in groups.items()}
        summary["conclusions"] = self.conclusions(groups)
        classes, lines = class_report(groups, self.data)
        self.folder.write_json("summary.json", summary | classes)
        print(f"\n{table(summary['runs'])}\n")
        for paragraph in filter(None, (lines, summary["conclusions"])):
            print("\n".join(paragraph), end="\n\n")
        return summary | classes


def _print(line: str) -> None:
    """Print a line without breaking the progress bar."""
    from tqdm import tqdm

    tqdm.write(line)
