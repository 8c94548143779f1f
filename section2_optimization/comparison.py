"""The comparison of optimizers: equal starts, equal batches, equal budgets, a rate for each.

An optimizer looks good or bad by its learning rate first of all. So every arm is tried with every
rate of one grid, from the same initial weights and on the same batches, with several seeds, and
keeps the rate whose validation loss at the end, averaged over the seeds, is the lowest.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from section2_optimization.losses import SoftmaxCrossEntropy
from section2_optimization.model import MLP
from section2_optimization.optimizers import make_optimizer
from section2_optimization.schedules import make_schedule
from section2_optimization.toy_data import ToyData
from shared_utils.datasets.minibatches import minibatches
from shared_utils.seed import stream

HIDDEN = (24, 24)
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
MEASUREMENTS = 20  # along a training, besides the start
ARMS = ("gd", "sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")


@dataclass(frozen=True)
class Arm:
    """One way to train: an update rule with its options; `full_batch` makes it gradient descent."""

    name: str
    rule: str
    options: Mapping
    full_batch: bool = False


@dataclass
class Trial:
    """One training: what was measured on the way, and the network that it ended with."""

    arm: str
    schedule: str
    lr: float
    seed: int
    model: MLP
    history: list[dict] = field(default_factory=list)
    diverged: bool = False
    seconds: float = 0.0

    def final(self, key: str) -> float:
        """Return the last measurement of `key`, infinity for a loss that diverged."""
        return math.inf if self.diverged else self.history[-1][key]


def make_arms(
    names: Iterable[str], momentum: float = 0.9, betas: tuple[float, float] = (0.9, 0.999)
) -> list[Arm]:
    """Return the arms called `names`.

    Raises ValueError for an unknown name, or for what the optimizers themselves refuse.
    """
    arms = {
        "gd": Arm("gd", "sgd", {}, full_batch=True),
        "sgd": Arm("sgd", "sgd", {}),
        "momentum": Arm("momentum", "sgd", {"momentum": momentum}),
        "nesterov": Arm("nesterov", "sgd", {"momentum": momentum, "nesterov": True}),
        "rmsprop": Arm("rmsprop", "rmsprop", {}),
        "adam": Arm("adam", "adam", {"betas": tuple(betas)}),
        "adamw": Arm("adamw", "adamw", {"betas": tuple(betas)}),
    }
    chosen = []
    for name in dict.fromkeys(names):
        if name not in arms:
            raise ValueError(f"there is no optimizer {name!r}; there are {', '.join(arms)}")
        make_optimizer(arms[name].rule, 1.0, **arms[name].options)  # refuses bad options now
        chosen.append(arms[name])
    return chosen


def initial_network(data: ToyData, seed: int) -> MLP:
    """Return the network that every training with this seed starts from."""
    return MLP((data.x_train.shape[1], *HIDDEN, 2), "tanh", rng=stream(seed, "init"))


def run_trial(
    data: ToyData,
    arm: Arm,
    lr: float,
    seed: int,
    *,
    epochs: int,
    batch_size: int,
    schedule: str = "constant",
) -> Trial:
    """Train one network; measure it at the start and MEASUREMENTS times.

    The initial weights and the batches follow from `seed` alone. A training whose loss or gradient
    is no longer finite ends there, marked as diverged.
    """
    trial = Trial(arm.name, schedule, lr, seed, initial_network(data, seed))
    model, loss = trial.model, SoftmaxCrossEntropy()
    optimizer = make_optimizer(arm.rule, lr, **arm.options)
    n, rng = len(data.x_train), stream(seed, "shuffle")
    size = n if arm.full_batch else batch_size
    total = epochs * math.ceil(n / size)
    rate = make_schedule(schedule, lr, total)
    measured = {round(epochs * i / MEASUREMENTS) for i in range(1, MEASUREMENTS + 1)}
    params, grads = model.params, model.grads
    clock = time.perf_counter()
    trial.history.append(measure(trial, data, 0))
    with np.errstate(over="ignore", invalid="ignore"):  # the check below tells of what overflows
        for epoch in range(1, epochs + 1):
            for batch in minibatches(n, size, rng):
                value = loss.forward(model.forward(data.x_train[batch]), data.y_train[batch])
                model.backward(loss.backward())
                optimizer.lr = rate(optimizer.steps)
                try:
                    optimizer.step(params, grads)
                except ValueError:  # it refuses a gradient that is not finite
                    value = math.nan
                if not math.isfinite(value):
                    trial.diverged = True
                    return trial
            if epoch in measured:
                trial.history.append(measure(trial, data, epoch))
    trial.seconds = time.perf_counter() - clock
    return trial


def measure(trial: Trial, data: ToyData, epoch: int) -> dict:
    """Return a row of `metrics.csv`: losses and accuracies over all samples, and two norms."""
    model, loss = trial.model, SoftmaxCrossEntropy()
    row = {"dataset": data.name, "optimizer": trial.arm, "schedule": trial.schedule}
    row |= {"lr": trial.lr, "seed": trial.seed, "epoch": epoch}
    for part, x, y in (
        ("val", data.x_val, data.y_val),
        ("train", data.x_train, data.y_train),  # last: its gradient follows
    ):
        logits = model.forward(x)
        row[f"{part}_loss"] = loss.forward(logits, y)
        row[f"{part}_acc"] = float(np.mean(logits.argmax(axis=1) == y))
    model.backward(loss.backward())
    row["grad_norm"] = _norm(model.grads)
    row["param_norm"] = _norm(model.params)
    return row


def search(
    data: ToyData,
    arm: Arm,
    rates: Iterable[float],
    seeds: Iterable[int],
    done: Callable[[], object],
    **options,
) -> dict[float, list[Trial]]:
    """Return, for each rate, one trial a seed; call `done` after each. Options: see `run_trial`."""
    found = {}
    for lr in rates:
        found[lr] = []
        for seed in seeds:
            found[lr].append(run_trial(data, arm, lr, seed, **options))
            done()
    return found


def best_rate(trials: Mapping[float, list[Trial]]) -> float:
    """Return the rate with the lowest mean validation loss at the end."""
    return min(trials, key=lambda lr: np.mean([trial.final("val_loss") for trial in trials[lr]]))


def _norm(arrays: Mapping[str, np.ndarray]) -> float:
    return math.sqrt(sum(float(np.vdot(array, array)) for array in arrays.values()))
