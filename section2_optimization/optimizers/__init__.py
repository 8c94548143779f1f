"""Optimizers: what to do with a gradient.

An optimizer sees two dicts of arrays with equal keys and shapes, never a layer, and changes the
parameters in place: `optimizer.step(params, grads)`, at the rate `optimizer.lr`, which may change
from step to step.

Notation of the docstrings: theta a parameter, g its gradient, eta = `lr`, all operations
elementwise, t = 1, 2, ... the step.
"""

from collections.abc import Mapping

from section2_optimization.optimizers.adaptive import Adagrad, Adam, AdamW, RMSprop
from section2_optimization.optimizers.base import Optimizer
from section2_optimization.optimizers.sgd import SGD

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "make_optimizer",
]

OPTIMIZERS: Mapping[str, type[Optimizer]] = {
    "sgd": SGD,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
    "adagrad": Adagrad,
}


def make_optimizer(name: str, lr: float, **options) -> Optimizer:
    """Return the optimizer called `name`. Raises ValueError, with the names that exist."""
    if name not in OPTIMIZERS:
        raise ValueError(f"there is no optimizer {name!r}; there are {', '.join(OPTIMIZERS)}")
    return OPTIMIZERS[name](lr, **options)
