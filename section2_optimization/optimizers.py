"""Optimizers: what to do with a gradient.

A gradient says which way is downhill, not how far to go. Every rule here is an answer to "how far":
momentum goes on in the direction that past steps agreed on, the adaptive rules divide each
parameter's step by the size of its past gradients. An optimizer sees two dicts of arrays with equal
keys and shapes, never a layer, and changes the parameters in place.

Notation of the docstrings: theta a parameter, g its gradient, eta = `lr`, all operations
elementwise, t = 1, 2, ... the step. Products into a scratch array spare an allocation per step.
"""

import math
from collections.abc import Mapping

import numpy as np

from section2_optimization.optimizer import Optimizer, check_range


class SGD(Optimizer):
    """Stochastic gradient descent; with `momentum`, Polyak's heavy ball, or Nesterov's.

        g' = g + lambda theta                                    lambda = weight_decay
        v  = mu v + g'              (v = 0 at first)             mu     = momentum
        theta <- theta - eta g'                                  momentum = 0
        theta <- theta - eta v                                   momentum > 0
        theta <- theta - eta (g' + mu v)                         nesterov

    The rate stands outside of v, as in PyTorch: a new rate acts at once on the whole velocity.
    Nesterov's rule takes its gradient one velocity ahead, at theta - eta mu v. The form here is
    that rule written for the point ahead, so that g is always taken where the parameters are.
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
            _descend(theta, g, self.lr, scratch)
            return
        velocity *= self.momentum
        velocity += g
        if self.nesterov:
            _descend(theta, g, self.lr, scratch)
            _descend(theta, velocity, self.lr * self.momentum, scratch)
        else:
            _descend(theta, velocity, self.lr, scratch)


class RMSprop(Optimizer):
    """Divides by a running root mean square of the gradients.

        s = alpha s + (1 - alpha) g^2                            s = 0 at first
        u = g / (sqrt(s) + eps)
        theta <- theta - eta u                                   momentum = 0
        b = mu b + u;  theta <- theta - eta b                    momentum > 0

    eps stands outside the root, as in PyTorch (inside it in some texts: then a gradient of 1e-12
    would be divided by 1e-4 in place of 1e-8). s starts at zero and is not corrected for it, so the
    first steps are 1 / sqrt(1 - alpha) times too large, 10 times for 0.99.
    Source: Tieleman and Hinton (2012), lecture 6.5 of "Neural networks for machine learning".
    """

    slots = ("square_avg",)

    def __init__(self, lr: float, alpha: float = 0.99, eps: float = 1e-8, momentum: float = 0.0):
        check_range("alpha", alpha, 0 <= alpha < 1, "in [0, 1)")
        check_range("eps", eps, 0 < eps < math.inf, "above 0")
        check_range("momentum", momentum, 0 <= momentum < 1, "in [0, 1)")
        super().__init__(lr)
        self.alpha, self.eps, self.momentum = alpha, eps, momentum
        if momentum > 0:
            self.slots = ("square_avg", "velocity")

    def _update(self, theta, g, scratch, square_avg, velocity=None):
        np.multiply(g, g, out=scratch)
        scratch *= 1 - self.alpha
        square_avg *= self.alpha
        square_avg += scratch
        np.sqrt(square_avg, out=scratch)
        scratch += self.eps
        np.divide(g, scratch, out=scratch)
        if self.momentum == 0:
            _descend(theta, scratch, self.lr, scratch)
            return
        velocity *= self.momentum
        velocity += scratch
        _descend(theta, velocity, self.lr, scratch)


class Adam(Optimizer):
    """Momentum divided by a running root mean square, both means from the first step on.

        m = beta1 m + g          mhat = m / (1 + beta1 + ... + beta1^(t-1))
        s = beta2 s + g^2        shat = s / (1 + beta2 + ... + beta2^(t-1))
        theta <- theta - eta mhat / (sqrt(shat) + eps)

    m and s are sums whose older terms fade; mhat and shat divide them by the sum of their weights.
    The paper keeps (1 - beta1) m, and (1 - beta2) s under the name of v, which start too small, and
    corrects them: mhat and shat are the same, and here each costs a multiplication less.

    eps stands outside the root and after the correction, as in the paper's algorithm 1 and in
    PyTorch. The first step of every parameter is eta sign(g), whatever the size of g, as long as
    that is well above eps. Source: Kingma and Ba (2015), "Adam", algorithm 1, where eta is alpha.
    """

    slots = ("fading_sum", "fading_square_sum")

    def __init__(self, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8):
        for name, beta in zip(("beta1", "beta2"), betas, strict=True):
            check_range(name, beta, 0 <= beta < 1, "in [0, 1)")
        check_range("eps", eps, 0 < eps < math.inf, "above 0")
        super().__init__(lr)
        self.betas, self.eps = tuple(betas), eps

    def _update(self, theta, g, scratch, m, s):
        (beta1, beta2), t = self.betas, self.steps
        m *= beta1
        m += g
        s *= beta2
        s += np.multiply(g, g, out=scratch)
        # The sums of the weights are numbers, and are applied to numbers:
        # (m / w1) / (sqrt(s / w2) + eps) is sqrt(w2) / w1 times m / (sqrt(s) + sqrt(w2) eps).
        w1, w2 = ((1 - beta**t) / (1 - beta) for beta in self.betas)
        np.sqrt(s, out=scratch)
        scratch += math.sqrt(w2) * self.eps
        np.divide(m, scratch, out=scratch)
        _descend(theta, scratch, self.lr * math.sqrt(w2) / w1, scratch)


class AdamW(Adam):
    """Adam with weight decay that does not pass through the division.

        theta <- theta (1 - eta lambda), then Adam's step         lambda = weight_decay

    Added to g, as SGD has it, the decay would be divided by sqrt(shat): weights with large
    gradients would hardly decay. Source: Loshchilov and Hutter (2019), "Decoupled weight decay
    regularization", algorithm 2, with the rate inside the decay as in PyTorch.
    """

    def __init__(
        self,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        check_range("weight_decay", weight_decay, 0 <= weight_decay < math.inf, "0 or more")
        super().__init__(lr, betas, eps)
        self.weight_decay = weight_decay

    def _update(self, theta, g, scratch, m, s):
        theta *= 1 - self.lr * self.weight_decay
        super()._update(theta, g, scratch, m, s)


class Adagrad(Optimizer):
    """Divides by the root of the sum of all squared gradients: steps shrink and never grow again.

        s = s + g^2;  theta <- theta - eta g / (sqrt(s) + eps)    s = 0 at first

    eps stands outside the root. Source: Duchi, Hazan and Singer (2011), "Adaptive subgradient
    methods", section 1.1, the diagonal rule.
    """

    slots = ("square_sum",)

    def __init__(self, lr: float, eps: float = 1e-10):
        check_range("eps", eps, 0 < eps < math.inf, "above 0")
        super().__init__(lr)
        self.eps = eps

    def _update(self, theta, g, scratch, square_sum):
        np.multiply(g, g, out=scratch)
        square_sum += scratch
        np.sqrt(square_sum, out=scratch)
        scratch += self.eps
        np.divide(g, scratch, out=scratch)
        _descend(theta, scratch, self.lr, scratch)


OPTIMIZERS: Mapping[str, type[Optimizer]] = {
    "sgd": SGD,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
    "adagrad": Adagrad,
}


def make_optimizer(name: str, lr: float, **options) -> Optimizer:
    """Return the optimizer called `name`. Raises ValueError, with the names that exist."""
    if name not in OPTIMIZERS:
        raise ValueError(f"there is no optimizer {name!r}; there are {', '.join(OPTIMIZERS)}")
    return OPTIMIZERS[name](lr, **options)


def _descend(theta, direction, rate, scratch) -> None:
    """theta <- theta - rate direction, in place."""
    np.multiply(direction, rate, out=scratch)
    theta -= scratch
