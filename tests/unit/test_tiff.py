"""TIFF and BigTIFF bytes: what is packed reads back, by hand and by tifffile."""

from __future__ import annotations

import io
import re
import struct
from itertools import pairwise
from typing import Any

import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from georeader._tiff import directories
from georeader._tiff.directories import BIG, CLASSIC, Tag, TagNumber, TagType, Version
from georeader._tiff.parser import (
    MAX_DIRECTORIES,
    BytesInMemory,
    Fault,
    FaultKind,
    MalformedTiffError,
    read_directories,
    read_first_tags,
)
from georeader.errors import WriteError

#: (type, what its values may be)
NUMBERS = [
    (TagType.BYTE, st.integers(0, 2**8 - 1)),
    (TagType.SHORT, st.integers(0, 2**16 - 1)),
    (TagType.LONG, st.integers(0, 2**32 - 1)),
    (TagType.SBYTE, st.integers(-(2**7), 2**7 - 1)),
    (TagType.SSHORT, st.integers(-(2**15), 2**15 - 1)),
    (TagType.SLONG, st.integers(-(2**31), 2**31 - 1)),
    (TagType.FLOAT, st.floats(allow_nan=False, width=32)),
    (TagType.DOUBLE, st.floats(allow_nan=False)),
    (TagType.LONG8, st.integers(0, 2**64 - 1)),
]


def a_file(version: Version, tags: list[Tag]) -> bytes:
    """Header, one directory, its values behind it."""
    start = version.header_bytes
    end = start + directories.directory_bytes(len(tags), version)
    entries: list[tuple[Tag, int | None]] = []
    values = b""
    for tag in tags:
        if directories.is_inline(tag, version):
            entries.append((tag, None))
        else:
            entries.append((tag, end + len(values)))
            values += tag.data
    return directories.pack_header(start, version) + directories.pack_directory(entries, 0, version) + values


@pytest.mark.parametrize(("version", "header"), [
    (CLASSIC, b"II\x2a\0\x08\0\0\0"),
    (BIG, b"II\x2b\0\x08\0\0\0\x10\0\0\0\0\0\0\0"),
])  # fmt: skip
def test_header_equals_the_standard(version: Version, header: bytes) -> None:
    assert directories.pack_header(version.header_bytes, version) == header


@pytest.mark.parametrize(("version", "width", "entry"), [(CLASSIC, 4, 12), (BIG, 8, 20)])
def test_field_widths_equal_the_standard(version: Version, width: int, entry: int) -> None:
    assert (version.inline_bytes, version.entry_bytes) == (width, entry)
    assert directories.directory_bytes(3, version) == len(directories.pack_directory([], 0, version)) + 3 * entry


@given(st.data())
def test_values_of_every_type_are_parsed(data: st.DataObject) -> None:
    tag_type, numbers = data.draw(st.sampled_from(NUMBERS))
    values = data.draw(st.lists(numbers, min_size=1, max_size=9))

    tag = directories.make_tag(65000, tag_type, *values)

    assert tag.values == tuple(values)
    assert tag.count == len(values)
    assert len(tag.data) == len(values) * directories.TYPE_BYTES[tag_type]


@given(st.lists(st.tuples(st.integers(1, 65535), st.binary(min_size=1, max_size=40)), min_size=1, max_size=8,
                unique_by=lambda pair: pair[0]))  # fmt: skip
def test_directory_with_values_of_any_length_is_parsed(tags: list[tuple[int, bytes]]) -> None:
    packed = [directories.make_tag(number, TagType.UNDEFINED, data) for number, data in tags]

    assert read_first_tags(a_file(CLASSIC, packed)) == tuple(sorted(packed, key=lambda tag: tag.number))


@pytest.mark.parametrize("version", [CLASSIC, BIG], ids=lambda version: version.name)
def test_tifffile_reads_the_tags(version: Version) -> None:
    tags = [
        directories.size_tag(TagNumber.IMAGE_WIDTH, 70_000),
        directories.size_tag(TagNumber.IMAGE_LENGTH, 3),
        directories.make_tag(TagNumber.BITS_PER_SAMPLE, TagType.SHORT, 8, 8, 8, 8, 8),
        directories.make_tag(TagNumber.REFERENCE_BLACK_WHITE, TagType.RATIONAL, 0, 1, 255, 2),
        directories.make_tag(TagNumber.GDAL_NODATA, TagType.ASCII, b"-9999\0"),
        directories.make_tag(33550, TagType.DOUBLE, 10.0, 10.0, 0.0),
    ]

    with tifffile.TiffFile(io.BytesIO(a_file(version, tags))) as file:
        found = {tag.code: tag.value for tag in file.pages.first.tags.values()}

    assert file.is_bigtiff == (version is BIG)
    assert found == {256: 70_000, 257: 3, 258: (8, 8, 8, 8, 8), 532: (0, 1, 255, 2), 42113: "-9999",
                     33550: (10.0, 10.0, 0.0)}  # fmt: skip


