"""IDX files: read when they are whole, refused by name when they are not."""

import gzip
import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_utils.datasets.idx import encode_idx, read_idx, read_shape
from shared_utils.datasets.idx_folder import read_idx_folder
from shared_utils.errors import UserError
from tests.shared_utils.datasets.helpers import RNG

SHAPE = (5, 3, 2)
ARRAY = np.arange(30, dtype=np.uint8).reshape(SHAPE)
# The format as published: zero, zero, type 8 (unsigned bytes), number of dimensions, sizes, values.
CONTENT = bytes([0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0, 2]) + bytes(range(30))
MD5 = hashlib.md5(CONTENT).hexdigest()


def read(path, content):
    path.write_bytes(content)
    return read_idx(path, SHAPE, MD5)


def test_idx_files_are_read_and_written_as_published(tmp_path):
    np.testing.assert_array_equal(read(tmp_path / "a", CONTENT), ARRAY)
    np.testing.assert_array_equal(read(tmp_path / "a.gz", gzip.compress(CONTENT)), ARRAY)
    # Whatever the name says: some browsers unzip what they fetch.
    np.testing.assert_array_equal(read(tmp_path / "b.gz", CONTENT), ARRAY)
    np.testing.assert_array_equal(read(tmp_path / "b", gzip.compress(CONTENT)), ARRAY)
    assert read_shape(tmp_path / "b.gz") == read_shape(tmp_path / "b") == SHAPE
    assert encode_idx(ARRAY) == CONTENT


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (CONTENT[:-1], "shorter"),
        (CONTENT + b"x", "longer"),
        (CONTENT[:-1] + b"x", "MD5.* --dataset idx if it is your own"),
        (CONTENT[:7] + b"\x06" + CONTENT[8:], "not the IDX file.* --dataset idx if it is your own"),
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


@pytest.mark.parametrize("shape", [(5,), (2, 3), (4, 3, 2)])
def test_the_shape_is_read_from_the_header(tmp_path, shape):
    content = encode_idx(np.zeros(shape, np.uint8))
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    assert read_shape(tmp_path / "a") == read_shape(tmp_path / "a.gz") == shape


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an IDX file"),
        (b"<html>no such page</html>", "not an IDX file"),
        (struct.pack(">IIII", 0x0D03, 1, 1, 1) + bytes(4), "type 0x0d in 3 dimensions"),  # float32
        (struct.pack(">II", 0x0804, 1) + bytes(99), "in 4 dimensions"),
        (struct.pack(">II", 0x0803, 5), "ends within its header"),
        (struct.pack(">IIII", 0x0803, 2**31, 2**31, 2**31), "shorter than its header says"),
    ],
)
def test_a_header_that_cannot_be_true_is_refused(tmp_path, content, words):
    for name, packed in (("bad", content), ("bad.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(packed)
        with pytest.raises(UserError, match=words) as error:
            read_shape(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
    (tmp_path / "bad.gz").write_bytes(b"\x1f\x8bnot gzip")
    with pytest.raises(UserError, match=r"bad\.gz is truncated or corrupt"):
        read_shape(tmp_path / "bad.gz")


def own_files(folder, **changes):
    """Four IDX files of 7x5 images; `changes` replaces arrays by their names."""
    arrays = {
        "train_images": RNG.integers(256, size=(60, 7, 5), dtype=np.uint8),
        "train_labels": np.tile([3, 9, 200], 20).astype(np.uint8),
        "t10k_images": RNG.integers(256, size=(6, 7, 5), dtype=np.uint8),
        "t10k_labels": np.array([200, 3, 9, 9, 3, 200], np.uint8),
    } | changes
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        content = encode_idx(array)
        (folder / f"{name.replace('_', '-')}-idx{array.ndim}-ubyte").write_bytes(content)
    return arrays


def test_labels_of_any_kind_become_0_1_2_and_keep_their_names(tmp_path):
    arrays = own_files(tmp_path)
    classes, (x, y), (x_test, y_test) = read_idx_folder(tmp_path)
    assert classes == ("3", "9", "200") and y_test.tolist() == [2, 0, 1, 1, 0, 2]
    np.testing.assert_array_equal(x, arrays["train_images"])
    np.testing.assert_array_equal(x_test, arrays["t10k_images"])
    assert np.bincount(y).tolist() == [20, 20, 20]


def test_files_may_be_called_as_mirrors_call_them(tmp_path):
    own_files(tmp_path)
    for path in list(tmp_path.iterdir()):
        name = path.name.replace("-idx", ".idx").replace("t10k", "emnist-letters-test")
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        if "train" in name:  # once more, not zipped
            continue
        path.unlink()
    assert read_idx_folder(tmp_path)[0] == ("3", "9", "200")
    own_files(tmp_path / "new" / "raw")
    assert read_idx_folder(tmp_path / "new")[0] == ("3", "9", "200")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_labels": np.zeros(59, np.uint8)}, "holds 60 images, but .* 59 labels"),
        ({"t10k_images": np.zeros((6, 8, 5), np.uint8)}, "two sizes, 7x5 and 8x5"),
        ({"t10k_labels": np.array([3, 9, 9, 9, 9, 4], np.uint8)}, "label 4 is in one of the two"),
        ({"train_labels": np.ones(60, np.uint8), "t10k_labels": np.ones(6, np.uint8)}, "the same"),
        ({"other_train_images": np.zeros((1, 7, 5), np.uint8)}, "2 files of .* keep one there"),
        (
            {
                name: np.zeros((n, 0, 5), np.uint8)
                for name, n in (("train_images", 60), ("t10k_images", 6))
            },
            r"holds no pixels \(60 x 0 x 5\)",
        ),
        (
            {"t10k_images": np.zeros((0, 7, 5), np.uint8), "t10k_labels": np.zeros(0, np.uint8)},
            r"t10k-images-idx3-ubyte holds no pixels \(0 x 7 x 5\)",
        ),
    ],
)
def test_files_that_do_not_match_are_named(tmp_path, changes, words):
    own_files(tmp_path, **changes)
    with pytest.raises(UserError, match=words):
        read_idx_folder(tmp_path)


def test_a_missing_file_is_named_by_its_role(tmp_path):
    own_files(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="holds no file of test labels: expected train-images"):
        read_idx_folder(tmp_path)
    own_files(tmp_path / "new" / "FashionMNIST" / "raw")
    with pytest.raises(UserError, match=r"did you mean .*FashionMNIST\?"):
        read_idx_folder(tmp_path / "new")
    with pytest.raises(UserError, match="nothing is not a folder"):
        read_idx_folder(tmp_path / "nothing")


def test_a_file_that_must_not_be_read_is_named(tmp_path, monkeypatch):
    def deny(path, mode):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", deny)
    with pytest.raises(UserError, match=r"a cannot be read: change its permissions"):
        read_shape(tmp_path / "a")
