"""Every exercise: the original is right, the empty one is not done, and three slips get a name."""

import importlib.util
import re
import textwrap

import numpy as np
import pytest

from shared_utils.exercises.__main__ import report
from shared_utils.exercises.answering import answer_all
from shared_utils.exercises.diagnosis import matches
from shared_utils.exercises.grading import PROMISES, judge
from shared_utils.exercises.handout import ROOT, words
from shared_utils.exercises.holes import empty
from shared_utils.exercises.table import exercises, file_of
from tests.shared_utils.exercises.planted import (
    OTHER_ANSWERS,
    OTHER_DRAWS,
    PLANTED,
    put,
    source_of,
    with_body,
)

WITHOUT_TORCH = importlib.util.find_spec("torch") is None
NUMBERS = [n for n, row in exercises().items() if not (row.needs and WITHOUT_TORCH)]


def verdict(row):
    return judge(row, answer_all(row))


@pytest.mark.parametrize("number", NUMBERS)
def test_the_original_is_right_and_the_empty_one_is_not_done(number, monkeypatch):
    row = exercises()[number]
    assert verdict(row).status == "right"
    for function in row.functions:
        with monkeypatch.context() as patch:
            name = function.split(":")[1]
            outer = source_of(function)
            source = (ROOT / file_of(function)).read_bytes()
            start = source.decode().index(outer)
            emptied = empty(source, name, words(row)).decode()
            end = len(emptied) - (len(source.decode()) - start - len(outer))
            put(patch, function, emptied[start:end])
            assert verdict(row).status == "not done", function


@pytest.mark.parametrize("number", NUMBERS)
def test_three_planted_slips_are_told_by_their_names(number, monkeypatch):
    row = exercises()[number]
    for old, new, said in PLANTED[number]:
        (function,) = (f for f in row.functions if old in source_of(f))
        with monkeypatch.context() as patch:
            put(patch, function, source_of(function).replace(old, new))
            found = verdict(row)
        lines = report(row, found, "a.py:1")
        assert found.status in ("wrong", "error") and found.case in [*row.cases, PROMISES]
        assert said in "\n".join(lines), "\n".join([new, *lines])
        assert len(lines) <= 10


@pytest.mark.parametrize("number", [n for n in OTHER_ANSWERS if n in NUMBERS])
def test_right_answers_that_are_written_otherwise_are_right(number, monkeypatch):
    row = exercises()[number]
    for name, text in OTHER_ANSWERS[number].items():
        (function,) = (f for f in row.functions if f.endswith(name))
        put(monkeypatch, function, with_body(function, text))
    found = verdict(row)
    assert found.status == "right", report(row, found, "a.py:1")


@pytest.mark.skipif(WITHOUT_TORCH, reason="needs PyTorch")
@pytest.mark.parametrize("draws", OTHER_DRAWS)
@pytest.mark.parametrize("seed", range(3))
def test_any_right_use_of_the_given_generator_is_right(draws, seed, monkeypatch):
    row = exercises()["4.5"]
    (function,) = row.functions
    draws = textwrap.indent(textwrap.dedent(draws), " " * 8)
    draws += f"        torch.rand({seed}, generator=generator)\n"  # other numbers after it
    text = re.sub(r" +rng = .*?(?= +onehot)", lambda _: draws, source_of(function), flags=re.DOTALL)
    put(monkeypatch, function, text)
    found = verdict(row)
    assert "onehot" in text and found.status == "right", report(row, found, "a.py:1")


def test_every_exercise_has_three_planted_slips():
    assert PLANTED.keys() == exercises().keys()
    assert min(len(planted) for planted in PLANTED.values()) == 3


def test_of_two_functions_the_empty_one_is_named_and_the_other_is_graded(monkeypatch):
    row = exercises()["3.3"]
    im2col, col2im = row.functions
    hole = 'raise NotImplementedError("exercise 3.3: x")'
    with monkeypatch.context() as patch:
        put(patch, col2im, with_body(col2im, hole))
        found = verdict(row)
        assert found.status == "not done" and not found.case
        assert found.lines == ("still empty: col2im", "right so far: cols")
        put(patch, im2col, source_of(im2col).replace("return cols", "return -cols"))
        found = verdict(row)
        assert found.status == "wrong" and "the wrong sign" in " ".join(found.lines)
        assert "still empty: dx" in found.lines
    put(monkeypatch, im2col, with_body(im2col, hole))
    assert verdict(row).lines == ("still empty: im2col", "right so far: dx")


@pytest.mark.parametrize("number", exercises())
def test_every_slip_of_the_table_can_be_told_from_the_right_answer(number):
    row = exercises()[number]
    if row.drawn:
        return
    with np.errstate(all="ignore"):
        for slip in row.slips:
            pairs = [
                (row.oracle(**case), row.oracle(**case, slip=slip)) for case in row.cases.values()
            ]
            assert any(
                not matches(np.asarray(wrong[name]), np.asarray(right[name]), row.tolerance)
                for right, wrong in pairs
                for name in wrong
            ), slip
