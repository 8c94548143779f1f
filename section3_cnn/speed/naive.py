"""The usual NumPy network: im2col by index arrays, and its gradient by `np.add.at`.

It computes what our layers compute, from the same equations, and is what the benchmark measures
against. Index arrays pick every pixel of every window one by one, and `np.add.at`, which must allow
for pixels picked twice, adds them back one by one: neither can move a long row at a time. Lectures
and courses write convolution so, and pooling too, as a window like any other.
"""

import numpy as np

from section3_cnn.layers import Flatten, Linear, MaxPool2D, ReLU, TextbookConv2D
from section3_cnn.layers.base import places
from section3_cnn.model import CLASSES, Sequential


def windows(layer: TextbookConv2D | MaxPool2D, shape: tuple[int, ...]) -> tuple:
    """Return the index that picks all windows of images (N, C, H, W): (N, C, kh kw, places).

    Of an array that is already padded.
    """
    (kh, kw), (sh, sw) = layer.kernel_size, layer.stride
    height, width = places(shape, layer.kernel_size, layer.stride)
    i, j = (index.reshape(-1, 1) for index in np.indices((kh, kw)))
    row, column = (index.reshape(1, -1) for index in np.indices((height, width)))
    return slice(None), slice(None), i + sh * row, j + sw * column


class NaiveConv2D(TextbookConv2D):
    """`Conv2D` with the same parameters, shapes and results, without any care for memory."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y (N, out_channels, height, width)."""
        ph, pw = self.padding
        x = self._enter(x)
        padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
        self._padded_shape = padded.shape
        self._picked = windows(self, padded.shape)
        picked = padded[self._picked]
        self._picked_shape = picked.shape
        self._cols = picked.transpose(1, 2, 3, 0).reshape(self._W_rows().shape[1], -1)
        y = self._W_rows() @ self._cols + self.params["b"][:, None]  # (O, places N)
        return y.reshape(self.out_channels, *self._out_shape[2:], len(x)).transpose(3, 0, 1, 2)

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """Overwrite `grads`; return dLoss/dx (N, C, H, W), also where it is not needed."""
        _, _, h, w = self._in_shape
        ph, pw = self.padding
        dy = grad_out.transpose(1, 2, 3, 0).reshape(self.out_channels, -1)
        self.grads["W"][:] = (dy @ self._cols.T).reshape(self.params["W"].shape)
        self.grads["b"][:] = dy.sum(axis=1)
        dcols = (self._W_rows().T @ dy).reshape(*self._picked_shape[1:], -1).transpose(3, 0, 1, 2)
        dx = np.zeros(self._padded_shape, dy.dtype)
        np.add.at(dx, self._picked, dcols)
        return dx[:, :, ph : ph + h, pw : pw + w]


class NaiveMaxPool2D(MaxPool2D):
    """`MaxPool2D` with the same results: a column for every window, the largest of each column."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y (N, C, height, width)."""
        self._in_shape, self._picked = x.shape, windows(self, x.shape)
        cols = x[self._picked]
        self._cols_shape, self._largest = cols.shape, cols.argmax(axis=2, keepdims=True)
        y = np.take_along_axis(cols, self._largest, axis=2)
        return y.reshape(*x.shape[:2], *places(x.shape, self.kernel_size, self.stride))

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """Return dLoss/dx (N, C, H, W)."""
        dcols = np.zeros(self._cols_shape, grad_out.dtype)
        np.put_along_axis(dcols, self._largest, grad_out.reshape(self._largest.shape), axis=2)
        dx = np.zeros(self._in_shape, grad_out.dtype)
        np.add.at(dx, self._picked, dcols)
        return dx


def usual_cnn(*, rng: np.random.Generator, dtype=np.float32) -> Sequential:
    """Return the small network as it is usually written: such layers, and ReLU before pools.

    Equal generators give it the weights of `build_cnn("small")`.
    """
    like = {"rng": rng, "dtype": dtype}
    layers = [
        *(NaiveConv2D(1, 8, 3, padding=1, **like), ReLU(), NaiveMaxPool2D(2)),
        *(NaiveConv2D(8, 16, 3, padding=1, **like), ReLU(), NaiveMaxPool2D(2)),
        *(Flatten(), Linear(16 * 7 * 7, 128, **like), ReLU(), Linear(128, CLASSES, **like)),
    ]
    return Sequential(layers, dtype)
