"""What the sections' exercises share: a measured derivative, and a walk along an update rule.

Everything is computed in float64 from the mathematics, in another way than the lessons do it.
"""

from collections.abc import Callable
from functools import wraps

import numpy as np

from shared_utils.exercises.table import Broken

PATH = "the parameters after each step"


def rng(seed: int) -> np.random.Generator:
    """Return the generator that draws a case's arrays."""
    return np.random.default_rng(seed)


def gradient(f: Callable[[np.ndarray], float], x: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    """Return df/dx by central differences; with eps = 1 exact where f is linear in each entry."""
    x = np.array(x, float)
    grad = np.empty_like(x)
    for at, value in np.ndenumerate(x.copy()):
        x[at] = value + eps
        above = f(x)
        x[at] = value - eps
        grad[at] = (above - f(x)) / (2 * eps)
        x[at] = value
    return grad


def after_another(oracle: Callable[..., dict]) -> Callable[..., dict]:
    """Give an oracle of gradients the slip "added": those of a pass before, over 2 x, stay in them.

    The probe makes these two passes.
    """

    @wraps(oracle)
    def with_slip(x, slip: str = "", **case) -> dict:
        if slip != "added":
            return oracle(x=x, slip=slip, **case)
        before, grads = oracle(x=2 * x, **case), oracle(x=x, **case)
        return {name: before[name] + grad for name, grad in grads.items() if name != "dx"}

    return with_slip


def refuses(error: type[Exception], when: str, function: Callable, *arguments) -> None:
    """Raise Broken unless the function raises `error`."""
    what = "nothing is raised"
    try:
        function(*arguments)
    except error:
        return
    except Exception as other:
        what = f"it is {type(other).__name__}"
    raise Broken(f"{when}: the docstring promises {error.__name__}, but {what}")


def same(before: np.ndarray, after: np.ndarray, name: str) -> None:
    """Raise Broken when an argument was changed."""
    if not np.array_equal(before, after):
        raise Broken(f"it changes its argument {name}: work on a copy, the caller still needs it")


def descend(
    rule: Callable[..., np.ndarray], theta: np.ndarray, grads: np.ndarray, lrs: np.ndarray
) -> dict[str, np.ndarray]:
    """Return theta (5,) after each step of a rule.

    `rule(g, lr, t, theta, memory)` returns the change of theta in step t = 1, 2, ...; `memory` is a
    dict of its own, empty at first.
    """
    path, memory = [], {}
    for t, (g, lr) in enumerate(zip(grads, lrs, strict=True), start=1):
        theta = theta + rule(g, lr, t, theta, memory)
        path.append(theta)
    return {PATH: np.array(path)}


def take_steps(optimizer, theta: np.ndarray, grads: np.ndarray, lrs: np.ndarray) -> dict:
    """Return theta after each step of an optimizer under test, as `descend` does.

    Theta is handed over as two parameters, three entries in the one and two in the other.
    """
    params, path = {"W": theta[:3].copy(), "b": theta[3:].copy()}, []
    arrays = list(params.values())  # an update that is not in place never reaches these
    for g, lr in zip(grads, lrs, strict=True):
        optimizer.lr = lr
        optimizer.step(params, {"W": g[:3], "b": g[3:]})
        path.append(np.concatenate(arrays))
    return {PATH: np.array(path)}


def steps_case(seed: int, lrs: list[float], **options) -> dict:
    """Return the arguments of a case of `take_steps`: five parameters, a gradient for each lr."""
    draw = rng(seed)
    theta, grads = draw.normal(size=5), draw.normal(size=(len(lrs), 5))
    return {"theta": theta, "grads": grads, "lrs": np.array(lrs)} | options


def stand_still(theta, grads, **_) -> dict:
    """Return the path of the slip "not in place": the arrays that were handed over never change."""
    return {PATH: np.tile(theta, (len(grads), 1))}


def sgd(theta, grads, lrs, momentum, weight_decay, nesterov=False, slip: str = "") -> dict:
    """v = momentum v + g', with g' = g + weight_decay theta; theta moves by -lr v.

    With Nesterov it moves by -lr (g' + momentum v).
    """
    if slip == "not in place":
        return stand_still(theta, grads)

    def rule(g, lr, t, theta, memory):
        g = g if slip == "no decay" else g + weight_decay * theta
        g, lr = (lr * g, 1) if slip == "lr inside" else (g, lr)
        before = memory.get("v", 0) if slip != "no momentum" else 0
        v = memory["v"] = momentum * before + g * (1 - momentum if slip == "dampened" else 1)
        if nesterov and slip != "heavy ball":
            return -lr * (g + momentum * (before if slip == "old v" else v))
        return -lr * (before if slip == "late" else v) * (-1 if slip == "up" else 1)

    return descend(rule, theta, grads, lrs)
