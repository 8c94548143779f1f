"""Digests distinguish data sets, and show whether one holds what was published.

`array_digest` depends on everything: pixels, labels, split, order. It belongs to a run. A copy of a
data set, though, may name and order its files as it likes, so `pixel_digest` is a sum over images:
equal for equal images of equal classes in whatever order.
"""

import hashlib
import mmap
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

_BLOCK_BYTES = 1 << 23  # how much of a mapped file is held in memory at a time


def array_digest(arrays: Iterable[np.ndarray]) -> str:
    """Return the SHA-256, in hexadecimal, over the bytes of all arrays in their order."""
    digest = hashlib.sha256()
    for array in arrays:
        for block in _blocks(array):
            digest.update(np.ascontiguousarray(block))
    return digest.hexdigest()


def pixel_digest(
    parts: Iterable[tuple[str, np.ndarray, np.ndarray]], classes: Sequence[str]
) -> str:
    """Return a digest of labelled images that does not depend on their order, in hexadecimal.

    Each of `parts` is its name, images (N, 3, H, W), uint8, and labels (N,). The digest is the sum,
    modulo 2^256, of every image's SHA-256 over "part/class", a new line, and its bytes.
    """
    total = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing releases the interpreter's lock
        for part, images, labels in parts:
            heads = [f"{part}/{name}\n".encode(errors="surrogateescape") for name in classes]
            start = 0
            for block in _blocks(images):
                y = labels[start : start + len(block)]
                steps = range(0, len(block), 256)
                tasks = [(heads, block[i : i + 256], y[i : i + 256]) for i in steps]
                total += sum(pool.map(_sum_of_digests, tasks))
                start += len(block)
    return f"{total % 2**256:064x}"


def count_repeated(parts: Iterable[tuple[str, np.ndarray]]) -> dict[str, int]:
    """Return by part how many of its images (N, ...) stand in a part before it, too.

    What a network has learned from, or was chosen by, shows nothing of how it does on new images.
    """
    seen, found = set(), {}
    for part, images in parts:
        digests = [
            hashlib.blake2b(image.tobytes(), digest_size=16).digest()
            for block in _blocks(images)
            for image in block
        ]
        found[part] = sum(digest in seen for digest in digests)
        seen.update(digests)
    return found


def _sum_of_digests(task: tuple[list[bytes], np.ndarray, np.ndarray]) -> int:
    heads, images, labels = task
    digests = (
        hashlib.sha256(heads[label] + image.tobytes()).digest()
        for image, label in zip(images, labels, strict=True)
    )
    return sum(int.from_bytes(digest, "big") for digest in digests)


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows of `array`, a block at a time; of a mapped file, never more is in memory."""
    mapped = getattr(array, "_mmap", None)
    rows = max(1, _BLOCK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield array[start : start + rows]
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)  # it can be read again at any time
