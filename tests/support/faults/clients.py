"""Clients to try the proxy with."""

from __future__ import annotations

import http.client
import os
import random
import socket
import time
from typing import Any
from urllib.parse import urlsplit

from faults.proxy import FaultProxy, Match

BIG = random.Random(0).randbytes(20 << 20)
SMALL = bytes(range(256)) * 8

ANY = Match()


def connect(proxy: FaultProxy, timeout: float = 5) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=timeout)


def send_request(
    client: http.client.HTTPConnection, method: str, target: str, body: Any = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    client.request(method, target, body, headers)
    with client.getresponse() as answer:
        return answer.status, answer.headers, answer.read()


def soon(holds: Any) -> None:
    """Wait until something holds that another thread brings about."""
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def raw(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", urlsplit(proxy.url).port), timeout=5)


def receive(sock: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = sock.recv(count - len(found))
        if not more:
            break
        found += more
    return found


def until_end(sock: socket.socket) -> bytes:
    return receive(sock, 1 << 30)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
