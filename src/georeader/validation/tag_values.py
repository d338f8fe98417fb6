"""Values of tags, and the pixel layout that they declare: each is checked for its type, count and range."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from georeader._tiff.directories import UNSIGNED_TYPES, TagNumber, TagType
from georeader._tiff.parser import Entry, Fault, FaultKind, ParsedDirectory
from georeader.validation.measurement import FaultLog
from georeader.validation.pixel_layout import CHUNKY, PLANAR, PixelLayout

#: Longest value that is read, except tile arrays: 65,535 samples of 16 bits take half of it.
MAX_VALUE_BYTES = 2**18

#: Most tiles of all directories together; each takes about 50 bytes of memory.
MAX_TILES = 2**23

#: An item of GDAL's metadata, and its attributes.
_ITEM = re.compile(rb"<Item\s([^<>]{1,300})>([^<>]{1,40})</Item>")
_ATTRIBUTE = re.compile(rb'(\w+)="([^"]*)"')

_LARGEST_SIZE_PX = 2**31 - 1

#: Types of unsigned integers, IFD and IFD8 left out.
_WHOLE = frozenset({TagType.BYTE, TagType.SHORT, TagType.LONG, TagType.LONG8}) & UNSIGNED_TYPES.keys()


class TagReader:
    """Reads the values of a directory's tags, and records which are invalid.

    Attributes:
        is_broken: A value is invalid.
    """

    def __init__(self, directory: ParsedDirectory, log: FaultLog) -> None:
        """Start with a directory, none of whose values are read yet.

        Args:
            directory: The directory.
            log: Collects faults.
        """
        self.is_broken = False
        self._directory = directory
        self._log = log

    def number(self, tag: int, default: int | None, allowed: Sequence[int]) -> int:
        """Return a number that is the same for all samples; ``default`` if the tag is missing.

        An invalid value is reported, and the first allowed one is returned.
        """
        entry = self._directory.entries.get(tag)
        if entry is None and default is not None:
            return default
        found = self._numbers(tag, entry)
        if found and found.count(found[0]) == len(found) and found[0] in allowed:
            return found[0]
        if found:
            shown = ", ".join(map(str, found[:4])) + ("..." if len(found) > 4 else "")
            self._fault(FaultKind.TAG_VALUE, f"tag {tag} ({_name(tag)}) is {shown}, which is invalid", tag, entry)
        return allowed[0]

    def check_count(self, tag: int, samples: int) -> None:
        """Report a tag with values for some samples but not all; a single value is for all of them."""
        entry = self._directory.entries.get(tag)
        if entry is not None and 1 < entry.count < samples:
            detail = f"tag {tag} ({_name(tag)}) has {entry.count} values for {samples} samples"
            self._fault(FaultKind.TAG_VALUE, detail, tag, entry)

    def numbers(self, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
        """Return numbers; ``default`` if the tag is missing."""
        entry = self._directory.entries.get(tag)
        return default if entry is None else tuple(self._numbers(tag, entry))

    def data(self, tag: int) -> bytes:
        """Return a value's bytes; none if the tag is missing."""
        entry = self._directory.entries.get(tag)
        return b"" if entry is None else self._bytes(tag, entry)

    def optional_data(self, tag: int) -> bytes:
        """Return a value's bytes; none if the tag is missing, or its value longer than `MAX_VALUE_BYTES`."""
        entry = self._directory.entries.get(tag)
        if entry is None or entry.length_bytes > MAX_VALUE_BYTES:
            return b""
        return self._bytes(tag, entry)

    def array(self, tag: int, count: int) -> NDArray[np.uint64] | None:
        """Return the ``count`` numbers of a tile array; None, with a report, if the tag is anything else."""
        entry = self._directory.entries.get(tag)
        if entry is None or not entry.is_readable or entry.type not in _WHOLE or entry.type == TagType.BYTE:
            self._fault(FaultKind.TAG_MISSING, f"tag {tag} ({_name(tag)}) is missing or can't be read", tag, entry)
            return None
        if entry.count != count:
            detail = f"tag {tag} ({_name(tag)}) has {entry.count} values for {count} tiles"
            self._fault(FaultKind.TILE_COUNT, detail, tag, entry)
            return None
        return entry.numbers().astype(np.uint64)

    def _numbers(self, tag: int, entry: Entry | None) -> list[int]:
        if entry is None or not entry.is_readable or entry.type not in _WHOLE or not entry.count:
            detail = f"tag {tag} ({_name(tag)}) is missing or can't be read"
            self._fault(FaultKind.TAG_MISSING, detail, tag, entry)
            return []
        if not self._bytes(tag, entry):
            return []
        return [int(value) for value in entry.numbers()]

    def _bytes(self, tag: int, entry: Entry) -> bytes:
        if not entry.is_readable:
            return b""
        if entry.length_bytes > MAX_VALUE_BYTES:
            detail = f"tag {tag} ({_name(tag)}) has {entry.count} values; at most {MAX_VALUE_BYTES} bytes are valid"
            self._fault(FaultKind.TAG_VALUE, detail, tag, entry)
            return b""
        return entry.data()

    def _fault(self, kind: FaultKind, detail: str, tag: int, entry: Entry | None) -> None:
        self.is_broken = True
        at = entry.offset_bytes if entry is not None and entry.is_readable else None
        self._log.add(Fault(kind, detail, self._directory.number, tag, offset_bytes=at))


