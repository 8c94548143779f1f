"""The layers, all imported from here.

Read `base.py` (the protocol), `textbook.py` (convolution by its definition, then as a product of
matrices), `convolution.py` (the same and fast), `pooling.py`, `normalization.py` (batch norm,
dropout), `dense.py`.
"""

from section3_cnn.layers.base import Layer
from section3_cnn.layers.convolution import Conv2D
from section3_cnn.layers.dense import Flatten, Linear, ReLU
from section3_cnn.layers.normalization import BatchNorm2D, Dropout
from section3_cnn.layers.pooling import AvgPool2D, MaxPool2D
from section3_cnn.layers.textbook import TextbookConv2D

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
    "TextbookConv2D",
]
