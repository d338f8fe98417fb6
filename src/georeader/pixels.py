"""Pixels as plain numpy arrays, without losing anything on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader.errors import OptionError


def plain_pixels(values: Any) -> NDArray[Any]:
    """Give array-like pixels as a numpy array, copying only what is none yet.

    Raises:
        OptionError: A masked array with masked pixels: numpy would drop the mask without a word.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        hidden = int(np.ma.getmaskarray(values).sum())
        raise OptionError(
            f"{hidden} of {values.size} pixels are masked, and a GeoTIFF has no place for numpy's masks; pass "
            "values.filled(nodata), and that nodata as fill_value_default"
        )
    return np.asarray(values)
