"""What was found: classes and counts of each part, in lines that are printed before training.

Many a wrong result is a wrong folder: a class that is empty, a part taken for a class, a copy that
was counted twice. One look at the counts shows it.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from shared_utils.datasets.names import enumeration

_MOST = 12  # classes that a line counts one by one


def inventory(
    title: str, source: str, classes: Sequence[str], parts: Mapping[str, np.ndarray]
) -> list[str]:
    """Return the lines: title and source, then each part with its labels (N,) counted by class."""
    lines = [f"data: {title}, from {source}"]
    for part, labels in parts.items():
        counts = np.bincount(labels, minlength=len(classes))
        images = "image" if len(labels) == 1 else "images"
        head = f"  {part:<5} {len(labels):>7,} {images} in {len(classes):,} classes: "
        each = [f"{name} {count:,}" for name, count in zip(classes, counts, strict=True)]
        if len(classes) > _MOST:
            spread = f"{counts.min():,} to {counts.max():,} a class"
            lines.append(f"{head}{spread}: {enumeration(each, _MOST // 2)}")
        else:
            lines.append(head + ", ".join(each))
    return lines
