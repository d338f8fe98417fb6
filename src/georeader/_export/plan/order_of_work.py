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
from functools import cache, cached_property
from itertools import pairwise, product
from typing import NamedTuple

from georeader._export.plan.grid import even_edges, longest, merge_edges, split_edges
from georeader._export.plan.spec import ExportSpec
from georeader._export.plan.traits import SinkTraits, SourceTraits
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
    """Order, threads, blocks, windows and memory of one save."""

    order: Order
    threads: int  #: That encode
    readers: int  #: Threads that read; 0: windows are read where they are needed
    step: int  #: Levels that one block encodes: its own, and the next one where this is 2
    block_height_px: int  #: At each level; a multiple of ``step`` tiles
    block_width_px: int
    band_groups: tuple[range, ...]  #: Bands that are read together; the raster is read once for each group
    block_bands: int  #: Bands of a block; a larger group is divided into several
    row_edges_px: tuple[int, ...]  #: Of the windows in which the source is read
    column_edges_px: tuple[int, ...]
    read_ahead_bytes: int = 0  #: Memory below which further windows are read ahead
    in_flight_bytes: int = 0  #: Memory below which further blocks are started
    held_pixels_bytes: int = 0  #: Memory for pixels that wait for their neighbours; others are spooled
    held_tiles_bytes: int = 0  #: Memory for encoded tiles that wait; others are spooled

    @property
    def block_px(self) -> int:
        """Number of pixels of a block, one band."""
        return self.block_height_px * self.block_width_px

    @property
    def window_px(self) -> int:
        """Number of pixels of the largest window, one band."""
        return longest(self.row_edges_px) * longest(self.column_edges_px)


class _Block(NamedTuple):
    """A possible size of blocks, and the number of levels that a block encodes."""

    step: int
    height_px: int
    width_px: int


#: Edges along rows, and along columns, of the windows in which a source is read.
_Windows = tuple[tuple[int, ...], tuple[int, ...]]


