"""Who cleans up after a process that was killed: a small one beside it, which aborts its upload.

It is this file, run by itself with nothing but the standard library. It reads orders, a line of JSON each, from its
standard input, and waits. Told "done" it ends; if the pipe closes without that word, who held it is dead, and it
carries out the last order: to send DELETE to a signed URL, or, before an upload has a name, to look for it. Only for
the latter it makes a client. Nothing of it stands among the arguments that other processes can see.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

#: Parts that were on their way may arrive after the first abort; a store that is busy may refuse it.
_WAITS_SECONDS = (0.0, 0.5, 2.0, 5.0, 10.0)


class Guardian(AbstractContextManager["Guardian"]):
    """Watches until it is let go: should this process die, or leave by an exception, it does what it was told.

    Memory: that of a bare interpreter, some 10 MB, in a process of its own.
    """

    def __init__(self) -> None:
        """Begin to watch."""
        self._process: subprocess.Popen[bytes] | None = None
        if not sys.executable or getattr(sys, "frozen", False):
            return
        with contextlib.suppress(OSError):  # no process to be had: it is a net, and the rope may do without
            self._process = subprocess.Popen(  # noqa: S603  (this interpreter, this file)
                [sys.executable, "-I", "-S", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # what kills the group need not kill it
            )

    def look_for(self, told: dict[str, Any]) -> None:
        """Have it look for an upload without a name, from now on.

        Args:
            told: caller (as `remote.s3.caller_of` takes it), Bucket, Key, and begun (seconds since 1970).
        """
        self._tell({"look": told, "path": sys.path})

    def abort(self, url: str | None) -> None:
        """Have it send DELETE to a URL, from now on; None: there is none, and nothing to be done."""
        self._tell({"abort": url} if url is not None else {})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._tell("done")
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.close()
        if kind is None:
            process.wait()
        else:  # it has some seconds of work before it
            threading.Thread(target=process.wait, name="georeader-guardian", daemon=True).start()

    def _tell(self, order: object) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(json.dumps(order).encode() + b"\n")
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


def _look(told: dict[str, Any], path: list[str], ended: datetime) -> bool:
    """Abort an upload without a name; give whether there was one."""
    sys.path[:] = [str(Path(__file__).parents[3]), *path]
    from georeader.export.sinks.s3_parts import S3Object
    from georeader.remote.failures import Failures
    from georeader.remote.redaction import Redactor
    from georeader.remote.s3 import caller_of, explain

    caller = caller_of(told["caller"])
    store = S3Object(caller, told["Bucket"], told["Key"], Failures(told["Key"], Redactor([]), explain))
    return store.forget_unheard(datetime.fromtimestamp(told["begun"], UTC), ended) > 0


def _last_order() -> dict[str, Any]:
    """Read until the end; gives what there is to do, {} for nothing."""
    order: dict[str, Any] = {}
    for line in sys.stdin.buffer:
        if not line.endswith(b"\n"):  # it died while it wrote
            break
        told = json.loads(line)
        if told == "done":
            return {}
        order = told
    return order


def main() -> None:
    """Wait for the end, and carry out the last order, several times: not everything has arrived yet."""
    order = _last_order()
    ended = datetime.now(UTC)
    for seconds in _WAITS_SECONDS if order else ():
        time.sleep(seconds)
        is_gone = _delete(order["abort"]) == 404 if "abort" in order else _look(order["look"], order["path"], ended)
        if is_gone:
            return


if __name__ == "__main__":
    main()
