"""AWS_NO_SIGN_REQUEST and AWS_REQUEST_PAYER: every client of S3 obeys both, seen by the headers of its requests."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import fsspec
import numpy as np
import pytest
from obstore.store import S3Store
from s3fs import S3FileSystem

import forked
from fault_cases import FIRST_PART
from fault_places import make_small_parts
from faults.answers import s3_error
from faults.exchange import Request
from faults.proxy import Fault, FaultProxy
from georeader import CogWriter, GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader.errors import GeoreaderError
from georeader.storage import exists
from georeader.validation import validate
from geotoolz._catalog.rows import read_rows
from s3_reads import READS
from servers.moto_server import MotoServer
from sink_contract import PLACE, PLAIN, small

PAYER = "x-amz-request-payer"

#: What names the owner of moto's bucket: without it, a client that wants to sign has nothing to sign with.
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture
def front(moto: MotoServer, use_env: Callable[[dict[str, str]], None]) -> Iterator[FaultProxy]:
    """A proxy before moto that records requests; the environment has its endpoint and credentials."""
    S3FileSystem.clear_instance_cache()
    with FaultProxy(moto.endpoint) as proxy:
        host = proxy.url.removeprefix("http://")
        use_env(moto.env() | {"AWS_ENDPOINT_URL": proxy.url, "AWS_S3_ENDPOINT": host, "NO_PROXY": "127.0.0.1"})
        yield proxy
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def unsigned(front: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> FaultProxy:
    """The same with AWS_NO_SIGN_REQUEST and nothing to sign with."""
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")
    return front


@pytest.fixture
def paying(front: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> FaultProxy:
    """The same with AWS_REQUEST_PAYER."""
    monkeypatch.setenv("AWS_REQUEST_PAYER", "requester")
    return front


def new_url(moto: MotoServer) -> str:
    """Return a URL that no client has seen before."""
    return moto.url(f"{secrets.token_hex(4)}.tif")


def parted() -> GeoTensor:
    """Some 21 MB: with parts of 5 MiB, an upload in parts."""
    values = np.random.default_rng(3).integers(1, 2000, (2, 2000, 2000)).astype("uint16")
    return GeoTensor(values, **PLACE, fill_value_default=0)


def by_given_s3fs(front: FaultProxy, **options: Any) -> Any:
    """Return a filesystem as a caller makes it."""
    return fsspec.filesystem(
        "s3", endpoint_url=front.url, skip_instance_cache=True, config_kwargs={"retries": {"total_max_attempts": 1}},
        client_kwargs={"region_name": "us-east-1"}, **options,
    )  # fmt: skip


def by_given_store(front: FaultProxy, moto: MotoServer) -> Any:
    """Return a store as a caller makes it: obstore reads AWS_REQUEST_PAYER only as a bool."""
    return S3Store(moto.bucket, endpoint=front.url, client_options={"allow_http": True}, request_payer=True)


SAVES: dict[str, Callable[..., Any] | None] = {
    "botocore": None,
    "a given s3fs": lambda front, moto: by_given_s3fs(front, key=moto.key, secret=moto.secret),
    "a given store": by_given_store,
}


def assert_paid(requests: list[Request], *methods: str) -> None:
    """Each request has the header of requester pays, except HEAD of a bucket, which does not take it in S3's API."""
    asked = [one for one in requests if one.path.strip("/").count("/") or one.query]
    assert {one.method for one in asked} >= set(methods)
    assert [f"{one.method} {one.path}?{one.query}" for one in asked if one.headers.get(PAYER) != "requester"] == []


