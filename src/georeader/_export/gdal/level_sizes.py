"""How many bytes the tiles of each level take, out of the directories of a finished TIFF. Pure: bytes are asked for.

Meant for files that GDAL wrote a moment ago, at the order of this project; a stranger's file is a validator's business.

References:
    TIFF 6.0, section 2 (directories) and section 15 (tiles); the BigTIFF design.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._export.receipt.receipt import LevelReceipt
from georeader._tiff.directories import Read, TagNumber, read_directories
from georeader.errors import WriteError

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
        sizes = [tuple(tags[tag].numbers() for tag in _WANTED) for tags in read_directories(read)]
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
