"""The faults, one class for each; str() of one is a name that stays the same from run to run, for pytest's ids."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from faults.exchange import Exchange, Gate, Reset
from faults.wire import PIECE_BYTES, Head

#: A stall that no client sits out; it ends when the client hangs up or the proxy closes.
FOREVER_SECONDS = 3600.0


class Kind(Protocol):
    """Action on a request instead of passing it on."""

    def serve(self, exchange: Exchange) -> None: ...


@dataclass(frozen=True)
class ResetAfter:
    """Resets the connection when so many bytes of the request's body were read, or all of them.

    The upstream is given the bytes before the last that were read, and then an end: never the whole request. With 0
    bytes, or for a request without a body, it hears nothing of it.
    """

    body_bytes: int

    def __str__(self) -> str:
        return f"reset-after-{self.body_bytes}"

    def serve(self, exchange: Exchange) -> None:
        exchange.pass_request(up_to=self.body_bytes)
        raise Reset


@dataclass(frozen=True)
class ResetBeforeAnswer:
    """The upstream processes the request and answers; the client sees a reset instead of the answer."""

    def __str__(self) -> str:
        return "reset-before-answer"

    def serve(self, exchange: Exchange) -> None:
        exchange.pass_request()
        _, body = exchange.answer()
        while not body.is_done:
            body.read()
        raise Reset


@dataclass(frozen=True)
class ResetInAnswer:
    """Resets when so many bytes of the answer's body were sent, or all but the last; without a body, in the head."""

    answer_bytes: int

    def __str__(self) -> str:
        return f"reset-in-answer-{self.answer_bytes}"

    def serve(self, exchange: Exchange) -> None:
        exchange.pass_request()
        head, body = exchange.answer()
        exchange.begin_answer(Head(head.raw[:-2]) if body.is_done else head)
        while not body.is_done and body.read_bytes < self.answer_bytes:
            piece = body.read(min(PIECE_BYTES, self.answer_bytes - body.read_bytes))
            exchange.client.send(piece[:-1] if body.is_done else piece)
        exchange.client.wait_until_sent()
        raise Reset


@dataclass(frozen=True)
class Stall:
    """Reads the request, waits, and resets. Nothing is passed to the upstream."""

    seconds: float = FOREVER_SECONDS

    def __str__(self) -> str:
        return f"stall-{self.seconds:g}s"

    def serve(self, exchange: Exchange) -> None:
        exchange.drop_body()
        exchange.pause(self.seconds)
        raise Reset


@dataclass(frozen=True)
class StallInBody:
    """Stops reading when so many bytes of the request's body were read, and resets after so long."""

    body_bytes: int
    seconds: float = FOREVER_SECONDS

    def __str__(self) -> str:
        return f"stall-in-body-{self.body_bytes}"

    def serve(self, exchange: Exchange) -> None:
        exchange.pass_request(up_to=self.body_bytes)
        exchange.pause(self.seconds)
        raise Reset


@dataclass(frozen=True)
class Slow:
    """Reads the request's body, and passes it on, no faster than this."""

    bytes_per_second: float

    def __str__(self) -> str:
        return f"slow-{self.bytes_per_second:g}"

    def serve(self, exchange: Exchange) -> None:
        step = max(1, int(self.bytes_per_second / 20))
        started = time.monotonic()
        while not (exchange.body.is_done or exchange.is_answered):
            exchange.pass_request(up_to=exchange.body.read_bytes + step)
            exchange.pause(started + exchange.body.read_bytes / self.bytes_per_second - time.monotonic())
        exchange.forward()


@dataclass(frozen=True, eq=False)
class Hang:
    """Holds the request at a gate when so many bytes of its body were read; with 0, before it is passed on.

    If the client is gone before the gate is opened, the upstream never has the whole request.
    """

    gate: Gate
    body_bytes: int = 0

    def __str__(self) -> str:
        return f"hang-{self.body_bytes}"

    def serve(self, exchange: Exchange) -> None:
        exchange.pass_request(up_to=self.body_bytes)
        exchange.hold(self.gate)
        exchange.forward()


@dataclass(frozen=True, eq=False)
class HangAnswer:
    """Holds the answer at a gate: the upstream has processed the request, and the client does not know yet."""

    gate: Gate

    def __str__(self) -> str:
        return "hang-answer"

    def serve(self, exchange: Exchange) -> None:
        exchange.pass_request()
        exchange.answer()
        exchange.hold(self.gate)
        exchange.pass_answer()


