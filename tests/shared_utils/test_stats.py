"""Intervals against closed forms and SciPy; the one sentence in which a difference is told."""

import numpy as np
import pytest
from scipy.stats import norm, t, ttest_1samp

from shared_utils.stats import accuracy_ci95, mean_std, paired_difference


@pytest.mark.parametrize(("correct", "total"), [(9824, 10000), (0, 10), (10, 10), (350, 360)])
def test_interval_is_wilsons_closed_form(correct, total):
    z, p = norm.ppf(0.975), correct / total
    middle = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * np.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    assert accuracy_ci95(correct, total) == pytest.approx((middle - half, middle + half), abs=1e-9)


def test_spread_is_the_sample_deviation_and_unknown_for_one_value():
    assert mean_std([1, 2, 4]) == {"mean": 7 / 3, "std": pytest.approx(np.sqrt(7 / 3)), "n": 3}
    assert np.isnan(mean_std([5])["std"])


def test_one_pair_of_networks_has_the_interval_of_agresti_and_min():
    ours, theirs = np.zeros(100, bool), np.zeros(100, bool)
    ours[:60], theirs[10:50] = True, True  # 20 right for ours alone, none for theirs alone
    found = paired_difference([ours], [theirs])
    middle = 20 / 102
    half = 1.959964 * np.sqrt((21 - 20**2 / 102) / 102**2)
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, middle - half, middle + half))
    assert found.is_clear and not paired_difference([ours], [ours]).is_clear
    line = found.sentence("test accuracy, A minus B")
    assert line == (
        f"test accuracy, A minus B: +20.00 points, 95 % interval {100 * found.low:+.2f} to"
        f" {100 * found.high:+.2f}: a clear difference (of these two networks, one seed)"
    )


def test_over_seeds_the_interval_is_students():
    a, b = [0.9, 0.8, 0.95, 0.85], [0.7, 0.75, 0.8, 0.9]
    interval = ttest_1samp(np.subtract(a, b), 0).confidence_interval(0.95)
    found = paired_difference(a, b)
    assert (found.mean, found.low, found.high) == pytest.approx((0.0875, *interval))
    assert "no clear difference (over 4 seeds)" in found.sentence("a minus b")


def test_a_false_alarm_is_as_rare_as_promised():
    # Equal methods, three seeds, and four comparisons that hold together: 5 % of the families.
    rng = np.random.default_rng(0)
    alarms = sum(
        any(paired_difference(*rng.normal(size=(2, 3)), comparisons=4).is_clear for _ in range(4))
        for _ in range(1000)
    )
    assert alarms / 1000 < 0.07


def test_folds_that_share_training_data_widen_the_interval():
    # Nadeau and Bengio: (1/5 + 1/4) var in place of var / 5.
    a, b = [0.5, 0.6, 0.4, 0.5, 0.6], [0.4] * 5
    half = t.ppf(0.975, 4) * np.sqrt((1 / 5 + 1 / 4) * np.var(np.subtract(a, b), ddof=1))
    found = paired_difference(a, b, overlap=1 / 4, pair="fold")
    assert (found.low, found.high) == pytest.approx((0.12 - half, 0.12 + half))
    assert found.sentence("x", unit="", scale=1, digits=3).endswith("(over 5 folds)")


def test_many_comparisons_widen_each_interval_until_all_hold_together():
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((3, 50)) < 0.7, rng.random((3, 50)) < 0.5
    for seeds, quantile in ((1, norm.ppf), (3, lambda p: t.ppf(p, 2))):
        one = paired_difference(ours[:seeds], theirs[:seeds])
        many = paired_difference(ours[:seeds], theirs[:seeds], comparisons=15)
        widened = quantile(1 - 0.05 / 15 / 2) / quantile(0.975)
        assert (many.high - many.low) / (one.high - one.low) == pytest.approx(widened, rel=1e-6)
        assert many.high + many.low == pytest.approx(one.high + one.low)
        assert "(15 comparisons together)" in many.sentence("a minus b")


def test_where_there_is_nothing_to_judge_by_the_sentence_says_so():
    assert not paired_difference([], []).is_clear
    assert paired_difference([], []).sentence("a minus b") == (
        "a minus b: no seed was trained both ways to the end"
    )
    lonely = paired_difference([0.5], [0.25])
    assert not lonely.is_clear
    assert lonely.sentence("loss", "", 1) == "loss: +0.25; one seed has no spread to judge by"
