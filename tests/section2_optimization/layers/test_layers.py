"""Every layer and model of Section 2 against PyTorch's autograd in float64."""

import numpy as np
import pytest
import torch

from section2_optimization.layers import (
    BatchNorm1d,
    Dropout,
    LayerNorm,
    Linear,
    ReLU,
    Sigmoid,
    Tanh,
)
from section2_optimization.losses import MSE, SoftmaxCrossEntropy
from section2_optimization.model import MLP, Sequential
from tests.section2_optimization.helpers import LAYOUTS, close, shapes, tensor

SEEDS = range(12)


def build(name, width_in, width_out, rng):
    """Return our layer and PyTorch's, with the same, random parameters."""
    if name == "linear":
        ours = Linear(width_in, width_out, rng=rng, dtype=np.float64)
        theirs = torch.nn.Linear(width_in, width_out, dtype=torch.float64)
    elif name in ("batchnorm", "layernorm"):
        classes = {
            "batchnorm": (BatchNorm1d, torch.nn.BatchNorm1d),
            "layernorm": (LayerNorm, torch.nn.LayerNorm),
        }
        eps = float(rng.choice([1e-5, 1e-2]))
        ours = classes[name][0](width_in, eps=eps, dtype=np.float64)
        theirs = classes[name][1](width_in, eps=eps, dtype=torch.float64)
    else:
        ours = {"relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh}[name]()
        theirs = {"relu": torch.nn.ReLU, "sigmoid": torch.nn.Sigmoid, "tanh": torch.nn.Tanh}[name]()
    pairs = {"W": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}
    for key, param in ours.params.items():
        param[...] = rng.normal(size=param.shape)
        with torch.no_grad():
            getattr(theirs, pairs[key]).copy_(torch.tensor(param.T if key == "W" else param))
    return ours, theirs, {key: getattr(theirs, pairs[key]) for key in ours.params}


def agree(ours, theirs, their_params, x, rng):
    """Hold forward, backward and parameter gradients of one layer against PyTorch."""
    x_torch = tensor(x, requires_grad=True)
    y, y_torch = ours.forward(x), theirs(x_torch)
    close(y, y_torch)
    grad_out = LAYOUTS[int(rng.integers(3))](rng, *y.shape)
    before_x, before_grad = x.copy(), grad_out.copy()
    theirs.zero_grad()
    y_torch.backward(tensor(grad_out))
    for _ in range(2):  # twice: backward overwrites, it does not add up
        close(ours.backward(grad_out), x_torch.grad)
        for key, param in their_params.items():
            close(ours.grads[key], param.grad.T if key == "W" else param.grad)
    np.testing.assert_array_equal(x, before_x)
    np.testing.assert_array_equal(grad_out, before_grad)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["linear", "relu", "sigmoid", "tanh", "layernorm"])
def test_layers_match_autograd(name, layout):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        n, width_in, width_out = shapes(rng)
        agree(*build(name, width_in, width_out, rng), layout(rng, n, width_in), rng)


@pytest.mark.parametrize("name", ["linear", "relu", "sigmoid", "tanh", "layernorm"])
def test_layers_match_autograd_for_a_batch_of_one(name):
    rng = np.random.default_rng(1)
    agree(*build(name, 5, 3, rng), rng.normal(size=(1, 5)), rng)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("momentum", [0.1, 0.5, 1.0])
def test_batchnorm_in_both_modes_and_its_running_statistics(layout, momentum):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        n, width, _ = shapes(rng, at_least=2)
        ours, theirs, params = build("batchnorm", width, width, rng)
        ours.momentum = theirs.momentum = momentum
        for _ in range(3):
            agree(ours, theirs, params, 3 * layout(rng, n, width) + 5, rng)
        close(ours.running_mean, theirs.running_mean)
        close(ours.running_var, theirs.running_var)
        ours.eval(), theirs.eval()
        for batch in (1, n):
            agree(ours, theirs, params, layout(rng, batch, width), rng)
        close(ours.running_mean, theirs.running_mean)  # prediction leaves them alone
        close(ours.running_var, theirs.running_var)
        ours.train(), theirs.train()
        agree(ours, theirs, params, layout(rng, n, width), rng)


def test_batchnorm_remembers_in_backward_which_mode_its_forward_had():
    rng = np.random.default_rng(0)
    ours, theirs, _ = build("batchnorm", 3, 3, rng)
    x = rng.normal(size=(4, 3))
    x_torch = torch.tensor(x, requires_grad=True)
    ours.forward(x)
    ours.eval()
    theirs(x_torch).sum().backward()
    close(ours.backward(np.ones((4, 3))), x_torch.grad)


def test_batchnorm_refuses_to_train_on_one_sample_as_pytorch_does():
    with pytest.raises(ValueError, match="at least 2 samples"):
        BatchNorm1d(3).forward(np.ones((1, 3)))
    with pytest.raises(ValueError):
        torch.nn.BatchNorm1d(3)(torch.ones(1, 3))


