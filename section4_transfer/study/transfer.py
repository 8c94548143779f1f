"""The study of transfer: three ways to a classifier, and the pretraining that two of them need.

scratch     all weights start at random
frozen      the pretrained backbone stays as it is: it maps every image to 512 features once,
            and only a linear head is trained, on those, for as long as it gets better: its steps
            cost next to nothing
fine-tuned  a new head and the pretrained backbone are trained together, the backbone at a tenth
            of the head's learning rate: it is nearly right already, and the head is not

With `freeze`, fine-tuning also leaves the first k stages of the backbone as they are: early layers
are said to be general, late ones special to the task they were trained for (Yosinski et al. 2014,
"How transferable are features in deep neural networks?").
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
    freeze_stages,
    load_backbone,
    quarter_turns,
)
from section4_transfer.study import transfer_plots
from section4_transfer.study.base import Study
from section4_transfer.study.labels import draw_labelled, with_frozen_stages, with_labels
from section4_transfer.study.variants import Groups, Variant
from section4_transfer.study.verdicts import compare_methods
from section4_transfer.training import extract_features, fit
from shared_utils.datasets.color_images import generator
from shared_utils.errors import UserError
from shared_utils.runs import NO_RUN, History, TrainingRun
from shared_utils.runs.outcomes import Outcome

METHODS = ("scratch", "frozen", "fine-tuned")
HEAD_STEPS = 5000  # at least: where the head's validation accuracy has come to rest


@dataclass(frozen=True)
class Features:
    """What the backbone makes of some images that are not augmented: each is seen once."""

    images: Tensor  # (n,): which they are, in order
    values: Tensor  # (n, 512)
    seconds: float  # that they took

    def of(self, images: Tensor) -> Tensor:
        """Return the features of these images, which are among them."""
        return self.values[torch.searchsorted(self.images, images).to(self.values.device)]


FeaturesByPart = dict[str, Features]  # "train", "val"


@dataclass
class TransferStudy(Study):
    """A network for every method, number of labels and seed, which draws them.

    `lrs` holds each method's learning rate. Without `weights`, each seed pretrains a backbone of
    its own, by `pretraining`. `freeze` holds numbers of stages that stay in fine-tuning. With
    `small_validation`, no more labels choose the epoch than there are to learn from.
    """

    size: int  # of the images that the network sees
    labels: list[int]  # how many, in order
    lrs: dict[str, float]
    weights: PretrainedWeights | None
    pretraining: Recipe
    freeze: list[int] = field(default_factory=list)
    small_validation: bool = False
    used: dict[int, PretrainedWeights] = field(default_factory=dict, init=False)  # by seed

    shorter = "fewer --labels, a smaller --resize or --limit, fewer --pretrain-epochs, --quick"

    @property
    def total_work(self) -> float:
        """In passes over all images; the frozen head's steps cost next to nothing."""
        trained = 2 + len(self.freeze)
        passes = sum(self.recipe.epochs * self.passes(n) * self.fraction(n) for n in self.labels)
        pretraining = 0 if self.weights else self.pretraining.epochs
        return len(self.seeds) * (trained * passes + pretraining)

    @property
    def methods(self) -> tuple[str, ...]:
        """The three methods, and fine-tuning with frozen stages."""
        return (*METHODS, *(with_frozen_stages(k) for k in self.freeze))

    def fraction(self, n: int) -> float:
        """Return which part of the training images `n` are."""
        return n / len(self.data.y_train)

    def passes(self, n: int) -> int:
        """Return how often an epoch passes over `n` images."""
        return passes_for(self.fraction(n))

    def variants(self) -> Iterator[Variant]:
        """Yield the methods with every number of labels, seed by seed."""
        for seed in self.seeds:
            weights = self.used[seed] = self.weights or self.pretrain(seed)
            features = self.frozen_features(weights, seed)
            for n in self.labels:
                for method in self.methods:
                    yield self.variant(method, n, weights, features, seed)

    def variant(
        self, method: str, n: int, weights: PretrainedWeights, features: FeaturesByPart, seed: int
    ) -> Variant:
        """Return a network, about to be trained by a method with `n` labels."""
        recipe = replace(
            self.recipe, lr=self.lrs.get(method, self.lrs["fine-tuned"]), passes=self.passes(n)
        )
        model = self.network(None if method == "scratch" else weights, seed)
        pipeline = self.pipeline(None if method == "scratch" else weights)
        if method == "frozen":
            train = partial(self.fit_head, model, features, n, recipe, seed=seed)
        else:
            for k in self.freeze:
                if method == with_frozen_stages(k):
                    freeze_stages(model, k)
            learn, val = self.labelled(n, seed)
            train = partial(
                *(fit, model, self.data.part("train", learn), self.data.part("val", val)),
                *(pipeline, recipe, self.runtime),
                seed=seed,
                groups=None if method == "scratch" else backbone_slower(model, recipe.lr),
            )
        return Variant(
            with_labels(method, n),
            seed,
            model,
            pipeline,
            train,
            work=recipe.epochs * recipe.passes * self.fraction(n),
            file=method.replace(" ", "-") if n == max(self.labels) else "",
        )

    def labelled(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """Return the indices of the images to learn from, and of those to validate on."""
        data, chosen = self.data, n if self.small_validation else len(self.data.y_val)
        learn = draw_labelled(data.y_train, n, seed, "learn from")
        return learn, draw_labelled(data.y_val, chosen, seed, "validate on")

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
        return PretrainedWeights(
            "rotation", model.state_dict(), seconds=history.seconds, history=history
        )

    def frozen_features(self, weights: PretrainedWeights, seed: int) -> FeaturesByPart:
        """Return the backbone's features of all images that have a label, whatever their number."""
        model, pipeline = self.network(weights, seed), self.pipeline(weights)
        drawn = zip(*(self.labelled(n, seed) for n in self.labels), strict=True)
        found = {}
        for part, draws in zip(("train", "val"), drawn, strict=True):
            chosen = torch.cat(draws).unique()
            images, _ = self.data.part(part, chosen)
            clock = time.perf_counter()
            values = extract_features(model, images, pipeline, self.runtime)
            found[part] = Features(chosen, values, time.perf_counter() - clock)
        return found

    def fit_head(
        self,
        model: nn.Module,
        features: FeaturesByPart,
        n: int,
        recipe: Recipe,
        *,
        seed: int,
        run: TrainingRun = NO_RUN,
    ) -> History:
        """Train the head of `model` on the features of the images with a label.

        Passes are added to the recipe's epochs until they have `HEAD_STEPS`.
        """
        learn, val = self.labelled(n, seed)
        steps_in_a_pass = math.ceil(n / recipe.batch_size)
        passes = math.ceil(HEAD_STEPS / (recipe.epochs * steps_in_a_pass))
        history = fit(
            model.fc,
            (features["train"].of(learn), self.data.y_train[learn]),
            (features["val"].of(val), self.data.y_val[val]),
            lambda x, y, generator: (x, y),
            replace(recipe, passes=max(recipe.passes, passes)),
            self.runtime,
            seed=seed,
            run=run,
        )
        # The time of its features counts, too.
        before = features["train"].seconds * n / len(features["train"].images)
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
        """Return what pretraining, and freezing, change for each number of labels."""
        return compare_methods(groups, self.labels, self.freeze)

    def details(self, groups: Groups) -> dict:
        """Return which weights were used, and how long it took to make them."""
        first = self.used[self.seeds[0]]
        return {"weights": first.origin, "pretrain_seconds": first.seconds}

    def draw(self, path: Path, groups: Groups) -> None:
        """Draw the figures of this study."""
        weights = self.used[self.seeds[0]]
        title = f"{self.data.title}; pretrained: {weights.title or Path(weights.origin).name}"
        transfer_plots.draw_all(path, groups, self.labels, weights, title)
        if self.freeze:
            transfer_plots.frozen_stages(
                path / "frozen_stages.png", groups, self.labels, self.freeze, title
            )


def backbone_slower(model: nn.Module, lr: float) -> list[dict]:
    """Return the optimizer's parameter groups: the backbone at a tenth of the head's lr."""
    backbone = [p for name, p in model.named_parameters() if not name.startswith("fc.")]
    return [{"params": backbone, "lr": lr / 10}, {"params": list(model.fc.parameters()), "lr": lr}]
