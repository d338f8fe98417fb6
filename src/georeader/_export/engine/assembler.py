"""Assembly of a file: overviews, full resolution, and at the end the header, when offsets are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from georeader._codecs.tiles import EncodedTiles
from georeader._core.threads import InFlight, Task, Workers
from georeader._export.engine.offsets import OffsetAllocator
from georeader._export.engine.tile_buffer import TileBuffer
from georeader._export.plan.file_plan import FilePlan
from georeader._export.plan.grid import Level
from georeader._export.plan.ifds import make_directories
from georeader._export.plan.sink_traits import TAIL_ORIGIN_BYTES, SinkTraits
from georeader._export.receipt.receipt import LevelReceipt
from georeader._export.spool import Spool
from georeader._export.statistics import BandSummary
from georeader._tiff import cog_layout
from georeader._tiff.checksum import ChecksummedFile
from georeader._tiff.cog_layout import Directory, HeaderLayout
from georeader._tiff.directories import BIG, CLASSIC, Tag, Version

#: Tiles that waited are gathered until so many bytes are worth a write.
WRITE_BYTES = 4 * 2**20


class RandomAccessFile(Protocol):
    """Where the bytes go, in any order.

    Attributes:
        writes_in_parallel: Threads may write to different places at once.
        traits: What it can do.
    """

    writes_in_parallel: bool
    traits: SinkTraits

    def expect(self, most_head_bytes: int, most_tail_bytes: int) -> None:
        """Be told how much there may be before the full resolution, and of it."""
        ...

    def write_at(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
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
        levels: From the full resolution to the smallest overview.
        crc32: Of the whole file.
        statistics: One per band, or None where nobody asked for them.
    """

    size_bytes: int
    version: Version
    largest_errors: tuple[float, ...]
    levels: tuple[LevelReceipt, ...]
    crc32: int
    statistics: tuple[BandSummary, ...] | None = None


