"""What a notebook shows of a raster: a small picture of it, and its repr."""

from __future__ import annotations

import base64
import html
import math
import warnings
from typing import TYPE_CHECKING

import numpy as np

from georeader.errors import GeoreaderError

if TYPE_CHECKING:
    from georeader.geotensor import GeoTensor
    from georeader.rasterio_reader import RasterioReader

#: Longest side of the picture, in pixels.
SIDE_PX = 384

#: Smaller pictures are enlarged on the page, pixel by pixel, up to about this side.
LEAST_SHOWN_PX = 128

#: What may be read for it, decoded: enough for an overview of any dtype, and little to wait for.
MOST_READ_BYTES = 32 * 2**20

#: Of pixels in memory no more are looked at: every second or third row and column, where there are more.
MOST_LOOKED_AT_PX = 2**26


def html_of(raster: GeoTensor | RasterioReader) -> str:
    """Give a GeoTensor or RasterioReader as HTML: a picture, and what ``repr`` says.

    What has no picture (four dimensions, no pixels, a file that is gone, or that would have to be read as a whole) is
    shown as text, with the reason. Nothing is raised, and no secret of a URL is in it.

    Args:
        raster: A GeoTensor or a RasterioReader.
    """
    text = f"<pre>{html.escape(repr(raster))}</pre>"
    if isinstance(raster, np.ndarray) and "attrs" not in vars(raster):
        return f"<div>{text}</div>"  # it lost its place in numpy, as its repr says
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said already when the raster was opened
            return f"<div>{_image(raster)}{text}</div>"
    except GeoreaderError as error:
        return f"<div>{text}<p>no picture: {html.escape(str(error))}</p></div>"


def _image(raster: GeoTensor | RasterioReader) -> str:
    # A notebook waits for this, and no one else.
    from georeader._render.draw import PreviewRequest, draw
    from georeader._render.png import encode_png

    picture = draw(_thinned(raster), PreviewRequest(SIDE_PX, most_read_bytes=MOST_READ_BYTES))
    height_px, width_px = picture.shape[:2]
    times = max(1, LEAST_SHOWN_PX // max(height_px, width_px))
    content = base64.b64encode(encode_png(picture)).decode("ascii")
    return (
        f'<img width="{width_px * times}" height="{height_px * times}" style="image-rendering: pixelated" '
        f'alt="preview" src="data:image/png;base64,{content}">'
    )


def _thinned(raster: GeoTensor | RasterioReader) -> GeoTensor | RasterioReader:
    """Give every so many rows and columns of what is in memory and very large; else what was given."""
    if not isinstance(raster, np.ndarray) or raster.ndim not in (2, 3):
        return raster
    step = math.isqrt(math.prod(raster.shape[-2:]) // MOST_LOOKED_AT_PX)
    every = slice(None, None, step)
    return raster.isel({"y": every, "x": every}) if step > 1 else raster
