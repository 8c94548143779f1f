import signal
import socket
from contextlib import ExitStack, contextmanager

import pytest
import torch
from torch import distributed

from section4_transfer import resnet_vs_plain
from section4_transfer.engine.distributed import Group
from section4_transfer.engine.recipe import Recipe
from section4_transfer.engine.runtime import init_runtime
from section4_transfer.models import initialise
from section4_transfer.study import class_plots, depth_plots
from section4_transfer.training import fit, predict
from shared_utils.cli import start
from shared_utils.datasets.color_images import generator
from shared_utils.errors import NothingToDo, UserError
from tests.processes import CONTEXT, run
from tests.resume_helpers import count_steps, die, outcome
from tests.section4_transfer.helpers import CPU, TinyNet, as_float, steps, tiny_split

LIMIT = 120  # seconds; processes that do not agree wait for each other


def trained(runtime):
    """One step's gradients, a short training and an evaluation, of 23 images: unequal shards."""
    train, val = tiny_split(23), tiny_split(11, seed=1)
    model = initialise(TinyNet(), generator(0, "init"))
    next(steps(model, Recipe(1, 23, 0.1), train, runtime=runtime, seed=0))
    gradients = [p.grad.clone() for p in model.parameters()]
    model = initialise(TinyNet(), generator(0, "init"))
    history = fit(model, train, val, as_float, Recipe(2, 9, 0.1), runtime, seed=0)
    return {
        "gradients": gradients,
        "weights": [p.detach() for p in model.parameters()],
        "rows": history.rows,
        "logits": predict(model, val[0], as_float, runtime),
    }


def train_in_a_group(folder):
    with init_runtime("cpu", "fp32") as runtime:
        torch.save(trained(runtime) | {"world": runtime.world}, folder / f"{runtime.rank}.pt")


def fail_first(go_on):
    """The first process fails before the other begins, and then takes long to end."""

    def main():
        with init_runtime("cpu", "fp32") as runtime:
            try:
                with runtime.main_first():
                    if runtime.is_main:
                        raise UserError("no data")
                    print("began")
            finally:
                if runtime.is_main:
                    go_on.wait(LIMIT)

    start(main)


def run_the_study(folder, kill_at=None):
    """Two networks of 2 epochs of 4 steps."""
    depth_plots.draw_all = class_plots.confusion = lambda *args: None
    if kill_at is not None:
        count_steps(kill_at, die)
    argv = ["--dataset", "photo-digits", "--limit", "60", "--depth", "8", "--epochs", "2"]
    argv += ["--batch-size", "16", "--no-show", "--device", "cpu", "--resume"]
    resnet_vs_plain.main([*argv, "--runs-dir", str(folder)])


@contextmanager
def two_processes(function, *args, folder):
    """Call the function twice, as the two of a group; their outputs are `folder`/0 and 1."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    with ExitStack() as started:
        yield [
            started.enter_context(
                run(
                    function,
                    *args,
                    output=folder / str(rank),
                    environment=group | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                )
            )
            for rank in range(2)
        ]


def ended(processes, folder, status):
    """Wait for two processes; return the first one's output. Both must have ended with `status`."""
    for process in processes:
        process.join(LIMIT)
    outputs = [(folder / str(rank)).read_text() for rank in range(2)]
    assert [process.exitcode for process in processes] == [status] * 2, outputs
    return outputs[0]


def test_when_the_first_process_fails_the_others_end_silently(tmp_path):
    go_on = CONTEXT.Event()
    with two_processes(fail_first, go_on, folder=tmp_path) as (first, second):
        second.join(LIMIT)
        assert (second.exitcode, (tmp_path / "1").read_text()) == (2, "")
        assert first.is_alive()
        go_on.set()
        first.join(LIMIT)
        assert (first.exitcode, (tmp_path / "0").read_text()) == (2, "\nerror: no data\n")


def test_the_main_process_tells_how_it_went_and_the_others_follow(monkeypatch):
    told = []
    monkeypatch.setattr(distributed, "broadcast", lambda status, source: told.append(status.item()))
    main, other = (Group(torch.device("cpu"), "fp32", rank, 2) for rank in (0, 1))
    with main.main_first():
        assert told == []
    for error in (UserError("x"), NothingToDo("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)), main.main_first():
            raise error
    assert told[0] == 0 and told[1] == told[3] != told[2] and 0 not in told[1:]
    for said, status in zip(told, (None, 2, 0, 2), strict=True):
        monkeypatch.setattr(distributed, "broadcast", lambda it, source, said=said: it.fill_(said))
        entered = False
        try:
            with other.main_first():
                entered = True
        except SystemExit as end:
            assert end.code == status
        assert entered == (status is None)


def test_a_bad_state_that_the_main_process_finds_ends_all(monkeypatch):
    class Folder:
        def restore(self, name, load):
            load({"step": 1})

    def foreign(state):
        raise UserError("not the state of this training")

    told = []
    monkeypatch.setattr(distributed, "broadcast", lambda status, source: told.append(status.item()))
    main = Group(torch.device("cpu"), "fp32", 0, 2)
    with pytest.raises(UserError, match="not the state"):
        main.training_run(Folder(), "net").restore(foreign)
    assert told == [2]


def test_processes_wait_long_enough_for_a_download(monkeypatch):
    told = {}
    monkeypatch.setattr(distributed, "init_process_group", lambda *args, **kw: told.update(kw))
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with init_runtime("cpu", "fp32"):
        assert told["timeout"].total_seconds() >= 3600


def test_two_processes_take_the_steps_of_one_on_the_joined_batch(tmp_path):
    with two_processes(train_in_a_group, tmp_path, folder=tmp_path) as processes:
        expected = trained(CPU)
        ended(processes, tmp_path, 0)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found["world"] == 2
        torch.testing.assert_close(found["gradients"], expected["gradients"])
        torch.testing.assert_close(found["weights"], expected["weights"])
        torch.testing.assert_close(found["logits"], expected["logits"])
        for row, row_ in zip(found["rows"], expected["rows"], strict=True):
            torch.testing.assert_close(row, row_, rtol=1e-5, atol=1e-6)


def test_two_processes_that_are_killed_resume_to_the_same_bytes(tmp_path):
    whole, killed = tmp_path / "runs", tmp_path / "killed"
    for folder, kill_at, status in (
        (whole, None, 0),
        (killed, 14, -signal.SIGKILL),  # in the second epoch of the second network
        (killed, None, 0),
    ):
        with two_processes(run_the_study, folder, kill_at, folder=tmp_path) as processes:
            output = ended(processes, tmp_path, status)
    epochs = [line for line in output.splitlines() if "epoch" in line and "train loss" in line]
    assert {line.split(",")[0] for line in epochs} == {"plain-8"}  # what is done stays done
    assert outcome(killed / "resnet_vs_plain") == outcome(whole / "resnet_vs_plain")


def test_one_process_joins_no_group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with init_runtime("cpu", "fp32") as runtime:
        assert (runtime.rank, runtime.world, runtime.is_main) == (0, 1, True)
        assert not torch.distributed.is_initialized()
