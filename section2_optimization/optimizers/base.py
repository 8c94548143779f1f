"""What all update rules share: checks, memory, and its saving.

A rule with a memory of past gradients keeps one array per parameter and purpose (a "slot"), zero at
first. Everything is checked before anything is changed: a step is taken whole or not at all.
"""

import math

import numpy as np


class Optimizer:
    """Base of the rules: `step` checks, then calls `_update` for every parameter.

    A rule names its `slots` and defines `_update(theta, g, scratch, *slots)`, which changes theta
    in place and leaves g alone; `scratch` is an array of theta's shape for what lies between, which
    spares an allocation in each operation. `steps` counts the steps, the first is 1.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, lr: float):
        self.lr = lr
        self.steps = 0
        self._memory: dict[str, dict[str, np.ndarray]] = {}  # parameter -> slot -> array
        self._scratch: dict[str, np.ndarray] = {}

    @property
    def lr(self) -> float:
        """The learning rate; it may be set between steps. Raises ValueError unless above 0."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        check_range("lr", value, 0 < value < math.inf, "a finite number above 0")
        self._lr = float(value)

    def step(self, params: dict[str, np.ndarray], grads: dict[str, np.ndarray]) -> None:
        """Update the arrays of `params` in place.

        Raises ValueError when the keys or shapes of the two differ from each other or from those of
        the first step, or when a parameter is not an array of floats that can be changed, and
        FloatingPointError when a gradient is not finite. Then nothing changes.
        """
        self._check(params, grads)
        self.steps += 1
        for key, theta in params.items():
            if key not in self._scratch:
                self._scratch[key] = np.empty_like(theta)
                self._memory[key] = {slot: np.zeros_like(theta) for slot in self.slots}
            self._update(theta, grads[key], self._scratch[key], *self._memory[key].values())

    def state_dict(self) -> dict:
        """Return a copy of what the rule remembers, in plain containers and arrays."""
        memory = {
            key: {slot: array.copy() for slot, array in slots.items()}
            for key, slots in self._memory.items()
        }
        return {"rule": type(self).__name__, "lr": self.lr, "steps": self.steps, "memory": memory}

    def load_state_dict(self, state: dict) -> None:
        """Continue where `state`, from `state_dict`, was left.

        Raises ValueError when it is not such a state, or is one of another rule or other slots.
        """
        missing = {"rule", "lr", "steps", "memory"} - set(state)
        if missing:
            raise ValueError(f"this is not a state of an optimizer: it lacks {sorted(missing)}")
        if state["rule"] != type(self).__name__:
            raise ValueError(f"a state of {state['rule']} does not fit {type(self).__name__}")
        for key, slots in state["memory"].items():
            if set(slots) != set(self.slots):
                raise ValueError(f"{key} has the slots {sorted(slots)}, not {sorted(self.slots)}")
            if len({array.shape for array in slots.values()}) > 1:
                raise ValueError(f"the slots of {key} differ in their shapes")
        self.lr, self.steps = state["lr"], state["steps"]
        self._memory = {
            key: {slot: slots[slot].copy() for slot in self.slots}
            for key, slots in state["memory"].items()
        }
        self._scratch = {
            key: np.empty_like(array)
            for key, slots in self._memory.items()
            for array in slots.values()
        }

    def _check(self, params, grads) -> None:
        if params.keys() != grads.keys():
            raise ValueError(f"params has {sorted(params)} but grads has {sorted(grads)}")
        if self._memory and self._memory.keys() != params.keys():
            raise ValueError(f"the first step had {sorted(self._memory)}, not {sorted(params)}")
        for key, theta in params.items():
            g, first = grads[key], self._scratch.get(key, theta)
            floats = isinstance(theta, np.ndarray) and theta.dtype.kind == "f"
            if not (floats and theta.flags.writeable):
                raise ValueError(f"{key} must be an array of floats that can be changed in place")
            if not g.shape == theta.shape == first.shape:
                was = f", at the first step {first.shape}" if key in self._scratch else ""
                raise ValueError(f"{key} is {theta.shape}, its gradient {g.shape}{was}")
            # g . g is one fast walk; where it overflows, the entries are looked at one by one.
            if not math.isfinite(np.vdot(g, g)) and not np.isfinite(g).all():
                raise FloatingPointError(f"the gradient of {key} is not finite: try a smaller lr")

    def _update(self, theta, g, scratch, *slots) -> None:
        raise NotImplementedError


def check_range(name: str, value: float, holds: bool, words: str) -> None:
    """Raise ValueError, naming the argument, unless `holds`."""
    if not holds:
        raise ValueError(f"{name} must be {words}, not {value}")


def average(mean: np.ndarray, beta: float, value: np.ndarray, scratch: np.ndarray) -> None:
    """mean <- beta mean + (1 - beta) value, in place; `value` may be `scratch` itself."""
    mean *= beta
    mean += np.multiply(value, 1 - beta, out=scratch)


def descend(theta: np.ndarray, direction: np.ndarray, lr: float, scratch: np.ndarray) -> None:
    """theta <- theta - lr direction, in place; `direction` may be `scratch` itself."""
    theta -= np.multiply(direction, lr, out=scratch)
