"""Blocks of a pyramid as pieces of work: reduce, encode, measure. Pure: each gives what it made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader.errors import ReadError, TileError, WriteError
from georeader.export.layout import Level
from georeader.export.pyramid import Mask, ReadRegion, Reduction, Region, reduce_twice
from georeader.export.statistics import BandStatistics, band_statistics
from georeader.export.tiles import EncodedTiles, TileEncoder, join_tiles

#: Side of a block, in pixels of the level that it is made of: large enough to be worth a thread's while, small enough
#: to stay in a processor's cache band by band.
BLOCK_SIDE_PX = 1024


@dataclass(frozen=True)
class BlockResult:
    """What one block gave.

    Attributes:
        tiles: ((level number, plane, row of tiles, column of tiles), the tile as it lies in the file).
        smallest: Region, pixels and mask of the smallest level that was made, or None: none was.
        statistics: One per band, where they were asked for.
    """

    tiles: tuple[tuple[tuple[int, int, int, int], EncodedTiles], ...]
    smallest: tuple[Region, NDArray[Any], Mask] | None
    statistics: tuple[BandStatistics, ...] = ()


def block_regions(level: Level) -> Iterator[Region]:
    """Cut a level into blocks, row by row; each holds whole tiles of the next two levels."""
    height_px = _block_side_px(level.tile_height_px)
    width_px = _block_side_px(level.tile_width_px)
    for row in range(0, level.height_px, height_px):
        for column in range(0, level.width_px, width_px):
            yield Region(row, min(row + height_px, level.height_px), column, min(column + width_px, level.width_px))


def work_block(
    read: ReadRegion,
    reduction: Reduction,
    levels: tuple[Level, ...],
    encoders: tuple[TileEncoder, ...],
    region: Region,
    with_statistics: bool,
) -> BlockResult:
    """Make the tiles of one block's overviews.

    Args:
        read: Gives pixels of the first level.
        reduction: How pixels are reduced.
        levels: The first level and the one or two to make of it; or the first alone.
        encoders: One for each level.
        region: Of the first level, from `block_regions`.
        with_statistics: Measure the first level's pixels.
    """
    statistics = _measure(*read(region), reduction) if with_statistics else ()
    if len(levels) == 1:
        return BlockResult((), None, statistics)
    factor = 2 ** (len(levels) - 1)
    smallest = Region(*(-(-edge // factor) for edge in region))
    made = reduce_twice(read, reduction, tuple(level.shape for level in levels), smallest)
    tiles = [
        tile
        for level, encoder, block in zip(levels[1:], encoders[1:], made, strict=True)
        for tile in encode_block(level, encoder, *block)
    ]
    return BlockResult(tuple(tiles), made[-1], statistics)


def encode_block(
    level: Level, encoder: TileEncoder, region: Region, pixels: NDArray[Any], mask: Mask
) -> Iterator[tuple[tuple[int, int, int, int], EncodedTiles]]:
    """Encode the tiles of a region.

    Args:
        level: The level.
        encoder: Of its tiles.
        region: Of the level; begins where a tile begins.
        pixels: (band, row, column) of the region.
        mask: (row, column) of the region, or None.

    Returns:
        ((level number, plane, row of tiles, column of tiles), tile). A tile is followed by its mask, or where tiles
        hold one band each, the masks are a plane of their own after the others.
    """
    height_px, width_px = level.tile_height_px, level.tile_width_px
    planes = [slice(None)] if level.planes == 1 else [slice(band, band + 1) for band in range(level.planes)]
    for row in range(0, region.shape[0], height_px):
        for column in range(0, region.shape[1], width_px):
            rows, columns = slice(row, row + height_px), slice(column, column + width_px)
            place = ((region.row_start + row) // height_px, (region.column_start + column) // width_px)
            part = None if mask is None else mask[rows, columns]
            for plane, bands in enumerate(planes):
                tile_mask = part if level.planes == 1 else None
                key = (level.number, plane, *place)
                yield key, encode_one(encoder, pixels[bands, rows, columns], tile_mask, key).compact()
            if part is not None and level.planes > 1:
                key = (level.number, level.planes, *place)
                yield key, encode_one(encoder, None, part, key).compact()


def encode_one(
    encoder: TileEncoder, pixels: NDArray[Any] | None, mask: Mask, key: tuple[int, int, int, int]
) -> EncodedTiles:
    """Encode one tile, its mask behind it; either may be missing.

    Raises:
        TileError: It can't be done; the message names level, plane and tile.
    """
    parts = []
    try:
        if pixels is not None:
            parts.append(encoder.encode_tile(pixels))
        if mask is not None:
            parts.append((encoder.encode_mask(mask), ()))
    except (WriteError, ReadError) as error:
        level, plane, row, column = key
        name = "full resolution" if level == 0 else f"overview {level} (1:{2**level})"
        raise TileError(f"{name}, plane {plane}: the tile at row {row}, column {column}: {error}") from error
    return join_tiles(parts)


def _measure(pixels: NDArray[Any], mask: Mask, reduction: Reduction) -> tuple[BandStatistics, ...]:
    return tuple(band_statistics(pixels[band], _valid(pixels, mask, reduction, band)) for band in range(len(pixels)))


def _valid(pixels: NDArray[Any], mask: Mask, reduction: Reduction, band: int) -> Mask:
    """Where a band's pixels count: as in the overviews; None: everywhere."""
    is_valid, nodata = reduction.validity(pixels, mask, band)
    parts = [is_valid] if is_valid is not None else []
    if pixels.dtype.kind in "fc":
        parts.append(~np.isnan(pixels[band]))
    if nodata is not None and nodata == nodata:
        parts.append(pixels[band] != nodata)
    return np.logical_and.reduce(parts) if parts else None


def _block_side_px(tile_side_px: int) -> int:
    whole_px = 4 * tile_side_px
    return whole_px * max(1, BLOCK_SIDE_PX // whole_px)
