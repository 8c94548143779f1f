"""Digests: one that depends on everything, and one that does not depend on the order."""

import hashlib

import numpy as np

from shared_utils.datasets import digests
from shared_utils.datasets.digests import array_digest, count_repeated, pixel_digest
from tests.shared_utils.datasets.helpers import RNG

X, Y = RNG.integers(256, size=(5000, 3, 2, 2), dtype=np.uint8), RNG.integers(3, size=5000)
CLASSES = ("cat", "dog", "owl")


def test_the_digest_of_arrays_is_that_of_their_bytes(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    expected = hashlib.sha256(X.tobytes() + Y.tobytes()).hexdigest()
    assert array_digest((X, Y)) == array_digest((mapped, Y)) == expected
    assert array_digest((mapped[10:3000],)) == hashlib.sha256(X[10:3000].tobytes()).hexdigest()


def test_the_digest_of_pixels_is_the_sum_over_images():
    total = 0
    for x, label in zip(X, Y, strict=True):
        content = b"train/" + CLASSES[label].encode() + b"\n" + x.tobytes()
        total += int(hashlib.sha256(content).hexdigest(), 16)
    assert int(pixel_digest([("train", X, Y)], CLASSES), 16) == total % 2**256


def test_blocks_of_any_size_give_the_same_digests(monkeypatch):
    wished = array_digest((X, Y)), pixel_digest([("test", X, Y)], CLASSES)
    for size in (1, 100, 12 * 300):
        monkeypatch.setattr(digests, "_BLOCK_BYTES", size)
        assert (array_digest((X, Y)), pixel_digest([("test", X, Y)], CLASSES)) == wished


def test_the_digest_of_pixels_does_not_know_order_but_all_else():
    order = RNG.permutation(len(X))
    first, rest = ("train", X[:100], Y[:100]), ("train", X[100:], Y[100:])
    whole = pixel_digest([first, rest], CLASSES)
    assert whole == pixel_digest([("train", X[order], Y[order])], CLASSES)
    changed = X.copy()
    changed[7, 0, 0, 0] ^= 1
    others = [
        pixel_digest([("train", changed, Y)], CLASSES),
        pixel_digest([("train", X, np.roll(Y, 1))], CLASSES),
        pixel_digest([("test", *first[1:]), rest], CLASSES),
        pixel_digest([first, first, rest], CLASSES),
    ]
    assert len({whole, *others}) == 5


def test_images_of_an_earlier_part_are_counted():
    train, val, test = X[:100], np.concatenate([X[5:8], X[200:205]]), X[[204, 3, 300, 300]]
    parts = [("train", train), ("val", val), ("test", test)]
    assert count_repeated(parts) == {"train": 0, "val": 3, "test": 2}
