"""Signal and gradient before training: against autograd, and against the derivation's factors."""

import json
import warnings

import numpy as np
import pytest
import torch

from section1_mlp import initialization
from section1_mlp.model import MLP
from section1_mlp.study.signals import SAMPLES, SCHEMES, Sizes, conclude, signal_and_gradient
from tests.section1_mlp.helpers import TORCH


@pytest.mark.parametrize("activation", list(TORCH))
def test_signal_and_gradient_are_those_of_autograd(activation):
    signal, gradient = signal_and_gradient(
        activation, 0.3, width=6, depth=4, rng=np.random.default_rng(3)
    )
    rng = np.random.default_rng(3)  # the same draws: inputs, weights from the bottom up, gradient
    A, Zs = torch.tensor(rng.normal(size=(SAMPLES, 6))), []
    for _ in range(4):
        Z = A @ torch.tensor(rng.normal(0, np.sqrt(0.3), (6, 6)))
        Zs.append(Z.requires_grad_().clone() if not Zs else Z)
        Zs[-1].retain_grad()
        A = TORCH[activation](Zs[-1])
    A.backward(torch.tensor(rng.normal(size=(SAMPLES, 6))))
    for Z, size, of_gradient in zip(Zs, signal, gradient, strict=True):
        values = Z.detach().numpy()
        centred = values - values.mean(axis=0)
        assert size == pytest.approx(np.sqrt((centred**2).mean()))
        assert of_gradient == pytest.approx(np.sqrt((Z.grad.numpy() ** 2).mean()))


@pytest.mark.parametrize(
    ("activation", "scheme", "factor"),
    [  # by which a layer of 256 units multiplies the gradient: sqrt(n Var(W) E[g'^2])
        ("tanh", "N(0, 0.01²)", 0.16),
        ("sigmoid", "N(0, 0.01²)", 0.16 / 4),
        ("relu", "Glorot, 1/n", np.sqrt(1 / 2)),
        ("relu", "He, 2/n", 1.0),
    ],
)
def test_layers_multiply_the_gradient_by_what_is_derived(activation, scheme, factor):
    sizes = initialization.measure(activation, scheme, 256, 4, range(3))
    assert np.median(sizes.gradient_factor) == pytest.approx(factor**3, rel=0.15)
    if activation != "relu":  # a part of whose signal becomes the same for all inputs
        assert np.median(sizes.signal_factor[-1]) == pytest.approx(factor**3, rel=0.15)


def test_he_keeps_the_mean_square_of_relu_while_its_deviation_over_inputs_falls():
    squares, variances = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        model = MLP([128] * 12, "relu", rng=rng, dtype=np.float64)
        _, first, *_, last = model.hidden(rng.normal(size=(50, 128)))
        squares.append(np.mean(last**2) / np.mean(first**2))
        variances.append(last.var(axis=0).mean() / first.var(axis=0).mean())
    assert np.mean(squares) == pytest.approx(1, abs=0.4)
    assert np.mean(variances) < 0.35


def test_factors_go_up_for_the_signal_and_down_for_the_gradient():
    sizes = Sizes(np.array([[2.0, 3, 1], [4, 4, 8]]), np.array([[0.5, 1, 2], [3, 2, 1]]))
    np.testing.assert_allclose(sizes.signal_factor, [1 / 2, 2])
    np.testing.assert_allclose(sizes.gradient_factor, [1 / 4, 3])


def test_the_conclusion_names_the_scheme_whose_factor_is_nearest_to_one():
    def spread(median):
        return {"low": median / 2, "median": median, "high": median * 2}

    factors = {"lost": 0.0, "a": 1e-2, "b": 30.0, "broken": float("nan"), "inf": float("inf")}
    schemes = {name: {"signal": spread(0.3), "gradient": spread(f)} for name, f in factors.items()}
    assert conclude({"tanh": schemes}) == [
        "tanh: b keeps the gradient nearest its size: what reaches the first layer is 30"
        " (15 to 60) times what left the last; the signal is 0.3 times the first layer's"
    ]


def test_the_script_writes_every_number_and_repeats_it(tmp_path, monkeypatch):
    argv = ["--width", "32", "--depth", "6", "--seeds", "2", "--no-show"]
    written = []
    for name in ("one", "two"):
        initialization.main([*argv, "--runs-dir", str(tmp_path / name)])
        written.append(json.loads((tmp_path / name / "initialization/summary.json").read_text()))
        monkeypatch.setattr(initialization, "save_figure", lambda *_: None)  # once is enough
        monkeypatch.setattr(initialization, "draw", lambda _: None)
    assert (tmp_path / "one" / "initialization" / "signals.png").stat().st_size > 0
    assert written[0] == written[1]
    assert list(written[0]["runs"]) == ["relu", "sigmoid", "tanh"]
    for schemes in written[0]["runs"].values():
        assert list(schemes) == list(SCHEMES)
        for result in schemes.values():
            for size in ("signal", "gradient"):
                assert 0 < result[size]["low"] <= result[size]["median"] <= result[size]["high"]
    he = written[0]["runs"]["relu"]["He, 2/n"]["gradient"]["median"]
    assert 0.3 < he < 3


def test_signals_that_die_out_or_overflow_are_no_errors(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for width, depth in ((1, 30), (16, 500)):
            argv = ["--width", str(width), "--depth", str(depth), "--seeds", "1", "--no-show"]
            summary = initialization.main([*argv, "--runs-dir", str(tmp_path)])
            assert len(summary["conclusions"]) == 3
