"""Parser of the headers and directories of TIFF and BigTIFF files, in either byte order.

Every number is checked against the size of the file before it is used: whatever the bytes are, at most
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
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from georeader._tiff.directories import BIG, CLASSIC, TYPE_BYTES, UNSIGNED_TYPES, Tag, Version, directory_bytes
from georeader.errors import WriteError

#: Longest chain of directories that is followed; a pyramid has about ten.
MAX_DIRECTORIES = 512

#: Largest directory that is read. libtiff has the same limit for BigTIFF.
MAX_TAGS = 4096


class FaultCode(StrEnum):
    """Faults of headers and directories; the values are those of `georeader.validation.measurement.FaultKind`."""

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


#: Faults of single tags, which do not hide the others.
_OF_SINGLE_TAGS = frozenset({FaultCode.TAG_ORDER, FaultCode.TAG_TYPE, FaultCode.TAG_OUT_OF_FILE})


@dataclass(frozen=True)
class StructureFault:
    """A fault of a header or directory.

    Attributes:
        code: Kind of the fault.
        detail: Text for messages.
        directory: Number of the directory in the chain, from 0, or None.
        tag: Number of the tag, or None.
        offset_bytes: Place in the file, or None.
    """

    code: FaultCode
    detail: str
    directory: int | None = None
    tag: int | None = None
    offset_bytes: int | None = None


class MalformedTiffError(ValueError):
    """Bytes that are not a TIFF, or whose directories cannot be read."""


#: Called with each fault.
Report = Callable[[StructureFault], None]


class TiffBytes(Protocol):
    """The bytes of a file of known size.

    Attributes:
        size_bytes: Length of the file.
    """

    size_bytes: int

    def read_at(self, offset_bytes: int, length_bytes: int, /) -> bytes:
        """Return exactly ``length_bytes`` bytes from an offset on; all of them lie inside the file."""


class BytesInMemory:
    """`TiffBytes` of a bytes object or a mapped file."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        """Keep a reference to the data."""
        self.size_bytes = len(data)
        self._data = data

    def read_at(self, offset_bytes: int, length_bytes: int, /) -> bytes:
        """Return a slice of the data."""
        return self._data[offset_bytes : offset_bytes + length_bytes]


@dataclass(frozen=True)
class Header:
    """The file header.

    Attributes:
        version: CLASSIC or BIG, with the formats of the file's byte order.
        is_big_endian: The byte order is "MM".
        first_offset_bytes: Offset of the first directory.
        size_bytes: Length of the whole file.
    """

    version: Version
    is_big_endian: bool
    first_offset_bytes: int
    size_bytes: int

    @property
    def byte_order(self) -> str:
        """The prefix of struct's and numpy's formats, "<" or ">"."""
        return ">" if self.is_big_endian else "<"


@dataclass(frozen=True)
class Entry:
    """An entry of a directory; its values are read on request.

    Attributes:
        number: The tag.
        type: The number of a type, which may be unknown.
        count: Number of values.
        offset_bytes: Offset of the values in the file.
        is_inline: The values are stored in the entry.
        is_readable: The type is known, and all values lie inside the file.
        header: Header of the file.
        file: The file.
    """

    number: int
    type: int
    count: int
    offset_bytes: int
    is_inline: bool
    is_readable: bool
    header: Header
    file: TiffBytes

    @property
    def length_bytes(self) -> int:
        """Length of all values; 0 for an unknown type."""
        return TYPE_BYTES.get(self.type, 0) * self.count

    def data(self) -> bytes:
        """Return the values as they are stored; nothing where they are not readable."""
        return self.file.read_at(self.offset_bytes, self.length_bytes) if self.is_readable else b""

    def numbers(self) -> NDArray[np.unsignedinteger[Any]]:
        """Return the values of a tag of unsigned integers.

        Raises:
            MalformedTiffError: They are of another type, or the file ends before the last one.
        """
        if not self.is_readable or self.type not in UNSIGNED_TYPES:
            raise MalformedTiffError(
                f"tag {self.number} of type {self.type} has no {self.count} unsigned integers inside the file"
            )
        return np.frombuffer(self.data(), np.dtype(self.header.byte_order + UNSIGNED_TYPES[self.type]))


@dataclass(frozen=True)
class ParsedDirectory:
    """A directory of a file.

    Attributes:
        number: Position in the chain, from 0.
        offset_bytes: Offset in the file.
        length_bytes: Length with all entries, without values outside of them.
        entries: Entries by tag; of two with the same tag, the first.
    """

    number: int
    offset_bytes: int
    length_bytes: int
    entries: Mapping[int, Entry]

    @property
    def end_bytes(self) -> int:
        """Offset of the first byte behind it."""
        return self.offset_bytes + self.length_bytes


def refuse(fault: StructureFault) -> None:
    """Raise an error for a fault that hides a directory; faults of single tags show when their values are read.

    Raises:
        MalformedTiffError: The fault hides a directory.
    """
    if fault.code not in _OF_SINGLE_TAGS:
        place = "" if fault.directory is None else f"IFD {fault.directory}: "
        raise MalformedTiffError(f"{place}{fault.detail}")


def read_header(file: TiffBytes, report: Report = refuse) -> Header | None:
    """Read the file header.

    Args:
        file: The file.
        report: Receives faults; by default they raise MalformedTiffError.

    Returns:
        The header; None if the file is not a TIFF, which is reported.
    """
    start = file.read_at(0, min(file.size_bytes, BIG.header_bytes))
    is_big_endian = start[:2] == b"MM"
    number = int.from_bytes(start[2:4], "big" if is_big_endian else "little") if start[:2] in (b"II", b"MM") else None
    known = next((one for one in (CLASSIC, BIG) if one.header_fields[1] == number), None)
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
    report(StructureFault(FaultCode.NOT_A_TIFF, reason, offset_bytes=0))
    return None


def read_directories(
    file: TiffBytes, header: Header | None = None, report: Report = refuse
) -> Iterator[ParsedDirectory]:
    """Iterate over the chain of directories, up to its end or to the first one that cannot be read.

    Args:
        file: The file.
        header: Its header; None: it is read first.
        report: Receives faults; by default those that hide a directory raise MalformedTiffError.

    Memory: the entries.
    """
    header = read_header(file, report) if header is None else header
    if header is None:
        return
    offset_bytes = header.first_offset_bytes
    if not offset_bytes:
        report(StructureFault(FaultCode.DIRECTORY_MISSING, "the header names no directory (IFD)", offset_bytes=0))
    found: list[ParsedDirectory] = []
    version = header.version
    while offset_bytes:
        fault = _fault_of_offset(offset_bytes, header, found)
        count = 0 if fault else _number(file, offset_bytes, version.count_format)
        length_bytes = directory_bytes(count, version)
        fault = fault or _fault_of_length(offset_bytes, count, header, found)
        if fault is not None:
            report(fault)
            return
        directory = ParsedDirectory(
            len(found), offset_bytes, length_bytes,
            _read_entries(file, offset_bytes, count, header, len(found), report),
        )  # fmt: skip
        found.append(directory)
        yield directory
        offset_bytes = _number(file, directory.end_bytes - version.inline_bytes, version.offset_format)


def read_first_tags(data: bytes) -> tuple[Tag, ...]:
    """Read the tags of the first directory of a little-endian classic TIFF in memory.

    It is meant for the small files that GDAL makes for this project. Tags of unknown types are skipped.

    Raises:
        WriteError: The bytes are not such a file.
    """
    if len(data) >= 4 and struct.unpack_from("<2sH", data) != CLASSIC.header_fields:
        raise WriteError(f"a TIFF made by GDAL begins with {data[:4]!r}, not with a little-endian classic header")
    try:
        first = next(read_directories(BytesInMemory(data)))
    except MalformedTiffError as error:
        raise WriteError(f"a TIFF made by GDAL cannot be read: {error}") from error
    return tuple(Tag(entry.number, entry.type, entry.data()) for entry in first.entries.values() if entry.is_readable)


def _number(file: TiffBytes, offset_bytes: int, number_format: str) -> int:
    return int(struct.unpack(number_format, file.read_at(offset_bytes, struct.calcsize(number_format)))[0])


def _fault_of_offset(offset_bytes: int, header: Header, found: list[ParsedDirectory]) -> StructureFault | None:
    number = len(found)
    twin = next((one.number for one in found if one.offset_bytes == offset_bytes), None)
    if twin is not None:
        detail = f"the chain of IFDs leads back to IFD {twin}"
        return StructureFault(FaultCode.DIRECTORY_LOOP, detail, number - 1, offset_bytes=offset_bytes)
    if number >= MAX_DIRECTORIES:
        detail = f"there are more than {MAX_DIRECTORIES} IFDs; no more are read"
        return StructureFault(FaultCode.DIRECTORY_LIMIT, detail, offset_bytes=offset_bytes)
    if offset_bytes < header.version.header_bytes:
        detail = "it lies in the file header"
        return StructureFault(FaultCode.DIRECTORY_OVERLAP, detail, number, offset_bytes=offset_bytes)
    if offset_bytes > header.size_bytes - struct.calcsize(header.version.count_format):
        detail = f"it lies past the end of the file ({header.size_bytes} bytes)"
        return StructureFault(FaultCode.DIRECTORY_OUT_OF_FILE, detail, number, offset_bytes=offset_bytes)
    return None


def _fault_of_length(
    offset_bytes: int, count: int, header: Header, found: list[ParsedDirectory]
) -> StructureFault | None:
    number, end_bytes = len(found), offset_bytes + directory_bytes(count, header.version)
    if not 0 < count <= MAX_TAGS:
        detail = f"it has {count} tags; 1 to {MAX_TAGS} are valid"
        return StructureFault(FaultCode.TAG_LIMIT, detail, number, offset_bytes=offset_bytes)
    if end_bytes > header.size_bytes:
        detail = f"its {count} tags reach past the end of the file ({header.size_bytes} bytes)"
        return StructureFault(FaultCode.DIRECTORY_OUT_OF_FILE, detail, number, offset_bytes=offset_bytes)
    for other in found:
        if offset_bytes < other.end_bytes and other.offset_bytes < end_bytes:
            detail = f"it overlaps IFD {other.number} at byte {other.offset_bytes}"
            return StructureFault(FaultCode.DIRECTORY_OVERLAP, detail, number, offset_bytes=offset_bytes)
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
        if tag <= last:
            detail = f"tag {tag} stands after tag {last}; tags ascend, each once"
            report(StructureFault(FaultCode.TAG_ORDER, detail, directory, tag, offset_bytes=at))
        last = tag
        length_bytes = TYPE_BYTES.get(tag_type, 0) * value_count
        is_inline = length_bytes <= width
        place = at + version.entry_bytes - width if is_inline else value
        is_readable = tag_type in TYPE_BYTES and place <= header.size_bytes - length_bytes
        if not is_readable:
            report(_fault_of_entry(tag, tag_type, value_count, value, header, directory, at))
        entries.setdefault(tag, Entry(tag, tag_type, value_count, place, is_inline, is_readable, header, file))
    return entries


def _fault_of_entry(
    tag: int, tag_type: int, count: int, value: int, header: Header, directory: int, offset_bytes: int
) -> StructureFault:
    code, detail = FaultCode.TAG_TYPE, f"tag {tag} is of type {tag_type}, which TIFF does not have"
    if tag_type in TYPE_BYTES:
        code = FaultCode.TAG_OUT_OF_FILE
        detail = f"tag {tag} has {count} values at byte {value}, past the end of the file ({header.size_bytes} bytes)"
    return StructureFault(code, detail, directory, tag, offset_bytes)
