"""TIFF and BigTIFF as bytes: tags, directories, the file header. Pure: values in, bytes out, and back.

One small table, `CLASSIC` and `BIG`, holds every width in which the two differ, so that nothing else asks which of
them it is. Files are little-endian ("II") on every machine.

References:
    TIFF 6.0, section 2 (structure, types, tags); Adobe Photoshop TIFF Technical Notes for sub-file types; the
    BigTIFF design (8-byte offsets, version 43).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader.errors import WriteError

#: Reads (offset, length) of a file.
Read = Callable[[int, int], bytes]


class TagType(IntEnum):
    """Field types (TIFF 6.0, section 2; LONG8 and following: BigTIFF)."""

    BYTE = 1
    ASCII = 2
    SHORT = 3
    LONG = 4
    RATIONAL = 5
    SBYTE = 6
    UNDEFINED = 7
    SSHORT = 8
    SLONG = 9
    SRATIONAL = 10
    FLOAT = 11
    DOUBLE = 12
    LONG8 = 16


class TagNumber(IntEnum):
    """The tags that this project speaks of; others are carried along by their numbers."""

    NEW_SUBFILE_TYPE = 254
    IMAGE_WIDTH = 256
    IMAGE_LENGTH = 257
    BITS_PER_SAMPLE = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    STRIP_OFFSETS = 273
    SAMPLES_PER_PIXEL = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTE_COUNTS = 279
    PLANAR_CONFIGURATION = 284
    PREDICTOR = 317
    COLOR_MAP = 320
    TILE_WIDTH = 322
    TILE_LENGTH = 323
    TILE_OFFSETS = 324
    TILE_BYTE_COUNTS = 325
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339
    JPEG_TABLES = 347
    YCBCR_SUBSAMPLING = 530
    REFERENCE_BLACK_WHITE = 532
    XMP = 700
    MODEL_PIXEL_SCALE = 33550
    MODEL_TIEPOINT = 33922
    MODEL_TRANSFORMATION = 34264
    GDAL_METADATA = 42112
    GDAL_NODATA = 42113


#: struct's letter of one number, and how many of them make one value.
_FORMATS: Mapping[int, tuple[str, int]] = {
    TagType.BYTE: ("B", 1),
    TagType.ASCII: ("s", 1),
    TagType.SHORT: ("H", 1),
    TagType.LONG: ("I", 1),
    TagType.RATIONAL: ("I", 2),
    TagType.SBYTE: ("b", 1),
    TagType.UNDEFINED: ("s", 1),
    TagType.SSHORT: ("h", 1),
    TagType.SLONG: ("i", 1),
    TagType.SRATIONAL: ("i", 2),
    TagType.FLOAT: ("f", 1),
    TagType.DOUBLE: ("d", 1),
    TagType.LONG8: ("Q", 1),
}


@dataclass(frozen=True)
class Version:
    """Every width in which classic TIFF and BigTIFF differ.

    Attributes:
        name: For messages.
        header_format: struct format of the file header.
        header_fields: What stands in it before the offset of the first directory.
        count_format: Number of entries of a directory.
        entry_format: One entry up to its value: tag, type, count of values.
        offset_format: An offset in the file, and so the room for a value in its entry.
        alignment_bytes: Directories and values begin at multiples of it.
        max_file_bytes: Largest file that its offsets reach.
    """

    name: str
    header_format: str
    header_fields: tuple[Any, ...]
    count_format: str
    entry_format: str
    offset_format: str
    alignment_bytes: int
    max_file_bytes: int

    @cached_property
    def header_bytes(self) -> int:
        """Length of the file header."""
        return struct.calcsize(self.header_format)

    @cached_property
    def inline_bytes(self) -> int:
        """A value of up to so many bytes stands in its entry."""
        return struct.calcsize(self.offset_format)

    @cached_property
    def entry_bytes(self) -> int:
        """Length of a directory's entry."""
        return struct.calcsize(self.entry_format) + self.inline_bytes


CLASSIC = Version("classic TIFF", "<2sHI", (b"II", 42), "<H", "<HHI", "<I", 2, 2**32 - 1)
BIG = Version("BigTIFF", "<2sHHHQ", (b"II", 43, 8, 0), "<Q", "<HHQ", "<Q", 8, 2**63 - 1)


