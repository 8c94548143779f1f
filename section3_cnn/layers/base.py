"""What all layers share: the protocol, and the geometry of a window that slides over an image.

A network is a chain of functions, and a layer is one link: it maps x to y, and, given dLoss/dy, it
answers dLoss/dx. Nothing else is asked of it, so any layers can be chained.

A window of k pixels that moves by s over n pixels, with p zeros added at both ends, finds
floor((n + 2p - k) / s) + 1 places.

Arrays of images are (N, C, H, W) to the reader; in memory, the images of a batch lie innermost, as
(C, H, W, N). Pooling takes every second pixel, padding leaves out the rim: along W such a run is a
few numbers long, but along N it never breaks, and NumPy is fast on long runs only. The first
convolution brings a batch into this order, and what NumPy computes from it keeps it.
"""

import numpy as np


class Layer:
    """A differentiable function with parameters.

    `forward(x)` returns y; `backward(grad_out)` takes dLoss/dy of the last forward pass, overwrites
    `grads` with the gradients of the parameters, and returns dLoss/dx. `params` and `grads` are
    dicts with equal keys and shapes, updated in place; `state` holds arrays that are learned
    without a gradient. A layer changes no argument, but it remembers x and y without copying them,
    and y may be a view of x: change neither between forward and backward.
    """

    kind = "layer"  # begins the names of its parameters, as "conv1.W"
    # Turned off where x is data: its gradient costs time and is not used. `backward` of a
    # layer with weights then returns None.
    needs_input_grad = True
    # Whether an image's output depends, in training, on which others are in its batch, and in which
    # order: such a batch cannot be cut into chunks.
    mixes_images = False
    rng = None  # the generator that a layer draws from while it trains, if it does

    def __init__(self):
        self.params, self.grads, self.state = {}, {}, {}
        self.training = True

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y and remember what `backward` needs."""
        raise NotImplementedError

    def backward(self, grad_out: np.ndarray) -> np.ndarray | None:
        """Return dLoss/dx from dLoss/dy, and overwrite `grads`."""
        raise NotImplementedError

    def train(self) -> None:
        """Behave as in training (dropout drops, batch norm uses the batch)."""
        self.training = True

    def eval(self) -> None:
        """Behave as in evaluation: the output of an image depends on nothing but the image."""
        self.training = False

    def _add_param(self, name: str, value: np.ndarray, dtype) -> None:
        self.params[name] = value.astype(dtype)
        self.grads[name] = np.zeros_like(self.params[name])


def pair(value: int | tuple[int, int], name: str, minimum: int) -> tuple[int, int]:
    """Return a size given as one whole number, or as (height, width), as (height, width).

    Raises ValueError, naming the size, when a number is not whole or below `minimum`.
    """
    sizes = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    whole = all(isinstance(size, (int, np.integer)) for size in sizes)
    if len(sizes) != 2 or not whole or min(sizes) < minimum:
        raise ValueError(
            f"{name} must be a whole number of at least {minimum}, or two of them, not {value!r}"
        )
    return int(sizes[0]), int(sizes[1])


def check_images(x: np.ndarray, channels: int | None, layer: str) -> None:
    """Raise ValueError, naming the shapes, unless x is (N, C, H, W) with C = `channels`."""
    if x.ndim != 4 or (channels is not None and x.shape[1] != channels):
        wanted = "C" if channels is None else channels
        raise ValueError(f"{layer} takes images of shape (N, {wanted}, H, W), not {x.shape}")


def check_grad(grad_out: np.ndarray, shape: tuple[int, ...] | None, layer: str) -> None:
    """Raise unless grad_out has the `shape` of the last output (None: there was no forward pass).

    Raises RuntimeError without a forward pass, ValueError, naming both shapes, for another shape.
    """
    if shape is None:
        raise RuntimeError(f"{layer}: backward needs a forward pass first")
    if np.shape(grad_out) != shape:
        raise ValueError(
            f"{layer}: grad_out has shape {np.shape(grad_out)}, but the output had {shape}"
        )


def images_last(x: np.ndarray) -> np.ndarray:
    """Return images (N, C, H, W) as a view (C, H, W, N), in which our arrays are contiguous."""
    return x.transpose(1, 2, 3, 0)


def images_first(x: np.ndarray) -> np.ndarray:
    """Return an array (C, H, W, N) as images, a view (N, C, H, W)."""
    return x.transpose(3, 0, 1, 2)


def places(
    shape: tuple[int, ...],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int] = (0, 0),
) -> tuple[int, int]:
    """Return how many places a window finds along the height and the width of images (N, C, H, W).

    Raises ValueError, naming the shapes, when the window is larger than the padded image.
    """
    padded = [n + 2 * p for n, p in zip(shape[2:], padding, strict=True)]
    if kernel[0] > padded[0] or kernel[1] > padded[1]:
        raise ValueError(
            f"a window of {kernel[0]}x{kernel[1]} does not fit into an image of "
            f"{padded[0]}x{padded[1]} (input {shape}, padding {padding[0]}x{padding[1]})"
        )
    height, width = ((n - k) // s + 1 for n, k, s in zip(padded, kernel, stride, strict=True))
    return height, width
