"""MNIST's files and the splits: read with suspicion, split the same way every time."""

import gzip
import hashlib
import threading
import urllib.error

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_utils.datasets import download, mnist
from shared_utils.datasets.download import DownloadError
from shared_utils.datasets.gray_images import load_image_data
from shared_utils.datasets.minibatches import minibatches
from shared_utils.errors import UserError

SHAPE = (5, 3, 2)
ARRAY = np.arange(30, dtype=np.uint8).reshape(SHAPE)
# The format as published: zero, zero, type 8 (unsigned bytes), number of dimensions, sizes, values.
CONTENT = bytes([0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0, 2]) + bytes(range(30))
MD5 = hashlib.md5(CONTENT).hexdigest()


def read(path, content):
    path.write_bytes(content)
    return mnist.read_idx(path, SHAPE, MD5)


def test_idx_files_are_read_and_written_as_published(tmp_path):
    np.testing.assert_array_equal(read(tmp_path / "a", CONTENT), ARRAY)
    np.testing.assert_array_equal(read(tmp_path / "a.gz", gzip.compress(CONTENT)), ARRAY)
    assert mnist.encode_idx(ARRAY) == CONTENT


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (CONTENT[:-1], "shorter"),
        (CONTENT + b"x", "longer"),
        (CONTENT[:-1] + b"x", "MD5"),
        (CONTENT[:7] + b"\x06" + CONTENT[8:], "not the IDX file"),
        (b"\0\0\x08\x03" + b"\x7f\xff\xff\xff" * 3, "not the IDX file"),  # claims 10^28 bytes
        (b"", "not the IDX file"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content, words):
    for name, packed in (("bad", content), ("bad.gz", gzip.compress(content))):
        with pytest.raises(UserError, match=words) as error:
            read(tmp_path / name, packed)
        assert str(tmp_path / name) in str(error.value)


def test_a_damaged_gzip_stream_is_named(tmp_path):
    packed = gzip.compress(CONTENT)
    for content in (packed[:-9], packed[:20], b"no gzip", packed[:25] + b"\xff\xff" + packed[27:]):
        with pytest.raises(UserError, match=r"bad\.gz"):
            read(tmp_path / "bad.gz", content)


def test_a_gzip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    sizes, real_read = [], gzip.GzipFile.read
    monkeypatch.setattr(
        gzip.GzipFile, "read", lambda self, size=-1: sizes.append(size) or real_read(self, size)
    )
    with pytest.raises(UserError, match="longer"):
        read(tmp_path / "bomb.gz", gzip.compress(CONTENT + bytes(10**7)))
    assert sizes == [len(CONTENT) + 1]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    changes=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 200),
    packed=st.booleans(),
)
def test_mutated_files_are_read_rightly_or_refused(tmp_path_factory, changes, cut, packed):
    content = bytearray(gzip.compress(CONTENT, mtime=0) if packed else CONTENT)
    for place, value in changes:
        content[place % len(content)] = value
    path = tmp_path_factory.getbasetemp() / ("mutated.gz" if packed else "mutated")
    try:
        np.testing.assert_array_equal(read(path, bytes(content[: len(content) - cut])), ARRAY)
    except UserError as error:
        assert str(path) in str(error)


@pytest.fixture
def tiny_mnist(monkeypatch):
    """Make MNIST a set of 60 + 10 tiny images; return its arrays by file name."""
    rng = np.random.default_rng(0)
    arrays = {
        "train-images-idx3-ubyte": rng.integers(0, 255, (60, 2, 2)).astype(np.uint8),
        "train-labels-idx1-ubyte": np.arange(60).astype(np.uint8) % 10,
        "t10k-images-idx3-ubyte": rng.integers(0, 255, (10, 2, 2)).astype(np.uint8),
        "t10k-labels-idx1-ubyte": np.arange(10).astype(np.uint8),
    }
    files = {
        name: (array.shape, hashlib.md5(mnist.encode_idx(array)).hexdigest())
        for name, array in arrays.items()
    }
    monkeypatch.setattr(mnist, "FILES", files)
    return arrays


def test_files_are_found_zipped_or_not_and_only_all_together(tmp_path, tiny_mnist):
    folder = mnist.raw_folder(tmp_path)
    folder.mkdir(parents=True)
    assert folder == tmp_path / "MNIST" / "raw"
    for n, (name, array) in enumerate(tiny_mnist.items()):
        assert mnist.read_local(tmp_path) is None
        content = mnist.encode_idx(array)
        if n % 2:
            (folder / name).write_bytes(content)
        else:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    for name, array in mnist.read_local(tmp_path).items():
        np.testing.assert_array_equal(array, tiny_mnist[name])


