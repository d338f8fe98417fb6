"""The project's own writer: one pass over the pixels, each tile made once and put where it belongs.

The pixels are in memory and the full resolution comes last in a COG, so the pyramid is made first, block by block; its
encoded tiles are kept (a third of the file at most) until all sizes are known. Then they are written, smallest overview
first, and the full resolution is encoded and written behind them as it comes. The header, whose size is known from the
start, is written at the very end: until then the file is no TIFF at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from georeader.export import file_layout
from georeader.export.blocks import BlockResult, block_regions, encode_one, work_block
from georeader.export.directories import make_directories
from georeader.export.file_layout import Directory, HeaderLayout
from georeader.export.file_pixels import FilePixels
from georeader.export.geotags import descriptive_tags
from georeader.export.layout import Level
from georeader.export.placement import Placement
from georeader.export.pyramid import Mask, ReadRegion, Region
from georeader.export.statistics import BandStatistics
from georeader.export.stream_plan import StreamPlan
from georeader.export.tiff import BIG, CLASSIC, Tag, Version
from georeader.export.tile_store import Spool, TileKey, TileStore
from georeader.export.tiles import EncodedTiles
from georeader.export.workers import Task, Workers

#: Pixels that one thread encodes at a time, in bytes.
RUN_BYTES = 2**20

#: Overview tiles are gathered until so many bytes are worth a write.
WRITE_BYTES = 4 * 2**20

#: Encoded overviews take so much of the pixels' size in memory; what is beyond waits on disk, which costs about as much
#: time as to copy it.
HELD_SHARE = 0.1

#: But never less than this.
LEAST_HELD_BYTES = 16 * 2**20


class RandomAccessFile(Protocol):
    """Where the bytes go, in any order."""

    def write_at(self, offset_bytes: int, *pieces: bytes) -> None:
        """Write bytes, one piece after the other, from an offset on; raises WriteError."""
        ...

    def open_spool(self) -> Spool:
        """Open a file for what has to wait; it is gone when this file is committed or aborted."""
        ...


@dataclass(frozen=True)
class Written:
    """What was made.

    Attributes:
        size_bytes: Length of the file.
        version: CLASSIC or BIG.
        largest_errors: Of each band, how far decoded pixels of the full resolution lie from the given ones; empty where
            tiles were not verified.
    """

    size_bytes: int
    version: Version
    largest_errors: tuple[float, ...]


def write_raster(pixels: FilePixels, plan: StreamPlan, file: RandomAccessFile, *, threads: int) -> Written:
    """Write a raster file.

    Args:
        pixels: What goes into it.
        plan: How.
        file: Empty; the caller commits or removes it.
        threads: Number of threads to encode on; the bytes do not depend on it.

    Memory, beyond the pixels: the encoded overviews, at most `HELD_SHARE` of the pixels' size (what is beyond lies in a
    spool on disk); a sixteenth of the pixels; and `workers.AHEAD_BYTES`.

    Raises:
        WriteError: A codec failed, a tile did not come back as it was, or the disk is full.
        OptionError: BIGTIFF=NO, and the file became too long.
        DtypeError: A pixel does not fit the file's dtype.
        GeoreferenceError: The CRS has no counterpart in a GeoTIFF.
    """
    file_layout.check_size(plan.spec.encoding.bigtiff, plan.least_base_bytes)
    with Workers(threads) as workers:
        blocks = list(block_regions(plan.levels[0])) if plan.reads_twice else []
        work = chain(_block_tasks(plan, pixels.read, 0, blocks), _base_tasks(plan, pixels))
        results = workers.ordered(work)
        described = descriptive_tags(plan.spec)  # while the threads are busy already
        pyramid = _Pyramid(plan, file)
        pyramid.take(0, islice(results, len(blocks)))
        pyramid.finish(workers)
        if plan.with_statistics:
            described = descriptive_tags(plan.spec, pyramid.statistics)
        return _lay_out(plan, described, pyramid.tiles, results, file)


class _Pyramid:
    """Gathers the overviews' tiles, and the pixels of each second level until the next ones are made of them."""

    def __init__(self, plan: StreamPlan, file: RandomAccessFile) -> None:
        self.plan = plan
        pixel_count = plan.levels[0].height_px * plan.levels[0].width_px
        held_bytes = int(HELD_SHARE * pixel_count * plan.pixel_bytes)
        self.tiles = TileStore(max(LEAST_HELD_BYTES, held_bytes), file.open_spool)
        self.statistics: tuple[BandStatistics, ...] = ()
        self._pixels: NDArray[Any] | None = None
        self._mask: Mask = None

    def take(self, first: int, results: Iterable[BlockResult]) -> None:
        """Take what the blocks of level ``first`` gave."""
        last = min(first + 2, len(self.plan.levels) - 1)
        is_needed = last > first and last < len(self.plan.levels) - 1
        spec, level = self.plan.spec, self.plan.levels[last]
        target = np.empty((spec.count, *level.shape), spec.dtype) if is_needed else None
        mask = np.empty(level.shape, bool) if is_needed and spec.mask else None
        for result in results:
            self.tiles.put(result.tiles)
            if result.statistics:
                pairs = zip(self.statistics, result.statistics, strict=True)
                self.statistics = tuple(a + b for a, b in pairs) if self.statistics else result.statistics
            if target is not None and result.smallest is not None:
                region, block, block_mask = result.smallest
                rows, columns = region.within(Region(0, level.height_px, 0, level.width_px))
                target[:, rows, columns] = block
                if mask is not None:
                    mask[rows, columns] = block_mask
        self._pixels, self._mask = target, mask

    def finish(self, workers: Workers) -> None:
        """Make the rest of the pyramid, two levels at a time."""
        first = 2
        while self._pixels is not None:
            read = partial(_cut, self._pixels, self._mask)
            regions = block_regions(self.plan.levels[first])
            self.take(first, workers.ordered(_block_tasks(self.plan, read, first, regions)))
            first += 2


