"""The training loop: minibatches, loss, backward, step, under a learning rate that fades out.

A constant rate keeps the weights jittering around the minimum; one that falls along half a cosine
takes large steps first and settles at the end: lr_t = lr (1 + cos(pi t / T)) / 2, for step t of T
(Loshchilov and Hutter 2017, "SGDR", equation 5, without restarts).
"""

import math
from collections.abc import Iterator

import numpy as np

from section1_mlp.functions import cross_entropy
from section1_mlp.model import MLP
from shared_utils.datasets.minibatches import minibatches


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Return how many minibatches an epoch over n samples has, the last, shorter one included."""
    return math.ceil(n / batch_size)


def train_steps(
    model: MLP,
    x: np.ndarray,
    y: np.ndarray,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    rng: np.random.Generator,
    first_step: int = 0,
) -> Iterator[float]:
    """Train `model` on x, y; after every step, yield the loss of its minibatch (before the step).

    A training that goes on begins with `first_step`: the batches before it are drawn again, so that
    `rng` is where it was, and passed over.

    Raises FloatingPointError, naming the epoch, as soon as a loss is not finite.
    """
    step, total = 0, epochs * steps_per_epoch(len(x), batch_size)
    for epoch in range(1, epochs + 1):
        for batch in minibatches(len(x), batch_size, rng):
            if step < first_step:
                step += 1
                continue
            # A network that diverges overflows before its loss does; the loss is what is watched.
            with np.errstate(over="ignore", invalid="ignore"):
                loss = model.loss(x[batch], y[batch])
                if not math.isfinite(loss):
                    raise FloatingPointError(f"the loss became {loss} in epoch {epoch}")
                model.backward()
                rate = lr * (1 + math.cos(math.pi * step / total)) / 2
                model.step(rate, momentum, weight_decay)
            step += 1
            yield loss


def evaluate(model: MLP, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return a classifier's mean cross-entropy and accuracy over all samples.

    Large batches are quick and spare memory; sums, not means of means, since the last is shorter.
    """
    total_loss, correct = 0.0, 0
    for start in range(0, len(x), 5000):
        part = slice(start, start + 5000)
        logits = model.logits(x[part])
        total_loss += cross_entropy(logits, y[part]) * len(logits)
        correct += int(np.sum(logits.argmax(axis=1) == y[part]))
    return total_loss / len(x), correct / len(x)
