"""The update: a step against the gradient of a minibatch's loss.

With momentum a step follows a running sum of past gradients: what they agree on adds up, what they
disagree on cancels. Source: Polyak (1964).
"""

import numpy as np


class SGD:
    """Stochastic gradient descent with momentum and weight decay, as PyTorch's SGD.

    v <- momentum v + dW + weight_decay W;  W <- W - lr v
    """

    def __init__(self, lr: float, momentum: float = 0.0, weight_decay: float = 0.0):
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.velocity: dict[str, np.ndarray] = {}  # v of every parameter, zero at first

    def step(self, params: dict[str, np.ndarray], grads: dict[str, np.ndarray]) -> None:
        """Move every parameter, in place."""
        for key, param in params.items():
            if key not in self.velocity:
                self.velocity[key] = np.zeros_like(param)
            v = self.velocity[key]
            v *= self.momentum
            v += grads[key]
            if self.weight_decay:
                v += self.weight_decay * param
            param -= self.lr * v
