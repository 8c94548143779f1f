"""Folders of images, one subfolder a class: decoded once, kept as one array file.

Decoding a JPEG costs more than a training step spends on it. So every file is decoded, squared and
shrunk once, and the arrays are kept beside the folder, with a digest of the listing (paths, sizes,
times of change): when a file is added, removed or changed, the arrays are made anew.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np

from shared_utils.errors import UserError
from shared_utils.files import write_atomically

_VERSION = 2  # of what `decode` makes of a file: arrays of an earlier version are made anew
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_LAYOUT = "expected <folder>/<class>/<image>, with two classes or more"


def read_class_folder(
    folder: Path, size: int, cache: Path, classes: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return images (N, 3, size, size), uint8, labels (N,), int64, and the names of the classes.

    The classes are the subfolders in alphabetical order, and must be `classes` when these are
    given. `cache` is the array file; a folder that cannot be written just gets none. Raises
    UserError, naming the path, for fewer than two classes, an empty class, or an image that cannot
    be read.
    """
    folder, files = Path(folder), []
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: {_LAYOUT}")
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    if len(names) < 2:
        raise UserError(f"{folder} holds fewer than two class folders: {_LAYOUT}")
    if classes is not None and names != list(classes):
        odd = sorted(set(names).symmetric_difference(classes))
        raise UserError(f"{folder} does not have the classes of the training images: see {odd}")
    for label, name in enumerate(names):
        found = sorted(p for p in (folder / name).rglob("*") if p.suffix.lower() in SUFFIXES)
        if not found:
            raise UserError(f"{folder / name} holds no image: add some, or remove the folder")
        files += [(path, label) for path in found]

    labels = np.array([label for _, label in files], np.int64)
    digest = _listing_digest(folder, [path for path, _ in files], size)
    images = _read_cache(cache, digest)
    if images is None:
        images = _decode_all([path for path, _ in files], size)
        _write_cache(cache, digest, images)
    return images, labels, names


def decode(path: Path, size: int) -> np.ndarray:
    """Return the middle square of the image at `path`, scaled to (3, size, size), RGB, uint8.

    The image is turned as its camera says (EXIF); 16-bit greys are scaled. Raises UserError, naming
    the file, when it is missing, no readable image, or has pixels of an unknown range.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):  # `convert` would clip all above 255 to white
                upright = Image.fromarray((np.asarray(upright) // 256).astype(np.uint8))
            if upright.mode in ("I", "F"):
                raise UserError(
                    f"{path} has pixels of 32 bits (mode {upright.mode}), whose range nothing"
                    " tells: save it with 8 or 16 bits"
                )
            rgb = upright.convert("RGB")
            if rgb.size != (size, size):
                rgb = ImageOps.fit(rgb, (size, size), Image.Resampling.BILINEAR)
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: put it back, or remove the link to it") from error
    except Exception as error:  # a damaged image can raise nearly anything
        raise UserError(f"{path} cannot be read as an image: replace or remove it") from error
    return np.asarray(rgb).transpose(2, 0, 1)


def _decode_all(paths: list[Path], size: int) -> np.ndarray:
    from tqdm import tqdm

    images = np.empty((len(paths), 3, size, size), np.uint8)
    for i, path in enumerate(tqdm(paths, "decoding images", disable=None, unit="img")):
        images[i] = decode(path, size)
    return images


def _listing_digest(folder: Path, paths: list[Path], size: int) -> str:
    digest = hashlib.sha256(f"{_VERSION} {size}".encode())
    for path in paths:
        try:
            about = path.stat()
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}): remove it") from error
        line = [str(path.relative_to(folder)), about.st_size, about.st_mtime_ns]
        digest.update(json.dumps(line).encode())
    return digest.hexdigest()


def _read_cache(cache: Path, digest: str) -> np.ndarray | None:
    """Return the images when the file is there, whole, and made from this very listing."""
    try:
        with np.load(cache, allow_pickle=False) as arrays:
            if str(arrays["digest"]) == digest:
                return arrays["images"]
    except Exception:  # missing, damaged, foreign: the remedy is the same, decode again
        pass
    return None


def _write_cache(cache: Path, digest: str, images: np.ndarray) -> None:
    buffer = BytesIO()
    np.savez(buffer, digest=digest, images=images)
    with suppress(OSError):  # it only saves time: a read-only folder is no reason to stop
        write_atomically(cache, buffer.getbuffer())
