"""A picture as a PNG, and as the HTML that a notebook shows."""

from __future__ import annotations

import base64
import html
import warnings
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from georeader._render.sizes import Picture
from georeader.errors import GeoreaderError, MissingExtraError, WriteError

#: Level of zlib; higher ones take longer and save little.
_PNG_LEVEL = 6

#: Smaller pictures are enlarged on the page, pixel by pixel, up to about this side.
LEAST_SHOWN_PX = 128


def encode_png(picture: Picture) -> bytes:
    """Return a picture as a PNG (ISO/IEC 15948) of 8 bits: grey or red, green and blue, with alpha where it matters.

    Args:
        picture: (row, column, channel) of grey and alpha, or of red, green, blue and alpha. An alpha that is 255
            everywhere is left out. Never changed.

    Raises:
        MissingExtraError: The installed imagecodecs has no PNG.
        WriteError: libpng failed.

    Example:
        >>> import numpy as np
        >>> encode_png(np.full((2, 3, 2), 255, "uint8"))[1:4]
        b'PNG'
    """
    import imagecodecs  # slow to import, and reading does not need it

    if not imagecodecs.PNG.available:
        raise MissingExtraError(
            "a picture needs libpng, which the installed imagecodecs was built without: pip install --force-reinstall "
            "imagecodecs (the wheels on PyPI have it)"
        )
    shown: NDArray[Any] = picture if (picture[..., -1] != 255).any() else picture[..., :-1]
    try:
        # A copy: imagecodecs checks strides, and those of numpy are arbitrary where a side is a single pixel.
        return bytes(imagecodecs.png_encode(shown.copy(), level=_PNG_LEVEL))
    except imagecodecs.PngError as error:
        raise WriteError(f"a picture of {picture.shape} cannot be encoded as a PNG: {error}") from error


def html_of(text: str, draw: Callable[[], Picture]) -> str:
    """Return the HTML of a raster: its picture and its text.

    A raster without a picture (four dimensions, no pixels, a file that is missing or that would have to be read as a
    whole) is shown as text with the reason. Nothing is raised, and warnings are not repeated.

    Args:
        text: The raster's repr.
        draw: Returns the picture.
    """
    content = f"<pre>{html.escape(text)}</pre>"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # issued already when the raster was opened
            return f"<div>{_image(draw())}{content}</div>"
    except GeoreaderError as error:
        return f"<div>{content}<p>no picture: {html.escape(str(error))}</p></div>"


def _image(picture: Picture) -> str:
    height_px, width_px = picture.shape[:2]
    times = max(1, LEAST_SHOWN_PX // max(height_px, width_px))
    content = base64.b64encode(encode_png(picture)).decode("ascii")
    return (
        f'<img width="{width_px * times}" height="{height_px * times}" style="image-rendering: pixelated" '
        f'alt="preview" src="data:image/png;base64,{content}">'
    )
