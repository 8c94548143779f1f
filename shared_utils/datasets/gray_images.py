"""Image data for the NumPy sections: loaded, checked, split.

Three parts are kept apart for three uses: the training set to learn from, the validation set to
choose by, the test set to report on, once, when nothing is left to be chosen.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared_utils.datasets import mnist
from shared_utils.datasets.download import DownloadError
from shared_utils.errors import UserError

CLASSES = 10
SPLIT_SEED = 0  # a constant: the split belongs to the data set, not to a run


@dataclass(frozen=True)
class ImageData:
    """Grey images (N, 1, 28, 28), float32 in [0, 1], and labels (N,), int64, in three parts."""

    name: str  # the data set really used: "mnist" or "digits"
    source: str  # where it came from
    notice: str  # "" or one line for the user: what was used in place of what was wished for
    digest: str  # SHA-256 over all arrays, as used
    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @property
    def title(self) -> str:
        """How a figure's title names the data."""
        names = {"mnist": "MNIST", "digits": "scikit-learn digits, not MNIST"}
        return names[self.name]

    def describe(self) -> dict:
        """Return what `config.json` says of the data."""
        parts = {"train": self.y_train, "val": self.y_val, "test": self.y_test}
        return {
            "name": self.name,
            "source": self.source,
            "notice": self.notice,
            "sha256": self.digest,
            "sizes": {part: len(labels) for part, labels in parts.items()},
        }


def load_image_data(dataset: str, data_dir: Path, limit: int | None = None) -> ImageData:
    """Load `dataset` ("auto", "mnist" or "digits") and split it, stratified by class.

    MNIST: 55,000 / 5,000 / 10,000, where the test set is the canonical one. digits: scikit-learn's
    1,797 real 8x8 digits, enlarged to 20x20 and framed to 28x28 as MNIST's are: 1,257 / 180 / 360.
    `limit` keeps at most so many training images. Raises UserError when "mnist" cannot be had, or
    when a file is not MNIST's.
    """
    notice = ""
    if dataset == "digits":
        source, (x, y), (x_test, y_test) = _digits()
        name, n_val = "digits", 180
    else:
        try:
            source, (x, y), (x_test, y_test) = _mnist(data_dir)
            name, n_val = "mnist", 5000
        except DownloadError as error:
            tried = f"MNIST is not in {mnist.raw_folder(data_dir)} and OpenML failed ({error})"
            if dataset == "mnist":
                raise UserError(
                    f"{tried}: put the four IDX files there, or use --dataset digits"
                ) from error
            source, (x, y), (x_test, y_test) = _digits()
            name, n_val = "digits", 180
            notice = f"{tried}: using scikit-learn's small digits instead"
    x, x_val, y, y_val = _stratified(x, y, n_val)
    if limit is not None and limit < len(y):
        if limit < CLASSES:
            raise UserError(f"--limit must be at least {CLASSES}, one image per class")
        # Fewer images than classes cannot be left out in proportion; their order is random by now.
        few = len(y) - limit < CLASSES
        x, y = (x[:limit], y[:limit]) if few else _stratified(x, y, len(y) - limit)[::2]
    digest = hashlib.sha256()
    for array in (x, y, x_val, y_val, x_test, y_test):
        digest.update(np.ascontiguousarray(array))
    arrays = _scaled(x), y, _scaled(x_val), y_val, _scaled(x_test), y_test
    return ImageData(name, source, notice, digest.hexdigest(), *arrays)


def _mnist(data_dir: Path) -> tuple:
    arrays = mnist.read_local(data_dir)
    source = str(mnist.raw_folder(data_dir))
    if arrays is None:
        arrays = mnist.download(data_dir)
        source = "OpenML, mnist_784 version 1"
    x, y, x_test, y_test = arrays.values()
    return source, (x, y.astype(np.int64)), (x_test, y_test.astype(np.int64))


def _digits() -> tuple:
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    enlarged = zoom(images.reshape(-1, 8, 8) * (255 / 16), (1, 2.5, 2.5), order=1).round()
    framed = np.pad(enlarged.astype(np.uint8), ((0, 0), (4, 4), (4, 4)))
    x, x_test, y, y_test = _stratified(framed, labels.astype(np.int64), 360)
    return "scikit-learn's load_digits", (x, y), (x_test, y_test)


def _stratified(x: np.ndarray, y: np.ndarray, held_out: int) -> list[np.ndarray]:
    """Return x, x_held_out, y, y_held_out with equal shares of every class."""
    from sklearn.model_selection import train_test_split

    return train_test_split(x, y, test_size=held_out, stratify=y, random_state=SPLIT_SEED)


def _scaled(images: np.ndarray) -> np.ndarray:
    """Return uint8 images (N, 28, 28) as float32 in [0, 1] with a channel axis (N, 1, 28, 28)."""
    return np.multiply(images[:, None], np.float32(1 / 255), dtype=np.float32)
