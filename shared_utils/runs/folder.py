"""Run folders: the arguments of a run, what it measured, what it learned.

    config.json       every argument, the data, versions, the command line
    metrics.csv       one row a training and epoch; no times, so that equal runs have equal bytes
    summary.json      the results

and, while it runs, the states of its trainings, from which `--resume` continues (`resuming.py`).
"""

import csv
import json
import os
import platform
import shlex
import signal
import sys
import time
from io import StringIO
from pathlib import Path

import numpy as np

from shared_utils.errors import NothingToDo, UserError
from shared_utils.files import write_atomically
from shared_utils.runs.interrupts import Interrupted
from shared_utils.runs.resuming import PICKLE, Format, States

# What may differ between a run and its resumption: it changes no result (in Section 4, other
# `threads` change the last digits).
_FREE = ("resume", "checkpoint_minutes", "no_show", "runs_dir", "data_dir", "threads")


class RunFolder(States):
    """The folder of one run, locked while it is entered. An earlier run is moved aside or resumed.

    `args` are the script's arguments, `data` describes the data. With `args["resume"]` the run that
    is there is continued, if it had the same arguments. `opening` is one line for the user, or "".
    """

    def __init__(self, path: Path, args: dict, data: dict, states: Format = PICKLE):
        super().__init__(path, states, args.get("checkpoint_minutes"))
        self._about = {"args": _plain(args), "data": _plain(data)}
        self._resumable = "resume" in args
        self._metrics, self._writer, self.opening = StringIO(), None, ""

    def __enter__(self) -> "RunFolder":
        """Lock and prepare the folder.

        Raises UserError when another process is at work in it, or when it cannot be made, or when a
        run that is to be resumed had other arguments; NothingToDo when that run is finished.
        """
        import filelock

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as error:  # such as below /proc
            raise UserError(f"{self.path} cannot be made: choose another --runs-dir") from error
        # Beside the folder, which may be moved. The system drops the lock of a process that dies.
        self._lock = filelock.FileLock(self.path.with_name(f".{self.path.name}.lock"))
        try:
            self._lock.acquire(timeout=1)  # a killed run's helpers live on for a moment
        except filelock.Timeout as error:
            owner = self._config().get("process", "unknown")
            raise UserError(
                f"{self.path} is in use by process {owner}: wait for it, or choose another"
                " --runs-dir"
            ) from error
        try:
            self._prepare()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, kind, error, trace) -> None:
        """Unlock; mark the run as finished, or say how an interrupted one is continued."""
        try:
            if kind is None:
                self._finish()
            elif isinstance(error, (KeyboardInterrupt, Interrupted)):
                number = getattr(error, "number", signal.SIGINT)
                raise Interrupted(number, self._advice()) from error
        finally:
            self._lock.release()

    def log(self, *rows: dict) -> None:
        """Append rows to `metrics.csv`; the first row's names are the header."""
        for row in rows:
            if self._writer is None:
                self._writer = csv.DictWriter(self._metrics, row.keys(), lineterminator="\n")
                self._writer.writeheader()
            self._writer.writerow(row)
        write_atomically(self.path / "metrics.csv", self._metrics.getvalue().encode())

    def write_json(self, name: str, content: dict) -> None:
        """Write `content` as indented JSON; paths become text, NaN and infinities become null."""
        text = json.dumps(_plain(content), indent=2, allow_nan=False)
        write_atomically(self.path / name, (text + "\n").encode())

    def _prepare(self) -> None:
        """Continue the run that is here, or move it aside and begin a new one."""
        if self._about["args"].get("resume"):
            if self._can_continue():
                self.opening = f"continuing {self.path}"
                return
            self.opening = f"nothing to resume in {self.path}: starting a new run"
        if self.path.is_dir() and any(self.path.iterdir()):
            changed = time.localtime(self.path.stat().st_mtime)
            aside = f"{self.path.name}-{time.strftime('%Y%m%d-%H%M%S', changed)}"
            self.path.rename(_unused(self.path.with_name(aside)))
        try:
            self.path.mkdir(exist_ok=True)
        except FileExistsError as error:
            raise UserError(f"{self.path} is a file: choose another --runs-dir") from error
        config = self._about | {
            "command": self._command(),
            "versions": {"python": platform.python_version(), "numpy": np.__version__},
            "machine": {"platform": platform.platform(), "cpus": os.cpu_count()},
            "started": _now(),
            "process": os.getpid(),
        }
        self.write_json("config.json", config)

    def _can_continue(self) -> bool:
        """Return whether there is a run to continue; raise when it is another, or finished."""
        config = self._config()
        if not config.get("finished") and not self._any_state():
            return False
        then, now = config.get("args", {}), self._about["args"]
        differing = [
            f"--{name.replace('_', '-')} was {_as_typed(old)}, now {_as_typed(new)}"
            for name in sorted((then.keys() | now.keys()) - set(_FREE))
            if (old := then.get(name)) != (new := now.get(name))
        ]
        before, data = config.get("data", {}), self._about["data"]
        if before.get("sha256") != data.get("sha256"):
            differing.append("the data is not the same")
        was, is_now = _conditions(before), _conditions(data)
        differing += [f"{k} was {was[k]}, now {is_now[k]}" for k in was if was[k] != is_now[k]]
        if differing:
            raise UserError(
                f"cannot resume {self.path}: {'; '.join(differing)}: give the same arguments, or"
                " start again without --resume"
            )
        if config.get("finished"):
            raise NothingToDo(f"{self.path} is finished: there is nothing to resume")
        for half_written in self.path.glob(".*.tmp"):  # left by a process that was killed
            half_written.unlink()
        self.write_json("config.json", config | {"process": os.getpid()})
        return True

    def _finish(self) -> None:
        self.write_json("config.json", self._config() | {"finished": _now()})
        self._remove_states()

    def _config(self) -> dict:
        """Return `config.json`; {} when there is none. Raises UserError when it is damaged."""
        path = self.path / "config.json"
        try:
            config = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is damaged: start again without --resume") from error
        data = config.get("data", {}) if isinstance(config, dict) else None
        runtime = data.get("runtime", {}) if isinstance(data, dict) else None
        if not (isinstance(runtime, dict) and isinstance(config.get("args", {}), dict)):
            raise UserError(f"{path} is damaged: start again without --resume")
        return config

    def _command(self) -> list[str]:
        return [Path(sys.executable).name, *sys.argv]

    def _advice(self) -> str:
        if not self._resumable:
            return "the files written so far are kept"
        if "WORLD_SIZE" in os.environ:
            return "to continue, start the same command with --resume"
        command = [part for part in self._command() if part != "--resume"]
        return f"to continue: {shlex.join(command)} --resume"


def _as_typed(value) -> str:
    """Return a flag's value as it stands on a command line."""
    if value is None:
        return "not given"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _conditions(data: dict) -> dict:
    """Return what results depend on, no flag may say, and another machine may have otherwise."""
    runtime = data.get("runtime", {})
    return {
        "the source of the pretrained weights": data.get("weights"),
        "the digest of the pretrained weights' file": data.get("weights_sha256"),
        "the precision": runtime.get("precision"),
        "the number of processes": runtime.get("processes"),
    }


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _unused(path: Path) -> Path:
    candidates = (path.with_name(f"{path.name}-{n}") for n in range(2, 10**6))
    return path if not path.exists() else next(c for c in candidates if not c.exists())
