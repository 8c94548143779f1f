"""The decoded images of a folder: made once by all cores, written as a stream, read as a map.

Decoding a photograph costs more than a training step spends on it. So each is decoded once, and its
square is appended to one array file in `<folder>/.decoded`, which is then mapped into memory, not
loaded: the system reads the pages that training asks for, and the folder may be larger than memory.

    32px-<digest of the listing>.npy    the images; .part while images are still missing
    32px-<digest of the listing>.json   which file each row was made of
    32px-<digest of the listing>.sums   digests of the pixels
    damaged.json                        files that could not be read the last time

Decoding that is stopped continues after the last whole row. When files were added, removed or
changed, the rows of all others are copied. The whole folder may be deleted at any time.
"""

import atexit
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from shared_utils.datasets.decode import (
    VERSION,
    DamagedImageError,
    decode,
    without_warnings,
)
from shared_utils.datasets.listing import ImageFile
from shared_utils.errors import UserError
from shared_utils.files import write_atomically

FOLDER = ".decoded"
# Images that are decoded, by all cores, before their rows are written: so many, and so many bytes.
_WINDOW, _WINDOW_BYTES = 256, 1 << 22

Damaged = dict[ImageFile, str]  # what is wrong with each file


class DecodedImages:
    """The array files of one folder and one size of images, locked while it is entered.

    A folder that cannot be written gets them in a temporary one, for this process alone: then
    `kept` is False.
    """

    def __init__(self, tree: Path, size: int):
        self._tree, self._size = Path(tree), size
        self._folder, self.kept = _writable_folder(self._tree / FOLDER)
        self._damaged: Damaged = {}

    def __enter__(self) -> "DecodedImages":
        import filelock
        from tqdm import tqdm

        self._lock = filelock.FileLock(self._folder / "lock")
        try:
            self._lock.acquire(blocking=False)
        except filelock.Timeout:  # use its work
            tqdm.write(f"{self._tree}: another process decodes these images: waiting for it")
            self._lock.acquire()
        return self

    def __exit__(self, *error) -> None:
        self._lock.release()

    def still_damaged(self, files: Iterable[ImageFile]) -> Damaged:
        """Return those of `files` that could not be read the last time and cannot be read now."""
        noted = self._read_json("damaged.json", [])
        suspects = {name for name in noted if isinstance(name, str)}
        with without_warnings():
            found = {file: self._decode(file) for file in files if file.path in suspects}
        if suspects:
            self._note_damaged({f: cause for f, cause in found.items() if isinstance(cause, str)})
        return dict(self._damaged)

    def read(
        self, files: list[ImageFile], all_files: Iterable[ImageFile]
    ) -> tuple[np.memmap | None, Damaged]:
        """Return the images (N, 3, size, size), uint8, of `files` in their order, mapped read-only.

        When some of them are damaged: None and those, once all others are decoded. `all_files` is
        what the folder holds: array files of what it does not hold any more are removed.
        """
        path = self._path(files)
        shape = (len(files), 3, self._size, self._size)
        for known in (path, self._tree / FOLDER / path.name):  # the same, where it can be written
            images = _mapped(known, shape)
            if images is not None:
                return images, {}
        damaged = self._fill(path.with_suffix(".part"), files, shape)
        if damaged:
            return None, damaged
        os.replace(path.with_suffix(".part"), path)
        self._remove_superseded(path, set(files), set(all_files))
        return _mapped(path, shape), {}

    def remember(
        self, files: list[ImageFile], names: set[str], compute: Callable[[], dict[str, str]]
    ) -> dict[str, str]:
        """Return the texts, by `names`, that `compute` returned when first called for `files`."""
        name = self._path(files).with_suffix(".sums").name
        known = self._read_json(name, {})
        if known.keys() != names or not all(isinstance(text, str) for text in known.values()):
            known = compute()
            write_atomically(self._folder / name, json.dumps(known).encode())
        return known

    def _path(self, files: list[ImageFile]) -> Path:
        digest = hashlib.sha256(f"{VERSION} {self._size}".encode())
        for file in files:
            digest.update(json.dumps(file).encode())
        return self._folder / f"{self._size}px-{digest.hexdigest()[:16]}.npy"

    def _fill(self, part: Path, files: list[ImageFile], shape: tuple[int, ...]) -> Damaged:
        """Append the rows that `part` has not got yet; return the files that are damaged."""
        from tqdm import tqdm

        self._start(part, files)
        _check_space(part, int(np.prod(shape)))
        rows, damaged = self._rows_of_others(part, set(files)), {}
        with (
            open(part, "r+b") as target,
            _workers() as pool,
            tqdm(total=len(files), desc="decoding images", disable=None, unit="img") as bar,
            without_warnings(),
        ):
            done = _seek_end(target, shape)
            bar.update(done)
            step = _window(int(np.prod(shape[1:])))
            for start in range(done, len(files), step):
                window = files[start : start + step]
                block = bytearray()
                outcomes = pool.map(
                    lambda file: self._copy(rows, file) or self._decode(file), window
                )
                for file, pixels in zip(window, outcomes, strict=True):
                    if isinstance(pixels, str):
                        damaged[file] = pixels
                        pixels = bytes(3 * self._size**2)
                    block += pixels
                    bar.update()
                if not damaged.keys().isdisjoint(window):
                    self._note_damaged(damaged)
                    self._note_files(part, files, damaged)
                target.write(block)
        return damaged

    def _start(self, part: Path, files: list[ImageFile]) -> None:
        """Make an empty file of rows, unless there is one to continue."""
        names = part.with_suffix(".json")
        if part.exists() and self._files_of(names) != files:  # some were damaged
            for path in (part, names):
                with suppress(FileNotFoundError):
                    os.replace(path, path.with_stem(f"{part.stem}-old"))
        if not part.exists():
            self._note_files(part, files, {})
            part.touch()

    def _rows_of_others(
        self, part: Path, wanted: set[ImageFile]
    ) -> dict[ImageFile, tuple[Path, int]]:
        """Return where the other array files hold rows of the `wanted` files: path and offset."""
        rows, row_size = {}, 3 * self._size**2
        for names in self._others(part):
            for path in (names.with_suffix(".npy"), names.with_suffix(".part")):
                header = _header_size(path)
                if header is None:
                    continue
                whole = (path.stat().st_size - header) // row_size
                for row, file in enumerate(self._files_of(names)[:whole]):
                    if file in wanted:
                        rows[file] = path, header + row * row_size
        return rows

    def _copy(self, rows: dict[ImageFile, tuple[Path, int]], file: ImageFile) -> bytes | None:
        if file not in rows:
            return None
        path, offset = rows[file]
        with open(path, "rb") as source:
            source.seek(offset)
            return source.read(3 * self._size**2)

    def _decode(self, file: ImageFile) -> bytes | str:
        """Return the pixels of a file, or what is wrong with it."""
        try:
            return decode(self._tree / file.path, self._size).tobytes()
        except DamagedImageError as error:
            return str(error)

    def _remove_superseded(
        self, mine: Path, files: set[ImageFile], all_files: set[ImageFile]
    ) -> None:
        """Remove array files of what the folder does not hold any more, and of less than `mine`."""
        for names in self._others(mine):
            held = set(self._files_of(names))
            whole = names.with_suffix(".npy").exists()
            if not (whole and held <= all_files and not held <= files):
                for suffix in (".npy", ".part", ".json", ".sums"):
                    with suppress(OSError):  # another process may still read it
                        names.with_suffix(suffix).unlink()

    def _others(self, mine: Path) -> list[Path]:
        return [p for p in self._folder.glob(f"{self._size}px-*.json") if p.stem != mine.stem]

    def _note_files(self, part: Path, files: list[ImageFile], damaged: Damaged) -> None:
        """Write which file each row is made of; rows of damaged ones are of none."""
        known = [None if file in damaged else file for file in files]
        content = json.dumps({"version": VERSION, "files": known})
        write_atomically(part.with_suffix(".json"), content.encode())

    def _files_of(self, names: Path) -> list[ImageFile | None]:
        """Return what `_note_files` wrote; [] when it is damaged or of another version."""
        try:
            content = self._read_json(names.name, {})
            if content["version"] != VERSION:
                return []
            return [file and _image_file(*file) for file in content["files"]]
        except (KeyError, TypeError, ValueError):
            return []

    def _note_damaged(self, damaged: Damaged) -> None:
        self._damaged |= damaged
        content = json.dumps(sorted(file.path for file in self._damaged), indent=1)
        write_atomically(self._folder / "damaged.json", content.encode())

    def _read_json(self, name: str, default):
        """Return a file's content; `default` when it is missing, damaged or of another kind."""
        try:
            content = json.loads((self._folder / name).read_bytes())
        except (OSError, ValueError):  # it only saves time
            return default
        return content if isinstance(content, type(default)) else default


