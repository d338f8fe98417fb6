"""Extents of tiles in file order, and their overlaps. Pure.

Memory: about 22 bytes a tile, and as much again while they are sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from georeader.validation.measurement import Extent, MeasuredDirectory, Measurement


@dataclass(frozen=True)
class TileTable:
    """All tiles that are not sparse and lie inside the file, in file order."""

    directories: NDArray[np.uint16] = field(repr=False)  #: Number of each tile's directory.
    tiles: NDArray[np.uint32] = field(repr=False)  #: Its number in the directory.
    starts: NDArray[np.int64] = field(repr=False)  #: Its first byte.
    ends: NDArray[np.int64] = field(repr=False)  #: The first byte behind it.

    def __len__(self) -> int:
        return len(self.starts)

    def chosen(self, wanted: NDArray[np.bool_] | NDArray[np.intp]) -> TileTable:
        """Return some tiles, by a mask or by their positions."""
        return TileTable(self.directories[wanted], self.tiles[wanted], self.starts[wanted], self.ends[wanted])


def past_the_end(directory: MeasuredDirectory, size_bytes: int) -> NDArray[np.bool_]:
    """Return which tiles reach past the end of a file; offsets and sizes may be up to 2^64."""
    limit = np.uint64(size_bytes)
    offsets, sizes = directory.tile_offsets_bytes, directory.tile_sizes_bytes
    is_past: NDArray[np.bool_] = directory.present & ((offsets > limit) | (sizes > limit - np.minimum(offsets, limit)))
    return is_past


def tile_table(directories: Iterable[MeasuredDirectory], size_bytes: int) -> TileTable:
    """Return the tiles of directories that are not sparse and lie inside the file."""
    # An empty part, in case that there is no directory.
    parts = [(np.empty(0, np.uint16), np.empty(0, np.uint32), np.empty(0, np.int64), np.empty(0, np.int64))]
    for directory in directories:
        there = np.flatnonzero(directory.present & ~past_the_end(directory, size_bytes))
        starts = directory.tile_offsets_bytes[there].astype(np.int64)
        ends = starts + directory.tile_sizes_bytes[there].astype(np.int64)
        parts.append((np.full(len(there), directory.number, np.uint16), there.astype(np.uint32), starts, ends))
    table = TileTable(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return table.chosen(np.argsort(table.starts, kind="stable"))


def overlapping(table: TileTable) -> NDArray[np.bool_]:
    """Return which tiles overlap one that begins before them; the others do not overlap."""
    found = np.zeros(len(table), bool)
    found[1:] = table.starts[1:] < np.maximum.accumulate(table.ends)[:-1]
    return found


def touching(starts: NDArray[np.int64], ends: NDArray[np.int64], extents: Sequence[Extent]) -> NDArray[np.bool_]:
    """Return which ranges overlap any of the extents.

    Example:
        >>> touching(np.array([0, 10]), np.array([5, 20]), [Extent(19, 3)]).tolist()
        [False, True]
    """
    if not extents:
        return np.zeros(len(starts), bool)
    ordered = np.array(sorted((one.offset_bytes, one.end_bytes) for one in extents), np.int64)
    # The largest end of all extents that begin before a range ends: behind the range's start, they overlap.
    furthest = np.maximum.accumulate(ordered[:, 1])
    before = np.searchsorted(ordered[:, 0], ends, side="left")
    found: NDArray[np.bool_] = (before > 0) & (furthest[np.maximum(before, 1) - 1] > starts) & (ends > starts)
    return found


def structure_of(measurement: Measurement, *, with_values: bool) -> list[Extent]:
    """Return the extents of header, GDAL's metadata and directories, and of the values of tags, tile arrays included.

    Values are left out where ``with_values`` is False.
    """
    found = [Extent(0, measurement.header_bytes)]
    for one in measurement.directories:
        found += [one.extent, *(one.values + one.arrays if with_values else ())]
    return found if measurement.ghost is None else [*found, measurement.ghost.extent]
