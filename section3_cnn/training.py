"""The training loop: minibatch, loss, backward, step; and the evaluation over whole data sets."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from section3_cnn.data_parallel import DataParallel
from section3_cnn.losses import SoftmaxCrossEntropy
from section3_cnn.model import Sequential
from section3_cnn.optimizer import SGD, learning_rate
from shared_utils.datasets.minibatches import minibatches


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Return how many minibatches an epoch over n samples has, the last, shorter one included."""
    return math.ceil(n / batch_size)


def train_steps(
    model: Sequential | DataParallel,
    x: np.ndarray,
    y: np.ndarray,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    schedule: str = "constant",
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    rng: np.random.Generator,
    augment: Callable[[np.ndarray], np.ndarray] | None = None,
    first_step: int = 0,
    velocity: dict[str, np.ndarray] | None = None,
) -> Iterator[float]:
    """Train `model` on x, y; after every step, yield the loss of its minibatch (before the step).

    `augment` maps a batch of images to another, for instance slightly moved. A training that goes
    on begins with `first_step`, with the `velocity` that it had; the batches before are drawn
    again, so that `rng` is where it was, and passed over. Raises FloatingPointError as soon as a
    loss is not finite.
    """
    network = _parallel(model, batch_size)
    optimizer = SGD(momentum, weight_decay, velocity)
    step, total = 0, epochs * steps_per_epoch(len(x), batch_size)
    for _ in range(epochs):
        for batch in minibatches(len(x), batch_size, rng):
            if step < first_step:
                step += 1
                continue
            images = x[batch] if augment is None else augment(x[batch])
            loss = network.learn(images, y[batch])
            if not math.isfinite(loss):
                raise FloatingPointError(f"the loss became {loss} in step {step + 1} of {total}")
            rate = learning_rate(schedule, lr, step, total)
            optimizer.step(network.params, network.grads, rate)
            step += 1
            yield loss


def predict(model: Sequential | DataParallel, x: np.ndarray) -> np.ndarray:
    """Return the logits (N, classes) of images in use."""
    network = _parallel(model)
    starts = range(0, len(x), network.capacity)
    return np.concatenate([network.predict(x[at : at + network.capacity]) for at in starts])


def evaluate(model: Sequential | DataParallel, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the mean cross-entropy and the accuracy over all samples."""
    logits = predict(model, x)
    return SoftmaxCrossEntropy().forward(logits, y), float(np.mean(logits.argmax(axis=1) == y))


def _parallel(model: Sequential | DataParallel, *capacity: int) -> DataParallel:
    """Return what computes for the network: itself, if it does, or this process alone."""
    return model if isinstance(model, DataParallel) else DataParallel(model, 1, *capacity)
