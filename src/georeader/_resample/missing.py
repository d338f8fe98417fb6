"""Missing pixels: how they are found, and the values in their place. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._resample.block import filled
from georeader.errors import NodataError


def nodata_of(nodata: Any, dtype: np.dtype[Any]) -> Any:
    """Return nodata as a scalar of ``dtype``, as the file holds it; None stays None.

    Raises:
        NodataError: An integer dtype can't hold it.
    """
    if nodata is None:
        return None
    if dtype.kind not in "iu":
        with np.errstate(over="ignore", under="ignore"):
            return dtype.type(nodata)
    limits = np.iinfo(dtype)
    if nodata != nodata or not limits.min <= nodata <= limits.max or int(nodata) != nodata:
        raise NodataError(
            f"nodata={nodata!r} can't be held by {dtype}, which holds integers from {limits.min} to {limits.max}; "
            "pass a nodata in that range, or None"
        )
    return dtype.type(int(nodata))


def missing_value(nodata: Any, dtype: np.dtype[Any]) -> Any:
    """Return the value of a missing pixel: nodata, else NaN where the dtype has it, else 0."""
    if nodata is not None:
        return nodata
    return dtype.type(np.nan if dtype.kind in "fc" else 0)


def beside(nodata: Any) -> Any:
    """Return the number next to a nodata: the one above, or below the largest.

    It takes the place of a valid result that happens to equal nodata. The rule is GDAL's
    (``GDALGetNoDataReplacementValue``), save that 64-bit integers keep all their digits.

    Args:
        nodata: A numpy scalar.

    >>> beside(np.uint8(255)), beside(np.int16(-1))
    (np.uint8(254), np.int16(0))
    """
    dtype = nodata.dtype
    if dtype.kind in "iu":
        return dtype.type(int(nodata) + (-1 if nodata == np.iinfo(dtype).max else 1))
    part = nodata.real
    largest = np.finfo(part.dtype).max
    return dtype.type(np.nextafter(part, part.dtype.type(0) if part >= largest else largest))


def find_valid(values: NDArray[Any], nodata: Any, is_valid: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """Find the pixels that count: not nodata, not NaN in any part, not masked out.

    Args:
        values: (row, column).
        nodata: A scalar of the dtype, or None.
        is_valid: (row, column), or None.

    Returns:
        (row, column), or None where all pixels count.
    """
    found = None if is_valid is None or is_valid.all() else is_valid
    if nodata is not None and nodata == nodata and _may_hold(values, nodata):
        found = _without(values == nodata, found)
    if values.dtype.kind in "fc":
        found = _without(np.isnan(values), found)
    return found


def _may_hold(values: NDArray[Any], number: Any) -> bool:
    """Return whether a number is in the range of the values, which rules most nodata out quickly."""
    return values.dtype.kind not in "iu" or (bool(values.min() <= number) and bool(number <= values.max()))


def _without(is_missing: NDArray[np.bool_], found: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    if not is_missing.any():
        return found
    np.logical_not(is_missing, out=is_missing)
    return is_missing if found is None else np.logical_and(is_missing, found, out=is_missing)


def kept_apart(values: NDArray[Any], nodata: Any) -> NDArray[Any]:
    """Return valid results, with those that equal nodata moved to the number beside it."""
    if nodata is None or nodata != nodata:
        return values
    differs = values != nodata
    return values if differs.all() else filled(values, differs, beside(nodata))
