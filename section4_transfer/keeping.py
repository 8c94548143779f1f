"""What a study keeps on disk: the run folder, and in it each network's training, from step to step.

The main process alone writes. Under `torchrun` a training is kept at the end of every epoch, so one
that is stopped within an epoch goes on from that epoch's start; a single process keeps every step
at which it is stopped.
"""

import argparse
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path

import torch

from section4_transfer.devices import Runtime
from section4_transfer.distributed import main_first
from shared_utils.cli import open_run
from shared_utils.errors import UserError
from shared_utils.files import write_atomically
from shared_utils.runs.folder import RunFolder
from shared_utils.runs.states import Format


@contextmanager
def study_run(
    args: argparse.Namespace, name: str, described: dict, here: Runtime
) -> Iterator[RunFolder | None]:
    """Open the run folder `name`; processes beside the main one get None, once it has opened it."""
    with ExitStack() as stack:
        run = None
        with main_first(here):
            if here.is_main:
                about = described | {"runtime": here.describe()}
                run = stack.enter_context(open_run(args, name, about, TORCH))
        yield run


class Keeper:
    """One network's place in the run folder: its rows of metrics, and the states of its training.

    Without a run (in processes beside the main one) nothing is kept. `say` gets each new row.
    """

    def __init__(
        self,
        run: RunFolder | None = None,
        arm: str = "",
        seed: int = 0,
        say: Callable[[dict], None] = lambda row: None,
    ):
        self._run, self._say = run, say
        self._about = {"arm": arm, "seed": seed}
        self._name = re.sub(r"[^\w.]+", "-", f"{arm} seed{seed}")  # of a file

    def restore(self, into: Callable[[dict], None]) -> None:
        """Give `into` the state in which this training was stopped or ended, if there is one."""
        if self._run is not None:
            self._run.restore(self._name, into)

    def log(self, *rows: dict) -> None:
        """Append rows to the metrics."""
        if self._run is not None:
            self._run.log(*(self._about | row for row in rows))

    def say(self, row: dict) -> None:
        """Tell of an epoch."""
        if self._run is not None:
            self._say(row)

    @contextmanager
    def checkpoints(
        self, state: Callable[[], dict], here: Runtime
    ) -> Iterator[Callable[[bool], None]]:
        """Yield `after_step(epoch_ended)`, which keeps `state()` when it is due."""

        def after_step(epoch_ended: bool) -> None:
            if epoch_ended and self._run is not None:
                self._run.checkpoint(self._name, state())

        if self._run is None or here.world > 1:  # within an epoch, each process has its own sums
            yield after_step
        else:
            with self._run.checkpoints(self._name, state) as after_step:
                yield after_step

    def finish(self, state: dict) -> None:
        """Keep the state of the training at its end."""
        if self._run is not None:
            self._run.keep(self._name, state)


def _save(path: Path, state: dict) -> None:
    buffer = BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def _load(path: Path) -> dict:
    """Read what `_save` wrote; build nothing but plain containers and tensors."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # a damaged file can raise nearly anything
        raise UserError(f"{path} is damaged: start anew without --resume") from error
    if not isinstance(state, dict):
        raise UserError(f"{path} holds no state of a training: start anew without --resume")
    return state


TORCH = Format(".pt", _save, _load)
