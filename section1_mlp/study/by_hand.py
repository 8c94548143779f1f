"""Networks whose weights are set by hand, as the proof of the approximation theorem sets them.

A steep sigmoid is a step: sigmoid(s (x - c)) rises from 0 to 1 around c, within a few 1/s. Two of
them with opposite signs are a bump, and bumps side by side follow any continuous function, as the
bars of a histogram do. One hidden layer is enough; training is not needed.
"""

from collections.abc import Sequence

import numpy as np

from section1_mlp.model import MLP
from section1_mlp.study.targets import JUMPS, Target

SLOPE = 2000.0  # of a step that rises from 12 % to 88 % within a thousandth of the domain


def steps(
    places: Sequence[float], heights: Sequence[float], start: float = 0.0, slope: float = SLOPE
) -> MLP:
    """Return the network start + sum_k heights_k sigmoid(slope (x - places_k)): a unit a step."""
    rng = np.random.default_rng(0)  # all that it draws is overwritten
    model = MLP((1, len(places), 1), "sigmoid", "linear", rng=rng, dtype=np.float64)
    model.params["W1"][:] = slope
    model.params["b1"][:] = -slope * np.asarray(places)
    model.params["W2"][:, 0] = heights
    model.params["b2"][:] = start
    return model


def bumps(target: Target, count: int) -> MLP:
    """Return a network of `count` bumps, two units each, as high as the target in their middles."""
    edges = np.linspace(-1, 1, count + 1)
    heights = _values(target, (edges[1:] + edges[:-1]) / 2)
    return steps([*edges[:-1], *edges[1:]], [*heights, *-heights])


def jumps(target: Target) -> MLP:
    """Return the two units that follow the target "step": one at each of its jumps."""
    levels = _values(target, np.array([-1, np.mean(JUMPS), 1]))
    return steps(JUMPS, np.diff(levels), levels[0])


def networks(targets: dict[str, Target], width: int) -> dict[str, MLP]:
    """Return a network for the sine, of about `width` units, and one for the steps, of two."""
    return {"sine": bumps(targets["sine"], max(1, width // 2)), "step": jumps(targets["step"])}


def compare(targets: dict[str, Target], width: int, trained: dict[str, float]) -> dict:
    """Return "by_hand" of `summary.json`: units and errors, beside those of training, and words.

    `trained` holds the mean squared error of trained sigmoid networks of `width` units, by target.
    """
    results = {}
    for name, model in networks(targets, width).items():
        target, units = targets[name], model.layer_sizes[1]
        error = float(np.mean((model.forward(target.x_dense) - target.y_dense) ** 2))
        sentence = (
            f"{target.title}: {units} sigmoid units set by hand reach a mean squared error"
            f" of {error:.1e}, {width} trained ones {trained[name]:.1e}"
        )
        results[name] = {"units": units, "mse": error, "sentence": sentence}
    return results


def _values(target: Target, x: np.ndarray) -> np.ndarray:
    return np.interp(x, target.x[:, 0], target.y[:, 0])
