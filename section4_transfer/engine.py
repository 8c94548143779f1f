"""Training a network and keeping its best epoch: what every study of this section does.

After each epoch the network is counted over the whole validation set; the weights of the epoch that
does best there are the result. The test set has no part in it.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from section4_transfer.devices import Runtime, memory_errors
from section4_transfer.distributed import sum_over_processes
from section4_transfer.progress import Progress
from section4_transfer.recipe import Recipe
from section4_transfer.steps import (
    Part,
    Prepare,
    evaluate,
    make_optimizer,
    measured_weights,
    steps_per_epoch,
    train_steps,
)


@dataclass
class Fit:
    """What was measured while a network learned."""

    layers: list[str]  # names of the weights whose gradients are measured, input first
    history: list[dict] = field(default_factory=list)  # a row an epoch, without times
    gradient_norms: list[list[float]] = field(default_factory=list)  # epoch by layer, means
    seconds: list[float] = field(default_factory=list)  # of training, up to the end of each epoch
    images_per_second: float = 0.0
    best_epoch: int = 0

    @property
    def best(self) -> dict:
        """The row of the best epoch."""
        return self.history[self.best_epoch - 1]


def fit(
    model: nn.Module,
    train: Part,
    val: Part,
    prepare: Prepare,
    recipe: Recipe,
    runtime: Runtime,
    *,
    seed: int,
    name: str = "",
    groups: list[dict] | None = None,
    on_epoch: Callable[[dict], None] | None = None,
    on_estimate: Callable[[float], None] | None = None,
) -> Fit:
    """Train `model` in place and leave it, in eval mode, with its best validation epoch's weights.

    It comes back on the CPU and without gradients, so that a study's networks do not fill a GPU.
    `prepare(x, y, generator)` makes a batch; it gets no generator in evaluation. `groups` are the
    optimizer's parameter groups. `on_epoch` gets each row of the history, `on_estimate` the seconds
    that this training will take, once, early; both in the main process alone.

    Raises FloatingPointError, naming the epoch, when the loss is no longer finite, and UserError
    when memory runs out, or when batch or images are too few.
    """
    recipe.check(runtime, len(train[0]))
    with memory_errors(f"--batch-size {max(4, recipe.batch_size // 2)}"):
        model.to(runtime.device, memory_format=torch.channels_last)
        train, val = (tuple(t.to(runtime.device) for t in part) for part in (train, val))
        result, best_state = Fit(list(measured_weights(model))), None
        per_epoch = steps_per_epoch(len(train[0]), recipe)
        images = recipe.epochs * recipe.passes * len(train[0])
        optimizer = make_optimizer(model, recipe, groups)
        steps = train_steps(model, optimizer, train, prepare, recipe, runtime, seed=seed)
        spent = 0.0
        with Progress(name, images, recipe.epochs * per_epoch, runtime, on_estimate) as progress:
            for epoch in range(1, recipe.epochs + 1):
                clock = time.perf_counter()
                loss, accuracy, norms = _epoch(islice(steps, per_epoch), runtime, progress)
                spent += time.perf_counter() - clock
                if not math.isfinite(loss):
                    raise FloatingPointError(f"epoch {epoch}: the loss is no longer finite")
                losses, correct = evaluate(model, val, prepare, runtime)
                row = {
                    "epoch": epoch,
                    "train_loss": loss,
                    "train_acc": accuracy,
                    "val_loss": losses.double().mean().item(),
                    "val_acc": correct.double().mean().item(),
                }
                result.history.append(row)
                result.gradient_norms.append(norms)
                result.seconds.append(spent)
                if result.best_epoch == 0 or row["val_acc"] > result.best["val_acc"]:
                    result.best_epoch = epoch
                    best_state = {k: v.detach().clone() for k, v in model.state_dict().items()}
                if on_epoch and runtime.is_main:
                    on_epoch(row)
    result.images_per_second = images / spent
    model.load_state_dict(best_state)
    model.zero_grad(set_to_none=True)
    model.eval().cpu()
    return result


def right_answers(model: nn.Module, test: Part, prepare: Prepare, runtime: Runtime) -> np.ndarray:
    """Return which samples of the test set a trained network gets right, (N,); it stays on the CPU.

    The one look at the test set, when all choices are made.
    """
    _, correct = evaluate(model, test, prepare, runtime)
    model.cpu()
    return correct.numpy()


def _epoch(
    steps: Iterable[tuple[Tensor, Tensor, int]], runtime: Runtime, progress: Progress
) -> tuple[float, float, list[float]]:
    """Run the steps; return loss and accuracy over all samples, and each layer's mean norm."""
    sums, norms, count = 0.0, 0.0, 0
    for step_sums, step_norms, size in steps:
        sums, norms, count = sums + step_sums, norms + step_norms, count + 1
        progress.advance(size, sums)
    loss, right, samples = sum_over_processes(sums, runtime).tolist()
    return loss / samples, right / samples, (norms / count).tolist()
