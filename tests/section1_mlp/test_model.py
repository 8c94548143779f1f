"""The MLP against PyTorch's autograd, central differences and closed forms."""

import numpy as np
import pytest
import torch

from section1_mlp.functions import ACTIVATIONS, cross_entropy, sigmoid, softmax
from section1_mlp.model import MLP
from section1_mlp.training import evaluate, steps_per_epoch, train_steps

TORCH = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


def problem(activation, depth, output, seed=0, n=7):
    """Return a float64 MLP of `depth` layers with random biases, inputs and targets."""
    rng = np.random.default_rng([seed, depth])
    sizes = [*[5, 6, 4, 8][:depth], 3]
    model = MLP(sizes, activation, output, rng=rng, dtype=np.float64)
    for key, param in model.params.items():
        if key.startswith("b"):
            param[:] = rng.normal(size=param.shape)
    x = rng.normal(size=(n, 5))
    y = rng.integers(0, 3, n) if output == "softmax" else rng.normal(size=(n, 3))
    return model, x, y


def torch_loss(params, x, y, activation, output):
    """Compute the same loss with PyTorch from tensors of the same names."""
    depth = len(params) // 2
    a = torch.tensor(x)
    for layer in range(1, depth + 1):
        z = a @ params[f"W{layer}"] + params[f"b{layer}"]
        a = TORCH[activation](z)
    loss = (
        torch.nn.functional.cross_entropy if output == "softmax" else torch.nn.functional.mse_loss
    )
    return loss(z, torch.tensor(y))


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


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0, 0), (0.9, 0), (0.9, 1e-2), (0, 0.1)])
def test_steps_are_those_of_torch_sgd(momentum, weight_decay):
    model, x, y = problem("tanh", 3, "softmax")
    params = {key: torch.tensor(p, requires_grad=True) for key, p in model.params.items()}
    optimizer = torch.optim.SGD(
        params.values(), lr=0.1, momentum=momentum, weight_decay=weight_decay
    )
    for step in range(50):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (1 + step)
        optimizer.zero_grad()
        torch_loss(params, x, y, "tanh", "softmax").backward()
        optimizer.step()
        model.loss(x, y)
        model.backward()
        model.step(0.1 / (1 + step), momentum, weight_decay)
    for key, tensor in params.items():
        np.testing.assert_allclose(model.params[key], tensor.detach(), rtol=1e-10, atol=1e-13)


def test_training_follows_the_cosine_schedule_step_by_step():
    # The same batches, taken by PyTorch with its own cosine schedule.
    model, x, y = problem("relu", 3, "softmax", n=25)
    params = {key: torch.tensor(p, requires_grad=True) for key, p in model.params.items()}
    optimizer = torch.optim.SGD(params.values(), lr=0.2, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=3 * 4)
    rng = np.random.default_rng(5)
    steps = train_steps(
        model, x, y, epochs=3, batch_size=8, lr=0.2, momentum=0.9, rng=np.random.default_rng(5)
    )
    for _ in range(3):
        order = rng.permutation(25)
        for start in range(0, 25, 8):
            batch = order[start : start + 8]
            expected = torch_loss(params, x[batch], y[batch], "relu", "softmax")
            assert next(steps) == pytest.approx(expected.item(), rel=1e-10)
            optimizer.zero_grad()
            expected.backward()
            optimizer.step()
            schedule.step()
    assert next(steps, None) is None


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
    model.step(0.1, 0.9, 1e-4)
    arrays = [*model.params.values(), *model.grads.values(), *model.hidden(x), model.forward(x)]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


def test_initial_weights_have_the_published_spread():
    he = MLP([400, 300, 10], "relu", rng=np.random.default_rng(0)).params["W1"]
    assert he.std() == pytest.approx(np.sqrt(2 / 400), rel=0.01)
    glorot = MLP([400, 300, 10], "tanh", rng=np.random.default_rng(0)).params["W1"]
    assert glorot.std() == pytest.approx(np.sqrt(2 / 700), rel=0.01)
    assert np.abs(glorot).max() <= np.sqrt(6 / 700)


def test_evaluate_counts_over_all_samples_whatever_the_batches():
    model, x, y = problem("relu", 2, "softmax", n=11003)
    loss, accuracy = evaluate(model, x, y)
    probs = model.forward(x)
    assert loss == pytest.approx(-np.log(probs[np.arange(len(y)), y]).mean(), rel=1e-10)
    assert accuracy == np.mean(probs.argmax(axis=1) == y)


def test_steps_per_epoch_counts_the_short_batch():
    assert [steps_per_epoch(n, 4) for n in (1, 4, 5, 8)] == [1, 1, 2, 2]


def test_wrong_use_is_told():
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


def test_a_loss_that_overflows_stops_training():
    model, x, y = problem("relu", 2, "linear", n=8)
    steps = train_steps(model, x, y, epochs=50, batch_size=4, lr=1e6, rng=np.random.default_rng(0))
    with pytest.raises(FloatingPointError, match="in epoch"):
        list(steps)
