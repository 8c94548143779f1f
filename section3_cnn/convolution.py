"""Convolution: the same small detector, tried at every place of the image.

A filter of kh x kw x C weights slides over the image; where it fits, its output is large. The same
weights at every place mean few parameters, and a digit that moves by a pixel moves its features:

    y[n, o, r, q] = b[o] + sum over c, i, j of  W[o, c, i, j] * x[n, c, r s + i - p, q s + j - p]

The sum is a dot product, so all of it is one matrix product per image, once the windows stand as
columns of a matrix (im2col): y_n = W cols_n, with W (O, C kh kw) and cols_n (C kh kw, places). Its
gradients are the two products of every linear map, and im2col's own gradient adds each column back
to the pixels that it was copied from:

    dW = sum over n of dy_n cols_n^T        dcols_n = W^T dy_n        db = sum of dy

Source: LeCun et al. (1998), "Gradient-based learning applied to document recognition", section II;
Chellapilla, Puri and Simard (2006), "High performance convolutional neural networks", section 4.1.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from section3_cnn.base import Layer, check_grad, check_images, pair, places


class Conv2D(Layer):
    """Cross-correlation of images with learned filters, as PyTorch's `Conv2d`.

    x: (N, in_channels, H, W)
    y: (N, out_channels, (H + 2 padding - kernel) // stride + 1, the same for the width)
    W: (out_channels, in_channels, kernel height, kernel width), b: (out_channels,)

    `kernel_size`, `stride` and `padding` are one number or (height, width). Weights start as
    N(0, 2 / (in_channels kh kw)), which keeps the signal's size through a ReLU (He et al. 2015,
    equation 10), biases at zero. The matrices of windows are kept between steps: fresh memory is
    slow memory. Raises ValueError, naming the shapes, for a geometry that cannot be.
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
        self._in_shape = self._out_shape = self._cols = None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y (N, out_channels, height, width) in the dtype of the weights."""
        x = np.asarray(x)
        check_images(x, self.in_channels, "Conv2D")
        n, c, h, w = x.shape
        (kh, kw), (sh, sw), (ph, pw) = self.kernel_size, self.stride, self.padding
        out_h, out_w = places(x.shape, self.kernel_size, self.stride, self.padding)
        if ph or pw:
            padded = self._buffer("padded", (n, c, h + 2 * ph, w + 2 * pw))
            padded[:, :, ph : ph + h, pw : pw + w] = x
            x = padded
        # A view of shape (N, C, height, width, kh, kw): only the next line copies anything.
        windows = sliding_window_view(x, (kh, kw), axis=(2, 3))[:, :, ::sh, ::sw]
        cols = self._buffer("cols", (n, c, kh, kw, out_h, out_w))
        cols[:] = windows.transpose(0, 1, 4, 5, 2, 3)

        self._in_shape, self._out_shape = (n, c, h, w), (n, self.out_channels, out_h, out_w)
        self._cols = cols.reshape(n, c * kh * kw, out_h * out_w)
        y = self._W_rows() @ self._cols
        y += self.params["b"][:, None]
        return y.reshape(self._out_shape)

    def backward(self, grad_out: np.ndarray) -> np.ndarray | None:
        """Overwrite `grads`; return dLoss/dx (N, C, H, W), or None where nobody needs it."""
        check_grad(grad_out, self._out_shape, "Conv2D")
        grad_out = np.asarray(grad_out, self.dtype)
        dy = grad_out.reshape(*self._out_shape[:2], -1)
        dW = self.grads["W"].reshape(self.out_channels, -1)
        np.sum(dy @ self._cols.transpose(0, 2, 1), axis=0, out=dW)
        np.sum(dy, axis=(0, 2), out=self.grads["b"])
        return self._input_grad(grad_out) if self.needs_input_grad else None

    def _input_grad(self, grad_out: np.ndarray) -> np.ndarray:
        """Return dLoss/dx: dcols = W^T dy, each column added to the pixels that it was copied from.

        Row i, column j of a window lies i * width + j numbers behind its corner in memory,
        wherever the window is. So with dy laid out at the corners of its windows, on a canvas as
        wide as the padded image, one shifted addition of a long row serves all windows at once.
        """
        n, c, h, w = self._in_shape
        out_h, out_w = self._out_shape[2:]
        (kh, kw), (sh, sw), (ph, pw) = self.kernel_size, self.stride, self.padding
        height, width = h + 2 * ph, w + 2 * pw
        rows = (out_h - 1) * sh + 1
        corners = self._buffer("corners", (n, self.out_channels, rows, width))
        corners[:, :, ::sh, : (out_w - 1) * sw + 1 : sw] = grad_out

        run = (rows - 1) * width + (out_w - 1) * sw + 1  # up to the last window's corner
        dcols = self._buffer("dcols", (n, c * kh * kw, run))
        np.matmul(self._W_rows().T, corners.reshape(n, -1, rows * width)[:, :, :run], out=dcols)
        dcols = dcols.reshape(n, c, kh, kw, run)
        dx = np.zeros((n, c, height * width), self.dtype)
        for i in range(kh):
            for j in range(kw):
                shift = i * width + j
                dx[:, :, shift : shift + run] += dcols[:, :, i, j]
        return dx.reshape(n, c, height, width)[:, :, ph : ph + h, pw : pw + w]

    def _W_rows(self) -> np.ndarray:
        """Return the weights as a matrix (out_channels, C kh kw): a filter is a row."""
        return self.params["W"].reshape(self.out_channels, -1)

    def _buffer(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return a kept work array; what was never written in it is zero.

        A smaller batch takes the front of a larger one's array. The zeros of padding and canvas lie
        at the same places for every batch, so nobody overwrites them.
        """
        kept = self._buffers.get(name)
        if kept is None or kept.shape[1:] != shape[1:] or len(kept) < shape[0]:
            kept = self._buffers[name] = np.zeros(shape, self.dtype)
        return kept[: shape[0]]