def order_of_work(*, is_in_memory: bool, reads_twice: bool, sink: SinkTraits) -> Order:
    """Choose the order of work."""
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
    """Plan order, threads, blocks, windows and memory; one tile may need more than a limit that is not firm."""
    planner = _Planner(spec, source)
    order = order_of_work(is_in_memory=source.is_in_memory, reads_twice=spec.reads_twice, sink=sink)
    planned_bytes = _planned_bytes(max_memory_bytes)
    windows_of = cache(planner.windows)
    # Windows as large as a block come last: they split larger chunks.
    sizes = (max_memory_bytes // WINDOWS_IN_MEMORY, 0)
    for window_bytes, counts, block in product(sizes, planner.thread_counts(threads), planner.blocks()):
        work = planner.work(order, counts, block, windows_of(window_bytes, block))
        needed_bytes = planner.needed_bytes(work) + 2 * LEAST_HELD_BYTES
        if needed_bytes <= planned_bytes:
            return planner.with_held(work, planned_bytes - needed_bytes + 2 * LEAST_HELD_BYTES)
    if is_limit_firm:
        raise OptionError(planner.too_little(max_memory_bytes, needed_bytes))
    return planner.with_held(work, 2 * LEAST_HELD_BYTES)


def work_bytes(spec: ExportSpec, source: SourceTraits, work: Work) -> int:
    """Return the memory of some work, of which none is the source's own: windows, blocks, and what waits."""
    return _Planner(spec, source).needed_bytes(work) + work.held_pixels_bytes + work.held_tiles_bytes


@dataclass(frozen=True)
class _Planner:
    """Candidates for the work on a file and a source, from large to small, and the memory that each needs."""

    spec: ExportSpec
    source: SourceTraits

    @property
    def most_bands(self) -> int:
        """Most bands of a block: all, where tiles hold them all or a mask is common to them."""
        spec = self.spec
        if spec.planes == 1 or spec.mask is not None or spec.alpha_band is not None:
            return spec.count
        return max(1, GROUP_PIXEL_BYTES // max(spec.dtype.itemsize, self.source.pixel_bytes))

    @cached_property
    def band_groups(self) -> tuple[range, ...]:
        """Groups of bands that are read together."""
        count, most = self.spec.count, self.most_bands
        if most >= count:
            return (range(count),)
        edges = tuple(range(count + 1))
        if self.source.chunks is not None and not self.source.is_in_memory:
            edges = tuple(edge for edge in self.source.chunks.band_edges if edge <= count)
        return tuple(range(start, stop) for start, stop in pairwise(merge_edges(edges, most, 1)))

    @cached_property
    def block_bands(self) -> int:
        """Bands of a block."""
        return min(self.most_bands, max(map(len, self.band_groups)))

    @property
    def block_pixel_bytes(self) -> int:
        """Memory of one pixel of a block, all of its bands."""
        return self.block_bands * self.spec.dtype.itemsize

    @cached_property
    def read_pixel_bytes(self) -> int:
        """Memory of one pixel of a window, all bands that are read together."""
        return max(map(len, self.band_groups)) * max(self.spec.dtype.itemsize, self.source.pixel_bytes)

    def thread_counts(self, threads: int) -> Iterator[tuple[int, int]]:
        """Iterate over (threads that encode, threads that read), from many to the caller's own alone."""
        for count in range(threads, 0, -1):
            yield count, 0 if self.source.is_in_memory else min(self.source.concurrent_reads, max(2, count))
        if not self.source.is_in_memory:
            # Where decoded chunks are large, reading needs more memory than encoding.
            yield from ((count, 1) for count in range(threads, 0, -1))
            yield 1, 0

    def blocks(self) -> Iterator[_Block]:
        """Iterate over the possible sizes of blocks."""
        level = self.spec.levels[0]
        for step in (2, 1):
            height_px, unit_px = step * _unit_px(level.tile_height_px), step * _unit_px(level.tile_width_px)
            most_px = min(BLOCK_PX, BLOCK_BYTES // self.block_pixel_bytes) // height_px
            units = max(1, min(most_px // unit_px, -(-level.width_px // unit_px)))
            while units:
                yield _Block(step, height_px, units * unit_px)
                units //= 2

    def windows(self, most_bytes: int, block: _Block) -> _Windows:
        """Return the windows: whole chunks, about as large as a block."""
        level, chunks = self.spec.levels[0], self.source.chunks
        _, height_px, width_px = block
        if self.source.is_in_memory or chunks is None or not chunks.row_edges_px:
            return even_edges(level.height_px, height_px), even_edges(level.width_px, width_px)
        tile_height_px, tile_width_px = level.tile_height_px, level.tile_width_px
        most_px = max(height_px * width_px, most_bytes // self.read_pixel_bytes)
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
        return rows, split_edges(columns, max(1, most_px // longest(rows)), tile_width_px)

    def work(self, order: Order, counts: tuple[int, int], block: _Block, windows: _Windows) -> Work:
        """Return the work with these threads, blocks and windows."""
        threads, readers = counts
        work = Work(order, threads, readers, *block, self.band_groups, self.block_bands, *windows)
        waiting = threads + 1 if threads > 1 else 0
        return replace(
            work,
            read_ahead_bytes=readers * work.window_px * self.read_pixel_bytes,
            in_flight_bytes=(threads + waiting) * work.block_px * self.block_pixel_bytes,
        )

    def needed_bytes(self, work: Work) -> int:
        """Return the memory of windows and blocks that are read, waiting and at work."""
        copies_bytes = (BLOCK_COPIES - 1) * work.threads * work.block_px * self.block_pixel_bytes
        blocks_bytes = work.in_flight_bytes + copies_bytes
        if self.source.is_in_memory:
            return blocks_bytes
        windows_bytes = WINDOW_COPIES * work.window_px * self.read_pixel_bytes * (work.readers + 1)
        return blocks_bytes + windows_bytes + self.source.reader_bytes * max(1, work.readers)

    def with_held(self, work: Work, spare_bytes: int) -> Work:
        """Divide the remaining memory between pixels and encoded tiles that wait."""
        tiles_bytes = spare_bytes // 3
        if self.source.is_in_memory:
            raster_bytes = self.spec.height_px * self.spec.width_px * self.spec.pixel_bytes
            tiles_bytes = min(tiles_bytes, max(LEAST_HELD_TILES_BYTES, int(HELD_SHARE * raster_bytes)))
        return replace(work, held_pixels_bytes=2 * (spare_bytes // 3), held_tiles_bytes=tiles_bytes)

    def too_little(self, limit_bytes: int, needed_bytes: int) -> str:
        """Return the message for a limit that is too small: what takes most of it, and what to pass."""
        level, reader_bytes = self.spec.levels[0], self.source.reader_bytes
        least_bytes = _limit_bytes(needed_bytes)
        enough = f"pass at least {least_bytes}, or {least_bytes / 2**20:.1f}MiB"
        if 2 * reader_bytes > needed_bytes:
            return (
                f"max_memory={limit_bytes} bytes is too little for what reading the source holds, {reader_bytes} bytes "
                f"for a decoded block and its copies; {enough}, or store the source in smaller tiles or chunks first"
            )
        reading = f", and for what reading holds, {reader_bytes} bytes" if reader_bytes else ""
        return (
            f"max_memory={limit_bytes} bytes is too little for tiles of {level.tile_height_px} x "
            f"{level.tile_width_px} pixels, {self.spec.tile_bytes} bytes each{reading}; {enough}, or make tiles "
            "smaller: profile_arg={'BLOCKSIZE': ...} or {'INTERLEAVE': 'BAND'}"
        )


def _planned_bytes(limit_bytes: int) -> int:
    return int(PLANNED_SHARE * limit_bytes) - min(ALLOCATOR_BYTES, limit_bytes // 4)


def _limit_bytes(planned_bytes: int) -> int:
    """Return the limit of which a number of bytes is planned."""
    if planned_bytes <= _planned_bytes(4 * ALLOCATOR_BYTES):
        return int(planned_bytes / (PLANNED_SHARE - 0.25)) + 4
    return int((planned_bytes + ALLOCATOR_BYTES) / PLANNED_SHARE) + 4


def _unit_px(tile_side_px: int) -> int:
    """Return the smallest side of a block: whole tiles."""
    return -(-LEAST_BLOCK_SIDE_PX // tile_side_px) * tile_side_px
