"""MNIST's four files: read from disk and verified, or fetched once from one of two sources.

The files are the original ones (LeCun, Cortes and Burges) in the IDX format. Whatever their source
and however they are called, they must have the published sizes and MD5 digests, so a damaged or
foreign file can never be trained on.
"""

import hashlib
from pathlib import Path

import numpy as np

from shared_utils.datasets import mnist_sources
from shared_utils.datasets.download import DownloadError
from shared_utils.datasets.idx import header, read_idx
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


def find_files(data_dir: Path) -> tuple[dict[str, Path], list[str]]:
    """Return where MNIST's files are, by their names in FILES, and which of them are missing.

    They are looked for in `<data_dir>/MNIST/raw`, `<data_dir>/MNIST` and `data_dir` itself, gzipped
    or not, with a hyphen before "idx" or with the dot that mirrors put there.
    """
    found = {}
    for folder in (raw_folder(data_dir), Path(data_dir) / "MNIST", Path(data_dir)):
        for name in FILES:
            spellings = (name, name.replace("-idx", ".idx"))
            paths = [folder / f"{spelling}{end}" for spelling in spellings for end in ("", ".gz")]
            here = next((path for path in paths if path.is_file()), None)
            if here:
                found.setdefault(name, here)
    return found, [name for name in FILES if name not in found]


def read_local(data_dir: Path) -> tuple[str, dict[str, np.ndarray]] | None:
    """Return the folder and MNIST's arrays by file name, or None when a file is not there."""
    found, missing = find_files(data_dir)
    if missing:
        return None
    arrays = {name: read_idx(found[name], *FILES[name]) for name in FILES}
    return str(found[next(iter(FILES))].parent), arrays


def download(data_dir: Path) -> tuple[str, dict[str, np.ndarray]]:
    """Fetch MNIST, keep it under `data_dir` as IDX files, and return its source and the arrays.

    Raises DownloadError, with each source's reason, when none of them delivers MNIST.
    """
    raw_folder(data_dir).mkdir(parents=True, exist_ok=True)  # a folder that cannot be: say so first
    failures = []
    for source, fetch in mnist_sources.SOURCES.items():
        try:
            contents = fetch({name: shape for name, (shape, _) in FILES.items()})
            arrays = {name: _verified(name, content) for name, content in contents.items()}
        except DownloadError as error:
            failures.append(f"{source}: {error}")
            continue
        for name, content in contents.items():
            write_atomically(raw_folder(data_dir) / name, content)
        return source, arrays
    raise DownloadError("; ".join(failures))


def _verified(name: str, content: bytes) -> np.ndarray:
    shape, md5 = FILES[name]
    if hashlib.md5(content).hexdigest() != md5:
        raise DownloadError(f"its {name} does not have the published MD5 digest {md5}")
    return np.frombuffer(content, np.uint8, offset=len(header(shape))).reshape(shape)
