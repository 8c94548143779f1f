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
from unicodedata import normalize

import numpy as np

from shared_utils.datasets.decode import readable_suffixes
from shared_utils.datasets.names import enumeration, printable
from shared_utils.errors import UserError

LAYOUT = "expected <folder>/<class>/<image>, or train and test folders with classes in each"
# Names that people give to the parts of a data set, in any case, also as "Training_Set".
PART_NAMES = {
    "train": ("train", "training", "trainset", "trainingset"),
    "val": ("val", "valid", "validation", "dev", "valset", "validset", "validationset", "devset"),
    "test": ("test", "testing", "testset", "testingset"),
}
# What systems leave in folders; whatever begins with a dot is hidden, and skipped as well.
_LEFTOVERS = {
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "$recycle.bin", "@eadir",
    "system volume information", "lost+found", "#recycle", "__pycache__",
}  # fmt: skip
_RUNS = "folders of runs"
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
        found = _classes(root, tree, left_out, least=2 if classes is None else 0)
        if classes is not None and found.keys() != classes.keys():
            _refuse_classes(tree, root.name, classes.keys(), found.keys())
        classes = classes or found
        files = [file for name in sorted(found) for file in found[name]]
        counts = [len(found[name]) for name in sorted(found)]
        parts[part] = Part(files, np.repeat(np.arange(len(counts)), counts).astype(np.int64))
    return Listing(tree, tuple(sorted(classes)), parts, dict(+left_out))  # without what was not met


def _check_folder(tree: Path) -> None:
    if os.path.isdir(tree):
        return
    if os.path.isfile(tree) and tree.suffix.lower() in _ARCHIVES:
        raise UserError(f"{tree} is an archive: unpack it, and name the folder with --data-dir")
    raise UserError(f"{tree} is not a folder: name that of your images with --data-dir")


def _part_roots(tree: Path, left_out: Counter) -> dict[str, Path]:
    """Return the folder of each part that `tree` has; {"train": tree} when it is one tree."""
    folders = [entry.name for entry in _visible(tree, Counter()) if _is_folder(entry)]
    roots = {}
    for part, names in PART_NAMES.items():
        mine = sorted(name for name in folders if _plain(name) in names)
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
        _refuse_unclear_part(tree, next(iter(roots.values())), others)
    if "train" not in roots:
        raise UserError(f"{tree} has {' and '.join(roots)}, but nothing to learn from: add train")
    for root in roots.values():
        if not _subfolders(root):
            raise UserError(
                f"{root} holds no class folders: add them, or put it elsewhere; {LAYOUT}"
            )
    left_out["folders beside the parts"] += len(others)
    loose = sum(not _is_folder(entry) for entry in _visible(tree, left_out))
    left_out["files beside the parts"] += loose
    return roots


def _refuse_hidden_parts(tree: Path, folders: list[str]) -> None:
    """Raise UserError when the subfolders look like parts: all hold folders of the same names."""
    inside = [_subfolders(tree / name) for name in folders]
    shared = set.intersection(*inside) if len(inside) > 1 else set()
    if len(shared) > 1:
        names = {name for names in PART_NAMES.values() for name in names}
        if all(_plain(name) in names for name in shared):
            raise UserError(
                f"{tree}: every class holds its own {' and '.join(sorted(shared))}: put the parts"
                " outside, as in train/<class>/<image>"
            )
        raise UserError(
            f"{tree}: every folder in it holds the same folders ({enumeration(sorted(shared))}), so"
            " they look like parts, not classes: call them train, val and test"
        )


def _plain(name: str) -> str:
    """Return a folder's name as PART_NAMES has it."""
    return name.lower().translate(dict.fromkeys(map(ord, " _-")))


def _refuse_unclear_part(tree: Path, root: Path, others: list[str]) -> None:
    """Raise UserError: one folder is called like a part, `others` are not."""
    part, classes = root.name, _subfolders(root)
    alike = [name for name in others if len(classes & _subfolders(tree / name)) > 1]
    if alike:
        raise UserError(
            f"{tree}: {enumeration(alike)} and {part} hold the same folders, so they look like"
            " parts: call each train, val or test, or put it elsewhere"
        )
    raise UserError(
        f"{tree} holds {part} beside {enumeration(others)}: if {part} is a part of the data,"
        " put the others elsewhere; if it is a class, move the images in its folders up"
    )


