"""Destinations behind a proxy that injects faults: real servers, as each client reaches them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import fsspec
import pytest
from obstore.store import S3Store

from faults.proxy import FaultProxy, refused_url
from georeader._export.plan import traits
from georeader._export.sinks import obstore_put
from georeader._storage import http_client, obstores, remote_errors, s3

#: Of every object: no client writes it in another way.
NAME = "raster"

#: The least that S3 takes, so that a few MB are several parts.
PART_BYTES = 5 * 2**20

#: How long a client waits where a fault is a stall; all others answer at once, or reset.
PATIENCE_SECONDS = 1.5


@dataclass
class Front:
    """One object that is to be, behind the proxy.

    Attributes:
        server: What is behind it, asked directly.
        proxy: In front of it; None where nothing listens.
        key: Of the object in the server.
        url: What is passed as the path.
        fs: What is passed as fs.
    """

    server: Any
    proxy: FaultProxy | None
    key: str
    url: str
    fs: Any = None

    def content(self) -> bytes | None:
        return self.server.get(self.key) if self.server.exists(self.key) else None

    def put(self, content: bytes) -> None:
        self.server.put(self.key, content)

    def open_uploads(self) -> list[Any]:
        """What an upload in parts left behind; Azure, which has no such thing, forgets blocks by itself."""
        return self.server.open_uploads() if hasattr(self.server, "open_uploads") else []

    def abort(self, upload: Any) -> None:
        """Do what a lifecycle rule of the bucket does with an upload that was left."""
        self.server.client.abort_multipart_upload(
            Bucket=self.server.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
        )


@dataclass
class Maker:
    """Makes fronts for one test.

    Attributes:
        request: Gives the servers.
        use_env: Sets the variables of a server.
        is_refused: Leave the proxy out, so that connections are refused.
    """

    request: pytest.FixtureRequest
    use_env: Callable[[dict[str, str]], None]
    stack: ExitStack
    is_refused: bool = False
    proxy: FaultProxy | None = field(default=None, init=False)

    def make(self, destination: str) -> Front:
        """Make one, by its name in `DESTINATIONS`."""
        server = self.request.getfixturevalue(DESTINATIONS[destination][0])
        where = getattr(server, "endpoint", None) or server.base
        own = f"http://{urlsplit(where).netloc}"
        if not self.is_refused:
            self.proxy = self.stack.enter_context(FaultProxy(own))
        through = self.proxy.url if self.proxy is not None else refused_url()
        key = f"{secrets.token_hex(4)}/{NAME}"
        key = f"careful/{key}" if destination == "http" else key
        env, url, fs = DESTINATIONS[destination][1](server, lambda text: text.replace(own, through), key)
        self.use_env(env)
        return Front(server, self.proxy, key, url, fs() if fs is not None else None)


Via = Callable[[str], str]
Made = tuple[dict[str, str], str, Callable[[], Any] | None]


def _s3(server: Any, via: Via, key: str) -> Made:
    return server.env() | {"AWS_ENDPOINT_URL": via(server.endpoint)}, server.url(key), None


def _s3_by_s3fs(server: Any, via: Via, key: str) -> Made:
    """A client with one attempt for each of the project's."""
    return _by_s3fs(server, via, key, {"retries": {"total_max_attempts": 1}}, 1)


def _s3_by_patient_s3fs(server: Any, via: Via, key: str) -> Made:
    """As it is by default: five attempts, of five each."""
    return _by_s3fs(server, via, key, {}, 5)


def _by_s3fs(server: Any, via: Via, key: str, config: dict[str, Any], retries: int) -> Made:
    def make() -> Any:
        timeouts = {"connect_timeout": s3.CONNECT_SECONDS, "read_timeout": s3.ANSWER_SECONDS}
        fs = fsspec.filesystem("s3", key=server.key, secret=server.secret, endpoint_url=via(server.endpoint),
                               client_kwargs={"region_name": server.region}, skip_instance_cache=True,
                               config_kwargs=config | timeouts)  # fmt: skip
        fs.retries = retries
        return fs

    return {}, server.url(key), make


