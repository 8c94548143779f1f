"""The training loop: forward, loss, backward, step; and the choice of the best epoch.

A constant learning rate keeps the weights jittering around the minimum; here it falls along half a
cosine, which takes large steps first and settles at the end:
lr_t = lr (1 + cos(pi t / T)) / 2, for step t of T.

Source: Loshchilov and Hutter (2017), "SGDR", equation 5, without restarts.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

import numpy as np

from section1_mlp.functions import cross_entropy
from section1_mlp.model import MLP
from section1_mlp.optimizer import SGD
from shared_utils.datasets.gray_images import ImageData
from shared_utils.datasets.minibatches import minibatches
from shared_utils.runs import NO_RUN, History, Training, TrainingRun
from shared_utils.seed import stream

GRADIENT_SAMPLES_PER_EPOCH = 10
EVALUATION_BATCH = 5000

ComputeGradients = Callable[[MLP, np.ndarray, np.ndarray], float]  # as `compute_gradients`
Evaluate = Callable[[MLP, np.ndarray, np.ndarray], tuple[float, float]]  # as `evaluate`


def compute_gradients(model: MLP, x: np.ndarray, y: np.ndarray) -> float:
    """Overwrite `model.grads` with those of the mean loss of x, y; return the loss."""
    loss = model.loss(x, y)  # forward, and the loss
    model.backward()
    return loss


def train_steps(
    model: MLP,
    optimizer: SGD,
    x: np.ndarray,
    y: np.ndarray,
    *,
    epochs: int,
    batch_size: int,
    rng: np.random.Generator,
    compute_gradients: ComputeGradients = compute_gradients,
    first_step: int = 0,
) -> Iterator[float]:
    """Train `model` on x, y; after every step, yield the loss of its minibatch (before the step).

    The optimizer's `lr` is that of the first step, and again at the end. Batches before
    `first_step` are drawn and passed over. Raises FloatingPointError, naming the epoch, as soon as
    a loss is not finite.
    """
    peak_lr, per_epoch = optimizer.lr, steps_per_epoch(len(x), batch_size)
    batches = (b for _ in range(epochs) for b in minibatches(len(x), batch_size, rng))
    for step, batch in islice(enumerate(batches), first_step, None):
        # A network that diverges overflows before its loss does; the loss is what is watched.
        with np.errstate(over="ignore", invalid="ignore"):
            loss = compute_gradients(model, x[batch], y[batch])  # forward, loss, backward
            if not math.isfinite(loss):
                raise FloatingPointError(f"the loss became {loss} in epoch {step // per_epoch + 1}")
            optimizer.lr = peak_lr * (1 + math.cos(math.pi * step / (epochs * per_epoch))) / 2
            optimizer.step(model.params, model.grads)
        yield loss
    optimizer.lr = peak_lr


def evaluate(model: MLP, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return a classifier's mean cross-entropy and accuracy over all samples.

    Large batches are quick and spare memory; sums, not means of means, since the last is shorter.
    """
    total_loss, correct = 0.0, 0
    for start in range(0, len(x), EVALUATION_BATCH):
        chunk = slice(start, start + EVALUATION_BATCH)
        logits = model.logits(x[chunk])
        total_loss += cross_entropy(logits, y[chunk]) * len(logits)
        correct += int(np.sum(logits.argmax(axis=1) == y[chunk]))
    return total_loss / len(x), correct / len(x)


def fit(
    model: MLP,
    optimizer: SGD,
    data: ImageData,
    *,
    epochs: int,
    batch_size: int,
    seed: int = 0,
    compute_gradients: ComputeGradients = compute_gradients,
    evaluate: Evaluate = evaluate,
    run: TrainingRun = NO_RUN,
) -> History:
    """Train `model` on images and leave it with the weights of its best validation epoch.

    The batches follow from `seed` alone. `compute_gradients` and `evaluate` may be replaced by
    faster ones. About ten times an epoch the gradient's norm is measured for each layer:
    `history.series` holds, as "gradient_norms", rows (epoch, ||dW1||, ||dW2||, ...).
    """
    x, x_val = flat(data.x_train), flat(data.x_val)
    options = {"epochs": epochs, "batch_size": batch_size, "rng": stream(seed, "shuffle")}
    options["compute_gradients"] = compute_gradients
    steps = partial(train_steps, model, optimizer, x, data.y_train, **options)
    per_epoch = steps_per_epoch(len(x), batch_size)
    training = Training(
        model.params, optimizer.velocity, epochs=epochs, steps_per_epoch=per_epoch, samples=len(x)
    )
    for step in run.watch(training, steps):  # see shared_utils/runs/training_run.py
        if step.in_epoch % max(1, per_epoch // GRADIENT_SAMPLES_PER_EPOCH) == 0:
            norms = [np.linalg.norm(model.grads[f"W{n + 1}"]) for n in range(model.depth)]
            series = training.history.series.setdefault("gradient_norms", [])
            series.append((training.step / per_epoch, *map(float, norms)))
        if step.ends_epoch:
            row = {"epoch": step.epoch}
            row["train_loss"], row["train_acc"] = evaluate(model, x, data.y_train)
            row["val_loss"], row["val_acc"] = evaluate(model, x_val, data.y_val)
            training.end_epoch(row)  # keeps these weights if they are the best so far
            run.log(row)
    training.load_best()
    return training.history


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Return how many minibatches an epoch over n samples has, the last, shorter one included."""
    return math.ceil(n / batch_size)


def flat(images: np.ndarray) -> np.ndarray:
    """Return images (N, 1, H, W) as rows (N, H W), without copying."""
    return images.reshape(len(images), -1)
