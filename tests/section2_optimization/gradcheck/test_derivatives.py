"""Measured derivatives against closed forms, and how their error depends on the step size."""

import numpy as np
import pytest

from section2_optimization.gradcheck import complex_step_gradient, numerical_gradient
from section2_optimization.gradcheck.derivatives import forward_gradient
from section2_optimization.gradcheck.step_sizes import STEP_SIZES, step_size_errors


def f(x):
    return np.sum(np.sin(x) * np.exp(x)).item()


def f_grad(x):
    return (np.sin(x) + np.cos(x)) * np.exp(x)


@pytest.mark.parametrize(
    ("method", "tolerance"),
    [(numerical_gradient, 1e-9), (forward_gradient, 1e-6), (complex_step_gradient, 1e-15)],
)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 2)])
def test_measured_derivatives_match_closed_forms(method, tolerance, shape):
    x = np.random.default_rng(0).normal(size=shape)
    before = x.copy()
    found = method(f, x)
    assert found.shape == shape
    np.testing.assert_allclose(found, f_grad(x), rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(x, before)


def test_derivatives_of_non_contiguous_arrays():
    x = np.random.default_rng(0).normal(size=(4, 6)).T[::2]
    np.testing.assert_allclose(numerical_gradient(f, x), f_grad(x), rtol=1e-8)


def test_central_differences_are_exact_for_parabolas_and_of_second_order_else():
    x = np.array([0.3, -2.0])
    found = numerical_gradient(lambda x: np.sum(x**2).item(), x, eps=0.5)
    np.testing.assert_allclose(found, 2 * x, rtol=1e-14)
    error = [abs(numerical_gradient(f, x, eps) - f_grad(x)).max() for eps in (1e-2, 1e-3)]
    assert error[0] / error[1] == pytest.approx(100, rel=0.01)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: numerical_gradient(f, np.ones(2), eps=0.0), "eps must be above 0"),
        (lambda: numerical_gradient(f, np.ones(2, np.float32)), "must be float64"),
        (lambda: numerical_gradient(f, np.ones(2, int)), "must be float64"),
        (lambda: complex_step_gradient(lambda x: float(abs(x).sum()), np.ones(2)), "stays complex"),
    ],
)
def test_bad_input_is_refused_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_the_step_size_curve_shows_truncation_and_cancellation():
    errors = step_size_errors(np.random.default_rng(0))
    best = {name: STEP_SIZES[error.argmin()] for name, error in errors.items()}
    assert 1e-10 < best["forward"] < 1e-6 < best["central"] < 1e-3
    assert errors["complex step"][-1] < 1e-14
    for name, order in (("forward", 1), ("central", 2)):
        at = [np.abs(STEP_SIZES - eps).argmin() for eps in (1e-2, 1e-3)]
        drop = errors[name][at[0]] / errors[name][at[1]]
        assert drop == pytest.approx(10**order, rel=0.2)  # truncation
        assert errors[name][-1] > 100 * errors[name].min()  # cancellation
