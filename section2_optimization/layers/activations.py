"""Activations: elementwise bends, without which a stack of linear layers would be one linear layer.

Each output depends on one input, so the derivative of the layer is one factor for each element.
"""

import numpy as np

from section2_optimization.layers.base import Layer


class ReLU(Layer):
    """y = max(0, x). Its derivative at the kink x = 0 is taken to be 0, as PyTorch does."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return max(0, x), in the shape of x."""
        self.active_branch = self._cache = np.asarray(x) > 0
        return np.maximum(x, 0)

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """dx = dy where x > 0, else 0."""
        return grad_out * self._cached()


class Sigmoid(Layer):
    """y = 1 / (1 + exp(-x))."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the sigmoid of x; the exponent is never positive, so nothing can overflow."""
        x = np.asarray(x)
        positive = x.real >= 0
        e = np.exp(np.where(positive, -x, x))
        self._cache = np.where(positive, 1, e) / (1 + e)
        return self._cache

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """dx = dy y (1 - y)."""
        y = self._cached()
        return grad_out * y * (1 - y)


class Tanh(Layer):
    """y = tanh(x)."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return tanh(x)."""
        self._cache = np.tanh(x)
        return self._cache

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """dx = dy (1 - y^2)."""
        y = self._cached()
        return grad_out * (1 - y * y)
