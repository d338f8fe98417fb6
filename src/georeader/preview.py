"""A raster as a picture: a PNG from its smallest overview that is enough."""

from __future__ import annotations

import operator
import os
from typing import TYPE_CHECKING, Any

from georeader._render.draw import PreviewRequest, draw
from georeader._render.png import encode_png
from georeader._render.stretch import check_percentiles
from georeader.errors import OptionError
from georeader.rasterio_reader import RasterioReader

if TYPE_CHECKING:
    from georeader._render.bands import BandSelector

#: Longest side of a picture, in pixels.
MAX_SIDE_DEFAULT_PX = 1024

#: The longest that may be asked for; a picture holds some 20 bytes for each of its pixels while it is made.
MAX_SIDE_LIMIT_PX = 2**15


def preview(
    data: Any,
    *,
    max_side_px: int = MAX_SIDE_DEFAULT_PX,
    bands: BandSelector | None = None,
    percentiles: tuple[float, float] | None = None,
    fs: Any = None,
) -> bytes:
    """Draw a raster as a PNG.

    Of a file, the smallest overview is read whose longer side is not shorter than the picture's; where there is none,
    the whole raster is, piece by piece. What is still larger than the picture is averaged, nodata, NaN, masked and
    transparent pixels left out. Classes are picked: bool, what has a colour table, and what has overviews by NEAREST or
    MODE (the tag OVERVIEW_RESAMPLING, or what else records it).

    Each band is stretched between two percentiles of its valid pixels in the level that was read. Bands whose colour
    interpretation is red, green and blue, and three bands of which nothing is said, are shown as they are where they
    are uint8; bool is black and white; a colour table gives its colours; the first band of a MINISWHITE raster is
    inverted. Of complex numbers the magnitude is shown. Pixels are transparent where they are masked, nodata, NaN or
    infinite in all bands that are shown, or not in the colour table; an alpha band of uint8 gives its own transparency,
    one of another dtype is opaque where it is not 0.

    North is up as far as mirroring and quarter turns reach. Where a pixel's sides differ by more than
    1 % in units of the CRS, the coarser axis is enlarged to the proportions that it has there.

    Args:
        data: Path or URL, RasterioReader (its window and bands in focus), GeoTensor, or whatever else
            `georeader.save_cog` takes: (row, column) or (band, row, column). Never changed.
        max_side_px: Longest side of the picture, which is no larger than the raster otherwise.
        bands: One (grey) or three (red, green, blue), counted from 1 as by `RasterioReader.indexes`, or by description
            in any case. By default those whose colour interpretation is red, green and blue; else those that are
            described as such, or as B04, B03 and B02; else all three, where there are three; else the first.
        percentiles: (lower, upper), from 0 to 100; by default (2, 98), for what is stretched. Where they are given,
            uint8 colours are stretched, too.
        fs: A filesystem of fsspec or a store of obstore to open the path in, as in `RasterioReader`.

    Returns:
        The bytes of a PNG of 8 bits: grey or red, green and blue, with alpha where something is transparent.

    Raises:
        OptionError: An argument is invalid, or a band does not exist.
        ShapeError: The raster is empty, or has more than three dimensions.
        GeoreferenceError: ``data`` is not a raster.
        DtypeError: A GeoTIFF cannot hold its dtype.
        ReadError: It can't be opened or read.
        MissingExtraError: The installed imagecodecs was built without PNG.

    Memory: about 100 MiB, and some 20 bytes for each pixel of the level that is read, which has less than
    (2 * ``max_side_px``)**2 (where overviews halve the raster, and pixels are squares).

    Example:
        >>> import numpy as np
        >>> from affine import Affine
        >>> from georeader import GeoTensor, save_cog
        >>> height_m = np.add.outer(np.arange(600.0), np.arange(900.0))
        >>> _ = save_cog(GeoTensor(height_m, Affine(30, 0, 0, 0, -30, 0), 3857, np.nan), "height.tif")
        >>> png = preview("height.tif", max_side_px=300)
        >>> png[1:4], int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
        (b'PNG', 300, 200)
    """
    wish = PreviewRequest(
        max_side_px=_side_px(max_side_px),
        bands=bands,
        percentiles=None if percentiles is None else check_percentiles(percentiles),
    )
    return encode_png(draw(_as_raster(data, fs), wish))


def _side_px(value: Any) -> int:
    try:
        side_px = operator.index(value)
    except TypeError as error:
        raise OptionError(f"max_side_px={value!r} is no whole number of pixels") from error
    if not 1 <= side_px <= MAX_SIDE_LIMIT_PX:
        raise OptionError(f"max_side_px={side_px}; give 1 to {MAX_SIDE_LIMIT_PX} pixels")
    return side_px


def _as_raster(data: Any, fs: Any) -> Any:
    if isinstance(data, (str, bytes, os.PathLike)):
        return RasterioReader(os.fsdecode(data) if isinstance(data, bytes) else data, fs=fs)
    if fs is not None:
        raise OptionError(f"fs goes with a path, and data is a {type(data).__name__}; leave it out")
    return data
