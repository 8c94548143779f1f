"""Downloads end: with the whole file, or with a reason, and never with half of one."""

import hashlib
import socket
import threading
import urllib.error

import pytest

from shared_utils.datasets import cifar10, download
from shared_utils.datasets.color_images import load_torch_data
from shared_utils.datasets.download import DownloadError, fetch, patience, receive
from shared_utils.errors import UserError
from tests.shared_utils.datasets.server import half, serving, stall, status

CONTENT = bytes(range(256)) * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


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


def test_a_file_is_fetched_whole(tmp_path):
    with serving({"/file": CONTENT}) as (address, _):
        fetch(f"{address}/file", tmp_path / "file", "md5", MD5)
        fetch(
            f"{address}/file", tmp_path / "again", "sha256", hashlib.sha256(CONTENT).hexdigest()[:8]
        )
    assert (tmp_path / "file").read_bytes() == (tmp_path / "again").read_bytes() == CONTENT
    assert len(list(tmp_path.iterdir())) == 2


def test_a_server_that_fails_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "SECONDS_OF_SILENCE", 0.2)
    ended = threading.Event()
    answers = {
        "/refused": (status(504), "504"),
        "/half": (half(CONTENT), "ended after 128,000 of 256,000 bytes"),
        "/stalled": (stall(ended), "timed out"),
        "/other": (CONTENT[:-1], "delivered another file: its md5 is not"),
        "/gone": (status(404), "404"),
    }
    with serving({path: answer for path, (answer, _) in answers.items()}) as (address, _):
        for path, (_, words) in answers.items():
            with pytest.raises(DownloadError, match=words):
                fetch(f"{address}{path}", tmp_path / "file", "md5", MD5)
            assert list(tmp_path.iterdir()) == []
        ended.set()
    with pytest.raises(DownloadError, match="refused"):
        list(receive(f"{address}/file"))


def test_other_libraries_wait_no_longer_either():
    before = socket.getdefaulttimeout()
    with patience():
        assert socket.getdefaulttimeout() == download.SECONDS_OF_SILENCE == 30
    assert socket.getdefaulttimeout() == before


def test_cifar10s_server_may_stall(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "SECONDS_OF_SILENCE", 0.2)
    ended = threading.Event()
    with serving({f"/{cifar10.ARCHIVE}": stall(ended)}) as (address, _):
        monkeypatch.setattr(cifar10, "URL", f"{address}/{cifar10.ARCHIVE}")
        data = load_torch_data("auto", tmp_path)
        with pytest.raises(UserError, match=r"timed out.*--dataset photo-digits"):
            load_torch_data("cifar10", tmp_path)
        ended.set()
    assert data.name == "photo-digits" and "timed out" in data.notice
    assert list(tmp_path.iterdir()) == []


def test_cifar10_is_fetched_verified_and_read(tmp_path, monkeypatch):
    """An archive of something else, which only has the digest that is expected."""
    with serving({"/archive": CONTENT}) as (address, _):
        monkeypatch.setattr(cifar10, "URL", f"{address}/archive")
        monkeypatch.setattr(cifar10, "MD5", MD5)
        with pytest.raises(UserError, match="is damaged"):
            cifar10.download(tmp_path)
    assert (tmp_path / cifar10.ARCHIVE).read_bytes() == CONTENT
