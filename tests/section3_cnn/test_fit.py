"""A batch learned in chunks is the batch; a training ends with the weights of its best epoch."""

from types import SimpleNamespace

import numpy as np
import pytest

from section3_cnn import training
from section3_cnn.losses import SoftmaxCrossEntropy
from section3_cnn.model import build_cnn
from section3_cnn.training import CHUNK, Settings, chunks, compute_gradients, fit, predict
from shared_utils.runs.training_run import TrainingRun


def batch(n):
    rng = np.random.default_rng(0)
    return rng.random((n, 1, 28, 28), np.float32), rng.integers(0, 10, n)


def test_every_image_is_in_one_chunk():
    for n in (*range(1, 200), 1000):
        cut = chunks(n)
        assert [i for chunk in cut for i in range(n)[chunk]] == list(range(n))
        sizes = [chunk.stop - chunk.start for chunk in cut]
        assert 1 <= min(sizes) <= max(sizes) <= CHUNK
        assert max(sizes) - min(sizes) <= 1
        assert len(cut) >= min(2, n)


@pytest.mark.parametrize("n", [1, 2, CHUNK, 2 * CHUNK + 7])
def test_the_chunks_gradients_add_up_to_the_batchs(n):
    x, y = batch(n)
    model = build_cnn(rng=np.random.default_rng(1), dtype=np.float64)
    loss_fn = SoftmaxCrossEntropy()
    expected = loss_fn.forward(model.forward(x), y)
    model.backward(loss_fn.backward())
    grads = {key: grad.copy() for key, grad in model.grads.items()}
    for grad in model.grads.values():
        grad.fill(np.nan)  # they are overwritten
    assert compute_gradients(model, x, y) == pytest.approx(expected, rel=1e-13)
    for key, grad in grads.items():
        np.testing.assert_allclose(model.grads[key], grad, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(predict(model, x), model.forward(x), rtol=1e-12)


def test_a_network_that_mixes_images_learns_from_the_whole_batch():
    x, y = batch(3 * CHUNK)
    found = []
    for whole in (True, False):
        model, loss_fn = build_cnn("deep", rng=np.random.default_rng(1)), SoftmaxCrossEntropy()
        if whole:
            loss = loss_fn.forward(model.forward(x), y)
            model.backward(loss_fn.backward(), input_grad=False)
        else:
            loss = compute_gradients(model, x, y)
        arrays = model.grads | model.state
        found.append((loss, {key: array.tobytes() for key, array in arrays.items()}))
    assert found[0] == found[1]


def data(n=40):
    x, y = batch(n)
    return SimpleNamespace(x_train=x, y_train=y, x_val=x[:10], y_val=y[:10])


def fit_with(monkeypatch, validation):
    """Train with the given (loss, accuracy) of every epoch; return network, history, weights."""
    told, seen, rows = iter(validation), [], []

    def evaluate(model, x, y, predict):
        if len(x) == 40:
            return 0.0, 0.0
        seen.append({key: a.copy() for key, a in (model.params | model.state).items()})
        return next(told)

    monkeypatch.setattr(training, "evaluate", evaluate)
    model = build_cnn("deep", rng=np.random.default_rng(0))
    run = TrainingRun()
    monkeypatch.setattr(run, "log", rows.append)
    history = fit(model, data(), Settings(len(validation), 20), seed=0, run=run)
    assert history.rows == rows
    return model, history, seen


@pytest.mark.parametrize(
    ("validation", "best"),
    [
        ([(0.3, 0.5), (0.2, 0.9), (0.1, 0.7)], 2),  # accuracy decides, not the loss
        ([(0.3, 0.9), (0.2, 0.9), (0.4, 0.9)], 2),  # among equals, the loss
        ([(0.3, 0.9), (0.3, 0.9)], 1),  # among wholly equals, the first
    ],
)
def test_weights_and_running_averages_are_those_of_the_best_epoch(monkeypatch, validation, best):
    model, history, seen = fit_with(monkeypatch, validation)
    assert history.best_epoch == best
    assert history.best["val_acc"] == validation[best - 1][1]
    assert [row["epoch"] for row in history.rows] == list(range(1, len(validation) + 1))
    arrays = model.params | model.state
    for key, array in arrays.items():
        np.testing.assert_array_equal(array, seen[best - 1][key])
    last = seen[-1] if best < len(validation) else seen[0]
    assert any(not np.array_equal(array, last[key]) for key, array in arrays.items())
    assert not model.training


def test_a_validation_loss_that_is_not_finite_names_its_epoch(monkeypatch):
    with pytest.raises(FloatingPointError, match="epoch 2: the validation loss became nan"):
        fit_with(monkeypatch, [(0.3, 0.5), (float("nan"), 0.5), (0.1, 0.9)])
