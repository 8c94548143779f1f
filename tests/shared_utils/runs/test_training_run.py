"""The object around every training loop, with a training that only counts; and the best epoch."""

import json
import signal

import numpy as np
import pytest

from shared_utils.errors import UserError
from shared_utils.runs import NO_RUN, History, RunFolder, Training, TrainingRun
from shared_utils.runs.checkpoints import save_checkpoint
from shared_utils.runs.interrupts import Interrupted
from shared_utils.runs.outcomes import Outcome, accuracy_difference, by_name, summarize, table


def folder(tmp_path, **args):
    told = {"lr": 0.1, "checkpoint_minutes": 9e9, "resume": True} | args
    return RunFolder(tmp_path / "run", told, {"sha256": "a"})


class Counting:
    """A training of 4 epochs of 5 steps; step n adds what it draws to the weights."""

    def __init__(self):
        self.rng, self.taken = np.random.default_rng(7), []
        self.weights, self.memory = {"W": np.zeros(3)}, {}
        self.training = Training(
            self.weights, self.memory, epochs=4, steps_per_epoch=5, samples=9, rngs=[self.rng]
        )

    def steps(self, first_step=0):
        for number in range(first_step, 20):
            self.weights["W"] += self.rng.normal(size=3)
            self.memory.setdefault("v", np.zeros(1))[:] += 1  # an optimizer's, made at first use
            self.taken.append(number)
            yield 1.0 / (number + 1)

    def run(self, run, stop_after=None):
        for step in run.watch(self.training, self.steps):
            if self.training.step == stop_after:
                signal.raise_signal(signal.SIGTERM)
            if step.ends_epoch:
                row = {"epoch": step.epoch, "val_acc": 0.5 + 0.1 * (step.epoch == 2)}
                row["val_loss"] = 1.0
                self.training.end_epoch(row)
                run.log(row)
        self.training.load_best()
        return self


def test_without_a_folder_it_is_the_loop_alone(capsys):
    counting = Counting().run(NO_RUN)
    assert counting.taken == list(range(20))
    assert counting.training.history.best_epoch == 2
    np.testing.assert_allclose(
        counting.weights["W"], np.random.default_rng(7).normal(size=(10, 3)).sum(axis=0)
    )
    assert counting.training.history.samples == 4 * 9
    assert "".join(capsys.readouterr()) == ""


def test_an_epochs_time_ends_when_the_device_has_done_its_steps():
    counting, waits = Counting(), []
    counting.run(TrainingRun(wait=lambda: waits.append(len(counting.taken))))
    assert waits == [5, 10, 15, 20]


@pytest.mark.parametrize("stops", [[3], [5, 6], [10, 19], [20]])
def test_a_stopped_training_continues_with_the_next_step_and_ends_the_same(stops, tmp_path):
    whole, taken = Counting().run(NO_RUN), []
    for stop in stops:
        stopped = Counting()
        with pytest.raises(Interrupted), folder(tmp_path) as run:
            stopped.run(TrainingRun(run, "one", {"seed": 3}), stop)
        taken += stopped.taken
    last = Counting()
    with folder(tmp_path) as run:
        last.run(TrainingRun(run, "one", {"seed": 3}))
        metrics = (run.path / "metrics.csv").read_text().splitlines()
    assert taken + last.taken == list(range(20))
    for name in ("weights", "memory"):
        for key, array in getattr(whole, name).items():
            np.testing.assert_array_equal(getattr(last, name)[key], array)
    assert last.training.history.rows == whole.training.history.rows
    assert metrics[0] == "seed,epoch,val_acc,val_loss" and len(metrics) == 5


def test_where_steps_cannot_be_agreed_on_only_ends_of_epochs_are_kept(tmp_path):
    stopped = Counting()
    with pytest.raises(Interrupted), folder(tmp_path) as run:
        group = TrainingRun(run, "one", within_epochs=False)
        for step in group.watch(stopped.training, stopped.steps):
            if step.ends_epoch:
                stopped.training.end_epoch({"epoch": step.epoch, "val_acc": 0, "val_loss": 0})
            if stopped.training.step == 7:
                raise KeyboardInterrupt
    again = Counting()
    again_run = folder(tmp_path)
    with again_run as run:
        again.run(TrainingRun(run, "one", within_epochs=False))
    assert again.taken == list(range(5, 20))


