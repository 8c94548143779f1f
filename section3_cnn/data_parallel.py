"""Data parallelism: every processor core takes a share of the batch.

The loss is a mean over the batch, so its gradient is a mean too. Cut a batch of N images into parts
of n_p images; each part, with its own mean loss L_p, needs nothing from the others:

    L = sum over p of (n_p / N) L_p        dL/dW = sum over p of (n_p / N) dL_p/dW

The cut depends on the batch alone, and the parts' gradients are added in the order of the parts, so
the result has the same bytes however many workers there are, as long as BLAS is held to one thread
in this process, too (`fit.py` does). The workers are processes with shared memory. Threads would
be simpler, but only one of them at a time can hold Python's interpreter, and NumPy's calls are so
short here, a few dozen microseconds, that they wait for it most of the time.

Source: Dean et al. (2012), "Large scale distributed deep networks"; Goyal et al. (2017),
"Accurate, large minibatch SGD", section 3.
"""

import multiprocessing
import signal
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from section3_cnn.losses import SoftmaxCrossEntropy
from section3_cnn.model import CLASSES, IMAGE_SHAPE, Sequential

PART = 32  # images: long enough rows for NumPy, and work arrays that stay near the core
STOP, LEARN, PREDICT = range(3)


def parts(n: int, whole: bool = False) -> list[slice]:
    """Return how n images are cut: two parts or more, of `PART` images or fewer; `whole`: one."""
    count = 1 if whole else max(min(2, n), -(-n // PART))
    return [slice(n * p // count, n * (p + 1) // count) for p in range(count)]


class DataParallel:
    """A network at work in `workers` processes at once, this one among them.

    The others live while it is entered (`with`); otherwise this process does everything, with the
    same result. `learn` and `predict` take up to `capacity` images at a time. `params`, `grads` and
    `state` are the network's own. A network with a layer that `mixes_images` learns in one part.
    """

    def __init__(self, model: Sequential, workers: int = 1, capacity: int = 16 * PART):
        self.model, self.capacity = model, capacity
        self.params, self.grads, self.state = model.params, model.grads, model.state
        self._workers = min(workers, len(parts(capacity)))
        self._memory = _shared_memory(model, capacity)
        self._board, self._helpers = _views(self._memory), []
        for key, array in (model.params | model.state).items():
            self._board["weights", key][:] = array
        model.keep_in(_weights(self._board))

    def __enter__(self) -> "DataParallel":
        for number in range(1, self._workers):
            signals = multiprocessing.Semaphore(0), multiprocessing.Semaphore(0)
            helper = multiprocessing.Process(
                target=_help,
                args=(self.model, self._memory, *signals, number, self._workers),
                daemon=True,
            )
            helper.start()
            self._helpers.append((helper, *signals))
        return self

    def __exit__(self, *error) -> None:
        self._board["order"][:] = STOP
        for _, go, _ in self._helpers:
            go.release()
        for helper, _, _ in self._helpers:
            helper.join()
        self._helpers = []

    def learn(self, x: np.ndarray, y: np.ndarray) -> float:
        """Overwrite `grads` with those of the mean loss of images x with labels y; return the loss.

        In training: dropout drops, batch normalization uses the batch.
        """
        count = self._run(LEARN, x, y)
        for key, grad in self.grads.items():
            np.sum(self._board["grads", key][:count], axis=0, out=grad)
        return float(self._board["losses"][:count].sum())

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the logits (N, classes) of images in use."""
        self._run(PREDICT, x)
        return self._board["logits"][: len(x)].copy()

    def _run(self, task: int, x: np.ndarray, y: np.ndarray | int = 0) -> int:
        """Have the workers do a task; return the number of its parts."""
        board, n = self._board, len(x)
        if n > self.capacity:
            raise ValueError(f"{n} images at once, but room for {self.capacity}")
        board["order"][:], board["x"][:n], board["y"][:n] = (task, n), x, y
        count = len(_cut(self.model, board))
        helpers = self._helpers[: count - 1]
        for _, go, _ in helpers:
            go.release()
        _work(self.model, board, 0, len(self._helpers) + 1)
        for helper, _, done in helpers:
            if not _wait(done, helper.is_alive):
                raise RuntimeError("a worker process ended before its work was done")
        return count


def _cut(model: Sequential, board: dict) -> list[slice]:
    task, n = board["order"]
    return parts(int(n), whole=task == LEARN and model.mixes_images)


def _work(model: Sequential, board: dict, number: int, workers: int) -> None:
    """Do a worker's share of the task on the board: every part whose turn it is."""
    task, n = board["order"]
    model.train() if task == LEARN else model.eval()
    cut = _cut(model, board)
    for p in range(number, len(cut), workers):
        logits = model.forward(board["x"][cut[p]])
        if task == PREDICT:
            board["logits"][cut[p]] = logits
            continue
        loss, share = SoftmaxCrossEntropy(), len(logits) / int(n)
        board["losses"][p] = share * loss.forward(logits, board["y"][cut[p]])
        model.backward(share * loss.backward(), input_grad=False)
        for key, grad in model.grads.items():
            board["grads", key][p] = grad


def _help(model: Sequential, memory: dict, go, done, number: int, workers: int) -> None:
    """Do a helper's share of every task, until it is told to stop or the first process is gone.

    Ctrl-C reaches all processes of a terminal: it is for the first one to decide what it means.
    """
    for asked_to_end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked_to_end, signal.SIG_IGN)
    board = _views(memory)
    model.keep_in(_weights(board))
    first = multiprocessing.parent_process()
    with threadpool_limits(1), np.errstate(all="ignore"):
        while _wait(go, first.is_alive) and board["order"][0] != STOP:
            _work(model, board, number, workers)
            done.release()


def _wait(semaphore, is_alive: Callable[[], bool]) -> bool:
    """Return True once the semaphore is released, or False when its releaser is alive no more.

    Sleep only after a while: to wake up takes longer than the pause between two steps.
    """
    for _ in range(2000):
        if semaphore.acquire(block=False):
            return True
    while not semaphore.acquire(timeout=0.2):
        if not is_alive():
            return False
    return True


def _shared_memory(model: Sequential, capacity: int) -> dict:
    """Return name -> (memory, shape, dtype) of the arrays that all workers see."""
    most, dtype = len(parts(capacity)), model.dtype
    shapes = {
        "order": ((2,), np.int64),  # the task, and of how many images
        "x": ((capacity, *IMAGE_SHAPE), dtype),
        "y": ((capacity,), np.int64),
        "logits": ((capacity, CLASSES), dtype),
        "losses": ((most,), np.float64),
    }
    for key, array in (model.params | model.state).items():
        shapes["weights", key] = array.shape, dtype
    for key, array in model.grads.items():
        shapes["grads", key] = (most, *array.shape), dtype
    return {
        name: (
            multiprocessing.RawArray("b", int(np.prod(shape)) * np.dtype(kind).itemsize),
            shape,
            kind,
        )
        for name, (shape, kind) in shapes.items()
    }


def _weights(board: dict) -> dict[str, np.ndarray]:
    return {name[1]: array for name, array in board.items() if name[0] == "weights"}


def _views(memory: dict) -> dict[str | tuple, np.ndarray]:
    return {
        name: np.frombuffer(raw, kind).reshape(shape) for name, (raw, shape, kind) in memory.items()
    }
