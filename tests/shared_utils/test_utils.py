"""Seeds, statistics, flags, run folders and figures."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shared_utils import cli
from shared_utils.errors import UserError
from shared_utils.files import write_atomically
from shared_utils.plotting import new_figure, save_figure, show_figures
from shared_utils.runs.folder import RunFolder
from shared_utils.seed import stream

ROOT = Path(__file__).resolve().parents[2]


def test_streams_repeat_and_differ_by_purpose_and_seed():
    draws = {
        (seed, purpose): stream(seed, purpose).random(1000)
        for seed in (0, 1)
        for purpose in ("init", "shuffle", "ini")
    }
    np.testing.assert_array_equal(draws[0, "init"], stream(0, "init").random(1000))
    keys = list(draws)
    for i, a in enumerate(keys):
        for b in keys[:i]:
            assert abs(np.corrcoef(draws[a], draws[b])[0, 1]) < 0.15, (a, b)


def parser(**defaults):
    made = argparse.ArgumentParser()
    cli.add_shared_flags(made, Path("runs"), **defaults)
    return made


def test_quick_changes_defaults_but_not_what_was_asked_for():
    made = parser(epochs=20, batch_size=128)
    args = cli.parse_args(made, ["--quick", "--batch-size", "7"], {"epochs": 2, "batch_size": 1})
    assert (args.epochs, args.batch_size, args.seed) == (2, 7, 0)
    args = cli.parse_args(parser(epochs=20), [], {"epochs": 2})
    assert args.epochs == 20


def test_a_flag_holds_one_value_for_all_networks_or_one_for_each(capsys):
    defaults = {"a": 0.1, "b": 3.0}
    made = parser(lr=defaults)

    def values(*words):
        return cli.value_of_each(made, "--lr", made.parse_args(words).lr, defaults)

    assert values() == defaults
    assert values("--lr", "2") == {"a": 2.0, "b": 2.0}
    assert values("--lr", "2", "0.5") == {"a": 2.0, "b": 0.5}
    for bad in (["1", "2", "3"], ["1", "-2"]):
        with pytest.raises(SystemExit) as end:
            values("--lr", *bad)
        assert end.value.code == 2
    assert "--lr: 3 values for a, b: give one for all, or 2\n" in capsys.readouterr().err
    assert "0.1 3" in " ".join(made.format_help().split())


@pytest.mark.parametrize(
    "bad",
    [
        *(
            "--epochs 0",
            "--epochs 2147483648",
            "--epochs x",
            "--lr -1",
            "--lr nan",
            "--lr 0",
            "--seed -1",
            "--lr \x1b[31m",
        ),
        *("--seed 4294967296", "--dataset cats", "--limit 0", "--batch-size 1.5", "--nonsense"),
    ],
)
def test_bad_flags_end_in_one_line_and_status_2(bad, capsys):
    made = parser(epochs=20, lr=0.1, batch_size=4, dataset="auto", limit=(None, "all"))
    with pytest.raises(SystemExit) as end:
        cli.parse_args(made, bad.split(), {})
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "error:" in said.splitlines()[-1] and "\x1b" not in said


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (UserError("no such thing: do this"), 2, "no such thing: do this"),
        (OSError(28, "No space left on device", "/x"), 2, "/x: free some space"),
        (PermissionError(13, "Permission denied", "/x"), 2, "/x: choose a folder"),
        (IsADirectoryError(21, "Is a directory", "/x", None, "/y"), 2, "/y: a folder stands"),
        (MemoryError("5 PiB"), 2, "out of memory: choose smaller sizes"),
        (ModuleNotFoundError("", name="torch"), 2, "PyTorch: pip install -r requirements.txt"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_a_user_can_mend_is_one_line(error, status, words, capsys):
    def main():
        raise error

    with pytest.raises(SystemExit) as end:
        cli.start(main)
    assert end.value.code == status
    assert words in capsys.readouterr().err.strip()


@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), ModuleNotFoundError("no numpy", name="numpy")]
)
def test_our_own_bugs_keep_their_traceback(error):
    def main():
        raise error

    with pytest.raises(type(error), match=str(error.args[-1])):
        cli.start(main)


def test_a_reader_that_leaves_is_no_traceback():
    script = (
        "from shared_utils.cli import start\nstart(lambda: [print('x' * 99) for _ in range(9999)])"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, **pipes) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_run_folder_writes_config_metrics_and_summary(tmp_path):
    args = {"lr": 0.1, "dir": Path("x")}
    with RunFolder(tmp_path / "a" / "run", args, {"name": "digits"}) as run:
        run.log({"epoch": 1, "loss": 0.5})
        run.log({"epoch": 2, "loss": 0.25})
        run.write_json("summary.json", {"x": np.float32(0.5), "nan": float("nan"), "t": (1, 2)})
    assert (run.path / "metrics.csv").read_text() == "epoch,loss\n1,0.5\n2,0.25\n"
    assert json.loads((run.path / "summary.json").read_text()) == {
        "x": 0.5,
        "nan": None,
        "t": [1, 2],
    }
    config = json.loads((run.path / "config.json").read_text())
    assert config["args"] == {"lr": 0.1, "dir": "x"} and config["data"] == {"name": "digits"}
    assert config["versions"]["numpy"] == np.__version__


def test_an_earlier_run_is_moved_aside_with_all_it_holds(tmp_path):
    for n in range(3):
        with RunFolder(tmp_path / "run", {"n": n}, {}) as run:
            run.write_json("summary.json", {"n": n})
    kept = [json.loads(path.read_text())["n"] for path in tmp_path.glob("*/summary.json")]
    assert sorted(kept) == [0, 1, 2]
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == {"n": 2}


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(UserError, match="is a file"), RunFolder(tmp_path / "run", {}, {}):
        pass
    assert (tmp_path / "run").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_told():
    run = RunFolder(Path("/proc/none/run"), {}, {})
    with pytest.raises(UserError, match="cannot be made: choose another --runs-dir"), run:
        pass


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as error:
        write_atomically(path, b"new")
    assert error.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_equal_figures_have_equal_bytes(tmp_path):
    for name in "ab":
        fig, ax = new_figure()
        ax.plot([1, 2], [3, 4])
        save_figure(fig, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("backend", "no_show", "opened"),
    [("TkAgg", False, 1), ("TkAgg", True, 0), ("agg", False, 0), ("agg", True, 0)],
)
def test_windows_open_only_where_they_can_and_may(backend, no_show, opened, monkeypatch):
    import matplotlib.pyplot as plt

    shown = []
    monkeypatch.setattr(plt, "get_backend", lambda: backend)
    monkeypatch.setattr(plt, "show", lambda: shown.append(1))
    new_figure()
    show_figures(no_show)
    assert len(shown) == opened
    assert plt.get_fignums() == []
