import numpy as np
import pytest

from section3_cnn.layers import AvgPool2D, BatchNorm2D, Conv2D, Dropout, Linear, MaxPool2D, ReLU
from section3_cnn.losses import SoftmaxCrossEntropy
from section3_cnn.model import build_cnn

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "arguments",
    [
        (0, 8, 3),
        (1, -1, 3),
        (1, 8, 0),
        (1, 8, (3, 0)),
        (1, 8, 3, 0),
        (1, 8, 3, (1, 0)),
        (1, 8, 3, 1, -1),
        (1, 8, 3, 1, (0, -2)),
        (1, 8, 2.5),
        (1, 8, (3, 3, 3)),
    ],
)
def test_convolutions_that_cannot_be(arguments):
    with pytest.raises(ValueError, match="whole number"):
        Conv2D(*arguments, rng=RNG)


@pytest.mark.parametrize("pool", [MaxPool2D, AvgPool2D])
@pytest.mark.parametrize("arguments", [(0,), (2, 0), (2, (1, -1)), ((2, 2, 2),), (1.5,)])
def test_pools_that_cannot_be(pool, arguments):
    with pytest.raises(ValueError, match="whole number"):
        pool(*arguments)


@pytest.mark.parametrize(
    ("layer", "shape", "named"),
    [
        (Conv2D(1, 2, 5, rng=RNG), (3, 1, 4, 9), ["5x5", "4x9", "(3, 1, 4, 9)"]),
        (Conv2D(1, 2, (1, 8), padding=1, rng=RNG), (3, 1, 4, 5), ["1x8", "6x7", "(3, 1, 4, 5)"]),
        (Conv2D(3, 2, 3, rng=RNG), (2, 1, 8, 8), ["(N, 3, H, W)", "(2, 1, 8, 8)"]),
        (Conv2D(3, 2, 3, rng=RNG), (3, 8, 8), ["(N, 3, H, W)", "(3, 8, 8)"]),
        (MaxPool2D(3), (2, 1, 2, 8), ["3x3", "2x8", "(2, 1, 2, 8)"]),
        (AvgPool2D((2, 9)), (2, 1, 2, 8), ["2x9", "2x8"]),
        (MaxPool2D(2), (8, 8), ["(N, C, H, W)", "(8, 8)"]),
        (BatchNorm2D(3), (2, 4, 8, 8), ["(N, 3, H, W)", "(2, 4, 8, 8)"]),
        (BatchNorm2D(3), (1, 3, 1, 1), ["(1, 3, 1, 1)"]),
        (Linear(5, 2, rng=RNG), (4, 6), ["(N, 5)", "(4, 6)"]),
        (Linear(5, 2, rng=RNG), (5,), ["(N, 5)", "(5,)"]),
    ],
)
def test_images_that_do_not_fit_are_named(layer, shape, named):
    with pytest.raises(ValueError) as error:
        layer.forward(np.zeros(shape))
    assert all(text in str(error.value) for text in named), error.value
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "layer",
    [
        Conv2D(2, 3, 3, rng=RNG),
        MaxPool2D(2),
        AvgPool2D(2),
        BatchNorm2D(2),
        ReLU(),
        Dropout(0.5, rng=RNG),
    ],
)
def test_gradients_that_do_not_fit_are_named(layer):
    with pytest.raises(RuntimeError, match="forward"):
        layer.backward(np.zeros((1, 1, 1, 1)))
    shape = layer.forward(np.ones((2, 2, 6, 6))).shape
    with pytest.raises(ValueError) as error:
        layer.backward(np.zeros((2, 1, 1)))
    assert str(shape) in str(error.value)
    assert "(2, 1, 1)" in str(error.value)


@pytest.mark.parametrize("p", [-0.1, 1, 1.5, float("nan")])
def test_dropout_needs_a_probability(p):
    with pytest.raises(ValueError, match="probability"):
        Dropout(p, rng=RNG)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (np.zeros((4, 1), int), r"\(4, 10\)"),
        (np.zeros(3, int), r"\(3,\)"),
        (np.zeros(4), "integers"),
        (np.array([0, 1, 2, 10]), "0..9"),
        (np.array([0, 1, 2, -1]), "0..9"),
    ],
)
def test_labels_that_do_not_fit(target, words):
    with pytest.raises(ValueError, match=words):
        SoftmaxCrossEntropy().forward(np.zeros((4, 10)), target)


def test_unknown_networks():
    with pytest.raises(ValueError, match="huge"):
        build_cnn("huge", rng=RNG)
    with pytest.raises(ValueError, match="median"):
        build_cnn(pool="median", rng=RNG)
