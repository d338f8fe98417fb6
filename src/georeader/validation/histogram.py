"""Histograms of bands, as numbers and as text. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._render.colours import share
from georeader._render.legend import number_texts

#: Bins of a histogram; integers have fewer where fewer values occur.
BINS = 16

#: Characters of the longest bar.
BAR_LENGTH = 40


@dataclass(frozen=True)
class BandHistogram:
    """How often values occur in a band of one level; complex numbers by their magnitude.

    Attributes:
        band: Its number, from 1.
        description: Its name, or None.
        level_width_px: Columns of the level that was read.
        level_height_px: Rows of it.
        counted: Number of pixels with a value.
        missing: Number of pixels that are nodata, masked, transparent, NaN or infinite.
        bins: (low, high, count) of each bin. A bin of integers has both; else ``high`` belongs to the next bin, and to
            the last one.

    Example:
        >>> print(BandHistogram(1, "height", 2, 2, 3, 1, ((0, 4, 2), (5, 9, 1))))
        band 1 height: 3 pixels of 2 x 2, 1 missing
          0 to 4  ########################################  66.7 %
          5 to 9  ####################                      33.3 %
    """

    band: int
    description: str | None
    level_width_px: int
    level_height_px: int
    counted: int
    missing: int
    bins: tuple[tuple[int | float, int | float, int], ...]

    def __repr__(self) -> str:
        """Return one line: the band, and the number of pixels."""
        missing = f", {self.missing:,} missing" if self.missing else ""
        name = f" {self.description}" if self.description else ""
        size = f"{self.level_width_px} x {self.level_height_px}"
        return f"band {self.band}{name}: {self.counted:,} pixels of {size}{missing}"

    def __str__(self) -> str:
        """Return a line for each bin, with a bar."""
        texts = number_texts([number for low, high, _ in self.bins for number in (low, high)])
        names = [low if low == high else f"{low} to {high}" for low, high in zip(texts[::2], texts[1::2], strict=True)]
        width, most = max(map(len, names), default=0), max((count for *_, count in self.bins), default=0)
        lines = [repr(self)]
        for name, (*_, count) in zip(names, self.bins, strict=True):
            bar = "#" * math.ceil(count / most * BAR_LENGTH)
            lines.append(f"  {name:>{width}}  {bar:<{BAR_LENGTH}} {100 * count / self.counted:5.1f} %")
        return "\n".join(lines)


def count_bins(values: NDArray[Any]) -> tuple[tuple[int | float, int | float, int], ...]:
    """Return (low, high, count) of bins of one size, from the smallest to the largest of finite values.

    Example:
        >>> count_bins(np.array([1, 1, 3]))
        ((1, 1, 2), (2, 2, 0), (3, 3, 1))
        >>> count_bins(np.array([0.0, 8.0]))[-1]
        (7.5, 8.0, 1)
    """
    if not len(values):
        return ()
    low, high = values.min().item(), values.max().item()
    if values.dtype.kind in "iu":
        size = -(-(high - low + 1) // BINS)
        count = -(-(high - low + 1) // size)
        # Differences of 64-bit integers may need all 64 bits: modulo 2**64 they are right.
        above = values.astype(np.uint64) - np.asarray(values.min()).astype(np.uint64)
        counts = np.bincount((above // np.uint64(size)).astype(np.intp), minlength=count)
        lows: Sequence[int | float] = [low + size * position for position in range(count)]
        highs: Sequence[int | float] = [min(start + size - 1, high) for start in lows]
    elif low == high:
        counts, lows, highs = np.array([len(values)]), [low], [high]
    else:
        position = np.minimum((share(values, low, high) * BINS).astype(np.intp), BINS - 1)
        counts = np.bincount(position, minlength=BINS)
        edges = [low, *(low * (1 - part / BINS) + high * (part / BINS) for part in range(1, BINS)), high]
        lows, highs = edges[:-1], edges[1:]
    return tuple(zip(lows, highs, counts.tolist(), strict=True))
