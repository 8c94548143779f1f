"""Models: layers in a row.

The chain rule composes: the gradient of f2(f1(x)) is found by walking the layers backwards, handing
each one what the next one returned. A chain of layers is therefore a layer itself.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from section2_optimization.layers import (
    BatchNorm1d,
    Dropout,
    Layer,
    LayerNorm,
    Linear,
    ReLU,
    Sigmoid,
    Tanh,
)

ACTIVATIONS = {"relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh}
NORMS = {"batch": BatchNorm1d, "layer": LayerNorm}


class Sequential:
    """y = f_n(... f_2(f_1(x))). The parameter "W" of the first layer is called "0.W", and so on.

    `params` and `grads` hold the layers' own arrays, so an update in place reaches the layers.
    """

    def __init__(self, *layers: Layer):
        self.layers = list(layers)

    @property
    def params(self) -> dict[str, np.ndarray]:
        """All parameters, by "<layer>.<key>"."""
        return {
            f"{i}.{k}": v for i, layer in enumerate(self.layers) for k, v in layer.params.items()
        }

    @property
    def grads(self) -> dict[str, np.ndarray]:
        """All gradients, under the keys of `params`."""
        return {
            f"{i}.{k}": v for i, layer in enumerate(self.layers) for k, v in layer.grads.items()
        }

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the last layer's output."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        """Overwrite every layer's `grads`; return dLoss/dx."""
        for layer in reversed(self.layers):
            grad_out = layer.backward(grad_out)
        return grad_out

    def train(self) -> None:
        """Switch every layer to training."""
        for layer in self.layers:
            layer.train()

    def eval(self) -> None:
        """Switch every layer to prediction."""
        for layer in self.layers:
            layer.eval()


class MLP(Sequential):
    """Linear layers of sizes `layer_sizes`, input first, with one activation between them.

    It ends in a Linear layer, whose outputs (N, out) are logits or predictions: the loss decides.
    Between two Linear layers stand a normalisation if `norm` names one ("batch" or "layer"), the
    activation, and Dropout if `dropout`, its probability, is above 0. Weights are drawn for the
    activation, see `Linear`, and multiplied by `weight_scale`. Raises ValueError for fewer than two
    sizes, an unknown activation or norm, or a dropout outside of [0, 1).
    """

    def __init__(
        self,
        layer_sizes: Sequence[int],
        activation: str = "relu",
        *,
        norm: str = "",
        dropout: float = 0.0,
        weight_scale: float = 1.0,
        rng: np.random.Generator,
        dtype=np.float32,
    ):
        if len(layer_sizes) < 2:
            raise ValueError(f"layer_sizes needs two or more sizes, not {layer_sizes}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {sorted(ACTIVATIONS)}, not {activation!r}")
        if norm and norm not in NORMS:
            raise ValueError(f"norm must be one of {sorted(NORMS)} or '', not {norm!r}")
        gain = weight_scale * (2**0.5 if activation == "relu" else 1.0)
        masks = rng.spawn(1)[0]  # a stream of its own: dropout changes no batch
        layers = []
        for n_in, n_out in pairwise(layer_sizes):
            if layers:
                layers += [NORMS[norm](n_in, dtype=dtype)] if norm else []
                layers += [ACTIVATIONS[activation]()]
                layers += [Dropout(dropout, rng=masks)] if dropout else []
            layers += [Linear(n_in, n_out, rng=rng, gain=gain, dtype=dtype)]
        super().__init__(*layers)
