"""Large arrays, cut for several threads: the same bytes, no error lost, no thread left running."""

import os
import threading
import warnings

import numpy as np
import pytest

from section2_optimization.optimizers import make_optimizer
from section2_optimization.pieces import PIECE, in_pieces
from tests.processes import run

RULES = [
    ("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("rmsprop", {"momentum": 0.9}),
    ("adam", {}),
    ("adamw", {}),
    ("adagrad", {}),
]
SHAPES = [(5 * PIECE // 2,), (3, PIECE), (1, 3 * PIECE)]


def in_main_thread():
    return threading.current_thread() is threading.main_thread()


@pytest.mark.parametrize("threads", [2, 7])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "options"), RULES, ids=str)
def test_threads_change_no_byte_of_a_step(name, options, shape, threads):
    rng = np.random.default_rng(0)
    start, *gradients = (rng.standard_normal(shape, np.float32) for _ in range(3))
    params = [{"x": start.copy(), "transposed": start.T.copy().T} for _ in range(2)]
    for count, mine in zip((1, threads), params, strict=True):
        optimizer = make_optimizer(name, 0.1, **options)
        optimizer.threads = count
        for g in gradients:
            optimizer.step(mine, {"x": g, "transposed": g})
    assert not np.array_equal(params[0]["x"], start)
    for key, value in params[0].items():
        np.testing.assert_array_equal(params[1][key], value)


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_every_entry_belongs_to_one_piece_and_no_more_threads_work_than_allowed(threads):
    x, pieces = np.zeros(5 * PIECE, np.int8), []

    def count(piece):
        pieces.append(len(piece))
        piece += 1

    in_pieces(threads, count, x)
    assert (x == 1).all() and len(pieces) == min(threads, 5)
    assert max(pieces) - min(pieces) <= 1


def test_small_arrays_are_not_cut():
    for shape in ((), (2 * PIECE - 1,)):
        threads = []
        in_pieces(4, lambda piece, seen=threads: seen.append(in_main_thread()), np.zeros(shape))
        assert threads == [True]


@pytest.mark.parametrize("fails_in_main", [True, False])
def test_an_error_comes_out_when_all_have_ended(fails_in_main):
    failed, ended = threading.Event(), []

    def operation(piece):
        if in_main_thread() == fails_in_main:
            failed.set()
            raise MemoryError("no room")
        failed.wait(60)
        for _ in range(200):
            piece.sum()
        ended.append(True)

    with pytest.raises(MemoryError, match="no room"):
        in_pieces(2, operation, np.zeros(2 * PIECE))
    assert ended == [True]


def test_numpy_is_as_strict_in_the_threads_as_in_the_caller():
    x = np.full(2 * PIECE, 3e38, np.float32)

    def overflow(piece):
        piece *= 10

    with warnings.catch_warnings(), np.errstate(over="ignore"):
        warnings.simplefilter("error")
        in_pieces(2, overflow, x.copy())
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        in_pieces(2, lambda piece: None if in_main_thread() else overflow(piece), x)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks on this system")
def test_a_forked_process_has_threads_of_its_own(tmp_path):
    proof, output = tmp_path / "child", tmp_path / "output"
    with run(cut_before_and_after_a_fork, proof, output=output) as process:
        process.join(60)
    assert proof.read_text() == "done"


def cut_before_and_after_a_fork(proof):
    in_pieces(2, lambda piece: None, np.zeros(2 * PIECE))
    if os.fork() == 0:
        in_pieces(2, lambda piece: None, np.zeros(2 * PIECE))
        proof.write_text("done")
        os._exit(0)
    os.wait()
