"""Colour images for the PyTorch section, as bytes, in three parts.

Images stay uint8 until a batch is transformed, on the device that trains: a quarter of the memory
of float32, no worker processes, and a GPU never waits for a decoder. Those of a folder are mapped
from a file, not loaded, so there may be more of them than fit into memory.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from shared_utils.datasets import cifar10
from shared_utils.datasets.digests import array_digest, pixel_digest
from shared_utils.datasets.download import DownloadError
from shared_utils.datasets.image_folder import ImageFolder, read_image_folder
from shared_utils.datasets.images import Images
from shared_utils.datasets.names import printable, shortened
from shared_utils.datasets.photo_digits import photo_digits
from shared_utils.datasets.splits import Limit, hold_out, subset
from shared_utils.errors import UserError
from shared_utils.seed import stream

# `pixel_digest` of the published images of CIFAR-100, with their fine labels.
_CIFAR100 = "a26b24bdebb994bfa3920210192994c229429aef7a4b4fd898bec53fa1a001ac"
_BLOCK_BYTES = 1 << 24  # of images that are counted at a time


@dataclass(frozen=True)
class TorchData(Images[Tensor]):
    """Images (N, 3, H, W), uint8, on the CPU: "cifar10", "folder" or "photo-digits".

    They may be mapped from a file that must not be written: never change them in place.
    """

    pixels: str = ""  # digest that does not depend on the order; see `pixel_digest`
    left_out: tuple[str, ...] = ()  # lines for the user
    damaged: tuple[str, ...] = ()  # images that were left out because they cannot be read

    @property
    def title(self) -> str:
        """How a figure's title names the data."""
        if self.name == "photo-digits":
            return "photo-digits, not CIFAR-10"
        published = {cifar10.PIXELS: "CIFAR-10", _CIFAR100: "CIFAR-100"}
        if self.pixels in published:
            return published[self.pixels]
        if self.name == "cifar10":
            return "CIFAR-10 (altered copy)"
        return shortened(Path(self.source).name)

    def describe(self) -> dict:
        """Return what `config.json` says of the data."""
        return super().describe() | {"pixels": self.pixels, "damaged": list(self.damaged)}

    def report_lines(self) -> list[str]:
        """Return what is said before training: counts of each part, what is left out."""
        return [*super().report_lines(), *self.left_out]

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return each channel's mean and deviation over the training part, (3,), in [0, 1].

        They are there to standardise by, (x - mean) / deviation, so a channel that has one value
        everywhere gets a deviation of 1: it becomes 0, not 0 / 0.
        """
        counts = torch.zeros(3, 256, dtype=torch.float64)
        for block in self.x_train.split(max(1, _BLOCK_BYTES // self.x_train[0].numel())):
            for channel in range(3):
                counts[channel] += block[:, channel].flatten().bincount(minlength=256)
        frequencies = counts / counts.sum(1, keepdim=True)
        values = torch.arange(256, dtype=torch.float64) / 255
        mean = frequencies @ values
        std = (frequencies @ values**2 - mean**2).clamp(min=0).sqrt()
        constant = (counts > 0).sum(1) == 1
        return mean.float(), std.masked_fill(constant, 1.0).float()

    def fraction(self, fraction: float) -> Tensor:
        """Return the indices of a fraction of the training part, stratified."""
        count = max(len(self.classes), round(fraction * len(self.y_train)))
        return torch.from_numpy(subset(self.y_train.numpy(), count))

    def part(self, name: str, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return the chosen images of "train", "val" or "test", and their labels.

        All of them are not copied: they may be a mapped file, larger than memory.
        """
        x, y = (getattr(self, f"{letter}_{name}") for letter in "xy")
        return (x, y) if len(chosen) == len(y) else (x[chosen], y[chosen])


