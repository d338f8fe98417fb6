"""Levels read from a finished TIFF's directories, however its numbers are written."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
import tifffile

from georeader._export.gdal.finished_file import level_receipts
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

    levels = level_receipts(BytesInMemory(content), (1, 2))

    with tifffile.TiffFile(BytesIO(content)) as file:
        base, overview = (sum(page.databytecounts) for page in file.pages)
    assert levels == (LevelReceipt(1, 70, 100, 12, 0, base), LevelReceipt(2, 35, 50, 4, 0, overview))


@pytest.mark.parametrize("length_bytes", [0, 3, 8, 100])
def test_level_sizes_raise_for_a_truncated_file(length_bytes: int) -> None:
    with pytest.raises(WriteError, match="cannot be read"):
        level_receipts(BytesInMemory(tiff()[:length_bytes]), (1, 2))


def test_level_sizes_raise_for_unexpected_levels() -> None:
    with pytest.raises(WriteError, match="not 3 of them"):
        level_receipts(BytesInMemory(tiff()), (1, 2, 4))