def _cut(pixels: NDArray[Any], mask: Mask, region: Region) -> tuple[NDArray[Any], Mask]:
    rows, columns = slice(region.row_start, region.row_stop), slice(region.column_start, region.column_stop)
    return pixels[:, rows, columns], None if mask is None else mask[rows, columns]


def _block_tasks(
    plan: StreamPlan, read: ReadRegion, first: int, regions: Iterable[Region]
) -> Iterator[Task[BlockResult]]:
    levels, encoders = plan.levels[first : first + 3], plan.encoders[first : first + 3]
    for region in regions:
        size_bytes = region.shape[0] * region.shape[1] * plan.pixel_bytes // 2
        with_statistics = plan.with_statistics and first == 0
        run = partial(work_block, read, plan.reduction, levels, encoders, region, with_statistics)
        yield Task(run, size_bytes)


def _base_tasks(plan: StreamPlan, pixels: FilePixels) -> Iterator[Task[Any]]:
    """Cut the full resolution into runs of neighbouring tiles, in the order of the file."""
    level = plan.levels[0]
    run_tiles = plan.tiles_per_run(RUN_BYTES)
    mask_planes = 1 if plan.spec.mask and level.planes > 1 else 0
    for plane in range(level.planes + mask_planes):
        for row in range(level.tiles_down):
            for column in range(0, level.tiles_across, run_tiles):
                stop = min(column + run_tiles, level.tiles_across)
                run = partial(_encode_run, plan, pixels, plane, row, range(column, stop))
                yield Task(run, plan.tile_bytes * (stop - column))


def _encode_run(
    plan: StreamPlan, pixels: FilePixels, plane: int, row: int, columns: range
) -> tuple[int, list[EncodedTiles]]:
    """Encode neighbouring tiles of the full resolution; give their plane with them."""
    level, encoder = plan.levels[0], plan.encoders[0]
    tiles = []
    for column in columns:
        region = plan.tile_region(row, column)
        key = (0, plane, row, column)
        if plane == level.planes:
            tiles.append(encode_one(encoder, None, pixels.read_mask(region), key))
            continue
        bands = slice(None) if level.planes == 1 else slice(plane, plane + 1)
        window, mask = pixels.read(region, bands)
        tiles.append(encode_one(encoder, window, mask if level.planes == 1 else None, key))
    return plane, tiles


