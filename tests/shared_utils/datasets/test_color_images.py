"""Colour data in three parts: CIFAR-10 in every layout, folders, digits before photographs."""

import hashlib
import pickle
import sys
import tarfile
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from shared_utils.datasets import cifar10, decoded_cache, download
from shared_utils.datasets.color_images import batches, load_torch_data
from shared_utils.errors import UserError
from tests import processes
from tests.shared_utils.datasets.helpers import RNG, picture, tree


def sizes(data):
    return [len(y) for y in (data.y_train, data.y_val, data.y_test)]


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
    (data_dir / cifar10.ARCHIVE).write_bytes(b"<html>")
    with pytest.raises(UserError, match=r"damaged \(file could not be opened successfully\): del"):
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


@pytest.fixture
def copy(published):
    """The same images as PNG files called otherwise, in another order."""
    data_dir, _ = published
    _, *parts = cifar10.read_local(data_dir)
    folder = data_dir / "other" / "cifar10"
    for part, (x, y) in zip(("train", "test"), parts, strict=True):
        for i, (pixels, label) in enumerate(zip(x, y, strict=True)):
            path = folder / part / cifar10.CLASSES[label] / f"{-i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.transpose(1, 2, 0)).save(path)
    return data_dir / "other"


def test_a_lossless_copy_of_cifar10_is_called_cifar10_whatever_its_files(
    published, copy, monkeypatch
):
    original = load_torch_data("cifar10", published[0])
    monkeypatch.setattr(cifar10, "PIXELS", original.pixels)
    data = load_torch_data("auto", copy)
    assert data.pixels == original.pixels and data.digest != original.digest
    assert original.title == data.title == "CIFAR-10" and not data.notice
    assert data.classes == cifar10.CLASSES and sizes(data) == sizes(original) == [50, 10, 20]
    assert data.describe()["pixels"] == original.pixels
    monkeypatch.setattr(decoded_cache, "decode", None)  # a second decoding would fail
    small = load_torch_data("cifar10", copy, limit=20)
    assert sizes(small) == [20, 10, 20] and small.title == "CIFAR-10"
    assert small.pixels == data.pixels and small.digest != data.digest


def test_the_folder_of_cifar10_itself_is_read_like_the_one_around_it(published, copy, monkeypatch):
    original = load_torch_data("cifar10", published[0])
    monkeypatch.setattr(cifar10, "PIXELS", original.pixels)
    for folder in (published[0] / cifar10.FOLDER, copy / "cifar10"):
        assert (
            load_torch_data("auto", folder).digest == load_torch_data("auto", folder.parent).digest
        )
        monkeypatch.chdir(folder)
        assert load_torch_data("auto", ".").pixels == original.pixels


def test_a_lossy_copy_of_cifar10_is_called_a_copy_whatever_its_suffix(published, copy, monkeypatch):
    monkeypatch.setattr(cifar10, "PIXELS", load_torch_data("cifar10", published[0]).pixels)
    path = next((copy / "cifar10" / "train" / "cat").iterdir())
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(path)
    data = load_torch_data("cifar10", copy)
    assert data.name == "cifar10" and data.title == "CIFAR-10 (altered copy)"
    assert "does not hold the published images" in data.notice
    about = data.describe()
    assert about["title"] == data.title and about["notice"] == data.notice


def test_other_classes_in_a_folder_called_cifar10_are_never_called_cifar10(tmp_path):
    tree(tmp_path / "cifar10", {"cat": 5, "dog": 5})
    with pytest.raises(
        UserError, match=r"2 classes, so it is not CIFAR-10: use .* --dataset folder"
    ):
        load_torch_data("auto", tmp_path)


def test_cifar100_is_known_by_its_pixels_and_other_folders_by_their_names(tmp_path, monkeypatch):
    tree(tmp_path / "pets", {"cat": 5, "dog": 5})
    data = load_torch_data("folder", tmp_path / "pets")
    assert data.title == "pets" and data.name == "folder"
    tree(tmp_path / ("pets" * 20), {"cat": 5, "dog": 5})  # a title must fit into a figure
    assert len(load_torch_data("folder", tmp_path / ("pets" * 20)).title) == 40
    monkeypatch.setattr("shared_utils.datasets.color_images._CIFAR100", data.pixels)
    assert load_torch_data("folder", tmp_path / "pets").title == "CIFAR-100"


def test_a_folder_is_mapped_and_never_copied(tmp_path):
    tree(tmp_path, {"cat": 10, "dog": 10})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load_torch_data("folder", tmp_path, size=16)
    assert data.x_train.shape == (14, 3, 16, 16) and data.x_train.is_contiguous()
    parts = (data.x_train, data.x_val, data.x_test)
    rows = {
        x.untyped_storage().data_ptr() + x[0].numel() * (-sum(map(len, parts[:i])))
        for i, x in enumerate(parts)
    }
    assert len(rows) == 1  # one file, its pieces one behind the other


