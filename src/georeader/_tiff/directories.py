"""Tables of tags, types and TIFF versions, and the writer of directories. Pure: values in, bytes out.

`CLASSIC` and `BIG` hold every width in which TIFF and BigTIFF differ; nothing else distinguishes the two. Tags
are held little-endian, and files are written so ("II") on every machine, but for those whose tiles were big-endian
("MM") before. `georeader._tiff.parser` reads directories.

References:
    TIFF 6.0, section 2 (structure, types, tags); Adobe Photoshop TIFF Technical Notes for sub-file types; the
    BigTIFF design (8-byte offsets, version 43).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader.errors import WriteError


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
    IFD = 13
    LONG8 = 16
    SLONG8 = 17
    IFD8 = 18


class TagNumber(IntEnum):
    """The tags that this project names; others are copied by their numbers."""

    NEW_SUBFILE_TYPE = 254
    IMAGE_WIDTH = 256
    IMAGE_LENGTH = 257
    BITS_PER_SAMPLE = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
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
    YCBCR_COEFFICIENTS = 529
    YCBCR_SUBSAMPLING = 530
    YCBCR_POSITIONING = 531
    REFERENCE_BLACK_WHITE = 532
    XMP = 700
    MODEL_PIXEL_SCALE = 33550
    MODEL_TIEPOINT = 33922
    MODEL_TRANSFORMATION = 34264
    GEO_KEY_DIRECTORY = 34735
    GEO_DOUBLE_PARAMS = 34736
    GEO_ASCII_PARAMS = 34737
    GDAL_METADATA = 42112
    GDAL_NODATA = 42113
    LERC_PARAMETERS = 50674
    RPC_COEFFICIENTS = 50844

    @property
    def title(self) -> str:
        """The name in messages, such as "TileWidth"."""
        return "".join(part.capitalize() for part in self.name.split("_"))


#: struct's format of one value of each type, in their order.
_FORMATS: Mapping[int, str] = dict(
    zip(TagType, ("B", "s", "H", "I", "II", "b", "s", "h", "i", "ii", "f", "d", "I", "Q", "q", "Q"), strict=True)
)

#: Length of one value of each type.
TYPE_BYTES: Mapping[int, int] = {tag_type: struct.calcsize(f"<{letters}") for tag_type, letters in _FORMATS.items()}

#: numpy's letters of the types that hold unsigned integers.
UNSIGNED_TYPES: Mapping[int, str] = {
    tag_type: letters for tag_type, letters in _FORMATS.items() if letters in ("B", "H", "I", "Q")
}


@dataclass(frozen=True)
class Version:
    """Every width in which classic TIFF and BigTIFF differ; formats are those of struct."""

    name: str
    header_format: str
    header_fields: tuple[Any, ...]  #: Fields of the header before the offset of the first directory.
    count_format: str  #: Of a directory's number of entries.
    entry_format: str  #: Of an entry up to its value: tag, type, count of values.
    offset_format: str  #: Of an offset, and so of an inline value.
    alignment_bytes: int  #: Directories and values begin at multiples of it.
    max_file_bytes: int  #: Largest file that its offsets reach.

    @cached_property
    def header_bytes(self) -> int:
        """Length of the file header."""
        return struct.calcsize(self.header_format)

    @cached_property
    def inline_bytes(self) -> int:
        """Largest value that is stored in its entry."""
        return struct.calcsize(self.offset_format)

    @cached_property
    def entry_bytes(self) -> int:
        """Length of a directory's entry."""
        return struct.calcsize(self.entry_format) + self.inline_bytes

    def big_endian(self) -> Version:
        """Return the same version with the formats of files that begin with "MM"."""
        names = ("header_format", "count_format", "entry_format", "offset_format")
        formats = {name: ">" + getattr(self, name)[1:] for name in names}
        return replace(self, header_fields=(b"MM", *self.header_fields[1:]), **formats)

    @property
    def is_big_endian(self) -> bool:
        """Whether its formats are those of files that begin with "MM"."""
        return self.header_format.startswith(">")


