"""HTTP server on 127.0.0.1 of the page and of the named files, below a random token.

A request is answered only if its path begins with the token and its Host header names this server. Another page in the
browser cannot guess the token, and a name that it points to 127.0.0.1 (DNS rebinding) is not that of the server.

References:
    RFC 9110, section 13.1.1 (If-Match) and 14 (range requests).
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import re
import secrets
import socketserver
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from georeader._readers.measurement import Extent
from georeader.errors import GeoreaderError, OptionError, ReadError
from georeader.view.facts import frames_of, map_transform
from georeader.view.land import land_lines, to_degrees
from georeader.view.served_file import OpenFile, ServedFile
from georeader.window_utils import pixel_to_crs

_LOG = logging.getLogger("georeader")

HOST = "127.0.0.1"

#: Time after which a call of `MapServer.stop` is seen.
POLL_SECONDS = 0.05

#: Files are read and sent in pieces of so many bytes.
PIECE_BYTES = 2**20

#: A connection without a request is closed after so long.
_IDLE_SECONDS = 60

#: Ranges that were sent, of which the last are recorded.
KEPT_RECORDS = 10_000

#: Names that a browser on this machine may use for the server.
_HOST_NAMES = (HOST, "localhost")

_STATIC = {
    "": ("index.html", "text/html; charset=utf-8"),
    "app.js": ("app.js", "text/javascript; charset=utf-8"),
    "app.css": ("app.css", "text/css; charset=utf-8"),
    "LICENSES.txt": ("LICENSES.txt", "text/plain; charset=utf-8"),
}

#: The page loads from this server only. WebAssembly, from a data: URL, decodes zstd and LERC. Notebooks have a frame.
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self' http://localhost:* http://127.0.0.1:* https://localhost:* https://127.0.0.1:* "
    "vscode-webview:"
)

_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

_ONE_RANGE = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))")


@dataclass(frozen=True)
class RangeRecord:
    """A range that was sent."""

    file: int  #: Its number, from 0.
    extent: Extent
    part: str  #: Its name.


class MapServer(ThreadingHTTPServer):
    """The server; it runs in a thread of its own from `start` to `stop`."""

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # where it would allow a second server at the port

    def __init__(self, served: Sequence[ServedFile], port: int) -> None:
        self.served = served
        self.token = secrets.token_urlsafe(24)
        self.records: deque[RangeRecord] = deque(maxlen=KEPT_RECORDS)
        self._thread = threading.Thread(
            target=self.serve_forever, args=(POLL_SECONDS,), name="georeader view", daemon=True
        )
        try:
            super().__init__((HOST, port), _Handler)
        except OverflowError as error:
            raise OptionError(f"port={port}; pass 0 (any free one) to 65535") from error
        except OSError as error:
            raise ReadError(
                f"port {port} of {HOST} cannot be used: {error.strerror}; pass another port, or 0"
            ) from error

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def start(self) -> None:
        """Answer requests in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no further request."""
        self.shutdown()
        self.server_close()

    def server_bind(self) -> None:
        """Bind the socket; the name of the host is not looked up, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log an error of this module; a browser that closes its connection is none."""
        if not isinstance(sys.exc_info()[1], OSError):
            _LOG.error("a request of the map page failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "georeader"
    sys_version = ""
    timeout = _IDLE_SECONDS
    server: MapServer

    def do_GET(self) -> None:
        """Answer a GET."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer a HEAD: the same without a body."""
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing: the page shows the requests."""

    def _answer(self) -> None:
        try:
            route = self._route()
            if route is None:
                self._send_text(HTTPStatus.FORBIDDEN, "Refused; open the address that was printed.")
            else:
                self._serve(route, parse_qs(urlsplit(self.path).query))
        except GeoreaderError as error:
            self._send_text(HTTPStatus.BAD_GATEWAY, str(error))
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True  # the browser needs the rest no longer

    def _route(self) -> str | None:
        """Return what follows the token; None if the request is not for this server, or has another token."""
        names = {f"{name}:{self.server.server_port}" for name in _HOST_NAMES}
        if self.headers.get("Host", "").lower() not in names or len(self.headers.get_all("Host", [])) != 1:
            return None
        _, _, below_root = urlsplit(self.path).path.partition("/")
        token, slash, route = below_root.partition("/")
        is_right = hmac.compare_digest(token.encode(), self.server.token.encode())
        return route if is_right and slash else None

    def _serve(self, route: str, query: dict[str, list[str]]) -> None:
        if route in _STATIC:
            name, kind = _STATIC[route]
            self._send(HTTPStatus.OK, files(__package__).joinpath("static", name).read_bytes(), kind)
        elif route == "files.json":
            self._send_json({"files": self._facts()})
        elif found := re.fullmatch(r"(files|land|degrees)/(\d{1,6})", route):
            number = int(found[2])
            if number < len(self.server.served):
                with self.server.served[number].opened.in_use() as file:
                    {"files": self._send_file, "land": self._send_land, "degrees": self._send_degrees}[found[1]](
                        number, file, query
                    )
                return
            self._send_text(HTTPStatus.NOT_FOUND, f"There are {len(self.server.served)} files, from 0.")
        else:
            self._send_text(HTTPStatus.NOT_FOUND, "Only the files that were named are served.")

    def _facts(self) -> list[dict[str, Any]]:
        """Return the facts about all files, of which those that were replaced are opened anew."""
        opened: list[OpenFile] = []
        failures: dict[int, str] = {}
        for number, one in enumerate(self.server.served):
            try:
                opened.append(one.refresh())
            except GeoreaderError as error:
                failures[number] = str(error)
                opened.append(one.opened)
        frames = frames_of([(file.reader.crs, file.reader.transform) for file in opened])
        return [
            {
                **file.facts,
                "error": failures.get(number, file.facts["error"]),
                "frame": frames[number],
                "etag": file.etag,
                "url": f"files/{number}",
                "land_url": f"land/{number}",
                "degrees_url": f"degrees/{number}",
            }
            for number, file in enumerate(opened)
        ]

    def _send_land(self, _number: int, file: OpenFile, _query: dict[str, list[str]]) -> None:
        reader = file.reader
        shape = reader.height, reader.width
        lines = [] if reader.crs is None else land_lines(reader.crs, reader.transform, shape, map_transform(file.facts))
        self._send_json(lines)

    def _send_degrees(self, _number: int, file: OpenFile, query: dict[str, list[str]]) -> None:
        try:
            column, row = (float(query[name][0]) for name in ("column", "row"))
        except (KeyError, ValueError):
            self._send_text(HTTPStatus.BAD_REQUEST, "column and row must be numbers.")
            return
        crs = file.reader.crs
        place = np.array([pixel_to_crs(file.reader.transform, column, row)])
        degrees = np.array([np.nan]) if crs is None else to_degrees(crs, place)[0]
        if np.isfinite(degrees).all():
            self._send_json(degrees.tolist())
        else:
            self._send_text(HTTPStatus.NOT_FOUND, "There is no longitude and latitude for it.")

    # Ranges of files

    def _send_file(self, number: int, file: OpenFile, _query: dict[str, list[str]]) -> None:
        wanted = self.headers.get("If-Match", "*")
        if file.was_modified or wanted not in ("*", file.etag):
            text = f"{file.facts['name']} changed since the page was loaded; reload the page."
            self._send_text(HTTPStatus.PRECONDITION_FAILED, text)
            return
        size_bytes = file.source.size_bytes
        extent = _extent_of(self.headers.get("Range"), size_bytes)
        common = {"Accept-Ranges": "bytes", "ETag": file.etag}
        if extent is not None and not extent.length_bytes:
            self._send(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", "text/plain",
                {**common, "Content-Range": f"bytes */{size_bytes}"},
            )  # fmt: skip
            return
        whole = Extent(0, size_bytes)
        sent = whole if extent is None else extent
        part = "the whole file" if sent == whole else file.parts.name(sent)
        headers = {**common, "Georeader-Part": part}
        if extent is not None:
            headers["Content-Range"] = f"bytes {sent.offset_bytes}-{sent.end_bytes - 1}/{size_bytes}"
        # The first piece is read before the status is sent: its error still has one.
        piece = file.source.read_at(sent.offset_bytes, min(PIECE_BYTES, sent.length_bytes))
        status = HTTPStatus.OK if extent is None else HTTPStatus.PARTIAL_CONTENT
        self._begin(status, sent.length_bytes, "image/tiff", headers)
        if self.command == "HEAD":
            return
        self.server.records.append(RangeRecord(number, sent, part))
        self._send_pieces(file, sent, piece)

    def _send_pieces(self, file: OpenFile, extent: Extent, piece: bytes) -> None:
        self.wfile.write(piece)
        offset_bytes = extent.offset_bytes + len(piece)
        while offset_bytes < extent.end_bytes:
            try:
                piece = file.source.read_at(offset_bytes, min(PIECE_BYTES, extent.end_bytes - offset_bytes))
            except ReadError:
                self.close_connection = True  # the client sees that bytes are missing
                return
            self.wfile.write(piece)
            offset_bytes += len(piece)

    # Answers

    def _send_json(self, value: Any) -> None:
        self._send(HTTPStatus.OK, json.dumps(value, allow_nan=False).encode(), "application/json")

    def _send_text(self, status: HTTPStatus, text: str) -> None:
        self._send(status, text.encode(errors="replace"), "text/plain; charset=utf-8")

    def _send(self, status: HTTPStatus, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self._begin(status, len(body), kind, headers or {})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _begin(self, status: HTTPStatus, length_bytes: int, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(length_bytes), **headers, **_HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()


def _extent_of(header: str | None, size_bytes: int) -> Extent | None:
    """Return the range of a Range header; None for the whole file, and no bytes for a range outside of the file.

    As RFC 9110 allows, a header that is malformed or names several ranges is ignored.

    Example:
        >>> _extent_of("bytes=90-200", 100) == _extent_of("bytes=-10", 100) == Extent(90, 10)
        True
        >>> _extent_of("bytes=100-", 100), _extent_of("bytes=0-1,5-6", 100), _extent_of("bytes=2-1", 100)
        (Extent(offset_bytes=100, length_bytes=0), None, None)
    """
    found = _ONE_RANGE.fullmatch(header or "")
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        length_bytes = min(int(suffix), size_bytes)
        return Extent(size_bytes - length_bytes, length_bytes)
    start, stop = int(first), min(int(last) + 1, size_bytes) if last else size_bytes
    if last and int(last) < start:
        return None
    return Extent(start, max(0, stop - start))
