"""The right answers of Section 1, and what the classic slips give in their place."""

from functools import partial
from itertools import pairwise

import numpy as np

from shared_utils.exercises.oracles.common import (
    after_another,
    gradient,
    refuses,
    rng,
    same,
    take_steps,
)
from shared_utils.exercises.table import Broken, lesson

G = {"relu": lambda z: np.maximum(z, 0), "sigmoid": lambda z: 1 / (1 + np.exp(-z)), "tanh": np.tanh}


def log_sum(z: np.ndarray, axis: int | None = 1) -> np.ndarray:
    """Return log sum exp along an axis, which stays, with length 1."""
    return np.logaddexp.reduce(z, axis=axis, keepdims=True)


def softmax(logits, slip: str = "") -> dict:
    """p = exp(z - log sum exp(z)), in the dtype of the logits."""
    z = logits.astype(float)
    if slip == "no division":
        p = np.exp(z - z.max(axis=1, keepdims=True))
    elif slip == "no shift":
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    elif slip == "no axis":
        p = np.exp(z - np.logaddexp.reduce(z.ravel()))
    else:
        p = np.exp(z - log_sum(z, axis=0 if slip == "columns" else 1))
    return {"probs": p.astype(logits.dtype)}


def cross_entropy(logits, y, slip: str = "") -> dict:
    """L = mean of log sum exp(z) - z_y."""
    rows, z_y = np.arange(len(y)), logits[np.arange(len(y)), y]
    losses = log_sum(logits)[:, 0] - z_y
    if slip == "sum":
        return {"loss": losses.sum()}
    if slip == "no label":
        return {"loss": log_sum(logits).mean()}
    if slip == "all entries":
        return {"loss": (log_sum(logits) - logits).mean()}
    if slip == "no shift":
        return {"loss": (np.log(np.exp(logits).sum(axis=1)) - z_y).mean()}
    if slip == "log of softmax":
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        return {"loss": -np.log(e / e.sum(axis=1, keepdims=True))[rows, y].mean()}
    return {"loss": losses.mean()}


def cross_entropy_grad(probs, y, slip: str = "") -> dict:
    """dL/dz = (p - onehot(y)) / N."""
    onehot, n = np.eye(probs.shape[1])[y], len(y)
    if slip == "late":
        return {"dlogits": probs / n - onehot}
    if slip == "no label":
        return {"dlogits": probs / n}
    divisor = {"entries": probs.size, "classes": probs.shape[1]}.get(slip, n)
    return {"dlogits": (probs - onehot) / divisor}


def slopes(z, slip: str = "") -> dict:
    """g'(z) of the three activations, from z itself."""
    p, t, r = G["sigmoid"](z), np.tanh(z), np.maximum(z, 0)
    right = {"relu_grad": 1.0 * (z > 0), "sigmoid_grad": p / (1 + np.exp(z))}
    right["tanh_grad"] = 1 / np.cosh(z) ** 2
    of_output = {"sigmoid_grad": np.exp(-p) / (1 + np.exp(-p)) ** 2, "tanh_grad": np.cosh(t) ** -2}
    return {
        "argument": of_output,
        "tanh": {"sigmoid_grad": 1 - p * p, "relu_grad": 1 - r * r},
        "sigmoid": {"tanh_grad": t * (1 - t), "relu_grad": r * (1 - r)},
        "everywhere": {"relu_grad": np.ones_like(z)},
        "no square": {"tanh_grad": 1 - t},
        "itself": {"relu_grad": r, "sigmoid_grad": p, "tanh_grad": t},
    }.get(slip, right)


def ask_slopes(z) -> dict:
    """Ask each derivative for the output of its activation."""
    return {f"{name}_grad": partial(ask_slope, name, z) for name in G}


def ask_slope(name: str, z: np.ndarray) -> np.ndarray:
    """Ask one derivative; true and false count as 1 and 0."""
    module = lesson("section1_mlp.functions")
    a = getattr(module, name)(z)
    before = a.copy()
    slope = getattr(module, f"{name}_grad")(a)
    same(before, a, "a")
    return 1.0 * slope


