"""Minibatches: every sample once, in an order that is new in every epoch."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_utils.datasets.minibatches import minibatches


@settings(max_examples=50, deadline=None, derandomize=True)
@given(n=st.integers(1, 50), batch_size=st.integers(1, 60), seed=st.integers(0, 9))
def test_minibatches_visit_every_sample_once_in_random_order(n, batch_size, seed):
    batches = list(minibatches(n, batch_size, np.random.default_rng(seed)))
    assert sorted(np.concatenate(batches)) == list(range(n))
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    again = list(minibatches(n, batch_size, np.random.default_rng(seed)))
    np.testing.assert_array_equal(np.concatenate(again), np.concatenate(batches))


def test_minibatches_differ_from_epoch_to_epoch():
    rng = np.random.default_rng(0)
    first, second = (np.concatenate(list(minibatches(100, 10, rng))) for _ in range(2))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, np.arange(100))
