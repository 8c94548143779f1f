"""Section 3's trainings, stopped in every way, end byte-identical to an uninterrupted run."""

import errno
import itertools
import os
import signal

import pytest

from section3_cnn import pooling_comparison, receptive_field, train_mnist_numpy
from shared_utils.cli import start
from shared_utils.errors import UserError
from shared_utils.runs.checkpoints import save_checkpoint
from tests.resume_helpers import kill, outcome, stop

# Dropout, batch norm and augmentation, each with a state of its own; 2 epochs of 4 steps, 2 seeds.
ARGS = ["--dataset", "digits", "--no-show", "--epochs", "2", "--limit", "200"]
DEEP = [*ARGS, "--arch", "deep", "--augment", "--seeds", "2", "--lr", "0.05"]
EVERY_STEP = ["--checkpoint-minutes", "1e-9"]


@pytest.fixture(scope="module", autouse=True)
def no_figures():
    with pytest.MonkeyPatch.context() as patch:
        for script, figure in (
            (train_mnist_numpy, "draw_curves"),
            (pooling_comparison, "draw_validation"),
            (pooling_comparison, "draw_shifts"),
            (receptive_field, "draw_theoretical"),
            (receptive_field, "draw_effective"),
        ):
            patch.setattr(script, figure, lambda *args, **options: None)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return what the run leaves behind when nothing stops it."""
    runs = tmp_path_factory.mktemp("whole")
    train_mnist_numpy.main([*DEEP, "--threads", "1", "--runs-dir", str(runs)])
    return outcome(runs / "mnist_numpy")


@pytest.mark.parametrize(
    "stops",
    [
        [(6, signal.SIGTERM), (3, signal.SIGINT)],  # after the best epoch; in the second seed
        [(8, signal.SIGINT)],  # the end of a seed
    ],
)
def test_an_interrupted_run_resumes_to_the_same_bytes(stops, whole, tmp_path, monkeypatch):
    argv = [*DEEP, "--threads", "2", "--runs-dir", str(tmp_path)]
    for step, number in stops:
        stop(monkeypatch, train_mnist_numpy.main, argv, step, number)
    train_mnist_numpy.main([*argv, "--resume"])
    assert outcome(tmp_path / "mnist_numpy") == whole


@pytest.mark.parametrize(("where", "count"), [("rename", 9)])
def test_a_killed_run_resumes_to_the_same_bytes(where, count, whole, tmp_path):
    argv = [*DEEP, *EVERY_STEP, "--threads", "1", "--runs-dir", str(tmp_path)]
    kill("section3_cnn.train_mnist_numpy", where, count, argv)
    train_mnist_numpy.main([*argv, "--resume"])
    assert outcome(tmp_path / "mnist_numpy") == whole


def test_the_comparison_resumes_network_by_network(tmp_path, monkeypatch):
    argv = [*ARGS, "--seeds", "1", "--threads", "1", "--runs-dir"]
    pooling_comparison.main([*argv, str(tmp_path / "whole")])
    stopped = [*argv, str(tmp_path / "stopped")]
    stop(monkeypatch, pooling_comparison.main, stopped, 11, signal.SIGINT)
    stop(monkeypatch, pooling_comparison.main, stopped, 21, signal.SIGTERM)  # the last step
    pooling_comparison.main([*stopped, "--resume"])
    results = [outcome(tmp_path / name / "pooling_compare") for name in ("whole", "stopped")]
    assert results[0] == results[1]


def test_receptive_fields_resume_with_the_fields_before_training(tmp_path, monkeypatch):
    argv = [*ARGS, "--seeds", "1", "--images", "20", "--runs-dir"]
    receptive_field.main([*argv, str(tmp_path / "whole")])
    stopped = [*argv, str(tmp_path / "stopped")]
    stop(monkeypatch, receptive_field.main, stopped, 5, signal.SIGINT)
    receptive_field.main([*stopped, "--resume"])
    results = [outcome(tmp_path / name / "receptive_field") for name in ("whole", "stopped")]
    assert results[0] == results[1]


def test_a_foreign_state_is_refused(tmp_path, monkeypatch):
    argv = [*DEEP, "--threads", "1", "--runs-dir", str(tmp_path)]
    stop(monkeypatch, train_mnist_numpy.main, argv, 1, signal.SIGINT)
    for state in ({}, None, {"step": 1, "arrays": {}}):
        save_checkpoint(
            tmp_path / "mnist_numpy" / "last.pkl", {"name": "deep-seed0", "state": state}
        )
        with pytest.raises(UserError, match="does not hold the state of deep-seed0"):
            train_mnist_numpy.main([*argv, "--resume"])


def test_a_disc_that_fills_up_spares_the_checkpoint(whole, tmp_path, monkeypatch):
    argv = [*DEEP, *EVERY_STEP, "--threads", "1", "--runs-dir", str(tmp_path)]
    flush, calls = os.fsync, itertools.count(1)

    def full(file: int) -> None:
        flush(file)
        if next(calls) == 5:  # config.json, last.pkl, last.pkl, metrics.csv, last.pkl
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SystemExit) as end:
            start(lambda: train_mnist_numpy.main(argv))
    assert end.value.code == 2
    assert not list((tmp_path / "mnist_numpy").glob(".*"))
    train_mnist_numpy.main([*argv, "--resume"])
    assert outcome(tmp_path / "mnist_numpy") == whole
