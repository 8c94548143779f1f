"""One arm of the comparison: a network trained, watched, and kept from its best epoch.

The best epoch is chosen on the validation set, by accuracy: the loss begins to rise while the
accuracy still improves, since a few digits are missed with ever more confidence.
"""

import argparse
import time
from dataclasses import dataclass, field

import numpy as np

from section1_mlp.checkpoint import save_model
from section1_mlp.model import MLP
from section1_mlp.training import evaluate, steps_per_epoch, train_steps
from shared_utils.datasets.gray_images import CLASSES, ImageData
from shared_utils.runs.folder import RunFolder
from shared_utils.seed import stream

# Chosen by validation accuracy. Sigmoid's derivative is at most 1/4, so its rate must be larger.
LEARNING_RATES = {"relu": 0.1, "tanh": 0.05, "sigmoid": 0.3}
GRADIENT_SAMPLES_PER_EPOCH = 10


@dataclass
class Fit:
    """One network's training: what was measured on the way, and the network of its best epoch."""

    arm: str
    seed: int
    model: MLP
    step: int = 0  # how many are done
    history: list[dict] = field(default_factory=list)  # a row an epoch, as in metrics.csv
    grad_norms: list[tuple] = field(default_factory=list)  # (epoch, ||dW1||, ||dW2||, ...)
    best_epoch: int = 0
    best_val_acc: float = -1.0
    best_params: dict[str, np.ndarray] = field(default_factory=dict)
    train_seconds: float = 0.0
    probs: np.ndarray | None = None  # on the test set

    def state(self) -> dict:
        """Return all that the next step depends on, and all that was measured."""
        arrays = {"params": self.model.params, "velocity": self.model.velocity}
        return {name: getattr(self, name) for name in _STATE} | arrays

    def restore(self, state: dict) -> None:
        """Take over what `state` returned."""
        for name in _STATE:
            setattr(self, name, state[name])
        for name in ("params", "velocity"):
            for key, array in getattr(self.model, name).items():
                array[:] = state[name][key]


_STATE = (
    *("step", "history", "grad_norms", "train_seconds"),
    *("best_epoch", "best_val_acc", "best_params"),
)


def train_arm(
    arm: str, seed: int, data: ImageData, args: argparse.Namespace, run: RunFolder
) -> Fit:
    """Train one network, keep the weights of its best validation epoch, save those of seed one.

    Goes on from where the run was stopped, if it is resumed. Raises FloatingPointError, naming the
    epoch, when the loss is no longer finite.
    """
    from tqdm import tqdm

    x, x_val, name = flat(data.x_train), flat(data.x_val), f"{arm}-seed{seed}"
    sizes = (x.shape[1], *args.hidden, CLASSES)
    fit = Fit(arm, seed, MLP(sizes, arm, rng=stream(seed, "init")))
    run.restore(name, fit.restore)
    run.log(*fit.history)
    model, per_epoch = fit.model, steps_per_epoch(len(x), args.batch_size)
    sample_every = max(1, per_epoch // GRADIENT_SAMPLES_PER_EPOCH)
    steps = train_steps(
        model,
        x,
        data.y_train,
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr or LEARNING_RATES[arm],
        momentum=args.momentum,
        weight_decay=args.weight_decay,
        rng=stream(seed, "shuffle"),  # the same for every arm: the same batches
        first_step=fit.step,
    )
    done = fit.step // per_epoch
    with (
        tqdm(
            desc=f"{arm}, seed {seed}", total=args.epochs, initial=done, unit="epoch", disable=None
        ) as bar,
        run.checkpoints(name, fit.state) as after_step,
    ):
        clock = time.perf_counter()
        for _ in steps:
            fit.train_seconds += time.perf_counter() - clock
            fit.step += 1
            epoch, step = divmod(fit.step, per_epoch)
            if (step or per_epoch) % sample_every == 0:
                norms = [np.linalg.norm(model.grads[f"W{n + 1}"]) for n in range(model.depth)]
                fit.grad_norms.append((fit.step / per_epoch, *map(float, norms)))
            if step == 0:
                row = {"arm": arm, "seed": seed, "epoch": epoch}
                row["train_loss"], row["train_acc"] = evaluate(model, x, data.y_train)
                row["val_loss"], row["val_acc"] = evaluate(model, x_val, data.y_val)
                fit.history.append(row)
                run.log(row)
                bar.update()
                bar.set_postfix(loss=f"{row['train_loss']:.4f}", val_acc=f"{row['val_acc']:.2%}")
                # Of equal epochs the later one: the rate is lower, the weights have settled.
                if row["val_acc"] >= fit.best_val_acc:
                    fit.best_val_acc, fit.best_epoch = row["val_acc"], epoch
                    fit.best_params = {key: param.copy() for key, param in model.params.items()}
            after_step(epoch_ended=step == 0)
            clock = time.perf_counter()
    run.keep(name, fit.state())
    for key, param in fit.best_params.items():
        model.params[key][:] = param
    if seed == args.seed:
        about = {"dataset": data.name, "sha256": data.digest, "epoch": fit.best_epoch}
        save_model(run.path / f"{arm}.pkl", model, about | {"val_acc": fit.best_val_acc})
    return fit


def flat(images: np.ndarray) -> np.ndarray:
    """Return images (N, 1, 28, 28) as rows (N, 784), without copying."""
    return images.reshape(len(images), -1)
