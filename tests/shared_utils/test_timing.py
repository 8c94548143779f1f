"""Turns: who is called when, and that only equal results are compared."""

import numpy as np
import pytest

from shared_utils.timing import WARM_UP, compare, draw_ratios, line, matrix_product_peak, take_turns


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


TIMES = {
    "ours": {"median": 2.0, "quartiles": [1.0, 4.0]},
    "slow": {"median": 9.0, "quartiles": [8.0, 12.0]},
    "fast": {"median": 5.0, "quartiles": [4.0, 6.0]},
}


def test_a_race_is_judged_by_the_fastest_of_the_others_and_opposite_quartiles():
    found = compare(TIMES, operations=3e6, peak=6e9)
    assert (found["ours_ms"], found["slow_ms"], found["fast_ms"]) == (2.0, 9.0, 5.0)
    assert found["ratio"] == 2.5 and found["ratio_quartiles"] == [4 / 4, 6 / 1]
    assert found["fraction_of_peak"] == pytest.approx(3e6 / 2e-3 / 6e9)
    words = line({"dtype": "float32", "batch": 8} | found, ("ours", "fast")).split()
    assert words == ["float32", "8", "2.00", "5.00", "2.50", "(1.00", "-", "6.00)", "25%"]


def test_the_bars_of_the_figure_reach_from_opposite_quartiles():
    rows = [
        {"dtype": dtype, "batch": batch} | compare(TIMES, 1, 1)
        for dtype in ("float32", "float64")
        for batch in (8, 16)
    ]
    ax = draw_ratios(rows, {"slow": "slow", "fast": "fast"}, "a race").axes[0]
    drawn = {container.get_label(): container for container in ax.containers}
    assert list(drawn) == ["float32, slow", "float32, fast", "float64, slow", "float64, fast"]
    middle, _, (bars,) = drawn["float32, slow"].lines
    assert middle.get_ydata().tolist() == [4.5, 4.5]
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [[2.0, 12.0]] * 2
    places = [container.lines[0].get_xdata()[0] for container in drawn.values()]
    assert places == sorted(places) and 7 < places[0] < 8 < places[-1] < 9  # beside each other
    alone = draw_ratios(rows, {"fast": "PyTorch"}, "a race").axes[0]
    assert [c.get_label() for c in alone.containers] == ["float32", "float64"]
