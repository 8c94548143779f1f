"""Files of weights: written whole or not at all, and read so that nothing in them can run."""

import hashlib
import json
import pickle
import re
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

from shared_utils.datasets.download import DownloadError, check_answer, patience
from shared_utils.errors import UserError
from shared_utils.files import write_atomically

_WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys of a training script's checkpoint
# What DataParallel, torch.compile and training frameworks put before every name.
_PREFIX = re.compile(r"^((module|_orig_mod|model|net)\.)+")


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write a network's state dict, on the CPU."""
    write_torch(path, {key: value.cpu() for key, value in state.items()})


def write_torch(path: Path, content: dict) -> None:
    """Write plain containers and tensors as `torch.save` does."""
    buffer = BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getvalue())


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_json(path: Path, remedy: str) -> dict:
    """Return the dict in a JSON file. Raises UserError, which ends with `remedy`, if it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {remedy}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged: {remedy}")
    return content


def normalization_of(content: dict) -> tuple[Tensor, Tensor]:
    """Return the channels' mean and deviation (3,) that stand in a JSON beside weights.

    Raises KeyError, TypeError or ValueError when they are not there or not such numbers.
    """
    try:
        mean, std = (torch.tensor(content[name], dtype=torch.float32) for name in ("mean", "std"))
    except OverflowError as error:
        raise ValueError("its numbers are too large") from error
    if mean.shape != (3,) or std.shape != (3,) or not torch.isfinite(mean + std).all():
        raise ValueError("it has no three channels")
    if not (std > 0).all():
        raise ValueError("a deviation is not above 0")
    return mean, std


def imagenet_state() -> dict[str, Tensor]:
    """Return torchvision's ImageNet weights of ResNet-18, downloaded once into PyTorch's cache.

    Raises DownloadError when they are not cached and cannot be fetched.
    """
    from torchvision.models import ResNet18_Weights

    url = ResNet18_Weights.IMAGENET1K_V1.url
    if not (Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name).is_file():
        check_answer(url)
    try:
        with patience():
            return torch.hub.load_state_dict_from_url(
                url, map_location="cpu", check_hash=True, weights_only=True
            )
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise DownloadError(str(error).splitlines()[0]) from error


def file_state(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a file, read so that nothing in it can run.

    Training scripts keep it in a dict of more, and wrappers put a prefix before every key: both are
    unpacked. Raises UserError when the file is missing, or holds no state dict.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(
            f"--weights {path} cannot be read ({error.strerror}): give a state dict's path,"
            " or auto, imagenet or rotation"
        ) from error
    except Exception as error:  # a file that is not a pickle can raise nearly anything
        raise UserError(
            f"{path} is not a file of weights alone: save one with"
            " torch.save(model.state_dict(), path)"
        ) from error
    for key in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
            break
    named = isinstance(state, dict) and state and all(isinstance(key, str) for key in state)
    if not named or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path} holds no state dict: save model.state_dict(), not the model")
    return {_PREFIX.sub("", key): value for key, value in state.items()}
