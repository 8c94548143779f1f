"""The gradient check: blind to nothing, quiet on correct code, and plain about what it needs."""

import numpy as np
import pytest

from section2_optimization.gradcheck import check_gradients
from section2_optimization.gradcheck.cases import check_everything, false_alarms
from section2_optimization.gradcheck.checks import TOLERANCE
from section2_optimization.gradcheck.planted_bugs import FAULTS
from section2_optimization.layers import BatchNorm1d, Dropout, Layer, Linear, ReLU
from section2_optimization.losses import SoftmaxCrossEntropy
from section2_optimization.model import MLP, Sequential
from section3_cnn import layers as cnn


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


def test_a_kink_is_reported_as_a_kink_and_not_as_a_failure():
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
    """y = the maximum of each row: the largest entry alone gets the gradient."""

    def forward(self, x):
        self.active_branch = x.argmax(axis=1)
        self._cache = x
        return x.max(axis=1, keepdims=True)

    def backward(self, grad_out):
        grad = np.zeros_like(self._cache)
        np.put_along_axis(grad, self.active_branch[:, None], grad_out, axis=1)
        return grad


def test_a_maximum_that_moves_to_another_entry_is_a_kink():
    (check,) = check_gradients(RowMax(), np.array([[1.0, 1.0 + 1e-6, 0.0], [3.0, 2.0, 1.0]]))
    assert check.passed and check.kinks == 2


def test_a_wrong_gradient_beside_a_kink_is_still_wrong():
    cls = FAULTS["ReLU: mask of the gradient, not of the input"]
    (check,) = check_gradients(cls(), np.array([[1e-7, -1.0, -2.0, 1.0]]))
    assert not check.passed and check.kinks == 1
    assert check.verdict == "WRONG, 1 at a kink"


def test_a_kink_between_one_and_two_steps_does_not_excuse_a_wrong_gradient():
    cls = FAULTS["ReLU: mask of the gradient, not of the input"]
    (check,) = check_gradients(cls(), np.array([[1.5e-5, -1.0, -2.0, 1.0]]))
    assert not check.passed and check.kinks == 1


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


class Own:
    """A scale for each feature, not derived from `Layer`; `fault` says what its backward does."""

    def __init__(self, fault: str = ""):
        self.params, self.grads, self.fault = {"s": np.arange(1.0, 4.0)}, {}, fault

    def forward(self, x):
        self.x = x
        return x * self.params["s"]

    def backward(self, grad_out):
        if self.fault != "no gradient of s":
            product = grad_out * self.x
            self.grads["s"] = product.sum(axis=0, keepdims=self.fault == "keepdims")
        if self.fault == "sum over the batch":
            return (grad_out * self.params["s"]).sum(axis=0)
        return None if self.fault == "no return" else grad_out * self.params["s"]


def test_any_object_with_the_four_names_can_be_checked():
    assert all(check.passed for check in check_gradients(Own(), np.ones((5, 3))))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("keepdims", r"shape \(1, 3\) for the gradient of s, whose shape is \(3,\)"),
        ("no gradient of s", "nothing for the gradient of s"),
        ("sum over the batch", r"shape \(3,\) for the gradient of x, whose shape is \(5, 3\)"),
        ("no return", "nothing for the gradient of x"),
    ],
)
def test_a_gradient_of_another_shape_is_named(fault, words):
    with pytest.raises(ValueError, match=words):
        check_gradients(Own(fault), np.ones((5, 3)))


def test_layers_of_section_3_can_be_checked():
    # Their forward pass remembers no branch, so the inputs keep away from every kink.
    x = np.random.default_rng(0).permutation(np.arange(72.0)).reshape(2, 1, 6, 6) - 35.5
    rng = np.random.default_rng(1)
    for layer in (cnn.Conv2D(1, 2, 3, rng=rng, dtype=np.float64), cnn.ReLU(), cnn.MaxPool2D(2)):
        assert all(check.passed for check in check_gradients(layer, x)), layer


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


RNG = np.random.default_rng(0)


class ThroughFloat32(Layer):
    """y = 2 x, computed in float32 whatever x is."""

    def forward(self, x):
        return 2 * x.astype(np.float32)

    def backward(self, grad_out):
        return 2 * grad_out


def half_converted():
    layer = Linear(2, 2, rng=RNG)
    layer.params = {key: param.astype(float) for key, param in layer.params.items()}
    return layer


@pytest.mark.parametrize(
    ("layer", "x", "words"),
    [
        (Linear(2, 2, rng=RNG), np.ones((3, 2)), "the layer's parameter W must be float64, not fl"),
        (MLP((2, 3, 2), rng=RNG), np.ones((3, 2)), "the layer's parameter 0.W must be float64"),
        (half_converted(), np.ones((3, 2)), "the layer's gradient of W must be float64, not float"),
        (ThroughFloat32(), np.ones((3, 2)), "the layer's output must be float64, not float32"),
        (Linear(2, 2, rng=RNG), np.ones((3, 2), np.float32), "the input x must be float64, not f"),
        (Linear(2, 2, rng=RNG, dtype=float), np.ones((3, 2), int), "the input x must be float64"),
    ],
)
def test_what_is_not_float64_is_named(layer, x, words):
    with pytest.raises(ValueError, match=words):
        check_gradients(layer, x)
