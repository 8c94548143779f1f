"""Weights that know what they are: what a file of weights says beside its numbers.

Numbers alone answer 7; that 7 means "horse", and that the picture must be 32 pixels wide, has to
stand with them. It is plain data, text and numbers, so that reading it runs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared_utils.errors import UserError
from shared_utils.runs.outcomes import Outcome

_MAX_SIDE = 10_000  # of an image, in pixels


@dataclass(frozen=True)
class About:
    """What a network was trained on, and how well it does there."""

    classes: tuple[str, ...]
    image_size: tuple[int, int]  # height and width
    dataset: str
    title: str  # of the data, for people
    seed: int
    val_acc: float


def describe_weights(data, outcome: Outcome) -> dict:
    """Return what is kept beside a network's weights; `data` is an `ImageData` or a `TorchData`."""
    best = outcome.history.best
    return {
        "dataset": data.name,
        "title": data.title,
        "sha256": data.digest,
        "classes": list(data.classes),
        "image_size": list(data.x_train.shape[2:]),
        "seed": outcome.seed,
        "epoch": best["epoch"],
        "val_acc": best["val_acc"],
    }


def read_about(path: Path, about: dict, outputs: int) -> About:
    """Return what the file of weights at `path` says of itself, checked.

    `outputs` is the number of the network's outputs. Raises UserError when the file does not say
    what they mean, as those of earlier versions did not.
    """
    kinds = {"dataset": str, "title": str, "seed": int, "val_acc": float}
    classes, size = about.get("classes"), about.get("image_size")
    known = all(type(about.get(name)) is kind for name, kind in kinds.items())
    named = _all_are(str, classes) and len(classes) == outputs
    sized = _all_are(int, size) and len(size) == 2 and all(1 <= n <= _MAX_SIDE for n in size)
    if not (known and named and sized):
        raise UserError(f"{path} does not say which classes it distinguishes: train again")
    return About(tuple(classes), tuple(size), **{name: about[name] for name in kinds})


def _all_are(kind: type, values: Sequence | None) -> bool:
    return isinstance(values, (list, tuple)) and all(type(value) is kind for value in values)
