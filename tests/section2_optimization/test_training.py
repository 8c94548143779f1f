"""The comparison: fair by construction, told in computed words, complete in its outputs."""

import csv
import json
import math

import numpy as np
import pytest
from PIL import Image

from section2_optimization import comparison, train
from section2_optimization.comparison import Trial, best_rate, make_arms, run_trial, search
from section2_optimization.conclusions import conclude, conclude_schedules, summarise
from section2_optimization.toy_data import NAMES, SIZES, make_toy_data


@pytest.mark.parametrize("name", NAMES)
def test_toy_data_are_split_scaled_balanced_and_repeatable(name):
    data, again = make_toy_data(name, 0), make_toy_data(name, 0)
    for part, size in SIZES.items():
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        assert x.shape == (size, 2) and x.dtype == np.float32 and y.shape == (size,)
        assert 0.4 < y.mean() < 0.6
        np.testing.assert_array_equal(x, getattr(again, f"x_{part}"))
    np.testing.assert_allclose(data.x_train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(data.x_train.std(axis=0), 1, atol=1e-5)
    assert not np.array_equal(data.x_train, make_toy_data(name, 1).x_train)
    points = np.concatenate([data.x_train, data.x_val, data.x_test])
    assert len(np.unique(points, axis=0)) == sum(SIZES.values())  # no point is in two parts


def test_the_data_grow_in_difficulty_for_a_linear_model():
    from sklearn.linear_model import LogisticRegression

    data = {name: make_toy_data(name, 0) for name in NAMES}
    accuracy = {
        name: LogisticRegression().fit(d.x_train, d.y_train).score(d.x_test, d.y_test)
        for name, d in data.items()
    }
    assert accuracy["linear"] > 0.9 > accuracy["moons"] > 0.8 > accuracy["spirals"]
    assert accuracy["circles"] < 0.6


MOONS = make_toy_data("moons", 0)
ARMS = {arm.name: arm for arm in make_arms(comparison.ARMS)}


def trial(arm="sgd", lr=0.1, seed=0, epochs=2, batch_size=32, **options):
    return run_trial(MOONS, ARMS[arm], lr, seed, epochs=epochs, batch_size=batch_size, **options)


def test_the_same_seed_gives_the_same_numbers_and_another_one_others():
    first, again, other = trial(), trial(), trial(seed=1)
    assert first.history == again.history != other.history
    for key, param in first.model.params.items():
        np.testing.assert_array_equal(param, again.model.params[key])


def test_all_arms_start_from_the_same_weights():
    same = ("train_loss", "val_loss", "param_norm", "grad_norm")
    starts = {tuple(trial(arm, epochs=1).history[0][key] for key in same) for arm in ARMS}
    assert len(starts) == 1


def test_all_arms_see_the_same_batches(monkeypatch):
    seen = []
    real = comparison.minibatches

    def spy(n, size, rng):
        for batch in real(n, size, rng):
            seen[-1].append(batch)
            yield batch

    monkeypatch.setattr(comparison, "minibatches", spy)
    for arm in ARMS:
        seen.append([])
        trial(arm)
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
    rates = []
    monkeypatch.setattr(
        comparison,
        "make_optimizer",
        lambda name, lr, **options: Recorder(rates),
    )
    trial(schedule="cosine")
    expected = [0.1 * (1 + math.cos(math.pi * t / 20)) / 2 for t in range(20)]
    assert rates == pytest.approx(expected)


class Recorder:
    steps = 0
    lr = None

    def __init__(self, rates):
        self.rates = rates

    def step(self, params, grads):
        self.rates.append(self.lr)
        self.steps += 1


def test_a_training_that_overflows_is_marked_and_counts_as_infinitely_bad():
    result = trial(lr=1e300)
    assert result.diverged and result.final("val_loss") == math.inf
    found = search(MOONS, ARMS["sgd"], [0.1, 1e300], [0], lambda: None, epochs=2, batch_size=32)
    assert best_rate(found) == 0.1


def test_the_rate_is_chosen_by_the_mean_validation_loss_and_by_nothing_else():
    def made(*val_losses):
        rows = [{"val_loss": loss, "train_loss": -loss, "val_acc": loss} for loss in val_losses]
        return [Trial("sgd", "constant", 0.1, 0, None, history=[row]) for row in rows]

    assert best_rate({0.1: made(0.1, 0.9), 0.2: made(0.4, 0.4), 0.3: made(0.5, 0.5)}) == 0.2


def test_the_summary_counts_over_the_whole_test_set():
    found = search(MOONS, ARMS["sgd"], [0.3], [0, 1], lambda: None, epochs=5, batch_size=32)
    result = summarise(MOONS, {"sgd": found})["sgd"]
    accuracies = [
        np.mean(t.model.forward(MOONS.x_test).argmax(axis=1) == MOONS.y_test) for t in found[0.3]
    ]
    assert result["test_acc"] == pytest.approx(accuracies[0])
    assert result["over_seeds"]["test_acc"]["mean"] == pytest.approx(np.mean(accuracies))
    low, high = result["test_ci95"]
    assert low < result["test_acc"] < high


def results(**losses):
    return {
        arm: {
            "lr": 0.1,
            "diverged": values is None,
            "test_losses": values,
            "over_seeds": {"test_loss": {"mean": np.mean(values or [np.inf])}},
        }
        for arm, values in losses.items()
    }


def test_conclusions_are_computed_from_differences_within_seeds():
    line = conclude("moons", results(sgd=[0.31, 0.21, 0.11], adam=[0.3, 0.2, 0.1], gd=None))
    assert "adam is first" in line and "sgd second" in line and "+0.0100 apart" in line
    assert "beyond twice the spread over 3 seeds" in line and "not told apart" not in line
    line = conclude("moons", results(sgd=[0.1, 0.3, 0.2], adam=[0.2, 0.1, 0.21]))
    assert "within twice the spread" in line and "not told apart from adam: sgd" in line
    assert "--seeds" in conclude("moons", results(sgd=[0.2], adam=[0.1]))
    assert "guessing" in conclude("moons", results(sgd=[0.9], adam=None))
    assert "guessing" in conclude("moons", results(adam=None))
    line = conclude_schedules("moons", "momentum", results(constant=[0.3, 0.2], cosine=[0.2, 0.1]))
    assert "cosine is first" in line and "+0.1000 below a constant rate, beyond" in line


def test_the_script_writes_everything(tmp_path, capsys):
    arguments = ["--no-show", "--runs-dir", str(tmp_path), "--datasets", "moons", "--epochs", "3"]
    arguments += ["--optimizers", "sgd", "adam", "--rates", "0.1", "--seeds", "2"]
    summary = train.main([*arguments, "--schedules", "constant", "cosine"])
    folder = tmp_path / "train"
    figures = {"boundaries", "curves_moons", "paths", "schedules", "sensitivity"}
    expected = {f"{name}.png" for name in figures}
    expected |= {"config.json", "metrics.csv", "paths.gif", "summary.json"}
    assert {path.name for path in folder.iterdir()} == expected
    assert all(path.stat().st_size < 150_000 for path in folder.glob("*.png"))
    with Image.open(folder / "paths.gif") as animation:
        assert animation.n_frames > 20
    assert set(summary["runs"]) == {"moons/sgd", "moons/adam"}
    assert summary["runs"]["moons/sgd"]["test_acc"] > 0.8
    assert (
        json.loads((folder / "summary.json").read_text())["runs"].keys() == summary["runs"].keys()
    )
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    # Two optimizers and two schedules, two seeds, at the start and after each of three epochs.
    assert len(rows) == (2 + 2) * 2 * 4
    out = capsys.readouterr().out
    assert "gradient check: 42 arrays right" in out
    assert all(line in out for line in summary["conclusions"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--optimizers", "adamm"], "'gd', 'sgd', 'momentum'"),
        (["--schedules", "cosin"], "'constant', 'step'"),
        (["--datasets", "mnist"], "'linear', 'moons'"),
        (["--rates", "0"], "above 0"),
        (["--rates", "-1"], ""),
        (["--rates", "nan"], "above 0"),
        (["--momentum", "1"], "momentum must be in [0, 1)"),
        (["--momentum", "0"], "nesterov needs a momentum"),
        (["--betas", "0.9", "1"], "beta2 must be in [0, 1)"),
        (["--epochs", "0"], "from 1 to 2^31 - 1"),
        (["--epochs", "1", "--batch-size", "300"], "too few"),
    ],
)
def test_bad_flags_end_in_one_line_and_status_2(arguments, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        train.main([*arguments, "--no-show", "--runs-dir", str(tmp_path)])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not any(tmp_path.iterdir())


def test_unknown_names_are_told_in_words():
    with pytest.raises(ValueError, match="gd, sgd, momentum"):
        make_arms(["adamm"])
    with pytest.raises(ValueError, match="linear, moons, circles, spirals"):
        make_toy_data("mnist", 0)
