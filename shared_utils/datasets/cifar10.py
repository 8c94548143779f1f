"""CIFAR-10 in torchvision's layout: read from disk and verified, or fetched once.

The published files are Python pickles, and a pickle can run any code when it is loaded. So a file
is unpickled only when it has the published MD5 digest.

Source of the data: Krizhevsky (2009), "Learning multiple layers of features from tiny images".
"""

import hashlib
import pickle
import tarfile
import zlib
from pathlib import Path

import numpy as np

from shared_utils.datasets.download import check_answer, fetch
from shared_utils.errors import UserError

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"
# `pixel_digest` of the published images, in whatever files and order
PIXELS = "b86af1df796f5ab47040ea68ef99f7e224f46cb1c94a05c0c89442dc38d7224d"
FOLDER, ARCHIVE = "cifar-10-batches-py", "cifar-10-python.tar.gz"
CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip

# file name: MD5, as published
TRAIN_FILES = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
}
TEST_FILES = {"test_batch": "40351d587109b95175f43aff81a1287e"}

Part = tuple[np.ndarray, np.ndarray]  # images (N, 3, 32, 32), uint8, and labels (N,), int64


def named(data_dir: Path, name: str) -> Path:
    """Return the folder `name` in `data_dir`, or `data_dir` itself when it is that folder."""
    inside = Path(data_dir) / name
    itself = Path(data_dir).resolve().name == name and not inside.exists()
    return Path(data_dir) if itself else inside


def read_local(data_dir: Path) -> tuple[str, Part, Part] | None:
    """Return source, training part and test part from `data_dir`, or None when they are not there.

    `data_dir` holds the archive or its folder, or is that folder.
    Raises UserError, naming the file, when one is damaged or not the published one.
    """
    folder, archive = named(data_dir, FOLDER), Path(data_dir) / ARCHIVE
    if folder.is_dir():
        return str(folder), *_parts(lambda name: _read(folder / name), folder)
    if archive.is_file():
        try:
            with tarfile.open(archive) as tar:
                return str(archive), *_parts(lambda name: _member(tar, name), archive)
        except (tarfile.TarError, EOFError, zlib.error, KeyError, OSError) as error:
            reason = str(error).splitlines()[0].rstrip(":")
            raise UserError(
                f"{archive} is damaged ({reason}): delete and fetch it again"
            ) from error
    return None


def download(data_dir: Path) -> tuple[str, Part, Part]:
    """Fetch the archive (170 MB) into `data_dir`, whole or not at all, and read it.

    Raises DownloadError when there is no network, or when it fails.
    """
    Path(data_dir).mkdir(parents=True, exist_ok=True)
    check_answer(URL)
    fetch(URL, Path(data_dir) / ARCHIVE, "md5", MD5)
    return read_local(data_dir)


def _parts(read, where: Path) -> tuple[Part, Part]:
    parts = []
    for files in (TRAIN_FILES, TEST_FILES):
        loaded = [_batch(read(name), md5, where / name) for name, md5 in files.items()]
        parts.append(tuple(np.concatenate(arrays) for arrays in zip(*loaded, strict=True)))
    return tuple(parts)


def _batch(content: bytes, md5: str, path: Path) -> Part:
    if hashlib.md5(content).hexdigest() != md5:
        raise UserError(
            f"{path} does not have the published MD5 digest {md5}: delete and fetch it again"
        )
    batch = pickle.loads(content, encoding="bytes")  # safe: the published file, byte for byte
    return batch[b"data"].reshape(-1, 3, 32, 32), np.array(batch[b"labels"], np.int64)


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    return tar.extractfile(f"{FOLDER}/{name}").read()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): fetch it again") from error
