"""Checks and facts of a file that GDAL wrote a moment ago.

References:
    TIFF 6.0, section 2 (directories) and section 15 (tiles); the BigTIFF design.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from georeader._export.geotiff_tags import check_crs
from georeader._export.plan.grid import Level
from georeader._export.plan.spec import ExportSpec
from georeader._export.receipt.receipt import LevelReceipt, Written, level_receipt, wkt2_of
from georeader._export.statistics import summary_of_tags
from georeader._tiff.checksum import crc32
from georeader._tiff.directories import TagNumber
from georeader._tiff.parser import BytesInMemory, MalformedTiffError, ParsedDirectory, TiffBytes, read_directories
from georeader.errors import WriteError

_SIZE_TAGS = (TagNumber.IMAGE_LENGTH, TagNumber.IMAGE_WIDTH, TagNumber.TILE_LENGTH, TagNumber.TILE_WIDTH)

#: Bits of NewSubfileType (TIFF 6.0, section 8).
_REDUCED, _IS_MASK = 1, 4

#: A finished file is read in pieces of so many bytes.
_PIECE_BYTES = 2**20


def read_finished(path: Path, spec: ExportSpec) -> Written:
    """Check that a file is whole and has the CRS that was asked for, and read what a receipt states of it."""
    options, warps = spec.encoding.options, spec.encoding.warps
    try:
        with rasterio.Env(GDAL_PAM_ENABLED="NO"), rasterio.open(path) as dataset:
            crs = dataset.crs
            factors = (1, *(dataset.overviews(1) if warps else spec.overview_factors))
            statistics = [summary_of_tags(dataset.tags(band)) for band in dataset.indexes]
            changes = _changes(spec, dataset) if warps else {}
        with path.open("rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                levels = read_levels(BytesInMemory(data), factors, is_sparse=options.get("SPARSE_OK") == "YES")
            size_bytes = checksum = 0
            while piece := file.read(_PIECE_BYTES):
                checksum = crc32(piece, checksum)
                size_bytes += len(piece)
    except (RasterioError, CPLE_BaseError, OSError) as error:
        if isinstance(error, WriteError):
            raise
        raise WriteError(f"the file that GDAL wrote cannot be opened again: {error}") from error
    if spec.crs is not None and not warps:
        check_crs(crs, spec.crs)
    found = tuple(summary for summary in statistics if summary is not None)
    is_asked = options.get("STATISTICS") == "YES"
    return Written(
        engine="gdal",
        size_bytes=size_bytes,
        crc32=checksum,
        levels=levels,
        statistics=found if is_asked and len(found) == len(statistics) else None,
        changes=changes,
    )


def _changes(spec: ExportSpec, dataset: Any) -> dict[str, Any]:
    """Return the fields of a receipt that a warp changed; it may have added an alpha band, too."""
    return {
        "shape": (dataset.count, dataset.height, dataset.width),
        "transform": dataset.transform,
        "crs_wkt": wkt2_of(dataset.crs),
        "nodata": None if dataset.nodata is None else spec.nodata,
        "descriptions": tuple(dataset.descriptions),
        "units": tuple(dataset.units),
        "scales": tuple(dataset.scales),
        "offsets": tuple(dataset.offsets),
    }


def read_levels(file: TiffBytes, factors: Sequence[int], *, is_sparse: bool = False) -> tuple[LevelReceipt, ...]:
    """Check each tile, and return the levels from large to small; an image and its mask, of one size, are one level.

    GDAL reports neither an encoder that failed in a thread nor a disk that is full at closing.
    """
    levels: dict[tuple[int, int], list[NDArray[Any]]] = {}
    try:
        for directory in read_directories(file):
            sizes_bytes = directory.entries[TagNumber.TILE_BYTE_COUNTS].numbers()
            level = _check_tiles(directory, sizes_bytes, file.size_bytes, is_sparse)
            levels.setdefault((level.width_px, level.height_px), []).append(sizes_bytes)
    except (KeyError, MalformedTiffError) as error:
        raise WriteError(f"the directories of the file that GDAL wrote cannot be read: {error!r}") from error
    if len(levels) != len(factors):
        raise WriteError(f"the file that GDAL wrote has levels of {sorted(levels)} pixels, not {len(factors)} of them")
    ordered = sorted(levels, reverse=True)
    return tuple(level_receipt(factor, *size, levels[size]) for factor, size in zip(factors, ordered, strict=True))


def _check_tiles(directory: ParsedDirectory, sizes_bytes: NDArray[Any], file_bytes: int, is_sparse: bool) -> Level:
    """Check that no tile is empty or ends behind the file; return the level, as if it had one plane."""
    entries = directory.entries
    height_px, width_px, tile_height_px, tile_width_px = (int(entries[tag].numbers()[0]) for tag in _SIZE_TAGS)
    level = Level(0, height_px, width_px, tile_height_px, tile_width_px, 1)
    kind = int(entries[TagNumber.NEW_SUBFILE_TYPE].numbers()[0]) if TagNumber.NEW_SUBFILE_TYPE in entries else 0
    ends_bytes = entries[TagNumber.TILE_OFFSETS].numbers().astype(np.uint64) + sizes_bytes
    is_wrong = (ends_bytes > file_bytes) | ((sizes_bytes == 0) & (not is_sparse))
    if kind & _IS_MASK or not is_wrong.any():
        return level
    index = int(np.argmax(is_wrong))
    band, place = divmod(index, level.plane_tiles)
    row, column = divmod(place, level.tiles_across)
    name = f"overview of {height_px} x {width_px} pixels" if kind & _REDUCED else "full resolution"
    tile = f"{name}: the tile at row {row}, column {column} of band {band + 1}"
    if not sizes_bytes[index]:
        raise WriteError(f"{tile} is empty: its encoder failed")
    raise WriteError(f"{tile} ends at byte {ends_bytes[index]}, the file at {file_bytes}; is the disk full?")
