"""The right answers of Section 2, and what the classic slips give in their place."""

import math

import numpy as np

from shared_utils.exercises.oracles.common import (
    after_another,
    descend,
    gradient,
    refuses,
    rng,
    stand_still,
    take_steps,
)
from shared_utils.exercises.table import Broken, lesson

EPS, MEAN, VAR = 0.01, 0.5, 2.0  # of batch norm; the running statistics are its in use
DECAY = 0.1  # of SGD


def cube_of_sum(x: np.ndarray) -> float:
    """A function whose every derivative depends on all entries."""
    return float(x.sum()) ** 3


def sum_of_cubes(x: np.ndarray) -> float:
    """A function whose every derivative depends on one entry."""
    return float((x**3).sum())


def central_difference(f, x, eps, slip: str = "") -> dict:
    """The central difference of a cube s^3 is 3 s^2 + eps^2, the forward one 3 s eps more."""
    s = np.full_like(x, x.sum()) if f is cube_of_sum else x
    if slip == "not put back" and f is cube_of_sum:  # each entry before keeps its shift by -eps
        s = s - eps * np.arange(x.size).reshape(x.shape)
    extra = {"forward": 3 * s * eps, "eps": 3 * s**2 + eps**2}.get(slip, 0)
    return {"gradient": 3 * s**2 + eps**2 + extra}


def difference_promises() -> None:
    """ValueError for an eps or an x that cannot be used; f is called in the promised order."""
    measure = lesson("section2_optimization.gradcheck.derivatives").numerical_gradient
    x, asked = np.array([1.0, 2.0]), []
    refuses(ValueError, "eps = 0", measure, sum_of_cubes, x, 0.0)
    refuses(ValueError, "x in float32", measure, sum_of_cubes, x.astype(np.float32))
    measure(lambda at: asked.append(at.copy()) or 0.0, x, 0.5)
    if not np.array_equal(asked, [[1.5, 2], [0.5, 2], [1, 2.5], [1, 1.5]]):
        raise Broken("the order of the calls: f(x + eps), then f(x - eps), element by element")


def linear(seed: int, n: int, n_in: int, n_out: int, dtype=np.float64) -> dict:
    """Return a case of a linear layer."""
    shapes = {"x": (n, n_in), "grad_out": (n, n_out), "W": (n_in, n_out), "b": (n_out,)}
    draw = rng(seed)
    return {name: draw.normal(size=shape).astype(dtype) for name, shape in shapes.items()}


def ask_linear(x, grad_out, W, b) -> dict:
    """Ask a linear layer with these weights for its gradients, after those of another batch."""
    layer = lesson("section2_optimization.layers").Linear(*W.shape, rng=rng(0), dtype=W.dtype)
    layer.params = {"W": W, "b": b}
    layer.forward(2 * x)
    layer.backward(grad_out)
    layer.forward(x)
    return {"dx": layer.backward(grad_out), "dW": layer.grads["W"], "db": layer.grads["b"]}


def linear_promises() -> None:
    """RuntimeError without a forward pass."""
    layer = lesson("section2_optimization.layers").Linear(2, 3, rng=rng(0))
    refuses(RuntimeError, "backward before any forward", layer.backward, np.ones((1, 3)))


@after_another
def linear_gradients(x, grad_out, W, b, slip: str = "") -> dict:
    """Measure them; y is linear in x, W and b, so a difference over any distance is exact."""
    if slip == "W not transposed":
        return {"dx": grad_out @ W} if len(W) == len(b) else {}
    if slip == "sum of all":
        return {"db": np.full_like(b, grad_out.sum())}
    if slip == "mean":
        return {"db": grad_out.mean(axis=0)}
    measured = {
        "dx": gradient(lambda v: np.vdot(grad_out, v @ W + b), x, eps=1.0),
        "dW": gradient(lambda v: np.vdot(grad_out, x @ v + b), W, eps=1.0),
        "db": gradient(lambda v: np.vdot(grad_out, x @ W + v), b, eps=1.0),
    }
    return {name: grad.astype(W.dtype) for name, grad in measured.items()}


def norm(seed: int, n: int, features: int, training: bool) -> dict:
    """Return a case of batch norm."""
    draw = rng(seed)
    x, grad_out = draw.normal(1, 2, (n, features)), draw.normal(size=(n, features))
    gamma, beta = draw.uniform(0.5, 2, features), draw.normal(size=features)
    return {"x": x, "grad_out": grad_out, "gamma": gamma, "beta": beta, "training": training}


