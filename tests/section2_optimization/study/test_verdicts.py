"""The verdicts are computed: paired by seed, with an interval that is wide enough for all."""

import numpy as np
import pytest
from scipy.stats import t

from section2_optimization.study.verdicts import conclude, count_comparisons


def results(**losses):
    return {
        name: {
            "lr": 0.1,
            "diverged": values is None,
            "test_losses": values,
            "over_seeds": {"test_loss": {"mean": np.mean(values or [np.inf])}},
        }
        for name, values in losses.items()
    }


def test_the_first_has_the_lowest_mean_and_each_other_is_compared_with_it_seed_by_seed():
    found = results(sgd=[0.31, 0.22, 0.11], adam=[0.3, 0.2, 0.1], nesterov=[0.2, 0.5, 0.1], gd=None)
    first, *others = conclude("moons", found, comparisons=1)
    assert first == "moons: adam has the lowest test loss, 0.2000"
    assert [line.split(":")[0].strip() for line in others] == [
        "test loss, sgd minus adam",
        "test loss, nesterov minus adam",
    ]
    half = t.ppf(0.975, 2) * np.std([0.01, 0.02, 0.01], ddof=1) / np.sqrt(3)
    mean = 0.04 / 3
    assert f"{mean:+.4f}, 95 % interval {mean - half:+.4f} to {mean + half:+.4f}" in others[0]
    assert "no clear difference" in others[0] and "over 3 seeds" in others[0]
    clear = results(sgd=[0.3, 0.2, 0.1], adam=[0.29, 0.1901, 0.09])
    assert ": a clear difference" in conclude("moons", clear, 1)[1]


def test_many_comparisons_widen_the_interval():
    found = results(sgd=[0.31, 0.21, 0.1105], adam=[0.3, 0.2, 0.1])
    assert ": a clear difference" in conclude("moons", found, 1)[1]
    assert "(500 comparisons together): no clear difference" in conclude("moons", found, 500)[1]


def test_every_pair_counts_since_any_of_them_might_have_been_the_first():
    found = results(sgd=[0.2], adam=[0.1], gd=[0.3], momentum=None)
    schedules = results(constant=[0.2], cosine=[0.1], step=[0.3])
    assert count_comparisons([found, found], schedules) == 3 + 3 + 2


@pytest.mark.parametrize("found", [results(sgd=[0.9], adam=None), results(adam=None)])
def test_guessing_is_called_guessing(found):
    assert "better than guessing" in conclude("moons", found, 1)[0]


def test_one_seed_has_no_spread():
    line = conclude("moons", results(sgd=[0.2], adam=[0.1]), 1)[1]
    assert "one seed has no spread to judge by" in line


def test_with_a_baseline_all_others_are_compared_with_it():
    found = results(constant=[0.3, 0.2], cosine=[0.2, 0.1], step=[0.4, 0.1])
    first, *others = conclude("schedules", found, 1, baseline="constant")
    assert first == "schedules: cosine has the lowest test loss, 0.1500"
    assert others[0].startswith(
        "  test loss, cosine minus constant: -0.1000, 95 % interval -0.1000"
    )
    assert others[1].startswith("  test loss, step minus constant: +0.0000")
    found["constant"]["diverged"] = True
    assert "step minus cosine" in conclude("schedules", found, 1, baseline="constant")[1]
