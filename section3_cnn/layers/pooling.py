"""Pooling: keep what was found, forget exactly where.

A window of pixels becomes one number, the largest or the mean. The image shrinks, the next layers
see more of it at less cost, and a shift by a pixel changes little:

    max:   y = max of the window      dx = dy at the pixel that was the largest, 0 elsewhere
    mean:  y = mean of the window     dx = dy / (pixels of the window), everywhere

Source: LeCun et al. (1998), section II (the mean); Scherer, Müller and Behnke (2010), "Evaluation
of pooling operations in convolutional architectures" (the comparison).
"""

from collections.abc import Iterator

import numpy as np

from section3_cnn.layers.base import Layer, check_grad, check_images, pair, places


class _Pool2D(Layer):
    """Windows of `kernel_size` that move by `stride` (default: by their own size), no padding.

    x: (N, C, H, W), y: (N, C, (H - kernel) // stride + 1, the same for the width). Pixels beyond
    the last window are not used, as in PyTorch. Raises ValueError for a window that does not fit.
    """

    kind = "pool"

    def __init__(
        self, kernel_size: int | tuple[int, int], stride: int | tuple[int, int] | None = None
    ):
        super().__init__()
        self.kernel_size = pair(kernel_size, "kernel_size", 1)
        self.stride = self.kernel_size if stride is None else pair(stride, "stride", 1)
        self.padding = (0, 0)
        self._x = self._y = None

    def _enter(self, x: np.ndarray) -> None:
        check_images(x, None, type(self).__name__)
        self._out_hw = places(x.shape, self.kernel_size, self.stride)
        self._x = x.astype(np.result_type(x, np.float32), copy=False)  # pixels may be integers

    def _pixels(self, images: np.ndarray) -> Iterator[np.ndarray]:
        """Yield, for every pixel of a window in reading order, that pixel of all windows (a view).

        One operation on such a view serves every window of every image: kh kw of them do it all.
        """
        (sh, sw), (out_h, out_w) = self.stride, self._out_hw
        for i in range(self.kernel_size[0]):
            for j in range(self.kernel_size[1]):
                yield images[
                    :, :, i : i + (out_h - 1) * sh + 1 : sh, j : j + (out_w - 1) * sw + 1 : sw
                ]

    def _add(self, pixels: np.ndarray, grad: np.ndarray) -> None:
        """Add to a pixel of all windows; where no windows overlap, the sum has one term."""
        if self.stride[0] < self.kernel_size[0] or self.stride[1] < self.kernel_size[1]:
            pixels += grad
        else:
            pixels[:] = grad


class MaxPool2D(_Pool2D):
    """The largest pixel of every window.

    Among equals, the first in reading order gets the whole gradient, as in PyTorch.
    """

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y (N, C, height, width)."""
        self._enter(np.asarray(x))
        pixels = self._pixels(self._x)
        self._y = np.array(next(pixels))
        for pixel in pixels:
            np.maximum(self._y, pixel, out=self._y)
        return self._y

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """Return dLoss/dx (N, C, H, W)."""
        check_grad(grad_out, None if self._y is None else self._y.shape, "MaxPool2D")
        dx, unclaimed = np.zeros_like(self._x), np.array(grad_out)
        *others, (_, last) = zip(self._pixels(self._x), self._pixels(dx), strict=True)
        for pixel, dx_pixel in others:
            claimed = unclaimed * (pixel == self._y)
            self._add(dx_pixel, claimed)
            unclaimed -= claimed
        self._add(last, unclaimed)
        return dx


class AvgPool2D(_Pool2D):
    """The mean of every window; every pixel gets an equal part of the gradient."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y (N, C, height, width)."""
        self._enter(np.asarray(x))
        pixels = self._pixels(self._x)
        y = np.array(next(pixels))
        for pixel in pixels:
            y += pixel
        y *= self._x.dtype.type(1 / np.prod(self.kernel_size))
        return y

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """Return dLoss/dx (N, C, H, W)."""
        shape = None if self._x is None else (*self._x.shape[:2], *self._out_hw)
        check_grad(grad_out, shape, "AvgPool2D")
        dx = np.zeros_like(self._x)
        of_each = grad_out * self._x.dtype.type(1 / np.prod(self.kernel_size))
        for dx_pixel in self._pixels(dx):
            self._add(dx_pixel, of_each)
        return dx