@dataclass(frozen=True)
class Truncate:
    """Cuts the request's body after some bytes, and declares the shorter length to the upstream.

    An upstream that is sent a checksum, or a signature of the body, will find out.
    """

    body_bytes: int

    def __str__(self) -> str:
        return f"truncate-{self.body_bytes}"

    def serve(self, exchange: Exchange) -> None:
        body = exchange.body
        body.frames = "own"
        if body.total is not None:
            exchange.held = exchange.entry.head.with_field("Content-Length", str(min(body.total, self.body_bytes))).raw
        exchange.pass_request(up_to=self.body_bytes)
        if body.is_chunked and not body.is_done:
            exchange.held += b"0\r\n\r\n"
        exchange.pass_held()
        exchange.drop_body()
        exchange.pass_answer()


@dataclass(frozen=True)
class WrongSize:
    """Changes Content-Length in the answer. The body is cut to that length, or ends early if it is shorter."""

    delta: int

    def __str__(self) -> str:
        return f"wrong-size{self.delta:+d}"

    def serve(self, exchange: Exchange) -> None:
        exchange.pass_request()
        head, body = exchange.answer()
        if "content-length" not in head.fields:
            exchange.spare()
            exchange.pass_answer()
            return
        size = max(0, int(head.fields["content-length"]) + self.delta)
        exchange.begin_answer(head.with_field("Content-Length", str(size)))
        while not body.is_done:
            left = size - body.read_bytes
            exchange.client.send(body.read()[: max(0, left)])
        exchange.keeps_connection &= exchange.method == "HEAD"
        exchange.settle()


@dataclass(frozen=True)
class WrongETag:
    """Puts another ETag into the answer; an answer without one is left as it is, and does not count as a fault."""

    value: str = '"00000000000000000000000000000000"'

    def __str__(self) -> str:
        return "wrong-etag"

    def serve(self, exchange: Exchange) -> None:
        _edit(exchange, lambda head: head.with_field("ETag", self.value) if "etag" in head.fields else head)


@dataclass(frozen=True)
class WrongChecksum:
    """Changes a letter of each checksum in the answer's head: S3's, GCS's, Azure's. Without any, it does not count."""

    def __str__(self) -> str:
        return "wrong-checksum"

    def serve(self, exchange: Exchange) -> None:
        _edit(exchange, _with_wrong_checksums)


@dataclass(frozen=True)
class WrongText:
    """Replaces what a pattern finds in the answer's body, and corrects its length.

    Services say sizes, ETags and checksums in JSON and XML too. The answer is gathered in memory. One in which the
    pattern is not found, as in what is compressed, does not count as a fault.
    """

    pattern: bytes
    replacement: bytes

    def __str__(self) -> str:
        return "wrong-text-" + re.sub(r"\W+", "-", self.pattern.decode("latin-1")).strip("-")

    def serve(self, exchange: Exchange) -> None:
        exchange.pass_request()
        head, body = exchange.answer()
        if body.is_done:
            exchange.spare()
            exchange.pass_answer()
            return
        body.frames = "none"
        pieces = []
        while not body.is_done:
            pieces.append(body.read())
        changed, count = re.subn(self.pattern, self.replacement, b"".join(pieces))
        if not count:
            exchange.spare()
        exchange.begin_answer(head.without_field("Transfer-Encoding").with_field("Content-Length", str(len(changed))))
        exchange.client.send(changed)
        exchange.settle()


def _edit(exchange: Exchange, edit: Callable[[Head], Head]) -> None:
    exchange.pass_request()
    head, _ = exchange.answer()
    changed = edit(head)
    if changed == head:
        exchange.spare()
    exchange.pass_answer(lambda _: changed)


def _with_wrong_checksums(head: Head) -> Head:
    for name, value in head.fields.items():
        if re.fullmatch(r"x-amz-checksum-(?!type|algorithm).*|content-md5|x-ms-content-crc64", name):
            head = head.with_field(name, _wrong(value))
        elif name == "x-goog-hash":
            head = head.with_field(name, re.sub(r"(?<==)\w[^,]*", lambda found: _wrong(found[0]), value))
    return head


def _wrong(checksum: str) -> str:
    """Change the first letter: still base64, and of the right length."""
    return ("B" if checksum.startswith("A") else "A") + checksum[1:]