class CogAssembler:
    """Writes the tiles of a file in its order, then the header.

    `lay_out` comes before the first tile; to a file that is sent in parts, the full resolution may be written before.
    """

    def __init__(self, plan: FilePlan, file: RandomAccessFile, workers: Workers) -> None:
        """Prepare a file; nothing is written yet.

        Args:
            plan: The file.
            file: Empty.
            workers: Copy tiles out of the spool.
        """
        self.plan = plan
        self._file = ChecksummedFile(file)
        self._writes_in_parallel = file.writes_in_parallel
        self._has_parts = file.traits.out_of_order_parts
        self._layouts: list[HeaderLayout] = []
        self._header_bytes = 0
        self._placement = OffsetAllocator(
            plan.tile_counts, head_start_bytes=0, base_start_bytes=TAIL_ORIGIN_BYTES, is_framed=plan.spec.has_cog_layout
        )
        self._base_position = 0
        self._copying: InFlight[None] = InFlight(workers, 2 * WRITE_BYTES)
        file.expect(plan.most_head_bytes, plan.most_base_bytes)

    def lay_out(self, described: tuple[Tag, ...], overview_bytes: int) -> None:
        """Compute the header's layout.

        Args:
            described: What `geotags.descriptive_tags` returns.
            overview_bytes: All overviews together.

        Raises:
            OptionError: BIGTIFF=NO, and the file will be too long.
        """
        plan = self.plan
        directories = make_directories(
            plan.levels, [encoder.codec for encoder in plan.encoders], plan.mask_codec, described
        )
        self._layouts = _layouts(plan, directories, overview_bytes)
        self._header_bytes = max(layout.size_bytes for layout in self._layouts)
        if self._has_parts:
            self._placement.head_end_bytes = self._header_bytes
        else:
            self._placement = OffsetAllocator(
                plan.tile_counts,
                head_start_bytes=self._header_bytes,
                base_start_bytes=self._header_bytes + overview_bytes,
                is_framed=plan.spec.has_cog_layout,
            )

    def write_tiles(self, plane: int, tiles: list[EncodedTiles]) -> None:
        """Write tiles of the full resolution, the next ones in the order of the file.

        Raises:
            WriteError: The disk is full.
            OptionError: BIGTIFF=NO, and the file became too long.
        """
        sizes_bytes = np.array([tile.sizes_bytes for tile in tiles], np.uint32)
        start_bytes = self._place(0, plane, sizes_bytes)
        pieces = [piece for tile in tiles for piece in tile.pieces]
        if pieces:
            self._file.write_at(start_bytes, *pieces)

    def write_overviews(self, store: TileBuffer) -> None:
        """Write the overviews, the smallest first; each tile is let go once it is written.

        Raises:
            WriteError: The disk is full.
        """
        for level in reversed(self.plan.levels[1:]):
            self._write_level(level, store, 0)

    def write_base(self, store: TileBuffer) -> None:
        """Write the tiles of the full resolution that are there, up to the first that is not.

        Raises:
            WriteError: The disk is full.
            OptionError: BIGTIFF=NO, and the file became too long.
        """
        self._base_position = self._write_level(self.plan.levels[0], store, self._base_position)

    def finish(self, largest_errors: tuple[float, ...], statistics: tuple[BandSummary, ...] | None = None) -> Written:
        """Write the header: from here on it is a TIFF.

        Args:
            largest_errors: As `Written` has them.
            statistics: As `Written` has them.

        Raises:
            WriteError: The disk is full.
        """
        while self._copying:
            self._copying.take()
        size_bytes = self._placement.size_bytes
        version = cog_layout.version_for(self.plan.spec.encoding.bigtiff, size_bytes)
        layout = next(layout for layout in self._layouts if layout.version is version)
        header = layout.pack(self._placement.arrays(layout.directories))
        # Where room was left for a longer one, zeros fill it.
        self._file.write_at(0, header.ljust(self._header_bytes, b"\0"))
        crc32 = self._file.crc32(self._placement.sections)
        return Written(size_bytes, version, largest_errors, self._level_receipts(), crc32, statistics)

    def _level_receipts(self) -> tuple[LevelReceipt, ...]:
        factors = (1, *self.plan.spec.overview_factors)
        tallies = [self._placement.tally(level.number) for level in self.plan.levels]
        return tuple(
            LevelReceipt(factor, level.width_px, level.height_px, tally.count, tally.sparse_count, tally.size_bytes)
            for factor, level, tally in zip(factors, self.plan.levels, tallies, strict=True)
        )

    def _write_level(self, level: Level, store: TileBuffer, position: int) -> int:
        """Write what is there of a level from a position on; give the position of what is missing."""
        plane_tiles = level.tiles_down * level.tiles_across
        stop = self.plan.positions(level)
        while position < stop:
            plane = position // plane_tiles
            pieces, sizes_bytes = store.take(level.number, position, (plane + 1) * plane_tiles, WRITE_BYTES)
            if not len(sizes_bytes):
                break
            self._copy(self._place(level.number, plane, sizes_bytes), pieces)
            position += len(sizes_bytes)
        return position

    def _place(self, level: int, plane: int, sizes_bytes: NDArray[np.uint32]) -> int:
        start_bytes = self._placement.place(level, self.plan.mask_turn(plane), sizes_bytes)
        cog_layout.check_size(self.plan.spec.encoding.bigtiff, self._placement.size_bytes)
        return start_bytes

    def _copy(self, start_bytes: int, pieces: list[Callable[[], bytes]]) -> None:
        """Write tiles that waited; on threads, where the file can be written to from several."""
        if not pieces:
            return
        copy = partial(_copy, self._file, start_bytes, pieces)
        if not self._writes_in_parallel:
            copy()
            return
        self._copying.add(Task(copy, WRITE_BYTES))
        while self._copying.is_full:
            self._copying.take()


def _copy(file: ChecksummedFile, start_bytes: int, pieces: list[Callable[[], bytes]]) -> None:
    file.write_at(start_bytes, *(piece() for piece in pieces))


def _layouts(plan: FilePlan, directories: tuple[Directory, ...], overview_bytes: int) -> list[HeaderLayout]:
    """Return the header's layout; two while it is not known whether the file needs BigTIFF."""
    ghost = b""
    if plan.spec.has_cog_layout:
        ghost = cog_layout.ghost_area(
            is_band_interleaved=plan.levels[0].planes > 1, masks_follow_tiles=plan.masks_follow_tiles
        )
    # The longest header that there can be: BigTIFF, and offsets of 64 bits.
    header_bytes = HeaderLayout(BIG, ghost, directories, BIG.max_file_bytes).size_bytes
    most_bytes = header_bytes + overview_bytes + plan.most_base_bytes
    versions = cog_layout.possible_versions(
        plan.spec.encoding.bigtiff,
        HeaderLayout(CLASSIC, ghost, directories).size_bytes + overview_bytes + plan.least_base_bytes,
        most_bytes,
    )
    return [HeaderLayout(version, ghost, directories, most_bytes) for version in versions]
