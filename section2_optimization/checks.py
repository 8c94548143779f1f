"""A gradient check: does `backward` give the derivative of `forward`?

A wrong backward pass seldom stops a network from learning; it only learns worse, and nobody knows
why. So each gradient is held against differences of the forward pass, for the input and for every
parameter. One number judges an array:

    error = max |analytic - numeric| / max(max |analytic|, max |numeric|, floor)

The floor, 1e-3 of the size of the function, is where rounding (1e-16 of that size, over eps) would
pass for an error of 1e-8. Three things would raise false alarms, and each is met:

- Chance: dropout must draw the same mask in every evaluation, so generators are set back.
- Poor conditions: where a function bends sharply, or divides by a tiny spread, the differences
  themselves are off. An array that fails is measured again with 2 eps. What the two results differ
  by, taken ten times, is their error bar, and only an error beyond it counts. A wrong formula is
  off by far more; for the right one at a good place the bar is about 1e-9.
- Kinks: where a ReLU changes sides between x - eps and x + eps there is no derivative to compare
  with. Layers tell by `winners` which branch each element took; elements for which that differs
  between the two evaluations are reported as kinks and take no part in the error.
"""

import copy
from dataclasses import dataclass

import numpy as np

from section2_optimization.derivatives import complex_step_gradient, numerical_gradient

TOLERANCE = 1e-7
FLOOR = 1e-3


@dataclass(frozen=True)
class Check:
    """The verdict on the gradient of one array."""

    name: str  # of the layer, loss or model
    array: str  # "x" for the input, else the parameter's key
    shape: tuple[int, ...]
    error: float
    allowed: float  # TOLERANCE, or the error bar where that is larger
    worst: tuple[int, ...]  # the element of the largest difference, and its two values:
    analytic: float
    numeric: float
    kinks: int  # how many elements lie on a kink

    @property
    def passed(self) -> bool:
        """Whether the gradient is right; NaN is not."""
        return self.error <= self.allowed

    @property
    def verdict(self) -> str:
        """What the table says."""
        kinks = f", {self.kinks} at a kink" if self.kinks else ""
        return ("ok" if self.passed else "WRONG") + kinks


class Projection:
    """L = sum(weights * pred): a loss that makes one number of a layer's output."""

    def __init__(self, weights: np.ndarray):
        self.weights = weights

    def forward(self, pred: np.ndarray, target: None = None) -> float:
        """Return L; there is no target."""
        return np.sum(self.weights * pred).item()

    def backward(self) -> np.ndarray:
        """Return dL/dpred = weights."""
        return self.weights


def check_gradients(
    layer,
    x: np.ndarray,
    *,
    loss=None,
    target: np.ndarray | None = None,
    rng: np.random.Generator | None = None,
    eps: float = 1e-5,
    complex_step: bool = False,
    name: str | None = None,
) -> list[Check]:
    """Check the gradients of `layer` (a layer or model, float64) for its input x and parameters.

    Without a `loss` its output is projected on weights drawn from `rng`. To check a loss alone let
    `layer` be the empty `Sequential()`. With `complex_step`, for smooth layers, the comparison is
    exact to rounding. The layer itself is left as it was. Raises ValueError for float32.
    """
    layer, x = copy.deepcopy(layer), np.array(x)
    parts = _leaves(layer)
    generators = [part.rng for part in parts if hasattr(part, "rng")]
    states = [generator.bit_generator.state for generator in generators]

    def evaluate():
        for generator, state in zip(generators, states, strict=True):
            generator.bit_generator.state = state
        return loss.forward(layer.forward(x), target)

    if loss is None:
        weights = (rng or np.random.default_rng(0)).normal(size=layer.forward(x).shape)
        loss = Projection(weights)
    for _ in range(2):  # twice, since backward must overwrite the gradients, not add to them
        value = evaluate()
        grad_in = layer.backward(loss.backward())
    analytic = {"x": grad_in.copy()} | {key: grad.copy() for key, grad in layer.grads.items()}
    floor = FLOOR * max(1.0, abs(value))
    if complex_step:
        x = x.astype(complex)
        for part in parts:
            part.params = {key: param.astype(complex) for key, param in part.params.items()}

    checks = []
    for key, array in ({"x": x} | layer.params).items():
        start, patterns = array.real.copy(), []

        def f(value, array=array, patterns=patterns):
            array[...] = value
            result = evaluate()
            patterns.append([part.winners for part in parts if part.winners is not None])
            return result

        if complex_step:
            numeric, kinks = complex_step_gradient(f, start), np.zeros(start.shape, bool)
        else:
            numeric = numerical_gradient(f, start, eps)
            kinks = _kinks(patterns, start.shape)
        check = _compare(name or type(layer).__name__, key, analytic[key], numeric, kinks, floor)
        if not (check.passed or complex_step):
            patterns.clear()
            again = numerical_gradient(f, start, 2 * eps)
            kinks |= _kinks(patterns, start.shape)
            check = _compare(check.name, key, analytic[key], numeric, kinks, floor, again)
        array[...] = start
        checks.append(check)
    return checks


def _compare(name, key, analytic, numeric, kinks, floor, again=None) -> Check:
    scale = max(np.abs(analytic).max(), np.abs(numeric).max(), floor)
    error = np.where(kinks, 0.0, np.abs(analytic - numeric) / scale)
    bar = 0.0 if again is None else 10 * np.max(np.abs(numeric - again), where=~kinks, initial=0)
    worst = np.unravel_index(error.argmax(), error.shape)  # argmax finds a NaN first
    return Check(
        name,
        key,
        numeric.shape,
        error=float(error[worst]),
        allowed=float(max(TOLERANCE, bar / scale)),
        worst=tuple(map(int, worst)),
        analytic=float(analytic[worst]),
        numeric=float(numeric[worst]),
        kinks=int(kinks.sum()),
    )


def _kinks(patterns: list, shape: tuple[int, ...]) -> np.ndarray:
    """Return for which elements some winner differs between the two evaluations."""
    changed = [
        any(not np.array_equal(a, b) for a, b in zip(plus, minus, strict=True))
        for plus, minus in zip(patterns[::2], patterns[1::2], strict=True)
    ]
    return np.reshape(changed, shape)


def _leaves(layer) -> list:
    if not hasattr(layer, "layers"):
        return [layer]
    return [leaf for part in layer.layers for leaf in _leaves(part)]