def _lay_out(
    plan: StreamPlan,
    described: tuple[Tag, ...],
    overviews: TileStore,
    base: Iterator[Any],
    file: RandomAccessFile,
) -> Written:
    """Write overviews, full resolution and header."""
    directories = make_directories(
        plan.levels, [encoder.codec for encoder in plan.encoders], plan.mask_codec, described
    )
    layouts = _layouts(plan, directories, overviews.total_bytes)
    placement = Placement(directories, max(layout.size_bytes for layout in layouts))
    _write_overviews(plan, overviews, placement, file)
    errors = np.zeros(plan.spec.count)
    for plane, tiles in base:
        pieces = [piece for tile in tiles for piece in tile.pieces]
        is_mask = plan.mask_turn(plane)
        starts = [placement.place(0, is_mask, tile) for tile in tiles]
        file_layout.check_size(plan.spec.encoding.bigtiff, placement.end_bytes)
        if pieces:
            file.write_at(starts[0], *pieces)
        for tile in tiles:
            if tile.largest_errors:
                bands = slice(None) if plan.levels[0].planes == 1 else slice(plane, plane + 1)
                errors[bands] = np.maximum(errors[bands], tile.largest_errors)
    version = file_layout.version_for(plan.spec.encoding.bigtiff, placement.end_bytes)
    layout = next(layout for layout in layouts if layout.version is version)
    file.write_at(0, layout.pack(placement.arrays()))
    return Written(placement.end_bytes, version, tuple(errors.tolist()) if plan.verify else ())


def _layouts(plan: StreamPlan, directories: tuple[Directory, ...], overview_bytes: int) -> list[HeaderLayout]:
    """Give the header's layout; two while it is open whether the file will need BigTIFF."""
    ghost = file_layout.ghost_area(
        is_band_interleaved=plan.levels[0].planes > 1, masks_follow_tiles=plan.masks_follow_tiles
    )
    # The longest header that there can be: BigTIFF, and offsets of 64 bits.
    header_bytes = HeaderLayout(BIG, ghost, directories, BIG.max_file_bytes).size_bytes
    most_bytes = header_bytes + overview_bytes + plan.most_base_bytes
    versions = file_layout.possible_versions(
        plan.spec.encoding.bigtiff,
        HeaderLayout(CLASSIC, ghost, directories).size_bytes + overview_bytes + plan.least_base_bytes,
        most_bytes,
    )
    return [HeaderLayout(version, ghost, directories, most_bytes) for version in versions]


def _write_overviews(plan: StreamPlan, tiles: TileStore, placement: Placement, file: RandomAccessFile) -> None:
    """Write the overviews, the smallest first; each tile is let go once it is written."""
    for level in reversed(plan.levels[1:]):
        waiting: list[bytes] = []
        waiting_bytes = 0
        start_bytes = placement.end_bytes
        for key in _keys(level, bool(plan.spec.mask)):
            tile = tiles.pop(key)
            placement.place(level.number, plan.mask_turn(key[1]), tile)
            waiting += tile.pieces
            waiting_bytes += tile.total_bytes
            if waiting_bytes >= WRITE_BYTES:
                file.write_at(start_bytes, *waiting)
                waiting, waiting_bytes, start_bytes = [], 0, placement.end_bytes
        if waiting_bytes:
            file.write_at(start_bytes, *waiting)


def _keys(level: Level, has_masks: bool) -> Iterator[TileKey]:
    """Give the places of a level's tiles in the order of the file."""
    planes = level.planes + (1 if has_masks and level.planes > 1 else 0)
    for plane in range(planes):
        for row in range(level.tiles_down):
            for column in range(level.tiles_across):
                yield level.number, plane, row, column
