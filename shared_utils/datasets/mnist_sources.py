"""Where MNIST comes from: OpenML, and when that fails, the mirror that torchvision names first.

OpenML keeps the images as a table of text, one image a line; the mirror has the original files,
gzipped. Both are turned into the original files' bytes, which are then held to the same digests.
"""

import json
import zlib
from collections.abc import Iterator

import numpy as np

from shared_utils.datasets.download import DownloadError, check_answer, receive
from shared_utils.datasets.idx import encode_idx, header

OPENML = "https://api.openml.org/api/v1/json/data/554"  # mnist_784, version 1
MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"

Shapes = dict[str, tuple[int, ...]]  # of each file by name: train images, labels, test images, ...


def from_openml(shapes: Shapes) -> dict[str, bytes]:
    """Return the IDX files' bytes by name, made of OpenML's table.

    The table has the training images first. Raises DownloadError.
    """
    check_answer(OPENML)
    try:
        about = json.loads(b"".join(receive(OPENML)))
        url = about["data_set_description"]["url"]
    except (ValueError, KeyError, TypeError) as error:
        raise DownloadError("its answer does not describe the data set") from error
    sizes = list(shapes.values())
    rows, pixels = sizes[0][0] + sizes[2][0], int(np.prod(sizes[0][1:]))
    table = _table(_lines(receive(url, "MNIST from OpenML", packed=True)), rows, pixels + 1)
    arrays, start = {}, 0
    for name, shape in shapes.items():
        part = table[start : start + shape[0]]
        arrays[name] = part[:, :-1].reshape(shape) if len(shape) == 3 else part[:, -1]
        start += shape[0] if len(shape) == 1 else 0  # images and their labels share rows
    return {name: encode_idx(array) for name, array in arrays.items()}


def from_mirror(shapes: Shapes) -> dict[str, bytes]:
    """Return the IDX files' bytes by name, unzipped from the mirror's. Raises DownloadError."""
    check_answer(MIRROR)
    contents = {}
    for name, shape in shapes.items():
        packed = b"".join(receive(f"{MIRROR}{name}.gz", name))
        size = len(header(shape)) + int(np.prod(shape))
        try:
            contents[name] = zlib.decompressobj(wbits=31).decompress(packed, size + 1)
        except zlib.error as error:
            raise DownloadError(f"its {name}.gz is not a gzip file ({error})") from error
    return contents


SOURCES = {"OpenML, mnist_784 version 1": from_openml, MIRROR: from_mirror}


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the whole lines of a stream."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    yield rest


def _table(lines: Iterator[bytes], rows: int, columns: int) -> np.ndarray:
    """Return the data of an ARFF file: (rows, columns), uint8.

    After a line "@DATA", each line is a row of numbers with commas between them.
    """
    table, row = np.empty((rows, columns), np.uint8), 0
    for line in lines:
        if line.strip().lower() == b"@data":
            break
    for line in lines:
        if not line.strip() or line.startswith(b"%"):
            continue
        try:
            table[row] = np.array(line.replace(b"'", b"").split(b","), np.float64)
        except (ValueError, IndexError) as error:
            raise DownloadError(f"row {row + 1} of its table is not one of MNIST's") from error
        row += 1
    if row < rows:
        raise DownloadError(f"its table has {row:,} rows, not {rows:,}")
    return table
