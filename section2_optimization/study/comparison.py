"""The comparison of optimizers: equal starts, equal batches, equal budgets, a rate for each.

An optimizer looks good or bad by its learning rate first of all. So every method is tried with
every rate of one grid, from the same initial weights and on the same batches, with several seeds,
and keeps the rate whose validation loss at the end, averaged over the seeds, is the lowest. No
epoch is chosen: where a method stands when its budget is spent is the question.
"""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from section2_optimization.model import MLP
from section2_optimization.optimizers import make_optimizer
from section2_optimization.schedules import make_schedule
from section2_optimization.study.toy_data import ToyData
from section2_optimization.training import evaluate, gradient_norm, norm, train_epochs
from shared_utils.seed import stream

HIDDEN = (24, 24)
LRS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
MEASUREMENTS = 20  # along a training, besides the start


@dataclass(frozen=True)
class Method:
    """One way to train: an update rule with its options, and a schedule for its rate.

    With `full_batch` all samples are one batch, which makes it gradient descent.
    """

    name: str
    rule: str
    options: Mapping = field(default_factory=dict)
    full_batch: bool = False
    schedule: str = "constant"


METHODS = {
    method.name: method
    for method in (
        Method("gd", "sgd", full_batch=True),
        Method("sgd", "sgd"),
        Method("momentum", "sgd", {"momentum": 0.9}),
        Method("nesterov", "sgd", {"momentum": 0.9, "nesterov": True}),
        Method("rmsprop", "rmsprop"),
        Method("adam", "adam", {"betas": (0.9, 0.999)}),
        Method("adamw", "adamw", {"betas": (0.9, 0.999)}),
    )
}


@dataclass(frozen=True)
class Budget:
    """What every method gets: the learning rates to try, seeds, epochs, and samples in a batch."""

    lrs: Sequence[float]
    seeds: Sequence[int]
    epochs: int
    batch_size: int


@dataclass
class Trial:
    """One training: what was measured on the way, and the network that it ended with."""

    lr: float
    seed: int
    model: MLP
    history: list[dict] = field(default_factory=list)  # rows of metrics.csv
    diverged: bool = False
    seconds: float = 0.0

    def final(self, key: str) -> float:
        """Return the last measurement of `key`, infinity for a loss that diverged."""
        return math.inf if self.diverged else self.history[-1][key]


TrialsByLr = Mapping[float, list[Trial]]  # one trial a seed
TrialsByName = Mapping[str, TrialsByLr]  # of methods or schedules


def make_methods(names: Iterable[str], **options) -> list[Method]:
    """Return the METHODS called `names`, with those of the `options` that they have."""

    def changed(method: Method) -> Method:
        own = {key: options.get(key, value) for key, value in method.options.items()}
        return replace(method, options=own)

    return [changed(METHODS[name]) for name in names]


def initial_network(data: ToyData, seed: int) -> MLP:
    """Return the network that every training with this seed starts from."""
    return MLP((data.x_train.shape[1], *HIDDEN, 2), "tanh", rng=stream(seed, "init"))


def run_trial(data: ToyData, method: Method, lr: float, seed: int, budget: Budget) -> Trial:
    """Train one network; measure it at the start and MEASUREMENTS times.

    The initial weights and the batches follow from `seed` alone. A training whose loss or gradient
    is no longer finite ends there, marked as diverged.
    """
    trial = Trial(lr, seed, initial_network(data, seed))
    n, epochs = len(data.x_train), budget.epochs
    batch_size = n if method.full_batch else budget.batch_size
    optimizer = make_optimizer(method.rule, lr, **method.options)
    lr_at = make_schedule(method.schedule, lr, epochs * math.ceil(n / batch_size))
    columns = {"dataset": data.name, "optimizer": method.name, "schedule": method.schedule}
    columns |= {"lr": lr, "seed": seed}
    measured = {round(epochs * i / MEASUREMENTS) for i in range(1, MEASUREMENTS + 1)}
    trial.history.append(columns | measure(trial.model, data, 0))
    clock = time.perf_counter()
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows ends the training
        try:
            for epoch in train_epochs(
                *(trial.model, optimizer, data.x_train, data.y_train),
                epochs=epochs, batch_size=batch_size, lr_at=lr_at, rng=stream(seed, "shuffle"),
            ):  # fmt: skip
                if epoch in measured:
                    trial.history.append(columns | measure(trial.model, data, epoch))
        except FloatingPointError:
            trial.diverged = True
    trial.seconds = time.perf_counter() - clock
    return trial


def measure(model: MLP, data: ToyData, epoch: int) -> dict:
    """Return what is measured after an epoch: losses and accuracies over all samples, two norms."""
    row = {"epoch": epoch}
    row["val_loss"], row["val_acc"] = evaluate(model, data.x_val, data.y_val)
    row["train_loss"], row["train_acc"] = evaluate(model, data.x_train, data.y_train)
    row["grad_norm"] = gradient_norm(model, data.x_train, data.y_train)
    return row | {"param_norm": norm(model.params)}


def search(data: ToyData, method: Method, budget: Budget) -> TrialsByLr:
    """Return, for each rate, one trial a seed."""
    return {
        lr: [run_trial(data, method, lr, seed, budget) for seed in budget.seeds]
        for lr in budget.lrs
    }


def best_lr(trials: TrialsByLr) -> float:
    """Return the rate with the lowest mean validation loss at the end."""
    return min(trials, key=lambda lr: np.mean([trial.final("val_loss") for trial in trials[lr]]))


def final_train_losses(by_lr: TrialsByLr) -> dict[float, list[float]]:
    """Return the final training losses, one a seed, for each rate at which none diverged."""
    return {
        lr: [trial.final("train_loss") for trial in trials]
        for lr, trials in by_lr.items()
        if not any(trial.diverged for trial in trials)
    }


def chosen_trials(by_lr: TrialsByLr) -> list[Trial]:
    """Return the trials at the chosen rate that did not diverge."""
    return [trial for trial in by_lr[best_lr(by_lr)] if not trial.diverged]
