"""edit_cog in stores: on S3 the store copies the tiles by itself, elsewhere they pass through in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import obstore
import pytest
from obstore.store import AzureStore, MemoryStore, S3Store

from faults.proxy import FaultProxy
from georeader import GeoTensor, RasterioReader, edit_cog, save_cog
from georeader.errors import ChangedError
from georeader.validation import validate
from servers.azurite import AzureServer
from servers.fake_gcs import GcsServer
from servers.moto_server import MotoServer
from servers.nginx import WebServer
from servers.s3 import S3Server

UseEnv = Callable[[dict[str, str]], None]

MIB = 2**20

#: aiohttp's advice to adlfs and gcsfs.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly with raw bytes:ResourceWarning")


def noise(side_px: int) -> GeoTensor:
    """Return pixels of two bytes that no codec shortens."""
    pixels = np.random.default_rng(3).integers(1, 2**16, (side_px, side_px)).astype("uint16")
    return GeoTensor(pixels, (10, 0, 500000, 0, -10, 4000000), "EPSG:32630", fill_value_default=0)


@pytest.fixture(scope="module")
def proxy_of_seaweed(running_seaweed_server: S3Server) -> Iterator[FaultProxy]:
    with FaultProxy(upstream=running_seaweed_server.endpoint) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def proxy_of_moto(running_moto_server: MotoServer) -> Iterator[FaultProxy]:
    with FaultProxy(upstream=running_moto_server.endpoint) as proxy:
        yield proxy


class TestCopiesByTheStore:
    @pytest.fixture(params=["seaweed", "moto"])
    def store(self, request: pytest.FixtureRequest, use_env: UseEnv) -> tuple[Any, FaultProxy]:
        """A server with the API of S3, and the proxy through which botocore reaches it."""
        server = request.getfixturevalue(request.param)
        proxy: FaultProxy = request.getfixturevalue(f"proxy_of_{request.param}")
        use_env(server.env() | {"AWS_ENDPOINT_URL": proxy.url, "NO_PROXY": "127.0.0.1"})
        proxy.clear()
        return server, proxy

    def test_a_large_object_is_edited_by_few_bytes(self, store: tuple[Any, FaultProxy]) -> None:
        server, proxy = store
        url = server.url("scene.tif")
        save_cog(noise(3000), url, profile_arg={"compress": "none"})
        proxy.clear()

        receipt = edit_cog(url, tags={"checked": "yes"})

        requests = proxy.requests
        sent_bytes = sum(request.body_bytes for request in requests)
        received_bytes = sum(_range_bytes(request.headers.get("range", "")) for request in requests)
        copies = [request for request in requests if "x-amz-copy-source" in request.headers]
        assert receipt.size_bytes > 20 * MIB
        assert copies
        assert sent_bytes + received_bytes < 12 * MIB
        assert validate(url).is_valid
        assert RasterioReader(url).tags()["checked"] == "yes"
        assert server.open_uploads() == []

    def test_each_copy_names_the_version_that_was_read(self, store: tuple[Any, FaultProxy]) -> None:
        server, proxy = store
        url = server.url("scene.tif")
        save_cog(noise(3000), url, profile_arg={"compress": "none"})
        etag = server.client.head_object(Bucket=server.bucket, Key="scene.tif")["ETag"]
        proxy.clear()

        edit_cog(url, crs="EPSG:32631", out=server.url("other.tif"))

        copies = [request for request in proxy.requests if "x-amz-copy-source" in request.headers]
        assert {request.headers["x-amz-copy-source-if-match"] for request in copies} == {etag}
        assert server.get("scene.tif") != server.get("other.tif")

    def test_a_small_object_is_sent_by_one_request(self, store: tuple[Any, FaultProxy]) -> None:
        server, proxy = store
        url = server.url("chip.tif")
        save_cog(noise(300), url)
        proxy.clear()

        edit_cog(url, tags={"checked": "yes"})

        assert [request.method for request in proxy.requests if request.method in ("PUT", "POST")] == ["PUT"]
        assert validate(url).is_valid

    @pytest.mark.parametrize("side_px", [300, 3000])
    def test_another_writer_is_not_overwritten(
        self, store: tuple[Any, FaultProxy], side_px: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server, _ = store
        url = server.url("scene.tif")
        save_cog(noise(side_px), url, profile_arg={"compress": "none"})
        other = b"another writer's"

        def replace_it(*_: int) -> None:
            server.put("scene.tif", other)

        with pytest.raises(ChangedError, match=r"scene\.tif"):
            edit_cog(url, tags={"checked": "yes"}, progress=replace_it)

        assert server.get("scene.tif") == other
        assert server.open_uploads() == []


def _range_bytes(byte_range: str) -> int:
    start, _, stop = byte_range.removeprefix("bytes=").partition("-")
    return int(stop) - int(start) + 1 if stop else 0


def test_an_object_is_edited_by_s3fs(seaweed: S3Server, use_env: UseEnv) -> None:
    use_env({})
    fs = fsspec.filesystem("s3", key=seaweed.key, secret=seaweed.secret, endpoint_url=seaweed.endpoint,
                           client_kwargs={"region_name": seaweed.region}, skip_instance_cache=True)  # fmt: skip
    url = seaweed.url("scene.tif")
    save_cog(noise(3000), url, fs=fs, profile_arg={"compress": "none"})

    receipt = edit_cog(url, tags={"checked": "yes"}, fs=fs)

    assert receipt.checksum is None  # tiles were copied by the store
    assert validate(url, fs=fs).is_valid
    assert RasterioReader(url, fs=fs).tags()["checked"] == "yes"


def test_a_blob_of_azure_is_edited(azurite: AzureServer, use_env: UseEnv) -> None:
    use_env(azurite.env())
    _check_edit(azurite.url("scene.tif"))


def test_an_object_of_gcs_is_edited(fake_gcs: GcsServer, use_env: UseEnv) -> None:
    use_env(fake_gcs.env())
    fs = fsspec.filesystem("gcs", token="anon", endpoint_url=fake_gcs.endpoint, skip_instance_cache=True)
    _check_edit(fake_gcs.url("scene.tif"), fs=fs)


@pytest.mark.parametrize("server", ["azurite", "seaweed", "memory"])
def test_another_writer_to_a_store_of_obstore_is_not_overwritten(
    server: str, request: pytest.FixtureRequest, use_env: UseEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_env({})
    store = _store_of(server, request)
    save_cog(noise(700), "scene.tif", fs=store)
    put = obstore.put
    raced: list[bool] = []

    def put_late(where: Any, path: str, *args: Any, **options: Any) -> Any:
        if not raced:  # behind the comparison, which would notice it
            raced.append(True)
            put(where, path, b"another writer's")
        return put(where, path, *args, **options)

    monkeypatch.setattr(obstore, "put", put_late)

    with pytest.raises(ChangedError, match=r"scene\.tif"):
        edit_cog("scene.tif", tags={"checked": "yes"}, fs=store)

    assert bytes(obstore.get(store, "scene.tif").bytes()) == b"another writer's"


def _store_of(server: str, request: pytest.FixtureRequest) -> Any:
    if server == "memory":
        return MemoryStore()
    running = request.getfixturevalue(server)
    local = {"allow_http": True}
    if server == "azurite":
        return AzureStore(running.container, account_name=running.account, account_key=running.key,
                          endpoint=running.endpoint, client_options=local)  # fmt: skip
    return S3Store(running.bucket, access_key_id=running.key, secret_access_key=running.secret,
                   endpoint=running.endpoint, region=running.region, client_options=local)  # fmt: skip


def test_a_file_of_a_web_server_is_edited(nginx: WebServer) -> None:
    _check_edit(nginx.url("scene.tif"))


def test_a_file_of_fsspec_is_edited() -> None:
    _check_edit("memory://edits/scene.tif")


def test_an_object_in_a_store_of_obstore_is_edited() -> None:
    store = MemoryStore()
    _check_edit("scene.tif", fs=store)
    assert obstore.head(store, "scene.tif")["size"]


def _check_edit(url: str, **keywords: Any) -> None:
    save_cog(noise(700), url, tags={"model": "v1"}, **keywords)
    before = RasterioReader(url, **keywords).load().values

    edit_cog(url, tags={"checked": "yes"}, crs="EPSG:32631", **keywords)

    reader = RasterioReader(url, **keywords)
    assert {"model": "v1", "checked": "yes"}.items() <= reader.tags().items()
    assert reader.crs.to_epsg() == 32631
    assert np.array_equal(reader.load().values, before)
    assert validate(url, strict=True, **keywords).is_valid


def test_a_file_goes_from_the_disk_to_a_store(tmp_path: Path, seaweed: S3Server, use_env: UseEnv) -> None:
    use_env(seaweed.env())
    path = tmp_path / "scene.tif"
    save_cog(noise(700), path)
    before = path.read_bytes()

    edit_cog(path, tags={"checked": "yes"}, out=seaweed.url("scene.tif"))

    assert path.read_bytes() == before
    assert RasterioReader(seaweed.url("scene.tif")).tags()["checked"] == "yes"
