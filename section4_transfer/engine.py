"""Training a network and keeping its best epoch: what every study of this section does.

After each epoch the network is counted over the whole validation set; the weights of the epoch that
does best there are the result. The test set has no part in it.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from section4_transfer.devices import Runtime, memory_errors
from section4_transfer.distributed import sum_over_processes
from section4_transfer.recipe import Recipe
from section4_transfer.steps import (
    Part,
    Prepare,
    evaluate,
    measured_weights,
    steps_per_epoch,
    train_steps,
)

_WARM, _TIMED, _SHOWN = 2, 12, 10  # steps: the first are slow; time until; update the bar every


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

    `prepare(x, y, generator)` makes a batch; it gets no generator in evaluation. `groups` are the
    optimizer's parameter groups. `on_epoch` gets each row of the history, `on_estimate` the seconds
    that this training will take, once, early; both in the main process alone.

    Raises FloatingPointError, naming the epoch, when the loss is no longer finite, and UserError
    when memory runs out or the batch is too small.
    """
    from tqdm import tqdm

    recipe.check(runtime)
    with memory_errors(recipe.batch_size):
        model.to(runtime.device, memory_format=torch.channels_last)
        train, val = (tuple(t.to(runtime.device) for t in part) for part in (train, val))
        result, best_state = Fit(list(measured_weights(model))), None
        n, per_epoch = len(train[0]), steps_per_epoch(len(train[0]), recipe)
        total = recipe.epochs * per_epoch
        sums, norms = torch.zeros(3), torch.zeros(len(result.layers))
        sums, norms = sums.to(runtime.device), norms.to(runtime.device)
        steps = train_steps(model, train, prepare, recipe, runtime, seed=seed, groups=groups)
        images = recipe.epochs * recipe.passes * n
        hidden = None if runtime.is_main else True  # None: where nobody watches
        clock = started = time.perf_counter()
        spent = 0.0
        with tqdm(total=images, desc=name, unit="img", disable=hidden) as bar:
            for step, (step_sums, step_norms, size) in enumerate(steps, start=1):
                sums += step_sums
                norms += step_norms
                bar.update(size)
                if step % _SHOWN == 0 and not bar.disable:
                    loss, right, count = sums.tolist()
                    bar.set_postfix(loss=f"{loss / count:.3f}", acc=f"{right / count:.3f}")
                if step == _WARM:
                    started = time.perf_counter()
                if step == _TIMED and on_estimate and runtime.is_main:
                    on_estimate((time.perf_counter() - started) / (_TIMED - _WARM) * total)
                if step % per_epoch:
                    continue
                loss, right, count = sum_over_processes(sums, runtime).tolist()
                spent += time.perf_counter() - clock
                epoch = step // per_epoch
                if not math.isfinite(loss):
                    raise FloatingPointError(f"epoch {epoch}: the loss is no longer finite")
                losses, correct = evaluate(model, val, prepare, runtime)
                row = {
                    "epoch": epoch,
                    "train_loss": loss / count,
                    "train_acc": right / count,
                    "val_loss": losses.double().mean().item(),
                    "val_acc": correct.double().mean().item(),
                }
                result.history.append(row)
                result.gradient_norms.append((norms / per_epoch).tolist())
                result.seconds.append(spent)
                if result.best_epoch == 0 or row["val_acc"] > result.best["val_acc"]:
                    result.best_epoch = epoch
                    state = model.state_dict()
                    best_state = {key: value.detach().clone() for key, value in state.items()}
                if on_epoch and runtime.is_main:
                    on_epoch(row)
                sums.zero_()
                norms.zero_()
                clock = time.perf_counter()
    result.images_per_second = images / spent
    model.load_state_dict(best_state)
    model.eval()
    return result
