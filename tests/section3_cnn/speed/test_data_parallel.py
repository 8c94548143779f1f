"""Workers that share a batch: the bytes of one process, and no process left behind."""

import multiprocessing
import operator
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from section3_cnn import train_mnist_numpy, training
from section3_cnn.layers import BatchNorm2D, Conv2D, Dropout, MaxPool2D, ReLU
from section3_cnn.model import Sequential, build_cnn, build_mlp, build_strided
from section3_cnn.optimizer import SGD
from section3_cnn.speed import Workers, data_parallel
from section3_cnn.speed.data_parallel import ROUND
from section3_cnn.training import CHUNK

ROOT = Path(__file__).resolve().parents[3]
SIZES = (1, 2, 3, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7, ROUND * CHUNK + 1)


def batch(n, seed=0, shape=(1, 28, 28), classes=10):
    rng = np.random.default_rng(seed)
    return rng.random((n, *shape)), rng.integers(0, classes, n)


def build(arch="small", pool="max"):
    return build_cnn(arch, pool, rng=np.random.default_rng(1))


@threadpool_limits.wrap(limits=1)
def learned(model, how):
    """Train for a few steps with `training` or workers; return all that may differ, as bytes."""
    optimizer, losses, of = SGD(0.01, 0.9, 5e-4), [], (model.image_shape, model.classes)
    for step, n in enumerate(SIZES if not model.mixes_images else SIZES[2:5]):
        losses.append(how.compute_gradients(model, *batch(n, step, *of)))
        optimizer.step(model.params, model.grads)
    arrays = model.params | model.state | model.grads
    logits = how.predict(model, batch(ROUND * CHUNK + 3, 0, *of)[0])
    assert logits.flags.c_contiguous  # a sum over them rounds by their order in memory
    return losses, {key: array.tobytes() for key, array in arrays.items()}, logits.tobytes()


def mlp():
    return build_mlp(rng=np.random.default_rng(1))


def other(builder):
    """Return a builder for images of 20x17 in 3 classes."""
    sizes = {"image_size": (20, 17), "classes": 3}
    return lambda: builder(**sizes, rng=np.random.default_rng(1))


@pytest.mark.parametrize(
    "builders",
    [
        (build, partial(build, pool="avg"), mlp),  # an MLP has fewer numbers
        (partial(build, "deep"), partial(build, "deep", "avg")),
        tuple(map(other, (build_strided, build_cnn, build_mlp))),  # arrays of other shapes
    ],
    ids=["small", "deep", "20x17"],
)
def test_workers_give_the_bytes_of_one_process(builders):
    expected = [learned(build(), training) for build in builders]
    with Workers(builders[0](), 3) as workers:  # they may change from network to network
        found = [learned(build(), workers) for build in builders]
        assert len(multiprocessing.active_children()) == 2
    assert found == expected
    first = builders[0]()
    assert learned(first, workers) == expected[0]  # they are gone


@pytest.mark.parametrize(
    ("layer", "mixes"),
    [
        (BatchNorm2D(1), True),
        (Dropout(0.5, rng=np.random.default_rng(0)), True),
        (Conv2D(1, 1, 3, rng=np.random.default_rng(0)), False),
        (MaxPool2D(2), False),
    ],
)
def test_one_layer_that_mixes_images_is_enough(layer, mixes):
    assert Sequential([ReLU(), layer, ReLU()]).mixes_images is mixes


def test_no_process_is_left_behind():
    with pytest.raises(KeyError), Workers(build(), 2):
        assert len(multiprocessing.active_children()) == 1
        raise KeyError
    assert multiprocessing.active_children() == []
    Workers(build(), 2)  # not entered
    assert multiprocessing.active_children() == []


def no_process(*args, **options):
    raise OSError("no more processes")


@pytest.mark.parametrize(
    ("owner", "name", "broken"),
    [
        (data_parallel.CONTEXT, "Process", no_process),  # the system refuses
        (data_parallel, "_work", operator.is_),  # it ends before it is ready
    ],
)
def test_workers_that_cannot_be_started_are_done_without(owner, name, broken, monkeypatch):
    monkeypatch.setattr(owner, name, broken)
    x, y = batch(2 * CHUNK)
    with Workers(build(), 2) as workers:
        assert workers.compute_gradients(build(), x, y) == training.compute_gradients(build(), x, y)
    assert multiprocessing.active_children() == []


def test_ctrl_c_is_left_to_the_first_process_and_a_killed_worker_is_reported():
    (x, y), model = batch(2 * CHUNK), build()
    with Workers(model, 2) as workers:
        first = workers.compute_gradients(model, x, y)
        (helper,) = multiprocessing.active_children()
        os.kill(helper.pid, signal.SIGINT)
        os.kill(helper.pid, signal.SIGTERM)
        assert workers.compute_gradients(model, x, y) == first
        helper.kill()
        with pytest.raises(RuntimeError, match="worker"):
            workers.compute_gradients(model, x, y)


def test_helpers_end_when_the_first_process_is_killed():
    code = (
        "import numpy as np; from section3_cnn.model import build_cnn\n"
        "from section3_cnn.speed import Workers\n"
        "with Workers(build_cnn(rng=np.random.default_rng(0)), 2) as workers:\n"
        "    print(len(workers._helpers), flush=True); input()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes) as process:
        assert process.stdout.readline() == b"1\n"
        process.kill()
        process.stdout.read()  # ends when the last holder of the pipe does


def test_threads_change_no_byte_of_a_run(tmp_path):
    written = []
    for threads in ("1", "2"):
        argv = ["--dataset", "digits", "--limit", "200", "--no-show", "--epochs", "1"]
        train_mnist_numpy.main([*argv, "--threads", threads, "--runs-dir", str(tmp_path / threads)])
        folder = tmp_path / threads / "mnist_numpy"
        written.append([(folder / name).read_bytes() for name in ("best.pkl", "metrics.csv")])
    assert written[0] == written[1]


def test_blas_has_one_thread_while_workers_are_at_work():
    def threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    with threadpool_limits(2, "blas"):
        if threads() != {2}:
            pytest.skip("the threads of this BLAS cannot be set")
        with Workers(build(), 1):
            assert threads() == {1}
        assert threads() == {2}
