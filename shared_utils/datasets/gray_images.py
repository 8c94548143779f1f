"""Grey image data for the NumPy sections: loaded, checked, split.

Three parts are kept apart for three uses: the training set to learn from, the validation set to
choose by, the test set to report on, once, when nothing is left to be chosen.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared_utils.datasets import mnist
from shared_utils.datasets.digests import array_digest
from shared_utils.datasets.download import DownloadError
from shared_utils.datasets.idx_folder import read_idx_folder
from shared_utils.datasets.images import Images
from shared_utils.datasets.names import printable, shortened
from shared_utils.datasets.splits import Limit, check_class_sizes, hold_out
from shared_utils.errors import UserError

CLASSES = 10  # of digits


@dataclass(frozen=True)
class ImageData(Images[np.ndarray]):
    """Grey images (N, 1, H, W), float32 in [0, 1]: "mnist", "digits" or "idx"."""

    @property
    def title(self) -> str:
        """How a figure's title names the data."""
        names = {"mnist": "MNIST", "digits": "scikit-learn digits, not MNIST"}
        return names.get(self.name) or shortened(Path(self.source).name)


def load_image_data(dataset: str, data_dir: Path, limit: int | None = None) -> ImageData:
    """Load `dataset` ("auto", "mnist", "digits" or "idx") and split it, stratified by class.

    MNIST: 55,000 / 5,000 / 10,000, where the test set is the canonical one. digits: scikit-learn's
    1,797 real 8x8 digits, enlarged to 20x20 and framed to 28x28 as MNIST's are: 1,257 / 180 / 360.
    idx: the four IDX files in `data_dir`, a twelfth of whose training images validates. `limit`
    keeps at most so many training images. Raises UserError when the data cannot be had or used.
    """
    if dataset not in ("auto", "mnist", "digits", "idx"):
        raise UserError(f"there is no data set {dataset!r}: choose auto, mnist, digits or idx")
    notice, classes = "", tuple(map(str, range(CLASSES)))
    if dataset == "idx":
        source = str(Path(data_dir).resolve())
        classes, (x, y), test = read_idx_folder(data_dir)
        check_class_sizes(y, classes, 2, source)
        name, n_val = dataset, max(len(y) // 12, len(classes))
    elif dataset == "digits":
        name, source, (x, y), test, n_val = _digits()
    else:
        try:
            name, source, (x, y), test, n_val = _mnist(data_dir)
        except DownloadError as error:
            tried = f"MNIST is not in {_place(data_dir)}, and its download failed ({error})"
            if dataset == "mnist":
                raise UserError(
                    f"{tried}: put the four IDX files there, or use --dataset digits"
                ) from error
            name, source, (x, y), test, n_val = _digits()
            notice = f"{tried}: using scikit-learn's small digits instead"
    kept, held = hold_out(y, n_val)
    x_val, y_val, x, y = x[held], y[held], x[kept], y[kept]
    if limit is not None:
        chosen = _limited(y, Limit(limit), len(classes))
        x, y = x[chosen], y[chosen]
    digest = array_digest((x, y, x_val, y_val, *test))
    arrays = _scaled(x), y, _scaled(x_val), y_val, _scaled(test[0]), test[1]
    return ImageData(name, printable(source), notice, digest, classes, *arrays)


def _mnist(data_dir: Path) -> tuple:
    source, arrays = mnist.read_local(data_dir) or mnist.download(data_dir)
    x, y, x_test, y_test = arrays.values()
    return "mnist", source, (x, y.astype(np.int64)), (x_test, y_test.astype(np.int64)), 5000


def _place(data_dir: Path) -> str:
    """Return MNIST's folder, and what is missing in it if only some files are."""
    _, missing = mnist.find_files(data_dir)
    some = len(missing) < len(mnist.FILES)
    absent = f" ({' and '.join(missing)} missing)" if some else ""
    return f"{mnist.raw_folder(data_dir)}{absent}"


def _digits() -> tuple:
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    enlarged = zoom(images.reshape(-1, 8, 8) * (255 / 16), (1, 2.5, 2.5), order=1).round()
    framed = np.pad(enlarged.astype(np.uint8), ((0, 0), (4, 4), (4, 4)))
    y = labels.astype(np.int64)
    train, test = hold_out(y, 360)
    source = "scikit-learn's load_digits"
    return "digits", source, (framed[train], y[train]), (framed[test], y[test]), 180


def _limited(y: np.ndarray, limit: Limit, classes: int) -> np.ndarray:
    limit.check(classes)
    left_out = len(y) - limit.count
    return hold_out(y, left_out)[0] if left_out >= classes else limit.choose("train", y)


def _scaled(images: np.ndarray) -> np.ndarray:
    """Return uint8 images (N, H, W) as float32 in [0, 1] with a channel axis, (N, 1, H, W)."""
    return np.multiply(images[:, None], np.float32(1 / 255), dtype=np.float32)
