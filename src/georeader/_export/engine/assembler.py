"""Assembly of a file: overviews, full resolution, and at the end the header, when offsets are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from georeader._codecs.tiles import EncodedTiles
from georeader._core.threads import InFlight, Task, Workers
from georeader._export.engine.buffers import TileBuffer
from georeader._export.plan.file_plan import FilePlan
from georeader._export.plan.grid import Level
from georeader._export.plan.traits import SectionSizes
from georeader._export.receipt.receipt import LevelReceipt, Written, level_receipt
from georeader._export.sinks.base import Sink
from georeader._export.statistics import BandSummary
from georeader._tiff import cog_layout
from georeader._tiff.checksum import ChecksummedFile, crc32, crc32_combine
from georeader._tiff.cog_layout import FRAME_BYTES, LEADER_BYTES, Directory, HeaderLayout, TileArrays
from georeader._tiff.directories import BIG, CLASSIC, Tag

#: Tiles that waited are gathered until so many bytes are worth a write.
WRITE_BYTES = 4 * 2**20


class OffsetAllocator:
    """Assigns offsets to tiles within two sections, the overviews and the full resolution, as they come.

    Where a section begins in the file may not be known while its tiles are placed: `arrays` adds the beginnings.
    """

    def __init__(self, tile_counts: Mapping[tuple[int, bool], int], *, is_framed: bool = True) -> None:
        self._leader_bytes, self._frame_bytes = LEADER_BYTES * is_framed, FRAME_BYTES * is_framed
        self.header_bytes = 0
        self.overviews_bytes = 0
        self.full_resolution_bytes = 0
        self._offsets_bytes = {key: np.zeros(count, np.int64) for key, count in tile_counts.items()}
        self._sizes_bytes = {key: np.zeros(count, np.uint32) for key, count in tile_counts.items()}
        self._placed = dict.fromkeys(tile_counts, 0)

    @property
    def size_bytes(self) -> int:
        """Length of the file so far."""
        return self.header_bytes + self.overviews_bytes + self.full_resolution_bytes

    def place(self, level: int, is_mask: bool | None, sizes_bytes: NDArray[np.uint32]) -> int:
        """Place tiles behind those of their section, and return the offset of their first byte within it.

        Sizes are (tile, part), without frames, 0 for sparse tiles. The second part of a tile is its mask, where tiles
        and their masks come in turn (``is_mask`` is None).
        """
        start_bytes = self.overviews_bytes if level else self.full_resolution_bytes
        # Sparse tiles have no frames.
        steps_bytes = np.where(sizes_bytes > 0, sizes_bytes.astype(np.int64) + self._frame_bytes, 0)
        ends_bytes = start_bytes + np.cumsum(steps_bytes.ravel()).reshape(steps_bytes.shape)
        offsets_bytes = ends_bytes - steps_bytes + self._leader_bytes
        for part in range(sizes_bytes.shape[1]):
            key = level, bool(part) if is_mask is None else is_mask
            placed = slice(self._placed[key], self._placed[key] + len(sizes_bytes))
            self._offsets_bytes[key][placed] = offsets_bytes[:, part]
            self._sizes_bytes[key][placed] = sizes_bytes[:, part]
            self._placed[key] = placed.stop
        end_bytes = int(ends_bytes[-1, -1]) if ends_bytes.size else start_bytes
        if level:
            self.overviews_bytes = end_bytes
        else:
            self.full_resolution_bytes = end_bytes
        return start_bytes

    def sizes_bytes(self, level: int) -> list[NDArray[np.uint32]]:
        """Return the sizes of a level's tiles, and of those of its masks if it has some."""
        return [sizes for (number, _), sizes in self._sizes_bytes.items() if number == level]

    def arrays(self, directories: Iterable[Directory]) -> list[TileArrays]:
        """Return the tile arrays of each directory, with offsets from the file's first byte."""
        arrays = []
        for directory in directories:
            key = directory.level, directory.is_mask
            start_bytes = self.header_bytes + (0 if directory.level else self.overviews_bytes)
            offsets_bytes = np.where(self._sizes_bytes[key] > 0, self._offsets_bytes[key] + start_bytes, 0)
            arrays.append(TileArrays(offsets_bytes, self._sizes_bytes[key]))
        return arrays


