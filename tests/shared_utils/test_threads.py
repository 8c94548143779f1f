"""The choice of the number of threads, on a machine whose step times are made up."""

import pytest
from threadpoolctl import threadpool_info

from shared_utils.threads import _PATIENCE, _TRIAL, _WINDOW, FastestThreads, blas_threads


class Machine:
    """Steps take `seconds[n]` with n threads."""

    def __init__(self, seconds):
        self.seconds, self.threads, self.used = seconds, None, []
        self.chosen = FastestThreads(self.limit, most=2)

    def limit(self, n):
        self.threads = n

    def run(self, steps):
        for _ in range(steps):
            self.used.append(self.threads)
            self.chosen.after_step(self.seconds[self.threads])
        return self


@pytest.mark.parametrize(("seconds", "best"), [({1: 2.0, 2: 1.0}, 2), ({1: 2.0, 2: 30.0}, 1)])
def test_the_faster_number_wins_after_a_few_steps(seconds, best):
    machine = Machine(seconds).run(100)
    assert machine.used[:_TRIAL] == [2] * _TRIAL
    assert machine.used[2 * _TRIAL :] == [best] * (100 - 2 * _TRIAL)


def test_a_core_that_gets_busy_later_is_noticed_and_one_that_gets_free_again_too():
    machine = Machine({1: 2.0, 2: 1.0}).run(1000)
    machine.seconds = {1: 2.5, 2: 30.0}
    machine.run(_PATIENCE * _WINDOW + 2 * _TRIAL + 1)
    assert machine.threads == 1
    machine.seconds = {1: 2.0, 2: 1.0}
    machine.run(2 * _PATIENCE * _WINDOW + 2 * _TRIAL + 1)
    assert machine.threads == 2


def test_trials_that_change_nothing_become_rare():
    machine = Machine({1: 2.0, 2: 30.0}).run(20_000)
    assert machine.used.count(2) < 0.01 * 20_000
    assert machine.used.count(2) >= 3 * _TRIAL  # but they never stop


def test_the_number_that_was_asked_for_holds_and_the_old_one_comes_back():
    def now():
        return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]

    before = now()
    with blas_threads(1) as threads:
        assert set(now()) == {1}
        for _ in range(3 * _TRIAL):
            threads.after_step(1.0)
        assert set(now()) == {1}
    assert now() == before
