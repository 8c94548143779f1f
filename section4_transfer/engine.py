"""Training a network and keeping its best epoch: what every study of this section does.

After each epoch the network is counted over the whole validation set; the weights of the epoch that
does best there are the result. The test set has no part in it.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from section4_transfer.devices import Runtime, memory_errors
from section4_transfer.distributed import from_main, sum_over_processes
from section4_transfer.keeping import Keeper
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


class Training:
    """All that the next step of a training depends on, and all that was measured."""

    def __init__(self, model: nn.Module, recipe: Recipe, groups: list[dict] | None = None):
        self.model, self.optimizer = model, make_optimizer(model, recipe, groups)
        self.fit = Fit(list(measured_weights(model)))
        self.step = 0  # how many are done
        self.spent = 0.0  # seconds
        self.best: dict[str, Tensor] = {}  # the weights of the best epoch
        device = next(model.parameters()).device
        self.sums = torch.zeros(3, device=device)  # of the epoch: loss, right answers, images
        self.norms = torch.zeros(len(self.fit.layers), device=device)  # of the epoch, summed

    def state(self, finished: bool = False) -> dict:
        """Return it all in plain containers and tensors; of a finished one, what may be asked."""
        state = {name: getattr(self, name) for name in ("step", "spent", "best", "sums", "norms")}
        state["fit"] = dict(vars(self.fit))
        if not finished:
            state["model"] = self.model.state_dict()
            state["optimizer"] = self.optimizer.state_dict()
        return state

    def restore(self, state: dict) -> None:
        """Take over what `state` returned."""
        self.model.load_state_dict(state.get("model", state["best"]))
        if "optimizer" in state:
            self.optimizer.load_state_dict(state["optimizer"])
        self.fit = Fit(**state["fit"])
        self.step, self.spent, self.best = state["step"], state["spent"], state["best"]
        self.sums.copy_(state["sums"])
        self.norms.copy_(state["norms"])

    def take(self, sums: Tensor, norms: Tensor) -> None:
        """Note a step's results."""
        self.step += 1
        self.sums += sums
        self.norms += norms

    def end_epoch(self, epoch: int, steps: int, runtime: Runtime) -> dict:
        """Return the epoch's row: loss and accuracy over all samples; begin new sums.

        Raises FloatingPointError when the loss is no longer finite.
        """
        loss, right, samples = sum_over_processes(self.sums, runtime).tolist()
        if not math.isfinite(loss):
            raise FloatingPointError(f"epoch {epoch}: the loss is no longer finite")
        self.fit.gradient_norms.append((self.norms / steps).tolist())
        self.sums.zero_()
        self.norms.zero_()
        return {"epoch": epoch, "train_loss": loss / samples, "train_acc": right / samples}

    def see(self, row: dict) -> None:
        """Note an epoch's row, and the weights if its validation accuracy is the best so far."""
        self.fit.history.append(row)
        self.fit.seconds.append(self.spent)
        if self.fit.best_epoch == 0 or row["val_acc"] > self.fit.best["val_acc"]:
            self.fit.best_epoch = row["epoch"]
            self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}


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
    keeper: Keeper | None = None,
    on_estimate: Callable[[float], None] | None = None,
) -> Fit:
    """Train `model` in place and leave it, in eval mode, with its best validation epoch's weights.

    Goes on from where `keeper` says that it was stopped. The model comes back on the CPU and
    without gradients, so that a study's networks do not fill a GPU. `prepare(x, y, generator)`
    makes a batch; it gets no generator in evaluation. `groups` are the optimizer's parameter
    groups. `on_estimate` gets the seconds that a new training will take, once, early, in the main
    process alone.

    Raises FloatingPointError, naming the epoch, when the loss is no longer finite, and UserError
    when memory runs out, or when batch or images are too few.
    """
    recipe.check(runtime, len(train[0]))
    keeper = keeper or Keeper()
    with memory_errors(f"--batch-size {max(4, recipe.batch_size // 2)}"):
        model.to(runtime.device, memory_format=torch.channels_last)
        train, val = (tuple(t.to(runtime.device) for t in part) for part in (train, val))
        training = Training(model, recipe, groups)
        keeper.restore(training.restore)
        share_state(training, runtime)
        keeper.log(*training.fit.history)
        per_epoch = steps_per_epoch(len(train[0]), recipe)
        images, total = recipe.epochs * recipe.passes * len(train[0]), recipe.epochs * per_epoch
        steps = train_steps(
            *(model, training.optimizer, train, prepare, recipe, runtime),
            seed=seed,
            first_step=training.step,
        )
        with (
            Progress(name, images, total, training.step, runtime, on_estimate) as progress,
            keeper.checkpoints(training.state, runtime) as after_step,
        ):
            clock = time.perf_counter()
            for sums, norms, size in steps:
                training.take(sums, norms)
                progress.advance(size, training.sums)
                epoch, rest = divmod(training.step, per_epoch)
                row = None if rest else training.end_epoch(epoch, per_epoch, runtime)
                training.spent += time.perf_counter() - clock
                if row is not None:
                    losses, correct = evaluate(model, val, prepare, runtime)
                    row["val_loss"] = losses.double().mean().item()
                    row["val_acc"] = correct.double().mean().item()
                    training.see(row)
                    keeper.log(row)
                    keeper.say(row)
                after_step(epoch_ended=rest == 0)
                clock = time.perf_counter()
    training.fit.images_per_second = images / training.spent
    model.load_state_dict(training.best)
    keeper.finish(training.state(finished=True))
    model.zero_grad(set_to_none=True)
    model.eval().cpu()
    return training.fit


def share_state(training: Training, runtime: Runtime) -> None:
    """Give every process the state that the main one has restored, if it has."""
    if runtime.world > 1:
        state = from_main(training.state() if runtime.is_main and training.step else None)
        if state is not None and not runtime.is_main:
            training.restore(state)


def right_answers(model: nn.Module, test: Part, prepare: Prepare, runtime: Runtime) -> np.ndarray:
    """Return which samples of the test set a trained network gets right, (N,); it stays on the CPU.

    The one look at the test set, when all choices are made.
    """
    _, correct = evaluate(model, test, prepare, runtime)
    model.cpu()
    return correct.numpy()
