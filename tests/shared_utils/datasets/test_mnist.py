"""MNIST's files on disk under all their names, and from two servers that may fail in any way."""

import gzip
import hashlib
import json
import threading

import numpy as np
import pytest

from shared_utils.datasets import download, mnist, mnist_sources
from shared_utils.datasets.download import DownloadError
from shared_utils.datasets.gray_images import load_image_data
from shared_utils.datasets.idx import encode_idx
from shared_utils.errors import UserError
from tests.shared_utils.datasets.server import half, packed, serving, stall, status

HTML = b"<html><body>Please log in to this network.</body></html>"


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
        name: (array.shape, hashlib.md5(encode_idx(array)).hexdigest())
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
        content = encode_idx(array)
        if n % 2:
            (folder / name).write_bytes(content)
        else:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    source, arrays = mnist.read_local(tmp_path)
    assert source == str(folder)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, tiny_mnist[name])


def test_labels_of_another_set_are_refused(tmp_path, tiny_mnist):
    folder = mnist.raw_folder(tmp_path)
    folder.mkdir(parents=True)
    for name, array in tiny_mnist.items():
        (folder / name).write_bytes(encode_idx(array))
    name = "train-labels-idx1-ubyte"
    (folder / name).write_bytes(encode_idx(np.roll(tiny_mnist[name], 1)))
    with pytest.raises(UserError, match=f"{name} does not have the published MD5"):
        mnist.read_local(tmp_path)


@pytest.mark.parametrize("place", ["MNIST/raw", "MNIST", "."])
@pytest.mark.parametrize("end", ["", ".gz"])
def test_the_names_that_mirrors_use_are_found(tmp_path, tiny_mnist, place, end):
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    for name, array in tiny_mnist.items():
        content = encode_idx(array)
        path = tmp_path / place / f"{name.replace('-idx', '.idx')}{end}"
        path.write_bytes(gzip.compress(content) if end else content)
    (tmp_path / place / "train-images-idx3-ubyte").mkdir()  # some archives hold a folder so called
    _, arrays = mnist.read_local(tmp_path)
    for name, array in tiny_mnist.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_what_is_missing_is_named(tmp_path, tiny_mnist, monkeypatch):
    def fail(data_dir):
        raise DownloadError("no network")

    monkeypatch.setattr(mnist, "download", fail)
    folder = mnist.raw_folder(tmp_path)
    folder.mkdir(parents=True)
    for name in list(tiny_mnist)[:2]:
        (folder / name).write_bytes(encode_idx(tiny_mnist[name]))
    missing = "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte missing"
    with pytest.raises(UserError, match=missing):
        load_image_data("mnist", tmp_path)
    assert missing in load_image_data("auto", tmp_path).notice


def arff(arrays, quote=""):
    """OpenML's table of MNIST, training images first."""
    x, y, x_test, y_test = arrays.values()
    pixels, labels = np.concatenate([x, x_test]).reshape(len(x) + len(x_test), -1), [*y, *y_test]
    rows = [
        ",".join(map(str, row)) + f",{quote}{label}{quote}"
        for row, label in zip(pixels, labels, strict=True)
    ]
    head = ["% a comment, with @data in it", "@RELATION mnist", "@ATTRIBUTE pixel1 real", "@DATA"]
    return "\n".join([*head, *rows, "", "% the end"]).encode()


@pytest.fixture
def servers(tiny_mnist, monkeypatch):
    """Return `serve(openml=..., mirror=...)`, which puts answers in place of good ones."""
    monkeypatch.setattr(download, "SECONDS_OF_SILENCE", 0.2)
    files = {
        f"/mnist/{name}.gz": gzip.compress(encode_idx(array)) for name, array in tiny_mnist.items()
    }

    def serve(openml=None, mirror=None, about=None):
        answers = files | {"/mnist.arff": arff(tiny_mnist) if openml is None else openml}
        if mirror is not None:
            answers["/mnist/t10k-images-idx3-ubyte.gz"] = mirror
        context = serving(answers)

        class Serving:
            def __enter__(self):
                address, asked = context.__enter__()
                described = {"data_set_description": {"url": f"{address}/mnist.arff"}}
                answers["/554"] = json.dumps(described).encode() if about is None else about
                monkeypatch.setattr(mnist_sources, "OPENML", f"{address}/554")
                monkeypatch.setattr(mnist_sources, "MIRROR", f"{address}/mnist/")
                return asked

            def __exit__(self, *error):
                context.__exit__(*error)

        return Serving()

    return serve


