"""Stochastic gradient descent with momentum, and the learning rate's path over the training.

    v <- momentum v + dW + weight_decay W        W <- W - lr v        (as PyTorch's SGD)

The learning rate decides how much of each noisy gradient is believed. A path that rises first lets
the network leave its random start gently; a high plateau travels far; a fall to zero averages the
noise away. Sources: Polyak (1964); Loshchilov and Hutter (2017), equation 5; after Smith and Topin
(2018), "Super-convergence", whose one-cycle path falls in straight lines.
"""

import math

import numpy as np

SCHEDULES = ("constant", "cosine", "onecycle")
PEAK = 5.0  # onecycle's highest learning rate, as a multiple of its first
RISE = 0.3  # the fraction of the steps over which onecycle rises


class SGD:
    """The update above, in place; `lr` may be changed between two steps.

    `velocity` holds the v of every parameter, zero at first, by the names of the parameters.
    """

    def __init__(self, lr: float, momentum: float = 0.9, weight_decay: float = 0.0):
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.velocity = {}

    def step(self, params: dict[str, np.ndarray], grads: dict[str, np.ndarray]) -> None:
        """Move every parameter against its gradient."""
        for key, param in params.items():
            if key not in self.velocity:
                self.velocity[key] = np.zeros_like(param)
            v = self.velocity[key]
            v *= self.momentum
            v += grads[key]
            if self.weight_decay:
                v += self.weight_decay * param
            param -= self.lr * v


def learning_rate(schedule: str, lr: float, step: int, total: int) -> float:
    """Return the learning rate of step `step` of `total`, counted from 0; `lr` is the first one's.

    "constant": lr. "cosine": lr (1 + cos(pi t)) / 2 with t = step / total. "onecycle": a straight
    line from lr up to 5 lr over the first 30 % of the steps, then half a cosine from 5 lr to 0.
    Raises ValueError for an unknown schedule.
    """
    t = step / total
    if schedule == "constant":
        return lr
    if schedule == "cosine":
        return lr * (1 + math.cos(math.pi * t)) / 2
    if schedule == "onecycle":
        if t < RISE:
            return lr * (1 + (PEAK - 1) * t / RISE)
        return PEAK * lr * (1 + math.cos(math.pi * (t - RISE) / (1 - RISE))) / 2
    raise ValueError(f"schedule must be one of {SCHEDULES}, not {schedule!r}")
