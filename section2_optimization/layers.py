"""The layers: forward and backward of each, one beside the other.

For every layer, y = f(x). Given `grad_out` = dLoss/dy (dy for short), `backward` returns dLoss/dx
(dx) and leaves dLoss/dparams (dW, db, ...) in `grads`. The protocol is told in `layer`; BatchNorm1d
and LayerNorm have a file of their own, `normalization`.
"""

import math

import numpy as np

from section2_optimization.layer import Layer, as_matrix
from section2_optimization.normalization import BatchNorm1d, LayerNorm

__all__ = ["BatchNorm1d", "Dropout", "LayerNorm", "Linear", "ReLU", "Sigmoid", "Tanh"]


class Linear(Layer):
    """y = x W + b, with x (N, in_features), W (in_features, out_features), b (out_features,).

    W starts as N(0, gain^2 / in_features), b at zero. The default gain, sqrt(2), makes up for the
    half that a ReLU silences (He et al. 2015, "Delving deep into rectifiers", equation 10); 1 suits
    tanh and sigmoid (LeCun et al. 1998, "Efficient backprop", section 4.6).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        rng: np.random.Generator,
        gain: float = math.sqrt(2),
        dtype=np.float32,
    ):
        super().__init__()
        if min(in_features, out_features) < 1:
            raise ValueError(f"Linear needs positive sizes, not {in_features} and {out_features}")
        W = rng.normal(0, gain / math.sqrt(in_features), (in_features, out_features))
        self._add_params(W=W.astype(dtype), b=np.zeros(out_features, dtype))

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return x W + b, (N, out_features). Raises ValueError for an x of another shape."""
        W, b = self.params["W"], self.params["b"]
        x = as_matrix(x, len(W), W.dtype)
        self._saved = x
        return x @ W + b

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """dW = x^T dy, db = the sum of dy over the batch; returns dx = dy W^T."""
        x = self._recall()
        np.matmul(x.T, grad_out, out=self.grads["W"])
        np.sum(grad_out, axis=0, out=self.grads["b"])
        return grad_out @ self.params["W"].T


class ReLU(Layer):
    """y = max(0, x). Its derivative at the kink x = 0 is taken to be 0, as PyTorch does."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return max(0, x), in the shape of x."""
        self.winners = self._saved = np.asarray(x) > 0
        return np.maximum(x, 0)

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """dx = dy where x > 0, else 0."""
        return grad_out * self._recall()


class Sigmoid(Layer):
    """y = 1 / (1 + exp(-x))."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the sigmoid of x; the exponent is never positive, so nothing can overflow."""
        x = np.asarray(x)
        positive = x.real >= 0
        e = np.exp(np.where(positive, -x, x))
        self._saved = np.where(positive, 1, e) / (1 + e)
        return self._saved

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """dx = dy y (1 - y)."""
        y = self._recall()
        return grad_out * y * (1 - y)


class Tanh(Layer):
    """y = tanh(x)."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return tanh(x)."""
        self._saved = np.tanh(x)
        return self._saved

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """dx = dy (1 - y^2)."""
        y = self._recall()
        return grad_out * (1 - y * y)


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
            self._saved = 1.0
            return x
        self._saved = ((self.rng.random(x.shape) >= self.p) / (1 - self.p)).astype(x.real.dtype)
        return x * self._saved

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """dx = dy m: what was silent in the forward pass gets no gradient."""
        return grad_out * self._recall()
