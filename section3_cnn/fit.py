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
from shared_utils.data import ImageData
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
    history: list[dict] = field(default_factory=list)  # a row an epoch, as in metrics.csv
    best_epoch: int = 0
    train_seconds: float = 0.0  # of the steps alone, without evaluation
    logits: np.ndarray | None = None  # on the test set, once the choice is made

    @property
    def val_acc(self) -> float:
        """The best validation accuracy, by which the epoch was chosen."""
        return self.history[self.best_epoch - 1]["val_acc"]

    def test(self, data: ImageData) -> None:
        """Meet the test set: once, at the end."""
        self.logits = self.predict(data.x_test)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the network's logits (N, classes) of any number of images."""
        with DataParallel(self.model, self.threads) as network:
            return predict(network, images)

    def right(self, data: ImageData) -> np.ndarray:
        """Return which test images the network gets right, a boolean (N,)."""
        return self.logits.argmax(axis=1) == data.y_test


# Products of small matrices gain nothing from a second BLAS thread, and lose much where cores are
# shared; and the bytes of a result must not depend on the number of cores.
@threadpool_limits.wrap(limits=1)
def fit_network(
    arm: str,
    seed: int,
    model: Sequential,
    data: ImageData,
    *,
    epochs: int,
    batch_size: int,
    threads: int = 1,
    bar,
    on_epoch: Callable[[dict], None],
    **options,
) -> Fit:
    """Train `model` and leave it with the weights of its best validation epoch.

    `threads` cores share every batch, with the same result as one. `bar` is a tqdm that counts
    images; `on_epoch` takes each row of metrics; `options` go to `train_steps`. The batches depend on `seed` alone, so arms with equal seeds see equal batches.
    Raises FloatingPointError, naming the epoch, when the loss is no longer finite.
    """
    fit = Fit(arm, seed, model, threads)
    network = DataParallel(model, threads, max(batch_size, 16 * PART))
    n = len(data.y_train)
    per_epoch = steps_per_epoch(n, batch_size)
    steps = train_steps(
        network,
        data.x_train,
        data.y_train,
        epochs=epochs,
        batch_size=batch_size,
        rng=stream(seed, "shuffle"),
        **options,
    )
    arrays = model.params | model.state
    best, best_rank, epoch, clock = {}, None, 1, time.perf_counter()
    # A network that diverges overflows before its loss does; the loss is what is watched.
    with network, np.errstate(over="ignore", invalid="ignore"):
        try:
            for step, loss in enumerate(steps, start=1):
                seen = min(step % per_epoch * batch_size, n) or n
                bar.update(n * (epoch - 1) + seen - bar.n)
                if step % 20 == 0:
                    bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
                if step % per_epoch:
                    continue
                fit.train_seconds += time.perf_counter() - clock
                row = {"arm": arm, "seed": seed, "epoch": epoch}
                row["train_loss"], row["train_acc"] = evaluate(network, data.x_train, data.y_train)
                row["val_loss"], row["val_acc"] = evaluate(network, data.x_val, data.y_val)
                if not math.isfinite(row["val_loss"]):
                    raise FloatingPointError(f"the validation loss became {row['val_loss']}")
                fit.history.append(row)
                on_epoch(row)
                # Among equal accuracies, which small validation sets have, the lower loss.
                rank = (row["val_acc"], -row["val_loss"])
                if best_rank is None or rank > best_rank:
                    best_rank, fit.best_epoch = rank, epoch
                    best = {key: array.copy() for key, array in arrays.items()}
                epoch += 1
                clock = time.perf_counter()
        except FloatingPointError as error:
            raise FloatingPointError(f"epoch {epoch}: {error}") from error
    for key, array in arrays.items():
        array[:] = best[key]
    model.eval()
    return fit
