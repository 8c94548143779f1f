"""The study of transfer: three ways to a classifier, and the pretraining that two of them need.

scratch     all weights start at random
frozen      the pretrained backbone stays as it is: it maps every image to 512 features once,
            and only a linear head is trained, on those, for as long as it gets better: its steps
            cost next to nothing
fine-tuned  a new head and the pretrained backbone are trained together, the backbone at a tenth
            of the head's learning rate: it is nearly right already, and the head is not
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from section4_transfer.augment import Pipeline
from section4_transfer.engine.recipe import Recipe, passes_for
from section4_transfer.models import initialise, resnet18
from section4_transfer.pretrained import (
    PretrainedWeights,
    all_quarter_turns,
    load_backbone,
    quarter_turns,
)
from section4_transfer.study import plots_transfer
from section4_transfer.study.template import Study
from section4_transfer.study.variants import Groups, Variant, with_fraction
from section4_transfer.training import extract_features, fit
from shared_utils.datasets.color_images import generator
from shared_utils.errors import UserError
from shared_utils.runs import NO_RUN, History, TrainingRun
from shared_utils.runs.outcomes import Outcome, accuracy_difference

METHODS = ("scratch", "frozen", "fine-tuned")
HEAD_STEPS = 5000  # at least: where the head's validation accuracy has come to rest


@dataclass(frozen=True)
class Features:
    """The backbone's features of the images that are not augmented: every image is seen once."""

    train: Tensor  # (N, 512)
    val: Tensor
    seconds: float  # that those of the training images took


