"""Scenes that are larger than memory: pixels are made when a window is read, at the cost of a copy.

One patch of a scene (`inputs.scene`: the same fields, the same noise) is repeated over the raster, and a wedge of
nodata lies over it as on every other input. A codec encodes one tile at a time, and no tile is as large as the patch:
to it the raster is as good as one that never repeats.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.inputs import scene
from benchmarks.settings import Place

#: Side of the patch: a prime, so that it never begins where a tile does.
PATCH_PX = 1237

#: Bands that differ; further ones are these, shifted.
PATCH_BANDS = 4

#: How far each round of bands is shifted, in pixels.
_SHIFT_PX = 101


class LazyScene:
    """A scene without its pixels: an object of the GeoData protocol that gives windows of itself.

    Args:
        shape: (band, row, column).
        place: Where it lies; nodata is 0.
    """

    dtype = np.dtype("uint16")

    def __init__(self, shape: tuple[int, int, int], place: Place) -> None:
        from affine import Affine

        self.shape = shape
        self.crs = place.crs
        self.transform = Affine(*place.transform)
        self.fill_value_default = place.nodata
        self._patch = _patch()

    @property
    def values(self) -> NDArray[Any]:
        """Raise MemoryError: peers must read windows."""
        raise MemoryError(f"all pixels of a scene of {self.nbytes} bytes were asked for")

    @property
    def nbytes(self) -> int:
        """Bytes that all pixels would take."""
        bands, rows, columns = self.shape
        return bands * rows * columns * self.dtype.itemsize

    def read_from_window(self, window: Any) -> Any:
        """Make the pixels of a window of rasterio's kind, within the scene; gives a GeoTensor."""
        from georeader.geotensor import GeoTensor
        from georeader.window_utils import window_transform

        rows, columns = (slice(*map(int, pair)) for pair in window.toranges())
        place = window_transform(window, self.transform)
        return GeoTensor(self[:, rows, columns], place, self.crs, fill_value_default=self.fill_value_default)

    def __getitem__(self, key: tuple[slice, slice, slice]) -> NDArray[np.uint16]:
        """Make the pixels of some bands, rows and columns; steps are not known."""
        bands, rows, columns = (range(size)[part] for part, size in zip(key, self.shape, strict=True))
        pixels = np.empty((len(bands), len(rows), len(columns)), self.dtype)
        for target, band in zip(pixels, bands, strict=True):
            shift_px = band // PATCH_BANDS * _SHIFT_PX
            for to_rows, from_rows in _segments(rows, shift_px):
                for to_columns, from_columns in _segments(columns, shift_px):
                    target[to_rows, to_columns] = self._patch[band % PATCH_BANDS, from_rows, from_columns]
        self._take_wedge_away(pixels, rows, columns)
        return pixels

    def whole(self) -> NDArray[np.uint16]:
        """Make all pixels."""
        return self[:, :, :]

    def _take_wedge_away(self, pixels: NDArray[np.uint16], rows: range, columns: range) -> None:
        """Set to nodata what the satellite did not pass over: a wedge on the left, a sixth of the scene."""
        _, height_px, width_px = self.shape
        first_seen = (height_px - np.arange(rows.start, rows.stop)) * (width_px / (3 * height_px))
        if not len(rows) or columns.start >= first_seen[0]:
            return
        if columns.stop <= first_seen[-1]:
            pixels[:] = 0
            return
        np.copyto(pixels, 0, where=np.arange(columns.start, columns.stop) < first_seen[:, None])


@dataclass(frozen=True)
class LazyInput:
    """One kind of scene that is made window by window.

    Attributes:
        name: What it is called in the results.
        title: What it holds.
        shape: (band, row, column) at the default ``--size``; rows and columns are in proportion to that.
        nodata: Value of missing pixels.
        resampling: How its overviews are made.
        predictor: The predictor that suits it.
    """

    name: str
    title: str
    shape: tuple[int, int, int]
    nodata: float = 0
    resampling: str = "average"
    predictor: int = 2

    @property
    def place(self) -> Place:
        """Where it lies."""
        return Place(nodata=self.nodata)

    def shape_at(self, share: float) -> tuple[int, int, int]:
        """Return (band, row, column) for rasters whose sides are a share of what they are by default."""
        bands, rows, columns = self.shape
        return bands, max(64, round(rows * share)), max(64, round(columns * share))


LAZY_INPUTS = {
    raster.name: raster
    for raster in [
        LazyInput("scene", "a scene of 12.8 GB", (4, 40_000, 40_000)),
        LazyInput("rows-1", "10,000 rows", (1, 10_000, 20_000)),
        LazyInput("rows-4", "4 times as many", (1, 40_000, 20_000)),
        LazyInput("rows-16", "16 times as many", (1, 160_000, 20_000)),
        # Its sides can be halved ten times: GDAL's overviews of odd sides are of another size in bytes.
        LazyInput("tiled", "a tiled GeoTIFF with 2 GB of pixels", (1, 31_744, 31_744)),
        LazyInput("bigtiff", "more than 4 GB of pixels", (1, 48_000, 48_000)),
        LazyInput("bands285", "a hyperspectral scene", (285, 2_000, 2_000)),
        LazyInput("wide", "200,000 pixels wide", (1, 2_000, 200_000)),
        LazyInput("tiles", "a million tiles of 16 x 16 pixels", (1, 16_000, 16_000)),
    ]
}


@lru_cache(maxsize=1)
def _patch() -> NDArray[np.uint16]:
    """Make the patch that scenes consist of: (band, row, column)."""
    patch = scene(PATCH_PX, bands=PATCH_BANDS, has_wedge=False)
    patch.flags.writeable = False
    return patch


def _segments(span: range, shift_px: int) -> Iterator[tuple[slice, slice]]:
    """Cut a span of rows or columns where the patch begins anew.

    Yields:
        Where they go, counted from the span's beginning, and where they come from in the patch.
    """
    start = span.start
    while start < span.stop:
        offset = (start + shift_px) % PATCH_PX
        stop = min(span.stop, start + PATCH_PX - offset)
        yield slice(start - span.start, stop - span.start), slice(offset, offset + stop - start)
        start = stop
