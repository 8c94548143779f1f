"""The gradient checker: right on known derivatives, blind to nothing, and quiet on right code."""

import numpy as np
import pytest

from section2_optimization import gradient_checking
from section2_optimization.checks import TOLERANCE, check_gradients
from section2_optimization.derivatives import (
    complex_step_gradient,
    forward_gradient,
    numerical_gradient,
)
from section2_optimization.layer import Layer
from section2_optimization.layers import BatchNorm1d, Dropout, Linear, ReLU
from section2_optimization.losses import SoftmaxCrossEntropy
from section2_optimization.model import Sequential
from section2_optimization.planted_bugs import FAULTS
from section2_optimization.step_sizes import STEP_SIZES, step_size_errors
from section2_optimization.suite import check_everything, false_alarms
from shared_utils.errors import UserError


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
        (
            lambda: check_gradients(Linear(2, 2, rng=np.random.default_rng(0)), np.ones((3, 2))),
            "must be float64",
        ),
    ],
)
def test_bad_input_is_told_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_everything_here_passes_and_the_complex_step_is_exact():
    rows = check_everything(np.random.default_rng(3))
    assert {central.name for central, _ in rows} >= {"Linear", "MSE", "all together"}
    for central, exact in rows:
        assert central.passed and central.error < TOLERANCE, central
        if exact:
            assert exact.error < 1e-13, exact
    arrays = {(central.name, central.array) for central, _ in rows}
    assert {("Linear", "x"), ("Linear", "W"), ("Linear", "b")} <= arrays


def test_a_thousand_random_draws_raise_no_false_alarm():
    assert false_alarms(np.random.default_rng(0), 1000) == []


def test_a_kink_is_told_as_a_kink_and_not_as_a_failure():
    x = np.array([[1.0, 1e-7, -2.0], [0.0, -3e-6, 3.0]])
    (check,) = check_gradients(ReLU(), x)
    assert check.passed and check.kinks == 3
    assert check.verdict == "ok, 3 at a kink"
    (check,) = check_gradients(ReLU(), x + 0.5)
    assert check.kinks == 0 and check.verdict == "ok"


def test_a_kink_deep_inside_is_traced_to_the_parameters_that_reach_it():
    first = Linear(2, 2, rng=np.random.default_rng(0), dtype=np.float64)
    first.params["W"][:] = [[1.0, 1.0], [1.0, 2.0]]
    first.params["b"][:] = [0.0, 2.0]
    checks = check_gradients(Sequential(first, ReLU()), np.array([[1.0, -1.0]]))
    # The first unit is exactly 0: its weights, its bias and both inputs move it across.
    assert {check.array: check.kinks for check in checks} == {"x": 2, "0.W": 2, "0.b": 1}
    assert all(check.passed for check in checks)


class RowMax(Layer):
    """y = the maximum of each row: whoever wins gets the gradient."""

    def forward(self, x):
        self.winners = x.argmax(axis=1)
        self._saved = x
        return x.max(axis=1, keepdims=True)

    def backward(self, grad_out):
        grad = np.zeros_like(self._saved)
        np.put_along_axis(grad, self.winners[:, None], grad_out, axis=1)
        return grad


def test_a_maximum_that_changes_its_winner_is_a_kink():
    (check,) = check_gradients(RowMax(), np.array([[1.0, 1.0 + 1e-6, 0.0], [3.0, 2.0, 1.0]]))
    assert check.passed and check.kinks == 2


def test_a_wrong_gradient_beside_a_kink_is_still_wrong():
    cls = FAULTS["ReLU: mask of the gradient, not of the input"]
    (check,) = check_gradients(cls(), np.array([[1e-7, -1.0, -2.0, 1.0]]))
    assert not check.passed and check.kinks == 1
    assert check.verdict == "WRONG, 1 at a kink"


