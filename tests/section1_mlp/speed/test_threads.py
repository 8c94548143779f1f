"""The batch shared by threads: the lesson's gradient, and the same bytes for any number of them."""

import numpy as np
import pytest

from section1_mlp.model import MLP
from section1_mlp.optimizer import SGD
from section1_mlp.speed.threads import CHUNK, start_threads
from section1_mlp.training import compute_gradients, evaluate, train_steps


def problem(n, dtype=np.float64):
    rng = np.random.default_rng(n)
    model = MLP([6, 5, 4], "tanh", rng=rng, dtype=dtype)
    return model, rng.normal(size=(n, 6)), rng.integers(0, 4, n)


@pytest.mark.parametrize("n", [1, 31, CHUNK, 2 * CHUNK, 5 * CHUNK + 7])
def test_the_shared_batch_has_the_gradient_of_the_whole(n):
    model, x, y = problem(n)
    loss = compute_gradients(model, x, y)
    grads = {key: grad.copy() for key, grad in model.grads.items()}
    with start_threads(3) as threads:
        for _ in range(2):  # gradients are overwritten, not added to
            assert threads.compute_gradients(model, x, y) == pytest.approx(loss, rel=1e-12)
        for key, grad in grads.items():
            np.testing.assert_allclose(model.grads[key], grad, rtol=1e-10, atol=1e-15)
        assert threads.evaluate(model, x, y) == pytest.approx(evaluate(model, x, y), rel=1e-12)


def test_any_number_of_threads_gives_the_same_bytes():
    results = []
    for count in (1, 2, 5):
        model, x, y = problem(700, np.float32)
        with start_threads(count) as threads:
            options = {
                "epochs": 2,
                "batch_size": 3 * CHUNK,
                "compute_gradients": threads.compute_gradients,
            }
            losses = list(
                train_steps(model, SGD(0.1, 0.9), x, y, rng=np.random.default_rng(0), **options)
            )
            results.append([*losses, threads.evaluate(model, x, y), *model.params["W1"].ravel()])
    assert results[0] == results[1] == results[2]


def test_an_error_in_a_thread_reaches_the_caller_and_overflow_stays_silent():
    model, x, y = problem(4 * CHUNK, np.float32)
    with start_threads(2) as threads:
        with pytest.raises(ValueError, match="x must be"):
            threads.compute_gradients(model, x[:, :3], y)
        with np.errstate(all="raise"):
            threads.compute_gradients(model, x * 1e30, y)
        other, x, y = problem(2 * CHUNK)  # another network does not meet the first one's arrays
        loss = compute_gradients(other, x, y)
        assert threads.compute_gradients(other, x, y) == pytest.approx(loss, rel=1e-12)
