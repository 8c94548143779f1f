"""A network with normalisation and dropout: the layers in their order, against PyTorch."""

import numpy as np
import pytest
import torch

from section2_optimization.layers import BatchNorm1d, Dropout, LayerNorm, Linear, ReLU
from section2_optimization.losses import SoftmaxCrossEntropy
from section2_optimization.model import MLP

SIZES = (5, 4, 3, 2)


def network(**options):
    return MLP(SIZES, rng=np.random.default_rng(0), dtype=np.float64, **options)


def test_norm_activation_and_dropout_stand_between_linear_layers_and_nothing_behind_the_last():
    between = [BatchNorm1d, ReLU, Dropout]
    kinds = [type(layer) for layer in network(norm="batch", dropout=0.5).layers]
    assert kinds == [Linear, *between, Linear, *between, Linear]
    kinds = [type(layer) for layer in network(norm="layer").layers]
    assert kinds == [Linear, LayerNorm, ReLU, Linear, LayerNorm, ReLU, Linear]


def test_initial_weights_do_not_depend_on_norm_or_dropout_and_scale_as_asked():
    plain = [layer.params["W"] for layer in network().layers if isinstance(layer, Linear)]
    model = network(norm="layer", dropout=0.5, weight_scale=3.0)
    weights = [layer.params["W"] for layer in model.layers if isinstance(layer, Linear)]
    for W, small in zip(weights, plain, strict=True):
        np.testing.assert_allclose(W, 3 * small)


@pytest.mark.parametrize(
    ("norm", "theirs"), [("batch", torch.nn.BatchNorm1d), ("layer", torch.nn.LayerNorm)]
)
def test_a_normalised_network_matches_autograd(norm, theirs):
    ours, rng = network(norm=norm), np.random.default_rng(1)
    x, y = rng.normal(size=(6, SIZES[0])), rng.integers(0, SIZES[-1], 6)
    layers, width = [], 0
    for layer in ours.layers:
        if isinstance(layer, Linear):
            layers.append(torch.nn.Linear(*layer.params["W"].shape))
            layers[-1].weight.data = torch.tensor(layer.params["W"].T.copy())
            layers[-1].bias.data = torch.tensor(layer.params["b"])
            width = layers[-1].out_features
        else:
            layers.append(torch.nn.ReLU() if isinstance(layer, ReLU) else theirs(width).double())
    model, loss = torch.nn.Sequential(*layers), SoftmaxCrossEntropy()
    value = loss.forward(ours.forward(x), y)
    ours.backward(loss.backward())
    expected = torch.nn.functional.cross_entropy(model(torch.tensor(x)), torch.tensor(y))
    expected.backward()
    assert value == pytest.approx(expected.item())
    np.testing.assert_allclose(
        ours.grads["0.W"], model[0].weight.grad.numpy().T, rtol=1e-9, atol=1e-12
    )


def test_an_unknown_norm_is_refused_in_words():
    with pytest.raises(ValueError, match=r"batch.*layer"):
        network(norm="group")


def test_masks_come_from_a_stream_of_their_own_so_batches_stay_what_they_were():
    draws = []
    for dropout in (0.0, 0.5):
        rng = np.random.default_rng(0)
        MLP(SIZES, dropout=dropout, rng=rng).forward(np.ones((6, SIZES[0])))
        draws.append(rng.random())
    assert draws[0] == draws[1]


def test_batch_norm_hides_the_scale_of_the_weights_before_it_from_all_layers_above():
    x, grad = np.random.default_rng(1).normal(size=(6, 5)), np.ones((6, 3))
    W = np.random.default_rng(2).normal(size=(5, 3))
    outputs, gradients = [], []
    for scale in (1, 10):
        norm = BatchNorm1d(3, eps=1e-12, dtype=np.float64)
        outputs.append(norm.forward(x @ (scale * W)))
        gradients.append(x.T @ norm.backward(grad * x[:, :3]))
    np.testing.assert_allclose(outputs[0], outputs[1])
    np.testing.assert_allclose(gradients[0], 10 * gradients[1], rtol=1e-6)


def test_of_two_samples_batch_norm_leaves_only_which_one_is_larger():
    y = BatchNorm1d(2, dtype=np.float64).forward(np.array([[3.0, -1], [1, 40]]))
    np.testing.assert_allclose(y, [[1, -1], [-1, 1]], rtol=1e-4)
