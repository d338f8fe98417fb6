"""Pixel layout of a directory as one frozen value, and how it is read from tags: each value is checked. Pure.

References:
    TIFF 6.0, sections 3 to 22; OGC 21-026 (Cloud Optimized GeoTIFF 1.0).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._codecs.registry import CODECS
from georeader._tiff.directories import TagNumber, TagType
from georeader._tiff.parser import Fault, FaultKind, ParsedDirectory, Report

#: Names of the values of Compression: the project's codecs, and others of libtiff and GDAL.
COMPRESSIONS: Mapping[int, str] = {
    2: "CCITTRLE", 3: "CCITTFAX3", 4: "CCITTFAX4", 6: "OJPEG", 32946: "DEFLATE", 34661: "JBIG", 34676: "SGILOG",
    34677: "SGILOG24", 34712: "JP2000", 34933: "PNG", 52546: "JXL",
    **{codec.compression: name for name, codec in CODECS.items() if not codec.lerc_following},
}  # fmt: skip

#: Names of LERC by the codec that follows it.
_LERC_NAMES = {codec.lerc_following: name for name, codec in CODECS.items() if codec.lerc_following is not None}

#: PhotometricInterpretation's values with names.
PHOTOMETRICS: Mapping[int | None, str] = {
    0: "min-is-white", 1: "min-is-black", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "CIELab",
}  # fmt: skip

#: SampleFormat's values, as numpy calls such kinds.
SAMPLE_FORMATS: Mapping[int, str] = {1: "uint", 2: "int", 3: "float", 4: "void", 5: "cint", 6: "complex"}

#: PlanarConfiguration: samples of a pixel side by side, or each band in tiles of its own.
CHUNKY, PLANAR = 1, 2

YCBCR = 6

#: Longest value that is read, except tile arrays: 65,535 samples of 16 bits take half of it.
MAX_VALUE_BYTES = 2**18

#: Most tiles of all directories together; each takes about 50 bytes of memory.
MAX_TILES = 2**23

_LARGEST_SIZE_PX = 2**31 - 1

#: An item of GDAL's metadata, and its attributes.
_ITEM = re.compile(rb"<Item\s([^<>]{1,300})>([^<>]{1,40})</Item>")
_ATTRIBUTE = re.compile(rb'(\w+)="([^"]*)"')

#: Types of tile arrays, and of other whole numbers.
_WIDE = (TagType.SHORT, TagType.LONG, TagType.LONG8)
_WHOLE = (TagType.BYTE, *_WIDE)


@dataclass(frozen=True)
class PixelLayout:
    """Layout of stored pixels. Tiles are strips where the directory has those: as wide as the image."""

    width_px: int
    height_px: int
    is_tiled: bool  #: In tiles, not in strips.
    tile_width_px: int
    tile_height_px: int  #: Or rows of a strip.
    samples: int = 1  #: Bands.
    bits: int = 8  #: Of a sample.
    sample_format: int = 1  #: One of `SAMPLE_FORMATS`.
    photometric: int | None = 1  #: PhotometricInterpretation; None where the tag is missing.
    compression: int = 1  #: Value of the tag.
    planar: int = CHUNKY
    predictor: int = 1
    extra_samples: tuple[int, ...] = ()  #: Values of the tag: 1 and 2 are alpha bands.
    interpretations: tuple[tuple[int, str], ...] = ()  #: (band from 0, GDAL's name) of colours in GDAL's metadata.
    fill_order: int = 1  #: 1: the first bit of a byte is the most significant.
    subsampling: tuple[int, int] = (1, 1)  #: (horizontal, vertical) of YCbCr.
    jpeg_tables: bytes = field(default=b"", repr=False)  #: Of all JPEG tiles.
    lerc_following: int = 0  #: What follows LERC: 0 nothing, 1 deflate, 2 zstd.
    is_big_endian: bool = False  #: Byte order of samples.

    @property
    def tiles_across(self) -> int:
        """Tiles of a row of them."""
        return -(-self.width_px // self.tile_width_px)

    @property
    def tiles_down(self) -> int:
        """Rows of tiles."""
        return -(-self.height_px // self.tile_height_px)

    @property
    def planes(self) -> int:
        """Sets of tiles: one for each band, or one for all."""
        return self.samples if self.planar == PLANAR else 1

    @property
    def tile_count(self) -> int:
        """All tiles."""
        return self.tiles_across * self.tiles_down * self.planes

    @property
    def tile_samples(self) -> int:
        """Bands in a tile."""
        return 1 if self.planar == PLANAR else self.samples

    @property
    def interleave(self) -> str:
        """GDAL's name of how bands lie: "pixel" or "band"."""
        return "band" if self.planar == PLANAR and self.samples > 1 else "pixel"

    @property
    def compression_name(self) -> str:
        """GDAL's name of the codec."""
        name = COMPRESSIONS.get(self.compression, f"compression {self.compression}")
        return _LERC_NAMES.get(self.lerc_following, name) if name == "LERC" else name

    @property
    def kind_name(self) -> str:
        """The dtype of the pixels, such as "uint8"."""
        return f"{SAMPLE_FORMATS.get(self.sample_format, 'kind' + str(self.sample_format))}{self.bits}"

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as values of JSON."""
        names = ("width_px", "height_px", "is_tiled", "tile_width_px", "tile_height_px", "samples")
        return {
            **{name: getattr(self, name) for name in names},
            "dtype": self.kind_name,
            "photometric": PHOTOMETRICS.get(self.photometric, self.photometric),
            "compression": self.compression_name,
            "predictor": self.predictor,
            "interleave": self.interleave,
        }

    def place_of(self, tile: int) -> tuple[int, int, int]:
        """Return (plane, tile row, tile column) of a tile."""
        plane, position = divmod(tile, self.tiles_across * self.tiles_down)
        return plane, *divmod(position, self.tiles_across)

    def rows_of(self, tile: int) -> int:
        """Return the rows of a tile; the last strip of a plane may be shorter than the others."""
        if self.is_tiled:
            return self.tile_height_px
        _, row, _ = self.place_of(tile)
        return min(self.tile_height_px, self.height_px - row * self.tile_height_px)

    def raw_bytes(self, rows: int) -> int:
        """Return the size of a decoded tile of some rows: each row ends at a whole byte (TIFF 6.0, section 3)."""
        across, down = self.subsampling
        if self.photometric == YCBCR and self.planar == CHUNKY and self.samples == 3 and (across, down) != (1, 1):
            units = -(-self.tile_width_px // across) * -(-rows // down)  # TIFF 6.0, section 21
            return units * (across * down + 2) * -(-self.bits // 8)
        return rows * -(-self.tile_width_px * self.tile_samples * self.bits // 8)


class TagReader:
    """Reads the values of a directory's tags, and reports invalid ones; with one, `is_broken` is True."""

    def __init__(self, directory: ParsedDirectory, report: Report) -> None:
        self.is_broken = False
        self.entries = directory.entries
        self._directory = directory.number
        self._report = report

    def number(self, tag: int, default: int | None, allowed: Sequence[int]) -> int:
        """Return a number that is the same for all samples; ``default`` if the tag is missing.

        An invalid value is reported, and the first allowed one is returned.
        """
        if tag not in self.entries and default is not None:
            return default
        found = self._whole_numbers(tag)
        if found and found.count(found[0]) == len(found) and found[0] in allowed:
            return found[0]
        if found:
            shown = ", ".join(map(str, found[:4])) + ("..." if len(found) > 4 else "")
            self.fault(FaultKind.TAG_VALUE, tag, f"is {shown}, which is invalid")
        return allowed[0]

    def numbers(self, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
        """Return numbers; ``default`` if the tag is missing."""
        return tuple(self._whole_numbers(tag)) if tag in self.entries else default

    def data(self, tag: int, *, is_needed: bool = True) -> bytes:
        """Return a value's bytes; none if the tag is missing, or is not needed and longer than `MAX_VALUE_BYTES`."""
        entry = self.entries.get(tag)
        if entry is None or not entry.is_readable or (not is_needed and entry.length_bytes > MAX_VALUE_BYTES):
            return b""
        return entry.data() if self._is_short(tag) else b""

    def array(self, tag: int, count: int) -> NDArray[np.uint64] | None:
        """Return the ``count`` numbers of a tile array; None, with a report, if the tag is anything else."""
        entry = self.entries.get(tag)
        if entry is None or not entry.is_readable or entry.type not in _WIDE:
            self.fault(FaultKind.TAG_MISSING, tag, "is missing or cannot be read")
            return None
        if entry.count != count:
            self.fault(FaultKind.TILE_COUNT, tag, f"has {entry.count} values for {count} tiles")
            return None
        return entry.numbers().astype(np.uint64)

    def fault(self, kind: FaultKind, tag: int, finding: str) -> None:
        """Report that a tag is invalid."""
        self.is_broken = True
        entry = self.entries.get(tag)
        at = entry.offset_bytes if entry is not None and entry.is_readable else None
        name = TagNumber(tag).title if tag in set(TagNumber) else "?"
        self._report(Fault(kind, f"tag {tag} ({name}) {finding}", self._directory, tag, offset_bytes=at))

    def _whole_numbers(self, tag: int) -> list[int]:
        entry = self.entries.get(tag)
        if entry is None or not entry.is_readable or entry.type not in _WHOLE or not entry.count:
            self.fault(FaultKind.TAG_MISSING, tag, "is missing or cannot be read")
            return []
        return list(map(int, entry.numbers())) if self._is_short(tag) else []

    def _is_short(self, tag: int) -> bool:
        entry = self.entries[tag]
        if entry.length_bytes > MAX_VALUE_BYTES:
            self.fault(FaultKind.TAG_VALUE, tag, f"has {entry.count} values; at most {MAX_VALUE_BYTES} bytes are valid")
        return entry.length_bytes <= MAX_VALUE_BYTES


def read_layout(tags: TagReader, *, is_big_endian: bool) -> PixelLayout | None:
    """Return how a directory's pixels are stored; None where its tags do not declare it."""
    sizes = range(1, _LARGEST_SIZE_PX + 1)
    width, height = (tags.number(tag, None, sizes) for tag in (TagNumber.IMAGE_WIDTH, TagNumber.IMAGE_LENGTH))
    is_tiled = TagNumber.TILE_WIDTH in tags.entries or TagNumber.TILE_OFFSETS in tags.entries
    if is_tiled:
        sides = range(16, _LARGEST_SIZE_PX + 1, 16)  # TIFF 6.0, section 15
        tile_width = tags.number(TagNumber.TILE_WIDTH, None, sides)
        tile_height = tags.number(TagNumber.TILE_LENGTH, None, sides)
    else:
        tile_width = width
        tile_height = min(height, tags.number(TagNumber.ROWS_PER_STRIP, height, range(1, 2**32)))
    samples = tags.number(TagNumber.SAMPLES_PER_PIXEL, 1, range(1, 2**16))
    for tag in (TagNumber.BITS_PER_SAMPLE, TagNumber.SAMPLE_FORMAT):
        entry = tags.entries.get(tag)
        if entry is not None and 1 < entry.count < samples:  # a single value is for all of them
            tags.fault(FaultKind.TAG_VALUE, tag, f"has {entry.count} values for {samples} samples")
    across, down = (*tags.numbers(TagNumber.YCBCR_SUBSAMPLING, (2, 2)), 0, 0)[:2]
    lerc = tags.numbers(TagNumber.LERC_PARAMETERS, (0, 0))
    photometric = TagNumber.PHOTOMETRIC
    layout = PixelLayout(
        width, height, is_tiled, tile_width, tile_height, samples,
        bits=tags.number(TagNumber.BITS_PER_SAMPLE, 1, range(1, 129)),
        sample_format=tags.number(TagNumber.SAMPLE_FORMAT, 1, range(1, 7)),
        photometric=tags.number(photometric, 0, range(2**16)) if photometric in tags.entries else None,
        compression=tags.number(TagNumber.COMPRESSION, 1, range(1, 2**16)),
        planar=tags.number(TagNumber.PLANAR_CONFIGURATION, CHUNKY, (CHUNKY, PLANAR)),
        predictor=tags.number(TagNumber.PREDICTOR, 1, (1, 2, 3)),
        extra_samples=tags.numbers(TagNumber.EXTRA_SAMPLES, ()),
        interpretations=_interpretations(tags.data(TagNumber.GDAL_METADATA, is_needed=False)),
        fill_order=tags.number(TagNumber.FILL_ORDER, 1, (1, 2)),
        subsampling=(across, down) if {across, down} <= {1, 2, 4} else (1, 1),
        jpeg_tables=tags.data(TagNumber.JPEG_TABLES),
        lerc_following=lerc[1] if len(lerc) == 2 else 0,
        is_big_endian=is_big_endian,
    )  # fmt: skip
    return None if tags.is_broken else layout


def _interpretations(metadata: bytes) -> tuple[tuple[int, str], ...]:
    """Return (band, name) of the colour interpretations in GDAL's metadata, which may be malformed XML."""
    found: list[tuple[int, str]] = []
    for attributes, name in _ITEM.findall(metadata):
        said = dict(_ATTRIBUTE.findall(attributes))
        sample = said.get(b"sample", b"")
        if said.get(b"role") == b"colorinterp" and sample.isdigit() and len(sample) < 6:
            found.append((int(sample), name.decode("ascii", "replace").strip().lower()))
    return tuple(sorted(found))


def read_tiles(tags: TagReader, layout: PixelLayout) -> tuple[NDArray[np.uint64], NDArray[np.uint64]] | None:
    """Return offsets and sizes of a directory's tiles; None if they are invalid."""
    names = (TagNumber.TILE_OFFSETS, TagNumber.TILE_BYTE_COUNTS)
    if not layout.is_tiled:
        names = (TagNumber.STRIP_OFFSETS, TagNumber.STRIP_BYTE_COUNTS)
    offsets, sizes = (tags.array(name, layout.tile_count) for name in names)
    return None if offsets is None or sizes is None else (offsets, sizes)
