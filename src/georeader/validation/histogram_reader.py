"""Reading of histograms: from the smallest overview of a file that is enough."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from rasterio.windows import Window

from georeader._render.colours import magnitude
from georeader._render.sizes import picture_shape
from georeader._resample.block import find_valid
from georeader.rasterio_reader import RasterioReader
from georeader.validation.histogram import BandHistogram, count_bins

#: An overview is enough if its longer side has this many pixels.
ENOUGH_PX = 512

#: Pixels of a band that are counted; of a larger level, every nth row and column are.
MOST_COUNTED_PX = 2**22

#: Side of the windows that are read: a multiple of common tiles, so that none is decoded twice.
WINDOW_PX = 2048

#: Bands that have a histogram.
MOST_BANDS = 8


def read_histograms(reader: RasterioReader) -> tuple[BandHistogram, ...]:
    """Read the histograms of the first bands but alpha; without overviews all of the raster is read."""
    level = reader._overview_for(picture_shape((reader.height, reader.width), reader.transform, ENOUGH_PX))
    interps = list(reader.attrs.get("colorinterp", ()))
    alpha = interps.index("alpha") + 1 if "alpha" in interps and reader.count > 1 else None
    numbers = [number for number in range(1, reader.count + 1) if number != alpha]
    return tuple(_read_band(level, number, alpha) for number in numbers[:MOST_BANDS])


def _read_band(level: RasterioReader, number: int, alpha: int | None) -> BandHistogram:
    nodata = level.nodatavals[number - 1]
    step = max(1, math.ceil(math.sqrt(level.height * level.width / MOST_COUNTED_PX)))
    parts, read_px = [], 0
    for window in _windows(level):
        pixels, mask = level._file.read(
            window, [number], fill=0, has_mask=level.has_mask or alpha is not None, alpha_index=alpha
        )
        band = magnitude(pixels[0, ::step, ::step])
        valid = find_valid(band, nodata, None if mask is None else mask[::step, ::step])
        counted = band.reshape(-1) if valid is None else band[valid]
        parts.append(counted[np.isfinite(counted)] if counted.dtype.kind == "f" else counted)
        read_px += band.size
    values = np.concatenate(parts)
    return BandHistogram(
        band=number,
        description=level.descriptions[number - 1],
        level_width_px=level.width,
        level_height_px=level.height,
        counted=len(values),
        missing=read_px - len(values),
        bins=count_bins(values),
    )


def _windows(level: RasterioReader) -> Iterator[Window]:
    for row in range(0, level.height, WINDOW_PX):
        for column in range(0, level.width, WINDOW_PX):
            yield Window(column, row, min(WINDOW_PX, level.width - column), min(WINDOW_PX, level.height - row))
