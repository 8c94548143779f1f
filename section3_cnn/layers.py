"""All layers of the section, by one name to import from; each idea has a file of its own."""

from section3_cnn.base import Layer
from section3_cnn.convolution import Conv2D
from section3_cnn.dense import Flatten, Linear, ReLU
from section3_cnn.normalization import BatchNorm2D, Dropout
from section3_cnn.pooling import AvgPool2D, MaxPool2D

__all__ = [
    "AvgPool2D",
    "BatchNorm2D",
    "Conv2D",
    "Dropout",
    "Flatten",
    "Layer",
    "Linear",
    "MaxPool2D",
    "ReLU",
]
