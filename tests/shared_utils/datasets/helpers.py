"""Pictures and folders of pictures for tests."""

from pathlib import Path

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)


def picture(
    path: Path, size: tuple[int, int] = (32, 32), color: int | tuple | None = None
) -> np.ndarray:
    """Save an RGB image of random pixels, or of one colour; return the pixels (H, W, 3)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(256, size=(size[1], size[0], 3), dtype=np.uint8)
    if color is not None:
        pixels[:] = color
    Image.fromarray(pixels).save(path)
    return pixels


def tree(folder: Path, counts: dict[str, int]) -> Path:
    """Save as many tiny images as `counts` says in each folder below `folder`."""
    for name, count in counts.items():
        for i in range(count):
            picture(folder / name / f"{i}.png", (4, 4))
    return folder
