"""Colour images for the PyTorch section, whole in memory as bytes, in three parts.

Images stay uint8 until a batch is transformed, on the device that trains: a quarter of the memory
of float32, no worker processes, and a GPU never waits for a decoder. `photo-digits` needs no
network: digits blended with photographs, |photo - digit|, the recipe of MNIST-M (Ganin et al. 2016,
"Domain-adversarial training of neural networks", section 5.2.4).
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from shared_utils.datasets import cifar10
from shared_utils.datasets.download import DownloadError
from shared_utils.datasets.image_folder import read_class_folder
from shared_utils.errors import UserError
from shared_utils.seed import stream

IMAGE_DATASETS = {
    "auto": "CIFAR-10 where it is on disk or can be downloaded, else photo-digits",
    "cifar10": "60,000 photographs, 32x32, 10 classes",
    "folder": "your own images, <data-dir>/{train,test}/<class>/* or <data-dir>/<class>/*",
    "photo-digits": "1,797 digits blended with photographs, 32x32, offline",
}
_JPEG = ", JPEG files"  # lossy: results on such a copy are not those of the published images
SPLIT_SEED = 0  # a constant: the split belongs to the data set, not to a run


@dataclass(frozen=True)
class TorchData:
    """Images (N, 3, H, W), uint8, and labels (N,), int64, in three parts, on the CPU."""

    name: str  # the data set really used: "cifar10", "folder" or "photo-digits"
    source: str  # where it came from
    notice: str  # "" or one line for the user: what was used in place of what was wished for
    digest: str  # SHA-256 over all arrays, as used
    classes: tuple[str, ...]
    x_train: Tensor
    y_train: Tensor
    x_val: Tensor
    y_val: Tensor
    x_test: Tensor
    y_test: Tensor

    @property
    def title(self) -> str:
        """How a figure's title names the data."""
        if self.name == "folder":
            return Path(self.source).name
        if self.name == "photo-digits":
            return "photo-digits, not CIFAR-10"
        return "CIFAR-10" + (" (JPEG copy)" if self.source.endswith(_JPEG) else "")

    def describe(self) -> dict:
        """Return what `config.json` says of the data."""
        sizes = {"train": self.y_train, "val": self.y_val, "test": self.y_test}
        return {
            "name": self.name,
            "source": self.source,
            "notice": self.notice,
            "sha256": self.digest,
            "classes": list(self.classes),
            "sizes": {part: len(labels) for part, labels in sizes.items()},
        }

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return each channel's mean and deviation over the training part, (3,), in [0, 1]."""
        channels = self.x_train.transpose(0, 1).flatten(1)
        counts = torch.stack([torch.bincount(c, minlength=256) for c in channels]).double()
        shares = counts / channels.shape[1]
        values = torch.arange(256, dtype=torch.float64) / 255
        mean = shares @ values
        std = (shares @ values**2 - mean**2).clamp(min=1e-12).sqrt()
        return mean.float(), std.float()

    def fraction(self, share: float) -> Tensor:
        """Return the indices of `share` of the training part, stratified, one a class at least."""
        keep = max(len(self.classes), round(share * len(self.y_train)))
        return torch.from_numpy(_some(self.y_train.numpy(), keep, len(self.classes)))


def load_torch_data(
    dataset: str,
    data_dir: Path,
    limit: int | None = None,
    size: int = 32,
    limit_all: bool = False,
) -> TorchData:
    """Load one of `IMAGE_DATASETS` and split it, stratified by class.

    CIFAR-10: 45,000 / 5,000 / 10,000 with the canonical test set. photo-digits: 1,293 / 144 / 360.
    A folder's images become squares of `size` pixels; a tenth of its training images validates,
    and one tree without train and test gives a fifth to the test. `limit` keeps at most so many
    training images, and with `limit_all`, for a first look at large data, as many to validate and
    to test. Raises UserError when the data cannot be had or used.
    """
    data_dir, notice = Path(data_dir), ""
    if dataset == "folder":
        name, (source, classes, train, test) = "folder", _folder(data_dir, size)
    elif dataset == "photo-digits":
        name, (source, classes, train, test) = dataset, _photo_digits()
    else:
        try:
            name, (source, classes, train, test) = "cifar10", _cifar10(data_dir)
        except DownloadError as error:
            tried = f"CIFAR-10 is not in {data_dir}, and its download failed ({error})"
            if dataset == "cifar10":
                raise UserError(
                    f"{tried}: put {cifar10.ARCHIVE} there, or use --dataset photo-digits"
                ) from error
            name, (source, classes, train, test) = "photo-digits", _photo_digits()
            notice = f"{tried}: using photo-digits, blended offline, instead"
    x, y = train
    n_val = 144 if name == "photo-digits" else max(len(y) // 10, len(classes))
    kept, held_out = _stratified(y, len(y) - n_val)
    parts = [(x[kept], y[kept]), (x[held_out], y[held_out]), test]
    if limit is not None:
        if limit < len(classes):
            raise UserError(f"--limit must be at least {len(classes)}, one image per class")
        for place, (x, y) in enumerate(parts if limit_all else parts[:1]):
            if limit < len(y):
                some = _some(y, limit, len(classes))
                parts[place] = x[some], y[some]
    arrays = [array for part in parts for array in part]
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array))
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    return TorchData(name, source, notice, digest.hexdigest(), tuple(classes), *tensors)


