"""The comparison is fair by construction: equal starts, equal batches, a rate for each."""

import math
from dataclasses import replace

import numpy as np
import pytest

from section2_optimization import training
from section2_optimization.study import comparison
from section2_optimization.study.comparison import (
    METHODS,
    Budget,
    Trial,
    best_lr,
    make_methods,
    run_trial,
    search,
)
from section2_optimization.study.toy_data import make_toy_data

MOONS = make_toy_data("moons", 0)
BY_NAME = {method.name: method for method in make_methods(METHODS)}


def budget(lrs=(0.1,), seeds=(0,), epochs=2):
    return Budget(lrs, seeds, epochs, batch_size=32)


def trial(name="sgd", lr=0.1, seed=0, epochs=2, schedule="constant"):
    method = replace(BY_NAME[name], schedule=schedule)
    return run_trial(MOONS, method, lr, seed, budget(epochs=epochs))


def test_the_same_seed_gives_the_same_numbers_and_another_one_others():
    first, again, other = trial(), trial(), trial(seed=1)
    assert first.history == again.history != other.history
    for key, param in first.model.params.items():
        np.testing.assert_array_equal(param, again.model.params[key])


def test_all_methods_start_from_the_same_weights():
    same = ("train_loss", "val_loss", "param_norm", "grad_norm")
    starts = {tuple(trial(name, epochs=1).history[0][key] for key in same) for name in BY_NAME}
    assert len(starts) == 1


def test_all_methods_see_the_same_batches(monkeypatch):
    seen = []
    real = training.minibatches

    def spy(n, size, rng):
        for batch in real(n, size, rng):
            seen[-1].append(batch)
            yield batch

    monkeypatch.setattr(training, "minibatches", spy)
    for name in BY_NAME:
        seen.append([])
        trial(name)
    full, *others = seen
    assert [len(batch) for batch in full] == [300, 300]  # gradient descent: one step an epoch
    for batches in others:
        assert [len(batch) for batch in batches] == ([32] * 9 + [12]) * 2
        assert all(np.array_equal(a, b) for a, b in zip(batches, others[0], strict=True))


def test_a_training_learns_and_is_measured_from_start_to_end():
    result = trial("adam", 0.03, epochs=30)
    assert [result.history[0]["epoch"], result.history[-1]["epoch"]] == [0, 30]
    assert result.history[-1]["train_loss"] < 0.15 < result.history[0]["train_loss"]
    assert result.history[-1]["val_acc"] > 0.93
    params = np.concatenate([param.ravel() for param in result.model.params.values()])
    assert result.history[-1]["param_norm"] == pytest.approx(np.linalg.norm(params), rel=1e-5)


def test_a_schedule_sets_the_rate_of_every_step(monkeypatch):
    lrs = []
    monkeypatch.setattr(
        comparison,
        "make_optimizer",
        lambda name, lr, **options: Recorder(lrs),
    )
    trial(schedule="cosine")
    expected = [0.1 * (1 + math.cos(math.pi * t / 20)) / 2 for t in range(20)]
    assert lrs == pytest.approx(expected)


class Recorder:
    steps = 0
    lr = None

    def __init__(self, lrs):
        self.lrs = lrs

    def step(self, params, grads):
        self.lrs.append(self.lr)
        self.steps += 1


def test_a_training_that_overflows_is_marked_and_counts_as_infinitely_bad():
    result = trial(lr=1e300)
    assert result.diverged and result.final("val_loss") == math.inf
    found = search(MOONS, BY_NAME["sgd"], budget(lrs=(0.1, 1e300)))
    assert best_lr(found) == 0.1


def test_the_rate_is_chosen_by_the_mean_validation_loss_and_by_nothing_else():
    def made(*val_losses):
        rows = [{"val_loss": loss, "train_loss": -loss, "val_acc": loss} for loss in val_losses]
        return [Trial(0.1, 0, None, history=[row]) for row in rows]

    assert best_lr({0.1: made(0.1, 0.9), 0.2: made(0.4, 0.4), 0.3: made(0.5, 0.5)}) == 0.2


def test_options_reach_the_methods_that_have_them():
    sgd, momentum, adam = make_methods(["sgd", "momentum", "adam"], momentum=0.5, betas=(0.1, 0.2))
    assert (sgd.options, momentum.options) == ({}, {"momentum": 0.5})
    assert adam.options == {"betas": (0.1, 0.2)}
    assert METHODS["momentum"].options == {"momentum": 0.9}