def ask_norm(x, grad_out, gamma, beta, training) -> dict:
    """Ask a batch norm with these parameters for its gradients, after those of another batch."""
    layers = lesson("section2_optimization.layers")
    layer = layers.BatchNorm1d(len(gamma), eps=EPS, dtype=np.float64)
    layer.params = {"gamma": gamma, "beta": beta}
    layer.running_mean[:], layer.running_var[:] = MEAN, VAR
    layer.training = training
    layer.forward(2 * x)
    layer.backward(grad_out)
    layer.forward(x)
    dx = layer.backward(grad_out)
    return {"dx": dx, "dgamma": layer.grads["gamma"], "dbeta": layer.grads["beta"]}


@after_another
def norm_gradients(x, grad_out, gamma, beta, training, slip: str = "") -> dict:
    """Measure them; the slips hold statistics constant that are not, or the other way round."""
    mean, var = x.mean(axis=0), x.var(axis=0)

    def y(v: np.ndarray) -> np.ndarray:
        if not training and slip != "training":
            return (v - MEAN) / math.sqrt(VAR + EPS)
        m = mean if slip == "both held" else v.mean(axis=0)
        return (v - m) / np.sqrt((var if slip.endswith("held") else v.var(axis=0)) + EPS)

    g = 1.0 if slip == "no gamma" else gamma
    grads = {
        "dx": gradient(lambda v: np.vdot(grad_out, g * y(v)), x),
        "dgamma": gradient(lambda v: np.vdot(grad_out, v * y(x)), gamma),
        "dbeta": gradient(lambda v: np.vdot(grad_out, gamma * y(x) + v), beta),
    }
    if slip == "no mean":
        grads["dx"] += (grad_out * gamma).mean(axis=0) / np.sqrt(var + EPS)
    return grads


def ask_sgd(theta, grads, lrs, momentum, nesterov) -> dict:
    """Ask Section 2's SGD for a path."""
    rule = lesson("section2_optimization.optimizers").SGD(lrs[0], momentum, nesterov, DECAY)
    return take_steps(rule, theta, grads, lrs)


def ask_adam(theta, grads, lrs, betas, eps) -> dict:
    """Ask Adam for a path."""
    rule = lesson("section2_optimization.optimizers").Adam(lrs[0], tuple(betas), eps)
    return take_steps(rule, theta, grads, lrs)


def adam(theta, grads, lrs, betas, eps, slip: str = "") -> dict:
    """Adam with m and v as weighted sums over all past gradients (Kingma and Ba, section 3)."""
    if slip == "not in place":
        return stand_still(theta, grads)
    beta1, beta2 = reversed(betas) if slip == "betas swapped" else betas

    def average(values: np.ndarray, beta: float) -> np.ndarray:
        values = values[-1:] if slip == "not kept" else values
        weights = (1 - beta) * beta ** np.arange(len(values))[::-1]
        return weights @ values

    def rule(g, lr, t, theta, memory):
        m, v = average(grads[:t], beta1), average(grads[:t] ** 2, beta2)
        power = t + 1 if slip == "t + 1" else t
        c1 = 1 if slip in ("no correction", "m not corrected") else 1 - beta1**power
        c2 = 1 if slip in ("no correction", "v not corrected") else 1 - beta2**power
        divisor = {
            "eps inside": np.sqrt(v / c2 + eps),
            "eps before": (np.sqrt(v) + eps) / math.sqrt(c2),
            "no root": v / c2 + eps,
        }.get(slip, np.sqrt(v / c2) + eps)
        return -lr * m / c1 / divisor

    return descend(rule, theta, grads, lrs)


def ask_cosine(steps, lr, total, lr_min) -> dict:
    """Ask the schedule for every step."""
    cosine = lesson("section2_optimization.schedules").cosine
    return {"lr of each step": np.array([cosine(int(t), lr, total, lr_min) for t in steps])}


def cosine(steps, lr, total, lr_min, slip: str = "") -> dict:
    """lr_min + (lr - lr_min) cos(pi t / (2 total))^2, by the half-angle formula."""
    total = total - 1 if slip == "total - 1" else total
    angle = np.pi * steps / total * {"whole": 2, "quarter": 0.5}.get(slip, 1)
    fall = np.cos(angle / 2) ** 2
    fall = {
        "no 1": np.cos(angle) / 2,
        "not halved": 2 * fall,
        "degrees": (1 + np.cos(180 * steps / total)) / 2,
    }.get(slip, fall)
    if slip == "no lr_min":
        return {"lr of each step": lr * fall}
    return {"lr of each step": lr_min + (lr if slip == "amplitude" else lr - lr_min) * fall}
