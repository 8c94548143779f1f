"""Labelled images in three parts, and what a run says of them."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from shared_utils.datasets.inventory import inventory

Array = TypeVar("Array")  # NumPy's array or PyTorch's tensor


@dataclass(frozen=True)
class Images(Generic[Array]):
    """Images (N, C, H, W) and labels (N,), int64, to learn from, to choose by, to report on."""

    name: str  # the data set really used, such as "mnist" or "folder"
    source: str  # where it came from
    notice: str  # "" or one line for the user: what was used in place of what was wished for
    digest: str  # SHA-256 over all arrays, as used
    classes: tuple[str, ...]
    x_train: Array
    y_train: Array
    x_val: Array
    y_val: Array
    x_test: Array
    y_test: Array

    @property
    def title(self) -> str:
        """How a figure's title names the data."""
        raise NotImplementedError

    def describe(self) -> dict:
        """Return what `config.json` says of the data."""
        return {
            "name": self.name,
            "title": self.title,
            "source": self.source,
            "notice": self.notice,
            "sha256": self.digest,
            "classes": list(self.classes),
            "sizes": {part: len(labels) for part, labels in self._labels().items()},
            "found": self.report_lines(),
        }

    def report_lines(self) -> list[str]:
        """Return what is said before training: classes and counts of each part."""
        return inventory(self.title, self.source, self.classes, self._labels())

    def _labels(self) -> dict[str, np.ndarray]:
        labels = {"train": self.y_train, "val": self.y_val, "test": self.y_test}
        return {part: np.asarray(y) for part, y in labels.items()}
