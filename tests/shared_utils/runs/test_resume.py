"""A run folder's lock, its checkpoints and its signals, without any network."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared_utils import cli
from shared_utils.errors import NothingToDo, UserError
from shared_utils.runs.folder import RunFolder
from shared_utils.runs.interrupts import Interrupted, Interrupts

ROOT = Path(__file__).resolve().parents[3]
HOLDER = """
import sys
from shared_utils.runs.folder import RunFolder
with RunFolder(sys.argv[1], {}, {}):
    print("locked", flush=True)
    sys.stdin.readline()
"""


def folder(tmp_path, resume=True, data="a", **args) -> RunFolder:
    told = {"lr": 0.1, "checkpoint_minutes": 9e9, "resume": resume} | args
    return RunFolder(tmp_path / "run", told, {"sha256": data})


def count(run: RunFolder, arm: str, to: int, stop_at: int = 0, stop_by: int = 0) -> list[int]:
    """Count to `to` in epochs of three, in a resumable way; return the numbers that were said."""
    seen = []
    run.restore(arm, lambda state: seen.extend(state["seen"]))
    with run.checkpoints(arm, lambda: {"seen": seen}) as after_step:
        for number in range(len(seen) + 1, to + 1):
            seen.append(number)
            if number == stop_at:
                signal.raise_signal(stop_by)
            after_step(epoch_ended=number % 3 == 0)
    run.keep(arm, {"seen": seen})
    return seen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_steps_end_and_nothing_is_lost(number, tmp_path):
    with pytest.raises(Interrupted) as stopped, folder(tmp_path) as run:
        count(run, "a", 5)
        count(run, "b", 5, stop_at=4, stop_by=number)
    assert stopped.value.number == number and stopped.value.advice.endswith(" --resume")
    with folder(tmp_path) as run:
        restored = {}
        run.restore("a", lambda state: restored.update(a=state["seen"]))
        run.restore("b", lambda state: restored.update(b=state["seen"]))
        run.restore("c", lambda state: restored.update(c=state["seen"]))
        assert restored == {"a": [1, 2, 3, 4, 5], "b": [1, 2, 3, 4]}
        assert count(run, "b", 5) == [1, 2, 3, 4, 5]
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["config.json"]


def test_a_checkpoint_is_due_at_an_epochs_end_and_after_the_minutes(tmp_path, monkeypatch):
    clock, saved = [0], []
    with folder(tmp_path, checkpoint_minutes=2) as run:
        monkeypatch.setattr("time.monotonic", lambda: clock[0])
        with run.checkpoints("a", lambda: {"at": saved.append(clock[0])}) as after_step:
            for seconds, ended in ((60, False), (119, False), (121, False), (200, True)):
                clock[0] = seconds
                after_step(ended)
            clock[0] = 319
            after_step(False)
            clock[0] = 321
            after_step(False)
    assert saved == [121, 200, 321]


def test_a_second_ctrl_c_stops_at_once_but_a_second_sigterm_does_not():
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.noted == signal.SIGINT
        signal.raise_signal(signal.SIGINT)
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    assert interrupts.noted == signal.SIGTERM
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)  # the usual handler is back


def test_without_a_checkpoint_a_run_starts_anew_and_says_so(tmp_path):
    with folder(tmp_path) as run:
        assert "nothing to resume" in run.opening
    with folder(tmp_path, resume=False) as run:
        assert run.opening == ""
    assert len(list(tmp_path.glob("run*"))) == 2


def test_a_finished_run_is_left_alone(tmp_path):
    with folder(tmp_path) as run:
        count(run, "a", 3)
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(NothingToDo, match="is finished"), folder(tmp_path):
        pass
    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_other_arguments_or_data_are_named_and_change_nothing(tmp_path):
    with pytest.raises(Interrupted), folder(tmp_path) as run:
        count(run, "a", 5, stop_at=4, stop_by=signal.SIGINT)
    before = {p: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    for change, words in (
        ({"lr": 0.2}, "--lr was 0.1, now 0.2"),
        ({"batch_size": 3}, "--batch-size was not given, now 3"),
        ({"labels": [100, 20]}, "--labels was not given, now 100 20"),
        ({"data": "b"}, "the data is not the same"),
    ):
        refused = folder(tmp_path, **change)
        with pytest.raises(UserError, match=words):
            refused.__enter__()
        assert not refused._lock.is_locked
    assert {p: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before
    with folder(tmp_path, no_show=True, checkpoint_minutes=1, data_dir="elsewhere") as run:
        assert "continuing" in run.opening


def test_a_run_is_not_continued_with_other_weights_or_another_arithmetic(tmp_path):
    args = {"resume": True, "checkpoint_minutes": 1.0}
    data = {"sha256": "a", "weights": "rotation", "weights_sha256": "a"}
    runtime = {"precision": "bf16", "processes": 1, "threads": 2}

    def opened(**changes):
        found = {key: changes.get(key, value) for key, value in data.items()}
        here = {key: changes.get(key, value) for key, value in runtime.items()}
        return RunFolder(tmp_path / "run", args, found | {"runtime": here})

    with pytest.raises(Interrupted), opened() as run:
        count(run, "a", 5, stop_at=4, stop_by=signal.SIGINT)
    for change, words in (
        (
            {"weights": "imagenet"},
            "of the pretrained weights was rotation, now imagenet",
        ),
        ({"weights_sha256": "b"}, "the digest of the pretrained weights' file was a, now b"),
        ({"precision": "fp32"}, "the precision was bf16, now fp32"),
        ({"processes": 2}, "the number of processes was 1, now 2"),
    ):
        with pytest.raises(UserError, match=words):
            opened(**change).__enter__()
    with opened(threads=1) as run:
        assert "continuing" in run.opening


def test_what_a_killed_writer_left_is_removed(tmp_path):
    with pytest.raises(Interrupted), folder(tmp_path) as run:
        count(run, "a", 5, stop_at=4, stop_by=signal.SIGINT)
    (tmp_path / "run" / ".last.pkl.123.tmp").write_bytes(b"half")
    with folder(tmp_path):
        assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[1]",
        "[" * 100_000,
        "\udcff",
        '{"data": 3}',
        '{"args": []}',
        '{"data": {"runtime": ""}}',
    ],
)
def test_a_damaged_config_is_told(content, tmp_path):
    (tmp_path / "run").mkdir()
    content = content.encode(errors="surrogateescape")
    (tmp_path / "run" / "config.json").write_bytes(content)
    with pytest.raises(UserError, match="is damaged: start again without --resume"):
        folder(tmp_path).__enter__()
    assert (tmp_path / "run" / "config.json").read_bytes() == content


def test_two_runs_in_one_folder_do_not_meet_and_a_dead_one_bars_nobody(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "run")]
    holder = subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, text=True)
    try:
        assert holder.stdout.readline() == "locked\n"
        for resume in (False, True):
            with pytest.raises(UserError, match=f"in use by process {holder.pid}: wait for it"):
                folder(tmp_path, resume=resume).__enter__()
    finally:
        holder.kill()
        holder.communicate()
    with folder(tmp_path) as run:
        config = json.loads((run.path / "config.json").read_text())
    assert config["process"] == os.getpid()


def test_the_exit_status_says_which_signal_came(capsys):
    for error, status in (
        (Interrupted(signal.SIGINT, "to continue: x --resume"), 130),
        (Interrupted(signal.SIGTERM, "to continue: x --resume"), 143),
    ):

        def main(error=error):
            raise error

        with pytest.raises(SystemExit) as end:
            cli.start(main)
        assert end.value.code == status
        assert capsys.readouterr().err.strip() == "interrupted; to continue: x --resume"


def test_nothing_to_do_is_no_failure(capsys):
    def main():
        raise NothingToDo("it is finished")

    cli.start(main)
    assert capsys.readouterr().out == "it is finished\n"
