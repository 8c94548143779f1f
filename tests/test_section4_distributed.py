import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import torch
from resume_helpers import outcome
from section4_helpers import CPU, ROOT, TinyNet, as_float, tiny_part
from torch import distributed

from section4_transfer.devices import Runtime
from section4_transfer.distributed import main_first, runtime
from section4_transfer.engine import fit
from section4_transfer.models import initialise
from section4_transfer.recipe import Recipe
from section4_transfer.steps import evaluate, make_optimizer, train_steps
from shared_utils.errors import NothingToDo, UserError
from shared_utils.torch_data import generator

TESTS = Path(__file__).parent
LIMIT = 120  # seconds; processes that do not agree wait for each other
PROGRAM = """
import sys, torch
sys.path.insert(0, {tests!r})
from test_section4_distributed import trained
from section4_transfer.distributed import runtime
with runtime("cpu", "fp32") as here:
    result = trained(here)
    result["rank"], result["world"] = here.rank, here.world
torch.save(result, {out!r} + f"/{{result['rank']}}.pt")
"""


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


# The first process fails before the others begin, and then takes long to end.
FAILING = """
import sys
from section4_transfer.distributed import main_first, runtime
from shared_utils.cli import start
from shared_utils.errors import UserError
def main():
    with runtime("cpu", "fp32") as here:
        try:
            with main_first(here):
                if here.is_main:
                    raise UserError("no data")
                print("began")
        finally:
            if here.is_main:
                sys.stdin.read()
start(main)
"""

# Two arms of 2 epochs of 4 steps: undisturbed, and killed in the second epoch of the second arm.
# A second start goes on. The port of a group that has ended is not free at once.
KILLED = """
import os, pathlib, signal, sys
sys.path.insert(0, {tests!r})
from resume_helpers import count_steps
from section4_transfer import engine, plots_depth, resnet_vs_plain
plots_depth.draw_all = lambda *args: None
argv = "--dataset photo-digits --limit 60 --depth 8 --epochs 2 --batch-size 16 --no-show".split()
argv += ["--device", "cpu", "--runs-dir"]
if not pathlib.Path({out!r}, "killed").exists():
    resnet_vs_plain.main([*argv, {out!r} + "/whole"])
    os.environ["MASTER_PORT"] = str(int(os.environ["MASTER_PORT"]) + 1)
    count_steps(engine, 14, lambda: os.kill(os.getpid(), signal.SIGKILL))
resnet_vs_plain.main([*argv, {out!r} + "/killed", "--resume"])
"""


def python(program):
    return [sys.executable, "-c", program]


@contextmanager
def two_processes(command, **options):
    """Start the command twice, as the two of a group; none outlives the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with ExitStack() as started:
        processes = []
        for rank in range(2):
            environment = os.environ | {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
                "PYTHONPATH": str(ROOT),
            }
            process = started.enter_context(subprocess.Popen(command, env=environment, **options))
            started.callback(process.kill)
            processes.append(process)
        yield processes


def test_when_the_first_process_fails_the_others_end_too_without_a_word():
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    with two_processes(python(FAILING), text=True, **pipes) as (first, second):
        assert second.communicate(timeout=LIMIT) == ("", "") and second.returncode == 2
        assert first.poll() is None
        _, errors = first.communicate("", timeout=LIMIT)
        assert first.returncode == 2 and errors.strip() == "error: no data"


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
    program = PROGRAM.format(tests=str(TESTS), out=str(tmp_path))
    with two_processes(python(program)) as processes:
        expected = trained(CPU)
        assert [process.wait(LIMIT) for process in processes] == [0, 0]
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert (found["rank"], found["world"]) == (rank, 2)
        torch.testing.assert_close(found["gradients"], expected["gradients"])
        torch.testing.assert_close(found["weights"], expected["weights"])
        torch.testing.assert_close(found["losses"], expected["losses"])
        assert torch.equal(found["right"], expected["right"])
        for row, row_ in zip(found["history"], expected["history"], strict=True):
            torch.testing.assert_close(row, row_, rtol=1e-5, atol=1e-6)


def test_two_processes_that_are_killed_resume_to_the_same_bytes(tmp_path):
    command = python(KILLED.format(tests=str(TESTS), out=str(tmp_path)))
    for status in (-signal.SIGKILL, 0):
        with two_processes(command, stdout=subprocess.PIPE, text=True) as processes:
            outputs = [process.communicate(timeout=LIMIT)[0] for process in processes]
        assert [process.returncode for process in processes] == [status] * 2
    assert "resnet-8, seed" not in outputs[0]  # the finished arm is not trained again
    whole, resumed = (outcome(tmp_path / runs / "resnet_vs_plain") for runs in ("whole", "killed"))
    assert resumed == whole


def test_one_process_joins_no_group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with runtime("cpu", "fp32") as here:
        assert (here.rank, here.world, here.is_main) == (0, 1, True)
        assert not torch.distributed.is_initialized()
