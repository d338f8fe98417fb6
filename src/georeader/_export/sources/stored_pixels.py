"""Pixels of stored tiles, decoded by the project's own codecs, in place of GDAL's reading of the same file."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._codecs.registry import PREDICTORS
from georeader._codecs.streams import STREAMS
from georeader._codecs.tile_codec import tile_codec
from georeader._core.threads import usable_cpus
from georeader._core.windows import MaskedPixels, PixelWindow
from georeader._export.plan.grid import BlockGrid
from georeader._export.plan.spec import ExportSpec
from georeader._export.sources.protocol import Source, SourceWrapper
from georeader._export.sources.stored_file import read_tiles
from georeader._export.sources.stored_tiles import StoredTiles
from georeader.errors import ReadError


def decoded_here(source: Source, tiles: StoredTiles | None, spec: ExportSpec) -> Source:
    """Return a source that reads a file's tiles without GDAL, where they are taken over and easily decoded."""
    can_decode = spec.encoding.codec in STREAMS and spec.mask is None
    return StoredPixels(source, tiles, spec) if tiles is not None and spec.reused is not None and can_decode else source


class StoredPixels(SourceWrapper):
    """A tiled file without a mask, whose tiles are compressed bytes; any number of threads may read."""

    def __init__(self, source: Source, tiles: StoredTiles, spec: ExportSpec) -> None:
        super().__init__(source)
        layout, encoding = tiles.image.layout, spec.encoding
        self._tiles, self._layout = tiles, layout
        self._grid = BlockGrid(layout.height_px, layout.width_px, layout.tile_height_px, layout.tile_width_px)
        self._shape = layout.tile_height_px, layout.tile_width_px, layout.tile_samples
        self._codec = tile_codec(
            encoding.codec,
            dtype=spec.dtype,
            samples=layout.tile_samples,
            predictor=PREDICTORS[encoding.predictor],
            is_big_endian=tiles.is_big_endian,
        )
        self._missing = 0 if source.spec.fill_value is None else source.spec.fill_value
        tile_bytes = math.prod(self._shape) * spec.dtype.itemsize
        self.traits = replace(source.traits, concurrent_reads=usable_cpus(), reader_bytes=3 * tile_bytes)

    def read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        """Read a window."""
        pixels = np.empty((len(bands), *region.shape), self.spec.dtype)
        planes = (
            [(0, bands, 0)] if self._layout.planes == 1 else [(band, range(1), at) for at, band in enumerate(bands)]
        )
        for plane, samples, first in planes:
            places = list(self._grid.touched(region))
            for place, data in zip(places, self._read(plane, places), strict=True):
                window = self._grid.window(place)
                part = window.intersection(region)
                target = pixels[first : first + len(samples), *part.within(region)]
                target[:] = self._decode(data, plane, place)[:, *part.within(window)][samples.start : samples.stop]
        return pixels, None

    def _read(self, plane: int, places: list[tuple[int, int]]) -> list[bytes]:
        layout, image = self._layout, self._tiles.image
        first = plane * layout.tiles_across * layout.tiles_down
        numbers = [first + row * layout.tiles_across + column for row, column in places]
        return read_tiles(self._tiles.source, image.offsets_bytes[numbers], image.sizes_bytes[numbers])

    def _decode(self, data: bytes, plane: int, place: tuple[int, int]) -> NDArray[Any]:
        """Return a tile as (band, row, column)."""
        if not data:
            return np.broadcast_to(self.spec.dtype.type(self._missing), (self._shape[2], *self._shape[:2]))
        try:
            return np.moveaxis(self._codec.decode(data, self._shape), -1, 0)
        except ReadError as error:
            raise ReadError(f"plane {plane}, tile row {place[0]} column {place[1]}: {error}") from error
