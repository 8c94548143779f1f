"""MNIST's four files: read from disk with suspicion, or fetched once from OpenML.

The files are the original ones (LeCun, Cortes and Burges) in the IDX format: a magic number, the
sizes as big-endian 32-bit integers, then one byte per value. Whatever their source, they must have
the published sizes and MD5 digests, so a damaged or foreign file can never be trained on.
"""

import gzip
import hashlib
import socket
import struct
import tempfile
import urllib.request
import warnings
import zlib
from pathlib import Path

import numpy as np

from shared_utils.datasets.download import DownloadError, check_answer
from shared_utils.errors import UserError
from shared_utils.files import write_atomically

# file name: (shape, MD5 of the unzipped file)
FILES = {
    "train-images-idx3-ubyte": ((60000, 28, 28), "6bbc9ace898e44ae57da46a324031adb"),
    "train-labels-idx1-ubyte": ((60000,), "a25bea736e30d166cdddb491f175f624"),
    "t10k-images-idx3-ubyte": ((10000, 28, 28), "2646ac647ad5339dbf082846283269ea"),
    "t10k-labels-idx1-ubyte": ((10000,), "27ae3e4e09519cfbb04c329615203637"),
}


def raw_folder(data_dir: Path) -> Path:
    """Return the folder of the IDX files below `data_dir`, in the layout of torchvision."""
    return Path(data_dir) / "MNIST" / "raw"


def encode_idx(array: np.ndarray) -> bytes:
    """Return a uint8 array as the bytes of an IDX file."""
    magic = 0x0800 | array.ndim  # 0x08: unsigned bytes
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.tobytes()


def read_idx(path: Path, shape: tuple[int, ...], md5: str) -> np.ndarray:
    """Return the uint8 array of `shape` that the IDX file at `path` (gzipped or not) holds.

    Never more bytes are read than `shape` needs, whatever the header or a gzip stream may claim.
    Raises UserError, naming the file, when it is truncated, corrupt, of another shape, or when its
    content does not have the digest `md5`.
    """
    remedy = "delete it and fetch it again"
    size = 4 + 4 * len(shape) + int(np.prod(shape))
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            content = file.read(size + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is truncated or corrupt ({error}): {remedy}") from error
    header = encode_idx(np.empty(shape, np.uint8))[: 4 + 4 * len(shape)]
    if not content.startswith(header):
        raise UserError(f"{path} is not the IDX file of {_by(shape)} bytes expected: {remedy}")
    if len(content) != size:
        kind = "longer" if len(content) > size else "shorter"
        raise UserError(f"{path} is {kind} than its header says ({_by(shape)}): {remedy}")
    if hashlib.md5(content).hexdigest() != md5:
        raise UserError(f"{path} does not have the published MD5 digest {md5}: {remedy}")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)


def read_local(data_dir: Path) -> dict[str, np.ndarray] | None:
    """Return MNIST's arrays by file name from `data_dir`, or None when a file is not there."""
    found = {}
    for name in FILES:
        candidates = [raw_folder(data_dir) / name, raw_folder(data_dir) / f"{name}.gz"]
        found[name] = next((path for path in candidates if path.is_file()), None)
    if None in found.values():
        return None
    return {name: read_idx(path, *FILES[name]) for name, path in found.items()}


def download(data_dir: Path) -> dict[str, np.ndarray]:
    """Fetch MNIST from OpenML, keep it under `data_dir` as IDX files, and return the arrays.

    Raises DownloadError without a network, UserError when what arrives is not MNIST.
    """
    raw_folder(data_dir).mkdir(parents=True, exist_ok=True)  # a folder that cannot be: say so first
    images, labels = _fetch_openml()
    train = len(labels) - FILES["t10k-labels-idx1-ubyte"][0][0]
    parts = [images[:train], labels[:train], images[train:], labels[train:]]
    arrays = dict(zip(FILES, parts, strict=True))
    contents = {name: encode_idx(array) for name, array in arrays.items()}
    for name, content in contents.items():
        if hashlib.md5(content).hexdigest() != FILES[name][1]:
            raise UserError(f"OpenML's {name} does not have MNIST's published digest: try later")
    for name, content in contents.items():
        write_atomically(raw_folder(data_dir) / name, content)
    return arrays


def _fetch_openml() -> tuple[np.ndarray, np.ndarray]:
    """Return MNIST's 70,000 images and labels as uint8, by scikit-learn's `fetch_openml`."""
    from sklearn.datasets import fetch_openml

    check_answer("https://api.openml.org")
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)  # scikit-learn sets none: a stalled download would wait for ever
    urllib.request.install_opener(urllib.request.build_opener(_ProgressBar()))
    try:
        with tempfile.TemporaryDirectory() as cache, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its retries: what became of them is told below
            # The pandas parser: the pure-Python one takes gigabytes and half a minute.
            x, y = fetch_openml(
                "mnist_784",
                version=1,
                return_X_y=True,
                as_frame=False,
                parser="pandas",
                data_home=cache,
                n_retries=1,
            )
    except Exception as error:  # a download can fail in many ways
        raise DownloadError(f"{type(error).__name__}: {error}".splitlines()[0]) from error
    finally:
        socket.setdefaulttimeout(patience)
        urllib.request.install_opener(None)
    return x.astype(np.uint8).reshape(-1, 28, 28), y.astype(np.uint8)


class _ProgressBar(urllib.request.BaseHandler):
    """Shows the progress of the data file."""

    def https_response(self, request, response):
        from tqdm import tqdm

        if "/download/" in request.full_url:
            length = response.headers.get("Content-Length")
            bar = tqdm(
                desc="MNIST from OpenML",
                total=int(length) if length else None,
                unit="B",
                unit_scale=True,
            )
            read = response.read

            def read_and_show(*size):
                chunk = read(*size)
                bar.update(len(chunk))
                return chunk

            response.read = read_and_show
        return response

    http_response = https_response


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
