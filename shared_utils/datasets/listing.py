"""Which images a folder holds: in which part, of which class, and what is left out.

    <folder>/<class>/<image>                     one tree, to be split here
    <folder>/{train,val,test}/<class>/<image>    split already; val, test or both may be absent

Systems and editors leave files everywhere: previews, copies of notebooks, folders for the bin.
Counted as images they would be learned, or leak from training into test, so hidden names and
known leftovers are skipped at any depth. Nothing is left out without being counted.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shared_utils.datasets.decode import readable_suffixes
from shared_utils.datasets.names import enumeration, printable
from shared_utils.errors import UserError

LAYOUT = "expected <folder>/<class>/<image>, or train and test folders with classes in each"
# Names that people give to the parts of a data set, in any case.
PART_NAMES = {
    "train": ("train", "training", "trainset", "train_set"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "testset", "test_set"),
}
# What systems leave in folders; whatever begins with a dot is hidden, and skipped as well.
_LEFTOVERS = {
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "$recycle.bin", "@eadir",
    "system volume information", "lost+found", "#recycle", "__pycache__",
}  # fmt: skip
_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2", ".7z", ".rar"}


class ImageFile(NamedTuple):
    """An image: its path below the tree, with "/", its size in bytes, its time of change in ns."""

    path: str
    size: int
    changed: int


class Part(NamedTuple):
    """The images of a part, ordered by class and path, and their labels (N,), int64."""

    files: list[ImageFile]
    labels: np.ndarray


@dataclass(frozen=True)
class Listing:
    """What a folder holds."""

    tree: Path
    classes: tuple[str, ...]  # names of folders, in alphabetical order
    parts: dict[str, Part]  # "train", and "val" and "test" if the folder has them
    left_out: dict[str, int]  # how many files or folders of which kind were left out


def list_images(tree: Path) -> Listing:
    """Return all images below `tree`, read from the names alone; no image is opened.

    Raises UserError, naming the path, when there is no such folder, when classes and parts
    cannot be distinguished, for fewer than two classes, a class without an image, and parts with
    different classes.
    """
    _check_folder(tree)
    left_out = Counter()
    parts, classes = {}, None
    for part, root in _part_roots(tree, left_out).items():
        found = _classes(root, tree, left_out)
        if classes is not None and found.keys() != classes.keys():
            _refuse_classes(tree, root.name, classes.keys(), found.keys())
        classes = classes or found
        files = [file for name in sorted(found) for file in found[name]]
        counts = [len(found[name]) for name in sorted(found)]
        parts[part] = Part(files, np.repeat(np.arange(len(counts)), counts).astype(np.int64))
    return Listing(tree, tuple(sorted(classes)), parts, dict(left_out))


def _check_folder(tree: Path) -> None:
    if tree.is_dir():
        return
    if tree.is_file() and tree.suffix.lower() in _ARCHIVES:
        raise UserError(f"{tree} is an archive: unpack it, and name the folder with --data-dir")
    raise UserError(f"{tree} is not a folder: name that of your images with --data-dir")


def _part_roots(tree: Path, left_out: Counter) -> dict[str, Path]:
    """Return the folder of each part that `tree` has; {"train": tree} when it is one tree."""
    folders = [entry.name for entry in _visible(tree, Counter()) if _is_folder(entry)]
    roots = {}
    for part, names in PART_NAMES.items():
        mine = sorted(name for name in folders if name.lower() in names)
        if len(mine) > 1:
            raise UserError(f"{tree} has {' and '.join(mine)}, two names of one part: join them")
        if mine:
            roots[part] = tree / mine[0]
    others = sorted(set(folders) - {root.name for root in roots.values()})
    if len(roots) == 1 and not _subfolders(next(iter(roots.values()))):
        roots = {}  # it holds no folders: a class that happens to be called so
    if not roots:
        _refuse_hidden_parts(tree, folders)
        return {"train": tree}
    if len(roots) == 1 and others:
        part = next(iter(roots.values())).name
        raise UserError(
            f"{tree} holds {part} beside {enumeration(others)}: if {part} is a part of the data,"
            " put the others elsewhere; if it is a class, move the images in its folders up"
        )
    if "train" not in roots:
        raise UserError(f"{tree} has {' and '.join(roots)}, but nothing to learn from: add train")
    for root in roots.values():
        if not _subfolders(root):
            raise UserError(f"{root} holds no class folders: {LAYOUT}")
    _count(left_out, "folders beside the parts", len(others))
    loose = sum(not _is_folder(entry) for entry in _visible(tree, left_out))
    _count(left_out, "files beside the parts", loose)
    return roots


def _refuse_hidden_parts(tree: Path, folders: list[str]) -> None:
    """Raise UserError when the subfolders look like parts: all hold folders of the same names."""
    inside = [_subfolders(tree / name) for name in folders]
    shared = set.intersection(*inside) if len(inside) > 1 else set()
    if len(shared) > 1:
        raise UserError(
            f"{tree}: every folder in it holds the same folders ({enumeration(sorted(shared))}), so"
            " they look like parts, not classes: call them train, val and test"
        )


def _classes(root: Path, tree: Path, left_out: Counter) -> dict[str, list[ImageFile]]:
    """Return the images of each class folder in `root`, which may be a link to a folder."""
    found = {}
    for entry in _visible(root, left_out):
        if not _is_folder(entry):
            _count(left_out, "files beside the class folders")
        elif root.resolve().is_relative_to(Path(entry.path).resolve()):
            _count(left_out, "links that lead back to their own folder")
        else:
            found[entry.name] = entry.path
    if len(found) < 2:
        raise UserError(f"{root} holds fewer than two class folders: {LAYOUT}{_hint(root, found)}")
    lower = Counter(name.lower() for name in found)
    twins = sorted(name for name in found if lower[name.lower()] > 1)
    if twins:
        raise UserError(f"{root}: the classes {enumeration(twins)} differ in case only: join them")
    return {name: _images(Path(path), root / name, tree, left_out) for name, path in found.items()}


def _hint(root: Path, found: dict[str, str]) -> str:
    """Return where the classes may be instead: archives often hold one folder that holds all."""
    deeper = [name for name, path in found.items() if len(_subfolders(Path(path))) > 1]
    return f"; did you mean {root / deeper[0]}?" if deeper else ""


def _images(folder: Path, name: Path, tree: Path, left_out: Counter) -> list[ImageFile]:
    """Return the images at any depth below a class folder, ordered by their paths."""
    images, others, below = [], Counter(), [str(folder)]
    prefix = name.relative_to(tree).as_posix()
    while below:
        for entry in _visible(Path(below.pop()), left_out):
            suffix = os.path.splitext(entry.name)[1].lower()
            if _is_folder(entry):
                if entry.is_symlink():  # it could lead in a circle, or into another class
                    _count(left_out, "links to folders within a class")
                else:
                    below.append(entry.path)
            elif suffix in readable_suffixes():
                inside = entry.path[len(str(folder)) + 1 :].replace(os.sep, "/")
                images.append(ImageFile(f"{prefix}/{inside}", *_size_and_time(entry)))
            else:
                others[f"{printable(suffix) or 'suffixless'} files"] += 1
    if not images:
        seen = f", but {kinds(others)}" if others else ""
        raise UserError(f"{name} holds no image{seen}: add some, or remove the folder")
    left_out.update(others)
    return sorted(images, key=lambda image: image.path.split("/"))


def _size_and_time(entry: os.DirEntry) -> tuple[int, int]:
    try:
        about = entry.stat()
    except OSError:  # a link to nothing: decoding will say so
        return 0, 0
    return about.st_size, about.st_mtime_ns


def _visible(folder: Path, left_out: Counter) -> Iterator[os.DirEntry]:
    """Yield what a folder holds, hidden names and systems' leftovers excepted and counted."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in _LEFTOVERS:
                _count(left_out, "hidden files and systems' leftovers", entry.name != ".decoded")
            else:
                yield entry


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _subfolders(folder: Path) -> set[str]:
    return {entry.name for entry in _visible(folder, Counter()) if _is_folder(entry)}


def _refuse_classes(tree: Path, part: str, expected: set[str], found: set[str]) -> None:
    odd = {"missing": sorted(expected - found), "unknown": sorted(found - expected)}
    text = "; ".join(f"{word}: {enumeration(names)}" for word, names in odd.items() if names)
    raise UserError(f"{tree / part} does not have the classes of the training images ({text})")


def kinds(counts: Mapping[str, int]) -> str:
    """Return what was counted in words, such as ".heic files (12), .txt files (1)"."""
    return enumeration([f"{kind} ({number:,})" for kind, number in sorted(counts.items())], 20)


def _count(left_out: Counter, kind: str, number: int = 1) -> None:
    if number:
        left_out[kind] += number
