"""Who cleans up after a process that was killed: a small one beside it, which aborts its upload.

It is this file, run by itself with nothing but the standard library. It reads a signed URL from its standard input
and waits. Told "done" it ends; if the pipe closes without that word, who held it is dead, and it sends DELETE to the
URL. It has no credentials, and nothing of it stands among the arguments that other processes can see.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager
from types import TracebackType
from urllib.parse import urlsplit

_DONE = b"done\n"

#: Parts that were on their way may arrive after the first abort; a store that is busy may refuse it.
_WAITS_SECONDS = (0.0, 0.5, 2.0, 5.0, 10.0)


class Guardian(AbstractContextManager["Guardian"]):
    """Watches while the block runs: who dies within it, or leaves it by an exception, has the upload aborted.

    Memory: that of a bare interpreter, some 10 MB, in a process of its own.
    """

    def __init__(self, url: str | None) -> None:
        """Take the URL whose DELETE aborts the upload; None: there is nothing to watch with."""
        self._url = url
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Guardian:
        if self._url is None or not sys.executable or getattr(sys, "frozen", False):
            return self
        with contextlib.suppress(OSError):  # no process to be had: it is a net, and the rope may do without
            self._process = subprocess.Popen(  # noqa: S603  (this interpreter, this file)
                [sys.executable, "-I", "-S", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # what kills the group need not kill it
            )
            self._tell(self._url.encode() + b"\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            with contextlib.suppress(OSError):
                self._tell(_DONE)
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.close()
        if kind is None:
            process.wait()
        else:  # it has some seconds of work before it
            threading.Thread(target=process.wait, name="georeader-guardian", daemon=True).start()

    def _tell(self, line: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(line)
            self._process.stdin.flush()


def _delete(url: str) -> int:
    """Send DELETE and give the status; 0 where there is no answer."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(host, port, timeout=20, context=ssl.create_default_context())
    else:
        connection = http.client.HTTPConnection(host, port, timeout=20)
    try:
        connection.request("DELETE", f"{parts.path}?{parts.query}")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def main() -> None:
    """Read the URL, wait for the end, and abort unless all went well."""
    url = sys.stdin.buffer.readline().decode().strip()
    if sys.stdin.buffer.readline() == _DONE or not url:
        return
    for seconds in _WAITS_SECONDS:
        time.sleep(seconds)
        if _delete(url) == 404:  # it is gone
            return


if __name__ == "__main__":
    main()
