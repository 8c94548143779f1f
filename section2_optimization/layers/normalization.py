"""Normalisation: outputs of mean 0 and variance 1, from which gamma and beta may then depart.

    xhat = (x - mean) / sqrt(var + eps)        y = gamma xhat + beta

BatchNorm takes mean and variance of each feature over the batch, LayerNorm those of each sample
over its features; apart from the axis they are one function. Both statistics depend on x, so its
gradient has three paths, x itself, the mean and the variance. With g = gamma dy, and averages taken
along the axis of the statistics, they collect into

    dx = (g - avg(g) - xhat avg(g xhat)) / sqrt(var + eps)
"""

import numpy as np

from section2_optimization.layers.base import Layer, as_matrix


class _Norm(Layer):
    def __init__(self, num_features: int, eps: float, dtype):
        super().__init__()
        if num_features < 1 or eps <= 0:
            raise ValueError(f"num_features and eps must be positive, not {num_features}, {eps}")
        self.eps = eps
        self._add_params(gamma=np.ones(num_features, dtype), beta=np.zeros(num_features, dtype))

    def _scale_and_shift(self, x, mean, var) -> np.ndarray:
        inv_std = 1 / np.sqrt(var + self.eps)
        xhat = (x - mean) * inv_std
        self._cache = xhat, inv_std
        return self.params["gamma"] * xhat + self.params["beta"]

    def _param_grads(self, grad_out: np.ndarray, xhat: np.ndarray) -> None:
        np.sum(grad_out * xhat, axis=0, out=self.grads["gamma"])
        np.sum(grad_out, axis=0, out=self.grads["beta"])


class BatchNorm1d(_Norm):
    """Normalises every feature of x (N, num_features) over the batch.

    In training, mean and variance are those of the batch, the variance with divisor N. They are
    remembered as exponential averages, the variance there with divisor N - 1, as in PyTorch:

        running <- (1 - momentum) running + momentum batch

    In prediction the running averages take their place; they are constants, so only the direct path
    of the gradient is left. Source: Ioffe and Szegedy (2015), "Batch normalization", algorithm 1
    and the derivatives in section 3.
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, dtype=np.float32
    ):
        super().__init__(num_features, eps, dtype)
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must lie in [0, 1], not {momentum}")
        self.momentum = momentum
        self.running_mean = np.zeros(num_features, dtype)
        self.running_var = np.ones(num_features, dtype)
        self._from_batch = True  # whether the last forward pass used the batch's statistics

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y, (N, num_features).

        Raises ValueError for an x of another shape, and in training for a batch of one sample: its
        variance is zero, so every output would be beta.
        """
        x = as_matrix(x, len(self.params["gamma"]), self.params["gamma"].dtype)
        self._from_batch = self.training
        if not self.training:
            return self._scale_and_shift(x, self.running_mean, self.running_var)
        n = len(x)
        if n < 2:
            raise ValueError("BatchNorm1d needs at least 2 samples in training; one has no spread")
        mean = x.mean(axis=0)
        var = np.mean((x - mean) ** 2, axis=0)
        m = self.momentum
        self.running_mean = (1 - m) * self.running_mean + m * mean
        self.running_var = (1 - m) * self.running_var + m * var * (n / (n - 1))
        return self._scale_and_shift(x, mean, var)

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """Return dx by the equation of the module, averages over the batch."""
        xhat, inv_std = self._cached()
        self._param_grads(grad_out, xhat)
        g = grad_out * self.params["gamma"]
        if not self._from_batch:
            return g * inv_std
        return (g - g.mean(axis=0) - xhat * np.mean(g * xhat, axis=0)) * inv_std


class LayerNorm(_Norm):
    """Normalises every sample of x (N, num_features) over its features, always in the same way.

    Source: Ba, Kiros and Hinton (2016), "Layer normalization", equation 3.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, dtype=np.float32):
        super().__init__(num_features, eps, dtype)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y, (N, num_features). Raises ValueError for an x of another shape."""
        x = as_matrix(x, len(self.params["gamma"]), self.params["gamma"].dtype)
        mean = x.mean(axis=1, keepdims=True)
        var = np.mean((x - mean) ** 2, axis=1, keepdims=True)
        return self._scale_and_shift(x, mean, var)

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """Return dx by the equation of the module, averages over the features."""
        xhat, inv_std = self._cached()
        self._param_grads(grad_out, xhat)
        g = grad_out * self.params["gamma"]
        along = {"axis": 1, "keepdims": True}
        return (g - g.mean(**along) - xhat * np.mean(g * xhat, **along)) * inv_std
