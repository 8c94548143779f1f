"""The summary counts over the whole test set."""

import numpy as np
import pytest

from section2_optimization.study.comparison import Budget, make_methods, search
from section2_optimization.study.results import summarize
from section2_optimization.study.toy_data import make_toy_data

MOONS = make_toy_data("moons", 0)


def test_the_summary_counts_over_the_whole_test_set():
    found = search(MOONS, make_methods(["sgd"])[0], Budget([0.3], [0, 1], 5, 32))
    result = summarize(MOONS, {"sgd": found})["sgd"]
    accuracies = [
        np.mean(t.model.forward(MOONS.x_test).argmax(axis=1) == MOONS.y_test) for t in found[0.3]
    ]
    assert result["test_acc"] == pytest.approx(accuracies[0])
    assert result["over_seeds"]["test_acc"]["mean"] == pytest.approx(np.mean(accuracies))
    low, high = result["test_ci95"]
    assert low < result["test_acc"] < high
