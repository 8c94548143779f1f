"""Augmentation: a digit that is moved or turned a little is the same digit, and a new image.

Every output pixel at position u, seen from the centre, takes its value from the place in the input
that a rotation by -angle and a shift lead to. That place lies between four pixels, whose mean,
weighted by nearness, is the value (bilinear interpolation); outside the image all is black.

Source: Simard, Steinkraus and Platt (2003), "Best practices for convolutional neural networks".
"""

import numpy as np


def shift_and_rotate(
    images: np.ndarray,
    rng: np.random.Generator,
    max_shift: float = 2.0,
    max_degrees: float = 10.0,
) -> np.ndarray:
    """Return images (N, C, H, W), each moved and turned at random, uniformly within the limits."""
    n = len(images)
    shifts = rng.uniform(-max_shift, max_shift, (n, 2))
    return transform(images, shifts, np.deg2rad(rng.uniform(-max_degrees, max_degrees, n)))


def transform(images: np.ndarray, shifts: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Return images (N, C, H, W) turned by `angles` (N,) (radians, counter-clockwise), then moved.

    `shifts` (N, 2) are pixels downwards and to the right. The dtype is that of the images.
    """
    n, c, h, w = images.shape
    # A border of zeros two pixels wide: whatever lies outside is clipped into it.
    padded = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    down, right = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")
    down = down - (h - 1) / 2 - shifts[:, 0, None, None]  # (N, H, W), before the shift
    right = right - (w - 1) / 2 - shifts[:, 1, None, None]
    cos, sin = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
    row = np.clip(cos * down + sin * right + (h - 1) / 2 + 2, 0.5, h + 2.5)
    col = np.clip(cos * right - sin * down + (w - 1) / 2 + 2, 0.5, w + 2.5)

    top, left = row.astype(np.intp), col.astype(np.intp)
    below = (row - top).astype(images.dtype)[:, None]
    beside = (col - left).astype(images.dtype)[:, None]
    corner = (top * (w + 4) + left).reshape(n, 1, -1)  # of the four pixels, in a flat image
    flat = padded.reshape(n, c, -1)
    upper_left, upper_right, lower_left, lower_right = (
        np.take_along_axis(flat, corner + step, axis=2).reshape(n, c, h, w)
        for step in (0, 1, w + 4, w + 5)
    )
    upper = upper_left + beside * (upper_right - upper_left)
    lower = lower_left + beside * (lower_right - lower_left)
    return upper + below * (lower - upper)
