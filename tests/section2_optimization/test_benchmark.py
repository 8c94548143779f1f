"""The race of the update rules: equal steps or no race, and every number is written."""

import json

import pytest
import torch

from section2_optimization import benchmark

SMALL = ("--no-show", "--rounds", "2", "--steps", "1")


@pytest.fixture(autouse=True)
def few_parameters(monkeypatch):
    threads = torch.get_num_threads()
    monkeypatch.setattr(benchmark, "SHAPE", (3, 4))
    yield
    torch.set_num_threads(threads)  # which the script has set


def test_every_rule_is_raced(tmp_path):
    benchmark.main([*SMALL, "--runs-dir", str(tmp_path)])
    summary = json.loads((tmp_path / "benchmark" / "summary.json").read_text())
    assert [result["rule"] for result in summary["results"]] == list(benchmark.RULES)
    for result in summary["results"]:
        assert result["ratio"] == result["torch_ms"] / result["ours_ms"] > 0
        for who in ("ours", "torch"):
            low, high = result[f"{who}_quartiles_ms"]
            assert low <= result[f"{who}_ms"] <= high


@pytest.mark.parametrize("theirs", [("SGD", {}), ("RMSprop", {})], ids=str)
def test_rules_that_take_other_steps_are_not_compared(tmp_path, monkeypatch, theirs):
    monkeypatch.setitem(benchmark.RULES, "adam", (("adam", {}), theirs))
    with pytest.raises(RuntimeError, match="PyTorch's adam does not compute"):
        benchmark.main([*SMALL, "--runs-dir", str(tmp_path)])


def test_pytorch_has_the_threads_that_were_asked_for(tmp_path):
    for threads in (1, 3):
        benchmark.main([*SMALL, "--threads", str(threads), "--runs-dir", str(tmp_path)])
        assert torch.get_num_threads() == threads
