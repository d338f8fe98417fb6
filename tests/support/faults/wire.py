"""HTTP/1.1 as bytes on a socket: heads and bodies, read so that they can be passed on unchanged."""

from __future__ import annotations

import contextlib
import fcntl
import re
import select
import socket
import struct
import termios
import time
from dataclasses import dataclass
from typing import Literal

#: Most bytes that are read at once: a body is never all in memory.
PIECE_BYTES = 1 << 16

#: What has grown larger than this is not a head.
LARGEST_HEAD_BYTES = 1 << 18

#: The other side will send no more, whether or not all that it sent was read. Linux alone can tell.
_PEER_IS_DONE = getattr(select, "POLLRDHUP", 0)


class Gone(ConnectionError):
    """A side ended its connection in the middle of a message."""


@dataclass(frozen=True)
class Head:
    """First line and header fields, up to the empty line and with it.

    Attributes:
        raw: As they came, since signatures are made over parts of it.
    """

    raw: bytes

    @property
    def first_line(self) -> list[str]:
        """Its three words: method, target and version, or version, status and reason."""
        words = self.raw.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        return words + [""] * (3 - len(words))

    @property
    def status(self) -> int:
        return int(self.first_line[1])

    @property
    def fields(self) -> dict[str, str]:
        """Values by names in lower case; those of a field that comes more than once are joined by commas."""
        found: dict[str, str] = {}
        for line in self.raw.decode("latin-1").split("\r\n")[1:-2]:
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            found[name] = f"{found[name]}, {value}" if name in found else value
        return found

    @property
    def keeps_connection(self) -> bool:
        """Whether its sender will use the connection further."""
        wish = self.fields.get("connection", "").lower()
        return "close" not in wish if b"HTTP/1.1" in self.raw.split(b"\r\n", 1)[0] else "keep-alive" in wish

    def with_field(self, name: str, value: str) -> Head:
        """Set a field to another value, or add it; all other bytes stay."""
        field = re.compile(rb"(\r\n" + re.escape(name.encode()) + rb":[ \t]*)[^\r\n]*", re.IGNORECASE)
        raw, count = field.subn(lambda found: found[1] + value.encode("latin-1"), self.raw)
        return Head(raw if count else self.raw[:-2] + f"{name}: {value}\r\n\r\n".encode("latin-1"))

    def without_field(self, name: str) -> Head:
        return Head(re.sub(rb"(?i)\r\n" + re.escape(name.encode()) + rb":[^\r\n]*", b"", self.raw))


