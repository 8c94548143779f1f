"""Convolution: the same small detector, tried at every place of the image.

A filter of kh x kw x C weights slides over the image; where it fits, its output is large. The same
weights at every place mean few parameters, and a digit that moves by a pixel moves its features:

    y[n, o, r, q] = b[o] + sum over c, i, j of  W[o, c, i, j] * x[n, c, r s + i - p, q s + j - p]

The sum is a dot product, so a row of places, in all images, is one matrix product once the windows
stand as columns of a matrix (im2col): y_r = W cols_r + b, with W (O, C kh kw) and cols_r (C kh kw,
columns of windows). Products of that size stay in the cache. The gradients are the two products of
every linear map; that of x goes back, for each pixel i, j of the window, to where it came from:

    dW = sum over r of dy_r cols_r^T        db = sum of dy
    dx[n, :, r s + i - p, q s + j - p] += W[:, :, i, j]^T dy[n, :, r, q]

Source: LeCun et al. (1998), "Gradient-based learning applied to document recognition", section II;
Chellapilla, Puri and Simard (2006), "High performance convolutional neural networks", section 4.1.
"""

from collections.abc import Iterator

import numpy as np

from section3_cnn.base import (
    Layer,
    check_grad,
    check_images,
    images_first,
    images_last,
    pair,
    places,
)


class Conv2D(Layer):
    """Cross-correlation of images with learned filters, as PyTorch's `Conv2d`.

    x: (N, in_channels, H, W)
    y: (N, out_channels, (H + 2 padding - kernel) // stride + 1, the same for the width)
    W: (out_channels, in_channels, kernel height, kernel width), b: (out_channels,)

    `kernel_size`, `stride` and `padding` are one number or (height, width). Weights start as
    N(0, 2 / (in_channels kh kw)), which keeps the signal's size through a ReLU (He et al. 2015,
    equation 10), biases at zero. Work arrays are kept between steps: fresh memory is slow memory.
    Raises ValueError, naming the shapes, for a geometry that cannot be.
    """

    kind = "conv"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        *,
        rng: np.random.Generator,
        dtype=np.float32,
    ):
        super().__init__()
        pair((in_channels, out_channels), "the numbers of channels", 1)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = pair(kernel_size, "kernel_size", 1)
        self.stride = pair(stride, "stride", 1)
        self.padding = pair(padding, "padding", 0)
        self.dtype = np.dtype(dtype)
        shape = (out_channels, in_channels, *self.kernel_size)
        std = np.sqrt(2 / np.prod(shape[1:]))
        self._add_param("W", rng.normal(0, std, shape), dtype)
        self._add_param("b", np.zeros(out_channels), dtype)
        self._buffers = {}
        self._in_shape = self._out_shape = None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y (N, out_channels, height, width) in the dtype of the weights."""
        x = np.asarray(x)
        check_images(x, self.in_channels, "Conv2D")
        out_hw = places(x.shape, self.kernel_size, self.stride, self.padding)
        self._in_shape, self._out_shape = x.shape, (len(x), self.out_channels, *out_hw)
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
        """Overwrite `grads`; return dLoss/dx (N, C, H, W), or None where nobody needs it."""
        check_grad(grad_out, self._out_shape, "Conv2D")
        dy = np.ascontiguousarray(images_last(np.asarray(grad_out)), self.dtype)
        cols = _by_row(self._buffers["cols"])
        dW = self.grads["W"].reshape(self.out_channels, -1)
        np.sum(_by_row(dy) @ cols.transpose(0, 2, 1), axis=0, out=dW)
        np.sum(dy.reshape(self.out_channels, -1), axis=1, out=self.grads["b"])
        if not self.needs_input_grad:
            return None
        dx = np.zeros(self._padded_shape(), self.dtype)
        share = self._buffer("share", (self.in_channels, *dy.shape[1:]))
        W_of_pixel = np.ascontiguousarray(self.params["W"].transpose(2, 3, 1, 0))
        for i, j, pixels in self._pixels(dx):
            np.matmul(W_of_pixel[i, j], _by_row(dy), out=_by_row(share))
            pixels += share
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

    def _W_rows(self) -> np.ndarray:
        """Return the weights as a matrix (out_channels, C kh kw): a filter is a row."""
        return self.params["W"].reshape(self.out_channels, -1)

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