@dataclass
class TransferStudy(Study):
    """A network for every method, fraction of the labels and seed.

    `lrs` holds each method's learning rate. Without `weights`, each seed pretrains a backbone of
    its own, by `pretraining`.
    """

    size: int  # of the images that the network sees
    fractions: dict[float, Tensor]  # of the training images, and which they are
    lrs: dict[str, float]
    weights: PretrainedWeights | None
    pretraining: Recipe
    used: dict[int, PretrainedWeights] = field(default_factory=dict, init=False)  # by seed

    shorter = "--resize 64, --fractions 0.1, --limit 5000, --pretrain-epochs 2, --quick"

    @property
    def total_work(self) -> float:
        """In passes over all images; the frozen head's steps cost next to nothing."""
        passes = sum(2 * self.recipe.epochs * passes_for(f) * f for f in self.fractions)
        return len(self.seeds) * (passes + (0 if self.weights else self.pretraining.epochs))

    def variants(self) -> Iterator[Variant]:
        """Yield the methods on every fraction, seed by seed."""
        for seed in self.seeds:
            weights = self.used[seed] = self.weights or self.pretrain(seed)
            features = self.frozen_features(weights, seed)
            for fraction, kept in self.fractions.items():
                for method in METHODS:
                    yield self.variant(method, fraction, kept, weights, features, seed)

    def variant(
        self,
        method: str,
        fraction: float,
        kept: Tensor,
        weights: PretrainedWeights,
        features: Features,
        seed: int,
    ) -> Variant:
        """Return a network, about to be trained by a method on the images `kept`."""
        data, recipe = (
            self.data,
            replace(self.recipe, lr=self.lrs[method], passes=passes_for(fraction)),
        )
        model = self.network(None if method == "scratch" else weights, seed)
        pipeline = self.pipeline(None if method == "scratch" else weights)
        if method == "frozen":
            train = partial(self.fit_head, model, features, kept, recipe, seed=seed)
        else:
            split = data.x_train[kept], data.y_train[kept]
            groups = backbone_slower(model, recipe.lr) if method == "fine-tuned" else None
            train = partial(
                *(fit, model, split, (data.x_val, data.y_val), pipeline, recipe, self.runtime),
                seed=seed,
                groups=groups,
            )
        return Variant(
            with_fraction(method, fraction),
            seed,
            model,
            pipeline,
            train,
            work=recipe.epochs * recipe.passes * fraction,
            file=method if fraction == max(self.fractions) else "",
        )

    def pretrain(self, seed: int) -> PretrainedWeights:
        """Teach a ResNet-18 to tell quarter turns of the training images; no label is used.

        Raises UserError when the loss is no longer finite: nothing can follow.
        """
        data, recipe = self.data, self.pretraining
        model = initialise(resnet18(4), generator(seed, "init of pretraining"))
        augmentations = [*self.augmentations, quarter_turns]
        pipeline = Pipeline(*data.statistics(), augmentations, self.size)
        try:
            history = fit(
                model,
                (data.x_train, torch.zeros_like(data.y_train)),
                all_quarter_turns(data.x_val),
                *(pipeline, recipe),
                self.runtime,
                seed=seed,
                run=self.training_run("rotation", seed, recipe.epochs, recipe.epochs),
            )
        except FloatingPointError as error:
            raise UserError(
                f"pretraining, {error}: try a smaller --lr, or other --weights"
            ) from error
        outcome = Outcome("rotation", seed, model, history)
        turns = [f"turned by {90 * k} degrees" for k in range(4)]
        self.save("rotation", outcome, pipeline, classes=turns)
        return PretrainedWeights("rotation", model.state_dict(), history=history)

    def frozen_features(self, weights: PretrainedWeights, seed: int) -> Features:
        """Return the backbone's features of the training and validation images."""
        model, pipeline = self.network(weights, seed), self.pipeline(weights)
        clock = time.perf_counter()
        train = extract_features(model, self.data.x_train, pipeline, self.runtime)
        seconds = time.perf_counter() - clock
        val = extract_features(model, self.data.x_val, pipeline, self.runtime)
        return Features(train, val, seconds)

    def fit_head(
        self,
        model: nn.Module,
        features: Features,
        kept: Tensor,
        recipe: Recipe,
        *,
        seed: int,
        run: TrainingRun = NO_RUN,
    ) -> History:
        """Train the head of `model` on the features of the images `kept`.

        It is trained to its end: passes are added to the recipe's epochs until they have
        `HEAD_STEPS`.
        """
        steps_in_a_pass = math.ceil(len(kept) / recipe.batch_size)
        passes = math.ceil(HEAD_STEPS / (recipe.epochs * steps_in_a_pass))
        history = fit(
            model.fc,
            (features.train[kept.to(features.train.device)], self.data.y_train[kept]),
            (features.val, self.data.y_val),
            lambda x, y, generator: (x, y),
            replace(recipe, passes=max(recipe.passes, passes)),
            self.runtime,
            seed=seed,
            run=run,
        )
        # The time of its features counts, too.
        before = features.seconds * len(kept) / len(features.train)
        history.seconds += before
        history.series["seconds"] = [s + before for s in history.series["seconds"]]
        return history

    def network(self, weights: PretrainedWeights | None, seed: int) -> nn.Module:
        """Return a ResNet-18: a new head, equal in all methods, and the pretrained backbone."""
        model = initialise(resnet18(len(self.data.classes)), generator(seed, "init"))
        if weights is not None:
            load_backbone(model, weights)
        return model

    def pipeline(self, weights: PretrainedWeights | None) -> Pipeline:
        """Return what makes of bytes what a network with these weights expects."""
        data = self.data
        normalization = weights.normalization_for(data) if weights else data.statistics()
        return Pipeline(*normalization, self.augmentations, self.size)

    def conclusions(self, groups: Groups) -> list[str]:
        """Return what pretraining changes for each number of labels."""
        lines, comparisons = [], 2 * len(self.fractions)
        for fraction in self.fractions:
            scratch = with_fraction("scratch", fraction)
            for name in (with_fraction("frozen", fraction), with_fraction("fine-tuned", fraction)):
                if name in groups and scratch in groups:
                    difference = accuracy_difference(groups[name], groups[scratch], comparisons)
                    lines.append(difference.sentence(f"test accuracy, {name} minus {scratch}"))
        return lines

    def details(self, groups: Groups) -> dict:
        """Return which weights were used, and how long it took to make them."""
        first = self.used[self.seeds[0]]
        return {"weights": first.origin, "pretrain_seconds": first.seconds}

    def draw(self, path: Path, groups: Groups) -> None:
        """Draw the figures of this study."""
        sizes = {fraction: len(kept) for fraction, kept in self.fractions.items()}
        plots_transfer.draw_all(path, groups, sizes, self.used[self.seeds[0]], self.data.title)


def backbone_slower(model: nn.Module, lr: float) -> list[dict]:
    """Return the optimizer's parameter groups: the backbone at a tenth of the head's lr."""
    backbone = [p for name, p in model.named_parameters() if not name.startswith("fc.")]
    return [{"params": backbone, "lr": lr / 10}, {"params": list(model.fc.parameters()), "lr": lr}]
