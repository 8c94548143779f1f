"""The three ways to a classifier that the transfer study compares, and its pretraining.

scratch     all weights start at random
frozen      the pretrained backbone stays as it is: it maps every image to 512 features once,
            and only a linear head is trained, on those, for as long as it gets better: its steps
            cost next to nothing
fine-tuned  a new head and the pretrained backbone are trained together, the backbone at a tenth
            of the head's rate: it is nearly right already, and the head is not
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from section4_transfer.augment import Augmentation, Pipeline
from section4_transfer.devices import Runtime
from section4_transfer.engine import Fit, fit
from section4_transfer.keeping import Keeper
from section4_transfer.models import initialise, resnet18
from section4_transfer.pretrained import Start, all_quarter_turns, load_backbone, quarter_turns
from section4_transfer.recipe import Recipe
from section4_transfer.steps import features
from shared_utils.datasets.color_images import TorchData, generator
from shared_utils.errors import UserError

ARMS = ("scratch", "frozen", "fine-tuned")
# Peaks, chosen by validation accuracy. ResNet-18 from scratch is unsettled by more than 0.01; the
# head on fixed features is a convex problem and bears more.
LEARNING_RATES = {"scratch": 0.01, "frozen": 0.03, "fine-tuned": 0.05}
HEAD_STEPS = 5000  # at least: where the head's validation accuracy has come to rest


OnEstimate = Callable[[float], None] | None


@dataclass(frozen=True)
class Setting:
    """What all trainings of one seed share."""

    data: TorchData
    augmentations: list[Augmentation]
    size: int  # of the images that the network sees
    here: Runtime
    seed: int


def pretrain(setting: Setting, recipe: Recipe, keeper: Keeper, on_estimate: OnEstimate) -> Start:
    """Teach a ResNet-18 to tell quarter turns of the training images, whose labels are not used.

    Raises UserError when the loss is no longer finite: nothing can follow.
    """
    data = setting.data
    augmentations = [*setting.augmentations, quarter_turns]
    pipeline = Pipeline(*data.statistics(), augmentations, setting.size)
    model = initialise(resnet18(4), generator(setting.seed, "init of pretraining"))
    try:
        fitted = fit(
            model,
            (data.x_train, torch.zeros_like(data.y_train)),
            all_quarter_turns(data.x_val),
            pipeline,
            recipe,
            setting.here,
            seed=setting.seed,
            name="rotation",
            keeper=keeper,
            on_estimate=on_estimate,
        )
    except FloatingPointError as error:
        raise UserError(f"pretraining, {error}: try a smaller --lr, or other --weights") from error
    state = {key: value.cpu() for key, value in model.state_dict().items()}
    return Start("rotation", state, None, fitted.seconds[-1], fitted)


def frozen_features(setting: Setting, start: Start) -> tuple[Tensor, Tensor, float]:
    """Return the backbone's features of the training and validation images, and the seconds.

    The images are not augmented: every image is seen once.
    """
    model = _network(setting, start)
    pipeline = Pipeline(*start.statistics(setting.data), size=setting.size)
    clock = time.perf_counter()
    train = features(model, setting.data.x_train, pipeline, setting.here)
    seconds = time.perf_counter() - clock
    return train, features(model, setting.data.x_val, pipeline, setting.here), seconds


def train_frozen(
    setting: Setting,
    start: Start,
    cached: tuple[Tensor, Tensor, float],
    kept: Tensor,
    recipe: Recipe,
    keeper: Keeper,
) -> tuple[nn.Module, Fit]:
    """Train a linear head on the cached features of the images `kept`; return the whole network.

    It is trained to its end: passes are added to the recipe's epochs until they have `HEAD_STEPS`.
    """
    train, val, seconds = cached
    model, data = _network(setting, start), setting.data
    steps_in_a_pass = math.ceil(len(kept) / recipe.batch_size)
    passes = math.ceil(HEAD_STEPS / (recipe.epochs * steps_in_a_pass))
    recipe = replace(recipe, passes=max(recipe.passes, passes))
    fitted = fit(
        model.fc,
        (train[kept.to(train.device)], data.y_train[kept]),
        (val, data.y_val),
        lambda x, y, generator: (x, y),
        recipe,
        setting.here,
        seed=setting.seed,
        name="frozen",
        keeper=keeper,
    )
    share = len(kept) / len(train)  # of the time that the features took
    return model, replace(fitted, seconds=[s + share * seconds for s in fitted.seconds])


def train_whole(
    setting: Setting,
    start: Start | None,
    kept: Tensor,
    recipe: Recipe,
    keeper: Keeper,
    on_estimate: OnEstimate = None,
) -> tuple[nn.Module, Fit]:
    """Train all weights on the images `kept`: from scratch, or from `start` by fine-tuning."""
    data, model = setting.data, _network(setting, start)
    statistics = data.statistics() if start is None else start.statistics(data)
    groups = None
    if start is not None:
        head = list(model.fc.parameters())
        backbone = [p for name, p in model.named_parameters() if not name.startswith("fc.")]
        groups = [{"params": backbone, "lr": recipe.lr / 10}, {"params": head, "lr": recipe.lr}]
    fitted = fit(
        model,
        (data.x_train[kept], data.y_train[kept]),
        (data.x_val, data.y_val),
        Pipeline(*statistics, setting.augmentations, setting.size),
        recipe,
        setting.here,
        seed=setting.seed,
        name="scratch" if start is None else "fine-tuned",
        groups=groups,
        keeper=keeper,
        on_estimate=on_estimate,
    )
    return model, fitted


def _network(setting: Setting, start: Start | None) -> nn.Module:
    """Return a ResNet-18: a fresh head, equal in all arms, and the backbone of `start`, if any."""
    classes = len(setting.data.classes)
    model = initialise(resnet18(classes), generator(setting.seed, "init"))
    if start is not None:
        load_backbone(model, start)
    return model
