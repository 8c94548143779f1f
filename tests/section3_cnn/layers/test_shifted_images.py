"""Weight sharing, equivariance and invariance, exactly: images and weights are whole numbers."""

import numpy as np
import pytest

from section3_cnn.layers import AvgPool2D, Conv2D, Linear, MaxPool2D
from section3_cnn.study.shifts import shift

MOVES = [(1, 0), (-2, 0), (0, 3), (-1, 2)]  # down, right


def whole_conv(rng, n_in=2, n_out=3, stride=1):
    conv = Conv2D(n_in, n_out, 3, stride=stride, padding=1, rng=rng, dtype=np.float64)
    for array in conv.params.values():
        array[:] = rng.integers(-9, 10, array.shape)
    return conv


def inner(maps, margin):
    return maps[:, :, margin:-margin, margin:-margin]


@pytest.mark.parametrize("move", MOVES)
def test_a_convolution_of_a_moved_image_is_its_maps_moved_alike(move):
    rng = np.random.default_rng(0)
    conv, x = whole_conv(rng), rng.integers(-9, 10, (4, 2, 12, 13))
    expected = shift(conv.forward(x), *move)
    # At the rim a window holds zeros, or pixels that have come in.
    np.testing.assert_array_equal(inner(conv.forward(shift(x, *move)), 4), inner(expected, 4))


@pytest.mark.parametrize("kind", ["strided", "max", "avg"])
def test_with_a_stride_the_maps_follow_whole_strides_only(kind):
    rng = np.random.default_rng(0)
    layers = {"strided": whole_conv(rng, stride=2), "max": MaxPool2D(2), "avg": AvgPool2D(2)}
    layer, x = layers[kind], rng.integers(-9, 10, (4, 2, 16, 16)).astype(float)
    maps = layer.forward(x)
    np.testing.assert_array_equal(
        inner(layer.forward(shift(x, 2, -4)), 3), inner(shift(maps, 1, -2), 3)
    )
    one_pixel = inner(layer.forward(shift(x, 1, 0)), 2)
    for down in (-1, 0, 1):
        assert np.mean(one_pixel == inner(shift(maps, down, 0), 2)) < 0.5


def test_a_max_pool_forgets_a_move_within_its_window_and_no_other():
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 0, 0] = 9
    pool = MaxPool2D(2)
    first, second, third = (pool.forward(shift(x, 0, right))[0, 0] for right in (0, 1, 2))
    np.testing.assert_array_equal(first, [[9, 0], [0, 0]])
    np.testing.assert_array_equal(second, first)  # the same window
    np.testing.assert_array_equal(third, [[0, 9], [0, 0]])  # the next one


def test_a_convolution_is_a_fully_connected_layer_that_shares_its_weights():
    rng = np.random.default_rng(0)
    conv = whole_conv(rng, n_in=1, n_out=2)
    conv.params["W"][:] = rng.permutation(np.arange(1, 19)).reshape(conv.params["W"].shape)
    conv.params["b"][:] = 0
    pixels = 5 * 6
    linear = Linear(pixels, 2 * pixels, rng=rng, dtype=np.float64)
    unit_images = np.eye(pixels).reshape(pixels, 1, 5, 6)
    linear.params["W"][:] = conv.forward(unit_images).reshape(pixels, -1)
    x = rng.integers(-9, 10, (3, 1, 5, 6))
    np.testing.assert_array_equal(linear.forward(x.reshape(3, -1)), conv.forward(x).reshape(3, -1))
    assert linear.params["W"].size == 1800
    assert set(np.unique(linear.params["W"])) == {0, *range(1, 19)}  # eighteen weights, and none


def test_a_fully_connected_layer_does_not_know_which_pixels_are_neighbours():
    rng = np.random.default_rng(0)
    linear, order = Linear(20, 3, rng=rng, dtype=np.float64), rng.permutation(20)
    linear.params["W"][:] = rng.integers(-9, 10, (20, 3))
    x = rng.integers(-9, 10, (4, 20))
    expected = linear.forward(x)
    linear.params["W"][:] = linear.params["W"][order]
    np.testing.assert_array_equal(linear.forward(x[:, order]), expected)
