"""The flags of data, and what is said of it before training."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared_utils import cli

ROOT = Path(__file__).resolve().parents[2]


def parsed(flags=(), **options):
    parser = argparse.ArgumentParser()
    cli.add_shared_flags(parser, Path("runs"), dataset="auto", **options)
    return parser.parse_args(flags)


def test_a_tilde_is_the_home_folder_even_where_no_shell_saw_it(monkeypatch):
    home = Path.home()
    args = parsed(["--data-dir=~/data", "--runs-dir=~/runs"])
    assert (args.data_dir, args.runs_dir) == (home / "data", home / "runs")
    monkeypatch.setenv("DL_DATA_DIR", "~/images")
    assert parsed().data_dir == home / "images"
    monkeypatch.setenv("DL_DATA_DIR", "")
    assert parsed().data_dir == ROOT / "data"


def test_a_home_of_nobody_is_one_line(capsys):
    with pytest.raises(SystemExit) as end:
        parsed(["--data-dir=~nobody-is-called-so/data"])
    assert end.value.code == 2
    assert "names no user's home" in capsys.readouterr().err.splitlines()[-1]


def test_damaged_images_can_be_skipped_where_folders_can_be_read():
    assert parsed(["--skip-damaged"], datasets=cli.IMAGE_DATASETS).skip_damaged
    assert not parsed(datasets=cli.IMAGE_DATASETS).skip_damaged
    assert "skip_damaged" not in parsed()
    assert parsed(["--dataset", "idx"]).dataset == "idx"


def test_what_was_found_is_printed_before_the_run_is_opened(tmp_path, capsys):
    data = {"notice": "something \x1b[31melse", "found": ["data: pets", "  train 5 images"]}
    with cli.open_run(argparse.Namespace(runs_dir=tmp_path), "x", data):
        lines = capsys.readouterr().out.split("\n")
    assert lines == ["", r"*** something \x1b[31melse ***", "", *data["found"], ""]


def test_a_backends_name_cannot_command_a_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("shared_utils.plotting.choose_backend", lambda: "MPLBACKEND=\x1b[2J")
    with cli.open_run(argparse.Namespace(runs_dir=tmp_path), "x", {}):
        assert capsys.readouterr().out == "MPLBACKEND=\\x1b[2J\n"


def test_errors_and_names_reach_a_console_that_knows_ascii_only():
    script = (
        "from shared_utils.cli import start\n"
        "from shared_utils.errors import UserError\n"
        "def main():\n"
        "    print('class 猫')\n"
        "    raise UserError('no image in \\x1b[2J🐈')\n"
        "start(main)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
    )
    assert done.returncode == 2
    assert done.stdout.split() == [b"class", rb"\u732b"]
    assert done.stderr.strip() == rb"error: no image in \x1b[2J\U0001f408"
