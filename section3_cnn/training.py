"""The training: forward, loss, backward, step; and the evaluation over whole data sets.

The loss is a mean over the batch, so its gradient is a mean, too, and the batch can be worked on a
chunk at a time. With a mean loss L_c over the n_c images of each chunk,

    L = sum over chunks of (n_c / N) L_c        dL/dW = sum over chunks of (n_c / N) dL_c/dW

A chunk of 32 images is long enough for NumPy's loops, and its arrays stay in the core's cache. It
needs nothing from the other chunks: `speed/data_parallel.py` gives them to other cores.

Source: Dean et al. (2012), "Large scale distributed deep networks"; Goyal et al. (2017),
"Accurate, large minibatch SGD", section 3.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np

from section3_cnn.losses import SoftmaxCrossEntropy
from section3_cnn.model import Sequential
from section3_cnn.optimizer import SGD, learning_rate
from shared_utils.datasets.gray_images import ImageData
from shared_utils.datasets.minibatches import minibatches
from shared_utils.runs import NO_RUN, History, Training, TrainingRun
from shared_utils.seed import stream

CHUNK = 32  # images, at most

ComputeGradients = Callable[[Sequential, np.ndarray, np.ndarray], float]  # as `compute_gradients`
Predict = Callable[[Sequential, np.ndarray], np.ndarray]  # as `predict`


@dataclass(frozen=True)
class Settings:
    """How to train. `lr` is the learning rate of the first step; `schedule` says what follows.

    `augment` maps a batch of images, and the generator to draw from, to the images to learn from.
    """

    epochs: int
    batch_size: int = 64
    lr: float = 0.01
    schedule: str = "onecycle"
    momentum: float = 0.9
    weight_decay: float = 0.0
    augment: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None


def chunks(n: int) -> list[slice]:
    """Return how a batch of n > 1 images is cut: two chunks or more, of `CHUNK` images at most."""
    count = max(min(2, n), -(-n // CHUNK))
    return [slice(n * c // count, n * (c + 1) // count) for c in range(count)]


def chunk_gradients(model: Sequential, x: np.ndarray, y: np.ndarray, n: int) -> float:
    """Overwrite `model.grads` with what images x, labels y add to the gradients of a batch of n.

    Return what they add to its loss.
    """
    loss_fn, fraction = SoftmaxCrossEntropy(), len(x) / n
    logits = model.forward(x)
    loss = loss_fn.forward(logits, y)
    model.backward(fraction * loss_fn.backward(), input_grad=False)
    return fraction * loss


def compute_gradients(model: Sequential, x: np.ndarray, y: np.ndarray) -> float:
    """Overwrite `model.grads` with those of the mean loss of images x, labels y; return the loss.

    A network with a layer that `mixes_images`, such as batch norm, takes the batch as one chunk.
    """
    model.train()
    if model.mixes_images:
        return chunk_gradients(model, x, y, len(x))
    loss, total = 0.0, {key: np.zeros_like(grad) for key, grad in model.grads.items()}
    for chunk in chunks(len(x)):
        loss += chunk_gradients(model, x[chunk], y[chunk], len(x))
        for key, grad in model.grads.items():
            total[key] += grad
    for key, grad in model.grads.items():
        grad[:] = total[key]
    return loss


def train_steps(
    model: Sequential,
    optimizer: SGD,
    x: np.ndarray,
    y: np.ndarray,
    settings: Settings,
    *,
    shuffle: np.random.Generator,
    draws: np.random.Generator | None = None,
    compute_gradients: ComputeGradients = compute_gradients,
    first_step: int = 0,
) -> Iterator[float]:
    """Train on x, y, from step `first_step` on; after every step, yield its loss (before the step).

    `shuffle` orders the images, `draws` is the augmentation's. Raises FloatingPointError, naming
    the epoch, as soon as a loss is not finite.
    """
    per_epoch = steps_per_epoch(len(x), settings.batch_size)
    total = settings.epochs * per_epoch
    batches = (
        batch
        for _ in range(settings.epochs)
        for batch in minibatches(len(x), settings.batch_size, shuffle)
    )
    for step, batch in islice(enumerate(batches), first_step, None):
        images = settings.augment(x[batch], draws) if settings.augment else x[batch]
        loss = compute_gradients(model, images, y[batch])  # forward, loss, backward
        if not math.isfinite(loss):
            raise FloatingPointError(f"epoch {step // per_epoch + 1}: the loss became {loss}")
        optimizer.lr = learning_rate(settings.schedule, settings.lr, step, total)
        optimizer.step(model.params, model.grads)
        yield loss


def predict(model: Sequential, x: np.ndarray) -> np.ndarray:
    """Return the logits (N, classes) of any number of images, in evaluation mode."""
    model.eval()
    logits = np.concatenate([model.forward(x[chunk]) for chunk in chunks(len(x))])
    return np.ascontiguousarray(logits)  # one order in memory for all: sums of floats depend on it


def evaluate(
    model: Sequential,
    x: np.ndarray,
    y: np.ndarray,
    predict: Predict = predict,
) -> tuple[float, float]:
    """Return the mean cross-entropy and the accuracy over all images."""
    logits = predict(model, x)
    return SoftmaxCrossEntropy().forward(logits, y), float(np.mean(logits.argmax(axis=1) == y))


@np.errstate(over="ignore", invalid="ignore")  # the loss is watched: it says when they matter
def fit(
    model: Sequential,
    data: ImageData,
    settings: Settings,
    *,
    seed: int,
    compute_gradients: ComputeGradients = compute_gradients,
    predict: Predict = predict,
    run: TrainingRun = NO_RUN,
) -> History:
    """Train `model`, measure it after every epoch, leave it with the weights of its best epoch.

    The batches depend on `seed` alone: networks with equal seeds see equal batches.
    `compute_gradients` and `predict` may be replaced by faster ones. Raises FloatingPointError,
    naming the epoch, when a loss is not finite.
    """
    x, y, draws = data.x_train, data.y_train, stream(seed, "augment")
    optimizer = SGD(settings.lr, settings.momentum, settings.weight_decay)
    training = Training(
        model.params | model.state,
        optimizer.velocity,
        epochs=settings.epochs,
        steps_per_epoch=steps_per_epoch(len(x), settings.batch_size),
        samples=len(x),
        rngs=(draws, *model.rngs),
    )
    options = {"shuffle": stream(seed, "shuffle"), "draws": draws}
    options["compute_gradients"] = compute_gradients
    steps = partial(train_steps, model, optimizer, x, y, settings, **options)
    for step in run.watch(training, steps):
        if step.ends_epoch:
            row = {"epoch": step.epoch}
            row["train_loss"], row["train_acc"] = evaluate(model, x, y, predict)
            row["val_loss"], row["val_acc"] = evaluate(model, data.x_val, data.y_val, predict)
            training.end_epoch(row)
            run.log(row)
    training.load_best()
    model.eval()
    return training.history


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Return how many minibatches an epoch over n images has, the last, shorter one included."""
    return math.ceil(n / batch_size)