def generator(seed: int, purpose: str) -> torch.Generator:
    """Return PyTorch's counterpart of `shared_utils.seed.stream`, on the CPU."""
    return torch.Generator().manual_seed(int(stream(seed, purpose).integers(2**63)))


def batches(n: int, batch_size: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """Yield the indices 0..n-1 in random order, in ceil(n / batch_size) nearly equal batches.

    A ragged last batch of a few images would be a noisy step, and batch norm fails on one image.
    """
    order = torch.from_numpy(rng.permutation(n))
    yield from order.tensor_split(-(-n // batch_size))


def _cifar10(data_dir: Path) -> tuple:
    tree = data_dir / "cifar10"
    found = cifar10.read_local(data_dir)
    if found is None and tree.is_dir():
        source, *rest = _two_folders(tree, 32, data_dir, "cifar10")
        lossy = any(path.suffix.lower() in (".jpg", ".jpeg") for path in tree.rglob("*.*"))
        return source + (_JPEG if lossy else ""), *rest
    source, train, test = found or cifar10.download(data_dir)
    return source, cifar10.CLASSES, train, test


def _folder(data_dir: Path, size: int) -> tuple:
    if not data_dir.is_dir():
        raise UserError(f"{data_dir} is not a folder: name that of your images with --data-dir")
    if (data_dir / "train").is_dir() and (data_dir / "test").is_dir():
        return _two_folders(data_dir, size, data_dir, "images")
    x, y, classes = read_class_folder(data_dir, size, data_dir / f".images-{size}px.npz")
    test, train = _stratified(y, max(len(y) // 5, len(classes)))
    return str(data_dir), classes, (x[train], y[train]), (x[test], y[test])


def _two_folders(tree: Path, size: int, cache_dir: Path, name: str) -> tuple:
    cache = cache_dir / f".{name}-train-{size}px.npz"
    x, y, classes = read_class_folder(tree / "train", size, cache)
    cache = cache_dir / f".{name}-test-{size}px.npz"
    x_test, y_test, _ = read_class_folder(tree / "test", size, cache, classes)
    return str(tree), classes, (x, y), (x_test, y_test)


def _photo_digits() -> tuple:
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits, load_sample_images

    digits, y = load_digits(return_X_y=True)
    digits = zoom(digits.reshape(-1, 8, 8) * (255 / 16), (1, 4, 4), order=1).round()
    photos, rng = load_sample_images().images, stream(SPLIT_SEED, "photo-digits")
    x = np.empty((len(y), 3, 32, 32), np.uint8)
    for i, digit in enumerate(digits):
        photo = photos[rng.integers(len(photos))]
        top, left = (rng.integers(side - 31) for side in photo.shape[:2])
        crop = photo[top : top + 32, left : left + 32].transpose(2, 0, 1)
        x[i] = np.abs(crop - digit)
    y = y.astype(np.int64)
    test, train = _stratified(y, 360)
    classes = tuple(map(str, range(10)))
    return "scikit-learn", classes, (x[train], y[train]), (x[test], y[test])


def _some(y: np.ndarray, keep: int, classes: int) -> np.ndarray:
    """Return the indices of `keep` samples, stratified; the samples are in random order already.

    Fewer samples than classes cannot be left out in proportion: then they are the last ones.
    """
    few = len(y) - keep < classes
    return np.arange(min(keep, len(y))) if few else _stratified(y, keep)[0]


def _stratified(y: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of `first` samples and those of the rest, equal shares of every class."""
    from sklearn.model_selection import train_test_split

    if first >= len(y):
        return np.arange(len(y)), np.arange(0)
    try:
        rest, kept = train_test_split(
            np.arange(len(y)), test_size=first, stratify=y, random_state=SPLIT_SEED
        )
    except ValueError as error:  # a class of one image, or fewer places than classes
        raise UserError(f"{len(y)} images are too few to be split by class ({error})") from error
    return kept, rest
