"""The linear layer: every output is a weighted sum of all inputs, and the weights are learned.

By the chain rule, with y_nk = sum_i x_ni W_ik + b_k, a weight W_ik collects x_ni dy_nk from every
sample n, and an input x_ni collects W_ik dy_nk from every output k: two matrix products.
"""

import math

import numpy as np

from section2_optimization.layers.base import Layer, as_matrix


class Linear(Layer):
    """y = x W + b, with x (N, in_features), W (in_features, out_features), b (out_features,).

    W starts as N(0, gain^2 / in_features), b at zero. The default gain, sqrt(2), makes up for the
    half that a ReLU silences (He et al. 2015, "Delving deep into rectifiers", equation 10); 1 suits
    tanh, whose slope at 0 is 1 (LeCun et al. 1998, "Efficient backprop", section 4.6). A sigmoid's
    slope is at most 1/4: through many layers of them, gradients fade with either gain.
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
        self._cache = x
        return x @ W + b

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """Overwrite `grads` by the sums of the module; return dLoss/dx (N, in_features).

        grad_out is dLoss/dy (N, out_features). Raises RuntimeError without a forward pass.
        """
        x = self._cached()
        np.matmul(x.T, grad_out, out=self.grads["W"])
        np.sum(grad_out, axis=0, out=self.grads["b"])
        return grad_out @ self.params["W"].T
