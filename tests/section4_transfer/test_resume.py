"""Section 4's trainings, stopped in every way, end byte-identical to an uninterrupted one."""

import errno
import itertools
import os
import pickle
import signal

import pytest
import torch
import torchvision

from section4_transfer import augmentation_study, pretrain, resnet_vs_plain, transfer_learning
from section4_transfer.study import (
    augmentation,
    augmentation_plots,
    class_plots,
    depth_plots,
    transfer,
    transfer_plots,
)
from shared_utils.cli import start
from shared_utils.errors import NothingToDo, UserError
from tests.resume_helpers import kill, outcome, stop
from tests.section4_transfer.helpers import half_a_resnet18

SMALL = ["--dataset", "photo-digits", "--device", "cpu", "--limit", "60", "--no-show"]
# Two networks of 2 epochs of 4 steps.
ARGS = [*SMALL, "--depth", "8", "--epochs", "2", "--batch-size", "16", "--lr", "0.5"]
ARGS += ["--ema", "0.9", "--schedule", "step", "--warm-up", "0.5", "--label-smoothing", "0.1"]
EVERY_STEP = ["--checkpoint-minutes", "1e-9"]


@pytest.fixture(scope="module", autouse=True)
def no_figures():
    with pytest.MonkeyPatch.context() as patch:
        for module in (depth_plots, augmentation_plots, transfer_plots):
            patch.setattr(module, "draw_all", lambda *args: None)
        patch.setattr(augmentation_plots, "grid", lambda *args: None)
        for name in ("curves", "frozen_stages"):
            patch.setattr(transfer_plots, name, lambda *args: None)
        patch.setattr(class_plots, "confusion", lambda *args: None)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return what the run leaves behind when nothing stops it."""
    runs = tmp_path_factory.mktemp("whole")
    resnet_vs_plain.main([*ARGS, "--runs-dir", str(runs)])
    return outcome(runs / "resnet_vs_plain")


@pytest.mark.parametrize(
    "stops",
    [
        [(2, signal.SIGINT), (1, signal.SIGTERM)],
        [(4, signal.SIGTERM), (5, signal.SIGINT)],  # ends of an epoch; in the second network
        [(8, signal.SIGINT)],  # the end of a network
    ],
)
def test_an_interrupted_run_resumes_to_the_same_bytes(stops, whole, tmp_path, monkeypatch):
    argv = [*ARGS, "--runs-dir", str(tmp_path)]
    for step, number in stops:
        stop(monkeypatch, resnet_vs_plain.main, argv, step, number)
    resnet_vs_plain.main([*argv, "--resume"])
    assert outcome(tmp_path / "resnet_vs_plain") == whole
    with pytest.raises(NothingToDo, match="is finished"):
        resnet_vs_plain.main([*argv, "--resume"])


def test_a_killed_run_resumes_to_the_same_bytes(whole, tmp_path):
    argv = [*ARGS, *EVERY_STEP, "--runs-dir", str(tmp_path)]
    kill("section4_transfer.resnet_vs_plain", "rename", 7, argv)
    resnet_vs_plain.main([*argv, "--resume"])
    assert outcome(tmp_path / "resnet_vs_plain") == whole


@pytest.mark.parametrize(
    ("script", "name", "more", "stops"),
    [
        # pretraining, scratch, frozen, fine-tuned, with frozen stages
        (
            transfer_learning,
            "transfer_learning",
            ["--weights", "rotation", "--pretrain-epochs", "1", "--labels", "60", "--freeze", "2"],
            [12],
        ),
        (augmentation_study, "augmentation", ["--model", "resnet20"], [6]),
        (pretrain, "pretrain", [], [2]),
    ],
)
def test_the_other_studies_resume_network_by_network(
    script, name, more, stops, tmp_path, monkeypatch
):
    monkeypatch.setattr(transfer, "HEAD_STEPS", 8)
    monkeypatch.setattr(torchvision.models, "resnet18", half_a_resnet18)
    two = {"none": [], "mixup": ["mixup"]}
    monkeypatch.setattr(augmentation, "augmentation_sets", lambda: two)
    argv = [*SMALL, "--epochs", "1", "--batch-size", "16", "--resize", "32", *more, "--runs-dir"]
    script.main([*argv, str(tmp_path / "whole")])
    stopped = [*argv, str(tmp_path / "stopped")]
    for step in stops:
        stop(monkeypatch, script.main, stopped, step, signal.SIGINT)
    script.main([*stopped, "--resume"])
    assert outcome(tmp_path / "stopped" / name) == outcome(tmp_path / "whole" / name)


def test_a_foreign_state_is_refused_and_runs_nothing(tmp_path, monkeypatch):
    argv = [*ARGS, "--runs-dir", str(tmp_path)]
    stop(monkeypatch, resnet_vs_plain.main, argv, 2, signal.SIGINT)
    last, proof = tmp_path / "resnet_vs_plain" / "last.pt", tmp_path / "proof"
    for state in ({}, None, {"step": 1, "model": {}, "best": {}}):
        torch.save({"name": "resnet-8, seed 0", "state": state}, last)
        with pytest.raises(UserError, match="does not hold the state of resnet-8, seed 0"):
            resnet_vs_plain.main([*argv, "--resume"])

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(proof),)

    torch.save({"name": Evil()}, last)
    for content in (last.read_bytes(), pickle.dumps(Evil(), 2), b"", b"PK\3\4", b"x" * 99):
        last.write_bytes(content)
        with pytest.raises(UserError, match="is damaged"):
            resnet_vs_plain.main([*argv, "--resume"])
    assert not proof.exists()


def test_a_disc_that_fills_up_spares_the_checkpoint(whole, tmp_path, monkeypatch):
    argv = [*ARGS, *EVERY_STEP, "--runs-dir", str(tmp_path)]
    flush, calls = os.fsync, itertools.count(1)

    def full(file: int) -> None:
        flush(file)
        if next(calls) == 6:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SystemExit) as end:
            start(lambda: resnet_vs_plain.main(argv))
    assert end.value.code == 2
    assert not list((tmp_path / "resnet_vs_plain").glob(".*"))
    resnet_vs_plain.main([*argv, "--resume"])
    assert outcome(tmp_path / "resnet_vs_plain") == whole