def test_a_fresh_layer_that_adds_to_its_gradients_is_wrong():
    cls = FAULTS["Linear: gradients added to the old ones"]
    layer = cls(3, 2, rng=np.random.default_rng(0), dtype=np.float64)
    checks = check_gradients(layer, np.random.default_rng(1).normal(size=(4, 3)))
    assert {check.array: check.passed for check in checks} == {"x": True, "W": False, "b": True}


class Nan(Layer):
    def forward(self, x):
        return 2 * x

    def backward(self, grad_out):
        return grad_out * np.nan


def test_a_gradient_of_nan_is_wrong():
    assert not check_gradients(Nan(), np.ones((2, 2)))[0].passed


def test_the_check_leaves_the_layer_as_it_was():
    rng = np.random.default_rng(0)
    layer = Sequential(
        Linear(3, 3, rng=rng, dtype=np.float64), BatchNorm1d(3, dtype=np.float64), Dropout(rng=rng)
    )
    before = {key: param.copy() for key, param in layer.params.items()}
    state = rng.bit_generator.state
    check_gradients(layer, np.random.default_rng(1).normal(size=(4, 3)), complex_step=True)
    check_gradients(layer, np.random.default_rng(1).normal(size=(4, 3)))
    for key, param in layer.params.items():
        np.testing.assert_array_equal(param, before[key])
        assert param.dtype == np.float64
    assert rng.bit_generator.state == state
    assert not layer.layers[1].running_mean.any()


def test_the_worst_element_is_named_with_its_two_values():
    class OneWrong(Linear):
        def backward(self, grad_out):
            grad_in = super().backward(grad_out)
            self.grads["W"][1, 2] += 10
            return grad_in

    layer = OneWrong(3, 4, rng=np.random.default_rng(0), dtype=np.float64)
    checks = check_gradients(layer, np.random.default_rng(1).normal(size=(5, 3)))
    (wrong,) = [check for check in checks if not check.passed]
    assert (wrong.array, wrong.shape, wrong.worst) == ("W", (3, 4), (1, 2))
    assert wrong.analytic - wrong.numeric == pytest.approx(10)


def test_a_loss_is_checked_through_an_empty_model():
    logits, labels = np.random.default_rng(0).normal(size=(5, 3)), np.array([0, 1, 2, 0, 1])
    checks = check_gradients(Sequential(), logits, loss=SoftmaxCrossEntropy(), target=labels)
    assert [check.array for check in checks] == ["x"] and checks[0].passed


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


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """One run of the script with planted bugs: its folder and its summary."""
    folder = tmp_path_factory.mktemp("runs")
    arguments = ["--no-show", "--runs-dir", str(folder), "--planted-bugs", "--draws", "5"]
    return folder / "gradient_checking", gradient_checking.main(arguments)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_planted_bug_is_caught_in_the_part_where_it_is(fault, script):
    caught_by, part = script[1]["planted_bugs"][fault], fault.split(":")[0]
    assert caught_by
    assert part == "Sequential" or any(check.startswith(part) for check in caught_by)


def test_the_script_writes_everything(script):
    folder, summary = script
    assert summary["wrong"] == 0 and summary["worst_error_smooth"] < TOLERANCE
    assert summary["worst_error_complex_step"] < 1e-13
    assert summary["false_alarms"] == {"draws": 5, "alarms": 0}
    assert len(summary["planted_bugs"]) >= 12
    written = {path.name for path in folder.iterdir()}
    assert written == {"config.json", "metrics.csv", "step_sizes.png", "summary.json"}


def test_the_script_fails_when_a_bug_is_missed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gradient_checking, "FAULTS", {"Linear: nothing wrong": Linear})
    monkeypatch.setattr(gradient_checking, "planted", lambda fault, parts: parts)
    arguments = ["--no-show", "--runs-dir", str(tmp_path), "--planted-bugs", "--draws", "1"]
    with pytest.raises(UserError, match="not caught: Linear: nothing wrong"):
        gradient_checking.main(arguments)
    assert "NOBODY" in capsys.readouterr().out
