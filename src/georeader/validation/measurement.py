"""Measurements of a file, without a judgement. Frozen values; `georeader.validation.judge` reads them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._tiff.parser import Fault, FaultKind
from georeader.validation.pixel_layout import PHOTOMETRICS, PixelLayout


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
class Frames:
    """Bytes around each tile, as declared by the file (GDAL's COG driver page, "Tile data leader and trailer").

    Attributes:
        has_leader: Four bytes with the tile's size before it.
        has_trailer: The tile's last four bytes repeated behind it.
    """

    has_leader: bool = False
    has_trailer: bool = False

    def __bool__(self) -> bool:
        return self.has_leader or self.has_trailer


@dataclass(frozen=True)
class Ghost:
    """GDAL's structural metadata, between the header and the first directory.

    Attributes:
        extent: Place in the file.
        items: Names and values.
    """

    extent: Extent
    items: dict[str, str]

    def says(self, name: str, value: str) -> bool:
        """Return whether an item has a value."""
        return self.items.get(name) == value


def frames_of(ghost: Ghost | None) -> Frames:
    """Return the leaders and trailers of tiles that GDAL's structural metadata declare."""
    if ghost is None:
        return Frames()
    return Frames(ghost.says("BLOCK_LEADER", "SIZE_AS_UINT4"), ghost.says("BLOCK_TRAILER", "LAST_4_BYTES_REPEATED"))


class RoleKind(StrEnum):
    """Role of a directory in the raster."""

    IMAGE = "image"
    MASK = "mask"
    OTHER = "other"


@dataclass(frozen=True)
class Role:
    """Role of a directory in the raster.

    Attributes:
        kind: An image (the raster or an overview), a mask of one, or something else.
        level: 0 is the full resolution, 1 the first overview in the chain; None: no level.
    """

    kind: RoleKind
    level: int | None


@dataclass(frozen=True)
class MeasuredDirectory:
    """An image file directory (IFD).

    Attributes:
        number: Position in the chain, from 0.
        extent: Extent of its entries.
        role: Role in the raster.
        subfile_type: Tag NewSubfileType.
        layout: Layout of its pixels; None: its tags do not declare it.
        values: Extents of values outside of their entries, without tile arrays.
        arrays: Extents of tile offsets and sizes.
        tile_offsets_bytes: uint64, of each tile (or strip); 0 for a sparse one. Empty if they cannot be read.
        tile_sizes_bytes: uint64, likewise.
    """

    number: int
    extent: Extent
    role: Role
    subfile_type: int
    layout: PixelLayout | None
    values: tuple[Extent, ...]
    arrays: tuple[Extent, ...]
    tile_offsets_bytes: NDArray[np.uint64] = field(compare=False, repr=False)
    tile_sizes_bytes: NDArray[np.uint64] = field(compare=False, repr=False)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which tiles are not sparse."""
        there: NDArray[np.bool_] = (self.tile_offsets_bytes != 0) & (self.tile_sizes_bytes != 0)
        return there

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


@dataclass(frozen=True)
class ViewerCost:
    """Requests of a viewer; `georeader.validation.viewer` documents the model.

    Attributes:
        open_requests: Requests that read all directories.
        open_bytes: Bytes of these.
        thumbnail_requests: Further requests for a thumbnail.
        thumbnail_bytes: Bytes of these.
        thumbnail_level: The level that is shown.
        thumbnail_width_px: Its width.
        thumbnail_height_px: Its height.
    """

    open_requests: int
    open_bytes: int
    thumbnail_requests: int
    thumbnail_bytes: int
    thumbnail_level: int
    thumbnail_width_px: int
    thumbnail_height_px: int


@dataclass(frozen=True)
class Measurement:
    """All measurements of a file.

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

    @property
    def images(self) -> tuple[MeasuredDirectory, ...]:
        """The raster and its overviews, in the order of the chain."""
        return tuple(one for one in self.directories if one.role.kind is RoleKind.IMAGE)

    def mask_of(self, level: int) -> MeasuredDirectory | None:
        """Return the mask of a level, or None."""
        masks = (one for one in self.directories if one.role == Role(RoleKind.MASK, level))
        return next(masks, None)

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as values of JSON, with the number of tiles only."""
        return _measurement_dict(self)


class FaultLog:
    """Log of faults: of each kind and directory it keeps the first few, and counts the rest.

    Example:
        >>> log = FaultLog(kept=1)
        >>> log.add(Fault(FaultKind.TILE_SIZE, "a", tile=3))
        >>> log.add(Fault(FaultKind.TILE_SIZE, "b", tile=4))
        >>> [(fault.tile, fault.more) for fault in log.faults()]
        [(3, 1)]
    """

    def __init__(self, kept: int = 3) -> None:
        """Create an empty log.

        Args:
            kept: Number of faults that are kept of each kind and directory.
        """
        self._kept = kept
        self._found: dict[tuple[FaultKind, int | None], list[Fault]] = {}
        self._counts: dict[tuple[FaultKind, int | None], int] = {}

    def __len__(self) -> int:
        return sum(self._counts.values())

    def add(self, *faults: Fault) -> None:
        """Add faults."""
        for fault in faults:
            key = fault.kind, fault.directory
            found = self._found.setdefault(key, [])
            self._counts[key] = self._counts.get(key, 0) + 1
            if len(found) < self._kept:
                found.append(fault)

    def faults(self) -> tuple[Fault, ...]:
        """Return the faults; the last of a kind has the number of further ones."""
        given: list[Fault] = []
        for key, found in self._found.items():
            more = self._counts[key] - len(found)
            given += [*found[:-1], replace(found[-1], more=more)]
        return tuple(given)


def _measurement_dict(measurement: Measurement) -> dict[str, Any]:
    """Return the facts, with the number of tiles only."""
    ghost, viewer = measurement.ghost, measurement.viewer
    return {
        "size_bytes": measurement.size_bytes,
        "version": measurement.version,
        "byte_order": measurement.byte_order,
        "structural_metadata": None if ghost is None else dict(ghost.items),
        "directories": [_directory_dict(one) for one in measurement.directories],
        "viewer": None if viewer is None else asdict(viewer),
        "tiles_decoded": measurement.tiles_decoded,
        "has_checked_frames": measurement.has_checked_frames,
        "has_external_overviews": measurement.has_external_overviews,
    }


def _directory_dict(directory: MeasuredDirectory) -> dict[str, Any]:
    """Return the facts about a directory."""
    found: dict[str, Any] = {
        "role": directory.role.kind.value,
        "level": directory.role.level,
        "offset_bytes": directory.extent.offset_bytes,
        "tiles": len(directory.tile_offsets_bytes),
        "tiles_sparse": len(directory.tile_offsets_bytes) - int(directory.present.sum()),
        "tiles_bytes": directory.tiles_bytes,
    }
    layout = directory.layout
    if layout is None:
        return found
    return found | {
        "width_px": layout.width_px,
        "height_px": layout.height_px,
        "is_tiled": layout.is_tiled,
        "tile_width_px": layout.tile_width_px,
        "tile_height_px": layout.tile_height_px,
        "samples": layout.samples,
        "dtype": layout.kind_name,
        "photometric": PHOTOMETRICS.get(-1 if layout.photometric is None else layout.photometric, layout.photometric),
        "compression": layout.compression_name,
        "predictor": layout.predictor,
        "interleave": layout.interleave,
    }