def read_layout(tags: TagReader, directory: ParsedDirectory, *, is_big_endian: bool) -> PixelLayout | None:
    """Return how a directory's pixels are stored; None where its tags do not declare it.

    Args:
        tags: Of the directory.
        directory: The directory.
        is_big_endian: Byte order of the file.
    """
    sizes = range(1, _LARGEST_SIZE_PX + 1)
    width, height = (tags.number(tag, None, sizes) for tag in (TagNumber.IMAGE_WIDTH, TagNumber.IMAGE_LENGTH))
    is_tiled = TagNumber.TILE_WIDTH in directory.entries or TagNumber.TILE_OFFSETS in directory.entries
    if is_tiled:
        sides = range(16, _LARGEST_SIZE_PX + 1, 16)  # TIFF 6.0, section 15
        tile_width, tile_height = (
            tags.number(tag, None, sides) for tag in (TagNumber.TILE_WIDTH, TagNumber.TILE_LENGTH)
        )
    else:
        tile_width = width
        tile_height = min(height, tags.number(TagNumber.ROWS_PER_STRIP, height, range(1, 2**32)))
    samples = tags.number(TagNumber.SAMPLES_PER_PIXEL, 1, range(1, 2**16))
    tags.check_count(TagNumber.BITS_PER_SAMPLE, samples)
    tags.check_count(TagNumber.SAMPLE_FORMAT, samples)
    across, down = (*tags.numbers(TagNumber.YCBCR_SUBSAMPLING, (2, 2)), 0, 0)[:2]
    lerc = tags.numbers(TagNumber.LERC_PARAMETERS, (0, 0))
    photometric = TagNumber.PHOTOMETRIC
    layout = PixelLayout(
        width, height, is_tiled, tile_width, tile_height, samples,
        bits=tags.number(TagNumber.BITS_PER_SAMPLE, 1, range(1, 129)),
        sample_format=tags.number(TagNumber.SAMPLE_FORMAT, 1, range(1, 7)),
        photometric=tags.number(photometric, 0, range(2**16)) if photometric in directory.entries else None,
        compression=tags.number(TagNumber.COMPRESSION, 1, range(1, 2**16)),
        planar=tags.number(TagNumber.PLANAR_CONFIGURATION, CHUNKY, (CHUNKY, PLANAR)),
        predictor=tags.number(TagNumber.PREDICTOR, 1, (1, 2, 3)),
        extra_samples=tags.numbers(TagNumber.EXTRA_SAMPLES, ()),
        interpretations=_interpretations(tags.optional_data(TagNumber.GDAL_METADATA)),
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
    for attributes, name in _ITEM.findall(metadata[:MAX_VALUE_BYTES]):
        said = dict(_ATTRIBUTE.findall(attributes))
        sample = said.get(b"sample", b"")
        if said.get(b"role") == b"colorinterp" and sample.isdigit() and len(sample) < 6:
            found.append((int(sample), name.decode("ascii", "replace").strip().lower()))
    return tuple(sorted(found))


def read_tiles(
    tags: TagReader, layout: PixelLayout, room: int, directory: ParsedDirectory, log: FaultLog
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]] | None:
    """Return offsets and sizes of a directory's tiles; None if they are invalid.

    Args:
        tags: Of the directory.
        layout: Layout of its pixels.
        room: Number of tiles that may still be read.
        directory: The directory.
        log: Collects faults.
    """
    if layout.tile_count > room:
        detail = f"it would have {layout.tile_count} tiles; at most {MAX_TILES} in a file are checked"
        log.add(Fault(FaultKind.TILE_LIMIT, detail, directory.number))
        return None
    names = (TagNumber.TILE_OFFSETS, TagNumber.TILE_BYTE_COUNTS)
    if not layout.is_tiled:
        names = (TagNumber.STRIP_OFFSETS, TagNumber.STRIP_BYTE_COUNTS)
    offsets, sizes = (tags.array(name, layout.tile_count) for name in names)
    return None if offsets is None or sizes is None else (offsets, sizes)


def _name(tag: int) -> str:
    return TagNumber(tag).title if tag in set(TagNumber) else "?"
