"""The adaptive rules: each parameter's step is divided by the size of its own past gradients.

Parameters whose gradients differ by orders of magnitude then move at one pace, and one rate suits
them all. The rules differ in what they take for the size: the sum of all squared gradients
(Adagrad), their fading average (RMSprop), or that average without its bias (Adam).
"""

import math

import numpy as np

from section2_optimization.optimizers.base import Optimizer, average, check_range, descend


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
        descend(theta, scratch, self.lr, scratch)


class RMSprop(Optimizer):
    """Divides by a running root mean square of the gradients.

        s = alpha s + (1 - alpha) g^2                            s = 0 at first
        theta <- theta - eta g / (sqrt(s) + eps)

    eps stands outside the root, as in PyTorch (inside it in some texts: then a gradient of 1e-12
    would be divided by 1e-4 in place of 1e-8). s starts at zero and is not corrected for it, so the
    first steps are 1 / sqrt(1 - alpha) times too large, 10 times for 0.99.
    Source: Tieleman and Hinton (2012), lecture 6.5 of "Neural networks for machine learning".
    """

    slots = ("square_avg",)

    def __init__(self, lr: float, alpha: float = 0.99, eps: float = 1e-8):
        check_range("alpha", alpha, 0 <= alpha < 1, "in [0, 1)")
        check_range("eps", eps, 0 < eps < math.inf, "above 0")
        super().__init__(lr)
        self.alpha, self.eps = alpha, eps

    def _update(self, theta, g, scratch, square_avg):
        average(square_avg, self.alpha, np.multiply(g, g, out=scratch), scratch)
        np.sqrt(square_avg, out=scratch)
        scratch += self.eps
        np.divide(g, scratch, out=scratch)
        descend(theta, scratch, self.lr, scratch)


class Adam(Optimizer):
    """Momentum divided by a running root mean square, both corrected for their start at zero.

        m = beta1 m + (1 - beta1) g          mhat = m / (1 - beta1^t)        m = v = 0 at first
        v = beta2 v + (1 - beta2) g^2        vhat = v / (1 - beta2^t)
        theta <- theta - eta mhat / (sqrt(vhat) + eps)

    m and v are averages whose older terms fade. Their weights sum to 1 - beta^t, less than 1 in the
    first steps; divided by that sum they are averages from the first step on. So the first step of
    every parameter is eta sign(g), whatever the size of g, as long as that is well above eps.

    eps stands outside the root and after the correction, as in PyTorch. Source: Kingma and Ba
    (2015), "Adam", algorithm 1, where eta is alpha.
    """

    slots = ("m", "v")

    def __init__(self, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8):
        for name, beta in zip(("beta1", "beta2"), betas, strict=True):
            check_range(name, beta, 0 <= beta < 1, "in [0, 1)")
        check_range("eps", eps, 0 < eps < math.inf, "above 0")
        super().__init__(lr)
        self.betas, self.eps = tuple(betas), eps

    def _update(self, theta, g, scratch, m, v):
        (beta1, beta2), t = self.betas, self.steps
        average(m, beta1, g, scratch)
        average(v, beta2, np.multiply(g, g, out=scratch), scratch)
        vhat = np.divide(v, 1 - beta2**t, out=scratch)
        denominator = np.sqrt(vhat, out=scratch)
        denominator += self.eps
        direction = np.divide(m, denominator, out=scratch)
        descend(theta, direction, self.lr / (1 - beta1**t), scratch)  # mhat's division is here


class AdamW(Adam):
    """Adam with weight decay that does not pass through the division.

        theta <- theta (1 - eta lambda), then Adam's step         lambda = weight_decay

    Added to g, as SGD has it, the decay would be divided by sqrt(vhat): weights with large
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

    def _update(self, theta, g, scratch, m, v):
        theta *= 1 - self.lr * self.weight_decay
        super()._update(theta, g, scratch, m, v)
