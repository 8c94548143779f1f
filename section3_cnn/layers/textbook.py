"""Convolution as in the textbook: the same small detector, tried at every place of the image.

A filter of C x kh x kw weights slides over the image; where it fits, its output is large. The same
weights at every place mean few parameters, and a digit that moves by a pixel moves its features:

    y[n, o, r, q] = b[o] + sum over c, i, j of  W[o, c, i, j] * x[n, c, r s + i - p, q s + j - p]

with stride s and p zeros around the image. (Strictly, this is a cross-correlation: a convolution
would turn the filter by 180 degrees first. The filter is learned, so all libraries leave that out.)

The sum is a dot product of a filter and a window. Write the filters as rows and the windows as
columns of a matrix (im2col), and one matrix product is the whole layer. Its gradients are those of
every linear map; a pixel that was copied into several columns gets the sum over them (col2im):

    Y = W cols + b        dW = dY cols^T        db = row sums of dY        dcols = W^T dY

Source: LeCun et al. (1998), "Gradient-based learning applied to document recognition", section II;
Chellapilla, Puri and Simard (2006), "High performance convolutional neural networks", section 4.1.
"""

import numpy as np

from section3_cnn.layers.base import Layer, check_grad, check_images, pair, places

Pair = tuple[int, int]  # along the height, along the width


def convolve(
    x: np.ndarray, W: np.ndarray, b: np.ndarray, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> np.ndarray:
    """Return y (N, O, height, width) of images x (N, C, H, W): the definition, in seven loops."""
    (sh, sw), (ph, pw) = stride, padding
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    y = np.zeros((len(x), len(W), *places(x.shape, W.shape[2:], stride, padding)))
    for n, o, r, q in np.ndindex(y.shape):  # four loops in one
        y[n, o, r, q] = b[o]
        for c, i, j in np.ndindex(W.shape[1:]):
            y[n, o, r, q] += W[o, c, i, j] * padded[n, c, r * sh + i, q * sw + j]
    return y


def im2col(x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair) -> np.ndarray:
    """Return the windows of images x (N, C, H, W) as columns (C kh kw, N height width).

    The rows are in the order c, i, j, the columns in the order n, r, q, the last fastest; the dtype
    is that of x.
    """
    (kh, kw), (sh, sw), (ph, pw) = kernel, stride, padding
    height, width = places(x.shape, kernel, stride, padding)
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    cols = np.empty((x.shape[1], kh, kw, len(x), height, width), x.dtype)
    for i, j in np.ndindex(kh, kw):  # pixel i, j of all windows at once
        pixels = padded[:, :, i : i + sh * height : sh, j : j + sw * width : sw]
        cols[:, i, j] = pixels.swapaxes(0, 1)
    return cols.reshape(x.shape[1] * kh * kw, -1)


def col2im(
    dcols: np.ndarray, shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair
) -> np.ndarray:
    """Return dLoss/dx from dLoss/dcols: every entry goes back to its pixel, and is added there.

    dcols is (C kh kw, N height width), as `im2col` returns it; dx has the `shape` of x, (N, C, H,
    W): the padding is cut off.
    """
    (n, c, h, w), (kh, kw), (sh, sw), (ph, pw) = shape, kernel, stride, padding
    height, width = places(shape, kernel, stride, padding)
    dcols = dcols.reshape(c, kh, kw, n, height, width)
    dx = np.zeros((n, c, h + 2 * ph, w + 2 * pw), dcols.dtype)
    for i, j in np.ndindex(kh, kw):
        pixels = dx[:, :, i : i + sh * height : sh, j : j + sw * width : sw]
        pixels += dcols[:, i, j].swapaxes(0, 1)
    return dx[:, :, ph : ph + h, pw : pw + w]


class TextbookConv2D(Layer):
    """Cross-correlation of images with learned filters, as PyTorch's `Conv2d`.

    x: (N, in_channels, H, W)
    y: (N, out_channels, (H + 2 padding - kernel) // stride + 1, the same for the width)
    W: (out_channels, in_channels, kernel height, kernel width), b: (out_channels,)

    `kernel_size`, `stride` and `padding` are one number or (height, width). Weights start as
    N(0, 2 / (in_channels kh kw)), which keeps the signal's size through a ReLU (He et al. 2015,
    equation 10), biases at zero. Raises ValueError, naming the shapes, for a geometry that cannot
    be.
    """

    kind = "conv"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
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
        self._in_shape = self._out_shape = None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y (N, out_channels, height, width) in the dtype of the weights."""
        x = self._enter(x)
        self._cols = im2col(x, self.kernel_size, self.stride, self.padding)
        y = self._W_rows() @ self._cols + self.params["b"][:, None]
        n, o, height, width = self._out_shape
        return y.reshape(o, n, height, width).swapaxes(0, 1)

    def backward(self, grad_out: np.ndarray) -> np.ndarray | None:
        """Overwrite `grads`; return dLoss/dx (N, C, H, W), or None where it is not needed."""
        check_grad(grad_out, self._out_shape, "Conv2D")
        dy = np.asarray(grad_out, self.dtype).swapaxes(0, 1).reshape(self.out_channels, -1)
        self.grads["W"][:] = (dy @ self._cols.T).reshape(self.params["W"].shape)
        self.grads["b"][:] = dy.sum(axis=1)
        if not self.needs_input_grad:
            return None
        dcols = self._W_rows().T @ dy
        return col2im(dcols, self._in_shape, self.kernel_size, self.stride, self.padding)

    def _enter(self, x: np.ndarray) -> np.ndarray:
        """Check the images; remember their shape, and that of the output."""
        x = np.asarray(x, self.dtype)
        check_images(x, self.in_channels, "Conv2D")
        out_hw = places(x.shape, self.kernel_size, self.stride, self.padding)
        self._in_shape, self._out_shape = x.shape, (len(x), self.out_channels, *out_hw)
        return x

    def _W_rows(self) -> np.ndarray:
        """Return the weights as a matrix (out_channels, C kh kw): a filter is a row."""
        return self.params["W"].reshape(self.out_channels, -1)
