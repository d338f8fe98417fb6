"""A reverse proxy that passes on bytes unchanged, or injects faults by rules.

    with FaultProxy(upstream=server.url) as proxy:
        proxy.add(Fault(when=Match(method="PUT", query_contains="partNumber=2"), do=ResetAfter(1000)))
        ...  # a client that has proxy.url in place of server.url
        assert proxy.faults_injected == 1

It runs in threads of this process, so that tests can hold a request (`Hang`) and look. GDAL holds the interpreter's
lock while it waits for an answer, so it must not use this proxy from this process (see range_server.py). Nor may this
process fork without exec while connections are open: a copy of a socket keeps its connection from being reset.
"""

from __future__ import annotations

import atexit
import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from faults.answers import Answer
from faults.exchange import Entry, Exchange, Link, Request, Reset, Unreachable, begin
from faults.kinds import Kind
from faults.wire import Stream

#: A client that sends into a stall should notice: larger buffers would take a whole part of an upload.
_RECEIVE_BUFFER_BYTES = 1 << 16

#: A thread that has not ended by then never will.
_PATIENCE_SECONDS = 10


@dataclass(frozen=True)
class Match:
    """Filter of requests; all of its fields must match.

    Attributes:
        method: One, or several with blanks between; "": any.
        path_contains: As it is sent, escapes and all.
        query_contains: "partNumber=2" is in "partNumber=21" too.
        header_contains: Some part of a "name: value", in any case.
    """

    method: str = ""
    path_contains: str = ""
    query_contains: str = ""
    header_contains: str = ""

    def __call__(self, request: Request) -> bool:
        headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items()).lower()
        return (
            (not self.method or request.method in self.method.split())
            and self.path_contains in request.path
            and self.query_contains in request.query
            and self.header_contains.lower() in headers
        )


@dataclass(frozen=True)
class Fault:
    """A rule.

    Attributes:
        when: Which requests it is about.
        do: What is done with them.
        times: With how many of them; None: with all.
        skip: How many of them go unharmed before.
    """

    when: Match | Callable[[Request], bool]
    do: Kind
    times: int | None = 1
    skip: int = 0


class Rule:
    """A fault, and how often its turn has come."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._seen = 0
        self._injected = 0

    def takes(self, request: Request) -> bool:
        if self._injected == self.fault.times or not self.fault.when(request):
            return False
        self._seen += 1
        if self._seen <= self.fault.skip:
            return False
        self._injected += 1
        return True

    def give_back(self) -> None:
        self._injected -= 1


class _PassOn:
    """What is done with a request that no rule is about."""

    def serve(self, exchange: Exchange) -> None:
        exchange.forward()


class FaultProxy:
    """The proxy; it listens while the block runs.

    Attributes:
        url: Where: http://127.0.0.1:PORT. The Host header is passed on as the client sends it, with this port.
    """

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        if parts.scheme != "http" or parts.port is None or parts.path not in ("", "/"):
            raise ValueError(f"upstream has to be like http://127.0.0.1:1234, not {upstream!r}")
        self._upstream = (parts.hostname, parts.port)
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._log: list[Entry] = []
        self._faults_injected = 0
        self._is_closing = False
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, name="fault proxy", daemon=True)
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def add(self, *faults: Fault) -> None:
        """Add rules; of those that are about a request, the first is followed."""
        with self._lock:
            self._rules += [Rule(fault) for fault in faults]

    def clear(self) -> None:
        """Remove all rules and records. Requests in progress continue."""
        with self._lock:
            self._rules, self._log, self._faults_injected = [], [], 0

    @property
    def requests(self) -> list[Request]:
        """Requests so far in order of arrival, those in progress included."""
        with self._lock:
            return [entry.snapshot() for entry in self._log]

    @property
    def faults_injected(self) -> int:
        """How many requests a fault was injected into; they count from when their head has come."""
        with self._lock:
            return self._faults_injected

    def close(self) -> None:
        """End all connections, held ones too, and wait until nothing is left of them."""
        with self._lock:
            self._is_closing = True
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):  # wakes up the accepting thread
            socket.create_connection(self._listener.getsockname(), timeout=1).close()
        self._acceptor.join(_PATIENCE_SECONDS)
        for thread in self._threads:
            thread.join(_PATIENCE_SECONDS)
        self._listener.close()
        if any(thread.is_alive() for thread in (self._acceptor, *self._threads)):
            raise RuntimeError("the fault proxy did not come to its end")

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if not self._watch(sock):
                return
            thread = threading.Thread(target=self._serve, args=(sock,), name="fault proxy's client", daemon=True)
            self._threads = [*(one for one in self._threads if one.is_alive()), thread]
            thread.start()

    def _watch(self, sock: socket.socket) -> bool:
        """Register a socket for shutdown when the proxy closes; if it is closing, close it and return False."""
        with self._lock:
            if not self._is_closing:
                self._sockets = {one for one in self._sockets if one.fileno() >= 0} | {sock}
                return True
        sock.close()
        return False

    def _connect(self) -> socket.socket:
        try:
            sock = socket.create_connection(self._upstream, timeout=10)
        except OSError as error:
            raise Unreachable(f"{self._upstream}: {error}") from error
        sock.settimeout(None)
        if not self._watch(sock):
            raise ConnectionAbortedError("the proxy closes")
        return sock

    def _serve(self, sock: socket.socket) -> None:
        """Serve a client's connection."""
        link = Link(Stream(sock), self._connect)
        try:
            while self._serve_next(link):
                pass
        except (Reset, ConnectionResetError):
            # If it was the upstream that did it, the client is to see the same.
            link.client.reset()
        except OSError:
            pass  # a side has gone; so do the others
        finally:
            link.close()

    def _serve_next(self, link: Link) -> bool:
        """Serve a request; False: the connection is to be closed."""
        head = link.next_head()
        if head is None:
            return False
        entry = begin(link, head)
        rule = self._note(entry)
        exchange = Exchange(link, entry, partial(self._spare, entry, rule))
        kind = rule.fault.do if rule is not None else _PassOn()
        try:
            kind.serve(exchange)
        except Unreachable as error:
            Answer(502, body=f"the fault proxy cannot reach {error}".encode()).serve(exchange)
        return exchange.keeps_connection

    def _note(self, entry: Entry) -> Rule | None:
        """Write a request into the log; return the rule that it falls under."""
        with self._lock:
            request = entry.snapshot()
            rule = next((rule for rule in self._rules if rule.takes(request)), None)
            if rule is not None:
                entry.fault = str(rule.fault.do)
                self._faults_injected += 1
            self._log.append(entry)
        return rule

    def _spare(self, entry: Entry, rule: Rule | None) -> None:
        """Take it back that a fault was injected."""
        with self._lock:
            entry.fault = None
            if rule is not None:
                rule.give_back()
            self._faults_injected -= 1


@cache
def refused_url() -> str:
    """Return a URL at which connections are refused: its port is reserved, but not listened at."""
    sock = socket.socket()
    atexit.register(sock.close)
    sock.bind(("127.0.0.1", 0))
    return f"http://127.0.0.1:{sock.getsockname()[1]}"
