"""Convolution, fast: what `textbook.py` computes, with an eye on memory.

The arithmetic is a few matrix products; what costs time is moving numbers. Images lie innermost in
memory (`base.py`), so im2col copies long rows, never single pixels. One product serves row r of the
output in all images of a batch: large enough to be worth the call, small enough for the cache,

    y_r = W cols_r + b        dW = sum over r of dy_r cols_r^T        db = sum of dy

with W (O, C kh kw) and cols_r (C kh kw, columns of windows). The gradient of x is added up pixel by
pixel of the window, so that the matrix of all its copies, dcols, never exists:

    dx[n, :, r s + i - p, q s + j - p] += W[:, :, i, j]^T dy[n, :, r, q]
"""

from collections.abc import Iterator

import numpy as np

from section3_cnn.layers.base import check_grad, images_first, images_last
from section3_cnn.layers.textbook import TextbookConv2D


class Conv2D(TextbookConv2D):
    """The textbook's convolution with the same parameters, shapes and results (see there).

    Work arrays are kept between steps: fresh memory is slow memory.
    """

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._buffers = {}

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y (N, out_channels, height, width) in the dtype of the weights."""
        x = self._enter(x)
        out_hw = self._out_shape[2:]
        padded = self._buffer("padded", self._padded_shape())
        self._inner(padded)[:] = images_last(x)
        cols = self._buffer("cols", (self.in_channels, *self.kernel_size, *out_hw, len(x)))
        for i, j, pixels in self._pixels(padded):
            cols[:, i, j] = pixels
        y = np.empty((self.out_channels, *out_hw, len(x)), self.dtype)
        np.matmul(self._W_rows(), _by_row(cols), out=_by_row(y))
        y += self.params["b"][:, None, None, None]
        return images_first(y)

    def backward(self, grad_out: np.ndarray) -> np.ndarray | None:
        """Overwrite `grads`; return dLoss/dx (N, C, H, W), or None where it is not needed."""
        check_grad(grad_out, self._out_shape, "Conv2D")
        dy = np.ascontiguousarray(images_last(np.asarray(grad_out)), self.dtype)
        cols = _by_row(self._buffers["cols"])
        dW = self.grads["W"].reshape(self.out_channels, -1)
        np.sum(_by_row(dy) @ cols.transpose(0, 2, 1), axis=0, out=dW)
        np.sum(dy.reshape(self.out_channels, -1), axis=1, out=self.grads["b"])
        if not self.needs_input_grad:
            return None
        dx = np.zeros(self._padded_shape(), self.dtype)
        product = self._buffer("product", (self.in_channels, *dy.shape[1:]))
        W_of_pixel = np.ascontiguousarray(self.params["W"].transpose(2, 3, 1, 0))
        for i, j, pixels in self._pixels(dx):
            np.matmul(W_of_pixel[i, j], _by_row(dy), out=_by_row(product))
            pixels += product
        return images_first(self._inner(dx))

    def _pixels(self, padded: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield, for every pixel i, j of a window, that pixel of all: (C, height, width, N).

        They are views: the forward pass reads the windows through them, the backward pass adds.
        """
        (sh, sw), (out_h, out_w) = self.stride, self._out_shape[2:]
        for i in range(self.kernel_size[0]):
            rows = slice(i, i + (out_h - 1) * sh + 1, sh)
            for j in range(self.kernel_size[1]):
                yield i, j, padded[:, rows, j : j + (out_w - 1) * sw + 1 : sw]

    def _padded_shape(self) -> tuple[int, ...]:
        (n, c, h, w), (ph, pw) = self._in_shape, self.padding
        return c, h + 2 * ph, w + 2 * pw, n

    def _inner(self, padded: np.ndarray) -> np.ndarray:
        """Return the image within its padding."""
        (h, w), (ph, pw) = self._in_shape[2:], self.padding
        return padded[:, ph : ph + h, pw : pw + w]

    def _buffer(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return a kept work array; what was never written in it, such as the padding, is zero."""
        kept = self._buffers.get(name)
        if kept is None or kept.shape != shape:
            kept = self._buffers[name] = np.zeros(shape, self.dtype)
        return kept


def _by_row(array: np.ndarray) -> np.ndarray:
    """Return (..., H, W, N) as a view (H, everything before, W N): a matrix for each image row."""
    height, width, n = array.shape[-3:]
    return array.reshape(-1, height, width * n).transpose(1, 0, 2)
