"""A layer: a function y = f(x; params) beside its derivative.

A network is a chain of functions, so its gradient is a chain of local rules. A layer needs to know
two things only: how it turns x into y, and how it turns dLoss/dy (`grad_out`) into dLoss/dx, the
return value of `backward`, and dLoss/dparams, which `backward` writes into `grads`:

    dLoss/dx_i = sum_j dLoss/dy_j * dy_j/dx_i

`params` and `grads` are dicts with equal keys and shapes. `backward` overwrites `grads`, changes
nothing that it is given, and never divides by the batch size: only the loss does that. Arithmetic
runs in the dtype of the parameters, or of x where there are none. Variances are written as means of
squares and never as absolute values, so that complex numbers pass through: the complex-step check
needs that.
"""

import numpy as np


class Layer:
    """What all layers share: parameters, gradients, a mode, and a cache of the last forward pass.

    `active_branch` is for functions with kinks: which branch each element took in the last forward
    pass. It is None for smooth functions.
    """

    def __init__(self):
        self.params: dict[str, np.ndarray] = {}
        self.grads: dict[str, np.ndarray] = {}
        self.training = True
        self.active_branch: np.ndarray | None = None
        self._cache = None

    def train(self) -> None:
        """Switch to the behaviour that training needs."""
        self.training = True

    def eval(self) -> None:
        """Switch to the behaviour that prediction needs."""
        self.training = False

    def _add_params(self, **params: np.ndarray) -> None:
        self.params |= params
        self.grads |= {key: np.zeros_like(param) for key, param in params.items()}

    def _cached(self):
        if self._cache is None:
            raise RuntimeError(f"{type(self).__name__}.backward needs a forward pass first")
        return self._cache


def as_matrix(x: np.ndarray, features: int, dtype: np.dtype) -> np.ndarray:
    """Return x as an array (N, features) of `dtype`. Raises ValueError for another shape."""
    x = np.asarray(x, dtype)
    if x.ndim != 2 or x.shape[1] != features:
        raise ValueError(f"x must be (N, {features}), not {x.shape}")
    return x
