"""What the benchmark measures against, and that it measures equal things."""

import json

import numpy as np
import pytest
import torch

from section3_cnn import benchmark
from section3_cnn.losses import SoftmaxCrossEntropy
from section3_cnn.model import build_cnn
from section3_cnn.speed import Workers
from section3_cnn.speed.cost import operations
from section3_cnn.speed.naive import NaiveConv2D, NaiveMaxPool2D, usual_cnn
from tests.section3_cnn.helpers import assert_like_torch


@pytest.mark.parametrize("seed", range(20))
def test_the_naive_convolution_is_pytorchs(seed):
    rng = np.random.default_rng(seed)
    (kh, kw, sh, sw), (ph, pw) = rng.integers(1, 4, 4), rng.integers(0, 3, 2)
    layer = NaiveConv2D(2, 3, (kh, kw), (sh, sw), (ph, pw), rng=rng, dtype=np.float64)
    assert_like_torch(layer, rng.standard_normal((4, 2, 6, 7)), rng)


@pytest.mark.parametrize("seed", range(20))
def test_the_naive_pool_is_pytorchs(seed):
    rng = np.random.default_rng(seed)
    kh, kw, sh, sw = rng.integers(1, 4, 4)
    x = rng.integers(0, 3, (4, 2, 6, 7)).astype(np.float64)  # with ties, which go to the first
    assert_like_torch(NaiveMaxPool2D((kh, kw), (sh, sw)), x, rng)


def test_the_usual_network_has_our_weights_and_gradients():
    rng = np.random.default_rng(0)
    x, y = rng.random((6, 1, 28, 28), np.float32), rng.integers(0, 10, 6)
    found = []
    for network in (
        build_cnn(rng=np.random.default_rng(1)),
        usual_cnn(rng=np.random.default_rng(1)),
    ):
        loss_fn = SoftmaxCrossEntropy()
        loss_fn.forward(network.forward(x), y)
        network.backward(loss_fn.backward())
        found.append((network.params, network.grads))
    (params, grads), (usual_params, usual_grads) = found
    for key, array in params.items():
        np.testing.assert_array_equal(usual_params[key], array)
        np.testing.assert_allclose(usual_grads[key], grads[key], rtol=1e-3, atol=1e-6)


def test_operations_are_counted_from_the_shapes():
    forward = 2 * (784 * 8 * 9 + 196 * 16 * 8 * 9 + 784 * 128 + 128 * 10)
    assert operations() == 3 * forward - 2 * 784 * 8 * 9


def test_pytorch_keeps_its_threads_beside_our_workers():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with Workers(build_cnn(rng=np.random.default_rng(0)), 1):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_the_usual_network_races_against_one_core(monkeypatch):
    cores = []

    class Noted(Workers):
        def __init__(self, model, count):
            cores.append(count)
            super().__init__(model, count)

    monkeypatch.setattr(benchmark, "Workers", Noted)
    benchmark.race_naive(benchmark.Race(rounds=1, steps=1, threads=2, seed=0))
    assert cores == [1]


def test_the_benchmark_writes_every_number(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "BATCH_SIZES", (32,))
    small = ("--rounds", "1", "--steps", "1", "--samples", "64", "--threads", "1")
    returned = benchmark.main(["--no-show", "--runs-dir", str(tmp_path), *small])
    folder = tmp_path / "benchmark"
    summary = json.loads((folder / "summary.json").read_text())
    assert [result["dtype"] for result in summary["results"]] == ["float32", "float64"]
    for result, same in zip(summary["results"], returned["results"], strict=True):
        fastest = min(result["torch_ms"], result["torch_channels_last_ms"])
        assert result["ratio"] == same["ratio"] == fastest / result["ours_ms"]
        assert result["fraction_of_peak"] > 0
        low, high = result["ratio_quartiles"]
        assert low <= result["ratio"] <= high
    naive = summary["naive"]
    for dtype in ("float32", "float64"):
        assert naive[f"ratio_{dtype}"] == naive[f"naive_{dtype}_ms"] / naive["ours_ms"]
    assert summary["epoch"]["samples"] == 64
    assert set(summary["layers_us"]) >= {"conv1", "pool1", "fc2"}
    assert (folder / "steps.png").stat().st_size < 150_000
