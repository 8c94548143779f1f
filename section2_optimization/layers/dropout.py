"""Dropout: in each step a random part of the units is silent, so that none can rely on another."""

import numpy as np

from section2_optimization.layers.base import Layer


class Dropout(Layer):
    """In training, y = x m with m = 0 (probability p) or 1 / (1 - p); in prediction, y = x.

    The factor 1 / (1 - p) keeps the expectation of y at x, so that prediction needs no factor.
    Source: Srivastava et al. (2014), "Dropout: a simple way to prevent neural networks from
    overfitting", in the "inverted" form that PyTorch uses.
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p must lie in [0, 1), not {p}")
        self.p, self.rng = p, rng

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return x with a fresh mask in training, x itself in prediction."""
        x = np.asarray(x)
        if not self.training:
            self._cache = 1.0
            return x
        self._cache = ((self.rng.random(x.shape) >= self.p) / (1 - self.p)).astype(x.real.dtype)
        return x * self._cache

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """dx = dy m: what was silent in the forward pass gets no gradient."""
        return grad_out * self._cached()
