import math
from functools import partial

import numpy as np
import pytest
import torch

from section3_cnn.augment import shift_and_rotate, transform
from section3_cnn.layers import BatchNorm2D, Dropout
from section3_cnn.losses import SoftmaxCrossEntropy
from section3_cnn.model import build_cnn, build_mlp, build_strided
from section3_cnn.optimizer import SCHEDULES, SGD, learning_rate
from section3_cnn.training import Settings, evaluate, predict, steps_per_epoch, train_steps
from shared_utils.datasets.minibatches import minibatches
from tests.section3_cnn.helpers import TorchSmall, copy_weights, ours_from, torch_twin


def some_images(n, seed=0):
    rng = np.random.default_rng(seed)
    # A label can be read off the image: the row of its bright bar.
    y = rng.integers(0, 10, n)
    x = rng.random((n, 1, 28, 28)) * 0.3
    for image, label in zip(x, y, strict=True):
        image[0, 2 * label + 4 : 2 * label + 6] += 0.7
    return x, y


def steps(model, x, y, settings, shuffle):
    optimizer = SGD(settings.lr, settings.momentum, settings.weight_decay)
    return train_steps(model, optimizer, x, y, settings, shuffle=shuffle)


@pytest.mark.parametrize("pool", ["max", "avg"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-4)])
def test_one_epoch_follows_pytorchs_step_by_step(pool, dtype, tolerance):
    x, y = some_images(500)
    x = x.astype(dtype)
    model = build_cnn("small", pool, rng=np.random.default_rng(1), dtype=dtype)
    twin = copy_weights(model, TorchSmall(pool))
    options = {"momentum": 0.9, "weight_decay": 5e-4}
    optimizer = torch.optim.SGD(twin.parameters(), lr=1.0, **options)
    batches = list(minibatches(len(x), 32, np.random.default_rng(2)))
    expected = []
    for step, batch in enumerate(batches):
        loss = torch.nn.functional.cross_entropy(
            twin(torch.from_numpy(x[batch])), torch.from_numpy(y[batch])
        )
        optimizer.param_groups[0]["lr"] = learning_rate("onecycle", 0.01, step, len(batches))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())

    settings = Settings(1, 32, 0.01, "onecycle", **options)
    losses = list(steps(model, x, y, settings, np.random.default_rng(2)))
    assert len(losses) == len(batches) == steps_per_epoch(500, 32)
    np.testing.assert_allclose(losses, expected, rtol=tolerance, atol=tolerance)
    assert losses[-1] < losses[0]
    for key, value in ours_from(twin, model).items():
        np.testing.assert_allclose(model.params[key], value, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("pool", ["max", "avg"])
def test_the_deep_network_is_pytorchs(pool):
    nn = torch.nn
    Pool = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}[pool]

    def norm_relu(channels):
        return nn.BatchNorm2d(channels), nn.ReLU()

    twin = nn.Sequential(
        *(nn.Conv2d(1, 16, 5, padding=2), Pool(2), *norm_relu(16)),
        *(nn.Conv2d(16, 24, 3, padding=1), *norm_relu(24)),
        *(nn.Conv2d(24, 24, 3, padding=1), Pool(2), *norm_relu(24)),
        *(nn.Conv2d(24, 48, 3, padding=1), *norm_relu(48)),
        *(nn.Conv2d(48, 48, 3, padding=1), Pool(2), *norm_relu(48)),
        *(nn.Flatten(), nn.Linear(432, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    model = build_cnn("deep", pool, rng=np.random.default_rng(0), dtype=np.float64)
    for layer in model.layers:
        if isinstance(layer, Dropout):
            layer.p = 0.0
    copy_weights(model, twin)
    x, y = some_images(20)
    loss_fn = SoftmaxCrossEntropy()
    loss = loss_fn.forward(model.forward(x), y)
    dx = model.backward(loss_fn.backward())
    x_torch = torch.tensor(x, requires_grad=True)
    expected = nn.functional.cross_entropy(twin(x_torch), torch.from_numpy(y))
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-10)
    np.testing.assert_allclose(dx, x_torch.grad.numpy(), rtol=1e-8, atol=1e-10)
    for key, grad in model.grads.items():
        value = dict(zip(model.params, twin.parameters(), strict=True))[key].grad.numpy()
        value = value.T if key.startswith("fc") and key.endswith("W") else value
        np.testing.assert_allclose(grad, value, rtol=1e-8, atol=1e-10)
    model.eval()
    twin.eval()
    expected = twin(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(model.forward(x), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("arch", ["small", "deep"])
def test_the_images_gradient_is_left_out_where_nobody_reads_it(arch):
    x, y = some_images(8)
    model = build_cnn(arch, rng=np.random.default_rng(0), dtype=np.float64)
    loss_fn = SoftmaxCrossEntropy()
    loss_fn.forward(model.forward(x), y)
    assert model.backward(loss_fn.backward()).shape == x.shape
    grads = {key: grad.copy() for key, grad in model.grads.items()}
    assert model.backward(loss_fn.backward(), input_grad=False) is None
    for key, grad in grads.items():
        np.testing.assert_array_equal(model.grads[key], grad)


def test_the_chain_holds_the_layers_own_arrays():
    model = build_cnn("deep", rng=np.random.default_rng(0))
    norm = next(layer for layer in model.layers if isinstance(layer, BatchNorm2D))
    assert model.params["norm1.gamma"] is norm.params["gamma"]
    assert model.grads["norm1.gamma"] is norm.grads["gamma"]
    assert model.state["norm1.running_var"] is norm.state["running_var"]
    assert model.params.keys() == model.grads.keys()


def test_sizes_of_the_networks():
    small = build_cnn("small", rng=np.random.default_rng(0))
    assert sum(p.size for p in small.params.values()) == 80 + 1168 + 784 * 128 + 128 + 1290
    x, _ = some_images(3)
    assert (
        small.forward(x).shape
        == build_cnn("deep", rng=np.random.default_rng(0)).forward(x).shape
        == (3, 10)
    )


@pytest.mark.parametrize(("size", "classes"), [((20, 17), 3), ((32, 32), 26), ((9, 15), 2)])
@pytest.mark.parametrize(
    "build",
    [build_mlp, build_strided, build_cnn, partial(build_cnn, "small", "avg")]
    + [partial(build_cnn, "deep", pool) for pool in ("max", "avg")],
)
def test_networks_for_other_images_give_pytorchs_logits(build, size, classes):
    rng = np.random.default_rng(0)
    model = build(image_size=size, classes=classes, rng=rng, dtype=np.float64)
    assert (model.image_shape, model.classes) == ((1, *size), classes)
    model.eval()
    x = rng.random((5, 1, *size))
    expected = torch.from_numpy(x)
    for layer in model.layers:
        if not isinstance(layer, Dropout):
            expected = torch_twin(layer).eval()(expected)
    assert expected.shape == (5, classes)
    np.testing.assert_allclose(model.forward(x), expected.detach().numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [1, 1e3, 1e-3])
def test_loss_is_pytorchs(scale):
    rng = np.random.default_rng(0)
    logits, y = scale * rng.standard_normal((7, 10)), rng.integers(0, 10, 7)
    z = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(z, torch.from_numpy(y))
    expected.backward()
    loss_fn = SoftmaxCrossEntropy()
    assert loss_fn.forward(logits, y) == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(loss_fn.backward(), z.grad.numpy(), atol=1e-15)


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0, 0), (0.9, 0), (0.9, 0.1), (0, 0.1)])
def test_sgd_is_pytorchs(momentum, weight_decay):
    rng = np.random.default_rng(0)
    params = {"a": rng.standard_normal((3, 4)), "b": rng.standard_normal(5)}
    twins = {key: torch.tensor(value.copy()) for key, value in params.items()}
    optimizer = SGD(0.1, momentum, weight_decay)
    reference = torch.optim.SGD(
        twins.values(), lr=0.1, momentum=momentum, weight_decay=weight_decay
    )
    for _ in range(5):
        grads = {key: rng.standard_normal(value.shape) for key, value in params.items()}
        for key, twin in twins.items():
            twin.grad = torch.tensor(grads[key])
        optimizer.step(params, grads)
        reference.step()
    for key, twin in twins.items():
        np.testing.assert_allclose(params[key], twin.numpy(), rtol=1e-13)


def test_schedules_are_their_closed_forms():
    assert [learning_rate("constant", 0.1, step, 4) for step in range(4)] == [0.1] * 4
    cosine = [learning_rate("cosine", 0.1, step, 4) for step in range(4)]
    s = math.sqrt(0.5)
    np.testing.assert_allclose(cosine, [0.1, 0.05 * (1 + s), 0.05, 0.05 * (1 - s)])
    cycle = [learning_rate("onecycle", 0.01, step, 1000) for step in range(1001)]
    assert cycle[0] == 0.01
    assert cycle[150] == pytest.approx(0.03)
    assert max(cycle) == cycle[300] == pytest.approx(0.05)
    assert cycle[650] == pytest.approx(0.025)
    assert cycle[1000] == pytest.approx(0, abs=1e-15)
    for schedule in SCHEDULES:
        assert learning_rate(schedule, 0.01, 0, 7) == pytest.approx(0.01)
    with pytest.raises(ValueError, match="stairs"):
        learning_rate("stairs", 0.1, 0, 4)


def test_equal_seeds_give_equal_bytes_and_others_do_not():
    x, y = some_images(100)

    def trained(seed):
        rng = np.random.default_rng(seed)
        model = build_cnn("deep", rng=rng)
        list(steps(model, x, y, Settings(1, 50), rng))
        return b"".join(param.tobytes() for param in model.params.values())

    assert trained(0) == trained(0)
    assert trained(0) != trained(1)


def test_a_network_that_diverges_is_stopped():
    x, y = some_images(64)
    model = build_cnn(rng=np.random.default_rng(0))
    diverging = steps(model, x, y, Settings(20, 8, lr=1e20), np.random.default_rng(0))
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="epoch 1: the loss"):
        list(diverging)


