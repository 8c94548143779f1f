"""Three parts with a fair number of every class, at least one of each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_utils.datasets.splits import Limit, check_class_sizes, hold_out, subset
from shared_utils.errors import UserError


def labels(*counts):
    return np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(counts=st.lists(st.integers(2, 40), min_size=2, max_size=8), share=st.floats(0, 1))
def test_every_part_gets_each_class_and_no_sample_twice(counts, share):
    y = labels(*counts)
    held_out = round(len(counts) + share * (len(y) - 2 * len(counts)))
    kept, held = hold_out(y, held_out)
    assert sorted([*kept, *held]) == list(range(len(y))) and len(held) == held_out
    for part in (kept, held):
        assert np.bincount(y[part], minlength=len(counts)).min() >= 1


@settings(max_examples=100, deadline=None, derandomize=True)
@given(counts=st.lists(st.integers(3, 40), min_size=2, max_size=8))
def test_a_fifth_leaves_two_of_each_class_for_two_more_parts(counts):
    y = labels(*counts)
    kept, _ = hold_out(y, max(len(y) // 5, len(counts)))
    assert np.bincount(y[kept], minlength=len(counts)).min() >= 2


def test_shares_are_equal():
    kept, held = hold_out(labels(100, 50, 10), 32)
    y = labels(100, 50, 10)
    assert np.bincount(y[held]).tolist() == [20, 10, 2]
    assert np.bincount(y[kept]).tolist() == [80, 40, 8]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(counts=st.lists(st.integers(1, 40), min_size=2, max_size=8), share=st.floats(0, 1))
def test_a_subset_holds_each_class_in_proportion(counts, share):
    y = labels(*counts)
    count = round(len(counts) + share * (len(y) - len(counts)))
    chosen = subset(y, count)
    assert len(chosen) == len(set(chosen)) == count
    found = np.bincount(y[chosen], minlength=len(counts))
    assert found.min() >= 1
    # A few samples are exchanged for the smallest classes; all others are in proportion.
    if len(y) - count >= len(counts):
        assert np.abs(found - np.array(counts) * count / len(y)).max() < 1 + len(counts)


def test_a_class_too_small_is_named_with_its_count():
    check_class_sizes(labels(3, 4), ("cat", "dog"), 3, "pets")
    with pytest.raises(UserError, match=r"pets: every class needs 3 .* 'bird' has 1, 'dog' has 2"):
        check_class_sizes(np.array([0, 1, 1, 2, 2, 2]), ("bird", "dog", "cat"), 3, "pets")


def test_a_limit_below_the_number_of_classes_is_refused():
    with pytest.raises(UserError, match="9 training images are too few for 10 classes"):
        Limit(9).check(10)
    assert len(Limit(5).choose("val", labels(9, 9))) == 18
    assert len(Limit(5, everywhere=True).choose("val", labels(9, 9))) == 5
