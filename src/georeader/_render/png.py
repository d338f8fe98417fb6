"""The bytes of a PNG."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader.errors import MissingExtraError, WriteError

#: zlib's level: beyond it a picture takes longer, and hardly less.
_LEVEL = 6


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """Give a picture as a PNG (ISO/IEC 15948) of 8 bits: grey or red, green and blue, with alpha where it matters.

    Args:
        picture: (row, column, channel) of grey and alpha, or of red, green, blue and alpha. An alpha that is 255
            everywhere is left out. Never changed.

    Raises:
        MissingExtraError: The installed imagecodecs has no PNG.
        WriteError: libpng failed.

    Example:
        >>> encode_png(np.full((2, 3, 2), 255, "uint8"))[1:4]
        b'PNG'
    """
    import imagecodecs  # whoever only reads rasters need not wait for it

    if not imagecodecs.PNG.available:
        raise MissingExtraError(
            "a picture needs libpng, which the installed imagecodecs was built without: pip install --force-reinstall "
            "imagecodecs (the wheels on PyPI have it)"
        )
    shown: NDArray[Any] = picture if (picture[..., -1] != 255).any() else picture[..., :-1]
    try:
        # A copy: imagecodecs looks at strides, and numpy's are any where a side is a single pixel.
        return bytes(imagecodecs.png_encode(shown.copy(), level=_LEVEL))
    except imagecodecs.PngError as error:
        raise WriteError(f"a picture of {picture.shape} can't be encoded as a PNG: {error}") from error
