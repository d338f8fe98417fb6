"""Header and directories of a TIFF as they stand in the file, each number doubted until it is known to lie inside.

References:
    TIFF 6.0, section 2; the BigTIFF design.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from georeader._tiff.directories import BIG, CLASSIC, TagNumber, TagType, Version, type_bytes
from georeader.validation.measurement import Extent, Fault, FaultKind, FaultLog

#: A chain of more directories is not followed: a pyramid has some ten.
MAX_DIRECTORIES = 512

#: A directory of more tags is not read: libtiff refuses it too (in BigTIFF).
MAX_TAGS = 4096

#: Lengths of values, by type: those of TIFF 6.0, and offsets of directories and LONG8's relations of BigTIFF.
TYPE_BYTES: Mapping[int, int] = {**{kind: type_bytes(kind) for kind in TagType}, 13: 4, 17: 8, 18: 8}

#: Tags with one value for each tile or strip.
ARRAY_TAGS = frozenset({
    TagNumber.STRIP_OFFSETS, TagNumber.STRIP_BYTE_COUNTS, TagNumber.TILE_OFFSETS, TagNumber.TILE_BYTE_COUNTS
})  # fmt: skip

#: Gives the bytes from one offset to before another; all of them lie in the file.
Read = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Header:
    """The file header.

    Attributes:
        version: CLASSIC or BIG, with the formats of the file's byte order.
        is_big_endian: The byte order is "MM".
        first_offset_bytes: Of the first directory.
        size_bytes: Of the whole file.
    """

    version: Version
    is_big_endian: bool
    first_offset_bytes: int
    size_bytes: int


@dataclass(frozen=True)
class Entry:
    """One entry of a directory.

    Attributes:
        number: The tag.
        type: As it stands there.
        count: Number of values.
        extent: Where the values stand; None: outside of the file, or the type is unknown.
        is_inline: They stand in the entry.
    """

    number: int
    type: int
    count: int
    extent: Extent | None
    is_inline: bool


@dataclass(frozen=True)
class RawDirectory:
    """A directory as it stands in the file.

    Attributes:
        number: In the chain, from 0.
        extent: Of its entries.
        entries: By tag; of two of one tag the first.
    """

    number: int
    extent: Extent
    entries: Mapping[int, Entry]

    def outside(self, *, arrays: bool) -> tuple[Extent, ...]:
        """Give where values stand that are not in their entries: tile arrays, or all others."""
        return tuple(
            entry.extent
            for entry in self.entries.values()
            if entry.extent is not None and not entry.is_inline and (entry.number in ARRAY_TAGS) is arrays
        )


def read_header(read: Read, size_bytes: int, log: FaultLog) -> Header | None:
    """Read the file header; None where it is that of no TIFF.

    Args:
        read: Reads the file.
        size_bytes: Its length.
        log: Takes what is wrong.
    """
    start = read(0, min(size_bytes, BIG.header_bytes))
    is_big_endian = start[:2] == b"MM"
    number = int.from_bytes(start[2:4], "big" if is_big_endian else "little") if start[:2] in (b"II", b"MM") else None
    known = next((one for one in (CLASSIC, BIG) if one.header_fields[1] == number), None)
    reason = None
    if known is None:
        reason = f"it begins with {start[:4]!r}, not as a TIFF does" if start else "it is empty"
    elif len(start) < known.header_bytes:
        reason = f"it ends within the header, after {len(start)} bytes"
    else:
        version = in_order(known, is_big_endian=is_big_endian)
        fields = struct.unpack_from(version.header_format, start)
        if fields[2:-1] == known.header_fields[2:]:
            return Header(version, is_big_endian, fields[-1], size_bytes)
        reason = f"its header says that offsets have {fields[2]} bytes, where BigTIFF has 8"
    log.add(Fault(FaultKind.NOT_A_TIFF, reason, offset_bytes=0))
    return None


def in_order(version: Version, *, is_big_endian: bool) -> Version:
    """Give a version's formats in a byte order."""
    if not is_big_endian:
        return version
    names = ("header_format", "count_format", "entry_format", "offset_format")
    return replace(version, **{name: ">" + getattr(version, name)[1:] for name in names})


def read_directories(read: Read, header: Header, log: FaultLog) -> tuple[RawDirectory, ...]:
    """Follow the chain of directories as far as it makes sense.

    Memory: the entries; time: that of `MAX_DIRECTORIES` times `MAX_TAGS` entries at most, all within the file.
    """
    found: list[RawDirectory] = []
    offset_bytes = header.first_offset_bytes
    if not offset_bytes:
        log.add(Fault(FaultKind.DIRECTORY_MISSING, "the header names no directory (IFD)", offset_bytes=0))
    while offset_bytes:
        fault = _fault_of_place(offset_bytes, header, found)
        count = 0 if fault else _number(read, offset_bytes, header.version.count_format)
        extent = Extent(offset_bytes, _directory_bytes(count, header.version))
        fault = fault or _fault_of_extent(extent, count, header, found)
        if fault is not None:
            log.add(fault)
            break
        found.append(RawDirectory(len(found), extent, _read_entries(read, extent, count, header, len(found), log)))
        following_at = extent.end_bytes - header.version.inline_bytes
        offset_bytes = _number(read, following_at, header.version.offset_format)
    return tuple(found)


