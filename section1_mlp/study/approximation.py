"""One hidden layer, trained to imitate a function of one or two variables."""

from dataclasses import dataclass

import numpy as np

from section1_mlp.model import MLP
from section1_mlp.optimizer import SGD
from section1_mlp.study.targets import Target
from section1_mlp.training import train_steps
from shared_utils.seed import stream

LEARNING_RATES = {"relu": 0.03, "tanh": 0.05, "sigmoid": 0.05}
# How steep the first layer's units start: a tanh of slope 4 rises within a quarter of the domain.
# A sigmoid is a tanh of half the slope: sigmoid(z) = (1 + tanh(z / 2)) / 2.
SLOPES = {"relu": 1, "tanh": 4, "sigmoid": 8}


@dataclass(frozen=True)
class Network:
    """One network of the demo: what it imitates, and with what."""

    target: str
    activation: str
    width: int  # hidden units


def imitate(
    target: Target,
    network: Network,
    seed: int,
    *,
    epochs: int,
    batch_size: int,
    lr: float | None = None,
) -> np.ndarray:
    """Train one network on the target; return its outputs on the dense grid (NaN: it diverged)."""
    activation, sizes = network.activation, (target.x.shape[1], network.width, 1)
    model = MLP(sizes, activation, "linear", rng=stream(seed, "init"), dtype=np.float64)
    spread_units(model, SLOPES[activation], stream(seed, "spread"))
    optimizer = SGD(lr or LEARNING_RATES[activation], momentum=0.9)
    budget, rng = {"epochs": epochs, "batch_size": batch_size}, stream(seed, "shuffle")
    try:
        for _ in train_steps(model, optimizer, target.x, target.y, **budget, rng=rng):
            pass
    except FloatingPointError:
        return np.full_like(target.y_dense, np.nan)
    return model.forward(target.x_dense)


def spread_units(model: MLP, slope: float, rng: np.random.Generator) -> None:
    """Give every first-layer unit a place of its own: z = w . (x - c), c anywhere in the domain.

    With the usual biases of zero, all units of a one-dimensional network would have their kink at
    the same point, x = 0, and would have to be dragged apart by training.
    """
    W, b = model.params["W1"], model.params["b1"]
    W[:] = rng.normal(size=W.shape)
    W *= slope * rng.uniform(0.5, 1.5, W.shape[1]) / np.linalg.norm(W, axis=0)
    centres = rng.uniform(-1, 1, W.shape)
    b[:] = -np.sum(W * centres, axis=0)
