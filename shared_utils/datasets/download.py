"""Downloads that end: whether there is a network is found out quickly, and no server is waited for.

A server may refuse, stall, send half a file, or send a page of HTML in place of a file. Each is a
`DownloadError` with its reason, in at most half a minute of silence, and leaves no file behind.
"""

import hashlib
import http.client
import os
import socket
import tempfile
import threading
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS_TO_ANSWER = 9.0  # after that, the network is taken to be absent
SECONDS_OF_SILENCE = 30.0  # without a byte, then a download has failed


class DownloadError(Exception):
    """A server could not be reached or did not deliver; the text says why."""


def check_answer(url: str) -> None:
    """Return when the server of `url` answers; raise DownloadError when it does not, in time.

    A thread asks: a name server or a firewall that swallows packets can keep a socket waiting far
    longer than the timeout that it was given.
    """
    outcome = {"error": f"no answer in {SECONDS_TO_ANSWER:.0f} seconds"}

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=SECONDS_TO_ANSWER).close()
            outcome["error"] = None
        except urllib.error.HTTPError:  # it has no such page, but it answers
            outcome["error"] = None
        except Exception as error:  # whatever goes wrong there is reported here
            outcome["error"] = str(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(SECONDS_TO_ANSWER)
    if outcome["error"] is not None:
        raise DownloadError(outcome["error"])


def receive(url: str, title: str = "", packed: bool = False) -> Iterator[bytes]:
    """Yield what `url` delivers, piece by piece, with a progress bar when it has a `title`.

    With `packed`, the server may compress on the way. Raises DownloadError when it refuses, is
    silent for SECONDS_OF_SILENCE, or ends too early.
    """
    from tqdm import tqdm

    headers = {"Accept-Encoding": "gzip"} if packed else {}
    try:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=SECONDS_OF_SILENCE) as response:
            length = int(response.headers.get("Content-Length") or 0)
            zipped = response.headers.get("Content-Encoding") == "gzip"
            unzip = zlib.decompressobj(wbits=31).decompress if zipped else bytes
            hidden = None if title else True  # None: unless the output is not a terminal
            with tqdm(
                desc=title, total=length or None, unit="B", unit_scale=True, disable=hidden
            ) as bar:
                received = 0
                while piece := response.read(1 << 16):
                    received += len(piece)
                    bar.update(len(piece))
                    yield unzip(piece)
        if received < length:
            raise DownloadError(f"{url} ended after {received:,} of {length:,} bytes")
    except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
        raise DownloadError(f"{url}: {error or type(error).__name__}".splitlines()[0]) from error


def fetch(url: str, path: Path, algorithm: str, digest: str) -> None:
    """Fetch `url` to `path`, whole or not at all, in an existing folder.

    `digest` is the beginning of the file's digest in hexadecimal, `algorithm` its kind, such as
    "md5" or "sha256". Raises DownloadError; one reason is another digest.
    """
    path, found = Path(path), hashlib.new(algorithm)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(handle, "wb") as file:
            for piece in receive(url, path.name):
                file.write(piece)
                found.update(piece)
        if not found.hexdigest().startswith(digest):
            raise DownloadError(f"{url} delivered another file: its {algorithm} is not {digest}")
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def patience() -> Iterator[None]:
    """Let downloads by other libraries, which set no timeout, fail after SECONDS_OF_SILENCE."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS_OF_SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