@pytest.mark.parametrize("way", SAVES)
class TestSaves:
    def test_small_upload_has_the_requester_pays_header(
        self, way: str, paying: FaultProxy, moto: MotoServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make = SAVES[way]

        save_cog(small(), new_url(moto), fs=make(paying, moto) if make else None, overwrite=False)

        assert_paid(paying.requests, "PUT", "HEAD")

    def test_multipart_upload_has_the_requester_pays_header(
        self, way: str, paying: FaultProxy, moto: MotoServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make = SAVES[way]
        make_small_parts(monkeypatch)

        save_cog(parted(), new_url(moto), fs=make(paying, moto) if make else None, profile_arg=PLAIN)

        assert any("partNumber" in one.query for one in paying.requests)
        assert_paid(paying.requests, "POST", "PUT", "HEAD")

    def test_abort_has_the_requester_pays_header(
        self, way: str, paying: FaultProxy, moto: MotoServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make = SAVES[way]
        make_small_parts(monkeypatch)
        paying.add(Fault(FIRST_PART.when, s3_error(403, "AccessDenied"), times=None))

        with pytest.raises(GeoreaderError):
            save_cog(parted(), new_url(moto), fs=make(paying, moto) if make else None, profile_arg=PLAIN)

        assert_paid(paying.requests, "DELETE")


def test_requests_are_unsigned_if_configured(
    unsigned: FaultProxy, moto: MotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small_parts(monkeypatch)

    save_cog(parted(), new_url(moto), profile_arg=PLAIN)

    assert unsigned.requests
    assert [one for one in unsigned.requests if "authorization" in one.headers] == []


@pytest.mark.parametrize(
    "save", [save_tiled_geotiff, save_cog, "CogWriter"], ids=["save_tiled_geotiff", "save_cog", "CogWriter"]
)
@pytest.mark.parametrize("engine", ["stream", "gdal"])
def test_every_function_that_saves_sends_the_requester_pays_header(
    save: Any, engine: str, paying: FaultProxy, moto: MotoServer
) -> None:
    if save == "CogWriter":
        with CogWriter(new_url(moto), shape=(64, 64), dtype="uint8", **PLACE) as writer:
            writer.write(np.ones((64, 64), "uint8"))
    else:
        save(small(), new_url(moto), engine=engine)

    assert_paid(paying.requests, "PUT", "HEAD")


def a_raster(moto: MotoServer, name: str = "") -> str:
    """Put a raster into the bucket, past the proxy and with credentials of its own."""
    url = new_url(moto) + name
    fs = fsspec.filesystem(
        "s3", endpoint_url=moto.endpoint, key=moto.key, secret=moto.secret, skip_instance_cache=True,
        client_kwargs={"region_name": moto.region},
    )  # fmt: skip
    save_cog(small(), url, fs=fs)
    return url


#: Reads by GDAL, which asks for sidecars with the interpreter's lock: the proxy, a thread here, could not answer.
BY_GDAL = ("RasterioReader", "preview", "save_cog from a path", "info")

_IN_A_CHILD = """
import sys
from s3_reads import READS
assert READS[sys.argv[1]](sys.argv[2]) is not None
"""


def do_read(what: str, url: str) -> None:
    if what in BY_GDAL:
        done = forked.run(_IN_A_CHILD, what, url, filterwarnings="ignore")
        assert done.returncode == 0, done.stderr
        return
    assert READS[what](url) is not None


class TestReads:
    @pytest.mark.parametrize("what", READS)
    def test_read_has_the_requester_pays_header(self, what: str, paying: FaultProxy, moto: MotoServer) -> None:
        url = a_raster(moto)

        do_read(what, url)

        assert_paid(paying.requests)
        assert paying.requests

    @pytest.mark.parametrize("what", READS)
    def test_read_is_unsigned_if_configured(self, what: str, unsigned: FaultProxy, moto: MotoServer) -> None:
        url = a_raster(moto)

        do_read(what, url)

        assert unsigned.requests
        assert [one for one in unsigned.requests if "authorization" in one.headers] == []

    @pytest.mark.parametrize("fixture", ["paying", "unsigned"])
    def test_catalog_is_read_with_the_same_settings(
        self, fixture: str, request: pytest.FixtureRequest, moto: MotoServer
    ) -> None:
        proxy = request.getfixturevalue(fixture)
        key = f"{secrets.token_hex(4)}.csv"
        moto.put(key, b"path,tile\na.tif,T0\n")

        assert read_rows(moto.url(key)) == [{"path": "a.tif", "tile": "T0"}]

        assert proxy.requests
        for one in proxy.requests:
            if fixture == "paying":
                assert one.headers.get(PAYER) == "requester"
            else:
                assert "authorization" not in one.headers

    @pytest.mark.parametrize("fixture", ["paying", "unsigned"])
    def test_skip_existing_without_s3fs_uses_the_same_settings(
        self, fixture: str, front: FaultProxy, moto: MotoServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def not_installed(url: str, **_: object) -> None:
            raise ImportError("Install s3fs to access S3")

        url = a_raster(moto)
        monkeypatch.setattr(fsspec.core, "url_to_fs", not_installed)
        monkeypatch.setenv("AWS_REQUEST_PAYER" if fixture == "paying" else "AWS_NO_SIGN_REQUEST", "true")

        assert exists(url)

        (asked,) = front.requests
        assert asked.headers.get(PAYER) == ("requester" if fixture == "paying" else None)
        assert ("authorization" in asked.headers) == (fixture == "paying")


def test_true_values_turn_requester_pays_on(
    front: FaultProxy, moto: MotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REQUEST_PAYER", "true")

    save_cog(small(), url := new_url(moto))
    do_read("RasterioReader", url)
    validate(url)

    assert_paid(front.requests, "PUT", "HEAD", "GET")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_REQUEST_PAYER", "no"),
        ("AWS_REQUEST_PAYER", ""),
        ("AWS_REQUEST_PAYER", "off"),
        ("AWS_NO_SIGN_REQUEST", "FALSE"),
        ("AWS_NO_SIGN_REQUEST", "0"),
    ],
)
def test_false_values_turn_requester_pays_off(
    name: str, value: str, front: FaultProxy, moto: MotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    save_cog(small(), new_url(moto))

    assert all(PAYER not in one.headers and "authorization" in one.headers for one in front.requests)


def test_filesystem_of_the_caller_keeps_its_setting(front: FaultProxy, moto: MotoServer) -> None:
    fs = by_given_s3fs(front, key=moto.key, secret=moto.secret, requester_pays=True)

    save_cog(small(), url := new_url(moto), fs=fs)
    validate(url, fs=fs)
    RasterioReader(url, fs=fs).load()

    assert_paid(front.requests, "PUT", "HEAD", "GET")
