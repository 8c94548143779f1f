"""Digits as a person brings them: enlarged, off the centre, in uneven light, as a JPEG file."""

from collections.abc import Iterator
from io import BytesIO

import numpy as np
from PIL import Image


def photograph(digit: np.ndarray, rng: np.random.Generator) -> bytes:
    """Return a JPEG file (quality 50) with the digit (28, 28), uint8, light ink, on some paper.

    100 to 600 pixels a side and up to 30 % more on each, ink and paper of random greys in either
    order, a tint, light that falls off by up to 60 %, and noise.
    """
    side = int(rng.integers(100, 601))
    ink = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    margins = (rng.uniform(0, 0.3, (2, 2)) * side).astype(int)
    ink = np.pad(np.asarray(ink) / 255, margins)
    greys = rng.uniform(170, 250), rng.uniform(10, 80)
    paper, pen = greys if rng.random() < 0.5 else greys[::-1]
    angle, fall = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.6)
    y, x = np.mgrid[-1 : 1 : ink.shape[0] * 1j, -1 : 1 : ink.shape[1] * 1j]
    light = 1 - fall * (1 + (x * np.cos(angle) + y * np.sin(angle)) / np.sqrt(2)) / 2
    pixels = ((paper + (pen - paper) * ink) * light)[..., None] * rng.uniform(0.85, 1, 3)
    pixels += rng.normal(0, rng.uniform(2, 10), (*ink.shape, 1))
    return as_jpeg(pixels)


def paper(height=200, width=300, level=230.0) -> np.ndarray:
    return np.full((height, width), level, np.float32)


def seven(grey: np.ndarray, top=40, left=90, size=120, pen=16, ink=40.0) -> np.ndarray:
    """Write a seven: a bar, and a slanted stroke below it."""
    grey = grey.copy()
    grey[top : top + pen, left : left + size // 2] = ink
    for row in range(size):
        end = left + size // 2 - row // 3
        grey[top + row, end - pen : end] = ink
    return grey


def with_surroundings(grey: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and picture: what lies around a digit on paper, or over it, in photographs."""
    height, width = grey.shape
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    yield "sharp slanting shadow", np.where(x + 0.8 * y > 0.85, 0.6, 1) * grey
    yield "sharp upright shadow", np.where(x > 0.4, 0.5, 1) * grey
    yield "strip of shadow", np.where(abs(x + 0.3 * y - 0.6) < 0.1, 0.6, 1) * grey
    table = grey.copy()
    table[(y + 0.2 * x > 1.02) | (x < 0.06)] = 60
    yield "table", table
    lines = np.where((np.arange(height) % 25 < 2)[:, None], 0.75, 1)
    yield "ruled", lines * grey
    yield "squared", lines * np.where(np.arange(width) % 25 < 2, 0.75, 1) * grey
    beside = grey.copy()
    beside[60:140, -12:] = beside[:12, 20:70] = 40
    yield "cut-off neighbours", beside


def as_jpeg(pixels: np.ndarray) -> bytes:
    """Return levels from 0 to 255 as a JPEG file of quality 50."""
    file = BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "jpeg", quality=50)
    return file.getvalue()
