"""Folders of images, one subfolder a class: found, split, decoded once, and mapped into memory.

What is wanted is decided from the names alone, before the first image is opened: the parts, the
classes, and with a limit the images. Only those are decoded.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared_utils.datasets.decoded_cache import FOLDER, Damaged, DecodedImages
from shared_utils.datasets.digests import array_digest, count_repeated, pixel_digest
from shared_utils.datasets.listing import ImageFile, Listing, Part, kinds, list_images
from shared_utils.datasets.names import printable
from shared_utils.datasets.splits import Limit, check_class_sizes, hold_out
from shared_utils.errors import UserError

_MAX_SIZE = 4096  # side of a square, in pixels: three times that squared is an image's bytes


@dataclass(frozen=True)
class ImageFolder:
    """Images (N, 3, size, size), uint8, mapped read-only, and labels (N,), int64, in three parts.

    `digests` holds "sha256" over all arrays and "pixels", which does not depend on the order;
    `damaged` names the files that were left out because they cannot be read, each with its cause.
    """

    classes: tuple[str, ...]
    parts: dict[str, tuple[np.ndarray, np.ndarray]]  # "train", "val", "test"
    digests: dict[str, str]
    left_out: tuple[str, ...]  # lines for the user
    damaged: tuple[str, ...]


def read_image_folder(
    tree: Path, size: int, limit: Limit | None = None, skip_damaged: bool = False
) -> ImageFolder:
    """Return the images below `tree` as squares of `size` pixels, split into three parts.

    Parts that the folder has itself are used as they are. What it has not is split off its training
    images, stratified by class: a fifth to test, and of the rest a tenth to validate. Raises
    UserError for a folder that cannot be used, for squares of more than 4,096 pixels, and, naming
    all of them, for damaged images, unless `skip_damaged` leaves them out.
    """
    if size > _MAX_SIZE:
        raise UserError(
            f"images of {size:,} pixels a side are too large: choose {_MAX_SIZE:,} at most"
        )
    listing = list_images(Path(tree))
    if limit:
        limit.check(len(listing.classes))
    every = [file for part in listing.parts.values() for file in part.files]
    with DecodedImages(listing.tree, size) as store:
        damaged, images = store.still_damaged(every), None
        while images is None:
            try:
                parts = _choose(listing, damaged, limit)
            except UserError as error:
                if damaged and not skip_damaged:
                    raise _damaged_error(listing.tree, damaged) from error
                raise
            wanted = [file for part in parts.values() for file in part.files]
            images, found = store.read(wanted, every)
            damaged |= found
        if damaged and not skip_damaged:
            raise _damaged_error(listing.tree, damaged)
        arrays = _cut(images, parts)
        digests = store.remember(
            *(wanted, {"sha256", "pixels", "repeated"}),
            lambda: _digests(arrays, listing.classes),
        )
    lines = _lines(listing, len(damaged), digests.pop("repeated"), store.kept)
    names = tuple(f"{printable(file.path)}: {why}" for file, why in sorted(damaged.items()))
    return ImageFolder(tuple(map(printable, listing.classes)), arrays, digests, lines, names)


def _choose(listing: Listing, damaged: Iterable[ImageFile], limit: Limit | None) -> dict[str, Part]:
    """Return which images are train, val and test, each in the order in which it will be used."""
    bad = set(damaged)
    parts = {name: _pick(part, bad) for name, part in listing.parts.items()}
    classes, where = listing.classes, str(listing.tree)
    for name, part in parts.items():
        missing = 3 - len(parts) if name == "train" else 0
        check_class_sizes(part.labels, classes, 1 + missing, where)
    if "test" not in parts:
        y = parts["train"].labels
        kept, held = hold_out(y, max(len(y) // 5, len(classes)))
        parts |= {"train": _take(parts["train"], kept), "test": _take(parts["train"], held)}
    if "val" not in parts:
        y = parts["train"].labels
        held, kept = hold_out(y, len(y) - max(len(y) // 10, len(classes)))
        parts |= {"train": _take(parts["train"], kept), "val": _take(parts["train"], held)}
    chosen = {name: parts[name] for name in ("train", "val", "test")}
    if limit:
        chosen = {name: _take(p, limit.choose(name, p.labels)) for name, p in chosen.items()}
    return chosen


def _pick(part: Part, bad: set[ImageFile]) -> Part:
    if not bad:
        return part
    return _take(part, [i for i, file in enumerate(part.files) if file not in bad])


def _take(part: Part, indices: Iterable[int]) -> Part:
    indices = np.asarray(indices, np.int64)
    return Part([part.files[i] for i in indices], part.labels[indices])


def _cut(images: np.ndarray, parts: dict[str, Part]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the piece of `images` that belongs to each part, as a view, with its labels."""
    arrays, start = {}, 0
    for name, part in parts.items():
        stop = start + len(part.files)
        arrays[name] = images[start:stop], part.labels
        start = stop
    return arrays


def _digests(arrays: dict, classes: tuple[str, ...]) -> dict[str, str]:
    origin = {"train": "train", "val": "train", "test": "test"}  # as data sets are published
    pieces = [(origin[name], x, y) for name, (x, y) in arrays.items()]
    return {
        "sha256": array_digest(array for pair in arrays.values() for array in pair),
        "pixels": pixel_digest(pieces, classes),
        "repeated": ", ".join(
            f"{count:,} of {name}"
            for name, count in count_repeated((n, x) for n, (x, _) in arrays.items()).items()
            if count
        ),
    }


def _lines(listing: Listing, damaged: int, repeated: str, kept: bool) -> tuple[str, ...]:
    counts = dict(listing.left_out)
    if damaged:
        counts["damaged images, named in config.json"] = damaged
    lines = [f"  left out: {kinds(counts)}"] if counts else []
    if repeated:
        lines.append(f"  equal to an image of an earlier part, pixel by pixel: {repeated}")
    if not kept:
        lines.append(f"  {listing.tree} cannot be written: the decoded images are not kept")
    return tuple(lines)


def _damaged_error(tree: Path, damaged: Damaged) -> UserError:
    named = [f"{printable(file.path)} {why}" for file, why in sorted(damaged.items())]
    more = f" (all names: {tree / FOLDER / 'damaged.json'})" if len(named) > 20 else ""
    number = "1 image" if len(named) == 1 else f"{len(named):,} images"
    return UserError(
        f"{tree} holds {number} that cannot be used: {'; '.join(named[:20])}{more}:"
        " replace or remove them, or leave them out with --skip-damaged"
    )
