"""The layers: forward and backward of each, one beside the other.

For every layer, y = f(x). Given `grad_out` = dLoss/dy (dy for short), `backward` returns dLoss/dx
(dx) and leaves dLoss/dparams (dW, db, ...) in `grads`. `base` describes what all of them share.
"""

from section2_optimization.layers.activations import ReLU, Sigmoid, Tanh
from section2_optimization.layers.base import Layer
from section2_optimization.layers.dropout import Dropout
from section2_optimization.layers.linear import Linear
from section2_optimization.layers.normalization import BatchNorm1d, LayerNorm

__all__ = ["BatchNorm1d", "Dropout", "Layer", "LayerNorm", "Linear", "ReLU", "Sigmoid", "Tanh"]
