"""The states of a run's trainings, on disk: what is done, and from where it continues.

    last.pkl          the training in progress; all that its next step depends on
    finished/*.pkl    the trainings that are done, so that none is repeated

A run is a list of trainings, each by itself, with a name. A run that was stopped and resumed from
such states ends byte-identical to an uninterrupted one.
"""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared_utils.errors import UserError
from shared_utils.runs.checkpoints import load_checkpoint, save_checkpoint
from shared_utils.runs.interrupts import Interrupted, Interrupts


@dataclass(frozen=True)
class Format:
    """How states are kept on disk: the end of the files' names, a writer and a careful reader."""

    suffix: str
    save: Callable[[Path, dict], None]
    load: Callable[[Path], dict]


PICKLE = Format(".pkl", save_checkpoint, load_checkpoint)


class States:
    """The states in the folder `path`; `minutes` is the longest time between two."""

    def __init__(self, path: Path, states: Format, minutes: float | None):
        self.path, self._states, self._minutes = Path(path), states, minutes

    def restore(self, name: str, load: Callable[[dict], None]) -> None:
        """Give `load` the state of this training, finished or stopped, if the resumed run has one.

        Raises UserError when `load` finds that it is not such a state.
        """
        path = self._finished_path(name)
        if not path.exists():
            path = self._last_path()
        if not path.exists():
            return
        kept = self._states.load(path)
        if kept.get("name") != name:
            return
        try:
            load(kept["state"])
        except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise UserError(
                f"{path} does not hold the state of {name}: start again without --resume"
            ) from error

    def keep(self, name: str, state: dict) -> None:
        """Keep the state of a finished training, so that a resumed run does not train it again."""
        path = self._finished_path(name)
        path.parent.mkdir(exist_ok=True)
        self._states.save(path, {"name": name, "state": state})

    def cached(self, name: str, compute: Callable, *args):
        """Return `compute(*args)`, or what it returned before the run was stopped."""
        kept = {}
        self.restore(name, lambda state: kept.update(result=state["result"]))
        if not kept:
            kept["result"] = compute(*args)
            self.keep(name, kept)
        return kept["result"]

    def checkpoint(self, name: str, state: dict) -> None:
        """Keep the state of the training in progress as `last`."""
        self._states.save(self._last_path(), {"name": name, "state": state})

    @contextmanager
    def checkpoints(self, name: str, state: Callable[[], dict]) -> Iterator[Callable[[bool], None]]:
        """Yield `after_step(epoch_ended)`, which keeps `state()` in `last` whenever it is due.

        Due is the end of an epoch, every `--checkpoint-minutes`, and SIGINT or SIGTERM, which wait
        for the end of the step; then it raises Interrupted.
        """
        with Interrupts() as interrupts:
            saved = time.monotonic()

            def after_step(epoch_ended: bool) -> None:
                nonlocal saved
                late = time.monotonic() - saved > 60 * self._minutes
                if epoch_ended or late or interrupts.noted:
                    self.checkpoint(name, state())
                    saved = time.monotonic()
                if interrupts.noted:
                    raise Interrupted(interrupts.noted)

            yield after_step

    def _any_state(self) -> bool:
        return self._last_path().exists() or self._finished_folder().exists()

    def _remove_states(self) -> None:
        self._last_path().unlink(missing_ok=True)
        shutil.rmtree(self._finished_folder(), ignore_errors=True)

    def _last_path(self) -> Path:
        return self.path / f"last{self._states.suffix}"

    def _finished_folder(self) -> Path:
        return self.path / "finished"

    def _finished_path(self, name: str) -> Path:
        return self._finished_folder() / (re.sub(r"[^\w.]+", "-", name) + self._states.suffix)
