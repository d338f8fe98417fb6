"""Measurements of a file, without a judgement, and tables of its tiles. Frozen values.

Memory of a table: about 22 bytes a tile, and as much again while it is sorted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._readers.pixel_layout import PixelLayout
from georeader._tiff.cog_layout import LEADER_BYTES, TRAILER_BYTES
from georeader._tiff.parser import Fault, FaultKind

#: Faults of one kind in one directory that are kept.
FAULTS_KEPT = 3


@dataclass(frozen=True)
class Extent:
    """A range of bytes inside the file."""

    offset_bytes: int
    length_bytes: int

    @property
    def end_bytes(self) -> int:
        """Offset of the first byte behind it."""
        return self.offset_bytes + self.length_bytes


@dataclass(frozen=True)
class Ghost:
    """GDAL's structural metadata, between the header and the first directory."""

    extent: Extent
    items: dict[str, str]

    def says(self, name: str, value: str) -> bool:
        """Return whether an item has a value."""
        return self.items.get(name) == value

    def __repr__(self) -> str:
        """Return one line: the number of items, and where they are."""
        return f"Ghost({len(self.items)} items at byte {self.extent.offset_bytes})"


class RoleKind(StrEnum):
    """Role of a directory in the raster: the raster or an overview, a mask of one, or something else."""

    IMAGE = "image"
    MASK = "mask"
    OTHER = "other"


@dataclass(frozen=True)
class Role:
    """Role of a directory in the raster."""

    kind: RoleKind
    level: int | None  #: 0 is the full resolution, 1 the first overview in the chain; None: no level.


@dataclass(frozen=True)
class MeasuredDirectory:
    """An image file directory (IFD). Its arrays are uint64; 0 for a sparse tile, empty if they cannot be read."""

    number: int  #: In the chain, from 0.
    extent: Extent  #: Of its entries.
    role: Role
    subfile_type: int  #: Tag NewSubfileType.
    layout: PixelLayout | None  #: None: its tags do not declare it.
    values: tuple[Extent, ...]  #: Of values outside of their entries, without tile arrays.
    arrays: tuple[Extent, ...]  #: Of tile offsets and sizes.
    tile_offsets_bytes: NDArray[np.uint64] = field(compare=False, repr=False)
    tile_sizes_bytes: NDArray[np.uint64] = field(compare=False, repr=False)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which tiles are not sparse."""
        there: NDArray[np.bool_] = (self.tile_offsets_bytes != 0) & (self.tile_sizes_bytes != 0)
        return there

    @property
    def sparse_count(self) -> int:
        """Number of tiles that are sparse."""
        return len(self.tile_offsets_bytes) - int(self.present.sum())

    @property
    def tiles_bytes(self) -> int:
        """Size of all its tiles, by its directory."""
        sizes = self.tile_sizes_bytes[self.present]
        # Sizes near 2^64 would overflow.
        return int(sizes.sum()) if int(sizes.max(initial=0)) < 2**40 else sum(map(int, sizes))

    @property
    def title(self) -> str:
        """Name in messages."""
        if self.role.kind is RoleKind.IMAGE:
            return f"level {self.role.level}"
        if self.role.kind is RoleKind.MASK and self.role.level is not None:
            return f"the mask of level {self.role.level}"
        return f"IFD {self.number}"

    def __repr__(self) -> str:
        """Return one line: the role, the size and the tiles."""
        layout = "unreadable" if self.layout is None else f"{self.layout.width_px} x {self.layout.height_px} pixels"
        return f"MeasuredDirectory({self.number}: {self.title}, {layout}, {len(self.tile_offsets_bytes)} tiles)"

    def tile_title(self, tile: int, offset_bytes: int | None = None) -> str:
        """Return the name of a tile in messages, such as "level 1, tile row 0 column 2, byte 1234"."""
        title = f"{self.title}, tile {tile}"
        if self.layout is not None:
            plane, row, column = self.layout.place_of(tile)
            title = f"{self.title}, {'tile' if self.layout.is_tiled else 'strip'} row {row} column {column}"
            title += f" of band {plane + 1}" if self.layout.planes > 1 else ""
        return title if offset_bytes is None else f"{title}, byte {offset_bytes}"

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as values of JSON, with the number of tiles only."""
        return {
            "role": self.role.kind.value,
            "level": self.role.level,
            "offset_bytes": self.extent.offset_bytes,
            "tiles": len(self.tile_offsets_bytes),
            "tiles_sparse": self.sparse_count,
            "tiles_bytes": self.tiles_bytes,
            **({} if self.layout is None else self.layout.to_dict()),
        }


