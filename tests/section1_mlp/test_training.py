"""The loop against PyTorch's, with its cosine schedule; the choice of the epoch."""

import numpy as np
import pytest
import torch

from section1_mlp.model import MLP
from section1_mlp.optimizer import SGD
from section1_mlp.training import evaluate, fit, steps_per_epoch, train_steps
from shared_utils.datasets.gray_images import load_image_data
from tests.section1_mlp.helpers import problem, torch_loss


def test_training_follows_the_cosine_schedule_step_by_step():
    # The same batches, taken by PyTorch with its own cosine schedule.
    model, x, y = problem("relu", 3, "softmax", n=25)
    params = {key: torch.tensor(p, requires_grad=True) for key, p in model.params.items()}
    optimizer = torch.optim.SGD(params.values(), lr=0.2, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=3 * 4)
    rng = np.random.default_rng(5)
    sgd, budget = SGD(0.2, momentum=0.9), {"epochs": 3, "batch_size": 8}
    steps = train_steps(model, sgd, x, y, **budget, rng=np.random.default_rng(5))
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
    assert sgd.lr == 0.2  # for another training


def test_evaluate_counts_over_all_samples_whatever_the_batches():
    model, x, y = problem("relu", 2, "softmax", n=11003)
    loss, accuracy = evaluate(model, x, y)
    probs = model.forward(x)
    assert loss == pytest.approx(-np.log(probs[np.arange(len(y)), y]).mean(), rel=1e-10)
    assert accuracy == np.mean(probs.argmax(axis=1) == y)


def test_steps_per_epoch_counts_the_short_batch():
    assert [steps_per_epoch(n, 4) for n in (1, 4, 5, 8)] == [1, 1, 2, 2]


def test_a_loss_that_overflows_stops_training():
    model, x, y = problem("relu", 2, "linear", n=8)
    budget, rng = {"epochs": 50, "batch_size": 4}, np.random.default_rng(0)
    steps = train_steps(model, SGD(1e6), x, y, **budget, rng=rng)
    with pytest.raises(FloatingPointError, match="in epoch"):
        list(steps)


def test_fit_needs_no_run_folder_and_leaves_the_weights_of_the_best_epoch():
    data = load_image_data("digits", None, limit=200)
    model = MLP([784, 8, 10], "tanh", rng=np.random.default_rng(0))
    optimizer = SGD(0.3, 0.9)
    history = fit(model, optimizer, data, epochs=4, batch_size=20, seed=1)
    assert optimizer.lr == 0.3
    accuracies = [row["val_acc"] for row in history.rows]
    assert history.best_epoch == 1 + int(np.argmax(accuracies))
    x_val = data.x_val.reshape(len(data.x_val), -1)
    assert evaluate(model, x_val, data.y_val)[1] == max(accuracies)
    assert history.samples == 4 * 200
    assert len(history.series["gradient_norms"]) == 4 * 10
