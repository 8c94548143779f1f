import os
import socket
import subprocess
import sys

import torch
from section4_helpers import CPU, ROOT, TinyNet, as_float, tiny_part

from section4_transfer.distributed import runtime
from section4_transfer.engine import fit
from section4_transfer.models import initialise
from section4_transfer.recipe import Recipe
from section4_transfer.steps import evaluate, train_steps
from shared_utils.torch_data import generator

PROGRAM = """
import sys, torch
sys.path[:0] = [{root!r}, {root!r} + "/tests"]
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
    next(train_steps(model, train, as_float, Recipe(1, 23, 0.1), here, seed=0))
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


def test_two_processes_take_the_steps_of_one_on_the_joined_batch(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = []
    for rank in range(2):
        environment = os.environ | {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "OMP_NUM_THREADS": "1",
        }
        program = PROGRAM.format(root=str(ROOT), out=str(tmp_path))
        processes.append(subprocess.Popen([sys.executable, "-c", program], env=environment))
    expected = trained(CPU)
    assert [process.wait(60) for process in processes] == [0, 0]
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert (found["rank"], found["world"]) == (rank, 2)
        torch.testing.assert_close(found["gradients"], expected["gradients"])
        torch.testing.assert_close(found["weights"], expected["weights"])
        torch.testing.assert_close(found["losses"], expected["losses"])
        assert torch.equal(found["right"], expected["right"])
        for row, row_ in zip(found["history"], expected["history"], strict=True):
            torch.testing.assert_close(row, row_, rtol=1e-5, atol=1e-6)


def test_one_process_joins_no_group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with runtime("cpu", "fp32") as here:
        assert (here.rank, here.world, here.is_main) == (0, 1, True)
        assert not torch.distributed.is_initialized()
