"""The hand-out: a copy of the repository with holes, and the record of what was done in it.

Nothing outside of its folder is written. The record keeps a digest of every function that could
become a hole, so that one which the student has changed is never emptied. Where another section has
the same equation (its own Linear layer, its own loss), that function stays: sections do not import
each other, and whoever writes one exercise can run all the others.
"""

import difflib
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from shared_utils.errors import UserError
from shared_utils.exercises.holes import empty, find, read_function
from shared_utils.exercises.table import Exercise, exercises, file_of
from shared_utils.files import write_atomically

ROOT = Path(__file__).resolve().parents[2]
RECORD = "exercises.json"
# In the lines of the front page on tests that are not handed out.
LEFT_OUT = b"shared_utils/exercises/test_"
WELCOME = """\
Your exercises: `python -m shared_utils.exercises list`. Write the functions that it names, then
`python -m shared_utils.exercises check`. Run both from this folder. Below is the README of the
repository that it was copied from, where nothing is left out.

"""


def start(chosen: list[Exercise], folder: Path) -> list[str]:
    """Empty the chosen exercises' functions in `folder`; make the copy if it is not there yet.

    Return what was done, a line each. Raises UserError when the folder is something else, or when
    a function that would be emptied was changed: then nothing is written.
    """
    folder = folder.resolve()
    if not is_handout(folder):
        _copy(folder)
    record = read_record(folder)
    new = [row for row in chosen if row.number not in record["exercises"]]
    contents: dict[Path, bytes] = {}
    for row in new:
        for function in row.functions:
            path, name = folder / file_of(function), function.split(":")[1]
            if _digest(path, name) != record["functions"].get(function):
                raise UserError(
                    f"{name} in {path} was changed: exercise {row.number} would overwrite that"
                )
            contents[path] = empty(contents.get(path) or path.read_bytes(), name, words(row))
    for path, content in contents.items():
        write_atomically(path, content)
    record["exercises"] |= {row.number: "not done" for row in new}
    write_record(folder, record)
    return [
        f"{row.number}  {row.title}: {places(row, folder)}"
        + ("" if row in new else " (was there already, not touched)")
        for row in chosen
    ]


def places(row: Exercise, folder: Path = ROOT) -> str:
    """Return where the functions stand, as "file:line, ...", or the file alone if that is unclear.

    The functions of one file are "file:line, line".
    """
    found = {}
    for function in row.functions:
        lines = found.setdefault(file_of(function), [])
        try:
            source = (folder / file_of(function)).read_bytes()
            lines.append(str(find(source, function.split(":")[1]).lineno))
        except (OSError, KeyError, SyntaxError, ValueError):
            pass
    return ", ".join(f"{file}:{', '.join(lines)}".rstrip(":") for file, lines in found.items())


def words(row: Exercise) -> str:
    """Return what the empty function says when it is called."""
    return f"exercise {row.number}: {row.title}"


def is_handout(folder: Path) -> bool:
    """Return whether `folder` holds the record of a hand-out."""
    return (folder / RECORD).is_file()


def read_record(folder: Path) -> dict:
    """Return {"functions": digests, "exercises": verdicts by number}.

    Raises UserError when the folder is not a hand-out, or its record cannot be read.
    """
    if not is_handout(folder):
        inside = next(filter(is_handout, folder.resolve().parents), None)
        if inside and folder.is_dir():
            raise UserError(f"{folder} is a part of a hand-out: go to its own folder, cd {inside}")
        raise UserError(
            f"{folder} is not a hand-out (it holds no {RECORD}): go to yours with cd, or make one"
            " with python -m shared_utils.exercises start NUMBER --to DIR"
        )
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        texts = [text for key in ("functions", "exercises") for text in record[key].values()]
        if all(isinstance(text, str) for text in texts):
            return record
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise UserError(f"{folder / RECORD} is damaged: make a new hand-out and copy your files there")


def write_record(folder: Path, record: dict) -> None:
    """Write the record."""
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    write_atomically(folder / RECORD, text.encode())


def solution(row: Exercise) -> str:
    """Return the difference from the empty functions to the original ones.

    Raises UserError in a hand-out, which does not hold the originals.
    """
    if is_handout(ROOT):
        raise UserError(
            "the solutions are not in a hand-out: ask the repository that it was made from"
        )
    lines = []
    for file in row.files:
        original = emptied = (ROOT / file).read_bytes()
        for function in row.functions:
            if file_of(function) == file:
                emptied = empty(emptied, function.split(":")[1], words(row))
        texts = (source.decode().splitlines(keepends=True) for source in (emptied, original))
        lines += difflib.unified_diff(*texts, f"{file} (empty)", file)
    return "".join(lines)


def _copy(folder: Path) -> None:
    if is_handout(ROOT):
        raise UserError(f"this is a hand-out itself: add exercises to it with --to {ROOT}")
    if folder.is_relative_to(ROOT):
        raise UserError(f"{folder} lies in the repository: choose a folder outside of it")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is neither empty nor a hand-out: choose another folder")
    for path in repository_files(ROOT):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, target)
    page = folder / "README.md"
    lines = page.read_bytes().splitlines(keepends=True)
    page.write_bytes(WELCOME.encode() + b"".join(line for line in lines if LEFT_OUT not in line))
    functions = [function for row in exercises().values() for function in row.functions]
    digests = {f: _digest(folder / file_of(f), f.split(":")[1]) for f in functions}
    write_record(folder, {"functions": digests, "exercises": {}})


def repository_files(root: Path) -> Iterator[Path]:
    """Yield the repository's files, relative to `root`: without runs, data and caches.

    Git says which they are where there is git, so that new files count and ignored ones do not.
    """
    for path in _listed_by_git(root) or _walk(root):
        file = root / path
        if _is_kept(path) and file.is_file() and not file.is_symlink():
            yield path


def _listed_by_git(root: Path) -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return []
    done = subprocess.run(command, cwd=root, capture_output=True)
    return [Path(name) for name in done.stdout.decode(errors="surrogateescape").split("\0") if name]


def _walk(root: Path, folder: Path = Path()) -> Iterator[Path]:
    for entry in sorted((root / folder).iterdir()):
        path = folder / entry.name
        if not entry.is_dir():
            yield path
        elif _is_kept(path) and not (entry / "pyvenv.cfg").exists():
            yield from _walk(root, path)


def _is_kept(path: Path) -> bool:
    parts = path.parts
    is_run = parts[0].startswith("section") and parts[1:2] == ("runs",)
    hidden = any(part.startswith(".") and part != ".gitignore" for part in parts)
    spoils = parts[:3] == ("tests", "shared_utils", "exercises")  # wrong answers, and right ones
    left_out = "__pycache__" in parts or parts[0] == "data" or spoils
    return not (is_run or hidden or left_out or path.name == "report.html")


def _digest(path: Path, name: str) -> str:
    return hashlib.sha256(read_function(path, name)).hexdigest()
