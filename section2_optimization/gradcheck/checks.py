"""A gradient check: does `backward` give the derivative of `forward`?

A wrong backward pass seldom stops a network from learning; it only learns worse, for no visible
reason. So each gradient is held against differences of the forward pass, for the input and for
every parameter. One number judges an array:

    error = max |analytic - numeric| / max(max |analytic|, max |numeric|, floor)

The floor, 1e-3 of the size of the function, is where rounding (1e-16 of that size, over eps) would
pass for an error of 1e-8. Three things would raise false alarms, and each is met:

- Chance: dropout must draw the same mask in every evaluation, so generators are set back.
- Poor conditions: where a function bends sharply, or divides by a tiny spread, the differences
  themselves are off. An array that fails is measured again with 2 eps. What the two results differ
  by, taken ten times, is their error bar, and only an error beyond it counts. A wrong formula is
  off by far more; for the correct one at a good place the bar is about 1e-9.
- Kinks: where a ReLU changes sides between x - eps and x + eps there is no derivative to compare
  with. Layers say by `active_branch` which branch each element took; elements for which that
  differs between the two evaluations are reported as kinks and take no part in the error.
"""

import copy
from dataclasses import dataclass

import numpy as np

from section2_optimization.gradcheck.derivatives import complex_step_gradient, numerical_gradient

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
        """Whether the gradient is correct; NaN is not."""
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
    exact to rounding. The layer itself is left as it was. Raises ValueError, naming the array, when
    anything is not float64, for rounding would drown the difference, or when a gradient does not
    have the shape of its array.

    All that a layer needs is `forward`, `backward`, `params` and `grads`; a generator that it draws
    from is called `rng`, and its branches `active_branch`.
    """
    watched = _Watched(layer, x, target)
    y = watched.forward()
    _require_float64(watched, y)
    watched.loss = loss or Projection((rng or np.random.default_rng(0)).normal(size=y.shape))
    value, analytic = watched.analytic()
    name, floor = name or type(layer).__name__, FLOOR * max(1.0, abs(value))
    checks = []
    if complex_step:
        watched.make_complex()
    for key in watched.arrays:
        numeric, kinks = watched.complex_step(key) if complex_step else watched.central(key, eps)
        check = _compare(name, key, analytic[key], numeric, kinks, floor)
        if not (check.passed or complex_step):
            again, more_kinks = watched.central(key, 2 * eps)
            check = _compare(name, key, analytic[key], numeric, kinks | more_kinks, floor, again)
        checks.append(check)
    return checks


class _Watched:
    """The loss as a function of each array: repeatable, and watched for kinks."""

    def __init__(self, layer, x: np.ndarray, target: np.ndarray | None):
        self.layer, self.target, self.loss = copy.deepcopy(layer), target, None
        self.leaves = _leaves(self.layer)
        self.arrays = {"x": np.array(x)} | self.layer.params
        generators = [getattr(leaf, "rng", None) for leaf in self.leaves]
        self._generators = [(rng, rng.bit_generator.state) for rng in generators if rng is not None]
        self._branches: list[list[np.ndarray]] = []  # one entry an evaluation

    def forward(self) -> np.ndarray:
        """Return the layer's output, drawn with the same random numbers in every call."""
        for generator, state in self._generators:
            generator.bit_generator.state = state
        return self.layer.forward(self.arrays["x"])

    def analytic(self) -> tuple[float, dict[str, np.ndarray]]:
        """Return the loss, and what `backward` says of every array."""
        for _ in range(2):  # twice, since backward must overwrite the gradients, not add to them
            value = self.loss.forward(self.forward(), self.target)
            grad_in = self.layer.backward(self.loss.backward())
        grads = {"x": grad_in} | self.layer.grads
        for key, array in self.arrays.items():
            grad = grads.get(key)
            if np.shape(grad) != array.shape or grad is None:
                found = "nothing" if grad is None else f"an array of shape {np.shape(grad)}"
                raise ValueError(
                    f"backward gives {found} for the gradient of {key}, whose shape is"
                    f" {array.shape}"
                )
        return value, {key: np.copy(grad) for key, grad in grads.items()}

    def make_complex(self) -> None:
        """Let all arrays be complex."""
        for leaf in self.leaves:
            leaf.params = {key: param.astype(complex) for key, param in leaf.params.items()}
        self.arrays = {"x": self.arrays["x"].astype(complex)} | self.layer.params

    def complex_step(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the measured gradient of an array, and that nothing of it is at a kink."""
        numeric = self._measure(key, complex_step_gradient)
        return numeric, np.zeros(numeric.shape, bool)

    def central(self, key: str, eps: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the measured gradient of an array, and which of its elements are at a kink."""
        self._branches.clear()
        numeric = self._measure(key, numerical_gradient, eps)
        changed = [
            any(not np.array_equal(a, b) for a, b in zip(plus, minus, strict=True))
            for plus, minus in zip(self._branches[::2], self._branches[1::2], strict=True)
        ]
        return numeric, np.reshape(changed, numeric.shape)

    def _measure(self, key: str, method, *eps: float) -> np.ndarray:
        array = self.arrays[key]
        start = array.real.copy()

        def f(value: np.ndarray) -> float:
            array[...] = value
            result = self.loss.forward(self.forward(), self.target)
            branches = [getattr(leaf, "active_branch", None) for leaf in self.leaves]
            self._branches.append([branch for branch in branches if branch is not None])
            return result

        numeric = method(f, start, *eps)
        array[...] = start
        return numeric


def _compare(name, key, analytic, numeric, kinks, floor, again=None) -> Check:
    """Return the verdict on one array; `again` is a second measurement, for an error bar."""
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


def _require_float64(watched: _Watched, y: np.ndarray) -> None:
    """Raise ValueError, naming the array that is to blame, unless everything is float64."""
    cure = "build the layer with dtype=np.float64"
    arrays = [("the input x", watched.arrays["x"], "give x.astype(np.float64)")]
    for key, param in watched.layer.params.items():
        arrays.append((f"the layer's parameter {key}", param, cure))
        if key in watched.layer.grads:
            arrays.append((f"the layer's gradient of {key}", watched.layer.grads[key], cure))
    for what, array, advice in (*arrays, ("the layer's output", y, cure)):
        if array.dtype != np.float64:
            raise ValueError(
                f"{what} must be float64, not {array.dtype}, whose rounding would drown the"
                f" difference: {advice}"
            )


def _leaves(layer) -> list:
    if not hasattr(layer, "layers"):
        return [layer]
    return [leaf for part in layer.layers for leaf in _leaves(part)]
