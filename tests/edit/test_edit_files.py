"""edit_cog on tiled files by many writers: only what was to change does, and every tile is the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rasterio
import tifffile
from affine import Affine
from rio_cogeo import cog_validate

from georeader import edit_cog
from georeader.validation import validate
from stored_files import FILES, facts_by_gdal, tile_digests

Make = Callable[[str], Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(name: str) -> Path:
        path = tmp_path / "scene.tif"
        FILES[name](path)
        return path

    return make


@pytest.mark.parametrize("name", FILES)
def test_an_edit_changes_a_tag_and_nothing_else_that_gdal_reads(make: Make, name: str) -> None:
    path = make(name)
    before = facts_by_gdal(path)

    edit_cog(path, tags={"checked": "yes"})

    after = facts_by_gdal(path)
    assert after["tags"] == before["tags"] | {"checked": "yes"}
    assert {key: value for key, value in after.items() if key != "tags"} == {
        key: value for key, value in before.items() if key != "tags"
    }


@pytest.mark.parametrize("name", FILES)
def test_an_edit_copies_every_tile_as_it_was(make: Make, name: str) -> None:
    path = make(name)
    before = tile_digests(path)

    receipt = edit_cog(path, crs="EPSG:3857")

    assert tile_digests(path) == before
    assert receipt.tiles_reused == sum(digest is not None for tiles in before.values() for digest in tiles)


@pytest.mark.parametrize("name", FILES)
def test_the_result_of_an_edit_is_a_cog(make: Make, name: str) -> None:
    path = make(name)

    edit_cog(path, tags={"checked": "yes"}, transform=Affine(2, 0, 5, 0, -2, 7), crs="EPSG:32631")

    report = validate(path)
    assert report.is_valid, report
    assert report.measurement.byte_order == ("big-endian" if "big-endian" in name else "little-endian")
    with rasterio.open(path) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.transform == Affine(2, 0, 5, 0, -2, 7)
        assert dataset.crs.to_epsg() == 32631
        has_overviews = bool(dataset.overviews(1))
    if has_overviews:
        assert cog_validate(path, strict=True)[:2] == (True, [])


@pytest.mark.parametrize("name", ["ours", "COG driver, mask", "rio-cogeo"])
def test_an_edit_of_a_cog_moves_its_tiles_as_one_range(make: Make, name: str) -> None:
    path = make(name)
    before = path.read_bytes()
    first = min(int(offset) for offset in _tile_offsets(path)) - 4

    edit_cog(path, tags={"checked": "yes"})

    assert path.read_bytes().endswith(before[first:])


def _tile_offsets(path: Path) -> list[Any]:
    with tifffile.TiffFile(path) as file:
        return [offset for page in file.pages for offset in page.dataoffsets if offset]