def _number(read: Read, offset_bytes: int, number_format: str) -> int:
    data = read(offset_bytes, offset_bytes + struct.calcsize(number_format))
    return int(struct.unpack(number_format, data)[0])


def _directory_bytes(count: int, version: Version) -> int:
    return struct.calcsize(version.count_format) + count * version.entry_bytes + version.inline_bytes


def _fault_of_place(offset_bytes: int, header: Header, found: list[RawDirectory]) -> Fault | None:
    """Look at where a directory is said to begin."""
    number, room = len(found), struct.calcsize(header.version.count_format)
    twin = next((one.number for one in found if one.extent.offset_bytes == offset_bytes), None)
    if twin is not None:
        detail = f"the chain of IFDs leads back to IFD {twin}"
        return Fault(FaultKind.DIRECTORY_LOOP, detail, number - 1, offset_bytes=offset_bytes)
    if number >= MAX_DIRECTORIES:
        detail = f"there are more than {MAX_DIRECTORIES} IFDs; no more are looked at"
        return Fault(FaultKind.DIRECTORY_LIMIT, detail, offset_bytes=offset_bytes)
    if offset_bytes < header.version.header_bytes:
        return Fault(FaultKind.DIRECTORY_OVERLAP, "it lies in the file header", number, offset_bytes=offset_bytes)
    if offset_bytes > header.size_bytes - room:
        detail = f"it lies past the end of the file ({header.size_bytes} bytes)"
        return Fault(FaultKind.DIRECTORY_OUT_OF_FILE, detail, number, offset_bytes=offset_bytes)
    return None


def _fault_of_extent(extent: Extent, count: int, header: Header, found: list[RawDirectory]) -> Fault | None:
    """Look at how long a directory is said to be."""
    number, at = len(found), extent.offset_bytes
    if not 0 < count <= MAX_TAGS:
        return Fault(FaultKind.TAG_LIMIT, f"it has {count} tags; 1 to {MAX_TAGS} make sense", number, offset_bytes=at)
    if extent.end_bytes > header.size_bytes:
        detail = f"its {count} tags reach past the end of the file ({header.size_bytes} bytes)"
        return Fault(FaultKind.DIRECTORY_OUT_OF_FILE, detail, number, offset_bytes=at)
    for other in found:
        if at < other.extent.end_bytes and other.extent.offset_bytes < extent.end_bytes:
            detail = f"it overlaps IFD {other.number} at byte {other.extent.offset_bytes}"
            return Fault(FaultKind.DIRECTORY_OVERLAP, detail, number, offset_bytes=at)
    return None


def _read_entries(
    read: Read, extent: Extent, count: int, header: Header, number: int, log: FaultLog
) -> Mapping[int, Entry]:
    version = header.version
    start = extent.offset_bytes + struct.calcsize(version.count_format)
    order, width = version.entry_format[0], version.inline_bytes
    kind = np.dtype([("number", f"{order}u2"), ("type", f"{order}u2"), ("count", f"{order}u{width}"),
                     ("value", f"{order}u{width}")])  # fmt: skip
    table = np.frombuffer(read(start, start + count * version.entry_bytes), kind)
    entries: dict[int, Entry] = {}
    last = -1
    for position, (tag, tag_type, value_count, value) in enumerate(table.tolist()):
        at = start + position * version.entry_bytes
        if tag <= last:
            detail = f"tag {tag} stands after tag {last}; tags ascend, each once"
            log.add(Fault(FaultKind.TAG_ORDER, detail, number, tag, offset_bytes=at))
        last = tag
        inline_at = at + version.entry_bytes - width
        entry = _entry(tag, tag_type, value_count, value, inline_at, header)
        if entry.extent is None:
            log.add(_fault_of_entry(entry, value, header, number, at))
        entries.setdefault(tag, entry)
    return entries


def _entry(tag: int, tag_type: int, count: int, value: int, inline_at: int, header: Header) -> Entry:
    length = TYPE_BYTES.get(tag_type, 0) * count
    is_inline = length <= header.version.inline_bytes
    start = inline_at if is_inline else value
    is_inside = tag_type in TYPE_BYTES and start <= header.size_bytes - length
    return Entry(tag, tag_type, count, Extent(start, length) if is_inside else None, is_inline)


def _fault_of_entry(entry: Entry, value: int, header: Header, number: int, at: int) -> Fault:
    if entry.type not in TYPE_BYTES:
        detail = f"tag {entry.number} is of type {entry.type}, which TIFF does not have"
        return Fault(FaultKind.TAG_TYPE, detail, number, entry.number, offset_bytes=at)
    detail = (
        f"tag {entry.number} has {entry.count} values at byte {value}, past the end of the file "
        f"({header.size_bytes} bytes)"
    )
    return Fault(FaultKind.TAG_OUT_OF_FILE, detail, number, entry.number, offset_bytes=at)
