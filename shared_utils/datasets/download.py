"""Whether there is a network, found out quickly."""

import threading
import urllib.error
import urllib.request

SECONDS_TO_ANSWER = 9.0  # after that, the network is taken to be absent


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
        except Exception as error:  # whatever goes wrong there is told here
            outcome["error"] = str(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(SECONDS_TO_ANSWER)
    if outcome["error"] is not None:
        raise DownloadError(outcome["error"])
