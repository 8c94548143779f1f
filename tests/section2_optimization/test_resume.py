"""Section 2's comparison, stopped between its arms, ends as one that never was."""

import signal

import pytest

from section2_optimization import comparison, resuming, train
from shared_utils.runs.interrupts import Interrupted
from tests.resume_helpers import outcome

ARGS = ["--epochs", "2", "--seeds", "2", "--rates", "0.1", "3", "--optimizers", "sgd", "adam"]
ARGS += ["--datasets", "moons", "--schedules", "constant", "--no-show"]


@pytest.fixture(autouse=True)
def no_drawings_and_few_checks(monkeypatch):
    from section2_optimization import path_plots, plots

    for module, name in (
        *((plots, f"draw_{figure}") for figure in ("curves", "boundaries", "sensitivity")),
        *((plots, "draw_schedules"), (path_plots, "draw_paths"), (path_plots, "animate_paths")),
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
    again = (at - 1) % 4 + 1  # of the arm in training: its trials up to the stop
    assert len(calls) == 12 + again


def test_a_trial_comes_back_as_it_was():
    data = train.toy_data.make_toy_data("moons", 0)
    (arm,) = comparison.make_arms(["adam"])
    trial = comparison.run_trial(data, arm, 0.1, 0, epochs=1, batch_size=32)
    restored = resuming._restored(resuming._state(trial), data)
    assert vars(restored) | {"model": 0} == vars(trial) | {"model": 0}
    for key, param in trial.model.params.items():
        assert (restored.model.params[key] == param).all()
