"""The training loops that `benchmark.py` compares: bare ones, and the lesson's."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch.nn import functional as F

from section4_transfer.augment import Pipeline
from section4_transfer.engine.recipe import Recipe
from section4_transfer.engine.runtime import Runtime
from section4_transfer.models import CifarNet, initialise
from section4_transfer.training import Split, Training, make_optimizer, train_steps
from shared_utils.datasets.color_images import TorchData, generator


def loops_of(
    data: TorchData, recipe: Recipe, runtime: Runtime, seed: int
) -> dict[str, Callable[[], Iterator]]:
    """Return functions that begin a training on one batch; an epoch of it is a step."""
    n = recipe.batch_size
    batch = data.x_train[:n].to(runtime.device), data.y_train[:n].to(runtime.device)
    pipeline, plain = Pipeline(*data.statistics()), Runtime(runtime.device, "fp32")
    bare = partial(bare_loop, batch, pipeline, recipe, seed=seed)
    return {
        "bare, fp32, contiguous": partial(bare, plain, layout=torch.contiguous_format),
        f"bare, {runtime.precision}, channels last": partial(
            bare, runtime, layout=torch.channels_last
        ),
        "lesson": partial(lesson_loop, batch, pipeline, recipe, runtime, seed=seed),
    }


def bare_loop(
    batch: Split,
    pipeline: Pipeline,
    recipe: Recipe,
    runtime: Runtime,
    *,
    seed: int,
    layout: torch.memory_format,
) -> Iterator[None]:
    """Train with nothing but PyTorch; yield after each step."""
    model = initialise(CifarNet(20), generator(seed, "init"))
    model.to(runtime.device, memory_format=layout)
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.lr, 0.9, weight_decay=recipe.weight_decay, nesterov=True
    )
    for _ in range(recipe.epochs):
        x, y = pipeline(*batch)
        with runtime.autocast():
            logits = model(x.contiguous(memory_format=layout))
        loss = F.cross_entropy(logits.float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield


def lesson_loop(
    batch: Split, pipeline: Pipeline, recipe: Recipe, runtime: Runtime, *, seed: int
) -> Iterator:
    """Train as the studies do; yield after each step."""
    model = runtime.place(initialise(CifarNet(20), generator(seed, "init")))
    training = Training(model, make_optimizer(model, recipe), recipe, len(batch[1]))
    yield from train_steps(training, batch, pipeline, recipe, runtime, seed=seed)
