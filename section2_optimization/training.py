"""The training loop: forward, loss, backward, step; and what is measured between epochs.

A step goes against the gradient of one minibatch's loss, at the rate that the schedule gives for
it. How far it goes is the optimizer's business, which sees parameters and gradients alone. The
network of the last epoch is the result; `study/` chooses the learning rate, and it resumes between
its searches.
"""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from section2_optimization.losses import SoftmaxCrossEntropy
from section2_optimization.model import Sequential
from section2_optimization.optimizers import Optimizer
from shared_utils.datasets.minibatches import minibatches


def train_epochs(
    model: Sequential,
    optimizer: Optimizer,
    x: np.ndarray,
    y: np.ndarray,
    *,
    epochs: int,
    batch_size: int,
    lr_at: Callable[[int], float],
    rng: np.random.Generator,
) -> Iterator[int]:
    """Train a classifier on x, y; after every epoch, yield its number, counted from 1.

    `lr_at(t)` is the learning rate of step t = 0, 1, ...; `rng` shuffles. Raises
    FloatingPointError as soon as a loss or a gradient is not finite: the training has diverged.
    """
    loss = SoftmaxCrossEntropy()
    for epoch in range(1, epochs + 1):
        for batch in minibatches(len(x), batch_size, rng):
            value = loss.forward(model.forward(x[batch]), y[batch])
            if not math.isfinite(value):
                raise FloatingPointError(f"the loss became {value} in epoch {epoch}")
            model.backward(loss.backward())
            optimizer.lr = lr_at(optimizer.steps)
            optimizer.step(model.params, model.grads)
        yield epoch


def evaluate(model: Sequential, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return a classifier's mean cross-entropy and accuracy over all samples.

    Predicts with `eval()`, and leaves the model in training mode: an epoch may follow.
    """
    model.eval()
    logits = model.forward(x)
    model.train()
    return SoftmaxCrossEntropy().forward(logits, y), float(np.mean(logits.argmax(axis=1) == y))


def gradient_norm(model: Sequential, x: np.ndarray, y: np.ndarray) -> float:
    """Return the norm of the gradient of the mean cross-entropy over all samples."""
    loss = SoftmaxCrossEntropy()
    loss.forward(model.forward(x), y)
    model.backward(loss.backward())
    return norm(model.grads)


def norm(arrays: Mapping[str, np.ndarray]) -> float:
    """Return the Euclidean norm of all entries of all arrays."""
    return math.sqrt(sum(float(np.vdot(array, array)) for array in arrays.values()))
