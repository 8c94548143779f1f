"""How the states of a training are kept on disk: as PyTorch does, read so that nothing can run.

The main process alone reads and writes. Under `torchrun` a training is saved at the end of every
epoch, so one that is stopped within an epoch continues from that epoch's start; a single process
saves every step at which it is stopped.
"""

from pathlib import Path

import torch

from section4_transfer.engine.weights import write_torch
from shared_utils.errors import UserError
from shared_utils.runs.resuming import Format


def _load(path: Path) -> dict:
    """Read what `write_torch` wrote; build nothing but plain containers and tensors."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # a damaged file can raise nearly anything
        raise UserError(f"{path} is damaged: start again without --resume") from error
    if not isinstance(state, dict):
        raise UserError(f"{path} holds no state of a training: start again without --resume")
    return state


TORCH = Format(".pt", write_torch, _load)
