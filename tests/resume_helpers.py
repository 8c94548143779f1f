"""Stopping a training script at an exact step, in its own process or by SIGKILL in another."""

import hashlib
import importlib
import itertools
import json
import os
import signal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from shared_utils.runs.interrupts import Interrupted
from shared_utils.runs.training_run import TrainingRun
from tests.processes import run

TIMINGS = ("seconds", "per_second", "ms_per_step", "memory")


def count_steps(at: int, act) -> None:
    """Make `TrainingRun.watch` call `act` after step `at`, counted over all trainings."""
    original, counter = TrainingRun.watch, itertools.count(1)

    def watch(self, training, steps):
        def counted(**options):
            for loss in steps(**options):
                if next(counter) == at:
                    act()
                yield loss

        return original(self, training, counted)

    TrainingRun.watch = watch


def stop(monkeypatch, main, argv: list[str], step: int, number: int) -> None:
    """Run `main`, resuming what is there, and stop it by a signal after a step of this start."""
    with monkeypatch.context() as patch:
        patch.setattr(TrainingRun, "watch", TrainingRun.watch)
        count_steps(step, lambda: signal.raise_signal(number))
        with pytest.raises(Interrupted) as stopped:
            main([*argv, "--resume"])
    assert stopped.value.number == number and "--resume" in stopped.value.advice


def kill(script: str, where: str, count: int, argv: list[str]) -> None:
    """Run a script in a process of its own and kill it the `count`-th time that it is `where`.

    "step": after a training step; "rename": a file is written but has not yet taken its name.
    """
    with TemporaryDirectory() as folder:
        output = Path(folder, "output")
        with run(_until_killed, script, where, count, argv, output=output) as process:
            process.join(120)
            assert process.exitcode == -signal.SIGKILL, output.read_text()


def die() -> None:
    """End this process at once, as a power cut does."""
    os.kill(os.getpid(), signal.SIGKILL)


def outcome(folder: Path) -> dict[str, str | dict]:
    """Return what a run left: digests of weights and metrics, the summary without timings."""
    paths = [path for path in folder.iterdir() if path.suffix in (".pkl", ".pt", ".csv")]
    kept = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    return kept | {"summary.json": _untimed(json.loads((folder / "summary.json").read_text()))}


def _untimed(value):
    if isinstance(value, dict):
        timed = [key for key in value if any(word in key for word in TIMINGS)]
        return {key: _untimed(item) for key, item in value.items() if key not in timed}
    if isinstance(value, list):
        return [_untimed(item) for item in value if "times as long" not in str(item)]
    return value


def _until_killed(script: str, where: str, count: int, argv: list[str]) -> None:
    main = importlib.import_module(script).main
    if where == "step":
        count_steps(count, die)
    else:
        rename, counter = os.replace, itertools.count(1)

        def replace(source, target):
            if next(counter) == count:
                die()
            rename(source, target)

        os.replace = replace
    main([*argv, "--resume"])
