"""Order of the work and its memory: a pure function of the file, the source and the limit.

A COG's full resolution comes last in the file, and overviews are made of it. Pixels in memory are read twice: the
pyramid comes first, then the full resolution is encoded straight to its place. A source that streams is read once: its
encoded full resolution waits in a spool until the overviews are known. Where the sink takes parts in any order, the
full resolution is sent at once instead, and the overviews wait. A file without overviews is written in its order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache, partial
from itertools import pairwise, product
from typing import NamedTuple

from georeader._export.plan.chunks import Chunks, even_edges, longest, merge_edges, split_edges
from georeader._export.plan.sink_traits import SinkTraits
from georeader._export.plan.spec import ExportSpec
from georeader.errors import OptionError

#: Pixels of one block, all bands, in bytes: enough to outweigh the cost of a task.
BLOCK_BYTES = 8 * 2**20

#: Pixels of one block, one band: few enough for a processor's cache.
BLOCK_PX = 2**20

#: Smallest height and width of a block: more than the margin of any resampling method.
LEAST_BLOCK_SIDE_PX = 64

#: A window takes at most one in this many parts of the memory, unless a block is larger.
WINDOWS_IN_MEMORY = 16

#: Memory of a block at work, in multiples of its pixels: the pixels, a tile in the file's order, the codec's copies,
#: the encoded tile, and arrays of the reduction.
BLOCK_COPIES = 4

#: Memory of a window, in multiples of its pixels: as the source computes them, and as it returns them.
WINDOW_COPIES = 2

#: Share of the limit that is planned, less freed memory that the threads' allocators keep: so many bytes, or a quarter
#: of a small limit. The rest is for fragmentation and for the tiles' offsets.
PLANNED_SHARE = 0.75
ALLOCATOR_BYTES = 16 * 2**20

#: Least memory for encoded tiles, and for pixels, that wait.
LEAST_HELD_BYTES = 2**20

#: Encoded overviews of pixels in memory take at most this share of the pixels' size. More is spooled, which takes about
#: as long as a copy.
HELD_SHARE = 0.1
LEAST_HELD_TILES_BYTES = 16 * 2**20

#: Bytes of a pixel of the bands that form a block, where tiles hold one band each.
GROUP_PIXEL_BYTES = 8


#: A sink that takes bytes anywhere.
ANY_PLACE = SinkTraits()


class Order(Enum):
    """The order in which levels are encoded and written."""

    PYRAMID_FIRST = "overviews, then the full resolution, straight to its place; pixels are read twice"
    SPOOL_BASE = "all levels at once; the encoded full resolution waits until the overviews are written"
    SEND_BASE = "all levels at once; the full resolution is sent as it comes, the overviews wait and follow"
    IN_FILE_ORDER = "the full resolution alone, straight to its place"


@dataclass(frozen=True)
class Work:
    """Order, threads, blocks, windows and memory of one save.

    Attributes:
        order: Order of the levels.
        threads: Threads that encode.
        readers: Threads that read; 0: windows are read where they are needed.
        step: Levels that one block encodes: its own, and the next one where this is 2.
        block_height_px: Rows of a block, at each level; a multiple of ``step`` tiles.
        block_width_px: Columns of a block.
        band_groups: Bands that are read together; the raster is read once for each group.
        block_bands: Bands of a block; a larger group is divided into several.
        row_edges_px: Of the windows in which the source is read.
        column_edges_px: Of the windows in which the source is read.
        read_ahead_bytes: Memory below which further windows are read ahead.
        in_flight_bytes: Memory below which further blocks are started.
        held_pixels_bytes: Memory for pixels that wait for their neighbours; others are spooled.
        held_tiles_bytes: Memory for encoded tiles that wait; others are spooled.
    """

    order: Order
    threads: int
    readers: int
    step: int
    block_height_px: int
    block_width_px: int
    band_groups: tuple[range, ...]
    block_bands: int
    row_edges_px: tuple[int, ...]
    column_edges_px: tuple[int, ...]
    read_ahead_bytes: int
    in_flight_bytes: int
    held_pixels_bytes: int
    held_tiles_bytes: int


@dataclass(frozen=True)
class SourceTraits:
    """Cost of reading a source, and limits on concurrent reads.

    Attributes:
        is_in_memory: Pixels are in memory already: reading them costs nothing, and may be done twice.
        chunks: How pixels are stored; None: any window costs what its own pixels cost.
        concurrent_reads: Threads that may read at once.
        reader_bytes: Memory for each of them besides the window: decoded blocks, caches of an open file.
        pixel_bytes: Size of one pixel of one band.
        is_borrowed: Reads go through a dataset that the caller opened and may close as soon as a save has ended. No
            read may then be running, even after an exception.
    """

    is_in_memory: bool = False
    chunks: Chunks | None = None
    concurrent_reads: int = 1
    reader_bytes: int = 0
    pixel_bytes: int = 1
    is_borrowed: bool = False


class _Block(NamedTuple):
    """A possible size of blocks, with the bands that are read together and the levels that a block encodes."""

    band_groups: tuple[range, ...]
    bands: int
    step: int
    height_px: int
    width_px: int


class _Windows(NamedTuple):
    """Edges of the windows in which a source is read, and the number of pixels of the largest, one band."""

    row_edges_px: tuple[int, ...]
    column_edges_px: tuple[int, ...]
    most_px: int


def order_of_work(*, is_in_memory: bool, reads_twice: bool, sink: SinkTraits) -> Order:
    """Choose the order of work.

    Args:
        is_in_memory: Reading the source again costs nothing.
        reads_twice: There are overviews or statistics, which precede the full resolution in the file.
        sink: Traits of the sink.
    """
    if is_in_memory:
        return Order.PYRAMID_FIRST
    if not reads_twice:
        return Order.IN_FILE_ORDER
    return Order.SEND_BASE if sink.out_of_order_parts else Order.SPOOL_BASE


def plan_work(
    spec: ExportSpec,
    source: SourceTraits,
    sink: SinkTraits = ANY_PLACE,
    *,
    threads: int,
    max_memory_bytes: int,
    is_limit_firm: bool = True,
) -> Work:
    """Plan order, threads, blocks, windows and memory.

    Args:
        spec: The file.
        source: Traits of the source.
        sink: Traits of the sink.
        threads: Largest number of threads that encode.
        max_memory_bytes: Memory that may be held beyond the source.
        is_limit_firm: False: the limit is exceeded where a single tile needs more.

    Raises:
        OptionError: The limit is firm, and a single tile needs more.
    """
    order = order_of_work(is_in_memory=source.is_in_memory, reads_twice=spec.reads_twice, sink=sink)
    planned_bytes = _planned_bytes(max_memory_bytes)
    needed_bytes = 0
    windows_of = cache(partial(_windows, spec, source))
    # Windows as large as a block come last: they split larger chunks.
    sizes = (max_memory_bytes // WINDOWS_IN_MEMORY, 0)
    for window_bytes, counts, block in product(
        sizes, list(_thread_counts(source, threads)), list(_blocks(spec, source))
    ):
        windows = windows_of(window_bytes, block)
        work = _work(spec, source, order, counts, block, windows)
        needed_bytes = _needed_bytes(spec, source, work, windows.most_px)
        if needed_bytes + 2 * LEAST_HELD_BYTES <= planned_bytes:
            return _with_held(work, spec, source, planned_bytes - needed_bytes)
    if is_limit_firm:
        raise OptionError(_too_little(spec, source, max_memory_bytes, needed_bytes + 2 * LEAST_HELD_BYTES))
    return _with_held(work, spec, source, 2 * LEAST_HELD_BYTES)


def _too_little(spec: ExportSpec, source: SourceTraits, limit_bytes: int, needed_bytes: int) -> str:
    """Return the message for a limit that is too small: what takes most of it, and what to pass."""
    level = spec.levels[0]
    least_bytes = _limit_bytes(needed_bytes)
    enough = f"give at least {least_bytes}, or {least_bytes / 2**20:.1f}MiB"
    if 2 * source.reader_bytes > needed_bytes:
        return (
            f"max_memory={limit_bytes} bytes is too little for what reading the source holds, {source.reader_bytes} "
            f"bytes for a decoded block and its copies; {enough}, or store the source in smaller tiles or chunks first"
        )
    reading = f", and for what reading holds, {source.reader_bytes} bytes" if source.reader_bytes else ""
    return (
        f"max_memory={limit_bytes} bytes is too little for tiles of {level.tile_height_px} x {level.tile_width_px} "
        f"pixels, {spec.tile_bytes} bytes each{reading}; {enough}, or make tiles smaller: "
        "profile_arg={'BLOCKSIZE': ...} or {'INTERLEAVE': 'BAND'}"
    )


def _planned_bytes(limit_bytes: int) -> int:
    return int(PLANNED_SHARE * limit_bytes) - min(ALLOCATOR_BYTES, limit_bytes // 4)


def _limit_bytes(planned_bytes: int) -> int:
    """Return the limit of which a number of bytes is planned."""
    if planned_bytes <= _planned_bytes(4 * ALLOCATOR_BYTES):
        return int(planned_bytes / (PLANNED_SHARE - 0.25)) + 4
    return int((planned_bytes + ALLOCATOR_BYTES) / PLANNED_SHARE) + 4


def _thread_counts(source: SourceTraits, threads: int) -> Iterator[tuple[int, int]]:
    """Iterate over (threads that encode, threads that read), from many to the caller's own alone."""
    for count in range(threads, 0, -1):
        yield count, 0 if source.is_in_memory else min(source.concurrent_reads, max(2, count))
    if not source.is_in_memory:
        # Where decoded chunks are large, reading needs more memory than encoding.
        yield from ((count, 1) for count in range(threads, 0, -1))
        yield 1, 0


