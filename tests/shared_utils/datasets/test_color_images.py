import hashlib
import pickle
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from shared_utils.datasets import cifar10, download, image_folder
from shared_utils.datasets.color_images import batches, load_torch_data
from shared_utils.datasets.image_folder import read_class_folder
from shared_utils.errors import UserError

RNG = np.random.default_rng(0)


def picture(path, size=(32, 32), color=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(256, size=(size[1], size[0], 3), dtype=np.uint8)
    if color is not None:
        pixels[:] = color
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def tree(tmp_path):
    for part, count in (("train", 20), ("test", 3)):
        for name in ("cat", "dog"):
            for i in range(count):
                picture(tmp_path / part / name / f"{i}.png", (40, 32 + i % 3))
    return tmp_path


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A CIFAR-10 of 60 + 20 images in torchvision's layout, with its digests 'published'."""
    folder, images = tmp_path / cifar10.FOLDER, {}
    folder.mkdir()
    for part, names in (("TRAIN_FILES", ["data_batch_1", "data_batch_2"]), ("TEST_FILES", ["tb"])):
        digests = {}
        for name in names:
            n = 30 if part == "TRAIN_FILES" else 20
            data = RNG.integers(256, size=(n, 3072), dtype=np.uint8)
            images[name] = data
            content = pickle.dumps({b"data": data, b"labels": [i % 10 for i in range(n)]})
            (folder / name).write_bytes(content)
            digests[name] = hashlib.md5(content).hexdigest()
        monkeypatch.setattr(cifar10, part, digests)
    return tmp_path, images


def test_torchvision_layout_is_read_from_folder_and_from_archive(published):
    data_dir, images = published
    source, (x, y), (x_test, y_test) = cifar10.read_local(data_dir)
    assert source == str(data_dir / cifar10.FOLDER)
    assert x.shape == (60, 3, 32, 32) and y.dtype == np.int64
    # A row holds 1024 red values, then green, then blue, each row by row.
    assert x[31, 1, 2, 3] == images["data_batch_2"][1, 1024 + 2 * 32 + 3]
    assert np.array_equal(y[:30], np.arange(30) % 10) and len(x_test) == len(y_test) == 20

    with tarfile.open(data_dir / cifar10.ARCHIVE, "w:gz") as tar:
        tar.add(data_dir / cifar10.FOLDER, cifar10.FOLDER)
    for file in (data_dir / cifar10.FOLDER).iterdir():
        file.unlink()
    (data_dir / cifar10.FOLDER).rmdir()
    source, (x_tar, _), _ = cifar10.read_local(data_dir)
    assert source.endswith("tar.gz") and np.array_equal(x, x_tar)

    content = (data_dir / cifar10.ARCHIVE).read_bytes()
    (data_dir / cifar10.ARCHIVE).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="damaged"):
        cifar10.read_local(data_dir)


def test_a_batch_without_the_published_digest_is_never_unpickled(published):
    data_dir, _ = published

    class Hostile:
        def __reduce__(self):
            return (data_dir / "ran").touch, ()

    (data_dir / cifar10.FOLDER / "tb").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(UserError, match=r"tb does not have the published"):
        cifar10.read_local(data_dir)
    assert not (data_dir / "ran").exists()


def test_cifar10_as_an_image_folder_is_decoded_once(tree, monkeypatch):
    (tree / "cifar10").mkdir()
    for part in ("train", "test"):
        (tree / part).rename(tree / "cifar10" / part)
    data = load_torch_data("auto", tree)
    assert data.name == "cifar10" and data.classes == ("cat", "dog") and not data.notice
    assert [len(y) for y in (data.y_train, data.y_val, data.y_test)] == [36, 4, 6]
    monkeypatch.setattr(image_folder, "decode", None)  # a second decoding would fail
    assert load_torch_data("cifar10", tree).digest == data.digest
    assert data.title == "CIFAR-10"


