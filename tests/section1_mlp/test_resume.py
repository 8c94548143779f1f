"""Section 1's training, stopped in every way, ends byte-identical to an uninterrupted run."""

import resource
import signal
import subprocess
import sys

import pytest

from section1_mlp import train
from shared_utils.errors import NothingToDo, UserError
from shared_utils.runs.checkpoints import save_checkpoint
from tests.resume_helpers import kill, outcome, stop

# Three networks, 2 epochs of 5 steps each: 30 steps. The best epoch of the first is its first.
ARGS = ["--dataset", "digits", "--no-show", "--epochs", "2", "--limit", "300", "--hidden", "12"]
ARGS += ["--batch-size", "64", "--lr", "1", "--seed", "2"]
EVERY_STEP = ["--checkpoint-minutes", "1e-9"]


@pytest.fixture(scope="module", autouse=True)
def no_figures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "draw_all", lambda *args: None)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return what the run leaves behind when nothing stops it."""
    runs = tmp_path_factory.mktemp("whole")
    train.main([*ARGS, "--runs-dir", str(runs)])
    return outcome(runs / "train")


@pytest.mark.parametrize(
    "stops",
    [
        [(5, signal.SIGTERM)],  # the end of an epoch
        [(7, signal.SIGTERM), (1, signal.SIGINT), (2, signal.SIGINT)],
        [(10, signal.SIGINT)],  # the end of a network
        [(13, signal.SIGTERM), (16, signal.SIGTERM)],
        [(30, signal.SIGINT)],
    ],
)
def test_an_interrupted_run_resumes_to_the_same_bytes(stops, whole, tmp_path, monkeypatch):
    argv = [*ARGS, "--runs-dir", str(tmp_path)]
    for step, number in stops:
        stop(monkeypatch, train.main, argv, step, number)
    train.main([*argv, "--resume"])
    assert outcome(tmp_path / "train") == whole
    with pytest.raises(NothingToDo, match="is finished"):
        train.main([*argv, "--resume"])
    assert sorted(p.name for p in tmp_path.iterdir()) == [".train.lock", "train"]


@pytest.mark.parametrize(
    ("where", "count", "more"),
    [("step", 8, []), ("step", 14, EVERY_STEP), ("rename", 22, EVERY_STEP)],
)
def test_a_killed_run_resumes_to_the_same_bytes(where, count, more, whole, tmp_path):
    argv = [*ARGS, *more, "--runs-dir", str(tmp_path)]
    kill("section1_mlp.train", where, count, argv)
    train.main([*argv, "--resume"])
    assert outcome(tmp_path / "train") == whole
    assert not list((tmp_path / "train").glob(".*"))


def test_no_step_is_taken_twice(tmp_path, monkeypatch):
    argv = [*ARGS, "--runs-dir", str(tmp_path)]
    stop(monkeypatch, train.main, argv, 17, signal.SIGINT)
    rest = 30 - 17
    stop(monkeypatch, train.main, argv, rest, signal.SIGINT)  # there is no step beyond
    with pytest.raises(pytest.fail.Exception):
        stop(monkeypatch, train.main, argv, 1, signal.SIGINT)


def test_a_foreign_state_is_refused(tmp_path, monkeypatch):
    argv = [*ARGS, "--runs-dir", str(tmp_path)]
    stop(monkeypatch, train.main, argv, 3, signal.SIGINT)
    last = tmp_path / "train" / "last.pkl"
    for state in ({}, {"step": 3}, None, [1]):
        save_checkpoint(last, {"name": "relu-seed2", "state": state})
        with pytest.raises(UserError, match="does not hold the state of relu-seed2"):
            train.main([*argv, "--resume"])
    for content in (b"\x80\x05", b"", b"cos\nsystem\n(S'true'\ntR."):
        last.write_bytes(content)
        with pytest.raises(UserError, match="damaged"):
            train.main([*argv, "--resume"])


def test_other_arguments_are_named(tmp_path, monkeypatch):
    argv = [*ARGS, "--runs-dir", str(tmp_path)]
    stop(monkeypatch, train.main, argv, 3, signal.SIGINT)
    before = (tmp_path / "train" / "last.pkl").read_bytes()
    for more, words in ((["--lr", "0.5"], "--lr was 1.0, now 0.5"), (["--limit", "299"], "data")):
        with pytest.raises(UserError, match=words):
            train.main([*argv, *more, "--resume"])
    assert (tmp_path / "train" / "last.pkl").read_bytes() == before


def test_a_full_disc_ends_in_one_line_and_spares_the_checkpoint(whole, tmp_path):
    """The limit lets the first steps' checkpoints pass, but not one that holds the best epoch."""
    argv = [*ARGS, *EVERY_STEP, "--runs-dir", str(tmp_path)]
    limit = 90_000

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, train.__file__, *argv]
    full = subprocess.run(command, capture_output=True, text=True, preexec_fn=limited)
    assert full.returncode == 2
    (line,) = full.stderr.strip().splitlines()
    assert line.startswith(f"error: File too large: {tmp_path}") and "choose another folder" in line
    assert (tmp_path / "train" / "last.pkl").stat().st_size <= limit
    train.main([*argv, "--resume"])
    assert outcome(tmp_path / "train") == whole
