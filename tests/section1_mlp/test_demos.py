"""Section 1's two demos: regression on the diabetes data, and universal approximation."""

import signal

import numpy as np
import pytest

from section1_mlp import mlp_regression, universal_approximation
from section1_mlp.model import MLP
from section1_mlp.study.approximation import spread_units
from section1_mlp.study.regression import OURS, Scores, conclude
from section1_mlp.study.regressor import NumpyMLPRegressor
from section1_mlp.study.targets import make_targets
from shared_utils.errors import UserError
from shared_utils.runs.interrupts import Interrupted
from tests.resume_helpers import outcome


def test_regression_beats_a_constant_and_follows_ridge(tmp_path, monkeypatch):
    everyone = mlp_regression.competitors

    def two(*args):
        return {name: everyone(*args)[name] for name in (OURS, "ridge regression")}

    monkeypatch.setattr(mlp_regression, "competitors", two)  # scikit-learn's MLP takes its time
    summary = mlp_regression.main(
        ["--repeats", "1", "--epochs", "15", "--no-show", "--runs-dir", str(tmp_path)]
    )
    r2 = {name: result["r2"]["mean"] for name, result in summary["runs"].items()}
    assert min(r2.values()) > 0.3
    assert abs(r2["our MLP"] - r2["ridge regression"]) < 0.1
    assert (tmp_path / "regression" / "predicted_against_true.png").exists()


def test_a_regressor_without_hidden_nonlinearity_finds_the_line():
    # y = 3 x_0 - x_1 is nearly linear in a tanh network of small slopes; least squares is exact.
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2)) * 0.1
    y = 3 * x[:, 0] - x[:, 1]
    fitted = NumpyMLPRegressor(weight_decay=0, epochs=200, lr=0.1).fit(x, y)
    assert np.mean((fitted.predict(x) - y) ** 2) < 1e-4 * y.var()


def test_nadeau_and_bengios_interval_by_hand():
    r2 = {"our MLP": [0.5, 0.6, 0.4, 0.5, 0.6], "other": [0.4, 0.4, 0.4, 0.4, 0.4]}
    # differences 0.1, 0.2, 0, 0.1, 0.2: mean 0.12, variance 0.007; t(0.975, 4) = 2.776
    half = 2.776445 * np.sqrt((1 / 5 + 1 / 4) * 0.007)
    (line,) = conclude({name: Scores(np.zeros(1), values) for name, values in r2.items()})
    interval = f"{0.12 - half:+.3f} to {0.12 + half:+.3f}"
    assert line == (
        f"R^2, our MLP minus other: +0.120, 95 % interval {interval}: no clear difference"
        " (over 5 folds)"
    )


def test_targets_have_mean_0_and_variance_1_where_the_error_is_measured():
    for target in make_targets().values():
        assert target.y_dense.mean() == pytest.approx(0, abs=1e-12)
        assert target.y_dense.std() == pytest.approx(1)
        assert target.x.shape == (256, target.x_dense.shape[1])
        assert np.abs(target.x).max() == np.abs(target.x_dense).max() == 1


def test_units_are_spread_over_the_domain():
    model = MLP([1, 500, 1], "relu", "linear", rng=np.random.default_rng(0), dtype=np.float64)
    spread_units(model, 2.0, np.random.default_rng(1))
    W, b = model.params["W1"][0], model.params["b1"]
    kinks = np.sort(-b / W)  # where w x + b = 0
    np.testing.assert_allclose(kinks, np.linspace(-1, 1, 500), atol=0.1)
    assert 1 <= np.abs(W).min() < np.abs(W).max() <= 3


def approximate(arguments, runs):
    return universal_approximation.main(
        [*arguments.split(), "--seeds", "1", "--no-show", "--runs-dir", str(runs)]
    )


def test_approximation_improves_with_width_and_reaches_the_sine(tmp_path):
    summary = approximate("--epochs 250 --widths 4 32", tmp_path)
    sine = {a: r for a, r in summary["runs"]["sine"].items() if a != "best"}
    for by_width in sine.values():
        assert by_width[32]["mean"] < by_width[4]["mean"] < 1
    assert sine["tanh"][32]["mean"] < 1e-3
    by_hand = summary["by_hand"]
    assert by_hand["step"]["mse"] < 0.1 * summary["runs"]["step"]["sigmoid"][32]["mean"]
    assert by_hand["sine"]["mse"] > sine["sigmoid"][32]["mean"]
    names = {path.name for path in (tmp_path / "approximation").glob("*.png")}
    assert names == {"by_hand.png", "error_by_width.png", "fits.png", "surface.png"}


def test_a_fit_no_better_than_a_constant_is_a_failed_run(tmp_path):
    with pytest.raises(UserError, match="no better than a constant at width 2: relu on sine"):
        approximate("--epochs 2 --lr 1e4 --widths 2", tmp_path)
    assert (tmp_path / "approximation" / "summary.json").exists()


def test_a_stopped_approximation_resumes_to_the_same_bytes(tmp_path, monkeypatch):
    for figure in ("draw_by_hand", "draw_errors", "draw_fits", "draw_surface", "save_figure"):
        monkeypatch.setattr(universal_approximation, figure, lambda *args: None)
    argv = ["--epochs", "150", "--widths", "8", "--seeds", "1", "--no-show"]
    imitate, calls = universal_approximation.imitate, []

    def stopping(*args, **options):
        calls.append(args)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)
        return imitate(*args, **options)

    universal_approximation.main([*argv, "--runs-dir", str(tmp_path / "whole")])
    monkeypatch.setattr(universal_approximation, "imitate", stopping)
    with pytest.raises(Interrupted):
        universal_approximation.main([*argv, "--runs-dir", str(tmp_path / "stopped")])
    universal_approximation.main([*argv, "--resume", "--runs-dir", str(tmp_path / "stopped")])
    whole, stopped = (outcome(tmp_path / name / "approximation") for name in ("whole", "stopped"))
    assert stopped == whole
    assert len(calls) == 3 * len(make_targets()) + 1
