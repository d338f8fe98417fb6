"""Statistics of a raster's bands, computed tile by tile in one pass. Pure.

Blocks are joined by the pairwise update of Chan, Golub and LeVeque ("Updating formulae and a pairwise algorithm for
computing sample variances", 1979), in the order of the blocks: the same digits for any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BandSummary:
    """Statistics of one band's valid pixels, as a receipt states them.

    Attributes:
        minimum: Smallest value; None where no pixel is valid.
        maximum: Largest value; None likewise.
        mean: None likewise; NaN or infinite where values are infinite.
        standard_deviation: Of all valid pixels, not of a sample of them (the divisor is their number); as the mean.
        valid_percent: How many of the pixels are neither nodata, NaN nor masked.
    """

    minimum: float | None
    maximum: float | None
    mean: float | None
    standard_deviation: float | None
    valid_percent: float


@dataclass(frozen=True)
class BandStatistics:
    """Statistics of some pixels of one band, which can be added up; valid ones are neither nodata, NaN nor masked."""

    minimum: float = math.inf
    maximum: float = -math.inf
    mean: float = 0.0
    squares: float = 0.0  #: Sum of the squared differences from the mean
    valid_count: int = 0
    count: int = 0

    @property
    def valid_percent(self) -> float:
        """How many of the pixels are valid."""
        return 100 * self.valid_count / self.count if self.count else 0.0

    @property
    def standard_deviation(self) -> float:
        """Of the valid pixels, of which there is at least one."""
        return math.sqrt(self.squares / self.valid_count)

    @property
    def summary(self) -> BandSummary:
        """The statistics as a receipt states them."""
        if not self.valid_count:
            return BandSummary(None, None, None, None, self.valid_percent)
        return BandSummary(self.minimum, self.maximum, self.mean, self.standard_deviation, self.valid_percent)

    def __add__(self, other: BandStatistics) -> BandStatistics:
        """Return the statistics of both sets of pixels of the band."""
        count = self.count + other.count
        valid_count = self.valid_count + other.valid_count
        if not valid_count:
            return BandStatistics(count=count)
        share = other.valid_count / valid_count
        difference = other.mean - self.mean if self.valid_count and other.valid_count else 0.0
        mean = other.mean if not self.valid_count else self.mean + difference * share
        return BandStatistics(
            minimum=min(self.minimum, other.minimum),
            maximum=max(self.maximum, other.maximum),
            mean=mean,
            squares=self.squares + other.squares + difference**2 * self.valid_count * share,
            valid_count=valid_count,
            count=count,
        )


def band_statistics(values: NDArray[Any], is_valid: NDArray[np.bool_] | None) -> BandStatistics:
    """Compute the statistics of some (row, column) pixels of one band, of real numbers."""
    valid = values.ravel() if is_valid is None else values[is_valid]
    if not valid.size:
        return BandStatistics(count=values.size)
    with np.errstate(invalid="ignore", over="ignore"):  # infinities have no mean
        centre = float(valid.mean(dtype=np.float64))
        differences = valid - np.float64(centre)
        # The mean of the differences is the rounding error of the mean.
        correction = float(differences.mean())
        # np.dot rounds by the number of processors.
        squares = float(np.square(differences).sum()) - valid.size * correction**2
    return BandStatistics(
        minimum=valid.min().item(),
        maximum=valid.max().item(),
        mean=centre + correction,
        squares=max(squares, 0.0) if squares == squares else squares,
        valid_count=int(valid.size),
        count=int(values.size),
    )


def statistics_tags(statistics: BandStatistics) -> dict[str, str]:
    """Return the metadata items in which GDAL keeps a band's statistics; none of its numbers if no pixel is valid."""
    if not statistics.valid_count:
        return {"STATISTICS_VALID_PERCENT": "0"}
    numbers = {
        "STATISTICS_MAXIMUM": statistics.maximum,
        "STATISTICS_MEAN": statistics.mean,
        "STATISTICS_MINIMUM": statistics.minimum,
        "STATISTICS_STDDEV": statistics.standard_deviation,
    }
    percent = f"{statistics.valid_percent:.4g}"
    if percent == "100" and statistics.valid_count < statistics.count:
        percent = "99.99"  # as GDAL does
    # The shortest digits that come back as the same number.
    texts = {name: repr(value).removesuffix(".0") for name, value in numbers.items()}
    return {**texts, "STATISTICS_VALID_PERCENT": percent}


def summary_of_tags(tags: Mapping[str, str]) -> BandSummary | None:
    """Read the metadata items in which GDAL keeps a band's statistics; None where it keeps none."""
    found = {name: tags.get(f"STATISTICS_{name}") for name in ("MINIMUM", "MAXIMUM", "MEAN", "STDDEV", "VALID_PERCENT")}
    if found["MEAN"] is None and found["VALID_PERCENT"] is None:
        return None
    minimum, maximum = (None if text is None else _number_of(text) for text in (found["MINIMUM"], found["MAXIMUM"]))
    mean, deviation = (None if text is None else float(text) for text in (found["MEAN"], found["STDDEV"]))
    return BandSummary(minimum, maximum, mean, deviation, float(found["VALID_PERCENT"] or 100))


def _number_of(text: str) -> int | float:
    """Read a number; whole ones of 64 bits keep their digits."""
    return int(text) if text.lstrip("-").isdecimal() else float(text)


_Bands = tuple[BandStatistics, ...]


class StatisticsFold:
    """Adds up statistics of tiles in one order: each row from left to right, then the rows from top to bottom.

    The result has the same digits for any order of the tiles.

    Memory: one entry for each row of tiles, and for each tile that came before its left neighbour.
    """

    def __init__(self) -> None:
        self._rows: dict[int, tuple[int, _Bands]] = {}
        self._waiting: dict[tuple[int, int], _Bands] = {}

    def add(self, place: tuple[int, int], statistics: _Bands) -> None:
        """Add the statistics of each band of the tile at (row, column)."""
        row, _ = place
        self._waiting[place] = statistics
        following, joined = self._rows.get(row, (0, ()))
        while (tile := self._waiting.pop((row, following), None)) is not None:
            joined = join_bands(joined, tile)
            following += 1
        self._rows[row] = (following, joined)

    def joined(self) -> _Bands:
        """Return the statistics of all tiles, one per band."""
        return reduce(join_bands, (self._rows[row][1] for row in sorted(self._rows)), ())


def join_bands(one: _Bands, other: _Bands) -> _Bands:
    """Return the statistics of two sets of pixels, one per band; of the second where the first is empty."""
    return tuple(a + b for a, b in zip(one, other, strict=True)) if one else other
