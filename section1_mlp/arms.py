"""One arm of the comparison: a network trained, watched, and kept from its best epoch.

The best epoch is chosen on the validation set, by accuracy: the loss begins to rise while the
accuracy still improves, since a few digits are missed with ever more confidence.
"""

import argparse
import time
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from section1_mlp.checkpoint import save_model
from section1_mlp.model import MLP
from section1_mlp.training import evaluate, steps_per_epoch, train_steps
from shared_utils.data import CLASSES, ImageData
from shared_utils.runs import RunFolder
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
    history: list[dict] = field(default_factory=list)  # a row an epoch, as in metrics.csv
    grad_norms: list[tuple] = field(default_factory=list)  # (epoch, ||dW1||, ||dW2||, ...)
    best_epoch: int = 0
    best_val_acc: float = -1.0
    train_seconds: float = 0.0
    probs: np.ndarray | None = None  # on the test set


def train_arm(
    arm: str, seed: int, data: ImageData, args: argparse.Namespace, run: RunFolder
) -> Fit:
    """Train one network, keep the weights of its best validation epoch, save those of seed one.

    Raises FloatingPointError, naming the epoch, when the loss is no longer finite.
    """
    from tqdm import tqdm

    x, x_val = flat(data.x_train), flat(data.x_val)
    sizes = (x.shape[1], *args.hidden, CLASSES)
    fit = Fit(arm, seed, MLP(sizes, arm, rng=stream(seed, "init")))
    model, lr = fit.model, args.lr or LEARNING_RATES[arm]
    per_epoch = steps_per_epoch(len(x), args.batch_size)
    sample_every = max(1, per_epoch // GRADIENT_SAMPLES_PER_EPOCH)
    steps = train_steps(
        model,
        x,
        data.y_train,
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=lr,
        momentum=args.momentum,
        weight_decay=args.weight_decay,
        rng=stream(seed, "shuffle"),  # the same for every arm: the same batches
    )
    best_params = None
    with tqdm(range(1, args.epochs + 1), f"{arm}, seed {seed}", disable=None, unit="epoch") as bar:
        for epoch in bar:
            clock = time.perf_counter()
            for step, _ in enumerate(islice(steps, per_epoch), start=1):
                if step % sample_every == 0:
                    norms = [np.linalg.norm(model.grads[f"W{n + 1}"]) for n in range(model.depth)]
                    fit.grad_norms.append((epoch - 1 + step / per_epoch, *norms))
            fit.train_seconds += time.perf_counter() - clock

            row = {"arm": arm, "seed": seed, "epoch": epoch}
            row["train_loss"], row["train_acc"] = evaluate(model, x, data.y_train)
            row["val_loss"], row["val_acc"] = evaluate(model, x_val, data.y_val)
            fit.history.append(row)
            run.log(**row)
            bar.set_postfix(loss=f"{row['train_loss']:.4f}", val_acc=f"{row['val_acc']:.2%}")
            # Of equal epochs the later one, where the rate is lower and the weights have settled.
            if row["val_acc"] >= fit.best_val_acc:
                fit.best_val_acc, fit.best_epoch = row["val_acc"], epoch
                best_params = {key: param.copy() for key, param in model.params.items()}
    for key, param in best_params.items():
        model.params[key][:] = param
    if seed == args.seed:
        about = {"dataset": data.name, "sha256": data.digest, "epoch": fit.best_epoch}
        save_model(run.path / f"{arm}.pkl", model, about | {"val_acc": fit.best_val_acc})
    return fit


def flat(images: np.ndarray) -> np.ndarray:
    """Return images (N, 1, 28, 28) as rows (N, 784), without copying."""
    return images.reshape(len(images), -1)