def _classes(root: Path, tree: Path, left_out: Counter, least: int) -> dict[str, list[ImageFile]]:
    """Return the images of each class folder in `root`, which may be a link to a folder.

    Raises UserError for fewer than `least` classes, and for names that look the same.
    """
    found = {}
    for entry in _visible(root, left_out):
        if not _is_folder(entry):
            left_out["files beside the class folders"] += 1
        elif root.resolve().is_relative_to(Path(entry.path).resolve()):
            left_out["links that lead back to their own folder"] += 1
        elif _is_run(entry):
            left_out[_RUNS] += 1
        else:
            found[entry.name] = entry.path
    if len(found) < least:
        raise UserError(
            f"{root} holds fewer than two class folders: {LAYOUT}{_hint(root, found, root == tree)}"
        )
    looks = Counter(map(_look, found))
    twins = sorted(repr(name) for name in found if looks[_look(name)] > 1)
    if twins:
        raise UserError(f"{root}: the classes {enumeration(twins)} look the same: join them")
    # Systems write the same é as one character or as two: a class has one name in every part.
    return {
        normalize("NFC", name): _images(Path(path), root / name, tree, left_out)
        for name, path in found.items()
    }


def _look(name: str) -> str:
    """Return what is equal for names that differ in case, spaces or the way é is written only."""
    return normalize("NFC", name).lower().strip()


def _hint(root: Path, found: dict[str, str], whole: bool) -> str:
    """Return where the classes may be instead: one folder deeper, or in archives."""
    deeper = [name for name, path in found.items() if len(_subfolders(Path(path))) > 1]
    if deeper and not whole:
        return f"; move what is in {root / deeper[0]} one folder up"
    if deeper:
        return f"; did you mean {root / deeper[0]}?"
    names = sorted(entry.name for entry in _visible(root, Counter()))
    packed = [name for name in names if os.path.splitext(name)[1].lower() in _ARCHIVES]
    return f"; unpack {enumeration(packed)} first" if packed else ""


def _images(folder: Path, name: Path, tree: Path, left_out: Counter) -> list[ImageFile]:
    """Return the images at any depth below a class folder, ordered by their paths."""
    images, others, below = [], Counter(), [str(folder)]
    prefix = name.relative_to(tree).as_posix()
    while below:
        for entry in _visible(Path(below.pop()), left_out):
            suffix = os.path.splitext(entry.name)[1].lower()
            if _is_folder(entry):
                if entry.is_symlink():  # it could lead in a circle, or into another class
                    left_out["links to folders within a class"] += 1
                elif _is_run(entry):
                    others[_RUNS] += 1
                else:
                    below.append(entry.path)
            elif suffix in readable_suffixes():
                inside = entry.path[len(str(folder)) + 1 :].replace(os.sep, "/")
                images.append(ImageFile(f"{prefix}/{inside}", *_size_and_time(entry)))
            else:
                others[kind(suffix)] += 1
    if not images:
        seen = f", but {kinds(others)}" if others else ""
        raise UserError(
            f"{name} holds no image{seen}: add images, or name with --data-dir the folder whose"
            " subfolders are the classes"
        )
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
    try:
        entries = os.scandir(folder)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be read ({error.strerror}): change its permissions, or name another"
            " folder with --data-dir"
        ) from error
    with entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in _LEFTOVERS:
                left_out["hidden files and systems' leftovers"] += entry.name != ".decoded"
            else:
                yield entry


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_run(entry: os.DirEntry) -> bool:
    """Return whether a folder is that of a run: its figures are not images to learn from."""
    files = ("config.json", "metrics.csv")
    return all(os.path.isfile(os.path.join(entry.path, name)) for name in files)


def _subfolders(folder: Path) -> set[str]:
    return {entry.name for entry in _visible(folder, Counter()) if _is_folder(entry)}


def _refuse_classes(tree: Path, part: str, expected: set[str], found: set[str]) -> None:
    odd = {"missing": sorted(expected - found), "unknown": sorted(found - expected)}
    text = "; ".join(
        f"{word}: {enumeration([repr(name) for name in names])}"
        for word, names in odd.items()
        if names
    )
    raise UserError(
        f"{tree / part} does not have the classes of the training images ({text}): every part"
        " needs the same class folders"
    )


def kind(suffix: str) -> str:
    """Return what files with this suffix are called, such as ".heic files"."""
    return f"{printable(suffix) or 'suffixless'} files"


def kinds(counts: Mapping[str, int]) -> str:
    """Return what was counted in words, such as ".heic files (12), .txt files (1)"."""
    return enumeration([f"{kind} ({number:,})" for kind, number in sorted(counts.items())], 20)
