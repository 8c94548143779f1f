"""The layers that know nothing of images: Linear and ReLU; and Flatten, which leads to them."""

import numpy as np

from section3_cnn.layers.base import Layer, check_grad, pair


class Linear(Layer):
    """y = x W + b:  dW = x^T dy,  db = sum of the rows of dy,  dx = dy W^T.

    x: (N, in_features), y: (N, out_features), W: (in_features, out_features), b: (out_features,).
    Weights start as N(0, 2 / in_features) (He et al. 2015, equation 10), biases at zero. Raises
    ValueError, naming the shapes, for an x of another width. Computed as y^T = W^T x^T + b^T: the
    images of a batch lie innermost here too.
    """

    kind = "fc"

    def __init__(
        self, in_features: int, out_features: int, *, rng: np.random.Generator, dtype=np.float32
    ):
        super().__init__()
        pair((in_features, out_features), "the numbers of features", 1)
        self.in_features, self.out_features = in_features, out_features
        self.dtype = np.dtype(dtype)
        std = np.sqrt(2 / in_features)
        self._add_param("W", rng.normal(0, std, (in_features, out_features)), dtype)
        self._add_param("b", np.zeros(out_features), dtype)
        self._x = None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y (N, out_features)."""
        x = np.asarray(x, self.dtype)
        if x.ndim != 2 or x.shape[1] != self.in_features:
            raise ValueError(f"Linear takes rows of shape (N, {self.in_features}), not {x.shape}")
        self._x = x
        y = (self.params["W"].T @ x.T).T
        y += self.params["b"]
        return y

    def backward(self, grad_out: np.ndarray) -> np.ndarray | None:
        """Overwrite `grads`; return dLoss/dx (N, in_features), or None where it is not needed."""
        expected = None if self._x is None else (len(self._x), self.out_features)
        check_grad(grad_out, expected, "Linear")
        dy = np.asarray(grad_out, self.dtype)
        np.matmul(self._x.T, dy, out=self.grads["W"])
        np.sum(dy, axis=0, out=self.grads["b"])
        return (self.params["W"] @ dy.T).T if self.needs_input_grad else None


class ReLU(Layer):
    """y = max(0, x);  dx = dy where x > 0, else 0 (at x = 0 too, as PyTorch has it)."""

    kind = "relu"

    def __init__(self):
        super().__init__()
        self._y = None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y in the shape of x."""
        self._y = np.maximum(x, 0)
        return self._y

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """Return dLoss/dx. Where y > 0, x is too: the output is all that need be kept."""
        check_grad(grad_out, None if self._y is None else self._y.shape, "ReLU")
        return grad_out * (self._y > 0)


class Flatten(Layer):
    """Images (N, C, H, W) as rows (N, C H W)."""

    kind = "flatten"

    def __init__(self):
        super().__init__()
        self._shape = None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y (N, everything else)."""
        self._shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """Return dLoss/dx in the shape of x."""
        if self._shape is None:
            raise RuntimeError("Flatten: backward needs a forward pass first")
        check_grad(grad_out, (self._shape[0], int(np.prod(self._shape[1:]))), "Flatten")
        return grad_out.reshape(self._shape)
