"""The training loop against one written out by hand, and how it ends when a loss is not finite."""

import numpy as np
import pytest

from section2_optimization.layers import Linear
from section2_optimization.losses import SoftmaxCrossEntropy
from section2_optimization.model import MLP, Sequential
from section2_optimization.optimizers import SGD
from section2_optimization.training import evaluate, gradient_norm, norm, train_epochs

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(10, 2)), RNG.integers(0, 2, 10)


def network():
    return MLP((2, 3, 2), "tanh", rng=np.random.default_rng(1), dtype=np.float64)


def train(model, lr_at, epochs=3):
    optimizer, rng = SGD(1.0), np.random.default_rng(2)
    return train_epochs(model, optimizer, X, Y, epochs=epochs, batch_size=4, lr_at=lr_at, rng=rng)


def test_every_step_goes_against_the_gradient_of_its_batch_at_its_rate():
    model, ours = network(), network()
    assert list(train(ours, lambda t: 0.1 / (t + 1))) == [1, 2, 3]
    rng, loss, t = np.random.default_rng(2), SoftmaxCrossEntropy(), 0
    for _ in range(3):
        order = rng.permutation(10)
        for batch in (order[:4], order[4:8], order[8:]):
            loss.forward(model.forward(X[batch]), Y[batch])
            model.backward(loss.backward())
            for key, param in model.params.items():
                param -= 0.1 / (t + 1) * model.grads[key]
            t += 1
    for key, param in model.params.items():
        np.testing.assert_allclose(ours.params[key], param, rtol=1e-13)


class NewArrays(Linear):
    """A linear layer whose backward pass puts new arrays in the place of its gradients."""

    def backward(self, grad_out):
        grad_in = super().backward(grad_out)
        self.grads = {key: grad.copy() for key, grad in self.grads.items()}
        return grad_in


def test_gradients_may_be_new_arrays_in_every_step():
    x, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    trained = []
    for kind in (Linear, NewArrays):
        model = Sequential(kind(3, 2, rng=np.random.default_rng(1)))
        options = {"epochs": 2, "batch_size": 7, "lr_at": lambda t: 0.5}
        list(train_epochs(model, SGD(0.5), x, y, rng=np.random.default_rng(2), **options))
        trained.append(model.params)
    for key, param in trained[0].items():
        np.testing.assert_array_equal(trained[1][key], param)


def test_a_loss_that_is_not_finite_ends_the_training():
    model = network()
    epochs = train(model, lambda t: 0.1)
    assert next(epochs) == 1
    model.params["2.b"][:] = [np.nan, 0]
    with pytest.raises(FloatingPointError, match="the loss became nan in epoch 2"):
        next(epochs)


def test_a_gradient_that_is_not_finite_ends_the_training(monkeypatch):
    model = network()
    epochs = train(model, lambda t: 0.1)
    next(epochs)
    monkeypatch.setattr(model, "backward", lambda grad: model.grads["0.b"].fill(np.inf))
    with pytest.raises(FloatingPointError, match=r"gradient of 0\.b is not finite"):
        next(epochs)


def test_evaluation_counts_over_all_samples():
    model = network()
    logits = model.forward(X)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    loss, acc = evaluate(model, X, Y)
    assert loss == pytest.approx(-np.log(probs[np.arange(10), Y]).mean())
    assert acc == np.mean(probs.argmax(axis=1) == Y)


def test_the_norm_of_the_gradient_is_that_of_all_samples_together():
    model = network()
    found = gradient_norm(model, X, Y)
    squares = 0.0
    for param in model.params.values():
        for at in np.ndindex(param.shape):
            losses, start = [], param[at]
            for shift in (1e-5, -1e-5):
                param[at] = start + shift
                losses.append(evaluate(model, X, Y)[0])
            param[at] = start
            squares += ((losses[0] - losses[1]) / 2e-5) ** 2
    assert found == pytest.approx(squares**0.5, rel=1e-6)
    assert norm({"a": np.array([[3.0]]), "b": np.array([4.0])}) == 5


def test_evaluation_predicts_and_leaves_the_model_in_training():
    model = MLP((2, 50, 2), dropout=0.9, rng=np.random.default_rng(0), dtype=np.float64)
    first, again = evaluate(model, X, Y), evaluate(model, X, Y)
    assert first == again
    assert all(layer.training for layer in model.layers)
