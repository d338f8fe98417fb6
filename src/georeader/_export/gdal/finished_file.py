"""Checks and facts of a file that GDAL wrote a moment ago.

References:
    TIFF 6.0, section 2 (directories) and section 15 (tiles); the BigTIFF design.
"""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import Interleaving
from rasterio.errors import RasterioError

from georeader._export.geotiff_tags import check_crs
from georeader._export.plan.grid import BlockGrid
from georeader._export.plan.spec import ExportSpec
from georeader._export.receipt.receipt import LevelReceipt, Written, level_receipt, wkt2_of
from georeader._export.statistics import summary_of_tags
from georeader._tiff.checksum import crc32
from georeader._tiff.directories import TagNumber
from georeader._tiff.parser import BytesInMemory, MalformedTiffError, TiffBytes, read_directories
from georeader.errors import WriteError

_WANTED = (TagNumber.IMAGE_WIDTH, TagNumber.IMAGE_LENGTH, TagNumber.TILE_BYTE_COUNTS)

#: A finished file is read in pieces of so many bytes.
_PIECE_BYTES = 2**20


def check_file(path: Path, spec: ExportSpec) -> None:
    """Check that a file is whole and has the CRS that was asked for."""
    check_whole(path, is_sparse=spec.encoding.options.get("SPARSE_OK") == "YES")
    if spec.crs is not None and not spec.encoding.warps:
        with rasterio.Env(GDAL_PAM_ENABLED="NO"), rasterio.open(path) as dataset:
            found: CRS | None = dataset.crs
        check_crs(found, spec.crs)


def read_facts(path: Path, spec: ExportSpec) -> Written:
    """Read what a receipt states of a finished file; each byte of it once."""
    try:
        with rasterio.Env(GDAL_PAM_ENABLED="NO"), rasterio.open(path) as dataset:
            factors = (1, *(dataset.overviews(1) if spec.encoding.warps else spec.overview_factors))
            statistics = [summary_of_tags(dataset.tags(band)) for band in dataset.indexes]
            changes = _changes(spec, dataset) if spec.encoding.warps else {}
        with path.open("rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                levels = level_receipts(BytesInMemory(data), factors)
            size_bytes = checksum = 0
            while piece := file.read(_PIECE_BYTES):
                checksum = crc32(piece, checksum)
                size_bytes += len(piece)
    except (RasterioError, OSError) as error:
        if isinstance(error, WriteError):
            raise
        raise WriteError(f"the file that GDAL wrote cannot be opened again: {error}") from error
    is_asked = spec.encoding.options.get("STATISTICS") == "YES"
    found = tuple(summary for summary in statistics if summary is not None)
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


def level_receipts(file: TiffBytes, factors: Sequence[int]) -> tuple[LevelReceipt, ...]:
    """Return the tiles of each level; an image and its mask, which have one size, are one level."""
    try:
        sizes = [tuple(one.entries[tag].numbers() for tag in _WANTED) for one in read_directories(file)]
    except (KeyError, MalformedTiffError) as error:
        raise WriteError(f"the directories of the file that GDAL wrote cannot be read: {error!r}") from error
    levels: dict[tuple[int, int], list[NDArray[Any]]] = {}
    for (width_px,), (height_px,), sizes_bytes in sizes:
        levels.setdefault((int(width_px), int(height_px)), []).append(sizes_bytes)
    if len(levels) != len(factors):
        raise WriteError(f"the file that GDAL wrote has levels of {sorted(levels)} pixels, not {len(factors)} of them")
    ordered = sorted(levels, reverse=True)
    return tuple(level_receipt(factor, *size, levels[size]) for factor, size in zip(factors, ordered, strict=True))


def check_whole(path: Path, *, is_sparse: bool) -> None:
    """Check each tile: GDAL reports neither an encoder that failed in a thread nor a disk that is full at closing."""
    try:
        size_bytes = path.stat().st_size
        with rasterio.open(path) as dataset:
            for level in (None, *range(len(dataset.overviews(1)))):
                with rasterio.open(path, **({} if level is None else {"overview_level": level})) as part:
                    _check_tiles(dataset, level, part, size_bytes, is_sparse)
    except (RasterioError, CPLE_BaseError, OSError) as error:
        if isinstance(error, WriteError):
            raise
        raise WriteError(f"the file that GDAL wrote cannot be opened again: {error}") from error


def _check_tiles(dataset: Any, level: int | None, part: Any, size_bytes: int, is_sparse: bool) -> None:
    tile_height, tile_width = part.block_shapes[0]
    bands = part.indexes if part.interleaving is Interleaving.band else [1]
    name = "full resolution" if level is None else f"overview {level}"
    grid = BlockGrid(part.height, part.width, tile_height, tile_width)
    for band, (row, column) in itertools.product(bands, grid.touched(grid.whole)):
        items = [
            dataset.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=band, ovr=level)
            for what in ("OFFSET", "SIZE")
        ]
        offset_bytes, tile_bytes = (int(item or 0) for item in items)
        if not tile_bytes and not is_sparse:
            raise WriteError(
                f"{name}: the tile at row {row}, column {column} of band {band} is empty: its encoder failed"
            )
        if offset_bytes + tile_bytes > size_bytes:
            raise WriteError(
                f"{name}: the tile at row {row}, column {column} of band {band} ends at byte "
                f"{offset_bytes + tile_bytes}, the file at {size_bytes}; is the disk full?"
            )
