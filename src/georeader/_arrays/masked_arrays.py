"""Pixels as plain numpy arrays, without losing anything on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader.errors import OptionError


def to_ndarray(values: Any) -> NDArray[Any]:
    """Give array-like pixels as a numpy array, copying only what is none yet.

    Raises:
        OptionError: A masked array with masked pixels: numpy would drop the mask without a word.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        hidden = int(np.ma.getmaskarray(values).sum())
        raise OptionError(
            f"{hidden} of {values.size} pixels are masked, and only the pixels are taken here; pass "
            "values.filled(nodata), and that nodata as fill_value_default, or GeoTensor(values, ...), which keeps masks"
        )
    return np.asarray(values)


def split_mask(values: Any) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Part array-like pixels into a numpy array and the mask that all bands share, copying only what is none yet.

    Args:
        values: Array-like, the last two axes (row, column). Of masked arrays, the numbers below the mask are kept.

    Returns:
        The pixels, and a (row, column) array that is True where they are valid; None where nothing is masked.

    Raises:
        OptionError: The bands are masked at different pixels.
    """
    if not isinstance(values, np.ma.MaskedArray) or not np.ma.is_masked(values):
        return np.asarray(values), None
    hidden = np.ma.getmaskarray(values)
    planes = hidden.reshape(-1, *hidden.shape[-2:])
    if (planes != planes[0]).any():
        raise OptionError(
            f"{int(hidden.sum())} of {values.size} pixels are masked, not the same ones in each band, and a GeoTIFF "
            "has one mask for all bands; pass values.filled(nodata), and that nodata as fill_value_default"
        )
    return np.asarray(values), ~planes[0]
