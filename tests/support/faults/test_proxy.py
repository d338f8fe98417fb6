"""The fault proxy passes everything on unchanged, except for its faults."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from contextlib import closing
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from faults.answers import Answer, AnswerEarly, HttpDate, azure_error, gcs_error, redirect, s3_error
from faults.clients import ANY, BIG, SMALL, connect, open_files, raw, receive, send_request, soon, until_end
from faults.exchange import Gate
from faults.kinds import (
    Hang,
    HangAnswer,
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
from faults.proxy import Fault, FaultProxy, Match, refused_url
from faults.upstream import Store


class TestPassesOn:
    def test_large_bodies_in_both_directions_on_one_connection(
        self, store: Store, proxy: FaultProxy, client: Any
    ) -> None:
        assert send_request(client, "PUT", "/big?x=1", BIG)[0] == 200
        status, headers, body = send_request(client, "GET", "/big")

        assert status == 200
        assert hashlib.md5(body).digest() == hashlib.md5(BIG).digest()
        assert headers["ETag"] == f'"{hashlib.md5(BIG).hexdigest()}"'
        assert store.connections == 1
        assert [(one.method, one.path, one.query, one.body_bytes, one.status) for one in proxy.requests] == [
            ("PUT", "/big", "x=1", len(BIG), 200),
            ("GET", "/big", "", 0, 200),
        ]
        assert proxy.faults_injected == 0

    def test_chunked_bodies_in_both_directions(self, store: Store, proxy: FaultProxy, client: Any) -> None:
        pieces = (BIG[start : start + 100_000] for start in range(0, len(BIG), 100_000))
        client.request("PUT", "/chunks", pieces, encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
        with client.getresponse() as answer:
            assert answer.read() == b""
        status, headers, body = send_request(client, "GET", "/chunks?chunked")

        assert (status, headers["Transfer-Encoding"]) == (200, "chunked")
        assert body == store.objects["/chunks"] == BIG
        assert proxy.requests[0].body_bytes == len(BIG)
        assert send_request(client, "HEAD", "/chunks")[0] == 200
        assert store.connections == 1

    def test_answers_without_bodies(self, store: Store, client: Any) -> None:
        store.objects["/a"] = SMALL

        status, headers, body = send_request(client, "HEAD", "/a")

        assert (status, headers["Content-Length"], body) == (200, str(len(SMALL)), b"")
        assert send_request(client, "DELETE", "/a")[0] == 204
        assert send_request(client, "GET", "/a")[0] == 404
        assert store.connections == 1

    def test_bytes_are_passed_on_unchanged(self) -> None:
        request = b"PUT /a%2Fb//c?d=%20 HTTP/1.1\r\nhOST:  there\r\nX:\t1 \r\nx: 2\r\nContent-Length: 3\r\n\r\nabc"
        answer = b"HTTP/1.1 200 \r\nsTrange:x\r\nTransfer-Encoding: Chunked\r\n\r\n"
        answer += b"00a;b=c\r\n0123456789\r\n0\r\nT: u\r\n\r\n"
        came = []

        def serve() -> None:
            with listener.accept()[0] as sock:
                came.append(receive(sock, len(request)))
                sock.sendall(answer)
                came.append(sock.recv(1))

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=serve)
            thread.start()
            with FaultProxy(f"http://127.0.0.1:{listener.getsockname()[1]}") as proxy, raw(proxy) as sock:
                sock.sendall(request)
                assert receive(sock, len(answer)) == answer
            thread.join()

        assert came == [request, b""]

    def test_continue_comes_from_the_upstream_and_once(self, store: Store, proxy: FaultProxy) -> None:
        with raw(proxy) as sock:
            sock.sendall(b"PUT /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            assert receive(sock, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(b"abc")
            assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")

        assert store.objects["/a"] == b"abc"

    def test_an_early_answer_in_place_of_continue(self, proxy: FaultProxy) -> None:
        with raw(proxy) as sock:
            sock.sendall(b"PUT /a?early HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            assert b"HTTP/1.1 403 Forbidden" in until_end(sock)

        assert proxy.requests[0].body_bytes == 0

    def test_an_early_answer_while_the_body_is_sent(self, proxy: FaultProxy) -> None:
        with raw(proxy) as sock:
            sock.sendall(b"PUT /a?early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + bytes(1000))
            assert b"HTTP/1.1 403 Forbidden" in until_end(sock)

    @pytest.mark.parametrize("idle", [True, False])
    def test_upstream_that_closes_the_connection(self, idle: bool) -> None:
        def serve() -> None:
            with listener.accept()[0] as sock:
                sock.recv(1000)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + (b"abc" if idle else b"a"))

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=serve)
            thread.start()
            with FaultProxy(f"http://127.0.0.1:{listener.getsockname()[1]}") as proxy, raw(proxy) as sock:
                sock.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
                assert until_end(sock).endswith(b"\r\n\r\nabc" if idle else b"\r\n\r\na")
            thread.join()

    def test_client_that_closes_the_connection(self, store: Store, proxy: FaultProxy) -> None:
        with raw(proxy) as sock:
            sock.sendall(b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + bytes(100))
            soon(lambda: proxy.requests and proxy.requests[0].body_bytes == 100)

        soon(lambda: store.cut == [("/a", 100)])
        assert store.objects == {}

    def test_concurrent_connections(self, store: Store, proxy: FaultProxy) -> None:
        def put(number: int) -> None:
            with closing(connect(proxy)) as client:
                for turn in range(10):
                    assert send_request(client, "PUT", f"/{number}/{turn}", SMALL + bytes(number))[0] == 200

        threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(store.objects) == len(proxy.requests) == 80
        assert store.objects["/7/9"] == SMALL + bytes(7)

    def test_proxy_leaves_no_threads_or_sockets(self, store: Store) -> None:
        before = threading.active_count(), open_files()
        with FaultProxy(store.url) as proxy:
            clients = [connect(proxy) for _ in range(5)]
            for client in clients:
                send_request(client, "PUT", "/a", SMALL)
        for client in clients:
            client.close()

        soon(lambda: (threading.active_count(), open_files()) == before)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((urlsplit(proxy.url).hostname, urlsplit(proxy.url).port))

    def test_unreachable_upstream(self) -> None:
        with FaultProxy(refused_url()) as proxy, closing(connect(proxy)) as client:
            status, _, body = send_request(client, "PUT", "/a", SMALL)

        assert status == 502
        assert b"refused" in body

    def test_invalid_upstream_url_is_refused(self) -> None:
        with pytest.raises(ValueError, match="http://127"):
            FaultProxy("https://127.0.0.1:1/a")

    def test_refused_url(self) -> None:
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", urlsplit(refused_url()).port))


class TestRules:
    def test_skip_and_times_of_a_rule(self, proxy: FaultProxy, client: Any) -> None:
        proxy.add(Fault(ANY, Answer(500), skip=1, times=2), Fault(ANY, Answer(503), times=None))

        assert [send_request(client, "GET", "/a")[0] for _ in range(5)] == [503, 500, 500, 503, 503]
        assert proxy.faults_injected == 5
        assert [one.fault for one in proxy.requests][:2] == ["answer-503", "answer-500"]

        proxy.clear()
        assert (proxy.requests, proxy.faults_injected) == ([], 0)
        assert send_request(client, "GET", "/a")[0] == 404

    @pytest.mark.parametrize(
        ("match", "fits"),
        [
            (Match("PUT"), True),
            (Match("GET PUT"), True),
            (Match("GET"), False),
            (Match(path_contains="a%20b"), True),
            (Match(path_contains="partNumber"), False),
            (Match(query_contains="partNumber=2"), True),
            (Match(query_contains="partNumber=3"), False),
            (Match(header_contains="content-range: Bytes 0-"), True),
            (Match(header_contains="content-range: Bytes 1-"), False),
            (Match("PUT", "/a", "part", "x-y: z"), True),
            (Match("PUT", "/b", "part", "x-y: z"), False),
            (lambda request: request.headers["x-y"] == "z", True),
        ],
    )
    def test_match_of_a_rule(self, proxy: FaultProxy, client: Any, match: Any, fits: bool) -> None:
        proxy.add(Fault(match, Answer(418)))
        headers = {"Content-Range": "bytes 0-2/*", "X-Y": "z"}

        status, _, _ = send_request(client, "PUT", "/a%20b?partNumber=2&x", b"abc", **headers)

        assert status == (418 if fits else 200)

    def test_names_of_rules_are_stable(self) -> None:
        names = [
            str(kind)
            for kind in (
                ResetAfter(5), ResetBeforeAnswer(), ResetInAnswer(6), Stall(1.5), StallInBody(7), Slow(1000),
                Hang(Gate()), HangAnswer(Gate()), Truncate(8), WrongSize(-1), WrongETag(), WrongChecksum(),
                WrongText(b'"size": "', b""), Answer(500), s3_error(503, "SlowDown"), AnswerEarly(403, name="x"),
            )
        ]  # fmt: skip

        assert names == [
            "reset-after-5", "reset-before-answer", "reset-in-answer-6", "stall-1.5s", "stall-in-body-7", "slow-1000",
            "hang-0", "hang-answer", "truncate-8", "wrong-size-1", "wrong-etag", "wrong-checksum",
            "wrong-text-size", "answer-500", "answer-503-SlowDown", "answer-early-403-x",
        ]  # fmt: skip


class TestAnswers:
    @pytest.mark.parametrize(
        "answer",
        [
            Answer(500),
            Answer(503, headers={"Retry-After": "1"}, name="retry-after"),
            Answer(507, "Full"),
            s3_error(403, "ExpiredToken"),
            azure_error(503, "ServerBusy"),
            gcs_error(429, "rateLimitExceeded", headers={"Retry-After": 3}),
            redirect(307, "http://127.0.0.1:1/b"),
            Answer(204),
        ],
        ids=str,
    )
    def test_answer_in_place_of_the_upstream(
        self, store: Store, proxy: FaultProxy, client: Any, answer: Answer
    ) -> None:
        proxy.add(Fault(Match("PUT"), answer))

        status, headers, body = send_request(client, "PUT", "/a", BIG)

        assert (status, body) == (answer.status, answer.body)
        assert {name: headers[name] for name in answer.headers} == {k: str(v) for k, v in answer.headers.items()}
        assert store.heads == []
        assert (proxy.requests[0].status, proxy.requests[0].body_bytes) == (answer.status, len(BIG))
        connected = client.sock
        assert send_request(client, "GET", "/a")[0] == 404
        assert client.sock is connected is not None

    def test_answer_to_head_has_no_body(self, proxy: FaultProxy, client: Any) -> None:
        proxy.add(Fault(ANY, s3_error(404, "NoSuchBucket")))

        status, headers, body = send_request(client, "HEAD", "/a")

        assert (status, body, int(headers["Content-Length"]) > 0) == (404, b"", True)
        assert send_request(client, "GET", "/a")[0] == 404

    def test_date_of_an_answer_is_the_time_of_sending(self, proxy: FaultProxy, client: Any) -> None:
        proxy.add(Fault(ANY, Answer(503, headers={"Retry-After": HttpDate(10)})))

        _, headers, _ = send_request(client, "GET", "/a")

        assert 10 <= parsedate_to_datetime(headers["Retry-After"]).timestamp() - time.time() + 0.1 <= 11.1

    def test_continue_is_sent_to_receive_the_body(self, proxy: FaultProxy) -> None:
        proxy.add(Fault(ANY, Answer(503)))
        with raw(proxy) as sock:
            sock.sendall(b"PUT /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            assert receive(sock, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(b"abc")
            assert sock.recv(1000).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")

    def test_early_answer(self, store: Store, proxy: FaultProxy, client: Any) -> None:
        proxy.add(Fault(ANY, AnswerEarly(403, body=b"no")))

        with pytest.raises(ConnectionError):
            client.request("PUT", "/a", BIG)
        client.close()

        assert (store.heads, proxy.requests[0].status, proxy.requests[0].body_bytes) == ([], 403, 0)
        assert send_request(client, "GET", "/a")[0] == 404

    def test_early_answer_to_a_client_that_waits(self, proxy: FaultProxy) -> None:
        proxy.add(Fault(ANY, AnswerEarly(403, body=b"no")))
        with raw(proxy) as sock:
            sock.sendall(b"PUT /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            said = until_end(sock)

        assert said.startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert said.endswith(b"Connection: close\r\n\r\nno")
