"""The toy data: split, scaled, balanced, and of known difficulty for a linear model."""

import numpy as np
import pytest

from section2_optimization.study.toy_data import NAMES, SIZES, make_toy_data


@pytest.mark.parametrize("name", NAMES)
def test_toy_data_are_split_scaled_balanced_and_repeatable(name):
    data, again = make_toy_data(name, 0), make_toy_data(name, 0)
    for split, size in SIZES.items():
        x, y = getattr(data, f"x_{split}"), getattr(data, f"y_{split}")
        assert x.shape == (size, 2) and x.dtype == np.float32 and y.shape == (size,)
        assert 0.4 < y.mean() < 0.6
        np.testing.assert_array_equal(x, getattr(again, f"x_{split}"))
    np.testing.assert_allclose(data.x_train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(data.x_train.std(axis=0), 1, atol=1e-5)
    assert not np.array_equal(data.x_train, make_toy_data(name, 1).x_train)
    points = np.concatenate([data.x_train, data.x_val, data.x_test])
    assert len(np.unique(points, axis=0)) == sum(SIZES.values())  # no point is in two splits


def test_the_data_are_told_apart_by_a_linear_model_less_and_less():
    from sklearn.linear_model import LogisticRegression

    data = {name: make_toy_data(name, 0) for name in NAMES}
    accuracy = {
        name: LogisticRegression().fit(d.x_train, d.y_train).score(d.x_test, d.y_test)
        for name, d in data.items()
    }
    assert accuracy["linear"] > 0.9 > accuracy["moons"] > 0.8 > accuracy["spirals"]
    assert accuracy["circles"] < 0.6


def test_an_unknown_name_is_refused_in_words():
    with pytest.raises(ValueError, match="linear, moons, circles, spirals"):
        make_toy_data("mnist", 0)