def test_labels_of_another_set_are_refused(tmp_path, tiny_mnist):
    folder = mnist.raw_folder(tmp_path)
    folder.mkdir(parents=True)
    for name, array in tiny_mnist.items():
        (folder / name).write_bytes(mnist.encode_idx(array))
    name = "train-labels-idx1-ubyte"
    (folder / name).write_bytes(mnist.encode_idx(np.roll(tiny_mnist[name], 1)))
    with pytest.raises(UserError, match=f"{name} does not have the published MD5"):
        mnist.read_local(tmp_path)


def fake_openml(monkeypatch, fetch):
    monkeypatch.setattr(mnist, "check_answer", lambda url: None)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)


def test_openml_is_asked_for_mnist_and_its_table_becomes_images(monkeypatch):
    table = np.random.default_rng(0).integers(0, 256, (6, 784))

    def fetch(name, version, parser, **options):
        assert (name, version, parser) == ("mnist_784", 1, "pandas")
        return table * 1.0, np.array(list("504192"))  # numbers, and labels as text

    fake_openml(monkeypatch, fetch)
    images, labels = mnist._fetch_openml()
    np.testing.assert_array_equal(images, table.reshape(6, 28, 28))
    np.testing.assert_array_equal(labels, [5, 0, 4, 1, 9, 2])
    assert images.dtype == labels.dtype == np.uint8


def test_a_download_is_checked_and_kept_as_idx_files(tmp_path, tiny_mnist, monkeypatch):
    x, y, x_test, y_test = tiny_mnist.values()
    answer = np.concatenate([x, x_test]), np.append(y, y_test)
    monkeypatch.setattr(mnist, "_fetch_openml", lambda: answer)
    arrays = mnist.download(tmp_path)
    for name, array in tiny_mnist.items():
        np.testing.assert_array_equal(arrays[name], array)
        np.testing.assert_array_equal(mnist.read_local(tmp_path)[name], array)


def test_a_download_of_something_else_is_refused_and_not_kept(tmp_path, tiny_mnist, monkeypatch):
    x, y, x_test, y_test = tiny_mnist.values()
    answer = np.concatenate([x, x_test]) + 1, np.append(y, y_test)
    monkeypatch.setattr(mnist, "_fetch_openml", lambda: answer)
    with pytest.raises(UserError, match="published digest"):
        mnist.download(tmp_path)
    assert list(mnist.raw_folder(tmp_path).iterdir()) == []


def test_without_a_network_auto_falls_back_loudly_and_mnist_does_not(tmp_path, monkeypatch):
    def fetch(*args, **options):
        raise OSError("Name or service not known")

    fake_openml(monkeypatch, fetch)
    loaded = load_image_data("auto", tmp_path)
    assert loaded.name == "digits"
    assert "Name or service not known" in loaded.notice and "digits instead" in loaded.notice
    assert "not MNIST" in loaded.title
    with pytest.raises(UserError, match="--dataset digits") as error:
        load_image_data("mnist", tmp_path)
    assert str(mnist.raw_folder(tmp_path)) in str(error.value)


def test_a_network_that_says_nothing_counts_as_none(monkeypatch):
    forever = threading.Event()
    monkeypatch.setattr(download, "SECONDS_TO_ANSWER", 0.01)
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **options: forever.wait())
    with pytest.raises(DownloadError, match="no answer"):
        download.check_answer("https://example.org")
    forever.set()


def test_a_server_without_that_page_is_a_network(monkeypatch):
    def not_found(request, timeout):
        raise urllib.error.HTTPError(request.full_url, 404, "Not Found", None, None)

    monkeypatch.setattr("urllib.request.urlopen", not_found)
    download.check_answer("https://example.org")


def test_mnist_is_split_55000_5000_10000_with_equal_shares(tmp_path, monkeypatch):
    labels = (np.arange(60000) % 10).astype(np.uint8)
    arrays = {
        "train-images-idx3-ubyte": np.zeros((60000, 28, 28), np.uint8),
        "train-labels-idx1-ubyte": labels,
        "t10k-images-idx3-ubyte": np.full((10000, 28, 28), 255, np.uint8),
        "t10k-labels-idx1-ubyte": labels[:10000],
    }
    arrays["train-images-idx3-ubyte"][:, 0, 0] = labels
    monkeypatch.setattr(mnist, "read_local", lambda data_dir: arrays)
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
    with pytest.raises(UserError, match="at least 10"):
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


@settings(max_examples=50, deadline=None, derandomize=True)
@given(n=st.integers(1, 50), batch_size=st.integers(1, 60), seed=st.integers(0, 9))
def test_minibatches_visit_every_sample_once_in_random_order(n, batch_size, seed):
    batches = list(minibatches(n, batch_size, np.random.default_rng(seed)))
    assert sorted(np.concatenate(batches)) == list(range(n))
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    again = list(minibatches(n, batch_size, np.random.default_rng(seed)))
    np.testing.assert_array_equal(np.concatenate(again), np.concatenate(batches))


def test_minibatches_differ_from_epoch_to_epoch():
    rng = np.random.default_rng(0)
    first, second = (np.concatenate(list(minibatches(100, 10, rng))) for _ in range(2))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, np.arange(100))