def test_an_estimate_is_told_once_and_only_for_a_new_training(tmp_path):
    told = []
    with pytest.raises(Interrupted), folder(tmp_path) as run:
        Counting().run(TrainingRun(run, "one", on_estimate=told.append), 15)
    with folder(tmp_path) as run:
        Counting().run(TrainingRun(run, "one", on_estimate=told.append))
    assert len(told) == 1 and told[0] > 0


def test_a_state_that_is_not_of_this_training_is_refused(tmp_path):
    with pytest.raises(Interrupted), folder(tmp_path) as run:
        Counting().run(TrainingRun(run, "one"), 3)
    good = Counting().training.state()
    for state in ({}, None, [1], good | {"step": "x"}, good | {"weights": {"W": np.zeros(4)}}):
        save_checkpoint(tmp_path / "run" / "last.pkl", {"name": "one", "state": state})
        with (
            pytest.raises(UserError, match="does not hold the state of one"),
            folder(tmp_path) as run,
        ):
            Counting().run(TrainingRun(run, "one"))


def test_of_equal_accuracies_the_lower_loss_is_better_and_the_first_of_equals():
    history = History()
    rows = [(0.5, 2.0), (0.6, 3.0), (0.6, 2.5), (0.6, 2.5), (0.55, 0.1), (float("nan"), 0.1)]
    best = [history.add({"val_acc": acc, "val_loss": loss}) for acc, loss in rows]
    assert best == [True, True, True, False, False, False]
    assert history.best_epoch == 3 and history.best == {"val_acc": 0.6, "val_loss": 2.5}


def test_a_validation_loss_that_is_not_finite_ends_the_training():
    history = History()
    history.add({"val_acc": 0.5, "val_loss": 1.0})
    with pytest.raises(FloatingPointError, match="epoch 2: the validation loss became nan"):
        history.add({"val_acc": 0.9, "val_loss": float("nan")})


def outcome(name, seed, correct):
    history = History(seconds=2.0, samples=100)
    history.add({"val_acc": 0.5, "val_loss": 1.0})
    return Outcome(name, seed, None, history, correct=np.array(correct, bool))


def test_outcomes_are_summarized_by_counts_and_seeds():
    outcomes = [outcome("a", 0, [1, 1, 1, 0]), outcome("b", 0, [0] * 4), outcome("a", 1, [1] * 4)]
    groups = by_name(outcomes)
    summary = summarize(groups["a"])
    assert list(groups) == ["a", "b"] and summary["test_acc"] == 0.75
    assert summary["over_seeds"]["test_acc"]["mean"] == pytest.approx(0.875)
    assert summary["test_ci95"] == pytest.approx((0.3006, 0.9544), abs=1e-4)  # Wilson
    assert summary["images_per_second"] == 50 and summary["best_epoch"] == 1
    assert "75.00%" in table({"a": summary}) and json.dumps(summary)


def test_a_test_is_noted_from_scores_and_labels():
    one = outcome("a", 0, [0])
    one.test(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    assert one.correct.tolist() == [True, False]


def test_only_shared_seeds_are_compared():
    rng = np.random.default_rng(0)
    ours = [outcome("a", seed, rng.random(50) < 0.7) for seed in range(4)]
    theirs = [outcome("b", seed, rng.random(50) < 0.5) for seed in (1, 2, 3, 9)]
    found = accuracy_difference(ours, theirs)
    differences = [ours[s].correct.mean() - theirs[s - 1].correct.mean() for s in (1, 2, 3)]
    assert found.pairs == 3 and found.mean == pytest.approx(np.mean(differences))
    assert accuracy_difference(ours[:1], theirs).pairs == 0
