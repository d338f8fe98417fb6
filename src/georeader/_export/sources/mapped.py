"""Arrays that are files mapped into memory: what a read touched is let go of again."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.windows import PixelWindow
from georeader._export.plan.order_of_work import SourceTraits
from georeader._export.plan.spec import SourceSpec
from georeader._resample.pyramid import Mask

#: Modes of numpy.memmap whose pages are those of the file: to drop them loses nothing.
_SHARED_MODES = ("r", "r+", "w+")


@dataclass
class MappedSource:
    """An array whose pixels lie in a mapped file.

    Pages that were read count as this process's memory, so they are given back after each window (madvise(2),
    MADV_DONTNEED); the system keeps them in its cache, and whoever holds the array reads them again. Pages of a
    copy-on-write mapping (mode "c") hold what was written to it, and stay.

    Attributes:
        name: What to call it in messages.
        spec: What it is.
        pixels: (band, row, column).
        mask: (row, column), or None.
        mapping: What the pixels lie in, where its pages may be dropped.
    """

    name: str
    spec: SourceSpec
    pixels: NDArray[Any]
    mask: Mask
    mapping: mmap.mmap | None
    traits: SourceTraits = field(default=SourceTraits(concurrent_reads=2), init=False)

    def read(self, region: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        """Copy a window out of the mapping."""
        rows, columns = slice(region.row_start, region.row_stop), slice(region.column_start, region.column_stop)
        pixels = np.array(self.pixels[bands.start : bands.stop, rows, columns])
        if self.mapping is not None and hasattr(self.mapping, "madvise"):
            self.mapping.madvise(mmap.MADV_DONTNEED)
        return pixels, None if self.mask is None else self.mask[rows, columns]

    def close(self) -> None:
        """Leave the mapping to who made it."""


def is_mapped(values: Any) -> bool:
    """Tell whether an array is a view of a mapped file."""
    return _base(values)[0] is not None


def droppable_mapping(values: NDArray[Any]) -> mmap.mmap | None:
    """Give the mapping that an array lies in, where its pages may be dropped."""
    mapping, mode = _base(values)
    return mapping if mode in _SHARED_MODES else None


def _base(values: Any) -> tuple[mmap.mmap | None, str | None]:
    """Follow an array to what it is a view of."""
    mode = None
    while isinstance(values, (np.ndarray, memoryview)):
        mode = getattr(values, "mode", mode) if isinstance(values, np.memmap) else mode
        values = values.base if isinstance(values, np.ndarray) else values.obj
    return (values, mode) if isinstance(values, mmap.mmap) else (None, None)
