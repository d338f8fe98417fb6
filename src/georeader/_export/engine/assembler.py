"""Assembly of a file: overviews, full resolution, and at the end the header, when offsets are known."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from georeader._codecs.tiles import EncodedTiles
from georeader._core.threads import InFlight, Task, Workers
from georeader._export.engine.offsets import OffsetAllocator
from georeader._export.engine.tile_buffer import TileBuffer
from georeader._export.plan.file_plan import FilePlan
from georeader._export.plan.grid import Level
from georeader._export.plan.traits import SectionSizes
from georeader._export.receipt.receipt import LevelReceipt, Written
from georeader._export.sinks.protocol import Sink
from georeader._export.statistics import BandSummary
from georeader._tiff import cog_layout
from georeader._tiff.checksum import ChecksummedFile, crc32, crc32_combine
from georeader._tiff.cog_layout import Directory, HeaderLayout
from georeader._tiff.directories import BIG, CLASSIC, Tag

#: Tiles that waited are gathered until so many bytes are worth a write.
WRITE_BYTES = 4 * 2**20


class CogAssembler:
    """Writes the tiles of a file in its order, then the header.

    `lay_out` comes before the first tile; to a file that is sent in parts, the full resolution may be written before.
    """

    def __init__(self, plan: FilePlan, file: Sink, workers: Workers) -> None:
        """Prepare a file; nothing is written yet."""
        self.plan = plan
        self._file = file
        self._overviews = ChecksummedFile(file.write_overviews)
        self._full_resolution = ChecksummedFile(file.write_full_resolution)
        self._layouts: list[HeaderLayout] = []
        self._offsets = OffsetAllocator(plan.tile_counts, is_framed=plan.spec.has_cog_layout)
        self._base_position = 0
        self._copying: InFlight[None] = InFlight(workers, 2 * WRITE_BYTES)
        if file.traits.out_of_order_parts:
            file.begin(SectionSizes(0, plan.most_head_bytes, plan.most_base_bytes))

    def lay_out(self, described: tuple[Tag, ...], overview_bytes: int) -> None:
        """Compute the header's layout."""
        plan = self.plan
        self._layouts = _layouts(plan, plan.directories(described), overview_bytes)
        self._offsets.header_bytes = max(layout.size_bytes for layout in self._layouts)
        if not self._file.traits.out_of_order_parts:
            self._file.begin(SectionSizes(self._offsets.header_bytes, overview_bytes, plan.most_base_bytes))

    def write_tiles(self, plane: int, tiles: list[EncodedTiles]) -> None:
        """Write tiles of the full resolution, the next ones in the order of the file."""
        sizes_bytes = np.array([tile.sizes_bytes for tile in tiles], np.uint32)
        start_bytes = self._place(0, plane, sizes_bytes)
        pieces = [piece for tile in tiles for piece in tile.pieces]
        if pieces:
            self._full_resolution.write_at(start_bytes, *pieces)

    def write_overviews(self, store: TileBuffer) -> None:
        """Write the overviews, the smallest first; each tile is freed once it is written."""
        for level in reversed(self.plan.levels[1:]):
            self._write_level(level, store, 0)

    def write_base(self, store: TileBuffer) -> None:
        """Write the tiles of the full resolution that exist, up to the first that does not."""
        self._base_position = self._write_level(self.plan.levels[0], store, self._base_position)

    def finish(
        self, largest_errors: tuple[float, ...] | None, statistics: tuple[BandSummary, ...] | None = None
    ) -> Written:
        """Write the header: from here on it is a TIFF."""
        while self._copying:
            self._copying.take()
        offsets = self._offsets
        size_bytes = offsets.size_bytes
        version = cog_layout.version_for(self.plan.spec.encoding.bigtiff, size_bytes)
        layout = next(layout for layout in self._layouts if layout.version is version)
        # Where room was left for a longer one, zeros fill it.
        header = layout.pack(offsets.arrays(layout.directories)).ljust(offsets.header_bytes, b"\0")
        self._file.write_header(header)
        checksum = crc32(header)
        for section, section_bytes in (
            (self._overviews, offsets.overviews_bytes),
            (self._full_resolution, offsets.full_resolution_bytes),
        ):
            checksum = crc32_combine(checksum, section.crc32(section_bytes), section_bytes)
        return Written(
            engine="stream",
            size_bytes=size_bytes,
            crc32=checksum,
            levels=self._level_receipts(),
            statistics=statistics,
            largest_errors=largest_errors,
        )

    def _level_receipts(self) -> tuple[LevelReceipt, ...]:
        factors = (1, *self.plan.spec.overview_factors)
        tallies = [self._offsets.tally(level.number) for level in self.plan.levels]
        return tuple(
            LevelReceipt(factor, level.width_px, level.height_px, tally.count, tally.sparse_count, tally.size_bytes)
            for factor, level, tally in zip(factors, self.plan.levels, tallies, strict=True)
        )

    def _write_level(self, level: Level, store: TileBuffer, position: int) -> int:
        """Write the tiles of a level that exist, from a position on; return the position of the first that does not."""
        plane_tiles = level.tiles_down * level.tiles_across
        stop = self.plan.positions(level)
        while position < stop:
            plane = position // plane_tiles
            pieces, sizes_bytes = store.take(level.number, position, (plane + 1) * plane_tiles, WRITE_BYTES)
            if not len(sizes_bytes):
                break
            self._copy(level, self._place(level.number, plane, sizes_bytes), pieces)
            position += len(sizes_bytes)
        return position

    def _place(self, level: int, plane: int, sizes_bytes: NDArray[np.uint32]) -> int:
        start_bytes = self._offsets.place(level, self.plan.mask_turn(plane), sizes_bytes)
        cog_layout.check_size(self.plan.spec.encoding.bigtiff, self._offsets.size_bytes)
        return start_bytes

    def _copy(self, level: Level, start_bytes: int, pieces: list[Callable[[], bytes]]) -> None:
        """Write tiles that waited; on threads, where the file can be written to from several."""
        if not pieces:
            return
        copy = partial(_copy, self._overviews if level.number else self._full_resolution, start_bytes, pieces)
        if not self._file.traits.parallel_writes:
            copy()
            return
        self._copying.add(Task(copy, WRITE_BYTES))
        while self._copying.is_full:
            self._copying.take()


def _copy(section: ChecksummedFile, start_bytes: int, pieces: list[Callable[[], bytes]]) -> None:
    section.write_at(start_bytes, *(piece() for piece in pieces))


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
