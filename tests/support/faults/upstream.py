"""A server for tests of the proxy: it stores bodies, and records truncated requests."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

PIECE_BYTES = 1 << 16


@dataclass
class Store:
    """What the server has.

    Attributes:
        url: Where it is.
        objects: Contents by path; PUT adds, DELETE removes.
        cut: Path and bytes that came of each body that did not come whole.
        heads: Method, target and headers of each request, by their names as they came.
        connections: How many were opened.
    """

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    cut: list[tuple[str, int]] = field(default_factory=list)
    heads: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    connections: int = 0


class Handler(BaseHTTPRequestHandler):
    """PUT, GET, HEAD and DELETE. The query "chunked" wants an answer in chunks; "early" one before the body is read."""

    protocol_version = "HTTP/1.1"
    store: Store

    def setup(self) -> None:
        super().setup()
        self.store.connections += 1

    def handle_expect_100(self) -> bool:
        return "early" in self.path or super().handle_expect_100()

    def note(self) -> tuple[str, str]:
        self.store.heads.append((self.command, self.path, dict(self.headers)))
        parts = urlsplit(self.path)
        return parts.path, parts.query

    def do_PUT(self) -> None:
        path, query = self.note()
        if query == "early":
            self.close_connection = True
            self.answer(403, b"no", {"Connection": "close"})
            return
        body = self.chunked_body() if self.headers["Transfer-Encoding"] else self.plain_body()
        if body is None:
            self.close_connection = True
            return
        self.store.objects[path] = body
        self.answer(200, b"", checksums(body))

    def plain_body(self) -> bytes | None:
        length = int(self.headers["Content-Length"])
        body = bytearray()
        while len(body) < length:
            piece = self.rfile.read1(min(PIECE_BYTES, length - len(body)))
            if not piece:
                self.store.cut.append((urlsplit(self.path).path, len(body)))
                return None
            body += piece
        return bytes(body)

    def chunked_body(self) -> bytes:
        body = bytearray()
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline() != b"\r\n":
            pass
        return bytes(body)

    def do_GET(self) -> None:
        path, query = self.note()
        body = self.store.objects.get(path)
        if body is None:
            self.answer(404, b"none", {})
        elif query == "chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(body), PIECE_BYTES):
                piece = body[start : start + PIECE_BYTES]
                self.wfile.write(b"%X;why=not\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\nX-Trailer: yes\r\n\r\n")
        else:
            self.answer(200, body, checksums(body))

    do_HEAD = do_GET

    def do_DELETE(self) -> None:
        path, _ = self.note()
        self.store.objects.pop(path, None)
        self.send_response(204)
        self.end_headers()

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""


class Server(ThreadingHTTPServer):
    """Waits for its threads when it is closed, and is used to clients that hang up."""

    daemon_threads = False

    def handle_error(self, *args: Any) -> None:
        """Keep quiet."""


def checksums(body: bytes) -> dict[str, str]:
    return {
        "ETag": f'"{hashlib.md5(body).hexdigest()}"',
        "x-amz-checksum-crc32": "AAAAAA==",
        "x-amz-checksum-type": "FULL_OBJECT",
        "x-goog-hash": "crc32c=n03x6A==,md5=Ojk9c3dhfxgoKVVHYwFbHQ==",
    }


@contextmanager
def running() -> Iterator[Store]:
    """Serve from a thread while the block runs; connections to it have to be closed by then."""
    store = Store()
    with Server(("127.0.0.1", 0), type("StoreHandler", (Handler,), {"store": store})) as server:
        store.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield store
        finally:
            server.shutdown()
            thread.join()