def test_evaluation_counts_every_image_once():
    x, y = some_images(523)
    model = build_cnn(rng=np.random.default_rng(0))
    logits = model.forward(x)
    np.testing.assert_allclose(predict(model, x), logits, rtol=1e-5, atol=1e-6)
    loss, accuracy = evaluate(model, x, y)
    assert accuracy == np.mean(logits.argmax(axis=1) == y)
    expected = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(y))
    assert loss == pytest.approx(expected.item(), rel=1e-5)


def test_evaluation_is_in_use_and_steps_are_in_training():
    x, y = some_images(20)
    model = build_cnn("deep", rng=np.random.default_rng(0))
    before = {key: array.copy() for key, array in model.state.items()}
    first = predict(model, x)
    np.testing.assert_array_equal(predict(model, x), first)  # no dropout, no running averages
    for key, array in before.items():
        np.testing.assert_array_equal(model.state[key], array)
    rng = np.random.default_rng(0)
    list(steps(model, x, y, Settings(1, 10), rng))
    assert all(layer.training for layer in model.layers)
    for key, array in before.items():
        assert not np.array_equal(model.state[key], array)


def test_augmentation_by_whole_pixels_and_right_angles():
    x = np.random.default_rng(0).random((4, 2, 9, 9))
    still = transform(x, np.zeros((4, 2)), np.zeros(4))
    np.testing.assert_allclose(still, x, atol=1e-12)
    moved = transform(x, np.tile([2, -3], (4, 1)), np.zeros(4))  # down, and to the left
    np.testing.assert_allclose(moved[:, :, 2:, :-3], x[:, :, :-2, 3:], atol=1e-12)
    assert not moved[:, :, :2].any()
    assert not moved[:, :, :, -3:].any()
    turned = transform(x, np.zeros((4, 2)), np.full(4, np.pi / 2))
    np.testing.assert_allclose(turned, np.rot90(x, axes=(2, 3)), atol=1e-9)
    half = transform(x, np.tile([0.5, 0], (4, 1)), np.zeros(4))
    np.testing.assert_allclose(half[:, :, 1:], (x[:, :, 1:] + x[:, :, :-1]) / 2, atol=1e-12)


def test_augmentation_differs_from_image_to_image_and_repeats_with_the_seed():
    x = np.tile(some_images(1)[0].astype(np.float32), (5, 1, 1, 1))
    first = shift_and_rotate(x, np.random.default_rng(0))
    assert first.dtype == np.float32
    assert first.shape == x.shape
    assert len({image.tobytes() for image in first}) == 5
    np.testing.assert_array_equal(first, shift_and_rotate(x, np.random.default_rng(0)))
