"""End to end: for any failure, no secret is in an error, its causes, a log line, a warning or a repr.

The server of these tests is the worst there can be: it repeats all that it was sent, in what it says of its refusal.
"""

from __future__ import annotations

import base64
import gc
import http
import logging
import secrets
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit
from xml.sax.saxutils import escape

import fsspec
import numpy as np
import pytest
from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store

from faults.proxy import refused_url
from faults.upstream import Server as QuietServer
from georeader import CogWriter, RasterioReader, save_cog
from georeader._export.sinks.opening import open_sink
from georeader._readers.opening import raster_path
from georeader._storage import remote_errors
from georeader._storage.urls import Destination, parse_address
from georeader.errors import GeoreaderError
from range_server import Server
from servers.azurite import AzureServer
from servers.moto_server import MotoServer
from servers.nginx import WebServer
from servers.s3 import S3Server
from servers.s3 import client as s3_client
from servers.sftp import SftpServer
from sink_contract import small

pytestmark = pytest.mark.slow

UseEnv = Callable[[dict[str, str]], None]

#: With what a URL has to encode, and of a kind that no word is.
PASSWORD = "hunter22/p@ss+wörd=="
TOKEN = "tok3n-hunter22-abcdef"
ACCOUNT_KEY = base64.b64encode(b"hunter22 the key of the account").decode()


@dataclass(frozen=True)
class Way:
    """How a test gets somewhere, and the secrets that it has for it."""

    path: str
    secrets: list[str]
    options: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    reads: bool = True


class Handler(BaseHTTPRequestHandler):
    """Refuses all, and repeats all that it was sent."""

    protocol_version = "HTTP/1.1"
    status, code, message = 403, "AccessDenied", "no"

    def handle_any(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        sent = escape(f"{self.message}: {self.path} {dict(self.headers)} {unquote(self.path)}")
        body = f"<Error><Code>{self.code}</Code><Message>{sent}</Message></Error>".encode()
        self.send_response(self.status, f"{http.HTTPStatus(self.status).phrase} for {self.path}")
        location = {"Location": f"http://127.0.0.2:1{self.path}"} if self.status < 400 else {}
        own = {"Content-Type": "application/xml", "Content-Length": str(len(body)), "x-ms-error-code": self.code}
        for name, value in (own | location).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""


@contextmanager
def refusing(status: int, code: str, message: str) -> Iterator[str]:
    """Serve from a thread of this process while the block runs; return the URL."""
    handler = type("Handler", (Handler,), {"status": status, "code": code, "message": message})
    with QuietServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


#: What a server says: status, code and words.
REFUSALS = {
    "307": (307, "TemporaryRedirect", "over there"),
    "403": (403, "AccessDenied", "Access Denied"),
    "expired": (403, "AccessDenied", "Request has expired"),
    "404": (404, "NoSuchBucket", "The specified bucket does not exist"),
    "405": (405, "MethodNotAllowed", "The specified method is not allowed"),
    "500": (500, "InternalError", "We encountered an internal error"),
}


@pytest.fixture(params=["refused", *REFUSALS])
def endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    """Servers that fail, each in one way."""
    if request.param == "refused":
        yield refused_url()
        return
    with refusing(*REFUSALS[request.param]) as url:
        yield url


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_errors, "ATTEMPTS", 2)
    monkeypatch.setattr(remote_errors, "FIRST_WAIT_SECONDS", 0.001)


# How one gets there.

AWS = {"AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true", "AWS_CONFIG_FILE": "/dev/null",
       "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true"}  # fmt: skip
AT_ONCE = {"client_options": {"allow_http": True}, "retry_config": {"max_retries": 0}}


def unique(name: str = "out.tif") -> str:
    """GDAL remembers what it did not find."""
    return f"{secrets.token_hex(4)}/{name}"


def presigned(endpoint: str) -> Way:
    with s3_client(endpoint, "AKIDAKID", PASSWORD, "us-east-1") as client:
        wanted = {"Bucket": "bucket", "Key": unique()}
        url = client.generate_presigned_url("put_object", Params=wanted, ExpiresIn=60)
    return Way(url, [urlsplit(url).query.rpartition("X-Amz-Signature=")[2], "AKIDAKID"])


def sas_url(endpoint: str) -> Way:
    server = AzureServer(f"{endpoint}/me", "container", "me", ACCOUNT_KEY, None)
    url = server.sas_url(unique())
    return Way(url, [url.rpartition("sig=")[2]])


