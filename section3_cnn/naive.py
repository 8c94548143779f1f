"""The usual NumPy convolution: im2col by index arrays, and its gradient by `np.add.at`.

It computes what `Conv2D` computes, from the same equations, and is what the benchmark measures
against. Index arrays pick every pixel of every window one by one, and `np.add.at`, which must allow
for pixels picked twice, adds them back one by one: neither can move a long row at a time.
"""

import numpy as np

from section3_cnn.base import places
from section3_cnn.layers import Conv2D, Flatten, Linear, MaxPool2D, ReLU
from section3_cnn.model import CLASSES, Sequential


class NaiveConv2D(Conv2D):
    """`Conv2D` with the same parameters, shapes and results, without any care for memory."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y (N, out_channels, height, width)."""
        (n, c, _, _), (kh, kw), (sh, sw), (ph, pw) = (
            x.shape,
            self.kernel_size,
            self.stride,
            self.padding,
        )
        height, width = places(x.shape, self.kernel_size, self.stride, self.padding)
        padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
        channel, i, j = (index.reshape(-1, 1) for index in np.indices((c, kh, kw)))
        row, column = (index.reshape(1, -1) for index in np.indices((height, width)))
        self._picked = slice(None), channel, i + sh * row, j + sw * column
        self._padded_like = padded
        cols = padded[self._picked]  # (N, C kh kw, places)
        self._cols = cols.transpose(1, 2, 0).reshape(c * kh * kw, -1)
        y = self._W_rows() @ self._cols + self.params["b"][:, None]
        self._in_shape, self._out_shape = x.shape, (n, self.out_channels, height, width)
        return y.reshape(self.out_channels, height, width, n).transpose(3, 0, 1, 2)

    def backward(self, grad_out: np.ndarray) -> np.ndarray | None:
        """Overwrite `grads`; return dLoss/dx (N, C, H, W), or None where nobody needs it."""
        n, _, h, w = self._in_shape
        ph, pw = self.padding
        dy = grad_out.transpose(1, 2, 3, 0).reshape(self.out_channels, -1)
        self.grads["W"][:] = (dy @ self._cols.T).reshape(self.params["W"].shape)
        self.grads["b"][:] = dy.sum(axis=1)
        if not self.needs_input_grad:
            return None
        dcols = (self._W_rows().T @ dy).reshape(len(self._cols), -1, n).transpose(2, 0, 1)
        dx = np.zeros_like(self._padded_like)
        np.add.at(dx, self._picked, dcols)
        return dx[:, :, ph : ph + h, pw : pw + w]


def usual_cnn(*, rng: np.random.Generator, dtype=np.float32) -> Sequential:
    """Return the small network as it is usually written: such convolutions, and ReLU before pools.

    Equal generators give it the weights of `build_cnn("small")`.
    """
    like = {"rng": rng, "dtype": dtype}
    layers = [
        *(NaiveConv2D(1, 8, 3, padding=1, **like), ReLU(), MaxPool2D(2)),
        *(NaiveConv2D(8, 16, 3, padding=1, **like), ReLU(), MaxPool2D(2)),
        *(Flatten(), Linear(16 * 7 * 7, 128, **like), ReLU(), Linear(128, CLASSES, **like)),
    ]
    return Sequential(layers, dtype)
