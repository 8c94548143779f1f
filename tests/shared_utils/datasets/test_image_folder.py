"""Folders of images: split by their listing, decoded once, continued, and mapped."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from shared_utils.datasets import decoded_cache
from shared_utils.datasets.image_folder import read_image_folder
from shared_utils.datasets.splits import Limit
from shared_utils.errors import UserError
from tests.shared_utils.datasets.helpers import picture, tree


@pytest.fixture
def decodings(monkeypatch):
    """The names of the files that are decoded from now on."""
    names = []

    def decode(path, size, original=decoded_cache.decode):
        names.append(path.name)
        return original(path, size)

    monkeypatch.setattr(decoded_cache, "decode", decode)
    return names


def shades(folder, classes=("cat", "dog"), count=10):
    """Images of one colour each; return it by path."""
    colors = {}
    for i, name in enumerate(classes):
        for j in range(count):
            picture(folder / name / f"{j}.png", (6, 4), color=100 * i + j)
            colors[f"{name}/{j}.png"] = 100 * i + j
    return colors


def counts(folder):
    return {part: np.bincount(y).tolist() for part, (_, y) in folder.parts.items()}


def test_one_tree_is_split_by_class_and_no_image_is_in_two_parts(tmp_path):
    shades(tmp_path)
    found = read_image_folder(tmp_path, 4)
    assert counts(found) == {"train": [7, 7], "val": [1, 1], "test": [2, 2]}
    for x, y in found.parts.values():
        assert x.shape[1:] == (3, 4, 4) and x.dtype == np.uint8 and y.dtype == np.int64
        np.testing.assert_array_equal(x[:, 0, 0, 0] // 100, y)
    seen = np.concatenate([x[:, 0, 0, 0] for x, _ in found.parts.values()])
    assert sorted(seen) == [*range(10), *range(100, 110)]


def test_test_images_that_are_training_images_too_are_said(tmp_path):
    shades(tmp_path / "train")
    shades(tmp_path / "test", count=2)
    picture(tmp_path / "test" / "cat" / "new.png", (6, 4), color=77)
    said = ("  equal to an image of an earlier part, pixel by pixel: 4 of test",)
    assert read_image_folder(tmp_path, 4).left_out == said
    assert read_image_folder(tmp_path, 4).left_out == said  # from the cache


def test_parts_that_are_there_are_used_as_they_are(tmp_path):
    tree(tmp_path, {"Train/a": 10, "Train/b": 10, "valid/a": 2, "valid/b": 3})
    assert counts(read_image_folder(tmp_path, 4)) == {
        "train": [8, 8], "val": [2, 3], "test": [2, 2],
    }  # fmt: skip
    tree(tmp_path, {"test/a": 1, "test/b": 4})
    assert counts(read_image_folder(tmp_path, 4)) == {
        "train": [10, 10], "val": [2, 3], "test": [1, 4],
    }  # fmt: skip


def test_the_smallest_classes_are_in_every_part_and_smaller_ones_are_named(tmp_path):
    tree(tmp_path, {"a": 60, "b": 3, "c": 30})
    assert min(min(count) for count in counts(read_image_folder(tmp_path, 4)).values()) == 1
    (tmp_path / "b" / "0.png").unlink()
    with pytest.raises(UserError, match=r"every class needs 3 images or more.*'b' has 2"):
        read_image_folder(tmp_path, 4)


def test_a_second_look_decodes_nothing(tmp_path, decodings):
    shades(tmp_path)
    first = read_image_folder(tmp_path, 4)
    assert len(decodings) == 20
    again = read_image_folder(tmp_path, 4)
    assert len(decodings) == 20 and again.digests == first.digests
    assert isinstance(again.parts["train"][0], np.memmap)
    assert not again.parts["train"][0].flags.writeable
    read_image_folder(tmp_path, 2)  # another size is another file, and both are kept
    read_image_folder(tmp_path, 4)
    assert len(decodings) == 40


def test_only_what_was_added_or_changed_is_decoded_and_the_old_file_goes(tmp_path, decodings):
    shades(tmp_path)
    read_image_folder(tmp_path, 4)
    decodings.clear()
    picture(tmp_path / "cat" / "new.png", color=50)
    picture(tmp_path / "dog" / "3.png", (7, 5), color=60)
    (tmp_path / "dog" / "4.png").unlink()
    found = read_image_folder(tmp_path, 4)
    assert sorted(decodings) == ["3.png", "new.png"]
    seen = np.concatenate([x[:, 0, 0, 0] for x, _ in found.parts.values()])
    assert sorted(seen) == sorted([*range(10), 50, 60, *({*range(100, 110)} - {103, 104})])
    assert len(list((tmp_path / ".decoded").glob("*.npy"))) == 1


def test_decoding_continues_where_it_was_stopped(tmp_path, decodings, monkeypatch):
    shades(tmp_path, count=80)

    def stop(path, size, original=decoded_cache.decode):
        if len(decodings) >= 100:
            raise KeyboardInterrupt
        return original(path, size)

    monkeypatch.setattr(decoded_cache, "_WINDOW", 64)
    monkeypatch.setattr(decoded_cache, "decode", stop)
    with pytest.raises(KeyboardInterrupt):
        read_image_folder(tmp_path, 4)
    assert 64 <= len(decodings) < 110
    monkeypatch.setattr(decoded_cache, "decode", stop.__defaults__[0])
    decodings.clear()
    part = next((tmp_path / ".decoded").glob("*.part"))
    part.write_bytes(part.read_bytes() + b"half")  # of a row
    found = read_image_folder(tmp_path, 4)
    assert len(decodings) == 160 - 64
    for x, y in found.parts.values():
        np.testing.assert_array_equal(x[:, 0, 0, 0] // 100, y)


@pytest.mark.parametrize("harm", ["cut", "garbage", "other JSON", "version"])
def test_a_damaged_or_older_file_of_arrays_is_made_again(tmp_path, decodings, monkeypatch, harm):
    shades(tmp_path)
    first = read_image_folder(tmp_path, 4)
    digests = first.digests
    del first
    path = next((tmp_path / ".decoded").glob("*.npy"))
    if harm == "version":
        monkeypatch.setattr(decoded_cache, "VERSION", decoded_cache.VERSION + 1)
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.write_bytes(b"garbage")
        for other in (tmp_path / ".decoded").iterdir():
            other.write_bytes(b"garbage" if harm == "garbage" else b"5")
        picture(tmp_path / "cat" / "0.png", color=0)  # another listing, another file of arrays
    decodings.clear()
    again = read_image_folder(tmp_path, 4)
    assert len(decodings) == 20 and again.digests == digests
    assert len(list((tmp_path / ".decoded").glob("*.npy"))) == 1


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".sums", {"x": "y"}),
        (".sums", {"sha256": 1, "pixels": [2]}),
        ("damaged.json", [{"a": 1}, [2], 3]),
        ("px-*.json", {"version": decoded_cache.VERSION, "files": [[["x"], 1, 2]]}),
        ("px-*.json", {"version": decoded_cache.VERSION, "files": [["x", "y", []]]}),
    ],
)
def test_notes_that_hold_anything_else_are_made_again(tmp_path, suffix, content):
    shades(tmp_path)
    picture(tmp_path / "cat" / "x.png", color=99)
    read_image_folder(tmp_path, 4)
    (tmp_path / "cat" / "x.png").unlink()
    digests = read_image_folder(tmp_path, 4).digests
    (tmp_path / ".decoded" / "damaged.json").touch()
    for path in (tmp_path / ".decoded").glob(f"*{suffix}"):
        path.write_text(json.dumps(content))
    again = read_image_folder(tmp_path, 4)
    assert again.digests == digests and sum(map(sum, counts(again).values())) == 20
    picture(tmp_path / "cat" / "y.png", color=99)  # another listing, which looks for known rows
    assert sum(map(sum, counts(read_image_folder(tmp_path, 4)).values())) == 21


def test_a_size_that_no_memory_holds_is_refused(tmp_path):
    shades(tmp_path)
    with pytest.raises(UserError, match=r"2,000,000 pixels a side .* choose 4,096 at most"):
        read_image_folder(tmp_path, 2_000_000)


def test_a_disc_without_room_is_found_out_before_decoding(tmp_path, decodings, monkeypatch):
    shades(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=900))
    with pytest.raises(UserError, match=r"need .* more, .* free some space"):
        read_image_folder(tmp_path, 4)
    assert decodings == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=960))
    assert counts(read_image_folder(tmp_path, 4))["train"] == [7, 7]  # 20 x 3 x 4 x 4 bytes


def test_the_limit_is_applied_before_decoding(tmp_path, decodings):
    shades(tmp_path, count=30)
    found = read_image_folder(tmp_path, 4, Limit(4))
    assert counts(found) == {"train": [2, 2], "val": [2, 2], "test": [6, 6]}
    assert len(decodings) == 20
    small = read_image_folder(tmp_path, 4, Limit(3, everywhere=True))
    assert [len(y) for _, y in small.parts.values()] == [3, 3, 3]
    assert len(decodings) < 29  # most are copied from the first file
    del found, small  # Windows removes no file that is mapped
    read_image_folder(tmp_path, 4)
    assert len(decodings) == 60
    assert len(list((tmp_path / ".decoded").glob("*.npy"))) == 1  # it holds what the others held
    with pytest.raises(UserError, match="too few for 2 classes: give --limit 2 or more"):
        read_image_folder(tmp_path, 4, Limit(1))


def test_all_damaged_images_are_named_together_each_with_its_cause(
    tmp_path, decodings, monkeypatch
):
    shades(tmp_path)
    (tmp_path / "cat" / "0.png").write_bytes(b"")
    (tmp_path / "dog" / "3.png").write_bytes(b"no picture")
    (tmp_path / "dog" / "x.jpg").symlink_to(tmp_path / "gone.jpg")
    for _ in range(2):  # what is known to be damaged is looked at again, but nothing else
        with pytest.raises(UserError) as caught:
            read_image_folder(tmp_path, 4)
        text = str(caught.value)
        assert "3 images that cannot be used: cat/0.png is empty; dog/3.png is not an" in text
        assert "dog/x.jpg is a link" in text and "--skip-damaged" in text and "\n" not in text
    assert len(decodings) == 21 + 3
    (tmp_path / "dog" / "4.png").write_bytes(b"")  # one more, beside those that are known
    for _ in range(2):
        found = read_image_folder(tmp_path, 4, skip_damaged=True)
        # The next time it must be ready.
        monkeypatch.setattr(decoded_cache.DecodedImages, "_fill", None)
    (tmp_path / "dog" / "4.png").unlink()
    monkeypatch.undo()
    found = read_image_folder(tmp_path, 4, skip_damaged=True)
    assert sum(len(y) for _, y in found.parts.values()) == 18 - 1
    assert [line.split(":")[0] for line in found.damaged] == ["cat/0.png", "dog/3.png", "dog/x.jpg"]
    assert found.left_out == ("  left out: damaged images, named in config.json (3)",)


def test_a_repaired_image_is_used(tmp_path, decodings):
    shades(tmp_path)
    path = tmp_path / "cat" / "0.png"
    whole = path.read_bytes()
    path.write_bytes(b"x" * len(whole))
    with pytest.raises(UserError, match=r"cat/0\.png"):
        read_image_folder(tmp_path, 4)
    decodings.clear()
    path.write_bytes(whole)
    found = read_image_folder(tmp_path, 4)
    assert decodings.count("0.png") >= 1 and set(decodings) == {"0.png"}
    seen = np.concatenate([x[:, 0, 0, 0] for x, _ in found.parts.values()])
    assert sorted(seen) == [*range(10), *range(100, 110)]


def test_a_file_that_could_not_be_opened_once_is_used_when_it_can(tmp_path, monkeypatch):
    """Its size and time stay the same, so the listing does not show it."""
    shades(tmp_path)

    def refuse(path, size, original=decoded_cache.decode):
        if path.name == "0.png":
            raise decoded_cache.DamagedImageError("cannot be read (Permission denied)")
        return original(path, size)

    monkeypatch.setattr(decoded_cache, "decode", refuse)
    with pytest.raises(UserError, match=r"2 images that cannot be used.*Permission denied"):
        read_image_folder(tmp_path, 4)
    skipped = read_image_folder(tmp_path, 4, skip_damaged=True)
    assert len(skipped.damaged) == 2
    monkeypatch.setattr(decoded_cache, "decode", refuse.__defaults__[0])
    found = read_image_folder(tmp_path, 4)
    seen = np.concatenate([x[:, 0, 0, 0] for x, _ in found.parts.values()])
    assert sorted(seen) == [*range(10), *range(100, 110)]


def test_the_row_of_a_damaged_image_is_never_taken_for_one(tmp_path, monkeypatch):
    """Decoding meets a file that cannot be opened, and is then stopped; the next time it can be."""
    shades(tmp_path, count=80)
    seen, original = [], decoded_cache.decode

    def decode(path, size):
        seen.append(path)
        if len(seen) == 1:
            raise decoded_cache.DamagedImageError("cannot be read (Permission denied)")
        if len(seen) > 100:
            raise KeyboardInterrupt
        return original(path, size)

    monkeypatch.setattr(decoded_cache, "_WINDOW", 64)
    monkeypatch.setattr(decoded_cache, "decode", decode)
    with pytest.raises(KeyboardInterrupt):
        read_image_folder(tmp_path, 4)
    monkeypatch.setattr(decoded_cache, "decode", original)
    found = read_image_folder(tmp_path, 4)
    pixels = np.concatenate([x[:, 0, 0, 0] for x, _ in found.parts.values()])
    assert sorted(pixels) == [*range(80), *range(100, 180)]


def test_damage_that_leaves_too_few_images_is_reported_first(tmp_path):
    shades(tmp_path, count=3)
    (tmp_path / "cat" / "0.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"cat/0\.png is empty"):
        read_image_folder(tmp_path, 4)
    with pytest.raises(UserError, match="'cat' has 2"):
        read_image_folder(tmp_path, 4, skip_damaged=True)


def test_a_folder_that_cannot_be_written_is_used_all_the_same(tmp_path):
    shades(tmp_path)
    (tmp_path / ".decoded").write_text("a file in the way, as good as a missing permission")
    found = read_image_folder(tmp_path, 4)
    assert counts(found)["train"] == [7, 7]
    assert "cannot be written" in found.left_out[-1]


def test_the_lock_of_another_person_is_as_good_as_a_missing_permission(tmp_path, decodings):
    shades(tmp_path)
    first = read_image_folder(tmp_path, 4).digests
    decodings.clear()
    (tmp_path / ".decoded" / "lock").unlink()
    (tmp_path / ".decoded" / "lock").mkdir()  # it cannot be opened either
    found = read_image_folder(tmp_path, 4)
    assert "cannot be written" in found.left_out[-1]
    assert found.digests == first and decodings == []


def test_arrays_that_another_person_left_in_a_read_only_folder_are_used(tmp_path, decodings):
    shades(tmp_path)
    first = read_image_folder(tmp_path, 4).digests
    decodings.clear()

    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoded_cache.tempfile, "TemporaryFile", refuse)
        assert read_image_folder(tmp_path, 4).digests == first
    assert decodings == []


def test_two_trees_with_the_same_images_have_one_pixel_digest(tmp_path):
    shades(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    for i, path in enumerate(sorted((tmp_path / "two" / "cat").iterdir())):
        path.rename(path.with_name(f"{9 - i}-renamed.png"))
    one, two = (read_image_folder(tmp_path / name, 4).digests for name in ("one", "two"))
    assert one["sha256"] != two["sha256"]
    # Without a test part of its own, which images are tested depends on the names.
    assert one["pixels"] != two["pixels"]
    for name in ("one", "two"):
        parts = tmp_path / f"{name}-parts"
        shutil.copytree(tmp_path / name, parts / "train", ignore=lambda *_: [".decoded"])
        tree(parts, {"test/cat": 1, "test/dog": 1})
        for i, animal in enumerate(("cat", "dog")):
            Image.new("RGB", (4, 4), (i, i, i)).save(parts / "test" / animal / "0.png")
    one, two = (read_image_folder(tmp_path / f"{name}-parts", 4).digests for name in ("one", "two"))
    assert one["sha256"] != two["sha256"] and one["pixels"] == two["pixels"]


@pytest.mark.skipif(sys.platform != "linux", reason="has no such names")
def test_a_class_may_be_called_by_bytes_that_are_no_text(tmp_path):
    shades(tmp_path)
    (tmp_path / "cat").rename(os.fsdecode(os.fsencode(tmp_path) + b"/c\xff\xfet"))
    for _ in range(2):
        assert read_image_folder(tmp_path, 4).classes == (r"c\udcff\udcfet", "dog")


@pytest.mark.skipif(sys.platform == "win32", reason="has no such names")
def test_names_of_damaged_images_cannot_command_a_terminal(tmp_path):
    shades(tmp_path)
    (tmp_path / "cat" / "\x1b[2J.png").write_bytes(b"")
    found = read_image_folder(tmp_path, 4, skip_damaged=True)
    assert found.damaged == (r"cat/\x1b[2J.png: is empty",)
    assert json.loads((tmp_path / ".decoded" / "damaged.json").read_text()) == ["cat/\x1b[2J.png"]


def test_a_second_process_says_that_it_waits_for_the_first(tmp_path, monkeypatch, capsys):
    shades(tmp_path)
    (tmp_path / decoded_cache.FOLDER).mkdir()
    first = FileLock(tmp_path / decoded_cache.FOLDER / "lock")
    first.acquire()
    say = tqdm.write

    def say_and_let_go(line):
        say(line)
        first.release()

    monkeypatch.setattr(tqdm, "write", say_and_let_go)
    read_image_folder(tmp_path, 4)
    waiting = "another process decodes these images: waiting for it"
    assert capsys.readouterr().out == f"{tmp_path}: {waiting}\n"
