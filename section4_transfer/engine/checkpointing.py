"""What is kept on disk while a network trains, by PyTorch's own means: its states and its weights.

The main process alone reads and writes. Under `torchrun` a training is saved at the end of every
epoch, so one that is stopped within an epoch continues from that epoch's start; a single process
saves every step at which it is stopped.
"""

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

from section4_transfer.engine.runtime import Runtime
from shared_utils.errors import UserError
from shared_utils.files import write_atomically
from shared_utils.runs.states import Format
from shared_utils.runs.training import Step, TrainingRun


class GroupRun(TrainingRun):
    """A `TrainingRun` for several processes, and for devices that compute while Python goes on."""

    def __init__(self, runtime: Runtime, *args, **options):
        super().__init__(*args, within_epochs=runtime.world == 1, **options)
        self._runtime = runtime

    def watch(self, training, steps: Callable[..., Iterable]) -> Iterator[Step]:
        """Take the steps; the time of an epoch ends when the device has computed its last one."""

        def waiting(first_step: int) -> Iterator:
            for step, loss in enumerate(steps(first_step=first_step), start=first_step + 1):
                if step % training.steps_per_epoch == 0:
                    self._runtime.wait()
                yield loss

        return super().watch(training, waiting)

    def restore(self, load: Callable[[dict], None]) -> None:
        """Give `load`, in every process, the state that the main one finds, if there is one."""
        found = []

        def note(state: dict) -> None:
            load(state)
            found.append(state)

        with self._runtime.main_first():  # a bad state ends all processes
            super().restore(note)
        state = self._runtime.from_main(found[0] if found else None)
        if state is not None and not found:
            load(state)


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write a network's state dict, on the CPU, whole or not at all."""
    _save(path, {key: value.cpu() for key, value in state.items()})


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
        raise UserError(f"{path} is damaged: start again without --resume") from error
    if not isinstance(state, dict):
        raise UserError(f"{path} holds no state of a training: start again without --resume")
    return state


TORCH = Format(".pt", _save, _load)
