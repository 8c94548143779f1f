"""The step-size curve: how wrong each way to measure a derivative is, for every eps.

The gradient is that of a small tanh network's cross-entropy, smooth and a little deep; the truth is
`backward`, which the complex step confirms to the last digit.
"""

import numpy as np

from section2_optimization.gradcheck.derivatives import (
    complex_step_gradient,
    forward_gradient,
    numerical_gradient,
)
from section2_optimization.losses import SoftmaxCrossEntropy
from section2_optimization.model import MLP

METHODS = {
    "forward": forward_gradient,
    "central": numerical_gradient,
    "complex step": complex_step_gradient,
}
STEP_SIZES = np.logspace(-1, -13, 49)


def step_size_errors(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return, for each method, the relative error for each of STEP_SIZES."""
    x, labels = rng.normal(size=(8, 4)), rng.integers(0, 3, 8)
    model, loss = MLP([4, 6, 3], "tanh", rng=rng, dtype=np.float64), SoftmaxCrossEntropy()

    def f(at):
        for layer in model.layers:  # complex inputs need complex parameters
            layer.params = {key: param.astype(at.dtype) for key, param in layer.params.items()}
        return loss.forward(model.forward(at), labels)

    f(x)
    truth = model.backward(loss.backward())
    size = np.abs(truth).max()
    return {
        name: np.array([np.abs(method(f, x, eps) - truth).max() / size for eps in STEP_SIZES])
        for name, method in METHODS.items()
    }


def draw_step_sizes(errors: dict[str, np.ndarray]):
    """Return the figure of the curves, with the orders that theory gives them."""
    from shared_utils.plotting import MARKERS, new_figure

    fig, ax = new_figure(size=(7.5, 5))
    u = np.finfo(float).eps
    for (name, error), marker in zip(errors.items(), MARKERS, strict=False):
        best = STEP_SIZES[error.argmin()]
        ax.loglog(
            STEP_SIZES, np.maximum(error, u / 10), marker=marker, markevery=2,
            label=f"{name}: {error.min():.0e} at best, eps = {best:.0e}",
        )  # fmt: skip
    guides = {"eps": STEP_SIZES, "eps²": STEP_SIZES**2, "u / eps": u / STEP_SIZES}
    for (name, line), style in zip(guides.items(), (":", "--", "-."), strict=True):
        ax.loglog(STEP_SIZES, line, style, color="0.5", lw=1, label=f"slope of {name}")
    ax.set_ylim(u / 30, 30)
    ax.invert_xaxis()
    ax.set_xlabel("step size eps (smaller to the right)")
    ax.set_ylabel("relative error of the gradient")
    ax.set_title("Truncation on the left, cancellation on the right\n(tanh network, float64)")
    ax.legend(fontsize=9, loc="upper center", ncols=2)
    return fig
