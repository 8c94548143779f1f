"""Receptive fields: which pixels a unit deep in the network can see, and which it really looks at.

Layer by layer, along each axis (Araujo, Norris and Sim 2019, "Computing receptive fields of
convolutional neural networks", on single-path networks), with kernel k, stride s, padding p:

    field  r <- r + (k - 1) j        jump  j <- j s        start  a <- a - p j

starting from r = j = 1, a = 0; the new values use the old j. Unit u sees r pixels, from a + u j on.
The field is an upper bound. How much each pixel really counts is the gradient of the unit with
respect to that pixel (Luo et al. 2016, "Understanding the effective receptive field").
"""

from dataclasses import dataclass

import numpy as np

from section3_cnn.layers import AvgPool2D, Conv2D, MaxPool2D
from section3_cnn.layers.base import places
from section3_cnn.model import Sequential


@dataclass(frozen=True)
class Field:
    """The geometry of a layer's units, every entry (height, width), in pixels of the input."""

    name: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    jump: tuple[int, int]
    start: tuple[int, int]
    size: tuple[int, int]  # of the field
    units: tuple[int, int]  # how many there are

    @property
    def centre(self) -> tuple[int, int]:
        """The place of the central unit."""
        return self.units[0] // 2, self.units[1] // 2

    def pixels(self, unit: tuple[int, int]) -> tuple[slice, slice]:
        """Return the rows and columns that the unit sees; padding may lie before or behind them."""
        rows, cols = (
            slice(max(a + u * j, 0), max(a + u * j + r, 0))
            for a, u, j, r in zip(self.start, unit, self.jump, self.size, strict=True)
        )
        return rows, cols


def receptive_fields(model: Sequential, image_shape: tuple[int, int, int]) -> list[Field]:
    """Return the fields of every layer of `model` that has a window, for images (C, H, W)."""
    fields, shape = [], (1, *image_shape)
    jump, start, size = np.array([1, 1]), np.array([0, 0]), np.array([1, 1])
    for name, layer in zip(model.names, model.layers, strict=True):
        if not isinstance(layer, Conv2D | MaxPool2D | AvgPool2D):
            continue
        window = layer.kernel_size, layer.stride, layer.padding
        kernel, stride, padding = (np.array(pair) for pair in window)
        size = size + (kernel - 1) * jump
        start = start - padding * jump
        jump = jump * stride
        shape = (*shape[:2], *places(shape, *window))
        derived = (tuple(int(v) for v in pair) for pair in (jump, start, size, shape[2:]))
        fields.append(Field(name, *window, *derived))
    return fields


def until(model: Sequential, name: str) -> Sequential:
    """Return the chain of `model`'s layers up to the one called `name`: the layers are shared."""
    return Sequential(model.layers[: model.names.index(name) + 1], model.dtype)


def unit_gradients(
    model: Sequential, name: str, unit: tuple[int, int], images: np.ndarray
) -> np.ndarray:
    """Return d(unit) / d(pixels) for every image, (N, H, W).

    The unit is the sum over the channels of layer `name` at place `unit`: one backward pass from a
    gradient that is 1 there and 0 elsewhere.
    """
    front = until(model, name)
    front.eval()
    seed = np.zeros_like(front.forward(images))
    seed[:, :, unit[0], unit[1]] = 1
    return front.backward(seed).sum(axis=1)


def effective_field(model: Sequential, field: Field, images: np.ndarray) -> np.ndarray:
    """Return the mean size of the gradient of the layer's central unit, (H, W), largest 1."""
    total = np.zeros(images.shape[2:])
    for start in range(0, len(images), 250):  # so many at a time, to spare memory
        gradients = unit_gradients(model, field.name, field.centre, images[start : start + 250])
        total += np.abs(gradients).sum(axis=0)
    return total / max(total.max(), np.finfo(float).tiny)


def effective_side(effective: np.ndarray) -> float:
    """Return the side of the square whose pixels, all counting alike, are as many as count here.

    The number of pixels that count is (sum of g)^2 / (sum of g^2): n for n equal ones, 1 for a
    single one. (Luo et al. count those above a threshold instead, which small fields all pass.)
    """
    return float(effective.sum() / np.sqrt(np.sum(effective**2)))
