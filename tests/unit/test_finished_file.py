"""Levels read from a finished TIFF's directories, however its numbers are written."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile

from georeader._export.gdal.finished_file import read_levels
from georeader._export.receipt.receipt import LevelReceipt
from georeader._tiff.parser import BytesInMemory
from georeader.errors import WriteError


def tiff(**options: Any) -> bytes:
    """A TIFF of two levels, by tifffile."""
    file = BytesIO()
    pixels = np.arange(100 * 70, dtype="uint16").reshape(100, 70)
    with tifffile.TiffWriter(file, **options) as writer:
        writer.write(pixels, tile=(32, 32), compression="zlib")
        writer.write(pixels[::2, ::2], tile=(32, 32), compression="zlib", subfiletype=1)
    return file.getvalue()


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_level_sizes_are_read_from_every_kind_of_tiff(byteorder: str, bigtiff: bool) -> None:
    content = tiff(byteorder=byteorder, bigtiff=bigtiff)

    levels = read_levels(BytesInMemory(content), (1, 2))

    with tifffile.TiffFile(BytesIO(content)) as file:
        base, overview = (sum(page.databytecounts) for page in file.pages)
    assert levels == (LevelReceipt(1, 70, 100, 12, 0, base), LevelReceipt(2, 35, 50, 4, 0, overview))


@pytest.mark.parametrize("length_bytes", [0, 3, 8, 100])
def test_level_sizes_raise_for_a_truncated_file(length_bytes: int) -> None:
    with pytest.raises(WriteError, match="cannot be read"):
        read_levels(BytesInMemory(tiff()[:length_bytes]), (1, 2))


def test_empty_tile_of_an_encoder_is_an_error(tmp_path: Path) -> None:
    """GDAL's worker threads swallow an encoder's error: the tile has no bytes then, and would read as zeros."""
    profile = {"driver": "GTiff", "count": 2, "height": 600, "width": 600, "dtype": "uint8", "tiled": True}
    with rasterio.open(tmp_path / "hole.tif", "w", SPARSE_OK=True, interleave="band", **profile) as dataset:
        dataset.write(np.ones((600, 600), "uint8"), 1)
    file = BytesInMemory((tmp_path / "hole.tif").read_bytes())

    assert read_levels(file, [1], is_sparse=True)[0].sparse_tile_count == 9
    with pytest.raises(WriteError, match="full resolution: the tile at row 0, column 0 of band 2 is empty"):
        read_levels(file, [1])


def test_tile_beyond_the_end_of_the_file_is_an_error() -> None:
    content = tiff()
    with tifffile.TiffFile(BytesIO(content)) as file:
        last = file.pages[1].dataoffsets[-1]

    with pytest.raises(WriteError, match=f"overview of 50 x 35 pixels: .* ends at byte .*, the file at {last + 1}"):
        read_levels(BytesInMemory(content[: last + 1]), (1, 2))


def test_level_sizes_raise_for_unexpected_levels() -> None:
    with pytest.raises(WriteError, match="not 3 of them"):
        read_levels(BytesInMemory(tiff()), (1, 2, 4))
