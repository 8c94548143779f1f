"""One network's training, as its own loop sees it: `for step in run.watch(training, steps)`.

A training loop is four lines: forward, loss, backward, step. Everything around them - to continue
where a run was stopped, to keep checkpoints, to count, to measure the time, to show a bar, to stop
politely on Ctrl-C - is the same for every network, and is done here, by `TrainingRun.watch`.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from shared_utils.runs.best_epoch import History
from shared_utils.runs.resuming import States

_WARM, _TIMED = 2, 12  # steps: the first ones are slow, so a step's time is taken between these
_SHOWN = 10  # steps from one look at the loss to the next: each look makes a GPU wait


class Training:
    """A training between two steps: all that the next one depends on, and all that was measured.

    `weights` and `memory` (the optimizer's) are dicts of arrays that are updated in place. `rngs`
    are the generators that a step draws from; that of the shuffling is not among them, since a
    resumed training draws its batches again. `samples` is the number of samples in an epoch.
    """

    def __init__(
        self,
        weights: dict[str, np.ndarray],
        memory: dict[str, np.ndarray],
        *,
        epochs: int,
        steps_per_epoch: int,
        samples: int,
        rngs: Iterable[np.random.Generator] = (),
    ):
        self.weights, self.memory, self.rngs = weights, memory, tuple(rngs)
        self.epochs, self.steps_per_epoch, self.samples = epochs, steps_per_epoch, samples
        self.step = 0  # how many are done
        self.history = History()
        self.best: dict[str, np.ndarray] = {}  # the weights of the best epoch

    def end_epoch(self, row: dict) -> None:
        """Note an epoch's measurements, and its weights if no epoch before was better."""
        if self.history.add(row):
            self.best = {key: array.copy() for key, array in self.weights.items()}

    def load_best(self) -> None:
        """Give the network the weights of its best epoch."""
        for key, array in self.weights.items():
            array[:] = self.best[key]

    def state(self) -> dict:
        """Return it all in plain containers and arrays."""
        return {
            "step": self.step,
            "history": vars(self.history),
            "best": self.best,
            "weights": self.weights,
            "memory": self.memory,
            "rngs": [rng.bit_generator.state for rng in self.rngs],
        }

    def load_state(self, state: dict) -> None:
        """Take over what `state` returned. Raises KeyError, TypeError or ValueError if it is not.

        An optimizer may add its arrays at the first step: those that are not there yet are added.
        """
        step, history = int(state["step"]), History(**state["history"])
        for name in ("weights", "memory"):
            arrays = getattr(self, name)
            for key, array in arrays.items():
                array[:] = state[name][key]
            for key in state[name].keys() - arrays.keys():
                arrays[key] = state[name][key]
        for rng, kept in zip(self.rngs, state["rngs"], strict=True):
            rng.bit_generator.state = kept
        self.step, self.history, self.best = step, history, state["best"]


class Step(NamedTuple):
    """A step that has been taken: its epoch, and its place in it (both from 1)."""

    epoch: int
    in_epoch: int
    ends_epoch: bool


class TrainingRun:
    """One network's place in a run folder. Without a folder nothing is kept and nothing is shown.

    `columns` come first in each of its rows of `metrics.csv`. `show` gets each new row,
    `on_estimate` the seconds that a new training will take, once, early. With `within_epochs=False`
    a training is saved at the end of every epoch alone, and signals are not waited for: a group of
    processes cannot agree on a step. `wait` returns when a device that computes while
    Python continues has done all its steps: an epoch's time ends then.
    """

    def __init__(
        self,
        folder: States | None = None,
        name: str = "",
        columns: dict | None = None,
        *,
        show: Callable[[dict], None] = lambda row: None,
        on_estimate: Callable[[float], None] | None = None,
        within_epochs: bool = True,
        wait: Callable[[], None] = lambda: None,
    ):
        self._folder, self._name, self._columns = folder, name, columns or {}
        self._show, self._on_estimate, self._within_epochs = show, on_estimate, within_epochs
        self._wait = wait

    def watch(self, training, steps: Callable[..., Iterable]) -> Iterator[Step]:
        """Take the steps of `steps(first_step=n)`, those that are still to do; yield each one done.

        The training begins where the run was stopped, if it is resumed. It is saved after the loop
        has worked on a step, when that is due: at the end of an epoch, every few minutes, and when
        the run is asked to stop, which raises Interrupted.
        """
        self.restore(training.load_state)
        self._log(training.history.rows)
        history = training.history
        with self._progress(training) as advance, self._saving(training.state) as after_step:
            clock = time.perf_counter()
            for loss in steps(first_step=training.step):
                epoch, before = divmod(training.step, training.steps_per_epoch)
                ends_epoch = before + 1 == training.steps_per_epoch
                if ends_epoch:
                    self._wait()
                history.seconds += time.perf_counter() - clock
                training.step += 1
                history.samples = _samples(training)
                advance(loss)
                yield Step(epoch + 1, before + 1, ends_epoch)
                after_step(ends_epoch)
                clock = time.perf_counter()
        if self._folder is not None:
            self._folder.keep(self._name, training.state())

    def log(self, row: dict) -> None:
        """Append an epoch's row to the metrics, and show it."""
        self._log([row])
        if self._folder is not None:
            self._show(self._columns | row)

    def restore(self, load: Callable[[dict], None]) -> None:
        """Give `load` the state in which this training was stopped or ended, if there is one."""
        if self._folder is not None:
            self._folder.restore(self._name, load)

    def _log(self, rows: list[dict]) -> None:
        if self._folder is not None:
            self._folder.log(*(self._columns | row for row in rows))

    @contextmanager
    def _saving(self, state: Callable[[], dict]) -> Iterator[Callable[[bool], None]]:
        """Yield `after_step(epoch_ended)`, which saves the state when that is due."""
        if self._folder is None:
            yield lambda epoch_ended: None
        elif self._within_epochs:
            with self._folder.checkpoints(self._name, state) as after_step:
                yield after_step
        else:
            yield (
                lambda epoch_ended: (
                    self._folder.checkpoint(self._name, state()) if epoch_ended else None
                )
            )

    @contextmanager
    def _progress(self, training) -> Iterator[Callable[[object], None]]:
        """Yield `advance(loss)`, which moves a bar on: loss, samples a second, time left."""
        from tqdm import tqdm

        fresh, started, total = training.step == 0, 0.0, training.epochs * training.steps_per_epoch
        with tqdm(
            desc=self._name,
            total=training.epochs * training.samples,
            initial=_samples(training),
            unit="img",
            unit_scale=True,
            disable=None if self._folder is not None else True,  # None: shown on a terminal alone
        ) as bar:

            def advance(loss) -> None:
                nonlocal started
                bar.update(_samples(training) - bar.n)
                if training.step % _SHOWN == 0 and not bar.disable:
                    bar.set_postfix(loss=f"{float(loss):.3f}", refresh=False)
                if training.step == _WARM:
                    started = time.perf_counter()
                if training.step == _TIMED and fresh and self._on_estimate is not None:
                    each = (time.perf_counter() - started) / (_TIMED - _WARM)
                    self._on_estimate(each * total)

            yield advance


NO_RUN = TrainingRun()  # for a notebook: the loop alone


def _samples(training) -> int:
    """Return how many samples the steps done so far have seen."""
    return round(training.samples * training.step / training.steps_per_epoch)
