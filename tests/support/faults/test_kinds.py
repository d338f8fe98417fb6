"""Each fault changes a request as documented, and nothing else."""

from __future__ import annotations

import hashlib
import http.client
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from faults.clients import ANY, BIG, SMALL, connect, raw, send_request, soon
from faults.exchange import Gate
from faults.kinds import (
    Hang,
    HangAnswer,
    Kind,
    ResetAfter,
    ResetBeforeAnswer,
    ResetInAnswer,
    Slow,
    Stall,
    StallInBody,
    Truncate,
    WrongChecksum,
    WrongETag,
    WrongSize,
    WrongText,
)
from faults.proxy import Fault, FaultProxy, Match
from faults.upstream import Store


class TestResets:
    @pytest.mark.parametrize("body_bytes", [0, 1, 100_000, 300_000, 10**9])
    def test_reset_within_the_request(self, store: Store, proxy: FaultProxy, client: Any, body_bytes: int) -> None:
        proxy.add(Fault(ANY, ResetAfter(body_bytes)))

        with pytest.raises(ConnectionError):
            send_request(client, "PUT", "/a", BIG[:300_000])
        client.close()

        (noted,) = proxy.requests
        assert noted.body_bytes == min(body_bytes, 300_000)
        assert (noted.status, noted.fault) == (None, f"reset-after-{body_bytes}")
        assert send_request(client, "GET", "/a")[0] == 404
        assert proxy.faults_injected == 1

    def test_client_receives_a_reset(self, proxy: FaultProxy) -> None:
        proxy.add(Fault(ANY, ResetAfter(3)))
        with raw(proxy) as sock:
            sock.sendall(b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc")
            with pytest.raises(ConnectionResetError):
                sock.recv(1)

    def test_reset_of_a_request_without_a_body(self, store: Store, proxy: FaultProxy, client: Any) -> None:
        proxy.add(Fault(ANY, ResetAfter(0)))

        with pytest.raises(ConnectionResetError):
            send_request(client, "DELETE", "/a")

        assert store.heads == []

    def test_reset_of_a_chunked_request(self, store: Store, proxy: FaultProxy, client: Any) -> None:
        proxy.add(Fault(ANY, ResetAfter(15)))

        with pytest.raises(ConnectionError):
            send_request(client, "PUT", "/a", iter([b"0123456789"] * 5))

        assert proxy.requests[0].body_bytes == 15
        assert store.objects == {}

    def test_reset_before_the_answer(self, store: Store, proxy: FaultProxy, client: Any) -> None:
        proxy.add(Fault(ANY, ResetBeforeAnswer()))

        with pytest.raises(ConnectionResetError):
            send_request(client, "PUT", "/a", SMALL)

        assert store.objects == {"/a": SMALL}
        assert (proxy.requests[0].status, proxy.requests[0].upstream_status) == (None, 200)

    @pytest.mark.parametrize(("answer_bytes", "sent"), [(0, 0), (1000, 1000), (10**9, len(SMALL) - 1)])
    def test_reset_within_the_answer(
        self, store: Store, proxy: FaultProxy, client: Any, answer_bytes: int, sent: int
    ) -> None:
        store.objects["/a"] = SMALL
        proxy.add(Fault(ANY, ResetInAnswer(answer_bytes)))

        client.request("GET", "/a")
        with client.getresponse() as answer:
            assert answer.status == 200
            assert answer.read1(sent) == SMALL[:sent]
            with pytest.raises(ConnectionResetError):
                answer.read(1)

        assert proxy.requests[0].status == 200

    def test_reset_within_a_large_answer(self, store: Store, proxy: FaultProxy, client: Any) -> None:
        store.objects["/a"] = BIG
        proxy.add(Fault(ANY, ResetInAnswer(10_000_000)))

        client.request("GET", "/a?chunked")
        with client.getresponse() as answer:
            assert answer.read(10_000_000) == BIG[:10_000_000]
            with pytest.raises(ConnectionResetError):
                answer.read()

    def test_reset_of_an_answer_without_a_body(self, store: Store, proxy: FaultProxy, client: Any) -> None:
        proxy.add(Fault(ANY, ResetInAnswer(5)))

        with pytest.raises(ConnectionResetError):
            send_request(client, "PUT", "/a", SMALL)

        assert store.objects == {"/a": SMALL}


class TestDelays:
    def test_stall_before_the_answer(self, store: Store, proxy: FaultProxy, client: Any) -> None:
        proxy.add(Fault(ANY, Stall(0.3)))
        started = time.monotonic()

        with pytest.raises(ConnectionResetError):
            send_request(client, "PUT", "/a", BIG)

        assert 0.3 <= time.monotonic() - started < 3
        assert (store.heads, proxy.requests[0].body_bytes) == ([], len(BIG))

    @pytest.mark.parametrize(
        "fault", [Stall(), StallInBody(1000), Slow(1000), Hang(Gate()), HangAnswer(Gate())], ids=str
    )
    def test_closing_does_not_wait(self, store: Store, fault: Kind) -> None:
        with FaultProxy(store.url) as proxy:
            proxy.add(Fault(ANY, fault))
            with closing(connect(proxy, timeout=0.1)) as client, pytest.raises(TimeoutError):
                send_request(client, "PUT", "/a", BIG)
            with closing(connect(proxy)) as client:
                client.request("GET", "/a")
                started = time.monotonic()
                proxy.close()
        assert time.monotonic() - started < 1

    def test_stall_in_the_body(self, store: Store, proxy: FaultProxy, client: Any) -> None:
        proxy.add(Fault(ANY, StallInBody(1000, seconds=0.3)))
        started = time.monotonic()

        with pytest.raises(ConnectionError):
            client.request("PUT", "/a", BIG)

        assert 0.3 <= time.monotonic() - started < 3
        assert proxy.requests[0].body_bytes == 1000
        assert store.objects == {}

    def test_slow_answer(self, store: Store, proxy: FaultProxy, client: Any) -> None:
        proxy.add(Fault(ANY, Slow(1_000_000), times=None))
        started = time.monotonic()

        assert send_request(client, "PUT", "/a", BIG[:400_000])[0] == 200

        assert 0.4 <= time.monotonic() - started < 2
        assert store.objects == {"/a": BIG[:400_000]}
        assert send_request(client, "GET", "/a")[2] == BIG[:400_000]

    @pytest.mark.parametrize("body_bytes", [0, 1000, 10**9])
    def test_hang_before_the_answer(self, store: Store, proxy: FaultProxy, client: Any, body_bytes: int) -> None:
        gate = Gate()
        proxy.add(Fault(ANY, Hang(gate, body_bytes)))
        client.request("PUT", "/a", SMALL)

        assert gate.reached.wait(5)
        assert (store.objects, proxy.requests[0].fault) == ({}, f"hang-{body_bytes}")
        gate.open()

        with client.getresponse() as answer:
            assert answer.status == 200
        assert store.objects == {"/a": SMALL}

    def test_hang_of_the_answer(self, store: Store, proxy: FaultProxy, client: Any) -> None:
        gate = Gate()
        proxy.add(Fault(ANY, HangAnswer(gate)))
        client.request("PUT", "/a", SMALL)

        assert gate.reached.wait(5)
        assert store.objects == {"/a": SMALL}
        assert (proxy.requests[0].status, proxy.requests[0].upstream_status) == (None, 200)
        gate.open()

        with client.getresponse() as answer:
            assert answer.status == 200

    def test_client_killed_during_a_hang_is_not_passed_on(self, store: Store, proxy: FaultProxy) -> None:
        gate = Gate()
        proxy.add(Fault(ANY, Hang(gate, 500)))
        program = textwrap.dedent("""
            import http.client, sys
            http.client.HTTPConnection(sys.argv[1]).request("PUT", "/a", bytes(1000))
            sys.stdin.read()
        """)
        command = [sys.executable, "-c", program, urlsplit(proxy.url).netloc]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            assert gate.reached.wait(5)
            process.send_signal(signal.SIGKILL)
        soon(lambda: store.cut)
        gate.open()

        assert store.objects == {}


class TestWrongAnswers:
    @pytest.mark.parametrize("delta", [7, -7])
    def test_wrong_size_in_a_head_response(self, store: Store, proxy: FaultProxy, client: Any, delta: int) -> None:
        store.objects["/a"] = SMALL
        proxy.add(Fault(Match("HEAD"), WrongSize(delta)))

        assert send_request(client, "HEAD", "/a")[1]["Content-Length"] == str(len(SMALL) + delta)
        assert send_request(client, "HEAD", "/a")[1]["Content-Length"] == str(len(SMALL))

    def test_wrong_size_of_a_body(self, store: Store, proxy: FaultProxy, client: Any) -> None:
        store.objects["/a"] = SMALL
        proxy.add(Fault(ANY, WrongSize(-7)), Fault(ANY, WrongSize(7)))

        assert send_request(client, "GET", "/a")[2] == SMALL[:-7]
        client.close()
        with pytest.raises(http.client.IncompleteRead) as caught:
            send_request(client, "GET", "/a")
        assert caught.value.partial == SMALL

    def test_wrong_etag(self, store: Store, proxy: FaultProxy, client: Any) -> None:
        proxy.add(Fault(ANY, WrongETag()))

        assert send_request(client, "PUT", "/a", SMALL)[1]["ETag"] == '"00000000000000000000000000000000"'
        assert send_request(client, "GET", "/a")[1]["ETag"] == f'"{hashlib.md5(SMALL).hexdigest()}"'

    def test_wrong_checksums(self, store: Store, proxy: FaultProxy, client: Any) -> None:
        proxy.add(Fault(ANY, WrongChecksum()))

        headers = send_request(client, "PUT", "/a", SMALL)[1]

        assert headers["x-amz-checksum-crc32"] == "BAAAAA=="
        assert headers["x-amz-checksum-type"] == "FULL_OBJECT"
        assert headers["x-goog-hash"] == "crc32c=A03x6A==,md5=Ajk9c3dhfxgoKVVHYwFbHQ=="

    @pytest.mark.parametrize("query", ["", "?chunked"])
    def test_wrong_text(self, store: Store, proxy: FaultProxy, client: Any, query: str) -> None:
        store.objects["/a"] = b'{"size": "123", "x": 1}'
        proxy.add(Fault(ANY, WrongText(rb'"size": "\d+"', b'"size": "9"')))

        assert send_request(client, "GET", "/a" + query)[2] == b'{"size": "9", "x": 1}'
        assert send_request(client, "GET", "/a" + query)[2] == store.objects["/a"]

    @pytest.mark.parametrize("lie", [WrongSize(-1), WrongETag(), WrongChecksum(), WrongText(b"x", b"y")], ids=str)
    def test_fault_without_effect_is_not_counted(self, store: Store, proxy: FaultProxy, client: Any, lie: Kind) -> None:
        proxy.add(Fault(ANY, lie))

        assert send_request(client, "DELETE", "/a")[0] == 204
        assert (proxy.faults_injected, proxy.requests[0].fault) == (0, None)
        store.objects["/a"] = b"x"
        send_request(client, "GET", "/a")
        assert (proxy.faults_injected, proxy.requests[1].fault) == (1, str(lie))

    @pytest.mark.parametrize("kept", [0, 700, 300_000, 10**9])
    @pytest.mark.parametrize("chunks", [True, False])
    def test_truncated_body(self, store: Store, proxy: FaultProxy, client: Any, kept: int, chunks: bool) -> None:
        body = BIG[:300_000]
        proxy.add(Fault(ANY, Truncate(kept)))

        sent = iter([body[:1000], body[1000:]]) if chunks else body
        assert send_request(client, "PUT", "/a", sent)[0] == 200

        assert store.objects["/a"] == body[:kept]
        assert send_request(client, "GET", "/a")[2] == body[:kept]