@pytest.mark.parametrize("p", [0.0, 0.2, 0.7])
def test_dropout_scales_what_it_keeps_and_backward_uses_the_same_mask(p):
    x, grad_out = np.full((400, 50), 2.0), np.full((400, 50), 3.0)
    layer = Dropout(p, rng=np.random.default_rng(0))
    y = layer.forward(x)
    kept = y != 0
    np.testing.assert_allclose(y[kept], 2 / (1 - p))
    # 20,000 draws: five standard deviations of the fraction that is kept.
    assert abs(kept.mean() - (1 - p)) <= 5 * np.sqrt(p * (1 - p) / x.size)
    np.testing.assert_allclose(layer.backward(grad_out), y / 2 * 3)
    if p:
        assert not np.array_equal(layer.forward(x), y)  # a new mask every time
    layer.eval()
    np.testing.assert_array_equal(layer.forward(x), x)
    np.testing.assert_array_equal(layer.backward(grad_out), grad_out)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_mlp_with_loss_matches_autograd(activation):
    for depth in (1, 2, 3, 4):
        rng = np.random.default_rng(depth)
        sizes = rng.integers(1, 7, depth + 1)
        ours = MLP(sizes, activation, rng=rng, dtype=np.float64)
        x, labels = rng.normal(size=(5, sizes[0])), rng.integers(0, sizes[-1], 5)
        params = {k: torch.tensor(v, requires_grad=True) for k, v in ours.params.items()}
        h = x_torch = torch.tensor(x, requires_grad=True)
        for i in range(depth):
            h = h @ params[f"{2 * i}.W"] + params[f"{2 * i}.b"]
            if i < depth - 1:
                h = getattr(torch, activation)(h)
        torch.nn.functional.cross_entropy(h, torch.tensor(labels)).backward()
        loss = SoftmaxCrossEntropy()
        loss.forward(ours.forward(x), labels)
        close(ours.backward(loss.backward()), x_torch.grad)
        assert ours.grads.keys() == params.keys()
        for key, param in params.items():
            close(ours.grads[key], param.grad)


def test_initial_weights_have_the_variance_of_their_formula():
    layer = Linear(400, 300, rng=np.random.default_rng(0))
    assert layer.params["W"].std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)
    tanh = MLP([400, 300, 2], "tanh", rng=np.random.default_rng(0))
    assert tanh.params["0.W"].std() == pytest.approx(np.sqrt(1 / 400), rel=0.02)
    assert not layer.params["b"].any()


def test_everything_stays_in_the_dtype_of_the_parameters():
    rng = np.random.default_rng(0)
    model = Sequential(
        Linear(4, 3, rng=rng), BatchNorm1d(3), ReLU(), Dropout(0.5, rng=rng), LayerNorm(3)
    )
    model.layers += [Tanh(), Sigmoid(), Linear(3, 2, rng=rng)]
    y = model.forward(rng.normal(size=(5, 4)))
    loss = SoftmaxCrossEntropy()
    loss.forward(y, np.zeros(5, int))
    arrays = [y, loss.backward(), model.backward(loss.backward()), *model.grads.values()]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    assert {array.dtype for array in model.params.values()} == {np.dtype(np.float32)}


def test_sequential_switches_all_layers_and_shares_their_arrays():
    model = Sequential(BatchNorm1d(2), Dropout(0.5, rng=np.random.default_rng(0)))
    model.eval()
    assert not any(layer.training for layer in model.layers)
    model.train()
    assert all(layer.training for layer in model.layers)
    model.params["0.gamma"][:] = 7
    assert (model.layers[0].params["gamma"] == 7).all()


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Linear(0, 3, rng=RNG), "positive sizes"),
        (lambda: Linear(2, 3, rng=RNG).forward(np.ones((4, 3))), r"\(N, 2\)"),
        (lambda: Linear(2, 3, rng=RNG).forward(np.ones(2)), r"\(N, 2\)"),
        (lambda: LayerNorm(2).forward(np.ones((4, 3))), r"\(N, 2\)"),
        (lambda: LayerNorm(0), "positive"),
        (lambda: BatchNorm1d(2, eps=0), "positive"),
        (lambda: BatchNorm1d(2, momentum=1.5), r"\[0, 1\]"),
        (lambda: Dropout(1.0, rng=RNG), r"\[0, 1\)"),
        (lambda: Dropout(-0.1, rng=RNG), r"\[0, 1\)"),
        (lambda: MLP([3], rng=RNG), "two or more"),
        (lambda: MLP([3, 2], "gelu", rng=RNG), "relu.*sigmoid.*tanh"),
        (lambda: SoftmaxCrossEntropy().forward(np.ones((2, 3)), np.array([0, 3])), r"0\.\.2"),
        (lambda: SoftmaxCrossEntropy().forward(np.ones((2, 3)), np.array([-1, 0])), r"0\.\.2"),
        (lambda: SoftmaxCrossEntropy().forward(np.ones((2, 3)), np.ones(2)), "whole numbers"),
        (lambda: SoftmaxCrossEntropy().forward(np.ones((2, 3)), np.zeros(3, int)), r"\(N, K\)"),
        (lambda: MSE().forward(np.ones((4, 1)), np.ones(4)), "must be equal"),
    ],
)
def test_bad_input_is_refused_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("component", [Tanh(), ReLU(), LayerNorm(2), MSE(), SoftmaxCrossEntropy()])
def test_backward_without_forward_is_refused_in_words(component):
    arguments = [np.ones((2, 2))] if hasattr(component, "params") else []
    with pytest.raises(RuntimeError, match="forward pass first"):
        component.backward(*arguments)
