"""An HTTP server on 127.0.0.1 that serves a folder, with ranges, and records requests.

It is this file, run in a process of its own: rasterio holds the interpreter's lock in some of the calls in which GDAL
waits for an answer, so a thread of this process could never answer. What the server does is configured by files in the
folder that it serves, and it records requests in the same way. Tests have it as the fixture ``server``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class RangeHandler(BaseHTTPRequestHandler):
    """GET and HEAD of whole files and single ranges.

    Beside a file, ``NAME.status`` holds a status to answer with in place of it, ``NAME.no-ranges`` makes the server
    ignore Range headers, and ``NAME.no-head`` refuse HEAD. ``requests.jsonl`` in its folder is the log.
    """

    protocol_version = "HTTP/1.1"
    root: Path

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        self.answer()

    def answer(self) -> None:
        file = self.root / urlsplit(self.path).path.lstrip("/")
        status, body, headers = self.response(file)
        self.note(file.parent / "requests.jsonl", body, headers)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            try:
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):
                # GDAL hangs up as soon as it has what it wanted.
                self.close_connection = True

    def note(self, log: Path, body: bytes, headers: dict[str, str]) -> None:
        """Write one line on this request: target, range and bytes sent."""
        sent = len(body) if self.command == "GET" else 0
        first = int(headers.get("Content-Range", "bytes 0-").removeprefix("bytes ").split("-")[0])
        line = {"method": self.command, "target": self.path, "sent": sent, "headers": dict(self.headers)}
        with log.open("a") as file:
            file.write(json.dumps(line | {"first_byte": first, "last_byte": first + sent - 1}) + "\n")

    def response(self, file: Path) -> tuple[int, bytes, dict[str, str]]:
        if beside(file, "status").exists():
            return int(beside(file, "status").read_text()), b"", {}
        if self.command == "HEAD" and beside(file, "no-head").exists():
            return 405, b"", {}
        if not file.is_file():
            return 404, b"", {}
        content = file.read_bytes()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None or beside(file, "no-ranges").exists():
            return 200, content, {}
        start, stop = int(wanted[1]), min(int(wanted[2] or len(content) - 1), len(content) - 1)
        return 206, content[start : stop + 1], {"Content-Range": f"bytes {start}-{stop}/{len(content)}"}

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""


def beside(file: Path, what: str) -> Path:
    return file.with_name(f"{file.name}.{what}")


def serve(root: Path) -> None:
    """Serve a folder at a free port, which is printed, until the process ends."""
    handler = type("Handler", (RangeHandler,), {"root": root})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


@dataclass(frozen=True)
class Server:
    """A folder on the server.

    Attributes:
        base: Its URL.
        folder: What is served there.
    """

    base: str
    folder: Path

    def put(self, name: str, content: bytes) -> str:
        """Serve ``content``; return its URL."""
        (self.folder / name).write_bytes(content)
        return f"{self.base}/{name}"

    def configure(self, name: str, what: str, text: str = "") -> None:
        """Change how a file is served: see `RangeHandler`."""
        beside(self.folder / name, what).write_text(text)

    def requests(self) -> list[dict[str, Any]]:
        """Requests so far, in order: method, target, headers, first_byte, last_byte, sent (bytes)."""
        log = self.folder / "requests.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def bytes_sent(self) -> int:
        return sum(request["sent"] for request in self.requests())

    def asked(self) -> set[str]:
        """Names of the requested files, with their queries."""
        return {request["target"].rpartition("/")[2] for request in self.requests()}


@contextmanager
def running(root: Path) -> Iterator[Server]:
    """Serve a folder from a child process while the block runs."""
    process = subprocess.Popen([sys.executable, __file__, str(root)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Server(f"http://127.0.0.1:{int(process.stdout.readline())}", root)
    finally:
        process.terminate()
        process.communicate()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
