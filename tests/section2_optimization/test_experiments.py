"""The script of the experiments on digits: complete in its outputs, resumable, repeatable."""

import csv
from dataclasses import replace

import pytest

from section2_optimization import experiments
from section2_optimization.study import digit_search
from shared_utils.runs.interrupts import Interrupted
from tests.resume_helpers import outcome

ARGS = ["--dataset", "digits", "--limit", "40", "--epochs", "1", "--seeds", "2", "--no-show"]


@pytest.fixture(autouse=True)
def one_setting_a_search(monkeypatch):
    for name, experiment in experiments.EXPERIMENTS.items():
        plan = {key: settings[-1:] for key, settings in experiment.plan.items()}
        monkeypatch.setitem(experiments.EXPERIMENTS, name, replace(experiment, plan=plan))


def test_the_script_writes_a_figure_for_every_experiment_and_every_measurement(tmp_path, capsys):
    argv = [*ARGS, "--seed", "3", "--runs-dir", str(tmp_path)]
    summary = experiments.main(argv)
    folder, names = tmp_path / "experiments", set(experiments.EXPERIMENTS)
    assert {path.stem for path in folder.glob("*.png")} == names
    assert all(path.stat().st_size < 150_000 for path in folder.glob("*.png"))
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    deep = [row for row in rows if row["experiment"] == "weight-scale"]
    assert len(deep) == 2 * 7 * 2 and {row["seed"] for row in deep} == {"3", "4"}
    assert {name.split("/")[0] for name in summary["runs"]} == names
    assert 0 < summary["runs"]["batch-size/layer/8"]["over_seeds"]["test_acc"]["mean"] <= 1
    printed = capsys.readouterr().out
    assert all(line.split(": ", 1)[1] in printed for line in summary["conclusions"])


def test_stopped_experiments_resume_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments.digit_plots, "DRAW", dict.fromkeys(experiments.EXPERIMENTS, no))
    only = [*ARGS, "--only", "overfitting", "learning-rate", "--runs-dir"]
    experiments.main([*only, str(tmp_path / "whole")])
    train, calls = digit_search.train_network, []

    def stopping(*args):
        calls.append(args)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return train(*args)

    monkeypatch.setattr(digit_search, "train_network", stopping)
    with pytest.raises(Interrupted):
        experiments.main([*only, str(tmp_path / "stopped")])
    experiments.main([*only, str(tmp_path / "stopped"), "--resume"])
    folders = [tmp_path / name / "experiments" for name in ("whole", "stopped")]
    assert outcome(folders[0]) == outcome(folders[1])
    assert len(calls) == 2 * (1 + 1 + 1 + 4) + 2  # the search that was stopped is made again


def no(*args):
    """Draw nothing."""


def test_an_unknown_experiment_ends_in_one_line_and_status_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        experiments.main(["--only", "depth", "--runs-dir", str(tmp_path)])
    assert ended.value.code == 2
    assert "'weight-scale', 'batch-size'" in capsys.readouterr().err.splitlines()[-1]