@dataclass(frozen=True)
class Tag:
    """One entry of a directory.

    Attributes:
        number: The tag.
        type: A `TagType`.
        data: The values, packed little-endian.
    """

    number: int
    type: int
    data: bytes

    @property
    def count(self) -> int:
        """Number of values, as the entry says it."""
        return len(self.data) // type_bytes(self.type)

    @property
    def values(self) -> tuple[Any, ...]:
        """The values: numbers (two for each rational), or one bytes object."""
        letter, per_value = _FORMATS[self.type]
        if letter == "s":
            return (self.data,)
        return struct.unpack(f"<{self.count * per_value}{letter}", self.data)


#: Length of one value of each type.
_TYPE_BYTES = {
    tag_type: struct.calcsize("<" + letter) * per_value for tag_type, (letter, per_value) in _FORMATS.items()
}


def type_bytes(tag_type: int) -> int:
    """Give the length of one value of a type."""
    return _TYPE_BYTES[tag_type]


def make_tag(number: int, tag_type: int, *values: Any) -> Tag:
    r"""Pack a tag.

    Args:
        number: The tag.
        tag_type: A `TagType`.
        values: Numbers (numerator and denominator of each rational), or one bytes object; ASCII ends in NUL.

    Raises:
        WriteError: A value does not fit the type.

    Example:
        >>> make_tag(TagNumber.TILE_WIDTH, TagType.SHORT, 256).data
        b'\x00\x01'
    """
    letter, _ = _FORMATS[tag_type]
    if letter == "s":
        return Tag(number, tag_type, bytes(values[0]))
    try:
        return Tag(number, tag_type, struct.pack(f"<{len(values)}{letter}", *values))
    except struct.error as error:
        raise WriteError(f"TIFF tag {number} can't hold {values[:8]}: {error}") from error


def make_array_tag(number: int, tag_type: int, values: Sequence[int] | NDArray[np.integer[Any]]) -> Tag:
    r"""Pack a tag of many whole numbers.

    Args:
        number: The tag.
        tag_type: LONG or LONG8.
        values: None of them negative.

    Raises:
        WriteError: A value does not fit the type.

    Example:
        >>> make_array_tag(TagNumber.TILE_OFFSETS, TagType.LONG, [1, 2]).data
        b'\x01\x00\x00\x00\x02\x00\x00\x00'
    """
    dtype = np.dtype("<u8" if tag_type == TagType.LONG8 else "<u4")
    numbers = np.asarray(values, np.int64)
    if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) <= np.iinfo(dtype).max:
        raise WriteError(f"TIFF tag {number} can't hold {numbers.min()} to {numbers.max()}")
    return Tag(number, tag_type, numbers.astype(dtype).tobytes())


def size_tag(number: int, value: int) -> Tag:
    """Pack a size in the smaller of SHORT and LONG that holds it."""
    return make_tag(number, TagType.SHORT if value < 2**16 else TagType.LONG, value)


def directory_bytes(tag_count: int, version: Version) -> int:
    """Give the length of a directory with its entries, without the values that lie outside."""
    return (
        struct.calcsize(version.count_format) + tag_count * version.entry_bytes + struct.calcsize(version.offset_format)
    )


def is_inline(tag: Tag, version: Version) -> bool:
    """Whether a tag's value stands in its entry."""
    return len(tag.data) <= version.inline_bytes


def pack_directory(entries: Iterable[tuple[Tag, int | None]], next_offset_bytes: int, version: Version) -> bytes:
    """Pack a directory.

    Args:
        entries: Tags, each with the offset of its value, or None where it stands inline. Any order.
        next_offset_bytes: Where the next directory lies; 0: there is none.
        version: CLASSIC or BIG.
    """
    ordered = sorted(entries, key=lambda entry: entry[0].number)
    parts = [struct.pack(version.count_format, len(ordered))]
    for tag, offset_bytes in ordered:
        parts.append(struct.pack(version.entry_format, tag.number, tag.type, tag.count))
        if offset_bytes is None:
            parts.append(tag.data.ljust(version.inline_bytes, b"\0"))
        else:
            parts.append(struct.pack(version.offset_format, offset_bytes))
    parts.append(struct.pack(version.offset_format, next_offset_bytes))
    return b"".join(parts)


def pack_header(first_directory_offset_bytes: int, version: Version) -> bytes:
    """Pack the file header."""
    return struct.pack(version.header_format, *version.header_fields, first_directory_offset_bytes)