@dataclass(frozen=True)
class ViewerCost:
    """Requests of a viewer, by the model of `georeader.validation.viewer`; the thumbnail's come after opening."""

    open_requests: int
    open_bytes: int
    thumbnail_requests: int
    thumbnail_bytes: int
    thumbnail_level: int
    thumbnail_width_px: int
    thumbnail_height_px: int

    def __repr__(self) -> str:
        """Return one line: what opening takes, and what the thumbnail takes."""
        return (
            f"ViewerCost(opens by {self.open_requests} requests, {self.open_bytes} bytes; thumbnail of "
            f"{self.thumbnail_width_px} x {self.thumbnail_height_px} by {self.thumbnail_requests}, "
            f"{self.thumbnail_bytes} bytes)"
        )


@dataclass(frozen=True)
class Measurement:
    """What a file is, without a judgement.

    Attributes:
        size_bytes: Of the file.
        version: "classic TIFF" or "BigTIFF"; None: it is not a TIFF.
        byte_order: "little-endian" or "big-endian"; None likewise.
        header_bytes: Length of the file header.
        ghost: GDAL's structural metadata, or None.
        directories: In the order of the chain, as far as it can be followed.
        faults: Faults of single parts.
        viewer: Requests of a viewer; None if the structure is broken.
        has_external_overviews: There is an .ovr file beside it (checked for local files only).
        has_checked_frames: Leaders and trailers of tiles were read, if the file declares them.
        tiles_decoded: Number of tiles that were decoded; None: decoding was not requested.
    """

    size_bytes: int
    version: str | None = None
    byte_order: str | None = None
    header_bytes: int = 0
    ghost: Ghost | None = field(default=None, repr=False)
    directories: tuple[MeasuredDirectory, ...] = field(default=(), repr=False)
    faults: tuple[Fault, ...] = field(default=(), repr=False)
    viewer: ViewerCost | None = field(default=None, repr=False)
    has_external_overviews: bool = False
    has_checked_frames: bool = False
    tiles_decoded: int | None = None

    def __repr__(self) -> str:
        """Return one line: the kind of file, its size and its images."""
        decoded = "" if self.tiles_decoded is None else f", {self.tiles_decoded} tiles decoded"
        kind = "no TIFF" if self.version is None else f"{self.version}, {self.byte_order}"
        return f"Measurement({kind}, {self.size_bytes:,} bytes, {len(self.images)} images{decoded})"

    @property
    def images(self) -> tuple[MeasuredDirectory, ...]:
        """The raster and its overviews, in the order of the chain."""
        return tuple(one for one in self.directories if one.role.kind is RoleKind.IMAGE)

    def mask_of(self, level: int) -> MeasuredDirectory | None:
        """Return the mask of a level, or None."""
        return next((one for one in self.directories if one.role == Role(RoleKind.MASK, level)), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as values of JSON, with the number of tiles only."""
        return {
            "size_bytes": self.size_bytes,
            "version": self.version,
            "byte_order": self.byte_order,
            "structural_metadata": None if self.ghost is None else dict(self.ghost.items),
            "directories": [one.to_dict() for one in self.directories],
            "viewer": None if self.viewer is None else asdict(self.viewer),
            "tiles_decoded": self.tiles_decoded,
            "has_checked_frames": self.has_checked_frames,
            "has_external_overviews": self.has_external_overviews,
        }


def frame_bytes(measurement: Measurement) -> tuple[int, int]:
    """Return the bytes before and behind each tile that GDAL's structural metadata declare: 4, or 0 for none."""
    ghost = measurement.ghost
    has_leader = ghost is not None and ghost.says("BLOCK_LEADER", "SIZE_AS_UINT4")
    has_trailer = ghost is not None and ghost.says("BLOCK_TRAILER", "LAST_4_BYTES_REPEATED")
    return LEADER_BYTES * has_leader, TRAILER_BYTES * has_trailer


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
    """Return the extents of header, GDAL's metadata, directories and, on request, values of tags and tile arrays."""
    found = [Extent(0, measurement.header_bytes)]
    for one in measurement.directories:
        found += [one.extent, *(one.values + one.arrays if with_values else ())]
    return found if measurement.ghost is None else [*found, measurement.ghost.extent]


class FaultLog:
    """Log of faults: of each kind and directory it keeps the first `FAULTS_KEPT`, and counts the rest."""

    def __init__(self) -> None:
        self._found: defaultdict[tuple[FaultKind, int | None], list[Fault]] = defaultdict(list)
        self._counts: Counter[tuple[FaultKind, int | None]] = Counter()

    def add(self, *faults: Fault) -> None:
        """Add faults."""
        for fault in faults:
            key = fault.kind, fault.directory
            self._counts[key] += 1
            if self._counts[key] <= FAULTS_KEPT:
                self._found[key].append(fault)

    def faults(self) -> tuple[Fault, ...]:
        """Return the faults; the last of a kind has the number of further ones."""
        given: list[Fault] = []
        for key, found in self._found.items():
            given += [*found[:-1], replace(found[-1], more=self._counts[key] - len(found))]
        return tuple(given)
