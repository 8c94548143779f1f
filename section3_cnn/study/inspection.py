"""Looking into a trained network: what excites a filter, and which pixels decide.

A filter's response is a dot product with a patch, so the patches with the largest responses show
what the filter has learned to find. The gradient of a class score with respect to the pixels says
how the score would change if a pixel did: a map of what matters for this image (Simonyan, Vedaldi
and Zisserman 2013, "Deep inside convolutional networks"). It is one backward pass, as in training,
carried on to the image.
"""

import numpy as np

from section3_cnn.model import Sequential
from section3_cnn.study.fields import Field, until

_BATCH = 250  # images at a time, to spare memory


def saliency(model: Sequential, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return d(logit of the class) / d(pixels) for images (N, C, H, W), in the images' shape."""
    model.eval()
    logits = model.forward(images)
    return model.backward(np.eye(logits.shape[1])[classes])


def strongest_patches(
    model: Sequential, field: Field, images: np.ndarray, best: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the patches that excite each filter of a layer most, one an image, strongest first.

    patches: (filters, best, field height, field width); pixels beyond the image are NaN.
    responses: (filters, best). Each image takes part with the place of its largest response.
    """
    front = until(model, field.name)
    front.eval()
    peaks, places = [], []
    for start in range(0, len(images), _BATCH):
        out = front.forward(images[start : start + _BATCH])
        out = out.reshape(*out.shape[:2], -1)
        places.append(out.argmax(axis=2))
        peaks.append(out.max(axis=2))
    peaks, places = np.concatenate(peaks), np.concatenate(places)  # (images, filters)

    winners = np.argsort(-peaks, axis=0, kind="stable")[:best].T  # (filters, best)
    patches = np.full((*winners.shape, *field.size), np.nan)
    for filter_, of_filter in enumerate(winners):
        for rank, image in enumerate(of_filter):
            unit = np.unravel_index(places[image, filter_], field.units)
            patches[filter_, rank] = _patch(images[image, 0], field, unit)
    return patches, np.take_along_axis(peaks, winners.T, axis=0).T


def _patch(image: np.ndarray, field: Field, unit: tuple[int, int]) -> np.ndarray:
    """Return what the unit sees of the image (H, W); NaN where its field reaches beyond."""
    patch = np.full(field.size, np.nan)
    rows, cols = field.pixels(unit)
    seen = image[rows, cols]
    top = rows.start - (field.start[0] + unit[0] * field.jump[0])
    left = cols.start - (field.start[1] + unit[1] * field.jump[1])
    patch[top : top + seen.shape[0], left : left + seen.shape[1]] = seen
    return patch
