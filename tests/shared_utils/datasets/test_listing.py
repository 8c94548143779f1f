"""What a folder holds, read from names alone: parts, classes, and what is left out."""

import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from shared_utils.datasets.listing import list_images
from shared_utils.errors import UserError
from tests.shared_utils.datasets.helpers import tree

ACCENT, ACCENTED = "\N{COMBINING ACUTE ACCENT}", "\N{LATIN SMALL LETTER E WITH ACUTE}"


def files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def paths(listing, part="train"):
    return [file.path for file in listing.parts[part].files]


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (("train", "val"), ["train", "val"]),
        (("Train", "Test"), ["test", "train"]),
        (("training", "testing"), ["test", "train"]),
        (("TRAIN", "valid", "test"), ["test", "train", "val"]),
        (("train", "Validation", "test"), ["test", "train", "val"]),
        (("train", "dev"), ["train", "val"]),
        (("train",), ["train"]),
        (("training_set", "test_set"), ["test", "train"]),
        (("Training Set", "Val-Set"), ["train", "val"]),
    ],
)
def test_usual_names_of_parts_are_recognised_in_any_case(tmp_path, names, parts):
    for name in names:
        files(tmp_path, f"{name}/cat/1.jpg", f"{name}/dog/2.jpg")
    listing = list_images(tmp_path)
    assert sorted(listing.parts) == parts and listing.classes == ("cat", "dog")
    assert paths(listing) == [f"{names[0]}/cat/1.jpg", f"{names[0]}/dog/2.jpg"]


def test_labels_follow_the_classes_and_files_their_paths(tmp_path):
    files(tmp_path, "b/2.png", "b/10.png", "a/deep/er/x.png", "a/z.png")
    listing = list_images(tmp_path)
    assert paths(listing) == ["a/deep/er/x.png", "a/z.png", "b/10.png", "b/2.png"]
    np.testing.assert_array_equal(listing.parts["train"].labels, [0, 0, 1, 1])


def test_a_class_may_be_called_train(tmp_path):
    files(tmp_path, "train/1.jpg", "plane/2.jpg", "car/3.jpg")
    assert list_images(tmp_path).classes == ("car", "plane", "train")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["test/cat/1.png", "test/dog/1.png"], "nothing to learn from: add train"),
        (
            ["val/a/1.png", "val/b/1.png", "test/a/1.png", "test/b/1.png"],
            "val and test, but nothing",
        ),
        (["train/cat.1.jpg", "test/dog.2.jpg"], "train holds no class folders"),
        (["train/a/1.png", "train/b/1.png", "test/a/1.png"], "test does not .*missing: 'b'"),
        (["train/a/1.png", "train/b/1.png", "test/1.png"], "test holds no class folders: add them"),
        (["train/a/1.png", "train/b/1.png", "more/a/1.png"], "holds train beside more"),
        (["train/a/1.png", "train/b/1.png", "eval/a/1.png", "eval/b/1.png"], "eval and train hold"),
        (["a/train/1.png", "a/test/1.png", "b/train/1.png", "b/test/1.png"], "parts outside"),
        (["train/a/1.png", "training/a/1.png"], "train and training, two names of one part"),
        (["fold1/a/1.png", "fold1/b/1.png", "fold2/a/1.png", "fold2/b/1.png"], "not classes"),
        (["f1/a/1.png", "f1/b/1.png", "f1/c/1.png", "f2/a/1.png", "f2/b/1.png"], r"\(a, b\)"),
        (["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png"], "missing: 'b'; unk"),
        (["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b /1.png"], "unknown: 'b '"),
        (
            ["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.txt"],
            r"no image, but \.txt files \(1\)",
        ),
        (["pets/cat/1.png", "pets/dog/1.png"], "did you mean .*pets"),
        (["a/1.heic", "b/1.png"], r"a holds no image, but \.heic files \(1\): add im"),
        (
            ["MNIST/1.gz", "cifar10/1.png"],
            r"MNIST holds no image, but \.gz files \(1\): add images, or name with --data-dir the"
            " folder whose subfolders are the classes",
        ),
        (["train/train/a/1.png", "train/train/b/1.png", "test/a/1.png"], "train one folder up"),
        (["1.png"], "fewer than two class folders"),
        (["train.zip", "b.tar.gz"], "unpack b.tar.gz, train.zip first"),
    ],
)
def test_what_is_no_clear_set_of_classes_is_refused_in_words(tmp_path, given, words):
    files(tmp_path, *given)
    with pytest.raises(UserError, match=words) as caught:
        list_images(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "twins", [("Cat", "cat"), ("cat", "cat "), (f"caf{ACCENTED}", f"cafe{ACCENT}")]
)
def test_classes_that_look_the_same_are_refused(tmp_path, twins):
    files(tmp_path, *(f"{name}/1.png" for name in twins))
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this file system does not distinguish them")
    with pytest.raises(UserError, match=f"{', '.join(sorted(map(repr, twins)))} look the same"):
        list_images(tmp_path)


def test_a_class_is_one_whichever_way_a_system_writes_its_accent(tmp_path):
    composed, decomposed = f"caf{ACCENTED}", f"cafe{ACCENT}"
    files(tmp_path, f"train/{composed}/1.png", "train/tea/1.png")
    files(tmp_path, f"test/{decomposed}/1.png", "test/tea/1.png")
    listing = list_images(tmp_path)
    assert listing.classes == (composed, "tea")
    assert (tmp_path / paths(listing, "test")[0]).exists()


