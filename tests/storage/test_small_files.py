"""Small files: `read_bytes` and `write_bytes` beside what the contract of destinations holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from georeader.errors import DestinationError, OptionError, ReadError
from georeader.storage import read_bytes, write_bytes
from servers.azurite import AzureServer
from servers.s3 import S3Server

UseEnv = Callable[[dict[str, str]], None]

MEDIA_TYPES = {
    "item.json": "application/json",
    "items.parquet": "application/vnd.apache.parquet",
    "index.vrt": "application/xml",
    "image.tif": "image/tiff",
    "unknown": "application/octet-stream",
}


def test_s3_keeps_the_media_type_of_the_suffix(seaweed: S3Server, use_env: UseEnv) -> None:
    use_env(seaweed.env())

    for name in MEDIA_TYPES:
        write_bytes(seaweed.url(name), b"content")

    heads = {name: seaweed.client.head_object(Bucket=seaweed.bucket, Key=name) for name in MEDIA_TYPES}
    assert {name: head["ContentType"] for name, head in heads.items()} == MEDIA_TYPES


def test_azure_keeps_the_media_type_of_the_suffix(azurite: AzureServer, use_env: UseEnv) -> None:
    use_env(azurite.env())

    write_bytes(azurite.url("items.parquet"), b"content")

    properties = azurite.client.get_blob_client("items.parquet").get_blob_properties()
    assert properties.content_settings.content_type == MEDIA_TYPES["items.parquet"]


@pytest.mark.parametrize(("name", "beside", "is_kept"), [
    ("index.vrt", "index.vrt.aux.xml", False), ("index.vrt", "index.vrt.ovr", False),
    ("scene.json", "scene.wld", True), ("scene.json", "scene.imd", True),
])  # fmt: skip
@pytest.mark.parametrize("is_local", [True, False], ids=["local", "memory"])
def test_sidecars_of_an_earlier_raster_alone_are_removed(
    name: str, beside: str, is_kept: bool, is_local: bool, tmp_path: Path
) -> None:
    fs = fsspec.filesystem("file" if is_local else "memory")
    fs.pipe_file(f"{tmp_path}/{beside}", b"earlier")

    write_bytes(f"{tmp_path}/{name}", b"new", fs)

    assert fs.exists(f"{tmp_path}/{beside}") == is_kept


@pytest.mark.parametrize(("path", "content", "error", "message"), [
    ("a.json", b"", OptionError, "content is empty"), ("missing/a.json", b"{}", DestinationError, "missing"),
    ("", b"{}", DestinationError, "empty"),
])  # fmt: skip
def test_what_cannot_be_written_is_refused(
    path: str, content: bytes, error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(error, match=message):
        write_bytes(path, content)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("by_fs", [False, True], ids=["path", "fs"])
def test_missing_file_is_a_read_error_that_names_it(by_fs: bool, tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"none\.json.*cannot be read"):
        read_bytes(str(tmp_path / "none.json"), fsspec.filesystem("file") if by_fs else None)
