"""validate: sources of files, numbers of requests, and the requests of a viewer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import rasterio
from obstore.store import LocalStore, MemoryStore

from georeader import GeoTensor, save_cog
from georeader._readers.byte_source import open_bytes
from georeader._storage import remote_errors
from georeader.errors import ReadError
from georeader.validation import info, validate
from georeader.validation.measure import Tiles, measure
from range_server import Server

Make = Callable[..., GeoTensor]


@dataclass
class Recorder:
    """A `ByteSource` in memory that records reads, and can fail at one."""

    content: bytes
    is_local: bool = False
    has_external_overviews: bool = False
    fails_at: int | None = None
    reads: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    def read_at(self, offset_bytes: int, length_bytes: int) -> bytes:
        assert 0 <= offset_bytes <= offset_bytes + length_bytes <= len(self.content)
        if len(self.reads) == self.fails_at:
            raise ReadError("a.tif: it can't be read")
        self.reads.append((offset_bytes, length_bytes))
        return self.content[offset_bytes : offset_bytes + length_bytes]


@pytest.fixture
def a_cog(make_tensor: Make, tmp_path: Path) -> Path:
    save_cog(make_tensor((1, 1500, 1200), "uint16"), tmp_path / "a.tif", profile_arg={"compress": "lzw"})
    return tmp_path / "a.tif"


# Numbers of requests.


def test_one_read_of_a_remote_file_returns_the_structure(a_cog: Path) -> None:
    source = Recorder(a_cog.read_bytes())

    measurement = measure(source, tiles=Tiles.FRAMED)

    assert source.reads == [(0, 128 * 1024)]
    assert not measurement.has_checked_frames


def test_tiles_of_remote_files_are_read_in_batches(a_cog: Path) -> None:
    source = Recorder(a_cog.read_bytes())

    measurement = measure(source)

    assert measurement.tiles_decoded == sum(len(one.tile_offsets_bytes) for one in measurement.directories)
    assert len(source.reads) <= 2 + len(source.content) // (3 * 2**20)
    assert measurement.has_checked_frames


def test_frames_of_tiles_of_local_files_are_read_separately(a_cog: Path) -> None:
    source = Recorder(a_cog.read_bytes(), is_local=True)

    measure(source, tiles=Tiles.FRAMED)

    assert sum(length for _, length in source.reads) < 2 * 128 * 1024
    assert measure(source, tiles=Tiles.FRAMED).has_checked_frames


@pytest.mark.parametrize("fails_at", [0, 1])
def test_any_failing_read_is_an_error(a_cog: Path, fails_at: int) -> None:
    with pytest.raises(ReadError, match="can't be read"):
        measure(Recorder(a_cog.read_bytes(), fails_at=fails_at))


def test_bytes_of_a_file_that_shrinks_are_an_error(a_cog: Path) -> None:
    with open_bytes(a_cog) as source:
        a_cog.write_bytes(b"II*\0")
        with pytest.raises(ReadError, match=r"a\.tif: 4 bytes came of 100 from byte 0"):
            source.read_at(0, 100)


# Where they come from.


def test_filesystem_of_fsspec_is_read(a_cog: Path) -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/folder/a.tif", a_cog.read_bytes())
    assert validate("folder/a.tif", fs=fs, strict=True)
    assert validate("memory://folder/a.tif", strict=True)
    assert info("memory://folder/a.tif").place.width_px == 1200


def test_store_of_obstore_is_read(a_cog: Path) -> None:
    store = MemoryStore()
    store.put("folder/a.tif", a_cog.read_bytes())
    assert validate("folder/a.tif", fs=store, strict=True)
    assert validate("a.tif", fs=LocalStore(str(a_cog.parent)), strict=True)
    assert info("folder/a.tif", fs=store).place.height_px == 1500


def test_file_url_is_read(a_cog: Path) -> None:
    assert validate(a_cog.as_uri(), strict=True)


def test_missing_file_is_an_error_for_any_source(a_cog: Path) -> None:
    for path, fs in [
        ("none.tif", MemoryStore()),
        ("none.tif", fsspec.filesystem("memory")),
        ("memory://none.tif", None),
    ]:
        with pytest.raises(ReadError, match=r"none\.tif"):
            validate(path, fs=fs)
    with pytest.raises(ReadError, match="fs is a int"):
        validate(a_cog, fs=1)  # type: ignore[arg-type]
    with pytest.raises(ReadError, match="names no object"):
        validate("s3://bucket")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the wait between attempts."""
    monkeypatch.setattr(remote_errors, "FIRST_WAIT_SECONDS", 0.0)


