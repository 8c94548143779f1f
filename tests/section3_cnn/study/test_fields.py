import numpy as np
import pytest

from section3_cnn.layers import AvgPool2D, BatchNorm2D, Conv2D, MaxPool2D, ReLU
from section3_cnn.model import Sequential, build_cnn
from section3_cnn.study.fields import (
    Field,
    effective_field,
    effective_side,
    receptive_fields,
    unit_gradients,
)
from section3_cnn.study.inspection import saliency, strongest_patches


def open_network(layers, rng):
    """Make every path count: positive weights, so that no gradient cancels or meets a dead ReLU."""
    model = Sequential(layers, np.float64)
    for param in model.params.values():
        param[:] = rng.uniform(0.1, 1, param.shape)
    return model


def support(gradients):
    return np.abs(gradients).max(axis=0) > 0


def expected_support(field, unit, shape):
    seen = np.zeros(shape, bool)
    rows, cols = field.pixels(unit)
    seen[rows, cols] = True
    return seen


@pytest.mark.parametrize(("arch", "pool"), [("small", "max"), ("small", "avg"), ("deep", "avg")])
def test_the_field_is_exactly_the_support_of_the_gradient(arch, pool):
    rng = np.random.default_rng(0)
    model = build_cnn(arch, pool, rng=rng, dtype=np.float64)
    for key, param in model.params.items():
        if key.endswith("W"):
            param[:] = np.abs(param) + 0.01
    # Max-pooling passes one pixel at a time; over many images every pixel has its turn.
    n = 200 if pool == "max" else 2
    images = rng.random((n, 1, 28, 28))
    for field in receptive_fields(model, model.image_shape):
        corner, edge = (0, 0), (field.units[0] - 1, field.centre[1])
        for unit in (field.centre, corner, edge):
            found = support(unit_gradients(model, field.name, unit, images))
            np.testing.assert_array_equal(found, expected_support(field, unit, (28, 28)))


@pytest.mark.parametrize("seed", range(25))
def test_fields_of_random_chains(seed):
    rng = np.random.default_rng(seed)
    layers = []
    for _ in range(rng.integers(1, 4)):
        kernel = rng.integers(1, 4, 2)
        # A larger stride would skip pixels, more padding would make windows that see none.
        stride, padding = rng.integers(1, kernel + 1), rng.integers(0, kernel)
        kernel, stride, padding = (tuple(int(v) for v in p) for p in (kernel, stride, padding))
        if rng.random() < 0.6:
            layers.append(Conv2D(2, 2, kernel, stride, padding, rng=rng, dtype=np.float64))
            layers += [BatchNorm2D(2, dtype=np.float64), ReLU()]
        else:
            layers.append(AvgPool2D(kernel, stride))
    size = (int(rng.integers(60, 80)), int(rng.integers(60, 80)))
    model = open_network(layers, rng)
    images = rng.random((1, 2, *size))
    for field in receptive_fields(model, (2, *size)):
        for _ in range(3):
            # Not at the lower right: pixels that are left over there are in no window.
            unit = tuple(int(rng.integers(0, max(1, n // 2))) for n in field.units)
            found = support(unit_gradients(model, field.name, unit, images))
            np.testing.assert_array_equal(found, expected_support(field, unit, size))


def test_the_table_of_the_small_network():
    rows = receptive_fields(build_cnn(rng=np.random.default_rng(0)), (1, 28, 28))
    table = [(f.name, f.kernel[0], f.jump[0], f.start[0], f.size[0], f.units[0]) for f in rows]
    assert table == [
        ("conv1", 3, 1, -1, 3, 28),
        ("pool1", 2, 2, -1, 4, 14),
        ("conv2", 3, 2, -3, 8, 14),
        ("pool2", 2, 4, -3, 10, 7),
    ]


def test_effective_side():
    square = np.zeros((9, 9))
    square[2:5, 3:6] = 0.7
    assert effective_side(square) == pytest.approx(3)
    point = np.zeros((9, 9))
    point[4, 4] = 1
    assert effective_side(point) == pytest.approx(1)


def test_the_effective_field_is_the_mean_gradient_over_all_images():
    model = build_cnn("small", "avg", rng=np.random.default_rng(0), dtype=np.float64)
    images = np.random.default_rng(1).random((260, 1, 28, 28))  # more than one batch
    field = receptive_fields(model, model.image_shape)[-1]
    each = [
        np.abs(unit_gradients(model, field.name, field.centre, image[None]))[0] for image in images
    ]
    expected = np.mean(each, axis=0)
    measured = effective_field(model, field, images)
    np.testing.assert_allclose(measured, expected / expected.max(), rtol=1e-10)


def test_saliency_is_the_slope_of_the_class_score():
    model = build_cnn("deep", rng=np.random.default_rng(0), dtype=np.float64)
    rng = np.random.default_rng(1)
    images, classes = rng.random((2, 1, 28, 28)), np.array([3, 8])
    maps = saliency(model, images, classes)
    step = 1e-6
    for _ in range(10):
        n, r, c = rng.integers(0, 2), rng.integers(0, 28), rng.integers(0, 28)
        up, down = images.copy(), images.copy()
        up[n, 0, r, c] += step
        down[n, 0, r, c] -= step
        change = (model.forward(up) - model.forward(down))[n, classes[n]]
        assert maps[n, 0, r, c] == pytest.approx(change / (2 * step), rel=1e-4, abs=1e-7)


def test_strongest_patches_are_the_ones_a_plain_search_finds():
    rng = np.random.default_rng(0)
    model = Sequential([Conv2D(1, 3, 3, padding=1, rng=rng, dtype=np.float64)], np.float64)
    images = rng.random((270, 1, 6, 7))
    (field,) = receptive_fields(model, (1, 6, 7))
    patches, responses = strongest_patches(model, field, images, 4)
    assert patches.shape == (3, 4, 3, 3)
    peaks = model.forward(images).max(axis=(2, 3))
    np.testing.assert_allclose(responses, -np.sort(-peaks, axis=0)[:4].T, rtol=1e-12)
    # A patch times the filter is the response; what lies beyond the image counts as zero.
    W = model.params["conv1.W"][:, 0]
    products = np.nansum(patches * W[:, None], axis=(2, 3))
    np.testing.assert_allclose(products, responses, rtol=1e-12)


def test_fields_reach_over_the_border():
    field = Field("x", (3, 3), (1, 1), (1, 1), (2, 2), (-3, -3), (8, 8), (14, 14))
    assert field.pixels((0, 1)) == (slice(0, 5), slice(0, 7))
    assert field.pixels((13, 13)) == (slice(23, 31), slice(23, 31))


def test_max_pool_in_a_chain_is_a_window_too():
    rng = np.random.default_rng(0)
    model = open_network([MaxPool2D((3, 2), (2, 1)), MaxPool2D(2)], rng)
    field = receptive_fields(model, (1, 20, 20))[-1]
    assert field.size == (5, 3)
    assert field.jump == (4, 2)
    images = rng.random((500, 1, 20, 20))
    found = support(unit_gradients(model, field.name, field.centre, images))
    np.testing.assert_array_equal(found, expected_support(field, field.centre, (20, 20)))