def network(seed: int, sizes: tuple[int, ...], activation: str, output: str, n: int) -> dict:
    """Return a case of a network: n samples and weights; `params` are W1, b1, W2, ..."""
    draw, params = rng(seed), []
    for n_in, n_out in pairwise(sizes):
        params += [draw.normal(0, 0.8, (n_in, n_out)), draw.normal(0, 0.3, n_out)]
    x, classifies = draw.normal(size=(n, sizes[0])), output == "softmax"
    y = draw.integers(sizes[-1], size=n) if classifies else draw.normal(size=(n, sizes[-1]))
    kind = {"sizes": sizes, "activation": activation, "output": output}
    return {"x": x, "y": y, "params": params} | kind


def ask_network(x, y, params, sizes, activation, output) -> dict:
    """Ask an MLP with these weights for its gradients, once they hold those of another batch."""
    MLP = lesson("section1_mlp.model").MLP
    model = MLP(sizes, activation, output, rng=rng(0), dtype=np.float64)
    model.params = dict(zip(model.params, params, strict=True))
    for batch in (2 * x, x):
        model.loss(batch, y)
        model.backward()
    return {f"d{key}": grad for key, grad in model.grads.items()}


def network_promises() -> None:
    """Without a loss to differentiate: RuntimeError, or, after `backward`, the same once more."""
    model = lesson("section1_mlp.model").MLP((3, 2, 2), rng=rng(0), dtype=np.float64)
    refuses(RuntimeError, "backward before any loss", model.backward)
    model.loss(np.eye(3), np.array([0, 1, 0]))
    model.backward()
    before = {key: grad.copy() for key, grad in model.grads.items()}
    try:
        model.backward()
    except RuntimeError:
        return
    if any((grad != before[key]).any() for key, grad in model.grads.items()):
        raise Broken("called twice after one loss, it gives other gradients: self._dZ has changed")


def network_loss(x, y, params, activation, output) -> float:
    """Return the loss of a network: cross-entropy, or the mean squared error."""
    for layer, (W, b) in enumerate(zip(params[::2], params[1::2], strict=True)):
        z = (G[activation](z) if layer else x) @ W + b  # noqa: F821 (z of the layer below)
    return cross_entropy(z, y)["loss"] if output == "softmax" else np.mean((z - y) ** 2)


@after_another
def network_gradients(x, y, params, sizes, activation, output, slip: str = "") -> dict:
    """Measure dL/dparam of every parameter; the slips need a backward pass."""
    if slip:
        return backward_with(slip, x, y, params, activation, output)

    def loss(changed: np.ndarray, index: int) -> float:
        arrays = [*params[:index], changed, *params[index + 1 :]]
        return network_loss(x, y, arrays, activation, output)

    names = [f"d{kind}{layer}" for layer in range(1, len(sizes)) for kind in "Wb"]
    measured = (gradient(partial(loss, index=i), param) for i, param in enumerate(params))
    return dict(zip(names, measured, strict=True))


def backward_with(slip: str, x, y, params, activation, output) -> dict:
    """Return the gradients of a backward pass with a slip in it."""
    A, Z = [x], []
    for W, b in zip(params[::2], params[1::2], strict=True):
        Z.append(A[-1] @ W + b)
        A.append(G[activation](Z[-1]))
    if output == "softmax":
        dZ = cross_entropy_grad(softmax(Z[-1])["probs"], y)["dlogits"]
    else:
        dZ = 2 * (Z[-1] - y) / y.size
    grads = {}
    for layer in range(len(Z), 0, -1):
        grads[f"dW{layer}"] = A[layer - 1].T @ dZ
        grads[f"db{layer}"] = dZ.mean(axis=0) if slip == "mean" else dZ.sum(axis=0)
        if layer > 1:
            a, dZ = A[layer - 1], dZ @ params[2 * layer - 2].T
            right = slopes(Z[layer - 2])[f"{activation}_grad"]
            z = Z[layer - 2]
            dZ = dZ * {
                "no slope": 1,
                "tanh": 1 - a * a,
                "sigmoid": a * (1 - a),
                "relu": a > 0,
                "of z": {"tanh": 1 - z * z, "sigmoid": z * (1 - z)}.get(activation, right),
            }.get(slip, right)
    return grads


def ask_sgd(theta, grads, lrs, momentum, weight_decay) -> dict:
    """Ask Section 1's SGD for a path."""
    sgd = lesson("section1_mlp.optimizer").SGD(lrs[0], momentum, weight_decay)
    return take_steps(sgd, theta, grads, lrs)
