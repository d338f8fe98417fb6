"""The layout of a file as numbers: no pixels, no disk."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from georeader._codecs.tiles import largest_tile_bytes
from georeader._export.engine.assembler import OffsetAllocator
from georeader._tiff import cog_layout
from georeader._tiff import directories as tiff
from georeader._tiff.cog_layout import Directory, HeaderLayout, TileArrays, framed, ghost_area
from georeader._tiff.directories import BIG, CLASSIC, TagNumber, TagType, Version
from georeader.errors import OptionError

VERSIONS = pytest.mark.parametrize("version", [CLASSIC, BIG], ids=lambda version: version.name)


def directory(level: int, tile_count: int, is_mask: bool = False) -> Directory:
    tags = (
        tiff.size_tag(TagNumber.IMAGE_WIDTH, 1000 >> level),
        tiff.size_tag(TagNumber.IMAGE_LENGTH, 900 >> level),
        tiff.size_tag(TagNumber.TILE_WIDTH, 256),
        tiff.size_tag(TagNumber.TILE_LENGTH, 256),
        tiff.make_tag(TagNumber.GDAL_METADATA, TagType.ASCII, b"<x/>" * (5 + level) + b"\0"),
    )
    return Directory(level, is_mask, tags, tile_count)


def layout(version: Version, *directories: Directory, most_bytes: int = 2**40) -> HeaderLayout:
    ghost = ghost_area(is_band_interleaved=False, masks_follow_tiles=False)
    return HeaderLayout(version, ghost, directories, most_bytes)


@VERSIONS
def test_packed_header_has_the_planned_size(version: Version) -> None:
    header = layout(version, directory(0, 16), directory(1, 4), directory(2, 1))

    empty = header.pack([TileArrays((0,) * count, (0,) * count) for count in (16, 4, 1)])
    full = header.pack([TileArrays(range(2**31, 2**31 + count), range(count)) for count in (16, 4, 1)])

    assert len(empty) == len(full) == header.size_bytes


@VERSIONS
def test_tifffile_finds_directories_and_arrays(version: Version) -> None:
    arrays = [TileArrays(range(5000, 5016), range(100, 116)), TileArrays(range(3000, 3004), range(50, 54)),
              TileArrays((2000,), (7,))]  # fmt: skip

    packed = layout(version, directory(0, 16), directory(1, 4), directory(2, 1)).pack(arrays)

    with tifffile.TiffFile(io.BytesIO(packed)) as file:
        pages = [(page.tags[256].value, page.dataoffsets, page.databytecounts, page.tags[42112].value)
                 for page in file.pages]  # fmt: skip
    assert pages == [
        (1000, tuple(range(5000, 5016)), tuple(range(100, 116)), "<x/>" * 5),
        (500, tuple(range(3000, 3004)), tuple(range(50, 54)), "<x/>" * 6),
        (250, (2000,), (7,), "<x/>" * 7),
    ]


@pytest.mark.parametrize(("version", "most_bytes", "tag_type"), [
    (CLASSIC, 2**40, TagType.LONG),
    (BIG, 2**32 - 1, TagType.LONG),
    (BIG, 2**32, TagType.LONG8),
])  # fmt: skip
def test_offset_width_follows_the_largest_possible_file_size(
    version: Version, most_bytes: int, tag_type: TagType
) -> None:
    header = layout(version, directory(0, 16), most_bytes=most_bytes)

    packed = header.pack([TileArrays(range(1000, 1016), range(16))])

    assert len(packed) == header.size_bytes
    with tifffile.TiffFile(io.BytesIO(packed)) as file:
        assert file.pages[0].tags[324].dtype == tag_type
        assert file.pages[0].dataoffsets == tuple(range(1000, 1016))


@VERSIONS
@pytest.mark.parametrize("masks_follow_tiles", [False, True])
@pytest.mark.parametrize("is_band_interleaved", [False, True])
def test_the_first_directory_follows_gdals_ghost_area(
    version: Version, is_band_interleaved: bool, masks_follow_tiles: bool
) -> None:
    """At the next even offset: GDAL's validator calls any other an error."""
    ghost = ghost_area(is_band_interleaved=is_band_interleaved, masks_follow_tiles=masks_follow_tiles)
    header = replace(layout(version, directory(0, 16)), ghost=ghost).pack([TileArrays(range(16), range(16))])
    end = version.header_bytes + len(ghost)

    assert header[version.header_bytes : end] == ghost
    with tifffile.TiffFile(io.BytesIO(header)) as file:
        assert file.pages.first.offset == end + end % 2


@VERSIONS
def test_the_arrays_of_small_overviews_come_before_those_of_large_ones(version: Version) -> None:
    counts = [64, 16, 4]
    header = layout(version, *(directory(level, count) for level, count in enumerate(counts)))
    packed = header.pack([TileArrays((level,) * count, (level,) * count) for level, count in enumerate(counts)])

    with tifffile.TiffFile(io.BytesIO(packed)) as file:
        places = [file.pages[level].tags[324].valueoffset for level in (2, 1, 0)]
        last_directory = file.pages[2].offset

    assert last_directory < places[0] < places[1] < places[2]


