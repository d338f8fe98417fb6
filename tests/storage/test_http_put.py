"""One PUT with its length: what is sent to an HTTP server, and what becomes of each of its answers."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fsspec
import numpy as np
import pytest

from chains import assert_no_cycle
from faults.answers import AnswerEarly
from faults.kinds import ResetAfter, ResetBeforeAnswer
from faults.proxy import Fault, FaultProxy, Match
from georeader import CogWriter, RasterioReader, save_cog, save_tiled_geotiff
from georeader._storage import remote_errors
from georeader.errors import DestinationError, ExistsError, GeoreaderError, WriteError
from servers.azurite import AzureServer
from servers.nginx import SMALL_LIMIT_BYTES, WebServer
from servers.s3 import S3Server
from sink_contract import EARLIER, PLAIN, expected, large, small

UseEnv = Callable[[dict[str, str]], None]

#: What servers of clouds say of a file, that is compared with what was sent.
ADVICE = r"takes no uploads at this URL .* pass a presigned URL, a WebDAV URL, or the store's own \(s3://bucket/key"


@dataclass
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def names(self) -> set[str]:
        return {key.lower() for key, _ in self.headers}


@dataclass
class Recorder:
    """A server that records requests, and answers as configured.

    Attributes:
        url: Of the server.
        answers: Of PUTs, one after the other; the last one for all that follow: (status, headers, body).
        heads: The answer to every HEAD.
        asked: Requests so far.
    """

    url: str
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=lambda: [(201, {}, b"")])
    heads: tuple[int, dict[str, str]] = (404, {})
    asked: list[Asked] = field(default_factory=list)

    def say(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.answers = [(status, headers or {}, body)]

    def puts(self) -> list[Asked]:
        return [one for one in self.asked if one.method == "PUT"]


class Handler(BaseHTTPRequestHandler):
    """Reads the body by its length and answers."""

    protocol_version = "HTTP/1.1"
    recorder: Recorder

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.recorder.asked.append(Asked(self.command, self.path, self.headers.items(), body))
        answers = self.recorder.answers
        status, headers, text = answers.pop(0) if len(answers) > 1 else answers[0]
        if self.command == "HEAD":
            (status, headers), text = self.recorder.heads, b""
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(text))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text if status not in (204, 304) else b"")

    do_GET = do_HEAD = do_PUT = do_POST = handle_any

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""


@contextmanager
def recording() -> Iterator[Recorder]:
    """Serve from a thread of this process while the block runs."""
    handler = type("Handler", (Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        handler.recorder = Recorder(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield handler.recorder
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def no_proxy_and_no_patience(use_env: UseEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    use_env({"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"})
    monkeypatch.setattr(remote_errors, "ATTEMPTS", 3)
    monkeypatch.setattr(remote_errors, "FIRST_WAIT_SECONDS", 0.001)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as server:
        yield server


@pytest.fixture
def other_host() -> Iterator[Recorder]:
    """Another origin, to which redirects may lead."""
    with recording() as server:
        yield server


def save_by_writer(data: Any, path: Any, **options: Any) -> Any:
    with CogWriter(path, like=data, **options) as writer:
        writer.write(data)
    return writer.receipt


# What is sent.


@pytest.mark.parametrize(
    ("save", "kind"),
    [(save_cog, "cog"), (save_tiled_geotiff, "tiled"), (save_by_writer, "cog")],
    ids=["save_cog", "save_tiled_geotiff", "CogWriter"],
)
def test_one_put_with_its_length_is_sent(save: Any, kind: str, recorder: Recorder) -> None:
    save(small(), f"{recorder.url}/folder/out.tif", profile_arg=PLAIN)

    (put,) = recorder.puts()
    assert put.target == "/folder/out.tif"
    assert put.body == expected(kind, False)
    assert put.all("Content-Length") == [str(len(put.body))]
    assert put.all("Content-Type") == ["image/tiff"]
    assert "transfer-encoding" not in put.names()
    assert put.all("Host") == [recorder.url.removeprefix("http://")]
    assert {one.method for one in recorder.asked} <= {"PUT", "HEAD"}


def test_nothing_is_sent_before_the_file_is_complete(recorder: Recorder) -> None:
    with pytest.raises(ZeroDivisionError), CogWriter(f"{recorder.url}/out.tif", like=small()) as writer:
        writer.write(small())
        raise ZeroDivisionError

    assert recorder.puts() == []


def test_one_put_is_sent_for_a_large_file(recorder: Recorder) -> None:
    save_cog(large(), f"{recorder.url}/out.tif", profile_arg=PLAIN)

    (put,) = recorder.puts()
    assert put.body == expected("cog", True)


SIGNED = ["X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=abcd", "AWSAccessKeyId=me&Signature=abcdef&Expires=1",
          "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Signature=abcd", "GoogleAccessId=me&Signature=abcd"]  # fmt: skip


@pytest.mark.parametrize("query", SIGNED)
def test_a_signed_url_gets_no_header_that_was_not_signed(query: str, recorder: Recorder) -> None:
    save_cog(small(), f"{recorder.url}/out.tif?{query}")

    (put,) = recorder.asked
    assert put.target == f"/out.tif?{query}"
    assert put.names() <= {"host", "user-agent", "content-length"}


@pytest.mark.parametrize(
    ("host", "query", "is_azure"),
    [
        ("", "sv=2024-01-01&sr=b&sig=ab%2Bcd%3D", True),
        ("", "x=1", False),
        ("", SIGNED[0], False),
        ("me.blob.core.windows.net", "", True),
        ("me.z1.blob.storage.azure.net", "", True),
        ("me.blob.example.org", "", False),
    ],
)
def test_the_blob_type_is_sent_to_azure_only(
    host: str, query: str, is_azure: bool, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    if host:  # by a proxy, which does not resolve it
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("http_proxy", recorder.url)

    save_cog(small(), f"http://{host or recorder.url.removeprefix('http://')}/out.tif?{query}")

    (put,) = recorder.puts()
    assert put.all("x-ms-blob-type") == (["BlockBlob"] if is_azure else [])
    assert not is_azure or put.all("Content-Type") == ["image/tiff"]


def test_headers_are_sent_with_every_request(recorder: Recorder) -> None:
    save_cog(small(), f"{recorder.url}/out.tif", http_headers={"Authorization": "Bearer abcd", "X-Own": "1"})

    assert [one.method for one in recorder.asked] == ["PUT", "HEAD"]
    assert all(one.all("Authorization") == ["Bearer abcd"] for one in recorder.asked)
    assert all(one.all("X-Own") == ["1"] for one in recorder.asked)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Type", "application/octet-stream"),
        ("content-type", "application/octet-stream"),
        ("x-ms-blob-type", "AppendBlob"),
        ("X-MS-BLOB-TYPE", "AppendBlob"),
        ("User-Agent", "me"),
        ("user-agent", "me"),
        ("Authorization", "Bearer abcd"),
        ("authorization", "Bearer abcd"),
        ("Host", "elsewhere.example"),
        ("host", "elsewhere.example"),
        ("If-None-Match", '"etag"'),
    ],
)
def test_given_headers_replace_the_projects_own(name: str, value: str, recorder: Recorder) -> None:
    url = recorder.url.replace("http://", "http://me:hunter22@")

    save_cog(small(), f"{url}/out.tif?sv=1&sig=2", http_headers={name: value}, overwrite=name != "If-None-Match")

    (put,) = recorder.puts()
    assert put.all(name) == [value]


def test_put_has_the_condition_without_overwrite(recorder: Recorder) -> None:
    save_cog(small(), f"{recorder.url}/out.tif", overwrite=False)

    assert [one.method for one in recorder.asked] == ["HEAD", "PUT", "HEAD"]
    assert recorder.puts()[0].all("If-None-Match") == ["*"]


@pytest.mark.parametrize(
    ("userinfo", "pair"),
    [
        ("me:secret", "me:secret"),
        ("me:s%40cr%2Fet", "me:s@cr/et"),
        ("me:s@cret", "me:s@cret"),
        ("me", "me:"),
        ("token:", "token:"),
        ("mé:gehäim", "mé:gehäim"),
    ],
)
def test_a_user_in_the_url_is_authenticated(userinfo: str, pair: str, recorder: Recorder) -> None:
    save_cog(small(), recorder.url.replace("http://", f"http://{userinfo}@") + "/out.tif")

    assert {header for one in recorder.asked for header in one.all("Authorization")} == {
        "Basic " + base64.b64encode(pair.encode()).decode()
    }
    assert recorder.puts()[0].target == "/out.tif"
    assert "@" not in recorder.puts()[0].all("Host")[0]


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("a b.tif", "/a%20b.tif"),
        ("a%20b.tif", "/a%20b.tif"),
        ("späte Ärzte.tif", f"/{quote('späte Ärzte.tif')}"),
        ("100%.tif", "/100%25.tif"),
        ("a+b=c,d;e.tif", "/a+b=c,d;e.tif"),
        ("a.tif?x=a b&y=%2B+", "/a.tif?x=a%20b&y=%2B+"),
        ("a.tif#part", "/a.tif"),
        ("", "/"),
        ("a//b.tif", "/a//b.tif"),
    ],
)
def test_names_are_quoted_but_not_twice(written: str, target: str, recorder: Recorder) -> None:
    save_cog(small(), f"{recorder.url}/{written}")

    assert recorder.puts()[0].target == target


# What is answered.


@pytest.mark.parametrize("status", [200, 201, 202, 203, 204, 205, 206, 299])
def test_every_2xx_status_is_a_success(status: int, recorder: Recorder) -> None:
    recorder.say(status)

    save_cog(small(), f"{recorder.url}/out.tif")

    assert len(recorder.puts()) == 1


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (300, DestinationError, "the server sends elsewhere"),
        (301, DestinationError, "the server sends elsewhere"),
        (304, DestinationError, "the server sends elsewhere"),
        (400, WriteError, "it cannot be written"),
        (401, DestinationError, "does not accept the credentials"),
        (402, WriteError, "it cannot be written"),
        (403, DestinationError, "access is denied"),
        (404, DestinationError, "no such folder"),
        (405, DestinationError, ADVICE),
        (409, DestinationError, "no such folder"),
        (411, WriteError, "it cannot be written"),
        (413, DestinationError, "does not take a file of this size"),
        (415, WriteError, "it cannot be written"),
        (500, WriteError, "it cannot be written"),
        (501, DestinationError, ADVICE),
        (505, WriteError, "it cannot be written"),
        (507, DestinationError, "no room left"),
    ],
)
def test_every_other_status_is_an_error_with_status_and_reason(
    status: int, kind: type[GeoreaderError], message: str, recorder: Recorder
) -> None:
    recorder.say(status)
    url = f"{recorder.url}/out.tif"

    with pytest.raises(kind, match=message) as caught:
        save_cog(small(), url)

    assert re.search(rf"HTTP {status} [A-Z][A-Za-z' ]+", str(caught.value))
    assert url in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(recorder.puts()) == (3 if status == 500 else 1)


def test_failed_condition_is_an_exists_error(recorder: Recorder) -> None:
    recorder.say(412)

    with pytest.raises(ExistsError):
        save_cog(small(), f"{recorder.url}/out.tif", overwrite=False)


def test_a_file_found_by_head_is_an_exists_error(recorder: Recorder) -> None:
    recorder.heads = (200, {"Content-Length": "5"})

    with pytest.raises(ExistsError, match="exists already"):
        save_cog(small(), f"{recorder.url}/out.tif", overwrite=False)

    assert recorder.puts() == []


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_a_transient_status_is_retried_with_the_whole_file(status: int, recorder: Recorder) -> None:
    recorder.answers = [(status, {"Retry-After": "0"}, b""), (status, {}, b""), (201, {}, b"")]

    save_cog(small(), f"{recorder.url}/out.tif", profile_arg=PLAIN)

    assert [put.body == expected("cog", False) for put in recorder.puts()] == [True] * 3


@pytest.mark.parametrize("status", [201, 500, 403])
def test_a_long_or_binary_answer_is_truncated_in_messages(status: int, recorder: Recorder) -> None:
    recorder.say(status, {"Content-Type": "application/octet-stream"}, bytes(range(256)) * 40_000)

    if status == 201:
        save_cog(small(), f"{recorder.url}/out.tif")
        return
    with pytest.raises(GeoreaderError, match=f"HTTP {status}") as caught:
        save_cog(small(), f"{recorder.url}/out.tif")
    assert len(str(caught.value)) < 600


def test_error_of_a_store_behind_a_url_has_its_code_and_message(recorder: Recorder) -> None:
    recorder.say(403, body=b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")

    with pytest.raises(DestinationError, match=r"have expired; get new ones \(HTTP 403 Forbidden, AccessDenied: Requ"):
        save_cog(small(), f"{recorder.url}/out.tif?X-Amz-Signature=abcdef")


def test_different_size_reported_by_the_server_is_an_error(recorder: Recorder) -> None:
    recorder.heads = (200, {"Content-Length": "5"})

    with pytest.raises(WriteError, match="size mismatch: sent .* bytes, the store reports 5"):
        save_cog(small(), f"{recorder.url}/out.tif")


@pytest.mark.parametrize("headers", [{"Content-MD5": "AAAA"}, {"x-goog-hash": "crc32c=AA==,md5=AAAA"},
                                     {"x-amz-request-id": "1", "ETag": f'"{"0" * 32}"'}],
                         ids=["Azure", "GCS", "S3"])  # fmt: skip
def test_different_checksum_reported_by_the_server_is_an_error(headers: dict[str, str], recorder: Recorder) -> None:
    recorder.say(200, headers)

    with pytest.raises(WriteError, match="did not arrive as it was sent"):
        save_cog(small(), f"{recorder.url}/out.tif")


@pytest.mark.parametrize("headers", [{"ETag": f'"{"0" * 32}"'}, {"ETag": '"abc"', "x-amz-request-id": "1"},
                                     {"ETag": f'"{"0" * 32}"', "x-amz-request-id": "1",
                                      "x-amz-server-side-encryption": "aws:kms"}],
                         ids=["no S3", "no MD5", "encrypted"])  # fmt: skip
def test_an_etag_that_is_not_a_checksum_is_ignored(headers: dict[str, str], recorder: Recorder) -> None:
    recorder.say(200, headers)

    save_cog(small(), f"{recorder.url}/out.tif")


# Redirects.


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("base", ["", "{url}"], ids=["relative", "absolute"])
def test_a_redirect_within_the_host_is_followed(status: int, base: str, recorder: Recorder) -> None:
    recorder.answers = [(status, {"Location": base.format(url=recorder.url) + "/new?x=1"}, b""), (201, {}, b"")]

    save_cog(small(), f"{recorder.url}/out.tif", http_headers={"X-Own": "1"}, profile_arg=PLAIN)

    first, second = recorder.puts()
    assert (first.target, second.target) == ("/out.tif", "/new?x=1")
    assert second.body == expected("cog", False)
    assert second.all("X-Own") == ["1"]


def test_credentials_are_sent_after_a_redirect_within_the_host(recorder: Recorder) -> None:
    recorder.answers = [(307, {"Location": f"{recorder.url}/new"}, b""), (201, {}, b"")]

    save_cog(small(), recorder.url.replace("http://", "http://me:secret@") + "/out.tif")

    assert [put.all("Authorization") for put in recorder.puts()] == [["Basic bWU6c2VjcmV0"]] * 2


@pytest.mark.parametrize("status", [301, 302, 303])
def test_other_redirects_are_not_followed(status: int, recorder: Recorder) -> None:
    """They would be followed by a GET, and nothing would be stored."""
    recorder.say(status, {"Location": f"{recorder.url}/new?token=hunter22"})

    with pytest.raises(DestinationError, match=rf"HTTP {status} .*, to {recorder.url}/new\?\*\*\*"):
        save_cog(small(), f"{recorder.url}/out.tif")

    assert len(recorder.asked) == 1


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_refused(status: int, recorder: Recorder, other_host: Recorder) -> None:
    recorder.say(status, {"Location": f"{other_host.url}/new?token=hunter22"})

    with pytest.raises(DestinationError, match="the server sends elsewhere; pass the URL that it names") as caught:
        save_cog(small(), f"{recorder.url}/out.tif", http_headers={"Authorization": "Bearer abcd"})

    assert other_host.url in str(caught.value)
    assert "hunter22" not in str(caught.value)
    assert other_host.asked == []


@pytest.mark.parametrize("location", ["//127.0.0.2:1/new", "ftp://127.0.0.1/new", "https://127.0.0.1/new", "http://[",
                                      "http://127.0.0.1:99999/new", ""])  # fmt: skip
def test_invalid_location_of_a_redirect_is_refused(location: str, recorder: Recorder) -> None:
    recorder.say(307, {"Location": location})

    with pytest.raises(DestinationError, match="sends elsewhere"):
        save_cog(small(), f"{recorder.url}/out.tif")

    assert len(recorder.puts()) <= 5


def test_a_loop_of_redirects_is_an_error(recorder: Recorder) -> None:
    recorder.say(307, {"Location": "/out.tif"})

    with pytest.raises(DestinationError, match="sends elsewhere"):
        save_cog(small(), f"{recorder.url}/out.tif")

    assert len(recorder.puts()) == 5


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_filesystem_of_fsspec_sends_nothing_to_another_host(
    status: int, recorder: Recorder, other_host: Recorder
) -> None:
    """aiohttp follows redirects by itself, by a GET that stores nothing where it is not 307 or 308."""
    recorder.say(status, {"Location": f"{other_host.url}/new"})
    other_host.say(200)
    fs = fsspec.filesystem("http", skip_instance_cache=True)

    with pytest.raises(GeoreaderError):
        save_cog(small(), f"{recorder.url}/out.tif", fs=fs)

    assert [one for one in other_host.asked if one.body] == []


@pytest.mark.parametrize(
    ("status", "message"), [(405, ADVICE), (403, "denied"), (404, "no such|folder"), (413, "size"), (500, "500")]
)
def test_error_statuses_are_errors_with_a_filesystem_of_fsspec(status: int, message: str, recorder: Recorder) -> None:
    recorder.say(status)
    fs = fsspec.filesystem("http", skip_instance_cache=True)

    with pytest.raises(GeoreaderError, match=message):
        save_cog(small(), f"{recorder.url}/out.tif", fs=fs)


def test_one_put_with_its_length_is_sent_with_a_filesystem_of_fsspec(recorder: Recorder) -> None:
    fs = fsspec.filesystem("http", headers={"Authorization": "Bearer abcd"}, skip_instance_cache=True)

    save_cog(small(), f"{recorder.url}/out.tif", fs=fs, profile_arg=PLAIN)

    (put,) = recorder.puts()
    assert put.body == expected("cog", False)
    assert put.all("Content-Length") == [str(len(put.body))]
    assert put.all("Authorization") == ["Bearer abcd"]
    assert "transfer-encoding" not in put.names()


# Early answers, broken connections.


@pytest.mark.parametrize(("status", "kind"), [(401, DestinationError), (413, DestinationError), (400, WriteError)])
def test_an_answer_before_the_end_of_the_body_is_reported(
    status: int, kind: type[GeoreaderError], nginx: WebServer
) -> None:
    with FaultProxy(nginx.base) as proxy:
        proxy.add(Fault(when=Match(method="PUT"), do=AnswerEarly(status), times=None))

        with pytest.raises(kind, match=f"HTTP {status}"):
            save_cog(large(), f"{proxy.url}/out.tif", profile_arg=PLAIN)

        assert len([one for one in proxy.requests if one.method == "PUT"]) == 1


def test_early_response_of_nginx_to_a_large_body_is_reported(nginx: WebServer) -> None:
    with pytest.raises(DestinationError, match=r"does not take a file of this size \(HTTP 413"):
        save_cog(large(), nginx.small_url("out.tif"), profile_arg=PLAIN)

    assert len(expected("cog", True)) > SMALL_LIMIT_BYTES
    assert nginx.keys() == []


@pytest.mark.parametrize("kind", [ResetAfter(100_000), ResetBeforeAnswer()], ids=["in the body", "before the answer"])
def test_a_broken_connection_is_retried(kind: Any, nginx: WebServer) -> None:
    with FaultProxy(nginx.base) as proxy:
        proxy.add(Fault(when=Match(method="PUT"), do=kind, times=2))

        save_cog(large(), f"{proxy.url}/out.tif", profile_arg=PLAIN)

        assert proxy.faults_injected == 2
    assert nginx.get("out.tif") == expected("cog", True)


@pytest.mark.parametrize("query", ["", "?sig=hunter22"])
def test_retry_is_logged_as_info(query: str, nginx: WebServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="urllib3.connectionpool")
    with FaultProxy(nginx.base) as proxy:
        proxy.add(Fault(when=Match(method="PUT"), do=ResetBeforeAnswer(), times=1))

        save_cog(small(), f"{proxy.url}/out.tif{query}")

    retries = [record for record in caplog.records if "Retrying" in record.getMessage()]
    assert [record.levelname for record in retries] == ["INFO"]
    assert "hunter22" not in caplog.text


def test_retry_is_not_a_warning_without_a_log_level(nginx: WebServer, caplog: pytest.LogCaptureFixture) -> None:
    with FaultProxy(nginx.base) as proxy:
        proxy.add(Fault(when=Match(method="PUT"), do=ResetBeforeAnswer(), times=1))

        save_cog(small(), f"{proxy.url}/out.tif")

    assert "Retrying" not in caplog.text


def test_connection_that_always_breaks_leaves_the_earlier_file(nginx: WebServer) -> None:
    nginx.put("out.tif", EARLIER)
    with FaultProxy(nginx.base) as proxy:
        proxy.add(Fault(when=Match(method="PUT"), do=ResetAfter(100_000), times=None))

        with pytest.raises(WriteError, match=r"out\.tif': it cannot be written: "):
            save_cog(large(), f"{proxy.url}/out.tif", profile_arg=PLAIN)

    assert nginx.get("out.tif") == EARLIER


@pytest.mark.parametrize(
    "kind", [ResetAfter(0), ResetAfter(100_000), ResetBeforeAnswer()], ids=["at once", "in the body", "no answer"]
)
@pytest.mark.parametrize("make", [small, large], ids=["small", "large"])
def test_the_chain_of_a_reset_has_no_cycle(make: Any, kind: Any, nginx: WebServer) -> None:
    with FaultProxy(nginx.base) as proxy:
        proxy.add(Fault(when=Match(method="PUT"), do=kind, times=None))

        with pytest.raises(WriteError) as caught:
            save_cog(make(), f"{proxy.url}/out.tif", profile_arg=PLAIN)

    assert caught.value.__cause__ is not None
    assert_no_cycle(caught.value)


# Real servers.


@pytest.mark.parametrize("name", ["out.tif", "a b/späte Ärzte.tif", "100%25.tif", "a+b.tif"])
def test_nginx_stores_the_file_unchanged(name: str, nginx: WebServer) -> None:
    save_cog(small(), nginx.url(name), profile_arg=PLAIN)

    assert nginx.get(name) == expected("cog", False)
    np.testing.assert_array_equal(RasterioReader(nginx.url(name)).load().values, small().values)


def test_nginx_accepts_the_credentials_in_the_url(nginx: WebServer) -> None:
    url = nginx.locked_url("out.tif").replace("http://", "http://owner:secret%20of%20the%20owner@")

    save_cog(small(), url, profile_arg=PLAIN)

    assert nginx.get("locked/out.tif") == expected("cog", False)
    np.testing.assert_array_equal(RasterioReader(url).load().values, small().values)


def test_nginx_accepts_the_credentials_in_the_url_after_a_redirect(nginx: WebServer) -> None:
    url = nginx.moved_url("locked/out.tif").replace("http://", "http://owner:secret%20of%20the%20owner@")

    save_cog(small(), url, profile_arg=PLAIN)

    assert nginx.get("locked/out.tif") == expected("cog", False)


@pytest.mark.parametrize("server", ["seaweed", "moto"])
@pytest.mark.parametrize("key", ["out.tif", "a b/ä+%.tif"])
def test_presigned_url_of_s3_is_saved_to(server: str, key: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    s3: S3Server = request.getfixturevalue(server)
    receipt = save_cog(small(), s3.signed_url(key), profile_arg=PLAIN)

    assert s3.get(key) == expected("cog", False)
    assert receipt.size_bytes == len(expected("cog", False))
    read_url = s3.client.generate_presigned_url("get_object", Params={"Bucket": s3.bucket, "Key": key}, ExpiresIn=600)
    if server == "seaweed":  # GDAL holds the interpreter's lock, but not that of another process
        np.testing.assert_array_equal(RasterioReader(read_url).load().values, small().values)


def test_presigned_url_with_signed_headers_is_saved_to(seaweed: S3Server) -> None:
    wanted = {"Bucket": seaweed.bucket, "Key": "out.tif", "ContentType": "image/tiff", "Metadata": {"by": "me"}}
    url = seaweed.client.generate_presigned_url("put_object", Params=wanted, ExpiresIn=600)

    save_cog(small(), url, http_headers={"Content-Type": "image/tiff", "x-amz-meta-by": "me"}, profile_arg=PLAIN)

    head = seaweed.client.head_object(Bucket=seaweed.bucket, Key="out.tif")
    assert (head["ContentType"], head["Metadata"]) == ("image/tiff", {"by": "me"})


@pytest.mark.parametrize("key", ["out.tif", "a b/ä+.tif"])
def test_sas_url_of_azure_is_saved_to(key: str, azurite: AzureServer) -> None:
    url = azurite.sas_url(key).replace(f"/{key}?", f"/{quote(key)}?")

    save_cog(small(), url, profile_arg=PLAIN)

    assert azurite.get(key) == expected("cog", False)
    assert azurite.client.get_blob_client(key).get_blob_properties().content_settings.content_type == "image/tiff"
    np.testing.assert_array_equal(RasterioReader(url).load().values, small().values)


# Proxies.


@pytest.fixture
def by_proxy(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A proxy that the environment names, for all hosts."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("http_proxy", recorder.url)
    return recorder


def test_proxy_of_the_environment_is_used(by_proxy: Recorder) -> None:
    save_cog(small(), "http://me:secret@files.invalid:8080/a b.tif?x=1", profile_arg=PLAIN)

    (put,) = by_proxy.puts()
    assert put.target == "http://files.invalid:8080/a%20b.tif?x=1"
    assert put.all("Host") == ["files.invalid:8080"]
    assert put.all("Authorization") == ["Basic bWU6c2VjcmV0"]
    assert put.body == expected("cog", False)


def test_credentials_of_a_proxy_are_sent_to_the_proxy(by_proxy: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", by_proxy.url.replace("http://", "http://me:secret@"))

    save_cog(small(), "http://files.invalid/out.tif")

    assert by_proxy.puts()[0].all("Proxy-Authorization") == ["Basic bWU6c2VjcmV0"]
    assert by_proxy.puts()[0].all("Authorization") == []


def test_a_proxy_may_be_named_without_a_scheme(by_proxy: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", by_proxy.url.removeprefix("http://"))

    save_cog(small(), "http://files.invalid/out.tif")

    assert len(by_proxy.puts()) == 1


@pytest.mark.parametrize("exempt", ["127.0.0.1", "*", "{host}"], ids=["host", "all", "host and port"])
def test_no_proxy_is_respected(
    exempt: str, by_proxy: Recorder, other_host: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", exempt.format(host=other_host.url.removeprefix("http://")))

    save_cog(small(), f"{other_host.url}/out.tif")

    assert (len(by_proxy.asked), len(other_host.puts())) == (0, 1)


def test_unreachable_proxy_is_named_as_a_possible_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    from faults.proxy import refused_url

    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("http_proxy", refused_url().replace("http://", "http://me:hunter22@"))

    with pytest.raises(DestinationError, match="the network and the proxy") as caught:
        save_cog(small(), "http://files.invalid/out.tif")

    assert "hunter22" not in str(caught.value)