@dataclass(frozen=True)
class Entry:
    """One entry of a directory that is read; its values are read when they are asked for.

    Attributes:
        number: The tag.
        type: A `TagType`, or a number that is none.
        count: Number of values.
        offset_bytes: Where the values lie in the file.
        file: The file.
    """

    number: int
    type: int
    count: int
    offset_bytes: int
    file: _File

    def data(self) -> bytes:
        """Return the values as they are in the file; nothing for a type that TIFF does not have."""
        return self.file.read(self.offset_bytes, _TYPE_BYTES.get(self.type, 0) * self.count)

    def numbers(self) -> NDArray[np.unsignedinteger[Any]]:
        """Return the values of a tag of unsigned integers.

        Raises:
            ValueError: The file ends before the last value, or they are of another type.
        """
        letter, _ = _FORMATS.get(self.type, ("", 1))
        if letter not in ("B", "H", "I", "Q"):
            raise ValueError(f"tag {self.number} is of type {self.type}, which is not one of unsigned integers")
        return np.frombuffer(self.data(), np.dtype(self.file.order + letter), self.count)


@dataclass(frozen=True)
class _File:
    """A TIFF's bytes, and how its numbers are written."""

    read: Read
    version: Version
    order: str

    def unpack(self, form: str, offset_bytes: int) -> tuple[Any, ...]:
        form = form.replace("<", self.order)
        return struct.unpack(form, self.read(offset_bytes, struct.calcsize(form)))


def read_directories(read: Read) -> Iterator[dict[int, Entry]]:
    """Iterate over the directories of a TIFF or BigTIFF of either byte order, by the numbers of their tags.

    Meant for files that are as TIFF asks: a chain of directories that comes back to an earlier one is not noticed.
    Validation has a reader of its own, which reports faults.

    Args:
        read: Returns so many bytes of the file from an offset on, fewer at its end.

    Raises:
        struct.error: The file ends too early.
        ValueError: The bytes are not those of a TIFF.
    """
    magic = read(0, 4)
    order = {b"II": "<", b"MM": ">"}.get(magic[:2])
    number = struct.unpack(f"{order}H", magic[2:])[0] if order else None
    version = {42: CLASSIC, 43: BIG}.get(number or 0)
    if order is None or version is None:
        raise ValueError(f"a TIFF does not begin with {magic!r}")
    file = _File(read, version, order)
    offset_bytes = file.unpack(version.header_format, 0)[-1]
    while offset_bytes:
        (count,) = file.unpack(version.count_format, offset_bytes)
        offset_bytes += struct.calcsize(version.count_format)
        entries = (_read_entry(file, offset_bytes + position * version.entry_bytes) for position in range(count))
        yield {entry.number: entry for entry in entries}
        (offset_bytes,) = file.unpack(version.offset_format, offset_bytes + count * version.entry_bytes)


def _read_entry(file: _File, entry_bytes: int) -> Entry:
    number, tag_type, count = file.unpack(file.version.entry_format, entry_bytes)
    place_bytes = entry_bytes + struct.calcsize(file.version.entry_format)
    if _TYPE_BYTES.get(tag_type, 0) * count > file.version.inline_bytes:
        (place_bytes,) = file.unpack(file.version.offset_format, place_bytes)
    return Entry(number, tag_type, count, place_bytes, file)


def read_first_directory(data: bytes) -> tuple[Tag, ...]:
    """Read the tags of the first directory of a little-endian classic TIFF that lies in memory.

    Meant for the small files that this project makes itself; types that it does not know are skipped.

    Raises:
        WriteError: The bytes are not such a file.
    """
    if len(data) >= 4 and struct.unpack_from("<2sH", data) != CLASSIC.header_fields:
        raise WriteError(f"a TIFF made by GDAL begins with {data[:4]!r}, not with a little-endian classic header")
    try:
        first = next(read_directories(reader_of(data)))
    except struct.error as error:
        raise WriteError(f"a TIFF made by GDAL ends too early: {error}") from error
    return tuple(Tag(entry.number, entry.type, entry.data()) for entry in first.values() if entry.type in _FORMATS)


def reader_of(data: bytes | mmap.mmap) -> Read:
    """Return a function that reads (offset, length) of bytes in memory."""
    return lambda offset_bytes, length_bytes: data[offset_bytes : offset_bytes + length_bytes]
