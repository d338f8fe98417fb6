"""Parser of the headers and directories of TIFF and BigTIFF files, in either byte order.

Every number is checked against the size of the file before it is used: for any bytes, at most
`MAX_DIRECTORIES` times `MAX_TAGS` entries are read, and none beyond the end of the file. By default a fault that hides
a directory raises `MalformedTiffError`. A caller that passes ``report`` gets every fault, and the directories
that can be read.

References:
    TIFF 6.0, section 2; the BigTIFF design.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from georeader._tiff.directories import BIG, CLASSIC, TYPE_BYTES, UNSIGNED_TYPES, Tag, Version, directory_bytes
from georeader.errors import WriteError

#: Longest chain of directories that is followed; a pyramid has about ten.
MAX_DIRECTORIES = 512

#: Largest directory that is read. libtiff has the same limit for BigTIFF.
MAX_TAGS = 4096


class FaultKind(StrEnum):
    """Faults of single parts of a file; the values are codes of problems in `georeader.validation`."""

    # Header and directories: what this parser reports.
    NOT_A_TIFF = "not-a-tiff"
    DIRECTORY_MISSING = "directory-missing"
    DIRECTORY_OUT_OF_FILE = "directory-out-of-file"
    DIRECTORY_LOOP = "directory-loop"
    DIRECTORY_OVERLAP = "directory-overlap"
    DIRECTORY_LIMIT = "directory-limit"
    TAG_LIMIT = "tag-limit"
    TAG_ORDER = "tag-order"
    TAG_TYPE = "tag-type"
    TAG_OUT_OF_FILE = "tag-out-of-file"
    # Values of tags, GDAL's structural metadata, and tiles: what validation finds.
    TAG_MISSING = "tag-missing"
    TAG_VALUE = "tag-value"
    GHOST_MALFORMED = "ghost-malformed"
    GHOST_UNKNOWN = "ghost-unknown"
    TILE_COUNT = "tile-count"
    TILE_LIMIT = "tile-limit"
    TILE_LEADER = "tile-leader"
    TILE_TRAILER = "tile-trailer"
    TILE_SIZE = "tile-size"
    TILE_DECODE = "tile-decode"
    TILE_NOT_DECODED = "tile-not-decoded"


@dataclass(frozen=True)
class Fault:
    """A fault of a single part of a file; its place is None where it has none."""

    kind: FaultKind
    detail: str  #: Text for messages.
    directory: int | None = None  #: Number in the chain, from 0.
    tag: int | None = None
    tile: int | None = None  #: Number in its directory.
    offset_bytes: int | None = None
    more: int = 0  #: Number of further faults of this kind in this directory.


class MalformedTiffError(ValueError):
    """Bytes that are not a TIFF, or whose directories cannot be read."""


#: Called with each fault.
Report = Callable[[Fault], None]


class TiffBytes(Protocol):
    """The bytes of a file of known size."""

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        ...

    def read_at(self, offset_bytes: int, length_bytes: int, /) -> bytes:
        """Return exactly ``length_bytes`` bytes from an offset on; all of them lie inside the file."""


class BytesInMemory:
    """`TiffBytes` of a bytes object or a mapped file."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self.size_bytes = len(data)
        self._data = data

    def read_at(self, offset_bytes: int, length_bytes: int, /) -> bytes:
        """Return a slice of the data."""
        return self._data[offset_bytes : offset_bytes + length_bytes]


@dataclass(frozen=True)
class Header:
    """The file header."""

    version: Version  #: CLASSIC or BIG, with the formats of the file's byte order.
    is_big_endian: bool
    first_offset_bytes: int  #: Of the first directory.
    size_bytes: int  #: Of the whole file.

    @property
    def byte_order(self) -> str:
        """The prefix of struct's and numpy's formats, "<" or ">"."""
        return ">" if self.is_big_endian else "<"


