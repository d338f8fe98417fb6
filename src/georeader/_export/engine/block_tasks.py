"""Tasks on blocks of a level: encode, compute statistics, reduce. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._codecs.tiles import EncodedTiles, TileEncoder, join_tiles
from georeader._core.windows import PixelWindow
from georeader._export.plan.file_plan import FilePlan
from georeader._export.plan.grid import Level
from georeader._export.statistics import BandStatistics, band_statistics
from georeader._resample.pyramid import Mask, ReadWindow, Reduction, reduce_twice
from georeader.errors import ReadError, TileError, WriteError

#: (level, plane, row of tiles, column of tiles)
TileKey = tuple[int, int, int, int]

#: (row, column) of a tile, and the statistics of its pixels, one per band.
TileStatistics = tuple[tuple[int, int], tuple[BandStatistics, ...]]


@dataclass(frozen=True)
class BlockPlan:
    """The task for blocks of one level."""

    plan: FilePlan  #: The file
    bands: range  #: Bands of the file in a block
    first: int  #: Number of the level
    step: int  #: Levels to encode: this one, and the next where it is 2
    encodes_first: bool  #: Encode this level too; False: only those made of it
    measures: bool  #: Compute statistics of this level's pixels

    @property
    def reduction(self) -> Reduction:
        """Reduction of these bands."""
        whole = self.plan.reduction
        return replace(whole, methods=whole.methods[self.bands.start : self.bands.stop])

    @property
    def following(self) -> int | None:
        """Number of the level to which reduced pixels are passed on, or None."""
        following = self.first + self.step
        return following if following < len(self.plan.levels) else None

    def needed(self, window: PixelWindow) -> PixelWindow:
        """Return the window of the pixels that a block needs, margins included."""
        last = min(self.first + self.step, len(self.plan.levels) - 1)
        factor = 2 ** (last - self.first)
        needed = PixelWindow(*(-(-edge // factor) for edge in window))
        for level in range(last - 1, self.first - 1, -1):
            needed = self.plan.reduction.source_window(needed, self.plan.levels[level].shape)
        return needed


@dataclass(frozen=True)
class BlockResult:
    """The result of one block."""

    bands: range  #: Bands of the file in the block
    tiles: tuple[tuple[TileKey, EncodedTiles], ...]  #: Encoded tiles by their keys
    passed: tuple[int, PixelWindow, NDArray[Any], Mask] | None
    statistics: tuple[TileStatistics, ...] = ()  #: Statistics of the tiles, if they are computed


def process_block(block: BlockPlan, read: ReadWindow, window: PixelWindow) -> BlockResult:
    """Encode the tiles of a block and of the next level, and reduce its pixels to those of the level after."""
    plan = block.plan
    levels = plan.levels[block.first : block.first + block.step + 1]
    statistics: tuple[TileStatistics, ...] = ()
    tiles: list[tuple[TileKey, EncodedTiles]] = []
    if block.measures or block.encodes_first:
        pixels, mask = read(window)
        if block.measures:
            statistics = tuple(_measure(plan.levels[0], window, pixels, mask, block.reduction))
        if block.encodes_first:
            tiles += encode_block(levels[0], plan.encoders[block.first], block.bands, window, pixels, mask)
    passed = None
    for level, reduced in zip(levels[1:], _reduced(block, levels, read, window), strict=False):
        if level.number == block.following:
            passed = (level.number, *reduced)
        else:
            tiles += encode_block(level, plan.encoders[level.number], block.bands, *reduced)
    return BlockResult(block.bands, tuple(tiles), passed, statistics)


def _reduced(
    block: BlockPlan, levels: tuple[Level, ...], read: ReadWindow, window: PixelWindow
) -> list[tuple[PixelWindow, NDArray[Any], Mask]]:
    """Return window, pixels and mask of the next one or two levels."""
    if len(levels) == 1:
        return []
    factor = 2 ** (len(levels) - 1)
    smallest = PixelWindow(*(-(-edge // factor) for edge in window))
    return reduce_twice(read, block.reduction, tuple(level.shape for level in levels), smallest)


def encode_block(
    level: Level, encoder: TileEncoder, bands: range, window: PixelWindow, pixels: NDArray[Any], mask: Mask
) -> Iterator[tuple[TileKey, EncodedTiles]]:
    """Encode the tiles of a window."""
    height_px, width_px = level.tile_height_px, level.tile_width_px
    planes = [(0, slice(None))] if level.planes == 1 else [(band, slice(at, at + 1)) for at, band in enumerate(bands)]
    for row in range(0, window.shape[0], height_px):
        for column in range(0, window.shape[1], width_px):
            rows, columns = slice(row, row + height_px), slice(column, column + width_px)
            place = ((window.row_start + row) // height_px, (window.column_start + column) // width_px)
            part = None if mask is None else mask[rows, columns]
            for plane, chosen in planes:
                tile_mask = part if level.planes == 1 else None
                key = (level.number, plane, *place)
                yield key, encode_one(encoder, pixels[chosen, rows, columns], tile_mask, key).compact()
            if part is not None and level.planes > 1:
                key = (level.number, level.planes, *place)
                yield key, encode_one(encoder, None, part, key).compact()


def encode_one(encoder: TileEncoder, pixels: NDArray[Any] | None, mask: Mask, key: TileKey) -> EncodedTiles:
    """Encode one tile, its mask behind it; either may be missing."""
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
    return join_tiles(parts, is_framed=encoder.is_framed)


def _measure(
    level: Level, window: PixelWindow, pixels: NDArray[Any], mask: Mask, reduction: Reduction
) -> Iterator[TileStatistics]:
    """Iterate over statistics of tiles, whose digits do not depend on the size of blocks."""
    height_px, width_px = level.tile_height_px, level.tile_width_px
    for row in range(0, window.shape[0], height_px):
        for column in range(0, window.shape[1], width_px):
            rows, columns = slice(row, row + height_px), slice(column, column + width_px)
            tile, part = pixels[:, rows, columns], None if mask is None else mask[rows, columns]
            place = ((window.row_start + row) // height_px, (window.column_start + column) // width_px)
            valid = [_valid(tile, part, reduction, band) for band in range(len(tile))]
            yield place, tuple(map(band_statistics, tile, valid))


def _valid(pixels: NDArray[Any], mask: Mask, reduction: Reduction, band: int) -> Mask:
    """Return where pixels of a band are valid, as for overviews; None: everywhere."""
    is_valid, nodata = reduction.validity(pixels, mask, band)
    parts = [is_valid] if is_valid is not None else []
    if pixels.dtype.kind in "fc":
        parts.append(~np.isnan(pixels[band]))
    if nodata is not None and nodata == nodata:
        parts.append(pixels[band] != nodata)
    return np.logical_and.reduce(parts) if parts else None