def basic(endpoint: str) -> Way:
    host = endpoint.removeprefix("http://")
    pair = base64.b64encode(f"owner:{PASSWORD}".encode()).decode()
    return Way(f"http://owner:{quote(PASSWORD, safe='')}@{host}/{unique()}", [PASSWORD, pair])


def api_key(endpoint: str) -> Way:
    return Way(f"{endpoint}/{unique()}?api_key={quote_plus(PASSWORD)}", [PASSWORD])


def headers(endpoint: str) -> Way:
    given = {"Authorization": f"Bearer {TOKEN}", "X-Key": PASSWORD.encode("ascii", "ignore").decode()}
    return Way(f"{endpoint}/{unique()}", [TOKEN, given["X-Key"]], {"http_headers": given}, reads=False)


def boto(endpoint: str) -> Way:
    env = AWS | {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "AKIDAKID", "AWS_SECRET_ACCESS_KEY": "s3cr3t22",
                 "AWS_SESSION_TOKEN": TOKEN}  # fmt: skip
    return Way(f"s3://bucket/{unique()}", ["s3cr3t22", TOKEN], env=env)


def s3_with_password(endpoint: str) -> Way:
    env = AWS | {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "AKIDAKID", "AWS_SECRET_ACCESS_KEY": "s3cr3t22"}
    return Way(f"s3://AKIDAKID:hunter22@bucket/{unique()}", ["hunter22", "s3cr3t22"], env=env)


def by_s3fs(endpoint: str) -> Way:
    fs = fsspec.filesystem("s3", key="AKIDAKID", secret="s3cr3t22", token=TOKEN, endpoint_url=endpoint,
                           skip_instance_cache=True, config_kwargs={"retries": {"total_max_attempts": 1}})  # fmt: skip
    fs.retries = 1
    return Way(f"s3://bucket/{unique()}", ["s3cr3t22", TOKEN], {"fs": fs}, env=AWS)


def by_s3_store(endpoint: str) -> Way:
    fs = S3Store("bucket", access_key_id="AKIDAKID", secret_access_key="s3cr3t22", session_token=TOKEN,
                 region="us-east-1", endpoint=endpoint, **AT_ONCE)  # fmt: skip
    return Way(f"s3://bucket/{unique()}", ["s3cr3t22", TOKEN], {"fs": fs})


def azure(endpoint: str) -> Way:
    env = {"AZURE_STORAGE_ACCOUNT": "me", "AZURE_STORAGE_KEY": ACCOUNT_KEY, "AZURE_ALLOW_HTTP": "true",
           "AZURE_STORAGE_ENDPOINT": f"{endpoint}/me"}  # fmt: skip
    return Way(f"az://container/{unique()}", [ACCOUNT_KEY], env=env)


def azure_by_sas(endpoint: str) -> Way:
    url = sas_url(endpoint)
    query = urlsplit(url.path).query
    env = {"AZURE_STORAGE_ACCOUNT": "me", "AZURE_STORAGE_SAS_TOKEN": query, "AZURE_ALLOW_HTTP": "true",
           "AZURE_STORAGE_ENDPOINT": f"{endpoint}/me"}  # fmt: skip
    return Way(f"az://container/{unique()}", url.secrets, env=env)


def azure_by_connection_string(endpoint: str) -> Way:
    text = f"DefaultEndpointsProtocol=http;AccountName=me;AccountKey={ACCOUNT_KEY};BlobEndpoint={endpoint}/me;"
    return Way(f"abfs://container/{unique()}", [ACCOUNT_KEY], env={"AZURE_STORAGE_CONNECTION_STRING": text})


def azure_with_query(endpoint: str) -> Way:
    way = azure(endpoint)
    return Way(f"{way.path}?sv=2024-01-01&sig={TOKEN}", [*way.secrets, TOKEN], env=way.env)


def by_azure_store(endpoint: str) -> Way:
    fs = AzureStore("container", account_name="me", account_key=ACCOUNT_KEY, endpoint=f"{endpoint}/me", **AT_ONCE)
    return Way(f"az://container/{unique()}", [ACCOUNT_KEY], {"fs": fs})


def by_azure_store_with_sas(endpoint: str) -> Way:
    url = sas_url(endpoint)
    fs = AzureStore("container", account_name="me", sas_key=urlsplit(url.path).query, endpoint=f"{endpoint}/me",
                    **AT_ONCE)  # fmt: skip
    return Way(f"az://container/{unique()}", url.secrets, {"fs": fs})


def google(endpoint: str) -> Way:
    env = {"GOOGLE_BASE_URL": endpoint, "GOOGLE_BEARER_TOKEN": TOKEN, "NO_PROXY": "127.0.0.1"}
    return Way(f"gs://bucket/{unique()}", [TOKEN], env=env)


