"""The process in which a student's code runs: it is asked, and its answers go out as they are.

Nothing is judged here. Whatever the code prints, raises, changes or returns becomes a line of JSON
for the grader, which has the process ended if it takes too long. A line is written after each case,
so that an endless loop in the third leaves the answers of the first two.
"""

import contextlib
import copy
import json
import math
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from shared_utils.exercises.holes import has_more
from shared_utils.exercises.table import Exercise, choose

MOST_NUMBERS = 100_000  # in an answer; no case asks for so many
HERE = os.getcwd()  # the hand-out


def main(number: str, memory_mib: int, seconds: float) -> None:
    """Ask exercise `number`; the answers leave by what was the standard output.

    What the code prints goes nowhere. The process ends here, whatever the code has left running.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for number_of_stream in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), number_of_stream)
    (row,) = choose([number])
    if row.needs:
        with contextlib.suppress(ImportError):  # the first case will say so
            __import__(row.needs)
    _limit(memory_mib, seconds)
    for answer in answer_all(row):
        print(json.dumps(answer), file=answers, flush=True)
        if "error" in answer:
            break
    os._exit(0)


def answer_all(row: Exercise):
    """Yield what the code answers in every case, once more in the first, and to the promises.

    An entry holds either "answers" (see `encode`) or "error" (see `describe`), and "changed": the
    names of arguments that the code has changed.
    """
    for arguments in [*row.cases.values(), next(iter(row.cases.values()))]:
        yield answer_one(row.probe, arguments)
    if row.promises:
        yield answer_one(row.promises, {})


def answer_one(probe: Callable[..., dict | None], arguments: dict) -> dict:
    """Ask one case. Nothing that the code raises passes, not even `sys.exit`."""
    given = copy.deepcopy(arguments)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            answers = {name: ask(value) for name, value in (probe(**given) or {}).items()}
    except BaseException as error:
        return {"error": describe(error)}
    changed = [name for name in arguments if encode(arguments[name]) != encode(given[name])]
    return {"answers": answers, "changed": changed}


def ask(value) -> dict:
    """Return an encoded answer; {"error"} of a `partial` whose function is still empty."""
    try:
        return encode(value() if isinstance(value, partial) else value)
    except NotImplementedError as error:
        return {"error": describe(error)}


def encode(value) -> dict:
    """Return {"type", "dtype", "shape", "values"} of an array or a number; else its type alone."""
    kind = {"type": type(value).__name__}
    if hasattr(value, "detach"):  # a tensor
        value = value.detach().cpu().numpy()
    if isinstance(value, (tuple, list)):
        return kind | {"items": [encode(item) for item in value]}
    if not isinstance(value, (np.ndarray, np.generic, bool, int, float)):
        return kind
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or array.size > MOST_NUMBERS:
        return kind | {"dtype": str(array.dtype), "shape": array.shape}
    dtype = str(array.dtype) if isinstance(value, (np.ndarray, np.generic)) else ""
    return kind | {"dtype": dtype, "shape": array.shape, "values": array.ravel().tolist()}


def describe(error: BaseException) -> dict:
    """Return the type, the first line of the message, and the student's line that raised.

    "function" is what raised, "more" whether it is an empty function that is not empty any more.
    """
    text = type(error).__name__
    with contextlib.suppress(Exception):  # an exception may be unable to say what it is
        text = str(error).partition("\n")[0][:300]
    frames = traceback.extract_tb(error.__traceback__)
    places = [(frame.filename, frame.lineno) for frame in frames]
    if isinstance(error, SyntaxError):
        text = error.msg
        places.append((error.filename or "", error.lineno))
    own = [(os.path.relpath(file, HERE), line) for file, line in places if file.startswith(HERE)]
    own = [place for place in own if not place[0].startswith(os.path.join("shared_utils", "exer"))]
    file, line = own[-1] if own else ("", 0)
    is_hole = isinstance(error, NotImplementedError) and own and places[-1][0].endswith(file)
    return {
        "type": type(error).__name__,
        "text": text,
        "file": file,
        "line": line,
        "function": frames[-1].name,
        "more": bool(is_hole and has_more(Path(HERE, file).read_bytes(), line)),
    }


def _limit(mib: int, seconds: float) -> None:
    """Limit the memory, and the time: the grader ends this process, but may be killed itself."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # not every system can
        import resource

        limit = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
        resource.setrlimit(limit, (mib * 2**20, mib * 2**20))
        most = 10 + 2 * math.ceil(seconds)  # of the processor
        resource.setrlimit(resource.RLIMIT_CPU, (most, most))
