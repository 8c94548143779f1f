"""Digits before photographs, made offline: a colour data set for machines without a network.

Each of scikit-learn's 1,797 digits is blended with a piece of one of its two photographs,
|photo - digit|: the recipe of MNIST-M (Ganin et al. 2016, "Domain-adversarial training of neural
networks", section 5.2.4).
"""

import numpy as np

from shared_utils.datasets.splits import SPLIT_SEED
from shared_utils.seed import stream


def photo_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the images (1797, 3, 32, 32), uint8, and the labels (1797,), int64."""
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
    return x, y.astype(np.int64)