def _blocks(spec: ExportSpec, source: SourceTraits) -> Iterator[_Block]:
    """Iterate over the possible sizes of blocks, from large to small."""
    level = spec.levels[0]
    groups = _band_groups(spec, source)
    bands = min(_most_bands(spec, source), max(map(len, groups)))
    pixel_bytes = bands * spec.dtype.itemsize
    for step in (2, 1):
        height_px, unit_px = step * _unit_px(level.tile_height_px), step * _unit_px(level.tile_width_px)
        most_px = min(BLOCK_PX, BLOCK_BYTES // pixel_bytes) // height_px
        units = max(1, min(most_px // unit_px, -(-level.width_px // unit_px)))
        while units:
            yield _Block(groups, bands, step, height_px, units * unit_px)
            units //= 2


def _work(
    spec: ExportSpec, source: SourceTraits, order: Order, counts: tuple[int, int], block: _Block, windows: _Windows
) -> Work:
    threads, readers = counts
    window_bytes = windows.most_px * _read_bytes(spec, source, block.band_groups)
    waiting = threads + 1 if threads > 1 else 0
    return Work(
        order=order,
        threads=threads,
        readers=readers,
        step=block.step,
        block_height_px=block.height_px,
        block_width_px=block.width_px,
        band_groups=block.band_groups,
        block_bands=block.bands,
        row_edges_px=windows.row_edges_px,
        column_edges_px=windows.column_edges_px,
        read_ahead_bytes=readers * window_bytes,
        in_flight_bytes=(threads + waiting) * block.height_px * block.width_px * block.bands * spec.dtype.itemsize,
        held_pixels_bytes=0,
        held_tiles_bytes=0,
    )


def _needed_bytes(spec: ExportSpec, source: SourceTraits, work: Work, window_px: int) -> int:
    """Return the memory of windows and blocks that are read, waiting and at work."""
    block_bytes = work.block_height_px * work.block_width_px * work.block_bands * spec.dtype.itemsize
    waiting_bytes = work.in_flight_bytes - work.threads * block_bytes
    needed = BLOCK_COPIES * work.threads * block_bytes + waiting_bytes
    if source.is_in_memory:
        return needed
    window_bytes = window_px * _read_bytes(spec, source, work.band_groups)
    needed += source.reader_bytes * max(1, work.readers)
    return needed + WINDOW_COPIES * window_bytes * (work.readers + 1)


def _with_held(work: Work, spec: ExportSpec, source: SourceTraits, spare_bytes: int) -> Work:
    """Divide the remaining memory between pixels and encoded tiles that wait."""
    tiles_bytes = spare_bytes // 3
    if source.is_in_memory:
        level = spec.levels[0]
        raster_bytes = level.height_px * level.width_px * spec.pixel_bytes
        tiles_bytes = min(tiles_bytes, max(LEAST_HELD_TILES_BYTES, int(HELD_SHARE * raster_bytes)))
    return replace(work, held_pixels_bytes=2 * (spare_bytes // 3), held_tiles_bytes=tiles_bytes)


def _windows(spec: ExportSpec, source: SourceTraits, most_bytes: int, block: _Block) -> _Windows:
    """Return the windows: whole chunks, about as large as a block."""
    level = spec.levels[0]
    chunks = source.chunks
    if source.is_in_memory or chunks is None or not chunks.row_edges_px:
        rows = even_edges(level.height_px, block.height_px)
        return _windows_between(rows, even_edges(level.width_px, block.width_px))
    most_px = max(block.height_px * block.width_px, most_bytes // _read_bytes(spec, source, block.band_groups))
    tile_height_px, tile_width_px = level.tile_height_px, level.tile_width_px
    width_px, height_px = block.width_px, block.height_px
    if chunks.share_work:
        width_px = max(width_px, most_px // max(height_px, longest(chunks.row_edges_px)))
    columns = merge_edges(chunks.column_edges_px, width_px, tile_width_px)
    if chunks.share_work:
        height_px = max(height_px, most_px // longest(columns))
    while height_px > 1 and height_px * longest(columns) > most_px:
        height_px //= 2
    rows = merge_edges(chunks.row_edges_px, height_px, tile_height_px)
    # A larger chunk is read in parts, and decoded once for each.
    rows = split_edges(rows, max(1, most_px // min(longest(columns), tile_width_px)), tile_height_px)
    return _windows_between(rows, split_edges(columns, max(1, most_px // longest(rows)), tile_width_px))


def _windows_between(rows: tuple[int, ...], columns: tuple[int, ...]) -> _Windows:
    return _Windows(rows, columns, longest(rows) * longest(columns))


def _band_groups(spec: ExportSpec, source: SourceTraits) -> tuple[range, ...]:
    """Return the groups of bands that are read together."""
    count = spec.count
    most = _most_bands(spec, source)
    edges = tuple(range(count + 1))
    if source.chunks is not None and not source.is_in_memory:
        edges = tuple(edge for edge in source.chunks.band_edges if edge <= count)
    merged = merge_edges(edges, most, 1) if most < count else (0, count)
    return tuple(range(start, stop) for start, stop in pairwise(merged))


def _most_bands(spec: ExportSpec, source: SourceTraits) -> int:
    """Return the number of bands in a block: all, where tiles hold them all or a mask is common to them."""
    if spec.levels[0].planes == 1 or spec.mask is not None or spec.alpha_band is not None:
        return spec.count
    return max(1, GROUP_PIXEL_BYTES // max(spec.dtype.itemsize, source.pixel_bytes))


def _read_bytes(spec: ExportSpec, source: SourceTraits, groups: tuple[range, ...]) -> int:
    return max(map(len, groups)) * max(spec.dtype.itemsize, source.pixel_bytes)


def _unit_px(tile_side_px: int) -> int:
    """Return the smallest side of a block: whole tiles."""
    return -(-LEAST_BLOCK_SIDE_PX // tile_side_px) * tile_side_px
