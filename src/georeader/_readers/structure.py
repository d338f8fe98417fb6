"""Structure of a file: header, GDAL's structural metadata, directories, and the places of tiles, which are not read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from georeader._readers.byte_source import ByteSource
from georeader._readers.measurement import Extent, FaultLog, Ghost, MeasuredDirectory, Measurement, Role, RoleKind
from georeader._readers.pixel_layout import MAX_TILES, TagReader, read_layout, read_tiles
from georeader._storage.range_file import RangedObject
from georeader._tiff.directories import TagNumber
from georeader._tiff.parser import Fault, FaultKind, Header, ParsedDirectory, TiffBytes, read_directories, read_header

#: Longer reads bypass the cache of blocks.
_DIRECT_BYTES = 2**20

#: Tags with one value for each tile or strip.
_ARRAY_TAGS = frozenset({
    TagNumber.STRIP_OFFSETS, TagNumber.STRIP_BYTE_COUNTS, TagNumber.TILE_OFFSETS, TagNumber.TILE_BYTE_COUNTS
})  # fmt: skip

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
REDUCED, MASK = 1, 4


def read_structure(source: ByteSource, log: FaultLog) -> Measurement:
    """Read the structure of a file; faults go to ``log``. ReadError is raised if it cannot be read.

    Memory: some megabytes, and 50 bytes a tile.
    """
    file = _CachedBytes(source)
    header = read_header(file, log.add)
    if header is None:
        return Measurement(source.size_bytes)
    ghost = read_ghost(file, header, log)
    return Measurement(
        size_bytes=source.size_bytes,
        version=header.version.name,
        byte_order="big-endian" if header.is_big_endian else "little-endian",
        header_bytes=header.version.header_bytes,
        ghost=ghost,
        directories=_read_all(file, header, log),
        has_external_overviews=source.has_external_overviews,
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
    """Read GDAL's structural metadata; None if there are none or they are malformed.

    They are lines between the header and the first directory, which no tag points to (GDAL's COG driver page, "Header
    ghost area").
    """
    start = header.version.header_bytes
    first = file.read_at(start, min(header.size_bytes - start, _FIRST_LINE_BYTES))
    if not first.startswith(b"GDAL_STRUCTURAL_METADATA_SIZE="):
        return None
    found = _FIRST_LINE.fullmatch(first)
    end = start + _FIRST_LINE_BYTES + (int(found[1]) if found else 0)
    if found is None or end > header.size_bytes:
        detail = f"GDAL's structural metadata begin with {first!r}, whose length is invalid"
        log.add(Fault(FaultKind.GHOST_MALFORMED, detail, offset_bytes=start))
        return None
    items: dict[str, str] = {}
    text = file.read_at(start + _FIRST_LINE_BYTES, end - start - _FIRST_LINE_BYTES)
    for line in text.decode("latin-1").split("\n"):
        name, _, value = line.strip(" \0").partition("=")
        known = GHOST_VALUES.get(name)
        if known is not None:
            items[name] = value
        if (known is None and (name or value)) or (known is not None and value not in known):
            kind = FaultKind.GHOST_UNKNOWN if known is None else FaultKind.GHOST_MALFORMED
            detail = f"GDAL's structural metadata hold {line!r}, which GDAL does not know"
            log.add(Fault(kind, detail, offset_bytes=start))
    return Ghost(Extent(start, end - start), items)


def _read_all(file: TiffBytes, header: Header, log: FaultLog) -> tuple[MeasuredDirectory, ...]:
    """Read all directories, with the offsets and sizes of their tiles; roles are known when all are read."""
    tiles_left = MAX_TILES
    found: list[MeasuredDirectory] = []
    for parsed in read_directories(file, header, log.add):
        tags = TagReader(parsed, log.add)
        subfile_type = tags.number(TagNumber.NEW_SUBFILE_TYPE, 0, range(2**32))
        layout = read_layout(tags, is_big_endian=header.is_big_endian)
        places = None
        if layout is not None and layout.tile_count > tiles_left:
            detail = f"it would have {layout.tile_count} tiles; at most {MAX_TILES} in a file are checked"
            log.add(Fault(FaultKind.TILE_LIMIT, detail, parsed.number))
        elif layout is not None:
            places = read_tiles(tags, layout)
        offsets, sizes = places or (np.empty(0, np.uint64), np.empty(0, np.uint64))
        tiles_left -= len(offsets)
        found.append(
            MeasuredDirectory(
                parsed.number, Extent(parsed.offset_bytes, parsed.length_bytes), Role(RoleKind.OTHER, None),
                subfile_type, layout, _outside(parsed, arrays=False), _outside(parsed, arrays=True), offsets, sizes,
            )
        )  # fmt: skip
    pixels = [None if one.layout is None else (one.layout.width_px, one.layout.height_px) for one in found]
    roles = roles_of([(one.subfile_type, size) for one, size in zip(found, pixels, strict=True)])
    return tuple(replace(one, role=role) for one, role in zip(found, roles, strict=True))


def _outside(directory: ParsedDirectory, *, arrays: bool) -> tuple[Extent, ...]:
    """Return the extents of values outside of their entries: those of tile arrays, or all others."""
    return tuple(
        Extent(entry.offset_bytes, entry.length_bytes)
        for entry in directory.entries.values()
        if entry.is_readable and not entry.is_inline and (entry.number in _ARRAY_TAGS) is arrays
    )


def roles_of(directories: Sequence[tuple[int, tuple[int, int] | None]]) -> list[Role]:
    """Return the role of each directory, of which NewSubfileType and (width, height), if known, are passed in order.

    The rule is that of GDAL's GTiff driver: the first directory is the raster, images of reduced resolution are its
    overviews, and a mask belongs to the image of its size (TIFF 6.0, section 8, NewSubfileType).

    Example:
        >>> roles = roles_of([(0, (900, 600)), (4, (900, 600)), (1, (450, 300)), (5, (450, 300))])
        >>> [(role.kind.value, role.level) for role in roles]
        [('image', 0), ('mask', 0), ('image', 1), ('mask', 1)]
    """
    roles = [Role(RoleKind.OTHER, None) for _ in directories]
    unmasked: dict[tuple[int, int], int] = {}  # levels by their sizes
    level = 0
    for number, (subfile_type, size) in enumerate(directories):
        if number == 0 or (subfile_type & REDUCED and not subfile_type & MASK):
            roles[number] = Role(RoleKind.IMAGE, level)
            if size is not None:
                unmasked.setdefault(size, level)
            level += 1
    for number, (subfile_type, size) in enumerate(directories):
        if number and subfile_type & MASK:
            roles[number] = Role(RoleKind.MASK, None if size is None else unmasked.pop(size, None))
    return roles