def _s3_by_a_given_store(server: Any, via: Via, key: str) -> Made:
    def make() -> Any:
        seconds = timedelta(seconds=obstores.REQUEST_SECONDS)
        return S3Store(server.bucket, access_key_id=server.key, secret_access_key=server.secret, region=server.region,
                       endpoint=via(server.endpoint), client_options={"allow_http": True, "timeout": seconds},
                       retry_config=obstores._retries(60))  # fmt: skip

    return {}, server.url(key), make


def _azure(server: Any, via: Via, key: str) -> Made:
    env = {name: value for name, value in server.env().items() if "CONNECTION" not in name}
    return env | {"AZURE_STORAGE_ENDPOINT": via(server.endpoint)}, server.url(key), None


def _azure_by_sas(server: Any, via: Via, key: str) -> Made:
    """A SAS URL's signature does not cover the host."""
    return {"NO_PROXY": "127.0.0.1"}, via(server.sas_url(key)), None


def _azure_by_adlfs(server: Any, via: Via, key: str) -> Made:
    text = via(server.connection_string)
    return {}, server.url(key), lambda: fsspec.filesystem("abfs", connection_string=text, skip_instance_cache=True)


def _gcs(server: Any, via: Via, key: str) -> Made:
    return server.gcs_env() | {"GOOGLE_BASE_URL": via(server.endpoint)}, server.gcs_url(key), None


def _gcs_by_gcsfs(server: Any, via: Via, key: str) -> Made:
    url = via(server.endpoint)

    def make() -> Any:
        return fsspec.filesystem("gcs", token="anon", endpoint_url=url, skip_instance_cache=True)

    return server.env() | {"STORAGE_EMULATOR_HOST": url}, server.url(key), make


def _http(server: Any, via: Via, key: str) -> Made:
    return server.env(), via(server.url(key)), None


#: The server's fixture, and what leads to it.
DESTINATIONS: dict[str, tuple[str, Callable[[Any, Via, str], Made]]] = {
    "s3": ("seaweed", _s3),
    "s3fs": ("seaweed", _s3_by_s3fs),
    "s3fs-patient": ("seaweed", _s3_by_patient_s3fs),
    "s3-store": ("seaweed", _s3_by_a_given_store),
    "azure": ("azurite", _azure),
    "sas": ("azurite", _azure_by_sas),
    "adlfs": ("azurite", _azure_by_adlfs),
    "gcs": ("moto", _gcs),
    "gcsfs": ("fake_gcs", _gcs_by_gcsfs),
    "http": ("nginx", _http),
}


def make_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have some 20 MB be several parts, with every client."""
    monkeypatch.setattr(traits, "PART_BYTES", PART_BYTES)
    for name in ("ONE_REQUEST_BYTES", "WITHOUT_PARTS_BYTES"):
        monkeypatch.setattr(obstore_put, name, PART_BYTES)


def make_impatient(monkeypatch: pytest.MonkeyPatch, *, with_stalls: bool) -> None:
    """Have every client wait less before it tries again; and for an answer, where there will be none."""
    monkeypatch.setattr(remote_errors, "ATTEMPTS", 3)
    monkeypatch.setattr(remote_errors, "FIRST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(remote_errors, "LONGEST_WAIT_SECONDS", 3.0)
    monkeypatch.setattr(obstores, "BYTES_PER_SECOND", 10**9)
    seconds = PATIENCE_SECONDS if with_stalls else 20
    for module, name in ((s3, "CONNECT_SECONDS"), (s3, "ANSWER_SECONDS"), (obstores, "REQUEST_SECONDS"),
                         (http_client, "TIMEOUT_SECONDS")):  # fmt: skip
        monkeypatch.setattr(module, name, seconds)
    import gcsfs.retry
    from azure.storage.blob._shared.policies_async import ExponentialRetry

    monkeypatch.setattr(ExponentialRetry, "get_backoff_time", lambda *_: 0.02)
    monkeypatch.setattr(gcsfs.retry, "asyncio", SimpleNamespace(sleep=lambda _: asyncio.sleep(0.02)))