def test_a_folder_that_must_not_be_read_is_named(tmp_path, monkeypatch):
    files(tmp_path, "a/1.png", "b/2.png")
    scandir = os.scandir

    def deny(folder):
        if Path(folder).name == "b":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(UserError, match=r"b cannot be read .*change its permissions"):
        list_images(tmp_path)


def test_a_file_in_place_of_the_folder_is_refused_and_an_archive_must_be_unpacked(tmp_path):
    files(tmp_path, "pets.zip", "pets.txt", "empty/a/.keep", "empty/b/1.png")
    for name, words in (("pets.zip", "unpack it"), ("pets.txt", "not a folder"), ("no", "not a")):
        with pytest.raises(UserError, match=words):
            list_images(tmp_path / name)
    with pytest.raises(UserError, match="a holds no image"):
        list_images(tmp_path / "empty")


def test_hidden_names_and_leftovers_of_systems_are_skipped_at_any_depth(tmp_path):
    files(tmp_path, "cat/1.jpg", "dog/2.jpg")
    files(
        tmp_path, ".git/a/x.jpg", "__MACOSX/cat/._1.jpg", "cat/.ipynb_checkpoints/1-checkpoint.jpg"
    )
    files(tmp_path, "cat/._1.jpg", "cat/Thumbs.db", "dog/deep/desktop.ini", "dog/@eaDir/2.jpg")
    files(tmp_path, "dog/.DS_Store", ".decoded/32px.npy")
    listing = list_images(tmp_path)
    assert paths(listing) == ["cat/1.jpg", "dog/2.jpg"]
    assert listing.left_out == {"hidden files and systems' leftovers": 8}


def test_every_kind_that_can_be_read_is_and_all_others_are_counted(tmp_path):
    files(tmp_path, "cat/1.jfif", "cat/2.JPE", "cat/3.WebP", "cat/4.tif", "cat/5.jpeg", "dog/6.PNG")
    files(tmp_path, "cat/a.heic", "cat/b.heic", "dog/notes.TXT", "dog/README", "dog/c.eps")
    files(tmp_path, "list.csv")
    listing = list_images(tmp_path)
    assert len(paths(listing)) == 6
    assert listing.left_out == {
        ".heic files": 2,
        ".txt files": 1,
        "suffixless files": 1,
        ".eps files": 1,  # a program in PostScript, which Pillow would have run
        "files beside the class folders": 1,
    }


def test_folders_and_files_beside_the_parts_are_counted(tmp_path):
    tree(tmp_path, {"train/a": 1, "train/b": 1, "test/a": 1, "test/b": 1})
    files(tmp_path, "unlabeled/1.png", "labels.csv", ".hidden")
    assert list_images(tmp_path).left_out == {
        "folders beside the parts": 1,
        "files beside the parts": 1,
        "hidden files and systems' leftovers": 1,
    }


def test_the_figures_of_runs_are_never_images(tmp_path):
    files(tmp_path, "cat/1.png", "dog/2.png")
    for run in ("resnet_vs_plain", "cat/resnet_vs_plain"):
        files(tmp_path / run, "config.json", "metrics.csv", "curves.png")
    listing = list_images(tmp_path)
    assert paths(listing) == ["cat/1.png", "dog/2.png"]
    assert listing.left_out == {"folders of runs": 2}
    (tmp_path / "resnet_vs_plain").rename(tmp_path / "x")
    files(tmp_path, "runs/.lock")
    (tmp_path / "x").rename(tmp_path / "runs" / "x")
    with pytest.raises(UserError, match=r"runs holds no image, but folders of runs \(1\)"):
        list_images(tmp_path)


def test_names_of_classes_may_be_anything(tmp_path):
    names = ["$100_vs_$50", "_", "a b", "größe", "猫", "🐈"]
    names += [] if sys.platform == "win32" else ["\x1b[2Jx", "two\nlines", "a:b"]
    files(tmp_path, *(f"{name}/1.png" for name in names))
    assert list_images(tmp_path).classes == tuple(sorted(names))


def test_links_are_followed_to_classes_and_files_and_never_in_a_circle(tmp_path):
    files(tmp_path, "elsewhere/1.png", "data/dog/2.png", "data/dog/deep/3.png")
    data = tmp_path / "data"
    (data / "cat").symlink_to(tmp_path / "elsewhere")
    (data / "dog" / "linked.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    (data / "dog" / "gone.png").symlink_to(tmp_path / "gone")
    (data / "up").symlink_to(tmp_path)
    (data / "self").symlink_to("self")
    (data / "dog" / "deep" / "up").symlink_to(data)
    listing = list_images(data)
    assert listing.classes == ("cat", "dog")
    assert paths(listing) == [
        "cat/1.png", "dog/2.png", "dog/deep/3.png", "dog/gone.png", "dog/linked.png",
    ]  # fmt: skip
    assert listing.left_out == {
        "links that lead back to their own folder": 1,
        "files beside the class folders": 1,
        "links to folders within a class": 1,
    }


def test_bytes_that_are_no_text_may_be_a_name(tmp_path):
    files(tmp_path, "a/1.png", "b/1.png")
    try:
        os.rename(os.fsencode(tmp_path / "b"), os.fsencode(tmp_path) + b"/\xff")
    except (OSError, ValueError):
        pytest.skip("this system has no such names")
    assert list_images(tmp_path).classes == ("a", "\udcff")