def load_torch_data(
    dataset: str,
    data_dir: Path,
    limit: int | None = None,
    size: int = 32,
    limit_all: bool = False,
    skip_damaged: bool = False,
) -> TorchData:
    """Load one of `shared_utils.cli.IMAGE_DATASETS` and split it, stratified by class.

    CIFAR-10: 45,000 / 5,000 / 10,000 with the canonical test set. photo-digits: 1,293 / 144 / 360.
    A folder's images become squares of `size` pixels, split as `read_image_folder` says, which also
    explains `skip_damaged`. `limit` keeps at most so many training images, and with `limit_all`,
    for a first look at large data, as many to validate and to test. Raises UserError when the data
    cannot be had or used.
    """
    if dataset not in ("auto", "cifar10", "folder", "photo-digits"):
        raise UserError(
            f"there is no data set {dataset!r}: choose auto, cifar10, folder or photo-digits"
        )
    data_dir = Path(data_dir)
    limits = None if limit is None else Limit(limit, limit_all)
    if dataset == "folder":
        folder = read_image_folder(data_dir, size, limits, skip_damaged)
        return _torch_data("folder", str(data_dir.resolve()), "", folder)
    if dataset == "photo-digits":
        return _photo_digits("", limits)
    try:
        source, folder = _cifar10(data_dir, skip_damaged)
    except DownloadError as error:
        tried = f"CIFAR-10 is not in {data_dir}, and its download failed ({error})"
        if dataset == "cifar10":
            raise UserError(
                f"{tried}: put {cifar10.ARCHIVE} there, or use --dataset photo-digits"
            ) from error
        return _photo_digits(f"{tried}: using photo-digits, blended offline, instead", limits)
    notice = ""
    if folder.digests["pixels"] != cifar10.PIXELS:
        notice = (
            f"{source} does not hold the published images of CIFAR-10 but an altered copy, such as"
            " JPEG files make it: results on it are not CIFAR-10's"
        )
    return _torch_data("cifar10", source, notice, _limited(folder, limits))


def generator(seed: int, purpose: str) -> torch.Generator:
    """Return PyTorch's counterpart of `shared_utils.seed.stream`, on the CPU."""
    return torch.Generator().manual_seed(int(stream(seed, purpose).integers(2**63)))


def batches(n: int, batch_size: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """Yield the indices 0..n-1 in random order, in ceil(n / batch_size) nearly equal batches.

    A last batch of only a few images would be a noisy step, and batch norm fails on one image.
    """
    order = torch.from_numpy(rng.permutation(n))
    yield from order.tensor_split(-(-n // batch_size))


def _cifar10(data_dir: Path, skip_damaged: bool) -> tuple[str, ImageFolder]:
    found, tree = cifar10.read_local(data_dir), cifar10.named(data_dir, "cifar10")
    if found is None and tree.is_dir():
        folder = read_image_folder(tree, 32, skip_damaged=skip_damaged)
        if len(folder.classes) != len(cifar10.CLASSES):
            raise UserError(
                f"{tree} holds {len(folder.classes)} classes, so it is not CIFAR-10: use it with"
                f" --dataset folder --data-dir {tree}"
            )
        return str(tree), folder
    source, train, test = found or cifar10.download(data_dir)
    return source, _split(cifar10.CLASSES, train, test, max(len(train[1]) // 10, 10))


def _photo_digits(notice: str, limits: Limit | None) -> TorchData:
    x, y = photo_digits()
    train, test = hold_out(y, 360)
    classes = tuple(map(str, range(10)))
    folder = _split(classes, (x[train], y[train]), (x[test], y[test]), 144)
    return _torch_data("photo-digits", "scikit-learn", notice, _limited(folder, limits))


def _split(classes: tuple[str, ...], train: tuple, test: tuple, n_val: int) -> ImageFolder:
    """Hold `n_val` images of the training part out to validate."""
    x, y = train
    val, kept = hold_out(y, len(y) - n_val)
    parts = {"train": (x[kept], y[kept]), "val": (x[val], y[val]), "test": test}
    pixels = pixel_digest([("train", *train), ("test", *test)], classes)
    sha256 = array_digest(array for pair in parts.values() for array in pair)
    return ImageFolder(classes, parts, {"sha256": sha256, "pixels": pixels}, (), ())


def _limited(folder: ImageFolder, limits: Limit | None) -> ImageFolder:
    """Keep of each part what the limit leaves; the pixels' digest stays that of the whole."""
    if limits is None:
        return folder
    limits.check(len(folder.classes))
    parts = {}
    for part, (x, y) in folder.parts.items():
        chosen = limits.choose(part, y)
        parts[part] = (x, y) if len(chosen) == len(y) else (x[chosen], y[chosen])
    sha256 = array_digest(array for pair in parts.values() for array in pair)
    digests = folder.digests | {"sha256": sha256}
    return ImageFolder(folder.classes, parts, digests, folder.left_out, folder.damaged)


def _torch_data(name: str, source: str, notice: str, folder: ImageFolder) -> TorchData:
    with warnings.catch_warnings():
        # A mapped file cannot be written. PyTorch warns that it does not know read-only tensors;
        # a copy that could be written would have to fit into memory.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensors = [torch.from_numpy(array) for pair in folder.parts.values() for array in pair]
    digests = folder.digests
    return TorchData(
        name,
        printable(source),
        notice,
        digests["sha256"],
        folder.classes,
        *tensors,
        pixels=digests["pixels"],
        left_out=folder.left_out,
        damaged=folder.damaged,
    )