def test_a_lossy_copy_of_cifar10_is_called_so(tree):
    (tree / "cifar10").mkdir()
    for part in ("train", "test"):
        (tree / part).rename(tree / "cifar10" / part)
    picture(tree / "cifar10" / "train" / "cat" / "last.jpg")
    data = load_torch_data("cifar10", tree)
    assert data.title == "CIFAR-10 (JPEG copy)" and data.source.endswith("JPEG files")


def test_images_are_the_middle_square_in_rgb_and_labels_follow_the_folders(tmp_path):
    pixels = picture(tmp_path / "a" / "0.png", (10, 8))
    gray = np.arange(64, dtype=np.uint8).reshape(8, 8)
    (tmp_path / "b").mkdir()
    Image.fromarray(gray).save(tmp_path / "b" / "1.png")
    x, y, names = read_class_folder(tmp_path, 8, tmp_path / "cache.npz")
    assert names == ["a", "b"] and y.tolist() == [0, 1]
    assert np.array_equal(x[0], pixels[:, 1:9].transpose(2, 0, 1))
    assert np.array_equal(x[1], np.stack([gray] * 3))


def test_the_cache_follows_the_folder(tmp_path):
    for name in ("a", "b"):
        picture(tmp_path / "in" / name / "0.png", color=10)
    cache = tmp_path / "cache.npz"
    read_class_folder(tmp_path / "in", 32, cache)
    picture(tmp_path / "in" / "b" / "1.png", color=20)
    x, y, _ = read_class_folder(tmp_path / "in", 32, cache)
    assert y.tolist() == [0, 1, 1] and x[2, 0, 0, 0] == 20
    cache.write_bytes(cache.read_bytes()[:-100])
    again, _, _ = read_class_folder(tmp_path / "in", 32, cache)
    assert np.array_equal(x, again)
    assert len(list(tmp_path.iterdir())) == 2  # no temporary file is left


