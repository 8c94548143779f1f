"""What the size of the initial weights does to a deep network, before any training.

On the way up, a layer multiplies the deviation of its inputs by a factor that depends on the
variance of the weights; on the way down, it multiplies the gradient by nearly the same factor. Ten
factors of 1/2 are a thousandth: the signal vanishes. Ten factors of 2 are a thousand: it explodes.
"""

from dataclasses import dataclass

import numpy as np

from section1_mlp.functions import ACTIVATIONS
from shared_utils.plotting import COLORS, MARKERS, new_figure

SAMPLES = 500
# The variance of a layer's weights, from the number n of units on each of its sides.
SCHEMES = {
    "N(0, 0.01²)": lambda n: 0.01**2,
    "Glorot, 1/n": lambda n: 1 / n,
    "He, 2/n": lambda n: 2 / n,
    "16/n": lambda n: 16 / n,  # what the rule n Var(W) g'(0)^2 = 1 asks for sigmoid, g'(0) = 1/4
}


@dataclass(frozen=True)
class Sizes:
    """How large signal and gradient are in every layer, (seeds, depth) each."""

    signal: np.ndarray
    gradient: np.ndarray

    @property
    def signal_factor(self) -> np.ndarray:
        """What is left of the first layer's signal in the last one, (seeds,)."""
        return _ratio(self.signal[:, -1], self.signal[:, 0])

    @property
    def gradient_factor(self) -> np.ndarray:
        """What is left of the last layer's gradient in the first one, (seeds,)."""
        return _ratio(self.gradient[:, 0], self.gradient[:, -1])


def signal_and_gradient(
    activation: str, variance: float, *, width: int, depth: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sizes of signal and gradient, (depth,) each, in a new network of equal layers.

    Inputs are standard normal, and so is the gradient that arrives at the last layer's output. The
    signal of layer l is the deviation of Z_l over the inputs (what is equal for all inputs tells
    nothing about them), the gradient the root mean square of dZ_l, both taken over all units.
    """
    g, g_grad = ACTIVATIONS[activation]
    A, layers, signal, gradient = rng.normal(size=(SAMPLES, width)), [], [], []
    for _ in range(depth):
        W = rng.normal(0, np.sqrt(variance), (width, width))
        Z = A @ W
        A = g(Z)
        layers.append((W, A))
        signal.append(np.sqrt(Z.var(axis=0).mean()))
    dA = rng.normal(size=A.shape)
    for W, A in reversed(layers):
        dZ = dA * g_grad(A)
        gradient.append(np.sqrt(np.mean(dZ**2)))
        dA = dZ @ W.T
    return np.array(signal), np.array(gradient[::-1])


def summarize(sizes: dict[str, dict[str, Sizes]]) -> dict:
    """Return `summary.json`'s "runs": by activation and scheme, both factors over the seeds."""
    return {
        activation: {
            scheme: {"signal": _spread(s.signal_factor), "gradient": _spread(s.gradient_factor)}
            for scheme, s in of_activation.items()
        }
        for activation, of_activation in sizes.items()
    }


def conclude(runs: dict) -> list[str]:
    """Return a sentence for each activation: which scheme keeps the gradient nearest its size."""
    sentences = []
    for activation, schemes in runs.items():
        name = min(schemes, key=lambda s: _distance(schemes[s]["gradient"]["median"]))
        up, down = schemes[name]["signal"], schemes[name]["gradient"]
        sentences.append(
            f"{activation}: {name} keeps the gradient nearest its size: what reaches the first"
            f" layer is {down['median']:.2g} ({down['low']:.2g} to {down['high']:.2g}) times what"
            f" left the last; the signal is {up['median']:.2g} times the first layer's"
        )
    return sentences


def draw(sizes: dict[str, dict[str, Sizes]]):
    """Signal and gradient by layer, a column for each activation: median and range over seeds."""
    fig, axes = new_figure(2, len(sizes), (4 * len(sizes), 6.4), sharex=True, sharey=True)
    for column, (activation, schemes) in zip(axes.T, sizes.items(), strict=True):
        for color, marker, (scheme, s) in zip(COLORS, MARKERS, schemes.items(), strict=False):
            for ax, values in zip(column, (s.signal, s.gradient), strict=True):
                layers = np.arange(1, values.shape[1] + 1)
                middle = np.median(values, axis=0)
                ax.plot(layers, middle, color=color, marker=marker, label=scheme)
                ax.fill_between(
                    layers, values.min(axis=0), values.max(axis=0), color=color, alpha=0.2
                )
        column[0].set(title=activation, yscale="log", ylim=(1e-12, 1e6))
        column[1].set_xlabel("hidden layer")
    axes[0, 0].set_ylabel("signal: deviation\nof Z over inputs")
    axes[1, 0].set_ylabel("gradient: root mean\nsquare of dZ")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return fig


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):  # a signal that died out, or overflowed
        return a / b


def _spread(values: np.ndarray) -> dict[str, float]:
    ends = {"low": np.min, "median": np.median, "high": np.max}
    return {name: float(f(values)) for name, f in ends.items()}


def _distance(factor: float) -> float:
    return abs(np.log(factor)) if 0 < factor < np.inf else np.inf
