"""Stochastic gradient descent, alone or with a velocity that remembers past steps.

A gradient says which way is downhill, not how far to go. The plain rule goes a fixed multiple of
the gradient; momentum continues in the direction that past steps agreed on, and cancels those in
which they contradict each other.
"""

import math

import numpy as np

from section2_optimization.optimizers.base import Optimizer, check_range, descend


class SGD(Optimizer):
    """Stochastic gradient descent; with `momentum`, Polyak's heavy ball, or Nesterov's.

        g' = g + lambda theta                                    lambda = weight_decay
        v  = mu v + g'              (v = 0 at first)             mu     = momentum
        theta <- theta - eta g'                                  momentum = 0
        theta <- theta - eta v                                   momentum > 0
        theta <- theta - eta (g' + mu v)                         nesterov

    The rate stands outside of v, as in PyTorch: a new rate acts at once on the whole velocity.
    Nesterov's rule takes its gradient one velocity ahead, at theta - eta mu v. The form here is
    that rule written for the point ahead, so that g is always taken where the parameters are; the
    two visit the same points as long as the rate is constant.
    Sources: Polyak (1964); Nesterov (1983); Sutskever et al. (2013), equations 1 to 4, there with
    v' = -eta v.
    """

    slots = ("velocity",)

    def __init__(
        self,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ):
        check_range("momentum", momentum, 0 <= momentum < 1, "in [0, 1)")
        check_range("weight_decay", weight_decay, 0 <= weight_decay < math.inf, "0 or more")
        if nesterov and momentum == 0:
            raise ValueError("nesterov needs a momentum above 0: without velocity nothing is ahead")
        super().__init__(lr)
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay
        if momentum == 0:
            self.slots = ()

    def _update(self, theta, g, scratch, velocity=None):
        if self.weight_decay:
            np.multiply(theta, self.weight_decay, out=scratch)
            scratch += g
            g = scratch
        if self.momentum == 0:
            descend(theta, g, self.lr, scratch)
            return
        velocity *= self.momentum
        velocity += g
        if self.nesterov:
            descend(theta, g, self.lr, scratch)
            descend(theta, velocity, self.lr * self.momentum, scratch)
        else:
            descend(theta, velocity, self.lr, scratch)