def test_photographs_stand_as_the_camera_says(tmp_path):
    pixels = RNG.integers(256, size=(8, 8, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn a quarter clockwise
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    turned = image_folder.decode(tmp_path / "turned.png", 8)
    assert np.array_equal(turned, np.rot90(pixels, -1).transpose(2, 0, 1))


def test_arrays_of_an_earlier_decoding_are_not_used(tmp_path, monkeypatch):
    for name in ("a", "b"):
        picture(tmp_path / "in" / name / "0.png")
    cache, decoded = tmp_path / "cache.npz", []
    read_class_folder(tmp_path / "in", 32, cache)
    monkeypatch.setattr(image_folder, "_VERSION", image_folder._VERSION + 1)
    monkeypatch.setattr(
        image_folder, "decode", lambda path, size: decoded.append(path) or np.zeros((3, size, size))
    )
    read_class_folder(tmp_path / "in", 32, cache)
    assert len(decoded) == 2


def test_16_bit_greys_are_scaled_and_32_bit_ones_refused_by_name(tmp_path):
    gray = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    for name in ("gray.png", "gray.tif"):
        Image.fromarray(gray).save(tmp_path / name)
        found = image_folder.decode(tmp_path / name, 8)
        assert np.array_equal(found, np.stack([gray // 256] * 3))
    for mode, dtype in (("F", np.float32), ("I", np.int32)):
        Image.fromarray(gray.astype(dtype)).save(tmp_path / f"{mode}.tif")
        with pytest.raises(UserError, match=rf"{mode}.tif has pixels of 32 bits \(mode {mode}\)"):
            image_folder.decode(tmp_path / f"{mode}.tif", 8)


def test_unusable_folders_are_one_line_that_names_the_path(tree):
    def fails(match, dataset="folder", data_dir=tree):
        with pytest.raises(UserError, match=match) as caught:
            load_torch_data(dataset, data_dir)
        assert "\n" not in str(caught.value)

    fails("nothing is not a folder", data_dir=tree / "nothing")
    broken = tree / "train" / "dog" / "20.jpg"
    broken.write_bytes(b"\xff\xd8 not a picture")
    fails(r"train/dog/20.jpg cannot be read")
    broken.unlink()
    broken.symlink_to(tree / "gone.jpg")
    fails(r"train/dog/20.jpg cannot be read")
    broken.unlink()
    (tree / "test" / "bird").mkdir()
    picture(tree / "test" / "bird" / "0.png")
    fails(r"test does not have the classes.*bird")
    (tree / "train" / "bird").mkdir()
    fails(r"train/bird holds no image")
    picture(tree / "lonely" / "only" / "0.png")
    fails("lonely holds fewer than two", data_dir=tree / "lonely")


def test_one_tree_is_split_by_class(tree):
    data = load_torch_data("folder", tree / "train", size=16)
    assert data.x_train.shape == (29, 3, 16, 16)
    assert len(data.y_test) == 8 and data.y_test.bincount().tolist() == [4, 4]
    assert len(data.y_train) + len(data.y_val) == 32


def test_a_handful_of_images_can_be_split_and_fewer_cannot(tmp_path):
    for name in ("a", "b"):
        for i in range(4):
            picture(tmp_path / name / f"{i}.png")
    data = load_torch_data("folder", tmp_path)
    counts = [y.bincount().tolist() for y in (data.y_train, data.y_val, data.y_test)]
    assert counts == [[2, 2], [1, 1], [1, 1]]
    for i in range(3):
        (tmp_path / "b" / f"{i}.png").unlink()
    with pytest.raises(UserError, match="too few to be split"):
        load_torch_data("folder", tmp_path)


def test_photo_digits_are_digits_before_photographs():
    data = load_torch_data("photo-digits", "unused")
    again = load_torch_data("photo-digits", "unused", limit=200)
    assert [len(y) for y in (data.y_train, data.y_val, data.y_test)] == [1293, 144, 360]
    assert data.x_train.shape[1:] == (3, 32, 32) and data.x_train.dtype == torch.uint8
    assert torch.equal(data.x_test, again.x_test) and len(again.y_train) == 200
    assert again.y_train.bincount().min() >= 19
    few = data.y_train[data.fraction(0.01)]
    assert few.bincount(minlength=10).min() >= 1 and len(few) == 13
    assert torch.equal(data.fraction(1.0), torch.arange(1293))
    mean, std = data.statistics()
    pixels = data.x_train.double() / 255
    torch.testing.assert_close(mean, pixels.mean((0, 2, 3)).float())
    torch.testing.assert_close(std, pixels.std((0, 2, 3), correction=0).float())
    with pytest.raises(UserError, match="one image per class"):
        load_torch_data("photo-digits", "unused", limit=9)


def test_a_limit_leaves_the_test_whole_unless_all_is_limited(tree):
    sizes = [
        [len(y) for y in (data.y_train, data.y_val, data.y_test)]
        for data in (
            load_torch_data("folder", tree, limit, limit_all=limit_all)
            for limit, limit_all in ((3, False), (3, True), (5, True), (100, True))
        )
    ]
    assert sizes == [[3, 4, 6], [3, 3, 3], [5, 4, 5], [36, 4, 6]]


def test_a_share_of_nearly_all_images_works():
    data = load_torch_data("photo-digits", "unused", limit=50)
    for keep in range(10, 51):
        indices = data.fraction(keep / 50)
        assert len(indices) == len(indices.unique()) == keep
    assert data.y_train[data.fraction(0.82)].bincount().min() >= 3


def test_without_network_auto_falls_back_loudly_and_cifar10_does_not(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no route")

    monkeypatch.setattr(download.urllib.request, "urlopen", refuse)
    data = load_torch_data("auto", tmp_path)
    assert data.name == "photo-digits" and "no route" in data.notice
    assert "not CIFAR-10" in data.title
    with pytest.raises(UserError, match="--dataset photo-digits"):
        load_torch_data("cifar10", tmp_path)


def test_batches_are_a_permutation_in_nearly_equal_parts():
    parts = list(batches(1293, 128, np.random.default_rng(0)))
    assert {len(p) for p in parts} == {117, 118} and len(parts) == 11
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(1293))
    assert not torch.equal(torch.cat(parts), torch.arange(1293))
