"""The race of the MLP against PyTorch: equal losses or no race, and every number is written."""

import json

import pytest
import torch

from section1_mlp import benchmark

SMALL = ("--no-show", "--rounds", "1", "--steps", "1", "--samples", "256", "--threads", "1")


def test_every_number_is_written(tmp_path):
    benchmark.main([*SMALL, "--runs-dir", str(tmp_path)])
    summary = json.loads((tmp_path / "benchmark" / "summary.json").read_text())
    assert (tmp_path / "benchmark" / "steps.png").stat().st_size > 0
    assert torch.get_num_threads() == 1
    raced = [(result["dtype"], result["batch"]) for result in summary["results"]]
    assert raced == [(d, n) for d in ("float32", "float64") for n in benchmark.BATCH_SIZES]
    for result in summary["results"]:
        assert result["ratio"] == result["torch_ms"] / result["ours_ms"] > 0
        low, high = result["ratio_quartiles"]
        assert low <= result["ratio"] <= high
        assert result["fraction_of_peak"] > 0
        for who in ("ours", "torch"):
            low, high = result[f"{who}_quartiles_ms"]
            assert low <= result[f"{who}_ms"] <= high
    assert list(summary["components_ms"]) == ["forward and loss", "backward", "update"]
    epoch = summary["epoch"]
    assert epoch["ratio"] == epoch["torch_seconds"] / epoch["ours_seconds"] > 0
    assert epoch["samples"] == 256


def test_networks_that_learn_differently_are_not_compared(tmp_path, monkeypatch):
    ours = benchmark.our_step

    def faster(model):
        monkeypatch.setattr(benchmark, "LR", 0.02)
        step = ours(model)
        monkeypatch.setattr(benchmark, "LR", 0.01)
        return step

    monkeypatch.setattr(benchmark, "our_step", faster)
    with pytest.raises(RuntimeError, match="does not compute what the others do"):
        benchmark.main([*SMALL, "--runs-dir", str(tmp_path)])