CLASSIC = Version("classic TIFF", "<2sHI", (b"II", 42), "<H", "<HHI", "<I", 2, 2**32 - 1)
BIG = Version("BigTIFF", "<2sHHHQ", (b"II", 43, 8, 0), "<Q", "<HHQ", "<Q", 8, 2**63 - 1)


@dataclass(frozen=True)
class Tag:
    """A tag with its values, as the writer takes it."""

    number: int
    type: int  #: A `TagType`.
    data: bytes  #: The values, packed little-endian.

    @property
    def count(self) -> int:
        """Number of values."""
        return len(self.data) // TYPE_BYTES[self.type]

    @property
    def values(self) -> tuple[Any, ...]:
        """The values: numbers (two for each rational), or one bytes object."""
        letters = _FORMATS[self.type]
        return (self.data,) if letters == "s" else struct.unpack(f"<{self.count * letters}", self.data)

    def swapped(self) -> Tag:
        """Return the tag with the bytes of each value in reverse order."""
        letters = _FORMATS[self.type]
        width_bytes = TYPE_BYTES[self.type] // len(letters)
        if width_bytes == 1:
            return self
        return replace(self, data=np.frombuffer(self.data, f"u{width_bytes}").byteswap().tobytes())


def make_tag(number: int, tag_type: int, *values: Any) -> Tag:
    """Pack a tag of numbers (numerator and denominator of each rational), or of one bytes object; ASCII ends in NUL."""
    letter = _FORMATS[tag_type][0]
    if letter == "s":
        return Tag(number, tag_type, bytes(values[0]))
    try:
        return Tag(number, tag_type, struct.pack(f"<{len(values)}{letter}", *values))
    except struct.error as error:
        raise WriteError(f"TIFF tag {number} cannot hold {values[:8]}: {error}") from error


def make_array_tag(number: int, tag_type: int, values: Sequence[int] | NDArray[np.integer[Any]]) -> Tag:
    """Pack a tag of many unsigned integers, of type LONG or LONG8."""
    dtype = np.dtype("<u8" if tag_type == TagType.LONG8 else "<u4")
    numbers = np.asarray(values, np.int64)
    if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) <= np.iinfo(dtype).max:
        raise WriteError(f"TIFF tag {number} cannot hold {numbers.min()} to {numbers.max()}")
    return Tag(number, tag_type, numbers.astype(dtype).tobytes())


def size_tag(number: int, value: int) -> Tag:
    """Pack a size in the smaller of SHORT and LONG that holds it."""
    return make_tag(number, TagType.SHORT if value < 2**16 else TagType.LONG, value)


def directory_bytes(tag_count: int, version: Version) -> int:
    """Return the length of a directory with its entries, without values outside of them."""
    return struct.calcsize(version.count_format) + tag_count * version.entry_bytes + version.inline_bytes


def is_inline(tag: Tag, version: Version) -> bool:
    """Return whether a tag's value is stored in its entry."""
    return len(tag.data) <= version.inline_bytes


def stored_data(tag: Tag, version: Version) -> bytes:
    """Return the values of a tag in the byte order of a version."""
    return (tag.swapped() if version.is_big_endian else tag).data


def pack_directory(entries: Iterable[tuple[Tag, int | None]], next_offset_bytes: int, version: Version) -> bytes:
    """Pack a directory of tags, each with the offset of its value, or None where it is inline.

    Tags may come in any order; ``next_offset_bytes`` is 0 where no directory follows.
    """
    ordered = sorted(entries, key=lambda entry: entry[0].number)
    parts = [struct.pack(version.count_format, len(ordered))]
    for tag, offset_bytes in ordered:
        parts.append(struct.pack(version.entry_format, tag.number, tag.type, tag.count))
        if offset_bytes is None:
            parts.append(stored_data(tag, version).ljust(version.inline_bytes, b"\0"))
        else:
            parts.append(struct.pack(version.offset_format, offset_bytes))
    parts.append(struct.pack(version.offset_format, next_offset_bytes))
    return b"".join(parts)


def pack_header(first_directory_offset_bytes: int, version: Version) -> bytes:
    """Pack the file header."""
    return struct.pack(version.header_format, *version.header_fields, first_directory_offset_bytes)
