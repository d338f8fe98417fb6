"""Layout of a Cloud Optimized GeoTIFF: offsets of header, directories, tag arrays and tiles. Pure.

A file reads, from its first byte::

    header | GDAL's ghost area | directories, full resolution first | tile arrays, smallest overview first |
    tiles of the smallest overview | ... | tiles of the full resolution

A tiled GeoTIFF that is not a COG has neither the ghost area nor frames around its tiles, which every program that
edits it would have to keep up to date.

The first few kilobytes hold all directories and the arrays of every overview. The long arrays of the full resolution
come last in the header, since opening a file does not need them.

References:
    TIFF 6.0, sections 2 and 15; OGC 21-026 (Cloud Optimized GeoTIFF 1.0), section 7; GDAL's COG driver page, "Header
    ghost area" and "Tile data leader and trailer".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from georeader._tiff import directories as tiff
from georeader._tiff.directories import BIG, CLASSIC, Tag, TagNumber, TagType, Version
from georeader.errors import OptionError

#: Leader of a tile of a COG, its length; and trailer, its last four bytes repeated (GDAL).
LEADER_BYTES, TRAILER_BYTES = 4, 4
FRAME_BYTES = LEADER_BYTES + TRAILER_BYTES

#: From this size on, IF_SAFER gives BigTIFF, since some readers hold offsets in signed 32-bit integers.
SAFE_FILE_BYTES = 2**31


@dataclass(frozen=True)
class Directory:
    """An image file directory (IFD) to be written."""

    level: int
    is_mask: bool
    tags: tuple[Tag, ...]  #: All but the tile arrays.
    tile_count: int  #: Planes of bands included.


class TileArrays(NamedTuple):
    """Offsets and sizes of the tiles of one directory; both are 0 for a sparse tile."""

    offsets_bytes: Sequence[int] | NDArray[np.integer[Any]]
    sizes_bytes: Sequence[int] | NDArray[np.integer[Any]]


@dataclass(frozen=True)
class HeaderLayout:
    """The header of a file. Its size is known before any tile is written, its content after all tiles are."""

    version: Version
    ghost: bytes  #: GDAL's structural metadata; empty where the file has none.
    directories: tuple[Directory, ...]
    most_bytes: int = 0  #: Upper limit of the file size, which decides the width of tile offsets.
    is_big_endian: bool = False  #: As the samples in its tiles are.

    @property
    def size_bytes(self) -> int:
        """Length of the header, up to where tiles may begin."""
        return self._positions[2]

    def pack(self, arrays: Sequence[TileArrays]) -> bytes:
        """Return the header; ``arrays`` has one item for each directory, in their order."""
        starts, values, size_bytes = self._positions
        header = bytearray(size_bytes)
        version = self.version.big_endian() if self.is_big_endian else self.version
        first = tiff.pack_header(starts[0], version) + self.ghost
        header[: len(first)] = first
        for number, directory in enumerate(self.directories):
            pairs = zip(self._array_types, arrays[number], strict=True)
            tags = (*directory.tags, *(tiff.make_array_tag(*kind, array) for kind, array in pairs))
            entries = [(tag, values.get((number, tag.number))) for tag in tags]
            following = starts[number + 1] if number + 1 < len(starts) else 0
            packed = tiff.pack_directory(entries, following, version)
            header[starts[number] : starts[number] + len(packed)] = packed
            for tag, offset_bytes in entries:
                if offset_bytes is not None:
                    header[offset_bytes : offset_bytes + len(tag.data)] = tiff.stored_data(tag, version)
        return bytes(header)

    @property
    def _array_types(self) -> tuple[tuple[TagNumber, TagType], ...]:
        """Types of a fixed width for offsets and sizes: the header's size must not depend on the tiles."""
        is_wide = self.version is BIG and self.most_bytes > CLASSIC.max_file_bytes
        offsets = TagType.LONG8 if is_wide else TagType.LONG
        return (TagNumber.TILE_OFFSETS, offsets), (TagNumber.TILE_BYTE_COUNTS, TagType.LONG)

    @cached_property
    def _positions(self) -> tuple[list[int], dict[tuple[int, int], int], int]:
        """Return the offsets of directories, the offsets of values by (directory, tag), and the end of the header."""
        version = self.version
        ghost_end = version.header_bytes + len(self.ghost)
        position = ghost_end + ghost_end % 2  # where GDAL's validator expects the first directory, in BigTIFF too
        starts: list[int] = []
        values: dict[tuple[int, int], int] = {}
        arrays: list[tuple[int, int, Tag]] = []
        for number, directory in enumerate(self.directories):
            tile_tags = [
                Tag(tag, tag_type, bytes(directory.tile_count * tiff.TYPE_BYTES[tag_type]))
                for tag, tag_type in self._array_types
            ]
            starts.append(position)
            position += tiff.directory_bytes(len(directory.tags) + len(tile_tags), version)
            for tag in directory.tags:
                if not tiff.is_inline(tag, version):
                    position = _aligned(position, version)
                    values[number, tag.number] = position
                    position += len(tag.data)
            position = _aligned(position, version)
            arrays += [(directory.level, number, tag) for tag in tile_tags if not tiff.is_inline(tag, version)]
        for _, number, tag in sorted(arrays, key=lambda item: (-item[0], item[1])):
            values[number, tag.number] = position
            position = _aligned(position + len(tag.data), version)
        return starts, values, position


