"""Section 2's comparison, stopped between its searches, ends as an uninterrupted one does."""

import signal

import pytest

from section2_optimization import train
from section2_optimization.study import comparison, resuming, toy_data
from shared_utils.runs.interrupts import Interrupted
from tests.resume_helpers import outcome

ARGS = ["--epochs", "2", "--seeds", "2", "--lrs", "0.1", "3", "--optimizers", "sgd", "adam"]
ARGS += ["--datasets", "moons", "--schedules", "constant", "--no-show"]


@pytest.fixture(autouse=True)
def no_drawings_and_few_checks(monkeypatch):
    for module, name in (
        *((train.plots, "draw_all"), (train.path_plots, "draw_all")),
        *((train, "best_paths"), (train, "check_gradients_first")),
    ):
        monkeypatch.setattr(module, name, lambda *args: None)


@pytest.mark.parametrize("at", [6, 12])
def test_a_stopped_comparison_resumes_to_the_same_bytes(at, tmp_path, monkeypatch):
    train.main([*ARGS, "--runs-dir", str(tmp_path / "whole")])
    argv = [*ARGS, "--runs-dir", str(tmp_path / "stopped")]
    run_trial, calls = comparison.run_trial, []

    def stopping(*args, **options):
        calls.append(args[1].name)
        if len(calls) == at:
            signal.raise_signal(signal.SIGINT)
        return run_trial(*args, **options)

    monkeypatch.setattr(comparison, "run_trial", stopping)
    with pytest.raises(Interrupted) as stopped:
        train.main(argv)
    assert stopped.value.advice.endswith("--resume")
    train.main([*argv, "--resume"])
    assert outcome(tmp_path / "stopped" / "train") == outcome(tmp_path / "whole" / "train")
    again = (at - 1) % 4 + 1  # of the search in progress: its trials up to the stop
    assert len(calls) == 12 + again


def test_a_search_that_was_made_before_is_not_made_again(tmp_path, monkeypatch):
    argv = [*ARGS, "--runs-dir", str(tmp_path), "--optimizers", "momentum"]
    run_trial, calls = comparison.run_trial, []
    monkeypatch.setattr(
        comparison, "run_trial", lambda *args: calls.append(args) or run_trial(*args)
    )
    summary = train.main(argv)
    assert len(calls) == 4  # the schedule "constant" is momentum as it was
    assert summary["schedules"]["constant"] == summary["runs"]["moons/momentum"]


def test_a_trial_comes_back_as_it_was():
    data = toy_data.make_toy_data("moons", 0)
    (adam,) = comparison.make_methods(["adam"])
    budget = comparison.Budget([0.1], [0], epochs=1, batch_size=32)
    trial = comparison.run_trial(data, adam, 0.1, 0, budget)
    restored = resuming._restored(resuming._state(trial), data)
    assert vars(restored) | {"model": 0} == vars(trial) | {"model": 0}
    for key, param in trial.model.params.items():
        assert (restored.model.params[key] == param).all()
