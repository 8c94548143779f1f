"""Workers that share a batch: the numbers of one process, and no process left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from section3_cnn import data_parallel, fit, train_mnist_numpy
from section3_cnn.data_parallel import PART, DataParallel, parts
from section3_cnn.layers import BatchNorm2D, Conv2D, Dropout, MaxPool2D, ReLU
from section3_cnn.losses import SoftmaxCrossEntropy
from section3_cnn.model import Sequential, build_cnn
from section3_cnn.optimizer import SGD
from section3_cnn.training import predict
from shared_utils.runs.memory import peak_memory_mib

ROOT = Path(__file__).resolve().parents[2]
SIZES = (1, 2, 3, PART, PART + 1, 2 * PART, 2 * PART + 7, 4 * PART)


def batch(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((n, 1, 28, 28)), rng.integers(0, 10, n)


def build(arch="small", dtype=np.float32):
    return build_cnn(arch, rng=np.random.default_rng(1), dtype=dtype)


def contents(arrays):
    return {key: array.tobytes() for key, array in arrays.items()}


@pytest.mark.parametrize("n", [*range(1, 200), 1000])
def test_every_image_is_in_one_part(n):
    cut = parts(n)
    assert [i for part in cut for i in range(n)[part]] == list(range(n))
    sizes = [part.stop - part.start for part in cut]
    assert 1 <= min(sizes) <= max(sizes) <= PART
    assert max(sizes) - min(sizes) <= 1
    assert len(cut) >= min(2, n)
    assert parts(n, whole=True) == [slice(0, n)]


@pytest.mark.parametrize("n", SIZES)
def test_the_parts_gradients_add_up_to_the_batchs(n):
    x, y = batch(n)
    model, loss_fn = build(dtype=np.float64), SoftmaxCrossEntropy()
    expected = loss_fn.forward(model.forward(x), y)
    model.backward(loss_fn.backward())
    with DataParallel(build(dtype=np.float64), 2, 5 * PART) as network:
        network.learn(*batch(5 * PART, seed=1))  # more parts than now: nothing of them may stay
        for grad in network.grads.values():
            grad.fill(np.nan)  # they are overwritten
        assert network.learn(x, y) == pytest.approx(expected, rel=1e-13)
        for key, grad in model.grads.items():
            np.testing.assert_allclose(network.grads[key], grad, rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(network.predict(x), model.forward(x), rtol=1e-12)


@threadpool_limits.wrap(limits=1)
def learned(arch, workers):
    """Train for a few steps; return all that may differ, as bytes."""
    optimizer, told = SGD(0.9, 5e-4), []
    with DataParallel(build(arch), workers, 4 * PART) as network:
        for step, n in enumerate(SIZES[1:]):
            told.append(network.learn(*batch(n, seed=step)))
            optimizer.step(network.params, network.grads, 0.01)
        logits = predict(network, batch(5 * PART + 3)[0])
    return told, contents(network.params), contents(network.state), logits.tobytes()


@pytest.mark.parametrize("arch", ["small", "deep"])
def test_any_number_of_workers_gives_the_same_bytes(arch):
    alone = learned(arch, 1)
    assert learned(arch, 2) == alone
    assert learned(arch, 3) == alone


def test_a_network_that_mixes_images_learns_from_the_whole_batch():
    x, y = batch(3 * PART)
    model, loss_fn = build("deep"), SoftmaxCrossEntropy()
    expected = loss_fn.forward(model.forward(x), y)
    model.backward(loss_fn.backward(), input_grad=False)
    with DataParallel(build("deep"), 2) as network:
        assert network.learn(x, y) == expected
        assert contents(network.grads) == contents(model.grads)
        assert contents(network.state) == contents(model.state)
        model.eval()
        np.testing.assert_allclose(network.predict(x), model.forward(x), rtol=1e-4, atol=1e-5)


def test_the_layers_own_the_weights_that_are_shared():
    model = build("deep")
    before = contents(model.params | model.state)
    DataParallel(model, 2)
    assert contents(model.params | model.state) == before
    for name, layer in zip(model.names, model.layers, strict=True):
        for key, array in (layer.params | layer.state).items():
            assert (model.params | model.state)[f"{name}.{key}"] is array


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


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_weights_set_from_outside_reach_every_worker(method, monkeypatch):
    monkeypatch.setattr(data_parallel, "multiprocessing", multiprocessing.get_context(method))
    x, _ = batch(2 * PART)
    with DataParallel(build(), 2) as network:
        for array in network.params.values():
            array[:] = 0
        network.params["fc2.b"][3] = 1
        np.testing.assert_array_equal(network.predict(x), np.tile(np.eye(10)[3], (len(x), 1)))


def test_no_process_is_left_behind():
    with pytest.raises(KeyError), DataParallel(build(), 3):
        assert len(multiprocessing.active_children()) == 2
        raise KeyError
    assert multiprocessing.active_children() == []
    DataParallel(build(), 3)  # not entered
    assert multiprocessing.active_children() == []


def test_ctrl_c_is_left_to_the_first_process():
    x, y = batch(2 * PART)
    with DataParallel(build(), 2) as network:
        first = network.learn(x, y)
        (helper,) = multiprocessing.active_children()
        os.kill(helper.pid, signal.SIGINT)
        os.kill(helper.pid, signal.SIGTERM)
        assert network.learn(x, y) == first


def test_a_worker_that_is_killed_is_told_and_not_waited_for():
    x, y = batch(2 * PART)
    with DataParallel(build(), 2) as network:
        network.learn(x, y)
        (helper,) = multiprocessing.active_children()
        helper.kill()
        with pytest.raises(RuntimeError, match="worker"):
            network.learn(x, y)


def test_helpers_end_when_the_first_process_is_killed():
    code = (
        "import numpy as np; from section3_cnn.model import build_cnn\n"
        "from section3_cnn.data_parallel import DataParallel\n"
        "with DataParallel(build_cnn(rng=np.random.default_rng(0)), 3):\n"
        "    print('ready', flush=True); input()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes) as process:
        assert process.stdout.readline() == b"ready\n"
        process.kill()
        process.stdout.read()  # ends when the last holder of the pipe does


def test_more_images_than_there_is_room_for():
    with pytest.raises(ValueError, match="room for 40"):
        DataParallel(build(), 1, 40).predict(batch(41)[0])


def test_threads_change_no_byte_of_a_run(tmp_path):
    written = []
    for threads in ("1", "2"):
        argv = ["--dataset", "digits", "--limit", "200", "--no-show", "--epochs", "1"]
        train_mnist_numpy.main([*argv, "--threads", threads, "--runs-dir", str(tmp_path / threads)])
        folder = tmp_path / threads / "mnist_numpy"
        written.append([(folder / name).read_bytes() for name in ("best.pkl", "metrics.csv")])
    assert written[0] == written[1]


def test_blas_is_held_to_one_thread_in_training(tmp_path, monkeypatch):
    seen, evaluate = set(), fit.evaluate

    def watched(*args):
        seen.update(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return evaluate(*args)

    monkeypatch.setattr(fit, "evaluate", watched)
    with threadpool_limits(2, "blas"):
        if not any(pool["num_threads"] == 2 for pool in threadpool_info()):
            pytest.skip("the threads of this BLAS cannot be set")
        argv = ["--dataset", "digits", "--limit", "50", "--epochs", "1", "--no-show"]
        train_mnist_numpy.main([*argv, "--runs-dir", str(tmp_path)])
    assert seen == {1}


def test_peak_memory_is_in_mebibytes():
    before = peak_memory_mib()
    block = np.ones(2**23)  # 64 MiB, above whatever is held now
    while peak_memory_mib() < before + 32:
        block = np.concatenate([block, block])
    assert before < peak_memory_mib() < 2**16
