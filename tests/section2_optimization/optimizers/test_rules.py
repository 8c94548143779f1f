"""The update rules against torch.optim in float64, and on functions with known minima."""

from itertools import product

import numpy as np
import pytest

from section2_optimization.optimizers import SGD, Adam, make_optimizer
from tests.section2_optimization.helpers import tensor, torch

STEPS = 500
TORCH = {
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adagrad": torch.optim.Adagrad,
}


def grid(**options):
    return [dict(zip(options, values, strict=True)) for values in product(*options.values())]


betas = [(0.9, 0.999), (0.0, 0.9), (0.5, 0.0)]
COMBINATIONS = [
    *(
        ("sgd", options)
        for options in grid(
            momentum=[0.0, 0.5, 0.9], nesterov=[False, True], weight_decay=[0.0, 0.1]
        )
        if options["momentum"] or not options["nesterov"]
    ),
    *(("rmsprop", options) for options in grid(alpha=[0.99, 0.0], eps=[1e-8, 1e-2])),
    *(("adam", options) for options in grid(betas=betas, eps=[1e-8, 1e-2])),
    *(
        ("adamw", options)
        for options in grid(betas=betas, eps=[1e-8, 1e-2], weight_decay=[0.0, 0.1])
    ),
    *(("adagrad", options) for options in grid(eps=[1e-10, 1e-2])),
    *((name, {}) for name in TORCH),  # the defaults
]


def starts_and_gradients():
    """Return starts (25,) and gradients (STEPS, 25): ordinary, tiny, zero, mixed, now and then."""
    rng = np.random.default_rng(0)
    starts, grads = rng.normal(size=25), rng.normal(size=(STEPS, 25))
    starts[5:10] = 0  # from zero, where even a step of 1e-12 is seen
    grads[:, 5:10] = 1e-12 * (3 + grads[:, 5:10])
    grads[:, 10:15] = 0
    grads[:, 15:20] *= 10.0 ** rng.integers(-12, 4, size=(STEPS, 5))
    grads[:, 20:] *= (np.arange(STEPS) % 7 == 0)[:, None]
    return starts, grads


STARTS, ALL_GRADS = starts_and_gradients()
# The matrix gets its gradients in reverse: each parameter must have a memory of its own.
GRADS = [{"vector": grad, "matrix": grad[::-1].reshape(5, 5)} for grad in ALL_GRADS]
TORCH_GRADS = [{key: tensor(value) for key, value in grads.items()} for grads in GRADS]
CHANGING_LRS = 10 ** np.random.default_rng(1).uniform(-4, -1, STEPS)


@pytest.mark.parametrize("lrs", [np.full(STEPS, 0.01), CHANGING_LRS], ids=["constant", "changing"])
@pytest.mark.parametrize(("name", "options"), COMBINATIONS, ids=str)
def test_500_steps_follow_torch_optim(name, options, lrs):
    params = {"vector": STARTS.copy(), "matrix": STARTS.reshape(5, 5).copy()}
    tensors = {key: tensor(value, requires_grad=True) for key, value in params.items()}
    ours = make_optimizer(name, lrs[0], **options)
    theirs = TORCH[name](tensors.values(), lr=lrs[0], **options)
    views = {key: parameter.detach().numpy() for key, parameter in tensors.items()}
    found, expected = {key: [] for key in params}, {key: [] for key in params}
    for lr, grads, their_grads in zip(lrs, GRADS, TORCH_GRADS, strict=True):
        ours.lr = theirs.param_groups[0]["lr"] = float(lr)
        for key, parameter in tensors.items():
            parameter.grad = their_grads[key]
        ours.step(params, grads)
        theirs.step()
        for key, value in params.items():
            found[key].append(value.ravel().copy())
            expected[key].append(views[key].ravel().copy())
    for key in params:
        ours, theirs = np.array(found[key]), np.array(expected[key])
        # Relative to the largest value that the element has had: many pass through zero.
        scale = np.maximum.accumulate(np.maximum(np.abs(theirs), np.abs(STARTS)))
        assert (np.abs(ours - theirs) <= 1e-12 * scale).all()


