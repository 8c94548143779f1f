"""The MLP against PyTorch's autograd, central differences and closed forms."""

import numpy as np
import pytest
import torch

from section1_mlp.functions import ACTIVATIONS, cross_entropy, sigmoid, softmax
from section1_mlp.model import MLP
from tests.section1_mlp.helpers import problem, torch_loss


@pytest.mark.parametrize("output", ["softmax", "linear"])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_loss_and_gradients_are_those_of_autograd(activation, depth, output):
    for seed, n in [(0, 7), (1, 1), (2, 32)]:
        model, x, y = problem(activation, depth, output, seed, n)
        params = {key: torch.tensor(p, requires_grad=True) for key, p in model.params.items()}
        expected = torch_loss(params, x, y, activation, output)
        expected.backward()
        assert model.loss(x, y) == pytest.approx(expected.item(), rel=1e-12)
        model.backward()
        for key, tensor in params.items():
            np.testing.assert_allclose(model.grads[key], tensor.grad, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("output", ["softmax", "linear"])
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_gradients_are_those_of_central_differences(activation, output):
    model, x, y = problem(activation, 3, output)
    model.loss(x, y)
    model.backward()
    grads = {key: grad.copy() for key, grad in model.grads.items()}
    for key, param in model.params.items():
        for index in np.ndindex(param.shape):
            value, losses = param[index], []
            for eps in (1e-6, -1e-6):
                param[index] = value + eps
                losses.append(model.loss(x, y))
            param[index] = value
            assert grads[key][index] == pytest.approx((losses[0] - losses[1]) / 2e-6, abs=1e-8)


def test_a_prediction_between_loss_and_backward_changes_no_gradient():
    model, x, y = problem("relu", 3, "softmax")
    model.loss(x, y)
    model.backward()
    expected = {key: grad.copy() for key, grad in model.grads.items()}
    model.loss(x, y)
    model.forward(x[::-1] + 1)
    model.backward()
    for key, grad in expected.items():
        np.testing.assert_array_equal(model.grads[key], grad)


def test_duplicating_the_batch_leaves_the_gradient_alone():
    # The loss is a mean: a gradient divided once more by the batch size would halve here.
    model, x, y = problem("tanh", 3, "softmax")
    model.loss(x, y)
    model.backward()
    once = {key: grad.copy() for key, grad in model.grads.items()}
    model.loss(np.tile(x, (2, 1)), np.tile(y, 2))
    model.backward()
    for key, grad in once.items():
        np.testing.assert_allclose(model.grads[key], grad, rtol=1e-12)


def test_forward_gives_probabilities_and_predictions():
    model, x, _ = problem("relu", 2, "softmax")
    expected = torch.softmax(torch.tensor(model.logits(x)), dim=1)
    np.testing.assert_allclose(model.forward(x), expected, rtol=1e-12)
    model, x, _ = problem("relu", 1, "linear")
    np.testing.assert_allclose(model.forward(x), x @ model.params["W1"] + model.params["b1"])


def test_extreme_values_neither_overflow_nor_warn():
    logits = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]])
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_allclose(softmax(logits), [[1, 0, 0], [1 / 3] * 3], atol=1e-15)
        # -log p of the true class: 2e4 for a confident error, log 3 for a guess among three
        assert cross_entropy(logits, np.array([1, 2])) == pytest.approx((2e4 + np.log(3)) / 2)
        np.testing.assert_allclose(sigmoid(np.array([-1e4, 0, 1e4])), [0, 0.5, 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_stays_in_the_dtype(dtype):
    model = MLP([4, 5, 3], "sigmoid", rng=np.random.default_rng(0), dtype=dtype)
    x, y = np.random.default_rng(1).normal(size=(9, 4)), np.zeros(9, int)
    model.loss(x, y)
    model.backward()
    arrays = [*model.params.values(), *model.grads.values(), *model.hidden(x), model.forward(x)]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


def test_initial_weights_have_the_published_spread():
    he = MLP([400, 300, 10], "relu", rng=np.random.default_rng(0)).params["W1"]
    assert he.std() == pytest.approx(np.sqrt(2 / 400), rel=0.01)
    glorot = MLP([400, 300, 10], "tanh", rng=np.random.default_rng(0)).params["W1"]
    assert glorot.std() == pytest.approx(np.sqrt(2 / 700), rel=0.01)
    assert np.abs(glorot).max() <= np.sqrt(6 / 700)


def test_wrong_use_raises_an_error_that_names_it():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="relu"):
        MLP([4, 2], "swish", rng=rng)
    with pytest.raises(ValueError, match="output"):
        MLP([4, 2], output="hinge", rng=rng)
    for sizes in ([4], [4, 0]):
        with pytest.raises(ValueError, match="layer_sizes"):
            MLP(sizes, rng=rng)
    model = MLP([4, 2], rng=rng)
    with pytest.raises(RuntimeError, match="loss"):
        model.backward()
    with pytest.raises(ValueError, match="x must be"):
        model.forward(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="y must have shape"):
        model.loss(np.zeros((3, 4)), np.zeros(2, int))
