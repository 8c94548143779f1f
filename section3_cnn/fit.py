"""One network's whole training: train, watch, keep the best epoch. Two scripts share it."""

import argparse
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from threadpoolctl import threadpool_limits

from section3_cnn.data_parallel import PART, DataParallel
from section3_cnn.model import Sequential
from section3_cnn.training import evaluate, predict, steps_per_epoch, train_steps
from shared_utils.cli import positive_int
from shared_utils.datasets.gray_images import ImageData
from shared_utils.runs.folder import RunFolder
from shared_utils.seed import stream


def add_threads_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--threads`, which changes no result, only the time."""
    parser.add_argument(
        "--threads",
        type=positive_int,
        default=os.cpu_count(),
        help="processor cores that share every batch, a process each (default: all, %(default)s)",
    )


@dataclass
class Fit:
    """What was measured on the way, and the network of its best epoch."""

    arm: str
    seed: int
    model: Sequential
    threads: int = 1
    rngs: tuple[
        np.random.Generator, ...
    ] = ()  # those that the training draws from, shuffling's not
    step: int = 0  # how many are done
    velocity: dict[str, np.ndarray] = field(default_factory=dict)  # the optimizer's
    history: list[dict] = field(default_factory=list)  # a row an epoch, as in metrics.csv
    best_epoch: int = 0
    best: dict[str, np.ndarray] = field(default_factory=dict)  # its weights
    train_seconds: float = 0.0  # of the steps alone, without evaluation
    logits: np.ndarray | None = None  # on the test set, once the choice is made

    def state(self) -> dict:
        """Return all that the next step depends on, and all that was measured."""
        return {name: getattr(self, name) for name in _STATE} | {
            "arrays": self.model.params | self.model.state,
            "rngs": [rng.bit_generator.state for rng in self.rngs],
        }

    def restore(self, state: dict) -> None:
        """Take over what `state` returned."""
        for name in _STATE:
            setattr(self, name, state[name])
        for key, array in (self.model.params | self.model.state).items():
            array[:] = state["arrays"][key]
        for rng, kept in zip(self.rngs, state["rngs"], strict=True):
            rng.bit_generator.state = kept

    def see(self, row: dict) -> None:
        """Note an epoch's results, and its weights if none before was better.

        Better is a higher accuracy; among equal ones, which small validation sets have, a lower
        loss.
        """
        self.history.append(row)
        best = self.history[self.best_epoch - 1] if self.best_epoch else None
        if best is None or _rank(row) > _rank(best):
            self.best_epoch = row["epoch"]
            arrays = self.model.params | self.model.state
            self.best = {key: array.copy() for key, array in arrays.items()}

    @property
    def val_acc(self) -> float:
        """The best validation accuracy, by which the epoch was chosen."""
        return self.history[self.best_epoch - 1]["val_acc"]

    def test(self, data: ImageData) -> None:
        """Meet the test set: once, at the end."""
        self.logits = self.predict(data.x_test)

    @threadpool_limits.wrap(limits=1)
    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the network's logits (N, classes) of any number of images."""
        with DataParallel(self.model, self.threads) as network:
            return predict(network, images)

    def right(self, data: ImageData) -> np.ndarray:
        """Return which test images the network gets right, a boolean (N,)."""
        return self.logits.argmax(axis=1) == data.y_test


_STATE = ("step", "velocity", "history", "best_epoch", "best", "train_seconds")


def _rank(row: dict) -> tuple[float, float]:
    return row["val_acc"], -row["val_loss"]


# Products of small matrices gain nothing from a second BLAS thread, and lose much where cores are
# shared; and the bytes of a result must not depend on the number of cores.
@threadpool_limits.wrap(limits=1)
def fit_network(
    arm: str,
    seed: int,
    model: Sequential,
    data: ImageData,
    run: RunFolder,
    *,
    epochs: int,
    batch_size: int,
    threads: int = 1,
    rngs: tuple[np.random.Generator, ...] = (),
    bar,
    on_epoch: Callable[[dict], None] = lambda row: None,
    **options,
) -> Fit:
    """Train `model` and leave it with the weights of its best validation epoch.

    Goes on from where the run was stopped, if it is resumed. `threads` cores share every batch,
    with the same result as one. `bar` is a tqdm that counts images; `on_epoch` takes each row of
    metrics, once it is logged; `options` go to `train_steps`; `rngs` are the generators that its
    `augment` draws from. The batches depend on `seed` alone, so arms with equal seeds see equal
    batches. Raises FloatingPointError, naming the epoch, when the loss is no longer finite.
    """
    rngs = *rngs, *(layer.rng for layer in model.layers if layer.rng is not None)
    fit, name, n = Fit(arm, seed, model, threads, rngs), f"{arm}-seed{seed}", len(data.y_train)
    run.restore(name, fit.restore)
    run.log(*fit.history)
    network = DataParallel(model, threads, max(batch_size, 16 * PART))
    per_epoch = steps_per_epoch(n, batch_size)
    steps = train_steps(
        network,
        data.x_train,
        data.y_train,
        epochs=epochs,
        batch_size=batch_size,
        rng=stream(seed, "shuffle"),
        first_step=fit.step,
        velocity=fit.velocity,
        **options,
    )
    # A network that diverges overflows before its loss does; the loss is what is watched.
    with (
        network,
        run.checkpoints(name, fit.state) as after_step,
        np.errstate(over="ignore", invalid="ignore"),
    ):
        epoch, clock = fit.step // per_epoch + 1, time.perf_counter()
        try:
            for loss in steps:
                fit.train_seconds += time.perf_counter() - clock
                fit.step += 1
                done, step = divmod(fit.step, per_epoch)
                bar.update(n * done + step * batch_size - bar.n)
                if step % 20 == 0:
                    bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
                if step == 0:
                    row = {"arm": arm, "seed": seed, "epoch": epoch}
                    for part, x, y in (
                        ("train", data.x_train, data.y_train),
                        ("val", data.x_val, data.y_val),
                    ):
                        row[f"{part}_loss"], row[f"{part}_acc"] = evaluate(network, x, y)
                    if not math.isfinite(row["val_loss"]):
                        raise FloatingPointError(f"the validation loss became {row['val_loss']}")
                    fit.see(row)
                    run.log(row)
                    on_epoch(row)
                after_step(epoch_ended=step == 0)
                epoch, clock = done + 1, time.perf_counter()
        except FloatingPointError as error:
            raise FloatingPointError(f"epoch {epoch}: {error}") from error
    run.keep(name, fit.state())
    for key, array in (model.params | model.state).items():
        array[:] = fit.best[key]
    model.eval()
    return fit