def by_google_store(endpoint: str) -> Way:
    env = {"GOOGLE_BASE_URL": endpoint, "GOOGLE_BEARER_TOKEN": TOKEN, "NO_PROXY": "127.0.0.1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        fs = GCSStore("bucket", **AT_ONCE)
    return Way(f"gs://bucket/{unique()}", [TOKEN], {"fs": fs}, reads=False)


def by_http_store(endpoint: str) -> Way:
    given = {"allow_http": True, "default_headers": {"Authorization": f"Bearer {TOKEN}"}}
    fs = HTTPStore.from_url(endpoint, client_options=given, retry_config={"max_retries": 0})
    return Way(unique(), [TOKEN], {"fs": fs})


def by_http_filesystem(endpoint: str) -> Way:
    fs = fsspec.filesystem("http", headers={"Authorization": f"Bearer {TOKEN}"}, skip_instance_cache=True)
    return Way(f"{endpoint}/{unique()}?api_key={quote_plus(PASSWORD)}", [TOKEN, PASSWORD], {"fs": fs})


def http_in_a_chain(endpoint: str) -> Way:
    host = endpoint.removeprefix("http://")
    return Way(f"simplecache::http://owner:hunter22@{host}/{unique()}?sig={TOKEN}", ["hunter22", TOKEN])


WAYS = [presigned, sas_url, basic, api_key, headers, boto, s3_with_password, by_s3fs, by_s3_store, azure, azure_by_sas,
        azure_by_connection_string, azure_with_query, by_azure_store, by_azure_store_with_sas, google, by_google_store,
        by_http_store, by_http_filesystem, http_in_a_chain]  # fmt: skip


# Checks.


def spellings(secret: str) -> set[str]:
    """A secret as passed, percent-decoded and encoded, and as Python's repr."""
    plain = {secret, unquote(secret)}
    return {text for one in plain for text in (one, quote(one), quote(one, safe=""), quote_plus(one), repr(one)[1:-1])}


def chain(error: BaseException) -> list[BaseException]:
    """An error, what it was caused by, and what was handled when it was raised, hidden or not."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or any(one is other for other in found):
            continue
        found.append(one)
        shown = None if one.__suppress_context__ else one.__context__  # as tracebacks show it
        waiting += [one.__cause__, shown, *getattr(one, "exceptions", ())]
    return found


def texts_of(error: BaseException) -> str:
    """All texts of an error: printed, logged, or inspected."""
    texts = ["".join(traceback.format_exception(error, chain=True))]
    for one in chain(error):
        texts += [str(one), repr(one), *map(repr, one.args), *getattr(one, "__notes__", ()), str(one.__dict__)]
    return "\n".join(texts)


@dataclass
class Watch:
    """All texts so far."""

    texts: list[str] = field(default_factory=list)

    def __call__(self, *things: Any) -> None:
        self.texts += [texts_of(one) if isinstance(one, BaseException) else f"{one!r} {one}" for one in things]

    def knows(self, known: list[str]) -> list[str]:
        """The position of a secret, with the text before it."""
        wanted = {text for secret in known for text in spellings(secret)}
        lines = {line for text in self.texts for line in text.splitlines()}
        return sorted({line[max(0, line.find(one) - 90) :][:130] for line in lines for one in wanted if one in line})


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Iterator[Watch]:
    """Record logs of every level, of clients too, and warnings."""
    said = Watch()
    caplog.set_level(logging.DEBUG)
    gc.collect()  # so that no test before this one is heard in it
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield said
    assert [str(one.message) for one in caught if issubclass(one.category, ResourceWarning)] == []


def all_said(watch: Watch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """Take in what was logged and printed."""
    formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")
    watch.texts += [formatter.format(record) for record in caplog.records]
    watch.texts += list(capfd.readouterr())


#: The client that each way ends at; those that are not named end at the project's own HTTP client.
CLIENTS = {
    way: client
    for client, ways in {
        "botocore": (boto, s3_with_password),
        "fsspec": (by_s3fs, by_http_filesystem, http_in_a_chain),
        "obstore": (by_s3_store, azure, azure_by_sas, azure_by_connection_string, azure_with_query, by_azure_store,
                    by_azure_store_with_sas, google, by_google_store, by_http_store),
    }.items()
    for way in ways
}  # fmt: skip


@pytest.mark.covering(columns=lambda way, endpoint: (way.__name__, (CLIENTS.get(way, "urllib3"), endpoint)))
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_saves_show_no_secret(
    way: Callable[[str], Way], endpoint: str, use_env: UseEnv, watch: Watch, caplog: Any, capfd: Any
) -> None:
    there = way(endpoint)
    use_env({"NO_PROXY": "127.0.0.1"} | there.env)
    caplog.clear()  # botocore logs the URLs that it signs

    with pytest.raises(GeoreaderError) as caught:
        save_cog(small(), there.path, **there.options)
    with pytest.raises(GeoreaderError) as refused:
        save_cog(small(), there.path, **there.options, overwrite=False)

    watch(caught.value, refused.value)
    all_said(watch, caplog, capfd)
    assert watch.knows(there.secrets) == []
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("way", [way for way in WAYS if way is not headers], ids=lambda way: way.__name__)
def test_reads_show_no_secret(
    way: Callable[[str], Way], use_env: UseEnv, watch: Watch, caplog: Any, capfd: Any
) -> None:
    """Nothing listens there: GDAL connects with the GIL held, so no thread of this process can answer it."""
    there = way(refused_url())
    if not there.reads:
        pytest.skip("it is read by another way")
    use_env({"NO_PROXY": "127.0.0.1", "GDAL_HTTP_MAX_RETRY": "0"} | there.env)
    caplog.clear()
    fs = {name: value for name, value in there.options.items() if name == "fs"}

    with pytest.raises(GeoreaderError) as caught:
        RasterioReader(there.path, **fs)
    with pytest.raises(GeoreaderError) as in_save:
        save_cog(RasterioReader(there.path, **fs), "/dev/null")

    watch(caught.value, in_save.value)
    with suppress(GeoreaderError):
        watch(raster_path(there.path, **fs))
    all_said(watch, caplog, capfd)
    assert watch.knows(there.secrets) == []


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_reprs_of_objects_show_no_secret(
    way: Callable[[str], Way], use_env: UseEnv, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = way("http://127.0.0.1:1")
    use_env(there.env)
    from georeader._export.sinks import fsspec_put, http_put, obstore_put, s3_parts

    for kind in (fsspec_put.FsspecPut, http_put.HttpPut, obstore_put.ObstorePut, s3_parts.S3Object):
        monkeypatch.setattr(kind, "check", lambda self: None)
    where = Destination(there.path, **there.options)
    watch(where)
    try:
        sink = open_sink(where)
    except GeoreaderError as error:
        watch(error)
    else:
        writer = CogWriter(there.path, like=small(), **there.options)
        watch(sink, sink.given, writer, parse_address(there.path))
        watch(*(value for value in vars(sink).values() if type(value).__module__.startswith("georeader")))
    assert watch.knows(there.secrets) == []


# Successful calls show no secret either.


@pytest.mark.parametrize("server", ["seaweed", "moto"])
def test_a_presigned_url_is_shown_without_its_query(
    server: str, request: pytest.FixtureRequest, use_env: UseEnv, watch: Watch, caplog: Any, capfd: Any
) -> None:
    s3: S3Server | MotoServer = request.getfixturevalue(server)
    use_env({"NO_PROXY": "127.0.0.1"})
    url = s3.signed_url("out.tif")

    receipt = save_cog(small(), url)

    watch(receipt)
    all_said(watch, caplog, capfd)
    assert receipt.path == f"{s3.endpoint}/{s3.bucket}/out.tif?***"
    assert watch.knows([urlsplit(url).query]) == []


def test_a_sas_url_is_shown_without_its_query(
    azurite: AzureServer, use_env: UseEnv, watch: Watch, caplog: Any, capfd: Any
) -> None:
    use_env({"NO_PROXY": "127.0.0.1"})
    url = azurite.sas_url(unique())
    secret = [url.rpartition("sig=")[2]]

    watch(save_cog(small(), url))
    reader = RasterioReader(url)
    watch(reader, reader.name, reader.reader_overview(0), reader.load())
    with pytest.raises(GeoreaderError) as caught:
        reader.reader_overview(7)
    watch(caught.value, save_cog(reader, azurite.sas_url(unique())))

    all_said(watch, caplog, capfd)
    assert watch.knows(secret) == []


@pytest.mark.parametrize("prefix", ["", "/vsicurl/"])
def test_a_reader_shows_no_password(
    prefix: str, nginx: WebServer, use_env: UseEnv, watch: Watch, caplog: Any, capfd: Any
) -> None:
    use_env(nginx.env())
    url = nginx.locked_url(unique())
    save_cog(small(), url, http_headers=nginx.headers())
    known = prefix + url.replace("http://", "http://owner:secret%20of%20the%20owner@")
    nothing = known.replace("out.tif", "none.tif")

    reader = RasterioReader(known)
    with pytest.raises(GeoreaderError) as missing:
        RasterioReader(nothing)
    with pytest.raises(GeoreaderError) as outside:
        reader.set_indexes([9])

    watch(reader, reader.name, missing.value, outside.value)
    all_said(watch, caplog, capfd)
    assert watch.knows(["secret of the owner"]) == []


@pytest.mark.parametrize("change", ["", "wrong", "nowhere"])
def test_sftp_shows_no_password(
    change: str, sftp: SftpServer, use_env: UseEnv, watch: Watch, caplog: Any, capfd: Any
) -> None:
    use_env({})
    password = sftp.options()["password"]
    url = sftp.url("none.tif").replace(":" + password, ":" + change + password)
    if change == "nowhere":
        url = url.replace(str(sftp.port), refused_url().rpartition(":")[2])

    saves = [lambda: save_cog(small(), url)] if change else []
    for act in (*saves, lambda: RasterioReader(url)):
        with pytest.raises(GeoreaderError) as caught:
            act()
        watch(caught.value)

    all_said(watch, caplog, capfd)
    assert watch.knows([password]) == []


def test_warnings_of_a_readers_file_show_no_secret(server: Server, watch: Watch, tmp_path: Path) -> None:
    """A file with RPCs that are not whole, with a mask of one band, and names that are not UTF-8."""
    save_cog(small(), tmp_path / "out.tif", descriptions=["na?me", "b"], tags={"note": "no?te"}, engine="stream")
    content = (tmp_path / "out.tif").read_bytes()
    broken = content.replace(b"na?me", b"na\xffme").replace(b"no?te", b"no\xffte")
    assert broken != content
    url = server.put("out.tif", broken)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reader = RasterioReader(f"{url}?sig={TOKEN}")

    watch(reader, *caught, *(one.message for one in caught))
    assert any("UTF-8" in str(one.message) for one in caught)
    assert watch.knows([TOKEN]) == []


def test_errors_of_a_dataset_that_the_caller_opened_show_no_secret(
    server: Server, watch: Watch, tmp_path: Path
) -> None:
    import rasterio

    save_cog(small(), tmp_path / "out.tif")
    url = server.put("out.tif", (tmp_path / "out.tif").read_bytes())
    with rasterio.open(f"{url}?sig={TOKEN}") as dataset:
        np.testing.assert_array_equal(dataset.shape, small().shape[1:])

    with pytest.raises(GeoreaderError) as caught:
        save_cog(dataset, tmp_path / "copy.tif")

    watch(caught.value)
    assert watch.knows([TOKEN]) == []


def test_reads_that_fail_later_show_no_secret(watch: Watch, caplog: Any, capfd: Any) -> None:
    """Errors of a client within GDAL's callbacks are reported only by the project."""
    from fsspec.implementations.memory import MemoryFileSystem

    class Failing(MemoryFileSystem):
        cachable = False
        is_broken = False

        def cat_file(self, *args: Any, **options: Any) -> bytes:
            if self.is_broken:
                raise OSError(f"403 for {self.storage_options['secret']} at http://host/a?sig={TOKEN}")
            content: bytes = super().cat_file(*args, **options)
            return content

    fs = Failing(secret="s3cr3t22")
    save_cog(small(), "memory://secrets/out.tif", fs=fs)
    reader = RasterioReader("memory://secrets/out.tif", fs=fs)
    fs.is_broken = True

    with pytest.raises(GeoreaderError) as caught:
        reader.load()
    with pytest.raises(GeoreaderError) as in_save:
        save_cog(reader, "/dev/null")

    watch(caught.value, in_save.value, reader)
    all_said(watch, caplog, capfd)
    fs.store.clear()
    assert watch.knows(["s3cr3t22", TOKEN]) == []


def test_invalid_header_is_not_shown(watch: Watch, use_env: UseEnv) -> None:
    use_env({"NO_PROXY": "127.0.0.1"})
    for value in ("Bearer hunter22€", "Bearer hunter22\0"):
        with pytest.raises(GeoreaderError) as caught:
            save_cog(small(), f"{refused_url()}/out.tif", http_headers={"Authorization": value})
        watch(caught.value)

    assert watch.knows(["hunter22"]) == []


def test_repr_of_an_invalid_path_object_is_not_shown(watch: Watch) -> None:
    for path in (urlsplit("https://me:hunter22@host/a.tif"), {"secret": "hunter22"}):
        with pytest.raises(GeoreaderError) as caught:
            save_cog(small(), path)
        watch(caught.value)

    assert watch.knows(["hunter22"]) == []
