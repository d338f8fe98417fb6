"""Measurements of a file, without a judgement, and problems, the judgement. Frozen values."""

from __future__ import annotations

from collections import Counter
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
class Ghost:
    """GDAL's structural metadata, between the header and the first directory."""

    extent: Extent
    items: dict[str, str]

    def says(self, name: str, value: str) -> bool:
        """Return whether an item has a value."""
        return self.items.get(name) == value


@dataclass(frozen=True)
class Frames:
    """Bytes around each tile, as declared by the file (GDAL's COG driver page, "Tile data leader and trailer")."""

    has_leader: bool = False  #: Four bytes with the tile's size before it.
    has_trailer: bool = False  #: The tile's last four bytes repeated behind it.

    def __bool__(self) -> bool:
        return self.has_leader or self.has_trailer


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
        facts: dict[str, Any] = {
            "role": self.role.kind.value,
            "level": self.role.level,
            "offset_bytes": self.extent.offset_bytes,
            "tiles": len(self.tile_offsets_bytes),
            "tiles_sparse": self.sparse_count,
            "tiles_bytes": self.tiles_bytes,
        }
        layout = self.layout
        if layout is None:
            return facts
        return facts | {
            "width_px": layout.width_px,
            "height_px": layout.height_px,
            "is_tiled": layout.is_tiled,
            "tile_width_px": layout.tile_width_px,
            "tile_height_px": layout.tile_height_px,
            "samples": layout.samples,
            "dtype": layout.kind_name,
            "photometric": PHOTOMETRICS.get(layout.photometric, layout.photometric),
            "compression": layout.compression_name,
            "predictor": layout.predictor,
            "interleave": layout.interleave,
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


def frames_of(measurement: Measurement) -> Frames:
    """Return the leaders and trailers of tiles that GDAL's structural metadata declare."""
    ghost = measurement.ghost
    if ghost is None:
        return Frames()
    return Frames(ghost.says("BLOCK_LEADER", "SIZE_AS_UINT4"), ghost.says("BLOCK_TRAILER", "LAST_4_BYTES_REPEATED"))


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
        self._kept = kept
        self._found: dict[tuple[FaultKind, int | None], list[Fault]] = {}
        self._counts: Counter[tuple[FaultKind, int | None]] = Counter()

    def add(self, *faults: Fault) -> None:
        """Add faults."""
        for fault in faults:
            key = fault.kind, fault.directory
            self._counts[key] += 1
            if self._counts[key] <= self._kept:
                self._found.setdefault(key, []).append(fault)

    def faults(self) -> tuple[Fault, ...]:
        """Return the faults; the last of a kind has the number of further ones."""
        given: list[Fault] = []
        for key, found in self._found.items():
            given += [*found[:-1], replace(found[-1], more=self._counts[key] - len(found))]
        return tuple(given)


class Severity(StrEnum):
    """Severity: an error makes a file invalid, a warning only in strict mode."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Problem:
    """A deviation from the rules for Cloud Optimized GeoTIFFs.

    Attributes:
        severity: Error or warning.
        code: A stable name; docs/validation.md lists them.
        message: One line: the place, the finding and its consequence.
    """

    severity: Severity
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.severity} {self.code}: {self.message}"


def error(code: str, message: str) -> Problem:
    """Return an error."""
    return Problem(Severity.ERROR, code, message)


def warning(code: str, message: str) -> Problem:
    """Return a warning."""
    return Problem(Severity.WARNING, code, message)
