"""Layers in a chain, and the networks of this section.

The gradient of a chain of functions is the chain of their gradients, in reverse: that is all of
backpropagation. The functions `build_...` are the place where the networks are written down; every
table and figure about them is derived from what they return.
"""

import numpy as np

from section3_cnn.layers import (
    AvgPool2D,
    BatchNorm2D,
    Conv2D,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2D,
    ReLU,
)
from section3_cnn.layers.base import pair
from shared_utils.errors import UserError

IMAGE_SHAPE = (1, 28, 28)  # of MNIST's digits, the default
IMAGE_SIZE = IMAGE_SHAPE[1:]
CLASSES = 10
LAST_MAPS = {"small": (16, 4), "deep": (48, 8)}  # how many, and by how much the pools shrink a side
ARCHS = tuple(LAST_MAPS)
POOLS = {"max": MaxPool2D, "avg": AvgPool2D}


class Sequential(Layer):
    """Layers one after the other.

    `names` calls them "conv1", "pool1", "conv2", ...; `params`, `grads` and `state` hold the very
    arrays of the layers, as "conv1.W". `config` says how to build the same network again, for
    images of which size and for how many classes.
    """

    kind = "chain"

    def __init__(self, layers: list[Layer], dtype=np.float32, config: dict | None = None):
        super().__init__()
        self.layers, self.dtype, self.config = list(layers), np.dtype(dtype), config or {}
        self.mixes_images = any(layer.mixes_images for layer in self.layers)
        self.names, counts = [], {}
        for layer in self.layers:
            counts[layer.kind] = counts.get(layer.kind, 0) + 1
            name = f"{layer.kind}{counts[layer.kind]}"
            self.names.append(name)
            self.params |= {f"{name}.{key}": array for key, array in layer.params.items()}
            self.grads |= {f"{name}.{key}": array for key, array in layer.grads.items()}
            self.state |= {f"{name}.{key}": array for key, array in layer.state.items()}

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the last layer's output."""
        x = np.asarray(x, self.dtype)
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def outputs(self, x: np.ndarray) -> list[np.ndarray]:
        """Return the output of every layer, in order."""
        outputs = [np.asarray(x, self.dtype)]
        for layer in self.layers:
            outputs.append(layer.forward(outputs[-1]))
        return outputs[1:]

    def backward(self, grad_out: np.ndarray, input_grad: bool = True) -> np.ndarray | None:
        """Overwrite `grads`; return dLoss/dx, or None with `input_grad=False`, which is quicker."""
        self.layers[0].needs_input_grad = input_grad
        for layer in reversed(self.layers):
            grad_out = layer.backward(grad_out)
        return grad_out if input_grad else None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of the images that the network was built for."""
        return 1, *self.config["image_size"]

    @property
    def classes(self) -> int:
        """The number of classes that the network was built for."""
        return self.config["classes"]

    @property
    def rngs(self) -> list[np.random.Generator]:
        """The generators that layers draw from while they train."""
        return [layer.rng for layer in self.layers if layer.rng is not None]

    def train(self) -> None:
        """Put every layer into training mode."""
        super().train()
        for layer in self.layers:
            layer.train()

    def eval(self) -> None:
        """Put every layer into evaluation mode."""
        super().eval()
        for layer in self.layers:
            layer.eval()


def build_cnn(
    arch: str = "small",
    pool: str = "max",
    *,
    image_size: tuple[int, int] = IMAGE_SIZE,
    classes: int = CLASSES,
    rng: np.random.Generator,
    dtype=np.float32,
) -> Sequential:
    """Return a network that maps images (N, 1, *image_size) to logits (N, classes).

    "small": conv 8 - ReLU - pool - conv 16 - ReLU - pool - FC 128 - ReLU - FC 10, all convolutions
    3x3 with one pixel of padding, all pools 2x2 (`pool`: "max" or "avg"). "deep": five convolutions
    with batch norm, and dropout before each linear layer.

    Raises ValueError for an unknown arch or pool, UserError for images too small for the pools.
    """
    if pool not in POOLS:
        raise ValueError(f"pool must be one of {tuple(POOLS)}, not {pool!r}")
    features = count_features(arch, image_size)
    build = {"small": _small, "deep": _deep}[arch]
    config = {"arch": arch, "pool": pool} | _config(image_size, classes, dtype)
    return Sequential(build(POOLS[pool], features, classes, rng, dtype), dtype, config)


def count_features(arch: str, image_size: tuple[int, int]) -> int:
    """Return how many numbers of an image reach the first linear layer of `build_cnn(arch)`.

    Raises ValueError for an unknown arch, UserError for images too small for its pools.
    """
    if arch not in ARCHS:
        raise ValueError(f"arch must be one of {ARCHS}, not {arch!r}")
    height, width = pair(image_size, "image_size", 1)
    maps, shrink = LAST_MAPS[arch]
    if min(height, width) < shrink:
        raise UserError(
            f"images of {height}x{width} pixels are too small for the {arch} network:"
            f" it needs {shrink}x{shrink} or more"
        )
    return maps * (height // shrink) * (width // shrink)


def build_strided(
    *,
    image_size: tuple[int, int] = IMAGE_SIZE,
    classes: int = CLASSES,
    rng: np.random.Generator,
    dtype=np.float32,
) -> Sequential:
    """Return the small network without pools: its convolutions move by two pixels instead.

    If 4 divides both sides of an image, it has the small network's parameters, drawn in the same
    order. A stride of 2 is a pool that keeps the first of four places, whatever the other three
    have found.
    """
    height, width = (-(-side // 4) for side in image_size)  # rounded up
    layers = [
        *(Conv2D(1, 8, 3, stride=2, padding=1, rng=rng, dtype=dtype), ReLU()),  # 28x28 -> 14x14
        *(Conv2D(8, 16, 3, stride=2, padding=1, rng=rng, dtype=dtype), ReLU()),  # -> 7x7
        *_head(16 * height * width, classes, rng, dtype),
    ]
    return Sequential(layers, dtype, _config(image_size, classes, dtype))


def build_mlp(
    *,
    image_size: tuple[int, int] = IMAGE_SIZE,
    classes: int = CLASSES,
    rng: np.random.Generator,
    dtype=np.float32,
) -> Sequential:
    """Return the small network without convolutions: its fully connected layers, on the pixels.

    An image of 28 x 28 has 784 pixels, and the last feature maps have 16 x 7 x 7 = 784: the same
    layers fit both. The convolutions are 1.2 % of the small network's parameters.
    """
    layers = _head(image_size[0] * image_size[1], classes, rng, dtype)
    return Sequential(layers, dtype, _config(image_size, classes, dtype))


def _config(image_size: tuple[int, int], classes: int, dtype) -> dict:
    return {"image_size": tuple(image_size), "classes": classes, "dtype": np.dtype(dtype).name}


def _head(features: int, classes: int, rng: np.random.Generator, dtype) -> list[Layer]:
    return [
        Flatten(),
        Linear(features, 128, rng=rng, dtype=dtype),
        ReLU(),
        Linear(128, classes, rng=rng, dtype=dtype),
    ]


def _small(
    pool: type[Layer], features: int, classes: int, rng: np.random.Generator, dtype
) -> list[Layer]:
    def stage(n_in: int, n_out: int) -> list[Layer]:
        conv = Conv2D(n_in, n_out, 3, padding=1, rng=rng, dtype=dtype)
        # max(0, .) never changes which pixel is the largest, so behind max-pooling a ReLU gives the
        # same numbers, from a quarter of the pixels. With a mean the order matters.
        return [conv, pool(2), ReLU()] if pool is MaxPool2D else [conv, ReLU(), pool(2)]

    return [
        *stage(1, 8),  # 28x28 -> 14x14
        *stage(8, 16),  # -> 7x7
        *_head(features, classes, rng, dtype),
    ]


def _deep(
    pool: type[Layer], features: int, classes: int, rng: np.random.Generator, dtype
) -> list[Layer]:
    def conv(n_in: int, n_out: int, kernel: int = 3) -> Layer:
        return Conv2D(n_in, n_out, kernel, padding=kernel // 2, rng=rng, dtype=dtype)

    def norm_relu(channels: int) -> list[Layer]:
        return [BatchNorm2D(channels, dtype=dtype), ReLU()]

    # Dropout draws from a stream of its own, or the initial weights would depend on it.
    dropout_rng = rng.spawn(1)[0]
    return [
        *(conv(1, 16, kernel=5), pool(2), *norm_relu(16)),  # 28x28 -> 14x14
        *(conv(16, 24), *norm_relu(24)),
        *(conv(24, 24), pool(2), *norm_relu(24)),  # -> 7x7
        *(conv(24, 48), *norm_relu(48)),
        *(conv(48, 48), pool(2), *norm_relu(48)),  # -> 3x3
        Flatten(),
        Dropout(0.2, rng=dropout_rng),
        Linear(features, 128, rng=rng, dtype=dtype),
        ReLU(),
        Dropout(0.2, rng=dropout_rng),
        Linear(128, classes, rng=rng, dtype=dtype),
    ]
