import numpy as np
from scipy.stats import t

from section3_cnn import pooling_comparison
from section3_cnn.study.shifts import conclude, shift
from shared_utils.runs.history import History
from shared_utils.runs.outcomes import Outcome

ACCURACIES = [[0.9, 0.8, 0.7, 0.6, 0.5], [0.92, 0.8, 0.7, 0.6, 0.5]]  # a list a seed


def test_each_shift_is_judged_by_an_interval_that_holds_for_all_five():
    worse = [[value - 0.1 - 0.001 * seed for value in row] for seed, row in enumerate(ACCURACIES)]
    lines = conclude({"max": ACCURACIES, "avg": worse})
    half = 100 * t.ppf(1 - 0.025 / 5, 1) * np.std([0.1, 0.101], ddof=1) / np.sqrt(2)
    interval = f"+10.05 points, 95 % interval {10.05 - half:+.2f} to {10.05 + half:+.2f}"
    assert lines[1] == (
        f"accuracy on the test set shifted by 1 pixels, max minus average: {interval} "
        "(5 comparisons together): a clear difference (over 2 seeds)"
    )
    even = conclude({"max": ACCURACIES, "avg": ACCURACIES[::-1]})
    assert "as it is" in even[0] and "no clear difference" in even[0]
    assert "one seed has no spread" in conclude({"max": ACCURACIES[:1], "avg": worse[:1]})[0]


def test_only_seeds_that_were_trained_with_both_pools_are_compared():
    trained = [("max", 0), ("avg", 0), ("max", 1), ("avg", 2), ("max", 3), ("avg", 3)]
    outcomes = [Outcome(pool, seed, None, History()) for pool, seed in trained]
    pairs = pooling_comparison.in_pairs(outcomes)
    assert {pool: [one.seed for one in of_pool] for pool, of_pool in pairs.items()} == {
        "max": [0, 3],
        "avg": [0, 3],
    }


def test_the_times_of_a_step_are_compared():
    runs = {"max": {"ms_per_step": 6.0}, "avg": {"ms_per_step": 4.0}}
    assert "1.50 times" in pooling_comparison.compare_speed(runs)


def test_shifts_move_and_fill_with_black():
    x = np.arange(1.0, 13).reshape(1, 1, 3, 4)
    moved = shift(x, 1, -2)
    np.testing.assert_array_equal(moved[0, 0], [[0, 0, 0, 0], [3, 4, 0, 0], [7, 8, 0, 0]])
    np.testing.assert_array_equal(shift(x, 0, 0), x)
