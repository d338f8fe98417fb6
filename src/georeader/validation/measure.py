"""Measurement of a file: header, GDAL's structural metadata, directories and tiles, without a judgement.

This module and `tile_checks` read the file; the other modules of the package work on what these return.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum

import numpy as np

from georeader._storage.range_file import RangedObject
from georeader._tiff.directories import TagNumber
from georeader._tiff.parser import Fault, FaultKind, Header, ParsedDirectory, TiffBytes, read_directories, read_header
from georeader.validation.extents import TileTable, overlapping, structure_of, tile_table, touching
from georeader.validation.measurement import (
    Extent,
    FaultLog,
    Ghost,
    MeasuredDirectory,
    Measurement,
    Role,
    RoleKind,
    frames_of,
)
from georeader.validation.source import ByteSource
from georeader.validation.tag_values import MAX_TILES, TagReader, read_layout, read_tiles
from georeader.validation.tile_checks import Checked, check_tiles
from georeader.validation.viewer import viewer_cost

#: Longer reads bypass the cache of blocks.
_DIRECT_BYTES = 2**20

#: Tags with one value for each tile or strip.
_ARRAY_TAGS = frozenset({
    TagNumber.STRIP_OFFSETS, TagNumber.STRIP_BYTE_COUNTS, TagNumber.TILE_OFFSETS, TagNumber.TILE_BYTE_COUNTS
})  # fmt: skip

_BEGINNING = b"GDAL_STRUCTURAL_METADATA_SIZE="
_FIRST_LINE = re.compile(rb"GDAL_STRUCTURAL_METADATA_SIZE=(\d{6}) bytes\n")
_FIRST_LINE_BYTES = 43

#: Names and values of GDAL's structural metadata that are known.
GHOST_VALUES: Mapping[str, tuple[str, ...]] = {
    "LAYOUT": ("IFDS_BEFORE_DATA",),
    "BLOCK_ORDER": ("ROW_MAJOR",),
    "BLOCK_LEADER": ("SIZE_AS_UINT4",),
    "BLOCK_TRAILER": ("LAST_4_BYTES_REPEATED",),
    "INTERLEAVE": ("BAND", "PIXEL", "TILE"),
    "MASK_INTERLEAVED_WITH_IMAGERY": ("YES", "NO"),
    "KNOWN_INCOMPATIBLE_EDITION": ("YES", "NO"),
}


#: Bits of NewSubfileType.
REDUCED, PAGE, MASK = 1, 2, 4


class Tiles(Enum):
    """Extent to which tiles are read."""

    UNREAD = "unread"
    FRAMED = "framed"  # leaders and trailers of local files
    DECODED = "decoded"  # and the tiles themselves


def measure(source: ByteSource, *, tiles: Tiles = Tiles.DECODED, has_external_overviews: bool = False) -> Measurement:
    """Measure a file.

    Args:
        source: The file.
        tiles: Extent to which tiles are read.
        has_external_overviews: Copied to the result.

    Raises:
        ReadError: It cannot be read.

    Memory: some megabytes, 50 bytes a tile, and tiles that are being decoded.
    """
    log = FaultLog()
    file = _CachedBytes(source)
    header = read_header(file, log.add)
    if header is None:
        return Measurement(source.size_bytes, faults=log.faults())
    ghost = read_ghost(file, header, log)
    directories = _read_all(file, header, log)
    table = _checkable(directories, ghost, header)
    measured = Measurement(
        size_bytes=source.size_bytes,
        version=header.version.name,
        byte_order="big-endian" if header.is_big_endian else "little-endian",
        header_bytes=header.version.header_bytes,
        ghost=ghost,
        directories=directories,
        has_external_overviews=has_external_overviews,
    )
    checked = Checked(None, has_checked_frames=False)
    if tiles is not Tiles.UNREAD:
        by_number = {one.number: one for one in directories}
        checked = check_tiles(source, table, by_number, frames_of(ghost), log, decode=tiles is Tiles.DECODED)
    return replace(
        measured,
        faults=log.faults(),
        viewer=viewer_cost(source.size_bytes, measured.header_bytes, directories, measured.images),
        tiles_decoded=checked.tiles_decoded,
        has_checked_frames=checked.has_checked_frames,
    )


class _CachedBytes:
    """`TiffBytes` of a source: short reads go through a cache of blocks."""

    def __init__(self, source: ByteSource) -> None:
        self.size_bytes = source.size_bytes
        self._source = source
        self._blocks = RangedObject(source.size_bytes, lambda start, stop: source.read_at(start, stop - start))

    def read_at(self, offset_bytes: int, length_bytes: int, /) -> bytes:
        if length_bytes > _DIRECT_BYTES:
            return self._source.read_at(offset_bytes, length_bytes)
        return self._blocks.read_range(offset_bytes, offset_bytes + length_bytes)


def read_ghost(file: TiffBytes, header: Header, log: FaultLog) -> Ghost | None:
    """Read GDAL's structural metadata: lines between the header and the first directory, which no tag points to.

    Args:
        file: The file.
        header: Header of the file.
        log: Collects faults.

    Returns:
        The metadata, or None if there are none or they are malformed.

    References:
        GDAL's COG driver page, "Header ghost area".
    """
    start = header.version.header_bytes
    first = file.read_at(start, min(header.size_bytes - start, _FIRST_LINE_BYTES))
    if not first.startswith(_BEGINNING):
        return None
    found = _FIRST_LINE.fullmatch(first)
    end = start + _FIRST_LINE_BYTES + (int(found[1]) if found else 0)
    if found is None or end > header.size_bytes:
        detail = f"GDAL's structural metadata begin with {first[:_FIRST_LINE_BYTES]!r}, whose length is invalid"
        log.add(Fault(FaultKind.GHOST_MALFORMED, detail, offset_bytes=start))
        return None
    items: dict[str, str] = {}
    text = file.read_at(start + _FIRST_LINE_BYTES, end - start - _FIRST_LINE_BYTES)
    for line in text.decode("latin-1").split("\n"):
        name, _, value = line.strip(" \0").partition("=")
        items |= {name: value} if name in GHOST_VALUES else {}
        if value not in GHOST_VALUES.get(name, ("",)) or (name and name not in GHOST_VALUES):
            kind = FaultKind.GHOST_MALFORMED if name in GHOST_VALUES else FaultKind.GHOST_UNKNOWN
            log.add(
                Fault(kind, f"GDAL's structural metadata hold {line!r}, which GDAL does not know", offset_bytes=start)
            )
    return Ghost(Extent(start, end - start), items)


def _read_all(file: TiffBytes, header: Header, log: FaultLog) -> tuple[MeasuredDirectory, ...]:
    """Read all directories, with the offsets and sizes of their tiles."""
    room = MAX_TILES
    parts = []
    for parsed in read_directories(file, header, log.add):
        tags = TagReader(parsed, log)
        subfile_type = tags.number(TagNumber.NEW_SUBFILE_TYPE, 0, range(2**32))
        layout = read_layout(tags, parsed, is_big_endian=header.is_big_endian)
        places = None if layout is None else read_tiles(tags, layout, room, parsed, log)
        room -= 0 if layout is None or places is None else layout.tile_count
        parts.append((parsed, subfile_type, layout, places))
    sizes = [(kind, None if layout is None else (layout.width_px, layout.height_px)) for _, kind, layout, _ in parts]
    nothing = np.empty(0, np.uint64)
    return tuple(
        MeasuredDirectory(
            parsed.number, Extent(parsed.offset_bytes, parsed.length_bytes), role, subfile_type, layout,
            _outside(parsed, arrays=False), _outside(parsed, arrays=True),
            *((nothing, nothing) if places is None else places),
        )
        for (parsed, subfile_type, layout, places), role in zip(parts, roles_of(sizes), strict=True)
    )  # fmt: skip


def _outside(directory: ParsedDirectory, *, arrays: bool) -> tuple[Extent, ...]:
    """Return the extents of values outside of their entries: those of tile arrays, or all others."""
    return tuple(
        Extent(entry.offset_bytes, entry.length_bytes)
        for entry in directory.entries.values()
        if entry.is_readable and not entry.is_inline and (entry.number in _ARRAY_TAGS) is arrays
    )


def roles_of(directories: Sequence[tuple[int, tuple[int, int] | None]]) -> tuple[Role, ...]:
    """Return the role of each directory: the raster, an overview, a mask, or another.

    The rule is that of GDAL's GTiff driver: the first directory is the raster, images of reduced resolution are its
    overviews, and a mask belongs to the image of its size.

    Args:
        directories: NewSubfileType, and (width, height) or None, of each in the order of the chain.

    References:
        TIFF 6.0, section 8 (NewSubfileType).

    Example:
        >>> roles = roles_of([(0, (900, 600)), (4, (900, 600)), (1, (450, 300)), (5, (450, 300))])
        >>> [(role.kind.value, role.level) for role in roles]
        [('image', 0), ('mask', 0), ('image', 1), ('mask', 1)]
    """
    roles = [Role(RoleKind.OTHER, None) for _ in directories]
    levels: dict[tuple[int, int], int] = {}
    images = [
        number
        for number, (subfile_type, _) in enumerate(directories)
        if number == 0 or (subfile_type & REDUCED and not subfile_type & MASK)
    ]
    for level, number in enumerate(images):
        roles[number] = Role(RoleKind.IMAGE, level)
        size = directories[number][1]
        if size is not None:
            levels.setdefault(size, level)
    masked: set[int] = set()
    for number, (subfile_type, size) in enumerate(directories):
        if number in images or not subfile_type & MASK:
            continue
        level_of_mask = None if size is None else levels.get(size)
        if level_of_mask in masked:
            level_of_mask = None
        if level_of_mask is not None:
            masked.add(level_of_mask)
        roles[number] = Role(RoleKind.MASK, level_of_mask)
    return tuple(roles)


def _checkable(directories: tuple[MeasuredDirectory, ...], ghost: Ghost | None, header: Header) -> TileTable:
    """Return the tiles inside the file that overlap neither one another nor its structure."""
    table = tile_table(directories, header.size_bytes)
    structure = structure_of(directories, ghost, header.version.header_bytes, with_values=True)
    return table.chosen(~(overlapping(table) | touching(table.starts, table.ends, structure)))