@pytest.mark.parametrize(("value", "tag_type"), [(65535, TagType.SHORT), (65536, TagType.LONG)])
def test_sizes_are_written_in_the_smallest_type(value: int, tag_type: TagType) -> None:
    assert directories.size_tag(TagNumber.IMAGE_WIDTH, value).type == tag_type


@pytest.mark.parametrize(("tag_type", "value"), [(TagType.SHORT, 2**16), (TagType.LONG, -1), (TagType.BYTE, 1.5)])
def test_a_value_that_its_type_cannot_hold_is_an_error(tag_type: TagType, value: Any) -> None:
    with pytest.raises(WriteError, match="TIFF tag 256 cannot hold"):
        directories.make_tag(256, tag_type, value)


@pytest.mark.parametrize(("data", "message"), [
    (b"MM\0\x2a\0\0\0\x08", "not with a little-endian classic header"),
    (b"II\x2a\0\xff\0\0\0", "past the end of the file"),
    (b"II", "begins with b'II'"),
    (b"II\x2a\0\x08\0\0\0" + struct.pack("<H", 9), "past the end of the file"),
])  # fmt: skip
def test_invalid_bytes_raise_write_error(data: bytes, message: str) -> None:
    with pytest.raises(WriteError, match=message):
        read_first_tags(data)


def chain(version: Version, places: list[int]) -> bytes:
    """A file of directories of one tag each, at these offsets; the last one leads to the last offset."""
    size = max(places) + 64
    data = bytearray(size)
    header = directories.pack_header(places[0], version)
    data[: len(header)] = header
    for place, following in pairwise(places):
        packed = directories.pack_directory([(directories.make_tag(256, TagType.SHORT, 7), None)], following, version)
        data[place : place + len(packed)] = packed
    return bytes(data)


@pytest.mark.parametrize("version", [CLASSIC, BIG], ids=lambda version: version.name)
@pytest.mark.parametrize(("places", "code"), [
    ([64, 128, 64], FaultKind.DIRECTORY_LOOP),
    ([64, 128, 4], FaultKind.DIRECTORY_OVERLAP),
    ([64, 128, 2**31], FaultKind.DIRECTORY_OUT_OF_FILE),
    (list(range(64, 64 + 64 * (MAX_DIRECTORIES + 1), 64)), FaultKind.DIRECTORY_LIMIT),
])  # fmt: skip
def test_invalid_chain_of_directories_raises_or_is_reported(
    version: Version, places: list[int], code: FaultKind
) -> None:
    *linked, last = places
    data = bytearray(chain(version, [*linked, min(last, 2**16)]))
    at = linked[-1] + directories.directory_bytes(1, version) - version.inline_bytes
    data[at : at + version.inline_bytes] = struct.pack(version.offset_format, last)
    faults: list[Fault] = []

    found = list(read_directories(BytesInMemory(bytes(data)), report=faults.append))

    assert [fault.kind for fault in faults] == [code]
    assert [one.entries[256].numbers().tolist() for one in found] == [[7]] * len(found) != []
    with pytest.raises(MalformedTiffError, match=re.escape(faults[0].detail)):
        list(read_directories(BytesInMemory(bytes(data))))


def test_faults_of_single_tags_are_reported_and_raise_only_where_their_values_are_read() -> None:
    data = bytearray(a_file(CLASSIC, [directories.make_tag(256, TagType.LONG, 1, 2), directories.make_tag(300, 1, 5)]))
    data[12:14] = struct.pack("<H", 99)  # the type of the first
    faults: list[Fault] = []

    (directory,) = read_directories(BytesInMemory(bytes(data)), report=faults.append)
    (strict,) = read_directories(BytesInMemory(bytes(data)))

    assert [(fault.kind, fault.tag) for fault in faults] == [(FaultKind.TAG_TYPE, 256)]
    assert strict.entries[300].numbers().tolist() == directory.entries[300].numbers().tolist() == [5]
    with pytest.raises(MalformedTiffError, match="tag 256 of type 99"):
        strict.entries[256].numbers()