def check(arrays, tiny_mnist):
    assert list(arrays) == list(tiny_mnist)
    for name, array in tiny_mnist.items():
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize("kind", ["plain", "packed", "quoted"])
def test_openmls_table_becomes_the_original_files(tmp_path, tiny_mnist, servers, kind):
    table = arff(tiny_mnist, "'" if kind == "quoted" else "")
    with servers(openml=packed(gzip.compress(table)) if kind == "packed" else table) as asked:
        source, arrays = mnist.download(tmp_path)
    assert source == "OpenML, mnist_784 version 1" and asked == ["/554", "/mnist.arff"]
    check(arrays, tiny_mnist)
    check(mnist.read_local(tmp_path)[1], tiny_mnist)  # kept
    assert {path.name for path in mnist.raw_folder(tmp_path).iterdir()} == set(tiny_mnist)


BAD = {
    "504": lambda tiny, ended: status(504),
    "stall": lambda tiny, ended: stall(ended),
    "half": lambda tiny, ended: half(arff(tiny)),
    "a page": lambda tiny, ended: HTML,
    "empty": lambda tiny, ended: b"",
    "a row less": lambda tiny, ended: arff(tiny)[:-30],
    "other data": lambda tiny, ended: arff({k: v ^ 1 for k, v in tiny.items()}),
    "large values": lambda tiny, ended: arff(tiny).replace(b"\n1", b"\n999", 1),
}


@pytest.mark.parametrize("failure", BAD)
def test_when_openml_fails_the_mirror_is_asked(tmp_path, tiny_mnist, servers, failure):
    ended = threading.Event()
    with servers(openml=BAD[failure](tiny_mnist, ended)) as asked:
        source, arrays = mnist.download(tmp_path)
        ended.set()
    assert source == list(mnist_sources.SOURCES)[1] and "ossci-datasets" in source
    assert len(asked) == 2 + 4
    check(arrays, tiny_mnist)


@pytest.mark.parametrize("about", [HTML, b"[]", b"{}", status(504)])
def test_an_answer_that_describes_nothing_is_a_failure_too(tmp_path, tiny_mnist, servers, about):
    with servers(about=about):
        source, _ = mnist.download(tmp_path)
    assert "ossci-datasets" in source


@pytest.mark.parametrize("failure", ["504", "stall", "half", "a page", "zipped page", "bomb"])
def test_when_both_fail_each_reason_is_named_and_nothing_is_kept(
    tmp_path, tiny_mnist, servers, failure
):
    ended = threading.Event()
    answers = {
        "504": status(504),
        "stall": stall(ended),
        "half": half(gzip.compress(encode_idx(tiny_mnist["t10k-images-idx3-ubyte"]))),
        "a page": HTML,
        "zipped page": gzip.compress(HTML),
        "bomb": gzip.compress(bytes(10**6)),
    }
    with servers(openml=status(504), mirror=answers[failure]):
        data = load_image_data("auto", tmp_path)
        with pytest.raises(UserError, match="--dataset digits"):
            load_image_data("mnist", tmp_path)
        ended.set()
    assert data.name == "digits" and "digits instead" in data.notice and "\n" not in data.notice
    assert "OpenML, mnist_784 version 1: " in data.notice and "504" in data.notice
    assert "https://ossci-datasets.s3.amazonaws.com/mnist/: " in data.notice
    assert list(mnist.raw_folder(tmp_path).iterdir()) == []


def test_the_source_is_in_what_config_json_says(tmp_path, monkeypatch):
    labels = (np.arange(60000) % 10).astype(np.uint8)
    arrays = dict.fromkeys(mnist.FILES, np.zeros((60000, 1, 1), np.uint8))
    for part in ("train", "t10k"):
        arrays[f"{part}-labels-idx1-ubyte"] = labels
    monkeypatch.setattr(mnist, "download", lambda data_dir: ("the mirror", arrays))
    data = load_image_data("auto", tmp_path)
    assert data.describe()["source"] == "the mirror"
    assert data.report_lines()[0] == "data: MNIST, from the mirror"
