import signal
import socket
from contextlib import ExitStack, contextmanager

import pytest
import torch
from torch import distributed

from section4_transfer import engine, plots_depth, resnet_vs_plain
from section4_transfer.devices import Runtime
from section4_transfer.distributed import main_first, runtime
from section4_transfer.engine import fit
from section4_transfer.models import initialise
from section4_transfer.recipe import Recipe
from section4_transfer.steps import evaluate, make_optimizer, train_steps
from shared_utils.cli import start
from shared_utils.datasets.color_images import generator
from shared_utils.errors import NothingToDo, UserError
from tests.processes import CONTEXT, run
from tests.resume_helpers import count_steps, die, outcome
from tests.section4_transfer.helpers import CPU, TinyNet, as_float, tiny_part

LIMIT = 120  # seconds; processes that do not agree wait for each other


def trained(here):
    """One step's gradients, a short training and an evaluation, of 23 images: unequal shares."""
    train, val = tiny_part(23), tiny_part(11, seed=1)
    model = initialise(TinyNet(), generator(0, "init"))
    recipe = Recipe(1, 23, 0.1)
    next(train_steps(model, make_optimizer(model, recipe), train, as_float, recipe, here, seed=0))
    gradients = [p.grad.clone() for p in model.parameters()]
    model = initialise(TinyNet(), generator(0, "init"))
    result = fit(model, train, val, as_float, Recipe(2, 9, 0.1), here, seed=0)
    losses, right = evaluate(model, val, as_float, here)
    return {
        "gradients": gradients,
        "weights": [p.detach() for p in model.parameters()],
        "history": result.history,
        "losses": losses,
        "right": right,
    }


def train_in_a_group(folder):
    with runtime("cpu", "fp32") as here:
        torch.save(trained(here) | {"world": here.world}, folder / f"{here.rank}.pt")


def fail_first(go_on):
    """The first process fails before the other begins, and then takes long to end."""

    def main():
        with runtime("cpu", "fp32") as here:
            try:
                with main_first(here):
                    if here.is_main:
                        raise UserError("no data")
                    print("began")
            finally:
                if here.is_main:
                    go_on.wait(LIMIT)

    start(main)


def run_the_study(folder, kill_at=None):
    """Two arms of 2 epochs of 4 steps."""
    plots_depth.draw_all = lambda *args: None
    if kill_at is not None:
        count_steps(engine, kill_at, die)
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


def test_when_the_first_process_fails_the_others_end_too_without_a_word(tmp_path):
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
    main, other = (Runtime(torch.device("cpu"), "fp32", rank, 2) for rank in (0, 1))
    with main_first(main):
        assert told == []
    for error in (UserError("x"), NothingToDo("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)), main_first(main):
            raise error
    assert told[0] == 0 and told[1] == told[3] != told[2] and 0 not in told[1:]
    for said, status in zip(told, (None, 2, 0, 2), strict=True):
        monkeypatch.setattr(distributed, "broadcast", lambda it, source, said=said: it.fill_(said))
        entered = False
        try:
            with main_first(other):
                entered = True
        except SystemExit as end:
            assert end.code == status
        assert entered == (status is None)


def test_processes_wait_long_enough_for_a_download(monkeypatch):
    told = {}
    monkeypatch.setattr(distributed, "init_process_group", lambda *args, **kw: told.update(kw))
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with runtime("cpu", "fp32"):
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
        torch.testing.assert_close(found["losses"], expected["losses"])
        assert torch.equal(found["right"], expected["right"])
        for row, row_ in zip(found["history"], expected["history"], strict=True):
            torch.testing.assert_close(row, row_, rtol=1e-5, atol=1e-6)


def test_two_processes_that_are_killed_resume_to_the_same_bytes(tmp_path):
    whole, killed = tmp_path / "runs", tmp_path / "killed"
    for folder, kill_at, status in (
        (whole, None, 0),
        (killed, 14, -signal.SIGKILL),  # in the second epoch of the second arm
        (killed, None, 0),
    ):
        with two_processes(run_the_study, folder, kill_at, folder=tmp_path) as processes:
            output = ended(processes, tmp_path, status)
    assert "plain-8, seed" in output and "resnet-8, seed" not in output  # what is done stays done
    assert outcome(killed / "resnet_vs_plain") == outcome(whole / "resnet_vs_plain")


def test_one_process_joins_no_group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with runtime("cpu", "fp32") as here:
        assert (here.rank, here.world, here.is_main) == (0, 1, True)
        assert not torch.distributed.is_initialized()