@dataclass(frozen=True)
class Entry:
    """An entry of a directory; its values are read on request."""

    number: int
    type: int  #: Number of a type, which may be unknown.
    count: int
    offset_bytes: int  #: Of the values in the file.
    is_inline: bool  #: The values are stored in the entry.
    is_readable: bool  #: The type is known, and all values lie inside the file.
    header: Header
    file: TiffBytes

    @property
    def length_bytes(self) -> int:
        """Length of all values; 0 for an unknown type."""
        return TYPE_BYTES.get(self.type, 0) * self.count

    def data(self) -> bytes:
        """Return the values as they are stored; nothing where they are not readable."""
        return self.file.read_at(self.offset_bytes, self.length_bytes) if self.is_readable else b""

    def tag(self) -> Tag:
        """Return the tag of a known type as the writer takes it; raise MalformedTiffError if it is not readable."""
        if not self.is_readable:
            raise MalformedTiffError(f"tag {self.number} of type {self.type} cannot be read")
        stored = Tag(self.number, self.type, self.data())
        return stored.swapped() if self.header.is_big_endian else stored

    def numbers(self) -> NDArray[np.unsignedinteger[Any]]:
        """Return the values of a tag of unsigned integers; raise MalformedTiffError if they are not readable ones."""
        if not self.is_readable or self.type not in UNSIGNED_TYPES:
            raise MalformedTiffError(
                f"tag {self.number} of type {self.type} has no {self.count} unsigned integers inside the file"
            )
        return np.frombuffer(self.data(), np.dtype(self.header.byte_order + UNSIGNED_TYPES[self.type]))


@dataclass(frozen=True)
class ParsedDirectory:
    """A directory of a file."""

    number: int  #: In the chain, from 0.
    offset_bytes: int
    length_bytes: int  #: With all entries, without values outside of them.
    entries: Mapping[int, Entry]  #: By tag; of two with the same tag, the first.

    @property
    def end_bytes(self) -> int:
        """Offset of the first byte behind it."""
        return self.offset_bytes + self.length_bytes


def refuse(fault: Fault) -> None:
    """Raise MalformedTiffError for a fault that hides a directory; faults of tags show when their values are read."""
    if fault.tag is None:
        place = "" if fault.directory is None else f"IFD {fault.directory}: "
        raise MalformedTiffError(f"{place}{fault.detail}")


def read_header(file: TiffBytes, report: Report = refuse) -> Header | None:
    """Read the file header; None, with a report, if the file is not a TIFF."""
    start = file.read_at(0, min(file.size_bytes, BIG.header_bytes))
    is_big_endian = start[:2] == b"MM"
    number = int.from_bytes(start[2:4], "big" if is_big_endian else "little")
    versions = (CLASSIC, BIG) if start[:2] in (b"II", b"MM") else ()
    known = next((one for one in versions if one.header_fields[1] == number), None)
    if known is None:
        reason = f"it begins with {start[:4]!r}, not as a TIFF does" if start else "it is empty"
    elif len(start) < known.header_bytes:
        reason = f"it ends within the header, after {len(start)} bytes"
    else:
        version = known.big_endian() if is_big_endian else known
        fields = struct.unpack_from(version.header_format, start)
        if fields[2:-1] == known.header_fields[2:]:
            return Header(version, is_big_endian, fields[-1], file.size_bytes)
        reason = f"its header says that offsets have {fields[2]} bytes, where BigTIFF has 8"
    report(Fault(FaultKind.NOT_A_TIFF, reason, offset_bytes=0))
    return None


def read_directories(
    file: TiffBytes, header: Header | None = None, report: Report = refuse
) -> Iterator[ParsedDirectory]:
    """Iterate over the chain of directories, up to its end or to the first one that cannot be read.

    The header is read first if it is not passed. Memory: the entries.
    """
    header = read_header(file, report) if header is None else header
    if header is None:
        return
    offset_bytes = header.first_offset_bytes
    if not offset_bytes:
        report(Fault(FaultKind.DIRECTORY_MISSING, "the header names no directory (IFD)", offset_bytes=0))
    found: list[ParsedDirectory] = []
    version = header.version
    while offset_bytes:
        fault = _fault_of_directory(file, offset_bytes, header, found)
        if fault is not None:
            report(fault)
            return
        count = _number(file, offset_bytes, version.count_format)
        entries = _read_entries(file, offset_bytes, count, header, len(found), report)
        directory = ParsedDirectory(len(found), offset_bytes, directory_bytes(count, version), entries)
        found.append(directory)
        yield directory
        offset_bytes = _number(file, directory.end_bytes - version.inline_bytes, version.offset_format)


