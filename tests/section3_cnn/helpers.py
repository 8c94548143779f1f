"""Oracles for Section 3: PyTorch in float64, with the weights of ours."""

import numpy as np
import torch

from section3_cnn.layers import (
    AvgPool2D,
    BatchNorm2D,
    Flatten,
    Linear,
    MaxPool2D,
    ReLU,
    TextbookConv2D,
)


def images(rng, shape, layout):
    """Random images: "plain", "strided" (every second of a larger array), "moved" (NHWC in memory),
    "flipped" (negative strides), or "ties" (small whole numbers)."""
    n, c, h, w = shape
    if layout == "ties":
        return rng.integers(-1, 2, shape).astype(float)
    if layout == "strided":
        return rng.standard_normal((n, c, 2 * h, 2 * w))[:, :, ::2, 1::2]
    if layout == "moved":
        return rng.standard_normal((n, h, w, c)).transpose(0, 3, 1, 2)
    x = rng.standard_normal(shape)
    return x[:, :, ::-1, ::-1] if layout == "flipped" else x


def torch_twin(layer):
    """Return PyTorch's module of the same kind with the same parameters, in the layer's dtype."""
    nn, twin = torch.nn, None
    if isinstance(layer, TextbookConv2D):
        twin = nn.Conv2d(
            layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding
        )
        weights = {"weight": layer.params["W"], "bias": layer.params["b"]}
    elif isinstance(layer, Linear):
        twin = nn.Linear(layer.in_features, layer.out_features)
        weights = {"weight": layer.params["W"].T, "bias": layer.params["b"]}
    elif isinstance(layer, BatchNorm2D):
        twin = nn.BatchNorm2d(layer.channels, layer.eps, layer.momentum)
        weights = {"weight": layer.params["gamma"], "bias": layer.params["beta"]} | layer.state
    elif isinstance(layer, MaxPool2D):
        return nn.MaxPool2d(layer.kernel_size, layer.stride)
    elif isinstance(layer, AvgPool2D):
        return nn.AvgPool2d(layer.kernel_size, layer.stride)
    elif isinstance(layer, ReLU):
        return nn.ReLU()
    elif isinstance(layer, Flatten):
        return nn.Flatten()
    else:
        raise TypeError(f"no twin for {type(layer).__name__}")
    twin = twin.to(torch.from_numpy(np.zeros(0, layer.dtype)).dtype)
    with torch.no_grad():
        for name, value in weights.items():
            getattr(twin, name).copy_(torch.from_numpy(value.copy()))
    return twin


def torch_grads(layer, twin):
    """Return the gradients that PyTorch found, under the layer's names and in its layout."""
    if not layer.params:
        return {}
    weight, bias = twin.weight.grad.numpy(), twin.bias.grad.numpy()
    if isinstance(layer, BatchNorm2D):
        return {"gamma": weight, "beta": bias}
    return {"W": weight.T if isinstance(layer, Linear) else weight, "b": bias}


def assert_like_torch(layer, x, rng, tolerance=1e-10):
    """Hold forward, input gradient and parameter gradients of `layer` against PyTorch's."""
    twin = torch_twin(layer).train(layer.training)
    x_before = x.copy()
    x_torch = torch.tensor(x.copy(), requires_grad=True)
    y, y_torch = layer.forward(x), twin(x_torch)
    assert y.shape == tuple(y_torch.shape)
    np.testing.assert_allclose(y, y_torch.detach().numpy(), rtol=tolerance, atol=tolerance)

    grad_out = rng.standard_normal(y.shape)
    grad_before = grad_out.copy()
    y_torch.backward(torch.from_numpy(grad_out))
    for array in layer.grads.values():
        array.fill(np.nan)  # backward overwrites, it does not add
    dx = layer.backward(grad_out)
    np.testing.assert_allclose(dx, x_torch.grad.numpy(), rtol=tolerance, atol=tolerance)
    expected = torch_grads(layer, twin)
    assert layer.grads.keys() == layer.params.keys() == expected.keys()
    for key, grad in expected.items():
        assert layer.grads[key].shape == layer.params[key].shape
        np.testing.assert_allclose(layer.grads[key], grad, rtol=tolerance, atol=tolerance)
    for key, value in layer.state.items():
        np.testing.assert_allclose(value, getattr(twin, key).numpy(), rtol=tolerance)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(grad_out, grad_before)


class TorchSmall(torch.nn.Module):
    """The small network, written as the README draws it: ReLU before the pool, always."""

    def __init__(self, pool):
        super().__init__()
        nn = torch.nn
        Pool = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}[pool]
        self.chain = nn.Sequential(
            *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), Pool(2)),
            *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), Pool(2)),
            *(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)),
        )

    def forward(self, x):
        return self.chain(x)


def copy_weights(model, twin):
    """Give PyTorch's network the weights of ours, in order, and its dtype."""
    twin.to(torch.from_numpy(np.zeros(0, model.dtype)).dtype)
    arrays = iter(model.params.items())
    with torch.no_grad():
        for param, (key, array) in zip(twin.parameters(), arrays, strict=True):
            transposed = key.startswith("fc") and key.endswith("W")
            param.copy_(torch.from_numpy((array.T if transposed else array).copy()))
    return twin


def ours_from(twin, model):
    """Return PyTorch's parameters under our names and in our layout."""
    values = (param.detach().numpy() for param in twin.parameters())
    return {
        key: value.T if key.startswith("fc") and key.endswith("W") else value
        for key, value in zip(model.params, values, strict=True)
    }