class Stream:
    """One side's connection."""

    def __init__(self, sock: socket.socket) -> None:
        # A head and its body are sent apart: without this, each pair would wait for a delayed acknowledgement.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._buffer = bytearray()

    @property
    def has_buffered(self) -> bool:
        """Whether something can be read that waiting on the socket would not show."""
        return bool(self._buffer)

    def some(self, at_most: int) -> bytes:
        """Read what is there, at least a byte; empty at the end."""
        if not self._buffer:
            return self.sock.recv(at_most)
        found = bytes(self._buffer[:at_most])
        del self._buffer[:at_most]
        return found

    def until(self, mark: bytes) -> bytes:
        """Read up to a mark and with it; empty if the other side ended before the first byte."""
        while (end := self._buffer.find(mark)) < 0:
            more = self.sock.recv(PIECE_BYTES)
            if not more and not self._buffer:
                return b""
            if not more or len(self._buffer) > LARGEST_HEAD_BYTES:
                raise Gone(f"no {mark!r} in {bytes(self._buffer[:100])!r}")
            self._buffer += more
        return self.some(end + len(mark))

    def line(self) -> bytes:
        found = self.until(b"\r\n")
        if not found:
            raise Gone("the connection ended between two lines")
        return found

    def head(self) -> Head | None:
        """Read a head; None if the other side ended before its first byte."""
        raw = self.until(b"\r\n\r\n")
        return Head(raw) if raw else None

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def is_left(self, within_seconds: float = 0) -> bool:
        """Return whether the other side closes within a time, even if bytes that it sent are still unread."""
        watch = select.poll()
        watch.register(self.sock, _PEER_IS_DONE)
        return bool(watch.poll(max(0, within_seconds) * 1000))

    def wait_until_sent(self, at_most_seconds: float = 1) -> None:
        """Wait until the other side has what was sent: a reset would throw away what still waits here."""
        deadline = time.monotonic() + at_most_seconds
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline and any(fcntl.ioctl(self.sock, termios.TIOCOUTQ, bytes(4))):
                time.sleep(0.001)

    def linger(self, seconds: float = 0.5) -> None:
        """Send nothing more but read for a while: closing with unread bytes would reset the connection."""
        deadline = time.monotonic() + seconds
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
            while (left := deadline - time.monotonic()) > 0 and readable(self, within_seconds=left):
                if not self.some(PIECE_BYTES):
                    return

    def reset(self) -> None:
        """End the connection by RST, not by FIN."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()


def readable(*streams: Stream, within_seconds: float | None = None) -> list[Stream]:
    """Wait until one of the streams has something to be read, be it its end; return those that have."""
    buffered = [stream for stream in streams if stream.has_buffered]
    if buffered:
        return buffered
    watch = select.poll()
    for stream in streams:
        watch.register(stream.sock, select.POLLIN)
    ready = {number for number, _ in watch.poll(None if within_seconds is None else within_seconds * 1000)}
    return [stream for stream in streams if stream.sock.fileno() in ready]


class Body:
    """What follows a head, read piece by piece.

    Attributes:
        total: Its bytes, if its head says so.
        is_chunked: Whether it says its length piece by piece.
        read_bytes: So far, without the frames of chunks.
        is_done: Whether nothing is left.
        frames: Of a chunked body, what `read` gives: "sent", as they came; "own", each piece as a chunk of its own, so
            that the body can be cut anywhere; "none", what is in them.
    """

    def __init__(self, stream: Stream, total: int | None = None, *, is_chunked: bool = False) -> None:
        self.total, self.is_chunked = total, is_chunked
        self.read_bytes = 0
        self.is_done = total == 0
        self.frames: Literal["sent", "own", "none"] = "sent"
        self._stream = stream
        self._left_of_chunk = 0

    @property
    def ends_with_connection(self) -> bool:
        return self.total is None and not self.is_chunked

    def read(self, at_most: int = PIECE_BYTES) -> bytes:
        """Return the next bytes as they were sent, of which at most so many are not frames; may be empty."""
        if self.is_chunked:
            return self._read_data(at_most) if self._left_of_chunk else self._read_frame()
        left = at_most if self.total is None else min(at_most, self.total - self.read_bytes)
        data = self._stream.some(left)
        if not data and self.total is not None:
            raise Gone(f"{self.read_bytes} of {self.total} bytes came")
        self.read_bytes += len(data)
        self.is_done = not data if self.total is None else self.read_bytes == self.total
        return data

    def _read_data(self, at_most: int) -> bytes:
        data = self._stream.some(min(at_most, self._left_of_chunk))
        if not data:
            raise Gone("a chunk was cut")
        self.read_bytes += len(data)
        self._left_of_chunk -= len(data)
        end = b"" if self._left_of_chunk else self._stream.line()
        return {"sent": data + end, "own": b"%x\r\n%s\r\n" % (len(data), data), "none": data}[self.frames]

    def _read_frame(self) -> bytes:
        line = self._stream.line()
        self._left_of_chunk = int(line.split(b";")[0], 16)
        if self._left_of_chunk:
            return line if self.frames == "sent" else b""
        frame = line
        while line != b"\r\n":
            line = self._stream.line()
            frame += line
        self.is_done = True
        return b"" if self.frames == "none" else frame


def body_of_request(head: Head, stream: Stream) -> Body:
    if "chunked" in head.fields.get("transfer-encoding", "").lower():
        return Body(stream, is_chunked=True)
    return Body(stream, int(head.fields.get("content-length", 0)))


def body_of_answer(head: Head, method: str, stream: Stream) -> Body:
    if method == "HEAD" or head.status in (204, 304):
        return Body(stream, 0)
    if "chunked" in head.fields.get("transfer-encoding", "").lower():
        return Body(stream, is_chunked=True)
    length = head.fields.get("content-length")
    return Body(stream, None if length is None else int(length))