def test_what_was_found_is_reported_in_lines_and_kept(tmp_path):
    tree(tmp_path, {"train/cat": 10, "train/dog": 10, "val/cat": 2, "val/dog": 1})
    (tmp_path / "train" / "cat" / "x.heic").write_bytes(b"")
    (tmp_path / "val" / "dog" / "bad.png").write_bytes(b"")
    data = load_torch_data("folder", tmp_path, skip_damaged=True)
    assert data.report_lines() == [
        f"data: {tmp_path.name}, from {tmp_path}",
        "  train      16 images in 2 classes: cat 8, dog 8",
        "  val         3 images in 2 classes: cat 2, dog 1",
        "  test        4 images in 2 classes: cat 2, dog 2",
        "  left out: .heic files (1), damaged images, named in config.json (1)",
    ]
    about = data.describe()
    assert about["found"] == data.report_lines()
    assert about["damaged"] == ["val/dog/bad.png: is empty"]
    assert about["sizes"] == {"train": 16, "val": 3, "test": 4}


def test_a_constant_channel_is_divided_by_one(tmp_path):
    for i, name in enumerate(("a", "b")):
        for j in range(5):
            picture(tmp_path / name / f"{j}.png", (4, 4), color=(7, 128, 50 * i))
    mean, std = load_torch_data("folder", tmp_path, size=4).statistics()
    torch.testing.assert_close(mean, torch.tensor([7, 128, 25]) / 255)
    torch.testing.assert_close(std, torch.tensor([1, 1, 25 / 255]))


def test_statistics_hold_few_images_at_a_time_however_large_they_are(tmp_path, monkeypatch):
    tree(tmp_path, {"cat": 8, "dog": 8})
    data, sizes, count = load_torch_data("folder", tmp_path, size=512), [], torch.Tensor.bincount

    def bincount(values, **options):
        sizes.append(values.numel())
        return count(values, **options)

    whole = data.x_train.double() / 255
    monkeypatch.setattr(torch.Tensor, "bincount", bincount)
    monkeypatch.setattr("shared_utils.datasets.color_images._BLOCK_BYTES", 3 << 20)
    for found, expected in zip(
        data.statistics(), (whole.mean((0, 2, 3)), whole.std((0, 2, 3), correction=0)), strict=True
    ):
        torch.testing.assert_close(found, expected.float())
    assert max(sizes) <= 1 << 20 and sum(sizes) == data.x_train.numel()


def measure_loading(folder):
    import resource

    warnings.simplefilter("error")  # PyTorch warns of an array that cannot be written, but once
    decoded_cache.decode = lambda path, size: np.zeros((3, size, size), np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    data = load_torch_data("folder", folder, size=512)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(peak * 1024, sum(x.numel() for x in (data.x_train, data.x_val, data.x_test)))


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_loading_a_large_folder_takes_less_than_half_of_its_size_in_memory(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(75):
            (tmp_path / "images" / name / f"{i}.png").write_bytes(b"x")
    with processes.run(measure_loading, tmp_path / "images", output=tmp_path / "out") as process:
        process.join()
    peak, arrays = map(int, (tmp_path / "out").read_text().split()[-2:])
    assert arrays == 150 * 3 * 512**2
    assert peak < arrays / 2


@pytest.mark.skipif(sys.platform == "win32", reason="has no such names")
def test_a_terminal_sees_names_spelled_out(tmp_path):
    tree(tmp_path / "\x1b[2J", {"\x1b[31mcat": 3, "do\ng": 3})
    data = load_torch_data("folder", tmp_path / "\x1b[2J")
    assert data.classes == (r"\x1b[31mcat", r"do\ng")
    assert all(line.isprintable() for line in data.report_lines())


def test_unusable_folders_are_one_line_that_names_the_path(tmp_path):
    with pytest.raises(UserError, match="nothing is not a folder"):
        load_torch_data("folder", tmp_path / "nothing")
    tree(tmp_path, {"a": 2, "b": 9})
    with pytest.raises(UserError, match="'a' has 2"):
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
    with pytest.raises(UserError, match="too few for 10 classes: give --limit 10 or more"):
        load_torch_data("photo-digits", "unused", limit=9)


def test_a_limit_leaves_the_test_whole_unless_all_is_limited():
    found = [
        sizes(load_torch_data("photo-digits", "unused", limit, limit_all=limit_all))
        for limit, limit_all in ((30, False), (30, True), (200, True), (5000, True))
    ]
    assert found == [[30, 144, 360], [30, 30, 30], [200, 144, 200], [1293, 144, 360]]


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


def test_an_unknown_name_is_refused_with_those_that_are_known(tmp_path):
    with pytest.raises(UserError, match="'cifar100': choose auto, cifar10, folder or"):
        load_torch_data("cifar100", tmp_path)
