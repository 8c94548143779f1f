"""A multilayer perceptron, forward and backward, as derived on paper.

Layer l computes Z_l = A_{l-1} W_l + b_l and A_l = g(Z_l), with the input as A_0. The chain rule,
read from the loss back to the input, gives every gradient from one quantity, dZ_l = dLoss/dZ_l:

    dW_l = A_{l-1}^T dZ_l        db_l = sum over the rows of dZ_l
    dZ_{l-1} = (dZ_l W_l^T) * g'(Z_{l-1})

Source: Rumelhart, Hinton and Williams (1986), "Learning representations by back-propagating
errors"; Goodfellow, Bengio and Courville (2016), "Deep Learning", algorithms 6.3 and 6.4.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from section1_mlp.functions import (
    ACTIVATIONS,
    cross_entropy,
    cross_entropy_grad,
    mse,
    mse_grad,
    softmax,
)

OUTPUTS = ("softmax", "linear")


class MLP:
    """Fully connected layers of sizes `layer_sizes`, input first, with one activation between them.

    `output="softmax"` classifies (cross-entropy), `"linear"` predicts numbers (mean squared error).
    `params` and `grads` are dicts with equal keys: weights "W1", "W2", ... of shape (in, out) and
    biases "b1", "b2", ... of shape (out,). Everything is computed in `dtype`.

    Biases start at zero, weights at random, with a variance that keeps the signal's size from layer
    to layer: N(0, 2 / in) for ReLU, which silences half of its inputs (He et al. 2015, "Delving
    deep into rectifiers", equation 10), U(-r, r) with r = sqrt(6 / (in + out)) for the others
    (Glorot and Bengio 2010, equation 16). That is meant for slopes of 1 at zero, as tanh has:
    sigmoid's is 1/4, and its signal still shrinks from layer to layer (`initialization.py`).

    Raises ValueError for fewer than two layers, sizes below 1, or an unknown activation or output.
    """

    def __init__(
        self,
        layer_sizes: Sequence[int],
        activation: str = "relu",
        output: str = "softmax",
        *,
        rng: np.random.Generator,
        dtype=np.float32,
    ):
        if len(layer_sizes) < 2 or min(layer_sizes) < 1:
            raise ValueError(f"layer_sizes needs two or more positive sizes, not {layer_sizes}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {sorted(ACTIVATIONS)}, not {activation!r}")
        if output not in OUTPUTS:
            raise ValueError(f"output must be one of {OUTPUTS}, not {output!r}")
        self.layer_sizes = tuple(layer_sizes)
        self.activation, self.output = activation, output
        self.dtype = np.dtype(dtype)
        self.depth = len(layer_sizes) - 1
        self.params = {}
        for layer, (n_in, n_out) in enumerate(pairwise(layer_sizes), start=1):
            if activation == "relu":
                W = rng.normal(0, np.sqrt(2 / n_in), (n_in, n_out))
            else:
                r = np.sqrt(6 / (n_in + n_out))
                W = rng.uniform(-r, r, (n_in, n_out))
            self.params[f"W{layer}"] = W.astype(dtype)
            self.params[f"b{layer}"] = np.zeros(n_out, dtype)
        self.grads = {key: np.zeros_like(param) for key, param in self.params.items()}
        self._A = []  # A_0 ... A_{L-1} of the last loss
        self._dZ = None  # dLoss/dZ_L of the last loss

    def hidden(self, x: np.ndarray) -> list[np.ndarray]:
        """Return [A_0, A_1, ..., A_{L-1}]: the input x (N, in) and every hidden layer's output."""
        g, _ = ACTIVATIONS[self.activation]
        A = [np.asarray(x, self.dtype)]
        if A[0].ndim != 2 or A[0].shape[1] != self.layer_sizes[0]:
            raise ValueError(f"x must be (N, {self.layer_sizes[0]}), not {A[0].shape}")
        for layer in range(1, self.depth):
            A.append(g(self._affine(A[-1], layer)))
        return A

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Return Z_L (N, out), the output before the output function."""
        return self._affine(self.hidden(x)[-1], self.depth)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return class probabilities ("softmax") or predictions ("linear"), (N, out)."""
        z = self.logits(x)
        return softmax(z) if self.output == "softmax" else z

    def loss(self, x: np.ndarray, y: np.ndarray) -> float:
        """Return the mean loss of a batch and remember it for `backward`.

        "softmax": cross-entropy against integer labels y (N,). "linear": squared error, averaged
        over all elements, against y (N, out). Raises ValueError when y has another shape.
        """
        A = self.hidden(x)
        z = self._affine(A[-1], self.depth)
        expected = z.shape[:1] if self.output == "softmax" else z.shape
        if np.shape(y) != expected:
            raise ValueError(f"y must have shape {expected}, not {np.shape(y)}")
        self._A = A
        if self.output == "softmax":
            self._dZ = cross_entropy_grad(softmax(z), y)
            return cross_entropy(z, y)
        y = np.asarray(y, self.dtype)
        self._dZ = mse_grad(z, y)
        return mse(z, y)

    def backward(self) -> None:
        """Overwrite `grads` with the gradients of the last `loss`.

        It starts from what `loss` has left: self._A[0], ..., self._A[L - 1], the input (N, in) of
        each layer, and self._dZ = dLoss/dZ_L (N, out). Raises RuntimeError when there was no loss
        to differentiate.
        """
        if self._dZ is None:
            raise RuntimeError("backward needs a loss: call loss(x, y) first")
        _, g_grad = ACTIVATIONS[self.activation]
        dZ, self._dZ = self._dZ, None
        for layer in range(self.depth, 0, -1):
            A = self._A[layer - 1]
            np.matmul(A.T, dZ, out=self.grads[f"W{layer}"])
            np.sum(dZ, axis=0, out=self.grads[f"b{layer}"])
            if layer > 1:  # the gradient of the input is not needed
                dZ = dZ @ self.params[f"W{layer}"].T
                dZ *= g_grad(A)

    def _affine(self, A: np.ndarray, layer: int) -> np.ndarray:
        Z = A @ self.params[f"W{layer}"]
        Z += self.params[f"b{layer}"]
        return Z
