"""TIFF and BigTIFF bytes: what is packed reads back, by hand and by tifffile."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from georeader._tiff import directories
from georeader._tiff.directories import BIG, CLASSIC, Tag, TagNumber, TagType, Version
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
def test_the_header_is_the_standards(version: Version, header: bytes) -> None:
    assert directories.pack_header(version.header_bytes, version) == header


@pytest.mark.parametrize(("version", "width", "entry"), [(CLASSIC, 4, 12), (BIG, 8, 20)])
def test_the_widths_are_the_standards(version: Version, width: int, entry: int) -> None:
    assert (version.inline_bytes, version.entry_bytes) == (width, entry)
    assert directories.directory_bytes(3, version) == len(directories.pack_directory([], 0, version)) + 3 * entry


@given(st.data())
def test_values_of_every_type_come_back(data: st.DataObject) -> None:
    tag_type, numbers = data.draw(st.sampled_from(NUMBERS))
    values = data.draw(st.lists(numbers, min_size=1, max_size=9))

    tag = directories.make_tag(65000, tag_type, *values)

    assert tag.values == tuple(values)
    assert tag.count == len(values)
    assert len(tag.data) == len(values) * directories.type_bytes(tag_type)


@given(st.lists(st.tuples(st.integers(1, 65535), st.binary(min_size=1, max_size=40)), min_size=1, max_size=8,
                unique_by=lambda pair: pair[0]))  # fmt: skip
def test_a_directory_comes_back_whatever_its_values_lengths(tags: list[tuple[int, bytes]]) -> None:
    packed = [directories.make_tag(number, TagType.UNDEFINED, data) for number, data in tags]

    assert directories.read_first_directory(a_file(CLASSIC, packed)) == tuple(
        sorted(packed, key=lambda tag: tag.number)
    )


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
def test_sizes_take_the_smaller_type_that_holds_them(value: int, tag_type: TagType) -> None:
    assert directories.size_tag(TagNumber.IMAGE_WIDTH, value).type == tag_type


@pytest.mark.parametrize(("tag_type", "value"), [(TagType.SHORT, 2**16), (TagType.LONG, -1), (TagType.BYTE, 1.5)])
def test_a_value_that_its_type_cannot_hold_is_an_error(tag_type: TagType, value: Any) -> None:
    with pytest.raises(WriteError, match="TIFF tag 256 can't hold"):
        directories.make_tag(256, tag_type, value)


@pytest.mark.parametrize(("data", "message"), [
    (b"MM\0\x2a\0\0\0\x08", "not with a little-endian classic header"),
    (b"II\x2a\0\xff\0\0\0", "ends too early"),
    (b"II", "ends too early"),
    (b"II\x2a\0\x08\0\0\0" + struct.pack("<H", 9), "ends too early"),
])  # fmt: skip
def test_bytes_that_are_no_such_file_are_an_error(data: bytes, message: str) -> None:
    with pytest.raises(WriteError, match=message):
        directories.read_first_directory(data)
