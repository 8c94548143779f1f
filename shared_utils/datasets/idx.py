"""IDX files, the format of MNIST and its relatives: read only when they are whole.

A magic number (zero, zero, the type of the values, the number of dimensions), the sizes as
big-endian 32-bit integers, then one byte per value. Never more bytes are read than the sizes need,
whatever a header or a gzip stream may claim. Whether a file is gzipped is seen in its first bytes:
some browsers unzip what they fetch and keep the name.
"""

import gzip
import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np

from shared_utils.errors import UserError

_UNSIGNED_BYTES = 0x08  # the type of the values, the third byte
_MAX_DIMENSIONS = 3
_GZIP_MAGIC = b"\x1f\x8b"
_DEFLATE_RATIO = 1032  # a gzip file cannot hold more than so many times its size
_REMEDY = "delete it and fetch it again"
_IF_OWN = "fetch it again, or use --dataset idx if it is your own"


def encode_idx(array: np.ndarray) -> bytes:
    """Return a uint8 array as the bytes of an IDX file."""
    return header(array.shape) + array.tobytes()


def header(shape: tuple[int, ...]) -> bytes:
    """Return the first bytes of the IDX file of a uint8 array of this shape."""
    return struct.pack(f">{1 + len(shape)}I", _UNSIGNED_BYTES << 8 | len(shape), *shape)


def read_idx(path: Path, shape: tuple[int, ...], md5: str = "") -> np.ndarray:
    """Return the uint8 array of `shape` that the IDX file at `path` (gzipped or not) holds.

    Raises UserError, naming the file, when it is truncated, corrupt, of another shape, or when its
    content does not have the digest `md5`, if one is given.
    """
    begin = header(shape)
    size = len(begin) + int(np.prod(shape))
    content = _read(path, size + 1)
    if not content.startswith(begin):
        raise UserError(f"{path} is not the IDX file of {_by(shape)} bytes expected: {_IF_OWN}")
    if len(content) != size:
        kind = "longer" if len(content) > size else "shorter"
        raise UserError(f"{path} is {kind} than its header says ({_by(shape)}): {_REMEDY}")
    if md5 and hashlib.md5(content).hexdigest() != md5:
        raise UserError(f"{path} does not have the published MD5 digest {md5}: {_IF_OWN}")
    return np.frombuffer(content, np.uint8, offset=len(begin)).reshape(shape)


def read_shape(path: Path) -> tuple[int, ...]:
    """Return the shape that the IDX file at `path` (gzipped or not) claims to hold.

    Raises UserError, naming the file, when it is not an IDX file of unsigned bytes, or claims
    more than a file of its size can hold.
    """
    begin = _read(path, 4 + 4 * _MAX_DIMENSIONS)
    if len(begin) < 4 or begin[:2] != b"\0\0":
        raise UserError(f"{path} is not an IDX file: {_REMEDY}")
    kind, dimensions = begin[2:4]
    if kind != _UNSIGNED_BYTES or not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise UserError(
            f"{path} holds values of type 0x{kind:02x} in {dimensions} dimensions: images and"
            f" labels are unsigned bytes (0x{_UNSIGNED_BYTES:02x}) in 3 and 1 dimensions"
        )
    if len(begin) < 4 + 4 * dimensions:
        raise UserError(f"{path} ends within its header: {_REMEDY}")
    shape = struct.unpack(f">{dimensions}I", begin[4 : 4 + 4 * dimensions])
    most = path.stat().st_size * (_DEFLATE_RATIO if _is_zipped(path) else 1)
    if int(np.prod(shape, dtype=object)) > most:
        raise UserError(f"{path} is shorter than its header says ({_by(shape)}): {_REMEDY}")
    return shape


def _read(path: Path, size: int) -> bytes:
    """Return the first `size` bytes of a file, unzipped if it is gzipped."""
    try:
        opener = gzip.open if _is_zipped(path) else open
        with opener(path, "rb") as file:
            return file.read(size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is truncated or corrupt ({error}): {_REMEDY}") from error
    except PermissionError as error:
        raise UserError(f"{path} cannot be read: change its permissions") from error


def _is_zipped(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == _GZIP_MAGIC


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
