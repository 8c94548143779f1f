"""The three surfaces and the paths on them."""

from dataclasses import replace

import numpy as np
import pytest

from section2_optimization.gradcheck import numerical_gradient
from section2_optimization.study.comparison import METHODS, make_methods
from section2_optimization.study.trajectories import SURFACES, best_paths, follow, height

BY_NAME = {method.name: method for method in make_methods(METHODS)}


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_surfaces_have_the_gradients_and_minima_that_they_claim(surface):
    for point in np.random.default_rng(0).normal(size=(5, 2)):
        found = numerical_gradient(lambda p: float(surface.f(*p)), point)
        np.testing.assert_allclose(surface.grad(*point), found, rtol=1e-6, atol=1e-6)
    for minimum in surface.minima:
        assert surface.f(*minimum) == pytest.approx(surface.lowest)
        np.testing.assert_allclose(surface.grad(*minimum), 0, atol=1e-12)


def test_gradient_descent_on_the_ravine_follows_its_closed_form():
    ravine = SURFACES[0]
    path = follow(ravine, BY_NAME["gd"], 0.003)
    t = np.arange(ravine.steps + 1)[:, None]
    np.testing.assert_allclose(
        path, ravine.start * (1 - 0.003 * np.array([1, 300])) ** t, rtol=1e-9
    )


def test_on_the_ravine_momentum_goes_lower_than_gradient_descent_at_any_rate():
    """It is not the grid that decides: every rate below the bound 2 / 300 is tried."""
    ravine = SURFACES[0]
    lrs = np.linspace(1e-4, 2 / 300, 300)
    lowest = min(height(ravine, follow(ravine, BY_NAME["gd"], lr))[-1] for lr in lrs)
    _, path = best_paths(ravine, [BY_NAME["momentum"]])["momentum"]
    assert lowest > 0.9 and height(ravine, path)[-1] < 0.02  # as the page says
    above = follow(ravine, BY_NAME["gd"], 2.02 / 300)
    assert height(ravine, above)[-1] > height(ravine, above)[0]


def test_gradient_descent_leaves_rosenbrocks_floor_where_its_rate_has_passed_the_limit():
    rosenbrock = SURFACES[1]
    lr, path = best_paths(rosenbrock, [BY_NAME["gd"]])["gd"]
    hessians = [[[2 - 400 * y + 1200 * x**2, -400 * x], [-400 * x, 200]] for x, y in path]
    limits = 2 / np.linalg.eigvalsh(hessians)[:, -1]
    out = np.flatnonzero(height(rosenbrock, path) > 2)
    assert (lr, *out[out > 100]) == (0.0042, *range(310, 317))  # as the page says
    assert (limits[3:183] > lr).all() and (limits[183:301] < lr).all()
    assert limits[300] == pytest.approx(0.0033, abs=5e-5)
    assert 2 / np.linalg.eigvalsh([[802, -400], [-400, 200]])[-1] == pytest.approx(0.0020, abs=5e-5)


def test_adaptive_rules_notice_that_the_ravine_is_turned_and_the_others_do_not():
    ravine, c = SURFACES[0], 1 / np.sqrt(2)

    def gradient(x, y):
        a, b = ravine.grad(c * (x + y), c * (y - x))
        return c * (a - b), c * (a + b)

    a, b = ravine.start
    turned = replace(
        ravine,
        f=lambda x, y: ravine.f(c * (x + y), c * (y - x)),
        grad=gradient,
        start=(c * (a - b), c * (a + b)),
        view=(-3, 3, -3, 3),
    )

    def end(surface, name, steps=60):
        lr, _ = best_paths(surface, [BY_NAME[name]])[name]
        return height(surface, follow(replace(surface, steps=steps), BY_NAME[name], lr))[-1]

    for name in ("gd", "momentum", "nesterov"):
        assert end(turned, name) == pytest.approx(end(ravine, name), rel=1e-6)
    # As the page says:
    for name, along, across in (("rmsprop", 1e-30, 1.1), ("adam", 7e-4, 0.3), ("adamw", 2e-4, 0.1)):
        assert end(ravine, name) == pytest.approx(along, rel=0.5)
        assert round(end(turned, name), 1) == across
    assert end(turned, "adam", 300) < 1e-10 and end(turned, "adamw", 300) < 1e-10


def test_paths_stay_in_the_picture_and_stochastic_descent_is_not_drawn_twice():
    for surface in SURFACES:
        paths = best_paths(surface, BY_NAME.values())
        assert list(paths) == [name for name in BY_NAME if name != "sgd"]
        left, right, bottom, top = surface.view
        for _, path in paths.values():
            assert ((path > [left, bottom]) & (path < [right, top])).all()
            assert height(surface, path)[-1] < height(surface, path)[0]
    assert list(best_paths(SURFACES[0], [BY_NAME["sgd"]], [0.01])) == ["sgd"]
