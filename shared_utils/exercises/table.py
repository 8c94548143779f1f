"""What an exercise is, and where to find all of them.

An exercise names the functions whose bodies the student writes, and asks them in a few cases. Each
case is a dict of arguments. The probe calls the student's functions with them and returns named
answers; the oracle computes the same answers without any of the lessons' code. Told the name of a
classic slip, it computes what a student gets who makes it: so the grader can say what went wrong.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial

from shared_utils.errors import UserError

Answers = Mapping[str, object]  # by name: arrays or numbers

SECTIONS = (1, 2, 3, 4)
NOT_IN_PLACE = (
    "the parameters did not move: `param = param - ...` makes a new array, `param -= ...` writes"
    " into the old one"
)
ADDED = "right the first time, too large the second: overwrite grads ([:] =), do not add (+=)"


class Broken(Exception):
    """A promise that the code does not keep, whatever its numbers; the text says which."""


@dataclass(frozen=True)
class Exercise:
    """A row of the table. `functions` are "module:name" or "module:Class.name"."""

    number: str
    title: str
    functions: tuple[str, ...]
    minutes: int
    hint: str
    page: str  # where it is derived: a README, by its path
    heading: str  # and the heading there
    cases: Mapping[str, Mapping[str, object]]
    probe: Callable[..., Answers]
    oracle: Callable[..., Answers]  # takes `slip`, too
    slips: Mapping[str, str]  # what the verdict says of each
    errors: Mapping[str, str] = field(default_factory=dict)  # the same, of exceptions; or "shapes"
    promises: Callable[[], None] | None = None  # raises Broken where the docstring is not kept
    batch: str = ""  # the argument whose first axis is the batch
    tolerance: float = 1e-7  # of the largest expected entry, in float64
    builds_on: tuple[str, ...] = ()  # exercises whose functions the cases use
    drawn: str = ""  # an answer that is random: the oracle is told it
    needs: str = ""  # a package that the light environment lacks

    @property
    def files(self) -> list[str]:
        """The files that the functions stand in, each once."""
        return list(dict.fromkeys(file_of(function) for function in self.functions))


def file_of(function: str) -> str:
    """Return the path of the file of "module:name", from the root of the repository."""
    return function.split(":")[0].replace(".", "/") + ".py"


def lesson(name: str):
    """Import and return a module of the lessons: the student's, in the grading process."""
    return importlib.import_module(name)


def call(function: str, answer: str) -> Callable[..., Answers]:
    """Return the probe that passes a case's arguments to one function: its result is `answer`.

    A probe's answer may be a `partial`, to be called: where that is still empty, others may not be.
    """
    return partial(_call, function, answer)


def _call(function: str, answer: str, /, **arguments) -> Answers:
    module, name = function.split(":")
    return {answer: getattr(lesson(module), name)(**arguments)}


@cache
def exercises() -> dict[str, Exercise]:
    """Return all exercises by number, in order."""
    found = {}
    for section in SECTIONS:
        rows = importlib.import_module(f"shared_utils.exercises.section{section}").EXERCISES
        found |= {row.number: row for row in rows}
    return found


def choose(numbers: list[str]) -> list[Exercise]:
    """Return the exercises of these numbers; "all" is each of them. Raises UserError for others."""
    known = exercises()
    if "all" in numbers:
        return list(known.values())
    for number in numbers:
        if number not in known:
            raise UserError(f"there is no exercise {number}; there are {', '.join(known)}")
    return [row for number, row in known.items() if number in numbers]