def read_first_tags(data: bytes) -> tuple[Tag, ...]:
    """Read the tags of known types in the first directory of a small little-endian classic TIFF that GDAL made."""
    if len(data) >= 4 and struct.unpack_from("<2sH", data) != CLASSIC.header_fields:
        raise WriteError(f"a TIFF made by GDAL begins with {data[:4]!r}, not with a little-endian classic header")
    try:
        first = next(read_directories(BytesInMemory(data)))
    except MalformedTiffError as error:
        raise WriteError(f"a TIFF made by GDAL cannot be read: {error}") from error
    return tuple(Tag(entry.number, entry.type, entry.data()) for entry in first.entries.values() if entry.is_readable)


def _number(file: TiffBytes, offset_bytes: int, number_format: str) -> int:
    return int(struct.unpack(number_format, file.read_at(offset_bytes, struct.calcsize(number_format)))[0])


def _fault_of_directory(
    file: TiffBytes, offset_bytes: int, header: Header, found: list[ParsedDirectory]
) -> Fault | None:
    """Return why a directory cannot be read, or None."""
    version, past_the_end = header.version, f"past the end of the file ({header.size_bytes} bytes)"
    at = partial(Fault, offset_bytes=offset_bytes)
    here = partial(at, directory=len(found))
    for earlier in found:
        if earlier.offset_bytes == offset_bytes:
            detail = f"the chain of IFDs leads back to IFD {earlier.number}"
            return at(FaultKind.DIRECTORY_LOOP, detail, len(found) - 1)
    if len(found) >= MAX_DIRECTORIES:
        return at(FaultKind.DIRECTORY_LIMIT, f"there are more than {MAX_DIRECTORIES} IFDs; no more are read")
    if offset_bytes < version.header_bytes:
        return here(FaultKind.DIRECTORY_OVERLAP, "it lies in the file header")
    if offset_bytes > header.size_bytes - struct.calcsize(version.count_format):
        return here(FaultKind.DIRECTORY_OUT_OF_FILE, f"it lies {past_the_end}")
    count = _number(file, offset_bytes, version.count_format)
    end_bytes = offset_bytes + directory_bytes(count, version)
    if not 0 < count <= MAX_TAGS:
        return here(FaultKind.TAG_LIMIT, f"it has {count} tags; 1 to {MAX_TAGS} are valid")
    if end_bytes > header.size_bytes:
        return here(FaultKind.DIRECTORY_OUT_OF_FILE, f"its {count} tags reach {past_the_end}")
    for other in found:
        if offset_bytes < other.end_bytes and other.offset_bytes < end_bytes:
            detail = f"it overlaps IFD {other.number} at byte {other.offset_bytes}"
            return here(FaultKind.DIRECTORY_OVERLAP, detail)
    return None


def _read_entries(
    file: TiffBytes, offset_bytes: int, count: int, header: Header, directory: int, report: Report
) -> Mapping[int, Entry]:
    version, order = header.version, header.byte_order
    start, width = offset_bytes + struct.calcsize(version.count_format), version.inline_bytes
    row = np.dtype([("number", f"{order}u2"), ("type", f"{order}u2"), ("count", f"{order}u{width}"),
                    ("value", f"{order}u{width}")])  # fmt: skip
    table = np.frombuffer(file.read_at(start, count * version.entry_bytes), row)
    entries: dict[int, Entry] = {}
    last = -1
    for position, (tag, tag_type, value_count, value) in enumerate(table.tolist()):
        at = start + position * version.entry_bytes
        fault = partial(Fault, directory=directory, tag=tag, offset_bytes=at)
        if tag <= last:
            report(fault(FaultKind.TAG_ORDER, f"tag {tag} stands after tag {last}; tags ascend, each once"))
        last = tag
        length_bytes = TYPE_BYTES.get(tag_type, 0) * value_count
        is_inline = length_bytes <= width
        place = at + version.entry_bytes - width if is_inline else value
        is_readable = tag_type in TYPE_BYTES and place <= header.size_bytes - length_bytes
        if tag_type not in TYPE_BYTES:
            report(fault(FaultKind.TAG_TYPE, f"tag {tag} is of type {tag_type}, which TIFF does not have"))
        elif not is_readable:
            where = f"at byte {value}, past the end of the file ({header.size_bytes} bytes)"
            report(fault(FaultKind.TAG_OUT_OF_FILE, f"tag {tag} has {value_count} values {where}"))
        entries.setdefault(tag, Entry(tag, tag_type, value_count, place, is_inline, is_readable, header, file))
    return entries