def test_http_server_is_read(a_cog: Path, server: Server) -> None:
    url = server.put("a.tif", a_cog.read_bytes())

    report = validate(f"{url}?sig=hunter22", strict=True)

    assert report.is_valid, str(report)
    assert report.path == f"{url}?***"
    assert all(request["method"] == "GET" for request in server.requests())
    assert len(server.requests()) <= 2 + a_cog.stat().st_size // (3 * 2**20)


def test_an_http_server_gets_one_request_if_nothing_is_decoded(a_cog: Path, server: Server) -> None:
    validate(server.put("a.tif", a_cog.read_bytes()), decode=False)
    assert [(request["first_byte"], request["sent"]) for request in server.requests()] == [(0, 128 * 1024)]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    ("status", "match"),
    [("404", "no such object"), ("403", "access is denied"), ("500", "HTTP 500"), ("503", "HTTP 503")],
)
def test_a_server_that_refuses_is_an_error(a_cog: Path, server: Server, status: str, match: str) -> None:
    url = server.put("a.tif", a_cog.read_bytes())
    server.configure("a.tif", "status", status)

    with pytest.raises(ReadError, match=match) as caught:
        validate(f"{url}?sig=hunter22")

    assert "hunter22" not in str(caught.value) + repr(caught.value.__cause__)
    assert len(server.requests()) == (remote_errors.ATTEMPTS if status.startswith("5") else 1)


def test_a_server_without_ranges_raises(a_cog: Path, server: Server) -> None:
    url = server.put("a.tif", a_cog.read_bytes())
    server.configure("a.tif", "no-ranges")
    with pytest.raises(ReadError, match="serves no ranges"):
        validate(url)


@pytest.mark.usefixtures("patient")
def test_unreachable_server_is_an_error(unused_port: int) -> None:
    with pytest.raises(ReadError, match="no way to the store"):
        validate(f"http://127.0.0.1:{unused_port}/a.tif")


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


# Requests of a viewer: the same as GDAL.


@pytest.mark.parametrize(
    ("size", "profile", "has_mask"),
    [
        (900, {}, False),
        (900, {}, True),
        (3000, {"compress": "none", "BLOCKSIZE": 128}, False),
        (2000, {"BIGTIFF": "YES"}, False),
        (3000, {"BLOCKSIZE": 64}, False),
    ],
)
def test_the_reported_requests_are_those_of_gdal(
    make_tensor: Make, server: Server, size: int, profile: dict[str, Any], has_mask: bool
) -> None:
    values = (np.add.outer(np.arange(size), np.arange(size)) % 3000).astype("uint16")[None]
    attrs = {"mask": values[0] > 20} if has_mask else {}
    tensor = GeoTensor(values, (10, 0, 5e5, 0, -10, 4e6), 3857, None, attrs=attrs)
    save_cog(tensor, server.folder / "a.tif", profile_arg=profile)
    viewer = validate(server.folder / "a.tif").measurement.viewer
    assert viewer is not None

    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        with rasterio.open(f"{server.base}/a.tif") as dataset:
            smallest = len(dataset.overviews(1)) - 1
        with rasterio.open(f"{server.base}/a.tif", overview_level=smallest):
            opened = sent(server)
        with rasterio.open(f"{server.base}/a.tif", overview_level=viewer.thumbnail_level - 1) as dataset:
            dataset.read()
            dataset.dataset_mask()

    assert (viewer.open_requests, viewer.open_bytes) == (len(opened), sum(opened))
    assert (viewer.thumbnail_requests, viewer.thumbnail_bytes) == (
        len(sent(server)) - len(opened),
        sum(sent(server)) - sum(opened),
    )


def sent(server: Server) -> list[int]:
    """How much was sent, for each GET."""
    return [request["sent"] for request in server.requests() if request["method"] == "GET"]
