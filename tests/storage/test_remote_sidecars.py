"""Masks, metadata and world files beside remote rasters are read, as they are beside local ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pytest
import rasterio
from affine import Affine
from fsspec.implementations.memory import MemoryFileSystem
from obstore.store import LocalStore, MemoryStore

from georeader import RasterioReader, save_cog
from range_server import Server

PAM = "<PAMDataset><Metadata><MDI key='source'>pam</MDI></Metadata></PAMDataset>"
WORLD_FILE = "10\n0\n0\n-10\n5\n5\n"


@pytest.fixture
def files(rng: np.random.Generator, tmp_path: Path) -> dict[str, bytes]:
    """An unplaced raster and its sidecars, by name."""
    profile = {"driver": "GTiff", "height": 40, "width": 50, "count": 1, "dtype": "uint8"}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="NO"), rasterio.open(tmp_path / "a.tif", "w", **profile) as dataset:
        dataset.write(np.ones((1, 40, 50), "uint8"))
        dataset.write_mask(rng.random((40, 50)) > 0.5)
    (tmp_path / "a.tif.aux.xml").write_text(PAM)
    (tmp_path / "a.tfw").write_text(WORLD_FILE)
    return {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def on_http(files: dict[str, bytes], server: Server) -> tuple[str, Any]:
    for name, content in files.items():
        server.put(name, content)
    return f"{server.base}/a.tif", None


def in_memory(files: dict[str, bytes], server: Server) -> tuple[str, Any]:
    folder = f"memory://sidecars/{server.folder.name}"
    for name, content in files.items():
        fsspec.filesystem("memory").pipe(f"{folder}/{name}", content)
    return f"{folder}/a.tif", None


def by_fsspec(files: dict[str, bytes], server: Server) -> tuple[str, Any]:
    path, _ = in_memory(files, server)
    return path.removeprefix("memory:/"), fsspec.filesystem("memory")


def by_obstore(files: dict[str, bytes], server: Server) -> tuple[str, Any]:
    store = MemoryStore()
    for name, content in files.items():
        store.put(f"folder/{name}", content)
    return "folder/a.tif", store


def by_obstore_without_a_folder(files: dict[str, bytes], server: Server) -> tuple[str, Any]:
    for name, content in files.items():
        server.put(name, content)
    return "a.tif", LocalStore(server.folder)


PLACES = {"http": on_http, "memory": in_memory, "fsspec": by_fsspec, "obstore": by_obstore,
          "obstore root": by_obstore_without_a_folder}  # fmt: skip


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_sidecars_of_a_remote_source_are_kept(
    place: Callable[..., tuple[str, Any]], files: dict[str, bytes], server: Server, tmp_path: Path
) -> None:
    path, fs = place(files, server)

    save_cog(RasterioReader(path, fs=fs), tmp_path / "copy.tif")

    with rasterio.open(tmp_path / "copy.tif") as copy, rasterio.open(tmp_path / "a.tif") as source:
        assert copy.transform == source.transform == Affine(10, 0, 0, 0, -10, 10)
        assert copy.tags()["source"] == "pam"
        np.testing.assert_array_equal(copy.read_masks(1), source.read_masks(1))


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_remote_source_without_sidecars_is_read(
    place: Callable[..., tuple[str, Any]], files: dict[str, bytes], server: Server
) -> None:
    path, fs = place({"a.tif": files["a.tif"]}, server)

    reader = RasterioReader(path, fs=fs)

    assert (reader.transform, reader.has_mask, reader.load().shape) == (Affine.identity(), False, (1, 40, 50))


class Forbidding(MemoryFileSystem):  # type: ignore[misc]
    """A store that answers 403 for objects that are missing."""

    protocol = "forbidding"
    store: ClassVar[dict[str, Any]] = {}
    asked: ClassVar[list[str]] = []

    def info(self, path: str, **more: Any) -> Any:
        self.asked.append(path)
        try:
            return super().info(path, **more)
        except FileNotFoundError as error:
            raise PermissionError("403 Forbidden") from error


def test_forbidden_sidecars_count_as_missing(make_tensor: Any, tmp_path: Path) -> None:
    save_cog(make_tensor(), tmp_path / "in.tif")
    fs = Forbidding(skip_instance_cache=True)
    fs.pipe("/folder/a.tif", (tmp_path / "in.tif").read_bytes())
    fs.asked.clear()

    assert RasterioReader("/folder/a.tif", fs=fs).load().shape == (2, 40, 50)

    assert {Path(path).name for path in fs.asked} == {"a.tif", "a.tif.aux.xml", "a.tif.msk"}


def test_looking_for_sidecars_takes_few_requests(make_tensor: Any, server: Server, tmp_path: Path) -> None:
    save_cog(make_tensor(), tmp_path / "in.tif")
    url = server.put("a.tif", (tmp_path / "in.tif").read_bytes())

    for _ in range(3):
        RasterioReader(url).load()

    beside = [request for request in server.requests() if not request["target"].endswith("/a.tif")]
    assert {request["method"] for request in beside} == {"HEAD"}
    assert len(beside) <= 3


def test_a_url_with_a_query_has_no_sidecars(make_tensor: Any, server: Server, tmp_path: Path) -> None:
    save_cog(make_tensor(), tmp_path / "in.tif")
    url = server.put("a.tif", (tmp_path / "in.tif").read_bytes())

    RasterioReader(f"{url}?signature=x").load()

    assert {request["target"].rpartition("/")[2] for request in server.requests()} == {"a.tif?signature=x"}
