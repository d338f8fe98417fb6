"""Catalogs whose files go to stores: rows that are there already are found, and no failure is taken for absence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from obstore.store import LocalStore, S3Store
from s3fs import S3FileSystem

from georeader import RasterioReader
from georeader.errors import OptionError, ReadError
from georeader.storage import exists
from geotoolz import Sequential
from geotoolz.catalog_ops import CatalogPipeline, WriteCOG
from geotoolz.indices import NDVI
from geotoolz_helpers import write_chips
from range_server import Server
from servers.moto_server import MotoServer
from servers.nginx import WebServer
from servers.s3 import S3Server

UseEnv = Callable[[dict[str, str]], None]


@pytest.fixture(autouse=True)
def _new_clients() -> None:
    """Have fsspec forget its clients: each test has another server and other keys."""
    S3FileSystem.clear_instance_cache()


def run_twice(rows: list[dict[str, Any]], template: str, **options: Any) -> list[bool]:
    """Run the first row, then all with skip_existing; return which were skipped."""
    operator = Sequential([NDVI(0, 1), WriteCOG(template, **options)])
    CatalogPipeline(rows[:1], operator).run()
    read = []

    def reader(path: str) -> RasterioReader:
        read.append(path)
        return RasterioReader(path)

    results = CatalogPipeline(rows, operator, reader, skip_existing=True, n_workers=2).run()
    assert sorted(read) == [row["path"] for row in rows[1:]]
    return [result.is_skipped for result in results]


def test_existing_files_are_skipped_by_url_of_fsspec(tmp_path: Path) -> None:
    assert run_twice(write_chips(tmp_path, 3), "memory://geotoolz/stores/{tile}.tif") == [True, False, False]


def test_existing_files_are_skipped_in_a_filesystem_of_fsspec(tmp_path: Path) -> None:
    rows, fs = write_chips(tmp_path, 3), fsspec.filesystem("memory")

    assert run_twice(rows, "geotoolz/as-fs/{tile}.tif", fs=fs) == [True, False, False]


def test_existing_files_are_skipped_in_a_store_of_obstore(tmp_path: Path) -> None:
    rows = write_chips(tmp_path, 3)
    (tmp_path / "store").mkdir()

    assert run_twice(rows, "out/{tile}.tif", fs=LocalStore(tmp_path / "store")) == [True, False, False]


def test_existing_files_are_skipped_in_s3(tmp_path: Path, moto: MotoServer, use_env: UseEnv) -> None:
    use_env(moto.env())

    assert run_twice(write_chips(tmp_path, 3), moto.url("geotoolz/{tile}.tif")) == [True, False, False]
    assert sorted(moto.keys()) == ["geotoolz/T0.tif", "geotoolz/T1.tif", "geotoolz/T2.tif"]


def test_existing_files_are_skipped_in_s3_without_s3fs(
    tmp_path: Path, moto: MotoServer, use_env: UseEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_env(moto.env() | {"AWS_ALLOW_HTTP": "true"})

    def not_installed(url: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", not_installed)

    assert run_twice(write_chips(tmp_path, 2), moto.url("obstore/{tile}.tif")) == [True, False]


def test_requests_for_existence_have_the_headers_of_the_save(tmp_path: Path, nginx: WebServer) -> None:
    rows = write_chips(tmp_path, 2)

    assert run_twice(rows, nginx.base + "/{tile}.tif", http_headers={"X-Test": "1"}) == [True, False]


def test_a_store_that_denies_access_is_an_error(tmp_path: Path, seaweed: S3Server, use_env: UseEnv) -> None:
    use_env(seaweed.env() | {"AWS_SECRET_ACCESS_KEY": "not-the-key-of-anybody"})
    rows = write_chips(tmp_path, 1)
    operator = WriteCOG(seaweed.url("{tile}.tif"))

    with pytest.raises(ReadError, match="cannot check whether it exists") as caught:
        CatalogPipeline(rows, operator, skip_existing=True).run()
    assert "not-the-key-of-anybody" not in str(caught.value)


def test_a_store_that_cannot_be_reached_is_an_error() -> None:
    store = S3Store(
        "bucket", endpoint="http://127.0.0.1:9", access_key_id="a", secret_access_key="b", region="us-east-1",
        client_options={"allow_http": True}, retry_config={"max_retries": 0},
    )  # fmt: skip

    with pytest.raises(ReadError, match="cannot check whether it exists"):
        exists("a.tif", store)


def test_a_catalog_is_read_from_a_server_and_rasters_too(tmp_path: Path, server: Server) -> None:
    rows = write_chips(server.folder, 2)
    lines = [f"{server.base}/{Path(row['path']).name},{row['tile']}" for row in rows]
    (server.folder / "rows.csv").write_text("\n".join(["href,tile", *lines]))

    results = CatalogPipeline(f"{server.base}/rows.csv", WriteCOG(f"{tmp_path}/{{tile}}.tif")).run()

    assert [RasterioReader(result.path).shape for result in results] == [(2, 32, 32)] * 2


def test_exists_finds_local_files(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"")

    assert exists(str(tmp_path / "a.tif"))
    assert not exists(str(tmp_path / "b.tif"))
    with pytest.raises(OptionError):
        WriteCOG("{a}.tif", exists=True)
