"""Grey images in three parts: split the same way every time, by class."""

import numpy as np
import pytest

from shared_utils.datasets import mnist
from shared_utils.datasets.gray_images import load_image_data
from shared_utils.datasets.idx import encode_idx
from shared_utils.errors import UserError
from tests.shared_utils.datasets.helpers import RNG


def test_mnist_is_split_55000_5000_10000_with_equal_shares(tmp_path, monkeypatch):
    labels = (np.arange(60000) % 10).astype(np.uint8)
    arrays = {
        "train-images-idx3-ubyte": np.zeros((60000, 28, 28), np.uint8),
        "train-labels-idx1-ubyte": labels,
        "t10k-images-idx3-ubyte": np.full((10000, 28, 28), 255, np.uint8),
        "t10k-labels-idx1-ubyte": labels[:10000],
    }
    arrays["train-images-idx3-ubyte"][:, 0, 0] = labels
    monkeypatch.setattr(mnist, "read_local", lambda data_dir: ("here", arrays))
    loaded = load_image_data("auto", tmp_path)
    assert loaded.describe()["sizes"] == {"train": 55000, "val": 5000, "test": 10000}
    assert set(np.bincount(loaded.y_train)) == {5500} and set(np.bincount(loaded.y_val)) == {500}
    np.testing.assert_array_equal(np.rint(loaded.x_train[:, 0, 0, 0] * 255), loaded.y_train)
    assert loaded.x_test.min() == loaded.x_test.max() == 1 and loaded.x_test.dtype == np.float32


@pytest.fixture(scope="module")
def digits():
    return load_image_data("digits", data_dir=None)


def test_digits_are_split_once_for_all(digits):
    assert digits.describe()["sizes"] == {"train": 1257, "val": 180, "test": 360}
    images = np.concatenate([digits.x_train, digits.x_val, digits.x_test])
    assert images.shape == (1797, 1, 28, 28) and images.dtype == np.float32
    assert 0 == images.min() < images.max() <= 1
    again = load_image_data("digits", data_dir=None)
    assert again.digest == digits.digest
    np.testing.assert_array_equal(again.y_train, digits.y_train)


def test_no_digit_is_in_two_parts(digits):
    from sklearn.datasets import load_digits

    images = np.concatenate([digits.x_train, digits.x_val, digits.x_test])
    framed = images[:, 0, 4:24, 4:24]
    assert framed.sum() == pytest.approx(images.sum())  # nothing but background in the frame
    # Of 1,797 images, as many are different from each other as there were before the split.
    originals = load_digits().images
    assert len(np.unique(framed.reshape(1797, -1), axis=0)) == len(
        np.unique(originals.reshape(1797, -1), axis=0)
    )


def test_limit_keeps_a_stratified_part_of_the_training_set(digits):
    limited = load_image_data("digits", None, limit=100)
    assert len(limited.x_train) == len(limited.y_train) == 100
    assert np.bincount(limited.y_train).min() >= 9
    np.testing.assert_array_equal(limited.x_test, digits.x_test)
    assert limited.digest != digits.digest
    with pytest.raises(UserError, match="too few for 10 classes"):
        load_image_data("digits", None, limit=9)
    assert len(load_image_data("digits", None, limit=10**6).y_train) == 1257
    for nearly_all in (1247, 1248, 1256):  # too few are left out for one of each class
        assert len(load_image_data("digits", None, limit=nearly_all).y_train) == nearly_all


def test_images_and_labels_stay_together(digits):
    # A nearest-neighbour classifier would be at 10 % were the labels shuffled.
    from sklearn.neighbors import KNeighborsClassifier

    rows = [x.reshape(len(x), -1) for x in (digits.x_train, digits.x_val, digits.x_test)]
    neighbours = KNeighborsClassifier(1).fit(rows[0], digits.y_train)
    assert neighbours.score(rows[1], digits.y_val) > 0.95
    assert neighbours.score(rows[2], digits.y_test) > 0.95


def test_ones_own_idx_files_are_data_like_mnist(tmp_path):
    folder, y = tmp_path / "Fashion", np.tile([1, 4, 7], 80).astype(np.uint8)
    folder.mkdir()
    for part, labels in (("train", y), ("t10k", y[:30])):
        images = RNG.integers(256, size=(len(labels), 9, 7), dtype=np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(encode_idx(images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(encode_idx(labels))
    data = load_image_data("idx", folder)
    assert data.title == "Fashion" and data.classes == ("1", "4", "7")
    assert data.describe()["sizes"] == {"train": 220, "val": 20, "test": 30}
    assert data.x_train.shape == (220, 1, 9, 7) and set(data.y_train) == {0, 1, 2}
    assert data.x_train.dtype == np.float32 and data.x_train.max() <= 1
    assert data.report_lines()[1].endswith("220 images in 3 classes: 1 73, 4 73, 7 74")
    assert len(load_image_data("idx", folder, limit=5).y_train) == 5
    with pytest.raises(UserError, match="too few for 3 classes: give --limit 3 or more"):
        load_image_data("idx", folder, limit=2)
    rare = y.copy()
    rare[rare == 7] = 4
    rare[0] = 7
    (folder / "train-labels-idx1-ubyte").write_bytes(encode_idx(rare))
    with pytest.raises(UserError, match="'7' has 1"):
        load_image_data("idx", folder)


def test_an_unknown_name_is_refused_with_those_that_are_known(tmp_path):
    with pytest.raises(UserError, match="'fashion': choose auto, mnist, digits or idx"):
        load_image_data("fashion", tmp_path)
