"""Grading: a student's code answers in a process of its own, and the answers are judged here.

The oracle runs in this process only, where no line of the student's does: to be right, an answer
must hold the right numbers.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from shared_utils.datasets.names import printable
from shared_utils.exercises import diagnosis
from shared_utils.exercises.strays import stray_words
from shared_utils.exercises.table import Exercise

MEMORY_MIB = 3072
PROMISES = "what docstring and hint promise"
SECONDS = 20.0

# The process takes this package from the grader and all else from the hand-out.
_BOOT = """
import importlib.util, sys
name, folder = "shared_utils.exercises", sys.argv[1]
spec = importlib.util.spec_from_file_location(
    name, folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules[name] = importlib.util.module_from_spec(spec)
from shared_utils.exercises.answering import main
main(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
"""


@dataclass(frozen=True)
class Verdict:
    """What came out of one exercise: "right", "wrong", "error", "not done" or "not graded"."""

    status: str
    case: str = ""  # the first that fails
    lines: tuple[str, ...] = ()


def grade(row: Exercise, folder: Path, seconds: float = SECONDS) -> Verdict:
    """Return the verdict on what stands in `folder`, a hand-out."""
    if words := stray_words(folder):
        return Verdict("error", "", (words,))
    records, end = _ask(row, folder.resolve(), seconds)
    return judge(row, records, end)


def judge(row: Exercise, records: Iterable[dict], end: str = "") -> Verdict:
    """Return the verdict on a process's answers; `end` says why there may be too few of them."""
    names = [*row.cases, next(iter(row.cases)), *([PROMISES] if row.promises else [])]
    records, holes = list(records), {}
    for place, case in enumerate(names):
        if place >= len(records):
            return Verdict("error", case, (end or "the process ended without an answer",))
        record, again = records[place], place == len(row.cases)
        if "error" in record:
            return _judge_error(row, case, record["error"])
        if case == PROMISES:
            continue
        holes |= {name: a["error"] for name, a in record["answers"].items() if "error" in a}
        lines = diagnosis.judge_case(row, row.cases[case], record)
        if lines and again:
            lines = ["asked a second time, the answer is another one: what outlives the call?"]
        if lines:
            return Verdict("wrong", case, tuple(lines))
    if not holes:
        return Verdict("right")
    done = [name for name in records[0]["answers"] if name not in holes]
    empty = [_judge_error(row, "", error) for error in holes.values()]
    lines = [line for verdict in empty for line in verdict.lines]
    lines += [f"right so far: {', '.join(done)}"] if done else []
    return Verdict(empty[0].status, "", tuple(dict.fromkeys(lines)))


def _judge_error(row: Exercise, case: str, error: dict) -> Verdict:
    kind, text = error["type"], printable(error["text"])
    place = printable(f"{error['file']}:{error['line']}") if error["file"] else ""
    where = f" in {place}" if place else ""
    if kind == "Broken":
        return Verdict("wrong", case, (text,))
    number = text.split()[1].rstrip(":") if text.startswith("exercise ") else ""
    if kind == "NotImplementedError" and (number or error["file"] in row.files):
        line = f"still empty: {error['function']}{where}"
        if error["more"]:
            line = f"{place} still raises NotImplementedError: delete that line"
        if number not in ("", row.number):
            return Verdict("error", case, (f"it needs exercise {number}: do that one first",))
        return Verdict("not done", "", (line,))
    if kind == "ModuleNotFoundError" and row.needs and repr(row.needs) in text:
        line = f"this exercise needs {row.needs}, see requirements.txt"
        return Verdict("not graded", "", (line,))
    if kind in ("SyntaxError", "IndentationError", "TabError"):
        return Verdict("error", "", (f"Python cannot read the file: {kind}{where}: {text}",))
    words = diagnosis.explain_error(row, kind, text)
    return Verdict("error", case, (f"{kind}{where}: {text}", *words))


def _ask(row: Exercise, folder: Path, seconds: float) -> tuple[list[dict], str]:
    """Run the student's code; return its answers, and why the process ended if it should not."""
    package = str(Path(__file__).resolve().parent)
    command = [sys.executable, "-c", _BOOT, package, row.number, str(MEMORY_MIB), str(seconds)]
    quiet = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "Agg"}
    quiet |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        command, cwd=folder, env=os.environ | quiet, start_new_session=True, **pipes
    ) as process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as late:
            end = f"no answer within {seconds:g} seconds: a loop that never ends?"
            return _records(late.output or b""), end
        finally:
            _kill(process)
    if not process.returncode:
        return _records(output), ""
    last = printable(errors.decode(errors="replace").strip().rpartition("\n")[2])
    return _records(output), f"the process ended with status {process.returncode} {last}".rstrip()


def _records(output: bytes) -> list[dict]:
    """Return the complete lines of the answers."""
    records = []
    for line in output.split(b"\n")[:-1]:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def _kill(process: subprocess.Popen) -> None:
    """End the process and all that it has started."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
