import numpy as np
from scipy.stats import t

from section3_cnn.study.shifts import NETWORKS
from section3_cnn.study.verdicts import compare_speed, conclude

ACCURACIES = [[0.9, 0.8, 0.7, 0.6, 0.5], [0.92, 0.8, 0.7, 0.6, 0.5]]  # a list a seed


def test_each_step_and_shift_is_judged_by_an_interval_that_holds_for_all_fifteen():
    worse = [[value - 0.1 - 0.001 * seed for value in row] for seed, row in enumerate(ACCURACIES)]
    lines = conclude({"max": ACCURACIES, "avg": worse, "strided": worse[::-1], "mlp": worse})
    assert len(lines) == 15
    half = 100 * t.ppf(1 - 0.025 / 15, 1) * np.std([0.1, 0.101], ddof=1) / np.sqrt(2)
    interval = f"+10.05 points, 95 % interval {10.05 - half:+.2f} to {10.05 + half:+.2f}"
    assert lines[11] == (
        f"accuracy on the test set shifted by 1 pixel, max minus avg: {interval} "
        "(15 comparisons together): a clear difference (over 2 seeds)"
    )
    assert "as it is, strided minus mlp: +0.00" in lines[0]
    assert "no clear difference" in lines[0]
    assert "shifted by 4 pixels, avg minus strided" in lines[9]
    one = {name: ACCURACIES[:1] for name in NETWORKS}
    assert "one seed has no spread" in conclude(one)[0]


def test_the_times_of_a_step_are_compared():
    runs = {"max": {"ms_per_step": 6.0}, "avg": {"ms_per_step": 4.0}}
    assert "1.50 times" in compare_speed(runs)
