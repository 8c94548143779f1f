"""How states and weights are kept on disk: as PyTorch does, and read so that nothing can run.

The main process alone reads and writes. Under `torchrun` a training is saved at the end of every
epoch, so one that is stopped within an epoch continues from that epoch's start; a single process
saves every step at which it is stopped.
"""

from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

from shared_utils.errors import UserError
from shared_utils.files import write_atomically
from shared_utils.runs.states import Format


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
