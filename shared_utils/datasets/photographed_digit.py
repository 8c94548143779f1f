"""A photographed digit is not an MNIST digit, until it is made into one.

A network knows the pictures that it was trained on: light ink on black, no paper, no shadow, the
digit in the middle and always of one size. A photograph has none of that. So it goes the way that
MNIST's digits went (LeCun et al. 1998, "Gradient-based learning applied to document recognition",
section III.A): ink is told from paper, the digit is cut out and scaled into 20x20 pixels with its
proportions kept, which makes the grey levels of its edges, and its centre of mass is laid on the
centre of a field of 28x28.

    grey -> ink from paper -> threshold -> pieces free of the rim -> the largest -> pen width
         -> 20x20 -> 28x28

`section3_cnn/study/playground.html` says the same in JavaScript, step by step and name by name.
"""

from pathlib import Path

import numpy as np
from scipy import ndimage

from shared_utils.datasets.decode import DamagedImageError, read_picture
from shared_utils.errors import UserError

FIELD, BOX = 28, 20
CENTRE = 14  # the index of the pixel that holds the centre of mass of each of MNIST's digits
WORK_SIDE = 140  # pixels of the longer side while ink is told from paper
PAPER_WINDOW = 1 / 3  # of the longer side: wider than any stroke, so that paper shows in it
MIN_CONTRAST = 20  # grey levels of 255 between ink and paper
MIN_LENGTH = 0.1  # of the longer side: a digit is not shorter
THRESHOLDS = 3  # are tried, each among what is darker than the one before
SPECK = 0.05  # of the largest piece of ink: what is smaller is not a part of the digit
PEN_WIDTH = 2  # pixels in the box of 20, below which strokes are thickened: MNIST's have 2 to 4


