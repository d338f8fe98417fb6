"""One request to the upstream and its answer, to which faults are applied."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from faults.wire import PIECE_BYTES, Body, Gone, Head, Stream, body_of_answer, body_of_request, readable

#: How often a request that is held looks whether it still is.
_LOOK_SECONDS = 0.01


class Reset(Exception):
    """What a fault raises to end the client's connection by RST."""


class Unreachable(Exception):
    """Nobody listens where the upstream should be."""


class Gate:
    """Gate at which requests are held, so that a test can act at a known point.

    Attributes:
        reached: Set as soon as a request is held here.
    """

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._opened = threading.Event()

    @property
    def is_open(self) -> bool:
        return self._opened.is_set()

    def open(self) -> None:
        """Release everything that is held, and hold nothing more."""
        self._opened.set()


@dataclass(frozen=True)
class Request:
    """Record of a request.

    Attributes:
        method: As it was sent.
        path: As it was sent: escapes stay.
        query: What follows the question mark.
        headers: By names in lower case.
        body_bytes: How much of the body was read so far; without the frames of chunks, with those of aws-chunked.
        status: Of the answer that the client was given, known before its first byte is sent; None: none so far.
        upstream_status: Of the upstream's answer, also if it was not passed on.
        fault: Name of the fault that was injected.
        started: When its head had come, by time.monotonic().
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body_bytes: int
    status: int | None
    upstream_status: int | None
    fault: str | None
    started: float


@dataclass
class Entry:
    """Record of a request in progress."""

    head: Head
    body: Body
    status: int | None = None
    upstream_status: int | None = None
    fault: str | None = None
    started: float = field(default_factory=time.monotonic)

    def snapshot(self) -> Request:
        method, target, _ = self.head.first_line
        path, _, query = target.partition("?")
        return Request(
            method, path, query, self.head.fields, self.body.read_bytes,
            self.status, self.upstream_status, self.fault, self.started,
        )  # fmt: skip


class Link:
    """A client's connection, and the one to the upstream that belongs to it: when one ends, so does the other."""

    def __init__(self, client: Stream, connect: Callable[[], socket.socket]) -> None:
        self.client = client
        self._connect = connect
        self._upstream: Stream | None = None

    def upstream(self) -> Stream:
        if self._upstream is None:
            self._upstream = Stream(self._connect())
        return self._upstream

    def next_head(self) -> Head | None:
        """Wait for the next request; None: a side has had enough."""
        upstream = [self._upstream] if self._upstream is not None else []
        ready = readable(self.client, *upstream)
        if self._upstream in ready:
            self.drop_upstream()
        return self.client.head() if self.client in ready else None

    def drop_upstream(self) -> None:
        if self._upstream is not None:
            self._upstream.close()
            self._upstream = None

    def close(self) -> None:
        self.drop_upstream()
        self.client.close()


class Exchange:
    """One request and its answer.

    Attributes:
        entry: Its line in the log.
        body: The request's.
        held: What was read of the request and not yet passed on: its head, then the last piece of its body.
        keeps_connection: Whether the client may send another request on this connection.
        spare: To be called by a fault that finds nothing to change: it was not injected.
    """

    def __init__(self, link: Link, entry: Entry, spare: Callable[[], None]) -> None:
        self.entry, self.body, self.spare = entry, entry.body, spare
        self.client = link.client
        self.held = entry.head.raw
        self.keeps_connection = entry.head.keeps_connection
        self._link = link
        self._final: Head | None = None
        self._was_told_to_continue = False

    @property
    def method(self) -> str:
        return self.entry.head.first_line[0]

    @property
    def is_answered(self) -> bool:
        """Whether the upstream's answer is here, which may be before the request's end."""
        return self._final is not None

    def forward(self) -> None:
        """Pass on what is left of the request, and the answer."""
        self.pass_request()
        self.pass_answer()

    def pass_request(self, up_to: int | None = None) -> None:
        """Pass on the request as it comes, until its end or an early answer.

        Args:
            up_to: Stop when so many bytes of the body were read, or all. The last of them are held then, and with none
                the head is: so the upstream never has the whole of a request that is stopped. Call again to go on.
        """
        while True:
            if up_to is not None and (self.body.is_done or self.body.read_bytes >= up_to):
                return
            if not self.pass_held() or self.body.is_done or not self._client_is_next():
                return
            left = PIECE_BYTES if up_to is None else up_to - self.body.read_bytes
            self.held = self.body.read(min(PIECE_BYTES, left))

    def pass_held(self) -> bool:
        """Pass on what was read; False: the upstream listens no more, but has answered."""
        held, self.held = self.held, b""
        upstream = self._link.upstream()
        try:
            upstream.send(held)
        except ConnectionError:
            if self.is_answered:
                raise
            while self._take_interim():
                pass
            return False
        return True

    def _client_is_next(self) -> bool:
        """Wait for more of the body; False: the answer came first."""
        upstream = self._link.upstream()
        while not self.client.has_buffered:
            ready = readable(self.client, upstream)
            if upstream not in ready:
                return True
            if not self._take_interim():
                return False
        return True

    def _take_interim(self) -> bool:
        """Take a head from the upstream, and pass it on if it is none but "100 Continue"; False: it is the answer's."""
        head = self._link.upstream().head()
        if head is None:
            raise Gone("the upstream gave no answer")
        if head.status >= 200:
            self._final, self.entry.upstream_status = head, head.status
            return False
        if not (head.status == 100 and self._was_told_to_continue):
            self.client.send(head.raw)
        self._was_told_to_continue |= head.status == 100
        return True

    def drop_body(self) -> None:
        """Read the rest of the body and let it go."""
        expects = "100-continue" in self.entry.head.fields.get("expect", "").lower()
        if expects and not (self._was_told_to_continue or self.body.is_done or self.body.read_bytes):
            self._was_told_to_continue = True
            self.client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not self.body.is_done:
            self.body.read()

    def answer(self) -> tuple[Head, Body]:
        """Wait for the upstream's answer."""
        upstream = self._link.upstream()
        while self._final is None:
            # A server may stop its work when the client is gone: let it know.
            while not readable(upstream, within_seconds=_LOOK_SECONDS):
                self.pause(0)
            self._take_interim()
        return self._final, body_of_answer(self._final, self.method, upstream)

    def pass_answer(self, edit: Callable[[Head], Head] = lambda head: head) -> None:
        """Pass on the answer, with another head if one is passed."""
        head, body = self.answer()
        self.begin_answer(edit(head))
        while not body.is_done:
            self.client.send(body.read())
        self.keeps_connection &= not body.ends_with_connection
        self.settle()

    def begin_answer(self, head: Head, body: bytes = b"") -> None:
        """Note and send an answer's head, and the part of its body that is here."""
        self.entry.status = head.status
        self.keeps_connection &= head.keeps_connection
        self.client.send(head.raw + body)

    def settle(self) -> None:
        """Pass on the rest of the request after an early answer, as long as the upstream reads."""
        if self.body.is_done:
            return
        try:
            self.pass_request()
        except OSError:
            self.client.linger()
            raise

    def pause(self, seconds: float) -> None:
        """Do nothing for a while, or until the client is gone or the proxy closes."""
        if self.client.is_left(within_seconds=seconds):
            raise Gone("the client hung up")

    def hold(self, gate: Gate) -> None:
        """Wait until a gate is open."""
        gate.reached.set()
        while not gate.is_open:
            self.pause(_LOOK_SECONDS)


def begin(link: Link, head: Head) -> Entry:
    """Open a line of the log."""
    return Entry(head, body_of_request(head, link.client))
