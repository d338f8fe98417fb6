"""Fixtures of tests that save to S3 by a cluster: workers with credentials in their environment, behind a proxy."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest

from cluster_blocks import set_blocks
from cluster_rasters import Painter, geodata
from dask_cluster import StartCluster
from faults.exchange import Request
from faults.proxy import FaultProxy
from servers.s3 import SMALLEST_PART_BYTES, S3Server

#: Three parts of an upload with blocks as of `set_small_parts`, in 8 x 4 chunks, and the last of these.
PAINTER, CHUNKS, LAST_CHUNK = Painter((3, 2048, 2048), "uint16"), (3, 256, 512), (0, 7, 3)

#: No codec, as what is tested is where bytes go.
PLAIN = {"compress": "none"}

EARLIER = b"the earlier object"


def set_small_parts(monkeypatch: pytest.MonkeyPatch, run_bytes: int = 1) -> None:
    """Have blocks of a few chunks, and parts of twice the least size, into which any body can be divided."""
    set_blocks(monkeypatch, PART_BYTES=2 * SMALLEST_PART_BYTES, RUN_BYTES=run_bytes)


def large(painter: Painter = PAINTER, chunks: Any = CHUNKS) -> Any:
    return geodata(painter.array(chunks))


@dataclass
class Bucket:
    """SeaweedFS's bucket as a client and its workers reach it, through one proxy that records requests.

    Attributes:
        server: Behind the proxy, asked directly.
        proxy: In front of it.
        client: Of the cluster.
        key: Of the object of this test.
    """

    server: S3Server
    proxy: FaultProxy
    client: Any
    key: str = field(default_factory=lambda: f"{secrets.token_hex(4)}/raster.tif")

    @property
    def url(self) -> str:
        return self.server.url(self.key)

    def content(self) -> bytes | None:
        return self.server.get(self.key) if self.server.exists(self.key) else None

    def parts(self) -> list[Request]:
        return [one for one in self.proxy.requests if is_part(one)]


def is_part(request: Request) -> bool:
    return request.method == "PUT" and "partNumber=" in request.query


def number_of(request: Request) -> int:
    return int(parse_qs(request.query)["partNumber"][0])


def assert_parts_are_large_enough(parts: list[Request]) -> None:
    """Check S3's rule, which SeaweedFS does not enforce: all parts but the last have 5 MiB."""
    sizes = {number_of(one): one.body_bytes for one in parts}
    *full, _ = (sizes[number] for number in sorted(sizes))
    assert min(full, default=SMALLEST_PART_BYTES) >= SMALLEST_PART_BYTES, sizes


@pytest.fixture(scope="module")
def s3_proxy(running_seaweed_server: S3Server) -> Iterator[FaultProxy]:
    with FaultProxy(upstream=running_seaweed_server.endpoint) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def s3_env(running_seaweed_server: S3Server, s3_proxy: FaultProxy) -> dict[str, str]:
    return running_seaweed_server.env() | {"AWS_ENDPOINT_URL": s3_proxy.url, "NO_PROXY": "127.0.0.1"}


@pytest.fixture(scope="module")
def start_s3_workers(cluster: StartCluster, s3_env: dict[str, str]) -> Callable[[], Any]:
    """Return a function that starts workers with the credentials in their environment, or returns their client."""
    return lambda: cluster(2, env=s3_env)


@pytest.fixture
def bucket(
    seaweed: S3Server,
    s3_proxy: FaultProxy,
    s3_env: dict[str, str],
    start_s3_workers: Callable[[], Any],
    use_env: Callable[[dict[str, str]], None],
) -> Bucket:
    """An empty bucket behind a proxy without rules, and workers that reach it so."""
    s3_proxy.clear()
    use_env(s3_env)
    return Bucket(seaweed, s3_proxy, start_s3_workers())