def read_input(path: Path, dataset: str, image_size: tuple[int, int]) -> np.ndarray:
    """Return the picture at `path` as a network knows them: (1, H, W), float32, in [0, 1].

    `dataset` and `image_size` are those of its training. For "idx", a person's own data, of which
    nothing is known, the picture is only scaled to fill `image_size`; else it is made into a digit.
    Raises UserError, naming the file, when it cannot be read, or when there is no ink to be seen.
    """
    grey = read_grey(path)
    if dataset == "idx":
        from PIL import Image, ImageOps

        fitted = ImageOps.fit(Image.fromarray(grey), image_size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(fitted)[None] / np.float32(255)
    try:
        return make_digit(grey)[None]
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def read_grey(path: Path) -> np.ndarray:
    """Return the picture at `path` as grey levels (H, W), float32, from 0 (black) to 255.

    Raises UserError, naming the file, when it cannot be read.
    """
    try:
        return np.asarray(read_picture(path).convert("L"), np.float32)
    except DamagedImageError as error:
        raise UserError(f"{path} {error}") from error


def make_digit(grey: np.ndarray) -> np.ndarray:
    """Return grey levels (H, W) in [0, 255] as a digit like MNIST's: (28, 28), float32, in [0, 1].

    Dark ink on light ground or light on dark, also across a shadow, anywhere in the picture but
    best away from its rim, which a table or a shadow may touch. One that is like MNIST's already,
    28x28 and mostly black, stays as it is. Raises UserError when there is no ink to be seen.
    """
    if grey.shape == (FIELD, FIELD) and np.median(grey) < MIN_CONTRAST:
        return np.asarray(grey, np.float32) / 255
    grey = _resize(grey, WORK_SIDE / max(grey.shape))
    ink = _ink(grey)
    strokes = _strokes(ink)
    if not strokes.any() or ink[strokes].mean() - ink[~strokes].mean() < MIN_CONTRAST:
        raise UserError("no digit is to be seen: write it larger, or with more contrast")
    strokes = _thicken(_cut_out(_without_specks(strokes)))
    return _centre(_resize(strokes, BOX / max(strokes.shape)))


def _resize(image: np.ndarray, factor: float) -> np.ndarray:
    """Scale by a triangle filter as wide as the step between new pixels: nothing is skipped."""
    from PIL import Image

    height, width = (max(1, int(side * factor + 0.5)) for side in image.shape)
    scaled = Image.fromarray(np.asarray(image, np.float32))
    return np.asarray(scaled.resize((width, height), Image.Resampling.BILINEAR))


def _ink(grey: np.ndarray) -> np.ndarray:
    """Return how much darker each pixel is than its paper (or lighter, if the ink is light).

    Ink covers less than paper: grey minus its surroundings' mean leans to the side of the ink, and
    the third power shows which. Then the paper is what the picture is without its strokes: the
    lightest level nearby (which thickens the paper and covers thinner things), then the darkest of
    those (which thins it again): a morphological closing. Slow changes of the light go through it.
    """
    window = 2 * int(max(grey.shape) * PAPER_WINDOW / 2) + 1
    detail = grey - ndimage.uniform_filter(grey, window, mode="nearest")
    if np.sum(detail**3, dtype=np.float64) > 0:
        grey = 255 - grey
    return ndimage.grey_closing(grey, (window, window), mode="nearest") - grey


def _otsu(values: np.ndarray) -> float:
    """Return the threshold that parts the values best: n1 n2 (mean1 - mean2)^2 is largest.

    Source: Otsu (1979), "A threshold selection method from gray-level histograms", equation 18.
    """
    counts, edges = np.histogram(values, 256, (0, 255))
    below = np.cumsum(counts)[:-1]
    above = values.size - below
    sums = np.cumsum(counts * np.arange(256.0))
    distance = sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    return float(edges[1 + np.argmax(below * above * distance**2)])


def _strokes(ink: np.ndarray) -> np.ndarray:
    """Return which pixels are of the digit, by a threshold that leaves it free of the rim.

    What touches the picture's rim is no digit, but a table, the end of a shadow, a line of the
    paper. Where the digit hangs together with that, it is mostly the darker part: the next
    threshold parts what is above the one before. Where none leaves a piece of a digit's length
    free, the digit itself reaches to the rim.
    """
    threshold = first = _otsu(ink)
    for _ in range(THRESHOLDS):
        free = _free_of_rim(ink > threshold)
        if free.any():
            return free
        threshold = _otsu(ink[ink > threshold])
    return ink > first


def _free_of_rim(strokes: np.ndarray) -> np.ndarray:
    """Return the strokes without the pieces at the rim; nothing, if the rest is too short."""
    pieces, _ = ndimage.label(strokes, np.ones((3, 3)))
    rim = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
    pieces[np.isin(pieces, rim)] = 0
    lengths = [s.stop - s.start for box in ndimage.find_objects(pieces) if box for s in box]
    return (pieces > 0) & (max(lengths, default=0) >= MIN_LENGTH * max(strokes.shape))


def _without_specks(strokes: np.ndarray) -> np.ndarray:
    """Return the strokes without the pieces that are far smaller than the largest one."""
    pieces, _ = ndimage.label(strokes, np.ones((3, 3)))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0  # the paper
    return (sizes >= SPECK * sizes.max())[pieces] & strokes


def _cut_out(strokes: np.ndarray) -> np.ndarray:
    """Return the rectangle that holds all strokes."""
    rows, cols = (np.flatnonzero(strokes.any(axis)) for axis in (1, 0))
    return strokes[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]


def _thicken(strokes: np.ndarray) -> np.ndarray:
    """Return the strokes, no thinner than PEN_WIDTH once they are in the box.

    A ball pen's line would be a faint shadow there. A line of width w and length l has an area of
    w l and a rim of 2 l, so its width is twice its area over its rim.
    """
    rim = strokes & ~ndimage.binary_erosion(strokes)
    width = 2 * strokes.sum() / rim.sum()
    missing = PEN_WIDTH * max(strokes.shape) / BOX - width
    grow = max(0, int(missing / 2 + 0.5))
    return ndimage.maximum_filter(np.pad(strokes, grow), 2 * grow + 1)


def _centre(digit: np.ndarray) -> np.ndarray:
    """Lay the digit into the field by its centre of mass, by whole pixels, as MNIST's were."""
    corner = []
    for axis, side in enumerate(digit.shape):
        along = digit.sum(axis=1 - axis)
        middle = along @ np.arange(side) / along.sum()
        corner.append(min(max(int(CENTRE - middle + 0.5), 0), FIELD - side))
    field = np.zeros((FIELD, FIELD), np.float32)
    field[corner[0] : corner[0] + digit.shape[0], corner[1] : corner[1] + digit.shape[1]] = digit
    return field
