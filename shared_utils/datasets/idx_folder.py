"""Four IDX files of one's own: Fashion-MNIST, KMNIST, EMNIST, or one's own drawings.

The files are recognised by their names, as in MNIST: "train", and "t10k" or "test"; the images have
three dimensions and the labels one. They may lie in a folder "raw", as torchvision keeps them.
"""

from pathlib import Path

import numpy as np

from shared_utils.datasets.idx import read_idx, read_shape
from shared_utils.datasets.names import enumeration
from shared_utils.errors import UserError

_ROLES = {"train": ("train",), "test": ("t10k", "test")}
_EXPECTED = "expected train-images-idx3-ubyte, train-labels-idx1-ubyte and the same with t10k"

Images = tuple[np.ndarray, np.ndarray]  # (N, H, W), uint8, and labels (N,), int64


def read_idx_folder(folder: Path) -> tuple[tuple[str, ...], Images, Images]:
    """Return the classes' names, the training part and the test part of the files in `folder`.

    Labels may be any bytes: they become 0, 1, ... in their order, and the classes are called by
    what they were. Raises UserError, naming the file, when the four are not there or do not match.
    """
    files = _find(Path(folder))
    parts = {}
    for role, (images, labels) in files.items():
        x, y = (read_idx(path, read_shape(path)) for path in (images, labels))
        if len(x) != len(y):
            raise UserError(f"{images} holds {len(x):,} images, but {labels} {len(y):,} labels")
        if not x.size:
            raise UserError(f"{images} holds no pixels ({' x '.join(map(str, x.shape))})")
        parts[role] = x, y
    (x, y), (x_test, y_test) = parts["train"], parts["test"]
    if x.shape[1:] != x_test.shape[1:]:
        sizes = " and ".join("x".join(map(str, a.shape[1:])) for a in (x, x_test))
        raise UserError(f"the images in {folder} are of two sizes, {sizes}: they must be of one")
    values = np.unique(y)
    odd = np.setxor1d(values, np.unique(y_test))
    if len(odd):
        raise UserError(
            f"{folder}: label {odd[0]} is in one of the two parts only: every class needs images"
            " in both"
        )
    if len(values) < 2:
        raise UserError(f"{folder}: all labels are the same: nothing can be learned from them")
    classes = tuple(map(str, values.tolist()))
    return classes, (x, np.searchsorted(values, y)), (x_test, np.searchsorted(values, y_test))


def _find(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Return the paths of images and labels, for "train" and "test"."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: name that of the IDX files with --data-dir")
    raw = folder / "raw"
    paths = [path for path in sorted((raw if raw.is_dir() else folder).iterdir()) if _is_idx(path)]
    found = {}
    for role, words in _ROLES.items():
        mine = [path for path in paths if any(word in path.name.lower() for word in words)]
        for dimensions, kind in ((3, "images"), (1, "labels")):
            fitting = [path for path in mine if len(read_shape(path)) == dimensions]
            # The same file may lie there both gzipped and not, and in both spellings.
            names = {path.name.removesuffix(".gz").replace(".idx", "-idx") for path in fitting}
            if len(names) != 1:
                raise _unclear(folder, f"{role} {kind}", sorted(names))
            found[role, kind] = fitting[0]
    return {role: (found[role, "images"], found[role, "labels"]) for role in _ROLES}


def _unclear(folder: Path, role: str, names: list[str]) -> UserError:
    if names:
        return UserError(
            f"{folder} holds {len(names)} files of {role}: {enumeration(names)}: keep one there"
        )
    below = sorted(path.parent for path in folder.glob("*/raw/*") if _is_idx(path))
    hint = f"; did you mean {below[0].parent}?" if below else ""
    return UserError(f"{folder} holds no file of {role}: {_EXPECTED}, gzipped or not{hint}")


def _is_idx(path: Path) -> bool:
    name = path.name.lower()
    return path.is_file() and not name.startswith(".") and ("idx" in name or "ubyte" in name)
