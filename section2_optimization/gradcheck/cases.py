"""The gradient checks of everything in this section: one case for every layer, loss and model.

The start of a network is a special place: gamma is 1, beta and biases are 0, running statistics are
0 and 1. A factor that is wrong may multiply a zero there. So each case first takes some random
steps (a burn-in) and is checked at a place where nothing is special.
"""

from collections.abc import Callable, Mapping

import numpy as np

from section2_optimization import layers, losses
from section2_optimization.gradcheck.checks import Check, check_gradients
from section2_optimization.model import Sequential
from section2_optimization.optimizers import SGD

BURN_IN_STEPS = 10
COMPONENTS = {
    cls.__name__: cls
    for cls in (
        layers.Linear,
        layers.ReLU,
        layers.Sigmoid,
        layers.Tanh,
        layers.BatchNorm1d,
        layers.LayerNorm,
        layers.Dropout,
        losses.SoftmaxCrossEntropy,
        losses.MSE,
        Sequential,
    )
}


# name -> its layers and its loss, by their names in COMPONENTS
RECIPES: Mapping[str, tuple[tuple[str, ...], str | None]] = {
    "Linear": (("Linear",), None),
    "ReLU": (("ReLU",), None),
    "Sigmoid": (("Sigmoid",), None),
    "Tanh": (("Tanh",), None),
    "BatchNorm1d, training": (("BatchNorm1d",), None),
    "BatchNorm1d, prediction": (("BatchNorm1d",), None),
    "LayerNorm": (("LayerNorm",), None),
    "Dropout": (("Dropout",), None),
    "SoftmaxCrossEntropy": ((), "SoftmaxCrossEntropy"),
    "MSE": ((), "MSE"),
    "ReLU network": (("Linear", "ReLU", "Linear"), "SoftmaxCrossEntropy"),
    "Sigmoid network": (("Linear", "Sigmoid", "Linear"), "MSE"),
    "Tanh network": (("Linear", "Tanh", "Linear"), "SoftmaxCrossEntropy"),
    "all together": (
        ("Linear", "BatchNorm1d", "Tanh", "Dropout", "LayerNorm", "Linear"),
        "SoftmaxCrossEntropy",
    ),
}


def build_case(
    name: str,
    rng: np.random.Generator,
    n: int = 4,
    width: int = 4,
    components: Mapping[str, Callable] = COMPONENTS,
) -> dict:
    """Return the arguments of `check_gradients` for the case `name`, burnt in, in float64.

    It has n samples and layers of `width`. Layers are square, so a missing transpose runs without
    complaint, as it might in a network, and only its numbers are wrong. Batch and width are equal,
    so a sum over the wrong axis does, too.
    """
    layer_names, loss_name = RECIPES[name]
    chain = [_build(components[layer], layer, width, rng) for layer in layer_names]
    layer = chain[0] if len(chain) == 1 else components["Sequential"](*chain)
    sgd = SGD(0.1)
    for _ in range(BURN_IN_STEPS):
        layer.forward(rng.normal(size=(n, width)))
        layer.backward(rng.normal(size=(n, width)) / n)
        sgd.step(layer.params, layer.grads)
    if name.endswith("prediction"):
        layer.eval()
    target = {
        None: lambda: None,
        "MSE": lambda: rng.normal(size=(n, width)),
        "SoftmaxCrossEntropy": lambda: rng.integers(0, width, n),
    }[loss_name]()
    loss = components[loss_name]() if loss_name else None
    x = rng.normal(size=(n, width))
    return {"name": name, "layer": layer, "x": x, "loss": loss, "target": target}


def check_everything(
    rng: np.random.Generator, components: Mapping[str, Callable] = COMPONENTS
) -> list[tuple[Check, Check | None]]:
    """Return (central differences, complex step) for every array; None where there are kinks."""
    rows = []
    for name, (kinds, _) in RECIPES.items():
        case = build_case(name, rng, components=components)
        central, exact = check_gradients(**case, rng=rng), None
        if "ReLU" not in kinds:
            exact = check_gradients(**case, rng=rng, complex_step=True)
        rows += zip(central, exact or [None] * len(central), strict=True)
    return rows


def false_alarms(rng: np.random.Generator, draws: int) -> list[Check]:
    """Check `draws` cases of random kind, shape and values; return the checks that failed."""
    names, failed = list(RECIPES), []
    for _ in range(draws):
        name = names[rng.integers(len(names))]
        case = build_case(name, rng, n=int(rng.integers(2, 6)), width=int(rng.integers(1, 6)))
        failed += [check for check in check_gradients(**case, rng=rng) if not check.passed]
    return failed


def _build(cls, name: str, width: int, rng: np.random.Generator):
    if name == "Linear":
        return cls(width, width, rng=rng, dtype=np.float64)
    if name in ("BatchNorm1d", "LayerNorm"):
        return cls(width, dtype=np.float64)
    if name == "Dropout":
        return cls(0.4, rng=rng)
    return cls()
