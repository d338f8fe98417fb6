"""Six that write one object at once with overwrite=False: one of them wins, and its object is the one that is there."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from io import BytesIO
from threading import Barrier
from typing import Any

import fsspec
import numpy as np
import pytest

from fault_places import make_small_parts
from faults.exchange import Exchange
from faults.proxy import Fault, FaultProxy, Match
from georeader import GeoTensor, save_cog
from georeader.errors import ExistsError, GeoreaderError
from servers.s3 import S3Server
from sink_contract import PLACE, PLAIN

WRITERS = 6

#: Sides of rasters: one that goes by one request, and one of some 15 MB, which is an upload in parts of 5 MiB.
SMALL_PX, LARGE_PX = 300, 1700


def raster(seed: int, side_px: int) -> GeoTensor:
    values = np.random.default_rng(seed).integers(1, 2000, (2, side_px, side_px)).astype("uint16")
    return GeoTensor(values, **PLACE, fill_value_default=0)


@cache
def content_of(seed: int, side_px: int) -> bytes:
    file = BytesIO()
    save_cog(raster(seed, side_px), file, profile_arg=PLAIN)
    return file.getvalue()


@pytest.mark.covering(columns=lambda way, store, side_px, is_same: ((way, side_px), store, is_same))
@pytest.mark.parametrize(
    ("way", "store", "side_px", "is_same"),
    [
        ("botocore", "seaweed", LARGE_PX, False),
        ("botocore", "seaweed", LARGE_PX, True),
        ("botocore", "moto", LARGE_PX, False),
        ("botocore", "moto", LARGE_PX, True),
        ("s3fs", "seaweed", LARGE_PX, False),
        ("s3fs", "moto", LARGE_PX, True),
        ("botocore", "seaweed", SMALL_PX, False),
        ("botocore", "moto", SMALL_PX, True),
        ("s3fs", "seaweed", SMALL_PX, True),
    ],
)
def test_one_of_six_concurrent_writers_succeeds(
    way: str, store: str, side_px: int, is_same: bool,
    request: pytest.FixtureRequest, use_env: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    server: S3Server = request.getfixturevalue(store)
    use_env(server.env())
    make_small_parts(monkeypatch)
    key, barrier = f"{secrets.token_hex(4)}.tif", Barrier(WRITERS)

    def write(number: int) -> GeoreaderError | None:
        fs = None
        if way == "s3fs":
            fs = fsspec.filesystem(
                "s3", endpoint_url=server.endpoint, key=server.key, secret=server.secret, skip_instance_cache=True,
                client_kwargs={"region_name": server.region},
            )  # fmt: skip
        values = raster(0 if is_same else number, side_px)
        barrier.wait()
        try:
            save_cog(values, server.url(key), overwrite=False, profile_arg=PLAIN, fs=fs)
        except ExistsError as error:
            return error
        return None

    with ThreadPoolExecutor(WRITERS) as pool:
        errors = list(pool.map(write, range(WRITERS)))

    winners = [number for number, error in enumerate(errors) if error is None]
    assert len(winners) == 1
    assert server.get(key) == content_of(0 if is_same else winners[0], side_px)
    assert server.open_uploads() == []


def test_request_that_creates_the_object_has_the_condition(
    seaweed: S3Server, use_env: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small_parts(monkeypatch)
    with FaultProxy(seaweed.endpoint) as proxy:
        use_env(seaweed.env() | {"AWS_ENDPOINT_URL": proxy.url, "NO_PROXY": "127.0.0.1"})

        save_cog(raster(0, LARGE_PX), seaweed.url("conditional.tif"), overwrite=False, profile_arg=PLAIN)

        making = [
            one for one in proxy.requests
            if (one.method == "POST" and one.query.startswith("uploadId=")) or (one.method == "PUT" and not one.query)
        ]  # fmt: skip
    assert making
    assert {one.headers.get("if-none-match") for one in making} == {"*"}


class Replaced:
    """Replaces the object before it is read back: a store that ignores conditions."""

    def __init__(self, server: S3Server, key: str, content: bytes) -> None:
        self._server, self._key, self._content = server, key, content

    def __str__(self) -> str:
        return "replaced"

    def serve(self, exchange: Exchange) -> None:
        if self._server.exists(self._key):
            self._server.put(self._key, self._content)
        exchange.forward()


@pytest.mark.parametrize("side_px", [SMALL_PX, LARGE_PX], ids=["one request", "parts"])
def test_object_replaced_by_another_writer_is_an_exists_error(
    side_px: int, seaweed: S3Server, use_env: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small_parts(monkeypatch)
    content = content_of(0, side_px)
    others = bytes(len(content))
    key = f"{secrets.token_hex(4)}.tif"
    with FaultProxy(seaweed.endpoint) as proxy:
        use_env(seaweed.env() | {"AWS_ENDPOINT_URL": proxy.url, "NO_PROXY": "127.0.0.1"})
        proxy.add(Fault(Match("HEAD", path_contains=key), Replaced(seaweed, key, others), times=None))

        with pytest.raises(ExistsError):
            save_cog(raster(0, side_px), seaweed.url(key), overwrite=False, profile_arg=PLAIN)

    assert seaweed.get(key) == others