class CogAssembler:
    """Writes the tiles of a file in its order, then the header; workers copy tiles out of the spool.

    `lay_out` comes before the first tile; to a file that is sent in parts, the full resolution may be written before.
    """

    def __init__(self, plan: FilePlan, file: Sink, workers: Workers) -> None:
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
        """Compute the header's layout from what `geotiff_tags.descriptive_tags` returns."""
        self._layouts = header_layouts(self.plan, self.plan.directories(described), overview_bytes)
        self._offsets.header_bytes = max(layout.size_bytes for layout in self._layouts)
        if not self._file.traits.out_of_order_parts:
            self._file.begin(SectionSizes(self._offsets.header_bytes, overview_bytes, self.plan.most_base_bytes))

    def write_tiles(self, plane: int, tiles: list[EncodedTiles]) -> None:
        """Write tiles of the full resolution, the next ones in the order of the file."""
        sizes_bytes = np.array([tile.sizes_bytes for tile in tiles], np.uint32)
        start_bytes = self._place(0, plane, sizes_bytes)
        self._full_resolution.write_at(start_bytes, *(piece for tile in tiles for piece in tile.pieces))

    def write_overviews(self, store: TileBuffer) -> None:
        """Write the overviews, the smallest first; each tile is freed once it is written."""
        for level in reversed(self.plan.levels[1:]):
            self._write_level(level, store, 0)

    def write_base(self, store: TileBuffer) -> None:
        """Write the tiles of the full resolution that exist, up to the first that does not."""
        self._base_position = self._write_level(self.plan.levels[0], store, self._base_position)

    def finish(self, largest_errors: tuple[float, ...] | None, statistics: tuple[BandSummary, ...] | None) -> Written:
        """Write the header: from here on it is a TIFF."""
        while self._copying:
            self._copying.take()
        offsets = self._offsets
        header = pack_header(self.plan, self._layouts, offsets)
        self._file.write_header(header)
        checksum = crc32(header)
        for section, section_bytes in (
            (self._overviews, offsets.overviews_bytes),
            (self._full_resolution, offsets.full_resolution_bytes),
        ):
            checksum = crc32_combine(checksum, section.crc32(section_bytes), section_bytes)
        return Written(
            engine="stream",
            size_bytes=offsets.size_bytes,
            crc32=checksum,
            levels=level_receipts(self.plan, offsets),
            statistics=statistics,
            largest_errors=largest_errors,
        )

    def _write_level(self, level: Level, store: TileBuffer, position: int) -> int:
        """Write the tiles of a level that exist, from a position on; return the position of the first that does not."""
        stop = self.plan.positions(level)
        while position < stop:
            plane = position // level.plane_tiles
            pieces, sizes_bytes = store.take(level.number, position, (plane + 1) * level.plane_tiles, WRITE_BYTES)
            if not len(sizes_bytes):
                break
            self._copy(level, self._place(level.number, plane, sizes_bytes), pieces)
            position += len(sizes_bytes)
        return position

    def _place(self, level: int, plane: int, sizes_bytes: NDArray[np.uint32]) -> int:
        is_mask = None if self.plan.masks_follow_tiles else plane == self.plan.spec.planes
        start_bytes = self._offsets.place(level, is_mask, sizes_bytes)
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


def pack_header(plan: FilePlan, layouts: list[HeaderLayout], offsets: OffsetAllocator) -> bytes:
    """Return the header of a file whose tiles all have their places; ``layouts`` are those of `header_layouts`."""
    version = cog_layout.version_for(plan.spec.encoding.bigtiff, offsets.size_bytes)
    layout = next(layout for layout in layouts if layout.version is version)
    # Where room was left for a longer one, zeros fill it.
    return layout.pack(offsets.arrays(layout.directories)).ljust(offsets.header_bytes, b"\0")


def level_receipts(plan: FilePlan, offsets: OffsetAllocator) -> tuple[LevelReceipt, ...]:
    """Return what a receipt states of each level."""
    factors = (1, *plan.spec.overview_factors)
    return tuple(
        level_receipt(factor, level.width_px, level.height_px, offsets.sizes_bytes(level.number))
        for factor, level in zip(factors, plan.levels, strict=True)
    )


def header_layouts(plan: FilePlan, directories: tuple[Directory, ...], overview_bytes: int) -> list[HeaderLayout]:
    """Return the header's layout; two while it is not known whether the file needs BigTIFF."""
    ghost = b""
    if plan.spec.has_cog_layout:
        ghost = cog_layout.ghost_area(
            is_band_interleaved=plan.spec.planes > 1, masks_follow_tiles=plan.masks_follow_tiles
        )
    # The longest header that there can be: BigTIFF, and offsets of 64 bits.
    header_bytes = HeaderLayout(BIG, ghost, directories, BIG.max_file_bytes).size_bytes
    most_bytes = header_bytes + overview_bytes + plan.most_base_bytes
    versions = cog_layout.possible_versions(
        plan.spec.encoding.bigtiff,
        HeaderLayout(CLASSIC, ghost, directories).size_bytes + overview_bytes + plan.least_base_bytes,
        most_bytes,
    )
    return [HeaderLayout(version, ghost, directories, most_bytes, plan.spec.is_big_endian) for version in versions]