def _image_file(path: str, size: int, changed: int) -> ImageFile:
    return ImageFile(str(path), int(size), int(changed))


def _writable_folder(folder: Path) -> tuple[Path, bool]:
    try:
        folder.mkdir(exist_ok=True)
        open(folder / "lock", "ab").close()  # the first who decoded here may be its only owner
        with tempfile.TemporaryFile(dir=folder):
            return folder, True
    except OSError:
        temporary = Path(tempfile.mkdtemp(prefix="decoded-"))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        return temporary, False


@contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    """Yield a thread for each core; decoding releases the interpreter's lock.

    Processes would each import the script that runs, and PyTorch with it, before their first image.
    """
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _check_space(part: Path, size: int) -> None:
    """Raise UserError when the disc has no room for `part` to grow to `size` bytes."""
    missing, free = size - part.stat().st_size, shutil.disk_usage(part.parent).free
    if missing > free:
        raise UserError(
            f"{part.parent}: the decoded images need {missing / 1e6:,.1f} MB more, and"
            f" {free / 1e6:,.1f} MB are free: free some space, or use fewer or smaller images"
        )


def _window(row_bytes: int) -> int:
    """Return how many images to decode before writing."""
    return max(2 * (os.cpu_count() or 1), min(_WINDOW, _WINDOW_BYTES // row_bytes))


def _seek_end(file: BinaryIO, shape: tuple[int, ...]) -> int:
    """Go behind the header and the last whole row of an array file; return the number of rows."""
    about = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    header, row = file.tell(), int(np.prod(shape[1:]))
    done = max(0, file.seek(0, os.SEEK_END) - header) // row
    file.truncate(file.seek(header + done * row))
    return done


def _header_size(path: Path) -> int | None:
    """Return where the rows of an array file begin; None when it is missing or damaged."""
    try:
        with open(path, "rb") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            return file.tell()
    except (OSError, ValueError):
        return None


def _mapped(path: Path, shape: tuple[int, ...]) -> np.memmap | None:
    """Return the array file at `path`, mapped; None when it is missing, damaged or another."""
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return images if images.shape == shape and images.dtype == np.uint8 else None
