"""Extents of tiles in file order, and their overlaps. Pure.

Memory: about 22 bytes a tile, and as much again while they are sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from georeader.validation.measurement import Extent, Ghost, MeasuredDirectory


@dataclass(frozen=True)
class TileTable:
    """All tiles that are not sparse and lie inside the file, in file order.

    Attributes:
        directories: uint16, number of each tile's directory.
        tiles: uint32, its number in the directory.
        starts: int64, its first byte.
        ends: int64, the first byte behind it.
    """

    directories: NDArray[np.uint16] = field(repr=False)
    tiles: NDArray[np.uint32] = field(repr=False)
    starts: NDArray[np.int64] = field(repr=False)
    ends: NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        return len(self.starts)

    def chosen(self, wanted: NDArray[np.bool_]) -> TileTable:
        """Return the chosen tiles."""
        return TileTable(self.directories[wanted], self.tiles[wanted], self.starts[wanted], self.ends[wanted])


def past_the_end(directory: MeasuredDirectory, size_bytes: int) -> NDArray[np.bool_]:
    """Return which tiles reach past the end of a file; offsets and sizes may be up to 2^64."""
    limit = np.uint64(size_bytes)
    offsets, sizes = directory.tile_offsets_bytes, directory.tile_sizes_bytes
    is_past: NDArray[np.bool_] = directory.present & ((offsets > limit) | (sizes > limit - np.minimum(offsets, limit)))
    return is_past


def tile_table(directories: Iterable[MeasuredDirectory], size_bytes: int) -> TileTable:
    """Return the tiles of directories that are not sparse and lie inside the file."""
    parts = []
    for directory in directories:
        there = np.flatnonzero(directory.present & ~past_the_end(directory, size_bytes))
        starts = directory.tile_offsets_bytes[there].astype(np.int64)
        ends = starts + directory.tile_sizes_bytes[there].astype(np.int64)
        parts.append((np.full(len(there), directory.number, np.uint16), there.astype(np.uint32), starts, ends))
    if not parts:
        parts = [(np.empty(0, np.uint16), np.empty(0, np.uint32), np.empty(0, np.int64), np.empty(0, np.int64))]
    numbers, tiles, starts, ends = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(starts, kind="stable")
    return TileTable(numbers[order], tiles[order], starts[order], ends[order])


def overlapping(table: TileTable) -> NDArray[np.bool_]:
    """Return which tiles overlap one that begins before them; the others do not overlap.

    Example:
        >>> starts, ends = np.array([0, 5, 30]), np.array([20, 9, 40])
        >>> overlapping(TileTable(np.zeros(3, "uint16"), np.arange(3, dtype="uint32"), starts, ends)).tolist()
        [False, True, False]
    """
    found = np.zeros(len(table), bool)
    if len(table) > 1:
        found[1:] = table.starts[1:] < np.maximum.accumulate(table.ends)[:-1]
    return found


def touching(starts: NDArray[np.int64], ends: NDArray[np.int64], extents: Sequence[Extent]) -> NDArray[np.bool_]:
    """Return which ranges overlap any of the extents.

    Example:
        >>> touching(np.array([0, 10]), np.array([5, 20]), [Extent(19, 3)]).tolist()
        [False, True]
    """
    if not extents or not len(starts):
        return np.zeros(len(starts), bool)
    ordered = sorted((one.offset_bytes, one.end_bytes) for one in extents)
    begins = np.array([begin for begin, _ in ordered], np.int64)
    # The largest end of all extents that begin before a range ends: behind the range's start, they overlap.
    furthest = np.maximum.accumulate(np.array([end for _, end in ordered], np.int64))
    before = np.searchsorted(begins, ends, side="left")
    found: NDArray[np.bool_] = (before > 0) & (furthest[np.maximum(before, 1) - 1] > starts)
    return found & (ends > starts)


def structure_of(
    directories: Iterable[MeasuredDirectory], ghost: Ghost | None, header_bytes: int, *, with_values: bool
) -> list[Extent]:
    """Return the extents of the file's structure: header, GDAL's metadata, directories.

    Args:
        directories: All.
        ghost: GDAL's metadata, or None.
        header_bytes: Length of the header.
        with_values: Include the values of tags, with tile arrays.
    """
    found = [Extent(0, header_bytes)]
    for one in directories:
        found += [one.extent, *(one.values + one.arrays if with_values else ())]
    return found if ghost is None else [*found, ghost.extent]
