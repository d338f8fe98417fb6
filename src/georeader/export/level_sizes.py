"""How many bytes the tiles of each level take, out of the directories of a finished TIFF. Pure: bytes are asked for.

Meant for files that GDAL wrote a moment ago, at the order of this project; a stranger's file is a validator's business.

References:
    TIFF 6.0, section 2 (directories) and section 15 (tiles); the BigTIFF design.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader.errors import WriteError
from georeader.export.receipt import LevelReceipt
from georeader.export.tiff import BIG, CLASSIC, TagNumber, TagType, Version

#: Reads (offset, length) of the file.
Read = Callable[[int, int], bytes]

_NUMBERS = {TagType.SHORT: "u2", TagType.LONG: "u4", TagType.LONG8: "u8"}

_WANTED = (TagNumber.IMAGE_WIDTH, TagNumber.IMAGE_LENGTH, TagNumber.TILE_BYTE_COUNTS)


def level_receipts(read: Read, factors: Sequence[int]) -> tuple[LevelReceipt, ...]:
    """Tell of each level; an image and its mask, which are of one size, are one level.

    Args:
        read: Gives so many bytes of the file from an offset on, fewer at its end.
        factors: Decimation factors, 1 for the full resolution, then those of the overviews, from the smallest factor.

    Raises:
        WriteError: The bytes are no TIFF, or its levels are not those.
    """
    try:
        sizes = [tuple(numbers[tag] for tag in _WANTED) for numbers in _directories(read)]
    except (struct.error, KeyError, ValueError) as error:
        raise WriteError(f"the directories of the file that GDAL wrote can't be read: {error!r}") from error
    levels: dict[tuple[int, int], list[NDArray[Any]]] = {}
    for width_px, height_px, sizes_bytes in sizes:
        levels.setdefault((int(width_px[0]), int(height_px[0])), []).append(sizes_bytes)
    if len(levels) != len(factors):
        raise WriteError(f"the file that GDAL wrote has levels of {sorted(levels)} pixels, not {len(factors)} of them")
    ordered = sorted(levels, reverse=True)
    return tuple(_receipt(factor, size, levels[size]) for factor, size in zip(factors, ordered, strict=True))


def _receipt(factor: int, size: tuple[int, int], kinds: list[NDArray[Any]]) -> LevelReceipt:
    sizes_bytes = np.concatenate(kinds)
    sparse_count = int(np.count_nonzero(sizes_bytes == 0))
    return LevelReceipt(factor, *size, len(sizes_bytes), sparse_count, int(sizes_bytes.sum(dtype=np.int64)))


@dataclass(frozen=True)
class _Reading:
    """A TIFF's bytes, and how its numbers are written."""

    read: Read
    version: Version
    order: str

    def unpack(self, form: str, offset_bytes: int) -> tuple[Any, ...]:
        form = form.replace("<", self.order)
        return struct.unpack(form, self.read(offset_bytes, struct.calcsize(form)))


def _directories(read: Read) -> Iterator[dict[int, NDArray[Any]]]:
    """Give the tags that matter here of one directory after the other."""
    order = ">" if read(0, 2) == b"MM" else "<"
    (number,) = struct.unpack(f"{order}H", read(2, 2))
    file = _Reading(read, BIG if number == BIG.header_fields[1] else CLASSIC, order)
    offset_bytes = file.unpack(file.version.header_format, 0)[-1]
    while offset_bytes:
        numbers, offset_bytes = _directory(file, offset_bytes)
        yield numbers


def _directory(file: _Reading, start_bytes: int) -> tuple[dict[int, NDArray[Any]], int]:
    """Give a directory's tags that matter, and where the next one lies."""
    version = file.version
    (count,) = file.unpack(version.count_format, start_bytes)
    entry_bytes = start_bytes + struct.calcsize(version.count_format)
    found: dict[int, NDArray[Any]] = {}
    for _ in range(count):
        number, tag_type, values = file.unpack(version.entry_format, entry_bytes)
        if number in _WANTED:
            dtype = np.dtype(file.order + _NUMBERS[tag_type])
            place_bytes = entry_bytes + struct.calcsize(version.entry_format)
            if dtype.itemsize * values > version.inline_bytes:
                (place_bytes,) = file.unpack(version.offset_format, place_bytes)
            found[number] = np.frombuffer(file.read(place_bytes, dtype.itemsize * values), dtype, values)
        entry_bytes += version.entry_bytes
    (following,) = file.unpack(version.offset_format, entry_bytes)
    return found, following