def ghost_area(*, is_band_interleaved: bool, masks_follow_tiles: bool) -> bytes:
    """Return GDAL's structural metadata, by which GDAL reads tiles without their arrays."""
    text = "LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\n"
    text += "BLOCK_LEADER=SIZE_AS_UINT4\nBLOCK_TRAILER=LAST_4_BYTES_REPEATED\n"
    text += "INTERLEAVE=BAND\n" if is_band_interleaved else ""
    # The blank leaves room for "YES": a program that breaks the layout has to declare it in place.
    text += "KNOWN_INCOMPATIBLE_EDITION=NO\n "
    text += "MASK_INTERLEAVED_WITH_IMAGERY=YES\n" if masks_follow_tiles else ""
    return f"GDAL_STRUCTURAL_METADATA_SIZE={len(text):06d} bytes\n{text}".encode("ascii")


def framed(tile: bytes) -> tuple[bytes, bytes, bytes]:
    """Return leader, tile and trailer; the offset of a tile is that of the middle part."""
    return struct.pack("<I", len(tile)), tile, tile[-TRAILER_BYTES:].rjust(TRAILER_BYTES, b"\0")


def possible_versions(bigtiff: str, least_bytes: int, most_bytes: int) -> tuple[Version, ...]:
    """Return the versions that a file may have, if only a range of its size is known; errors are `check_size`'s."""
    sizes = (least_bytes,) if bigtiff == "NO" else (least_bytes, most_bytes)
    return tuple(dict.fromkeys(version_for(bigtiff, size_bytes) for size_bytes in sizes))


def version_for(bigtiff: str, size_bytes: int) -> Version:
    """Return the version of a file of a known size; BIGTIFF is "YES", "NO", "IF_NEEDED" or "IF_SAFER"."""
    check_size(bigtiff, size_bytes)
    limit = SAFE_FILE_BYTES if bigtiff == "IF_SAFER" else CLASSIC.max_file_bytes + 1
    is_big = bigtiff == "YES" or (bigtiff != "NO" and size_bytes >= limit)
    return BIG if is_big else CLASSIC


def check_size(bigtiff: str, size_bytes: int) -> None:
    """Raise OptionError if BIGTIFF=NO and the file is too long for classic TIFF."""
    if bigtiff == "NO" and size_bytes > CLASSIC.max_file_bytes:
        raise OptionError(
            f"profile_arg['BIGTIFF']='NO', but the file takes more than {CLASSIC.max_file_bytes} bytes (at least "
            f"{size_bytes}), which only BigTIFF can address; drop the option, or compress more"
        )


def _aligned(position: int, version: Version) -> int:
    return -(-position // version.alignment_bytes) * version.alignment_bytes
