"""Batch normalization and dropout: two layers that behave differently in training and evaluation.

Batch normalization gives every channel zero mean and unit variance over the batch, then lets the
network choose a scale and a shift of its own. The scale of a layer's input no longer follows every
change of the weights below, and larger learning rates and deeper networks train:

    xhat = (x - mean) / sqrt(var + eps)        y = gamma xhat + beta
    dgamma = sum of dy xhat        dbeta = sum of dy        (m numbers in each channel)
    dx = gamma / sqrt(var + eps) * (dy - dbeta / m - xhat dgamma / m)

The last two terms of dx are there because mean and variance depend on x too. In evaluation there
may be no batch: running averages, gathered in training, take the place of mean and variance, and
are constants for the gradient.

Dropout silences each unit with probability p, so no unit can rely on one certain other.

Sources: Ioffe and Szegedy (2015), "Batch normalization", algorithm 1 and section 3; Srivastava et
al. (2014), "Dropout".
"""

import numpy as np

from section3_cnn.layers.base import Layer, check_grad, check_images


class BatchNorm2D(Layer):
    """Normalizes every channel of x (N, C, H, W) over N, H and W; y has the same shape.

    `params`: gamma and beta (C,). `state`: running_mean and running_var (C,), which move by the
    fraction `momentum` towards each batch's values; the running variance is the unbiased one, as in
    PyTorch. Raises ValueError, naming the shape, for other channels, and in training for a single
    number a channel, whose variance would be zero.
    """

    kind = "norm"
    mixes_images = True  # through mean and variance

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5, dtype=np.float32):
        super().__init__()
        self.channels, self.momentum, self.eps = channels, momentum, eps
        self.dtype = np.dtype(dtype)
        self._add_param("gamma", np.ones(channels), dtype)
        self._add_param("beta", np.zeros(channels), dtype)
        self.state = {
            "running_mean": np.zeros(channels, dtype),
            "running_var": np.ones(channels, dtype),
        }
        self._xhat = self._scale = None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y (N, C, H, W); in training, move the running averages."""
        x = np.asarray(x, self.dtype)
        check_images(x, self.channels, "BatchNorm2D")
        self._batch_counts = self.training
        if self.training:
            m = x.size // self.channels
            if m < 2:
                raise ValueError(f"BatchNorm2D cannot normalize one number a channel: {x.shape}")
            mean = x.mean(axis=(0, 2, 3))
            centred = x - _per_channel(mean)
            var = np.einsum("nchw,nchw->c", centred, centred) / m
            for name, now in (("running_mean", mean), ("running_var", var * (m / (m - 1)))):
                self.state[name] += self.momentum * (now - self.state[name])
        else:
            mean, var = self.state["running_mean"], self.state["running_var"]
            centred = x - _per_channel(mean)
        std_inverse = 1 / np.sqrt(var + self.dtype.type(self.eps))
        self._scale = self.params["gamma"] * std_inverse
        self._xhat = np.multiply(centred, _per_channel(std_inverse), out=centred)
        y = self._xhat * _per_channel(self.params["gamma"])
        y += _per_channel(self.params["beta"])
        return y

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """Overwrite `grads`; return dLoss/dx (N, C, H, W)."""
        check_grad(grad_out, None if self._xhat is None else self._xhat.shape, "BatchNorm2D")
        dy = np.asarray(grad_out, self.dtype)
        self.grads["gamma"][:] = np.einsum("nchw,nchw->c", dy, self._xhat)
        self.grads["beta"][:] = np.einsum("nchw->c", dy)
        if not self._batch_counts:
            return dy * _per_channel(self._scale)
        m = dy.size // self.channels
        dx = self._xhat * _per_channel(self.grads["gamma"] / -m)
        dx += dy
        dx -= _per_channel(self.grads["beta"] / m)
        dx *= _per_channel(self._scale)
        return dx


class Dropout(Layer):
    """In training, zeroes each number with probability p and multiplies the others by 1 / (1 - p).

    The factor keeps the expected value, so nothing is left to do in evaluation (Srivastava et al.
    2014, section 10). `rng` draws the masks. Raises ValueError unless 0 <= p < 1.
    """

    kind = "dropout"
    mixes_images = True  # all masks come from one generator

    def __init__(self, p: float, *, rng: np.random.Generator):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"the probability of dropout must be in [0, 1), not {p}")
        self.p, self.rng = p, rng
        self._mask = self._shape = None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y in the shape of x."""
        self._shape, self._mask = x.shape, None
        if not self.training or self.p == 0:
            return x
        kept = self.rng.random(x.shape, np.float32) >= self.p
        self._mask = kept * x.dtype.type(1 / (1 - self.p))
        return x * self._mask

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """Return dLoss/dx: the same numbers are silent."""
        check_grad(grad_out, self._shape, "Dropout")
        return grad_out if self._mask is None else grad_out * self._mask


def _per_channel(values: np.ndarray) -> np.ndarray:
    """Return (C,) as (C, 1, 1), which broadcasts over images (N, C, H, W)."""
    return values[:, None, None]