@pytest.mark.parametrize(("bands", "masks", "size", "lines"), [
    (False, False, 140, ["KNOWN_INCOMPATIBLE_EDITION=NO"]),
    (False, True, 174, ["KNOWN_INCOMPATIBLE_EDITION=NO", " MASK_INTERLEAVED_WITH_IMAGERY=YES"]),
    (True, False, 156, ["INTERLEAVE=BAND", "KNOWN_INCOMPATIBLE_EDITION=NO"]),
])  # fmt: skip
def test_ghost_area_equals_gdals(bands: bool, masks: bool, size: int, lines: list[str]) -> None:
    text = ghost_area(is_band_interleaved=bands, masks_follow_tiles=masks).decode("ascii")

    assert text.startswith(f"GDAL_STRUCTURAL_METADATA_SIZE={size:06d} bytes\nLAYOUT=IFDS_BEFORE_DATA\n")
    assert len(text) == 43 + size
    assert text.rstrip().split("\n")[-len(lines) :] == lines


@given(st.binary(max_size=20))
def test_tile_is_framed_by_leader_and_trailer(tile: bytes) -> None:
    leader, middle, trailer = framed(tile)

    assert (int.from_bytes(leader, "little"), middle) == (len(tile), tile)
    assert trailer == (b"\0" * 4 + tile)[-4:]


SIZES = st.lists(st.integers(0, 5), max_size=6)


@given(SIZES, SIZES, st.booleans())
def test_tile_offsets_are_contiguous_for_any_sizes_and_order(
    small: list[int], large: list[int], base_first: bool
) -> None:
    directories = [directory(0, len(large)), directory(1, len(small))]
    counts = {(0, False): len(large), (1, False): len(small)}
    placement = OffsetAllocator(counts)
    placement.header_bytes = 1000
    if base_first:
        placement.place(0, False, np.array(large, "uint32").reshape(-1, 1))
    for size_bytes in small:
        placement.place(1, False, np.array([[size_bytes]], "uint32"))
    if not base_first:
        placement.place(0, False, np.array(large, "uint32").reshape(-1, 1))

    large_arrays, small_arrays = placement.arrays(directories)
    pairs = [*zip(small_arrays.offsets_bytes, small_arrays.sizes_bytes, strict=True),
             *zip(large_arrays.offsets_bytes, large_arrays.sizes_bytes, strict=True)]  # fmt: skip
    present = [(offset, size) for offset, size in pairs if size]
    ends = [1000, *(offset + size + 4 for offset, size in present)]

    assert [size for _, size in pairs] == [*small, *large]
    assert [offset - 4 for offset, _ in present] == ends[:-1]
    assert placement.size_bytes == ends[-1]
    assert all(offset == 0 for offset, size in pairs if not size)


def test_mask_tiles_are_listed_in_the_mask_directory() -> None:
    directories = [directory(0, 2), directory(0, 2, is_mask=True)]
    placement = OffsetAllocator({(0, False): 2, (0, True): 2})

    placement.place(0, None, np.array([[10, 3], [20, 0]], "uint32"))

    assert [array.sizes_bytes.tolist() for array in placement.arrays(directories)] == [[10, 20], [3, 0]]
    assert [array.offsets_bytes.tolist() for array in placement.arrays(directories)] == [[4, 33], [22, 0]]


@pytest.mark.parametrize(("bigtiff", "size", "expected"), [
    ("IF_SAFER", 2**31 - 1, CLASSIC),
    ("IF_SAFER", 2**31, BIG),
    ("IF_NEEDED", 2**31, CLASSIC),
    ("IF_NEEDED", 2**32 - 1, CLASSIC),
    ("IF_NEEDED", 2**32, BIG),
    ("YES", 100, BIG),
    ("NO", 2**32 - 1, CLASSIC),
])  # fmt: skip
def test_the_version_follows_from_the_real_size(bigtiff: str, size: int, expected: Version) -> None:
    assert cog_layout.version_for(bigtiff, size) is expected


@pytest.mark.parametrize(("bigtiff", "least", "most", "expected"), [
    ("IF_SAFER", 0, 2**31 - 1, (CLASSIC,)),
    ("IF_SAFER", 0, 2**31, (CLASSIC, BIG)),
    ("IF_SAFER", 2**31, 2**40, (BIG,)),
    ("YES", 0, 1, (BIG,)),
    ("NO", 0, 2**40, (CLASSIC,)),
])  # fmt: skip
def test_both_versions_are_possible_while_the_size_is_unknown(
    bigtiff: str, least: int, most: int, expected: tuple[Version, ...]
) -> None:
    assert cog_layout.possible_versions(bigtiff, least, most) == expected


def test_file_too_large_for_classic_tiff_is_refused_if_bigtiff_is_no() -> None:
    with pytest.raises(OptionError, match="'BIGTIFF'.*'NO'.*only BigTIFF can address"):
        cog_layout.possible_versions("NO", 2**32, 2**33)
    with pytest.raises(OptionError, match="'BIGTIFF'.*'NO'"):
        cog_layout.version_for("NO", 2**32)


@pytest.mark.parametrize(("codec", "raw"), list(itertools.product(["NONE", "LZW", "DEFLATE", "WEBP"], [1, 10**6])))
def test_the_bound_of_a_tiles_size_leaves_room_for_its_frame(codec: str, raw: int) -> None:
    assert largest_tile_bytes(codec, raw) >= raw + 8
