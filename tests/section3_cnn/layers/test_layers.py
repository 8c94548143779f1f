from pathlib import Path

import numpy as np
import pytest
import torch

import section3_cnn
from section3_cnn.layers import (
    AvgPool2D,
    BatchNorm2D,
    Conv2D,
    Dropout,
    Flatten,
    Linear,
    MaxPool2D,
    ReLU,
    TextbookConv2D,
)
from section3_cnn.layers.textbook import col2im, convolve, im2col
from tests.section3_cnn.helpers import assert_like_torch, images

LAYOUTS = ("plain", "strided", "moved", "flipped", "ties")
DRAWS = 250


def draw_geometry(seed):
    """Return a generator and a random batch, image, kernel, stride and padding that fit."""
    rng = np.random.default_rng(seed)
    n, c, o = (int(rng.integers(1, high)) for high in (5, 5, 5))
    kernel, stride, padding = rng.integers(1, 6, 2), rng.integers(1, 4, 2), rng.integers(0, 4, 2)
    size = np.maximum(kernel - 2 * padding, 1) + rng.integers(0, 9, 2)
    as_pair = [tuple(int(v) for v in pair) for pair in (kernel, stride, padding)]
    x = images(rng, (n, c, *size), LAYOUTS[seed % len(LAYOUTS)])
    return rng, x, o, *as_pair


@pytest.mark.parametrize("seed", range(DRAWS))
def test_convolution_is_pytorchs(seed):
    rng, x, out_channels, kernel, stride, padding = draw_geometry(seed)
    layer = Conv2D(x.shape[1], out_channels, kernel, stride, padding, rng=rng, dtype=np.float64)
    layer.params["b"][:] = rng.standard_normal(out_channels)
    assert_like_torch(layer, x, rng)


@pytest.mark.parametrize("seed", range(50))
def test_the_textbooks_convolution_is_pytorchs(seed):
    rng, x, out_channels, *window = draw_geometry(seed)
    layer = TextbookConv2D(x.shape[1], out_channels, *window, rng=rng, dtype=np.float64)
    layer.params["b"][:] = rng.standard_normal(out_channels)
    assert_like_torch(layer, x, rng)


@pytest.mark.parametrize("seed", range(30))
def test_the_definition_in_seven_loops_is_pytorchs_and_ours(seed):
    rng, x, out_channels, kernel, stride, padding = draw_geometry(seed)
    layer = Conv2D(x.shape[1], out_channels, kernel, stride, padding, rng=rng, dtype=np.float64)
    layer.params["b"][:] = rng.standard_normal(out_channels)
    y = convolve(x, *layer.params.values(), stride, padding)
    tensors = (torch.from_numpy(array.copy()) for array in (x, *layer.params.values()))
    expected = torch.nn.functional.conv2d(*tensors, stride, padding)
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(layer.forward(x), y, rtol=1e-10, atol=1e-10)


def test_windows_become_columns_as_the_page_shows():
    x = np.array([*"abcdefghijkl"]).view(np.int32).reshape(1, 1, 3, 4)
    cols = im2col(x, (2, 2), (1, 1), (0, 0))
    rows = ["".join(map(chr, row)) for row in cols]
    assert rows == ["abcefg", "bcdfgh", "efgijk", "fghjkl"]
    page = (Path(section3_cnn.__file__).parent / "README.md").read_text()
    assert all(" ".join(row) in page for row in rows)


