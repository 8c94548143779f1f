"""Turns: who is called when, and that only equal results are compared."""

import numpy as np
import pytest

from shared_utils.timing import WARM_UP, matrix_product_peak, take_turns


def test_contenders_take_turns_with_the_same_batches():
    calls = []

    def contender(name):
        return lambda x: calls.append((name, x)) or x

    batches = [(n,) for n in range(7)]
    times = take_turns({"a": contender("a"), "b": contender("b")}, batches, rounds=2, count=9)
    turn = [0, 1, 2][:WARM_UP] + [n % 7 for n in range(9)]
    expected = [("a", n) for n in range(5)] + [("b", n) for n in range(5)]  # are they equal?
    expected += 2 * ([("a", n) for n in turn] + [("b", n) for n in turn])
    assert calls == expected
    for of_one in times.values():
        low, high = of_one["quartiles"]
        assert 0 < low <= of_one["median"] <= high


def test_contenders_that_compute_something_else_are_not_compared():
    with pytest.raises(RuntimeError, match="b does not compute what the others do"):
        take_turns({"a": lambda x: x, "b": lambda x: 1.01 * x}, [(1.0,)], 1, 1)


def test_the_peak_is_that_of_a_product():
    assert np.isfinite(matrix_product_peak("float32")) and matrix_product_peak("float32") > 1e8
