"""A search is fair: equal starts, validation chooses, and only what is chosen is tested."""

import math
from dataclasses import replace

import numpy as np
import pytest

from section2_optimization import training
from section2_optimization.study import digit_search
from section2_optimization.study.digit_search import (
    Budget,
    Search,
    Setting,
    search,
    train_network,
)
from shared_utils.datasets.gray_images import ImageData

RNG = np.random.default_rng(0)
Y = np.arange(30) % 3
X = (np.eye(3, 6)[Y] + RNG.normal(0, 0.2, (30, 6))).astype(np.float32)
DATA = ImageData("heaps", "", "", "", ("0", "1", "2"), X, Y, X[::-1], Y[::-1], X, Y)
SETTING = Setting(hidden=(8,), lr=0.1, batch_size=10)
BUDGET = Budget(seeds=(0, 1), epochs=4, measurements=2)


def test_a_network_learns_is_measured_evenly_and_repeats_to_the_bit():
    _, rows = train_network(DATA, SETTING, 0, BUDGET)
    model, same = train_network(DATA, SETTING, 0, BUDGET)
    assert [row["epoch"] for row in rows] == [2, 4]
    assert rows == same and rows[-1]["train_acc"] > 0.9
    logits = model.forward(X)
    losses = [np.log(np.exp(z).sum()) - z[y] for z, y in zip(logits, Y, strict=True)]
    assert rows[-1]["train_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert train_network(DATA, SETTING, 1, BUDGET)[1] != rows


def test_every_option_of_a_setting_reaches_the_network():
    losses = {
        train_network(DATA, replace(SETTING, **option), 0, BUDGET)[1][-1]["train_loss"]
        for option in (
            *({}, {"norm": "batch"}, {"norm": "layer"}, {"weight_scale": 2.0}),
            *({"dropout": 0.5}, {"weight_decay": 0.1}, {"lr": 0.2}, {"batch_size": 15}),
        )
    }
    assert len(losses) == 8


def test_networks_are_measured_as_they_predict_without_masks():
    _, rows = train_network(DATA, replace(SETTING, dropout=0.5), 0, BUDGET)
    assert rows[-1]["train_loss"] == pytest.approx(rows[-1]["val_loss"], rel=1e-6)  # one set


@pytest.mark.parametrize(("batch_size", "used"), [(29, 29), (10, 30), (14, 30)])
def test_a_sample_that_would_be_a_batch_alone_is_left_out(batch_size, used, monkeypatch):
    sizes, real = [], training.minibatches

    def spy(n, size, rng):
        sizes.append(n)
        return real(n, size, rng)

    monkeypatch.setattr(training, "minibatches", spy)
    train_network(DATA, replace(SETTING, norm="batch", batch_size=batch_size), 0, BUDGET)
    assert set(sizes) == {used}


@pytest.mark.filterwarnings("error")
def test_a_network_that_diverges_counts_as_guessing_and_is_not_chosen():
    wild = replace(SETTING, weight_scale=1e30)
    found = Search([wild, SETTING], **search(DATA, [wild, SETTING], BUDGET))
    assert found.setting == SETTING
    assert found.final("val_loss")[0].tolist() == [math.inf, math.inf]
    assert found.final("val_acc")[0].tolist() == [1 / 3, 1 / 3]
    alone = Search([wild], **search(DATA, [wild], BUDGET)).summary()
    assert alone["test_acc"] == pytest.approx(1 / 3)
    assert math.isinf(alone["over_seeds"]["test_loss"]["mean"])


def test_the_mean_validation_loss_chooses_and_only_the_chosen_networks_are_tested(monkeypatch):
    losses = {0.1: (0.1, 0.9), 0.2: (0.4, 0.4), 0.3: (0.5, 0.5)}
    tested = []

    def trained(data, setting, seed, budget):
        loss = losses[setting.lr][seed]
        return (setting.lr, seed), [{"val_loss": loss, "val_acc": loss}]

    def score(model, data, split):
        tested.append((model, split))
        return {"loss": 0.7 + model[1], "acc": 0.5}

    monkeypatch.setattr(digit_search, "train_network", trained)
    monkeypatch.setattr(digit_search, "score", score)
    settings = [replace(SETTING, lr=lr) for lr in losses]
    found = Search(settings, **search(DATA, settings, BUDGET))
    assert found.setting.lr == 0.2
    assert tested == [((0.2, 0), "test"), ((0.2, 1), "test")]
    assert found.test("loss") == [0.7, 1.7]


def test_a_training_that_ends_early_counts_as_guessing_whatever_weights_it_had(monkeypatch):
    def diverging(*args, **options):
        raise FloatingPointError

    monkeypatch.setattr(digit_search, "train_epochs", diverging)
    model, rows = train_network(DATA, SETTING, 0, BUDGET)
    assert model is None
    assert rows == [
        {"epoch": 4, "train_loss": math.inf, "train_acc": 1 / 3}
        | {"val_loss": math.inf, "val_acc": 1 / 3}
    ]