@pytest.mark.parametrize("seed", range(20))
def test_col2im_is_the_transpose_of_im2col(seed):
    rng, x, _, *window = draw_geometry(seed)
    cols = im2col(x, *window)
    other = rng.standard_normal(cols.shape)
    back = col2im(other, x.shape, *window)
    assert back.shape == x.shape
    assert np.vdot(cols, other) == pytest.approx(np.vdot(x, back), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("pool", [MaxPool2D, AvgPool2D])
@pytest.mark.parametrize("seed", range(DRAWS))
def test_pooling_is_pytorchs(pool, seed):
    rng, x, _, kernel, stride, _ = draw_geometry(seed)
    kernel = tuple(min(k, n) for k, n in zip(kernel, x.shape[2:], strict=True))
    assert_like_torch(pool(kernel, stride), x, rng)
    assert_like_torch(pool(kernel), x, rng)  # the stride is the window's size


def test_max_pooling_sends_the_gradient_to_the_first_of_equals():
    layer, x = MaxPool2D(2, 1), np.ones((1, 1, 3, 3))
    layer.forward(x)
    dx = layer.backward(np.ones((1, 1, 2, 2)))
    np.testing.assert_array_equal(dx[0, 0], [[1, 1, 0], [1, 1, 0], [0, 0, 0]])
    assert_like_torch(layer, x, np.random.default_rng(0))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("seed", range(40))
def test_batch_norm_is_pytorchs(seed, training):
    rng, x, *_ = draw_geometry(seed)
    x = np.concatenate([x, 3 + 2 * x[::-1]])
    momentum, eps = rng.uniform(0.01, 0.99), 10 ** rng.uniform(-6, -1)
    layer = BatchNorm2D(x.shape[1], momentum, eps, dtype=np.float64)
    for array in (*layer.params.values(), *layer.state.values()):
        array[:] = rng.uniform(0.5, 2, len(array))
    if not training:
        layer.eval()
    assert_like_torch(layer, x, rng)


@pytest.mark.parametrize("seed", range(20))
def test_linear_relu_and_flatten_are_pytorchs(seed):
    rng, x, out_features, *_ = draw_geometry(seed)
    assert_like_torch(ReLU(), x, rng)
    assert_like_torch(Flatten(), x, rng)
    rows = x.reshape(len(x), -1)[:, ::2]
    layer = Linear(rows.shape[1], out_features, rng=rng, dtype=np.float64)
    layer.params["b"][:] = rng.standard_normal(out_features)
    assert_like_torch(layer, rows, rng)


def test_dropout_keeps_the_mean_and_uses_one_mask_both_ways():
    layer, x = Dropout(0.3, rng=np.random.default_rng(0)), np.ones((100, 1000), np.float32)
    y = layer.forward(x)
    assert y.dtype == np.float32
    kept = y != 0
    assert abs(kept.mean() - 0.7) < 0.005
    np.testing.assert_allclose(y[kept], 1 / 0.7, rtol=1e-6)
    np.testing.assert_array_equal(layer.backward(x), y)
    assert not np.array_equal(layer.forward(x), y)  # another mask for another batch
    layer.eval()
    np.testing.assert_array_equal(layer.forward(x), x)
    np.testing.assert_array_equal(layer.backward(3 * x), 3 * x)


def test_kept_buffers_do_not_carry_one_batch_into_the_next():
    rng = np.random.default_rng(0)
    layer = Conv2D(2, 3, (3, 2), (2, 1), (1, 2), rng=rng, dtype=np.float64)
    for shape in [(5, 2, 7, 6), (2, 2, 7, 6), (3, 2, 4, 9), (6, 2, 4, 9), (1, 2, 7, 6)]:
        assert_like_torch(layer, rng.standard_normal(shape), rng)


def test_outputs_are_not_overwritten_by_the_next_call():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 2, 6, 6))
    layers = [
        Conv2D(2, 2, 3, padding=1, rng=rng, dtype=np.float64),
        MaxPool2D(2),
        AvgPool2D(2),
        BatchNorm2D(2, dtype=np.float64),
        ReLU(),
    ]
    for layer in layers:
        first = layer.forward(x)
        kept, dx = first.copy(), layer.backward(first)
        dx_kept = dx.copy()
        layer.backward(layer.forward(2 * x + 1))
        np.testing.assert_array_equal(first, kept)
        np.testing.assert_array_equal(dx, dx_kept)


def test_float32_stays_float32():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 6, 6))  # float64: the parameters decide
    for layer in (Conv2D(3, 4, 3, rng=rng), BatchNorm2D(3)):
        y = layer.forward(x)
        assert y.dtype == layer.backward(y.astype(np.float64)).dtype == np.float32
    for layer in (MaxPool2D(2), AvgPool2D(3, 2), ReLU(), Dropout(0.5, rng=rng)):
        y = layer.forward(x.astype(np.float32))
        assert y.dtype == layer.backward(y).dtype == np.float32


def test_he_initialisation():
    rng = np.random.default_rng(0)
    W = Conv2D(16, 64, (3, 5), rng=rng).params["W"]
    assert W.std() == pytest.approx(np.sqrt(2 / (16 * 15)), rel=0.02)
    W = Linear(400, 100, rng=rng).params["W"]
    assert W.std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)


def test_integer_pixels_are_averaged_as_numbers():
    x = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
    expected = torch.nn.functional.avg_pool2d(torch.from_numpy(x.astype(float)), 2)
    np.testing.assert_allclose(AvgPool2D(2).forward(x), expected.numpy())