METHODS = {
    "sgd": ("sgd", {}),
    "momentum": ("sgd", {"momentum": 0.9}),
    "nesterov": ("sgd", {"momentum": 0.9, "nesterov": True}),
    "rmsprop": ("rmsprop", {}),
    "adam": ("adam", {}),
    "adamw": ("adamw", {"weight_decay": 0.0}),
    "adagrad": ("adagrad", {}),
}
PARABOLA_LRS = {"adagrad": 1.0}
# A rate that suits the rule, and the steps that it takes: the valley's curvatures are 1000 and 0.4.
ROSENBROCK = {
    "sgd": (2e-3, 20000),
    "momentum": (5e-4, 8000),
    "nesterov": (5e-4, 8000),
    "rmsprop": (2e-3, 8000),
    "adam": (2e-2, 8000),
    "adamw": (2e-2, 8000),
    "adagrad": (0.5, 20000),
}


def minimize(method, lr, start, gradient, steps):
    """Run with a rate that fades out, so that no rule is left oscillating."""
    name, options = METHODS[method]
    optimizer = make_optimizer(name, lr, **options)
    params = {"x": np.array(start)}
    for step in range(steps):
        optimizer.lr = lr * (1 - step / steps)
        optimizer.step(params, {"x": gradient(params["x"])})
    return params["x"]


@pytest.mark.parametrize("method", METHODS)
def test_the_minimum_of_a_parabola_is_reached(method):
    scale, minimum = np.array([1.0, 10.0]), np.array([1.0, -2.0])
    lr = PARABOLA_LRS.get(method, 0.05)
    found = minimize(method, lr, [0.0, 0.0], lambda x: scale * (x - minimum), 2000)
    np.testing.assert_allclose(found, minimum, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_the_minimum_of_rosenbrock_is_reached(method):
    def gradient(p):
        x, y = p
        return np.array([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)])

    lr, steps = ROSENBROCK[method]
    found = minimize(method, lr, [-1.0, 1.0], gradient, steps)
    np.testing.assert_allclose(found, [1, 1], atol=1e-3)


def test_momentum_in_a_ravine_first_moves_away():
    """With the best rate and momentum (Polyak 1964): the distances that the page names."""
    least, kappa = 2.0, 300.0
    root = np.sqrt(kappa)
    optimizer = SGD(4 / (least * (1 + root) ** 2), momentum=((root - 1) / (root + 1)) ** 2)
    params, distances = {"x": np.ones(1)}, [1.0]
    for _ in range(60):
        optimizer.step(params, {"x": least * kappa * params["x"]})
        distances.append(abs(params["x"].item()))
    assert optimizer.lr * least == pytest.approx(0.0119, abs=5e-5)
    assert optimizer.momentum == pytest.approx(0.794, abs=5e-4)
    assert distances[20] == pytest.approx(3.8, abs=0.1)
    assert distances[60] == pytest.approx(1 / 9, abs=0.005)


def nesterovs_points_ahead(lrs):
    """Return the points ahead: of the rule with its gradient at theta + mu v, and of ours."""
    mu, scale = 0.9, np.array([1.0, 5.0])
    theta, v = np.array([1.0, 1.0]), np.zeros(2)
    params, optimizer = {"x": theta.copy()}, SGD(0.1, mu, nesterov=True)
    theirs, ours = [], []
    for lr in lrs:
        v = mu * v - lr * scale * (theta + mu * v)
        theta = theta + v
        optimizer.lr = lr
        optimizer.step(params, {"x": scale * params["x"]})
        theirs.append(theta + mu * v)
        ours.append(params["x"].copy())
    return np.array(theirs), np.array(ours)


def test_nesterov_looks_ahead():
    theirs, ours = nesterovs_points_ahead([0.1] * 50)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


def test_nesterovs_two_forms_part_when_the_rate_changes():
    lrs = [0.03 * (1 + np.cos(np.pi * t / 50)) / 2 for t in range(50)]
    theirs, ours = nesterovs_points_ahead(lrs)
    apart = np.linalg.norm(theirs - ours, axis=1).max()
    assert apart / np.linalg.norm([1, 1]) == pytest.approx(0.07, abs=0.005)  # as the page says


def test_adams_first_step_is_the_rate_whatever_the_gradient():
    params = {"x": np.zeros(3)}
    Adam(0.1).step(params, {"x": np.array([1e3, -1.0, 1e-3])})
    np.testing.assert_allclose(params["x"], [-0.1, 0.1, -0.1], rtol=1e-4)
