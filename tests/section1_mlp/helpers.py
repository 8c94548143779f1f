"""What the tests of Section 1 share: small float64 problems, and the same loss by PyTorch."""

import numpy as np
import torch

from section1_mlp.model import MLP

TORCH = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


def problem(activation, depth, output, seed=0, n=7):
    """Return a float64 MLP of `depth` layers with random biases, inputs and targets."""
    rng = np.random.default_rng([seed, depth])
    sizes = [*[5, 6, 4, 8][:depth], 3]
    model = MLP(sizes, activation, output, rng=rng, dtype=np.float64)
    for key, param in model.params.items():
        if key.startswith("b"):
            param[:] = rng.normal(size=param.shape)
    x = rng.normal(size=(n, 5))
    y = rng.integers(0, 3, n) if output == "softmax" else rng.normal(size=(n, 3))
    return model, x, y


def torch_loss(params, x, y, activation, output):
    """Compute the same loss with PyTorch from tensors of the same names."""
    depth = len(params) // 2
    a = torch.tensor(x)
    for layer in range(1, depth + 1):
        z = a @ params[f"W{layer}"] + params[f"b{layer}"]
        a = TORCH[activation](z)
    loss = (
        torch.nn.functional.cross_entropy if output == "softmax" else torch.nn.functional.mse_loss
    )
    return loss(z, torch.tensor(y))
