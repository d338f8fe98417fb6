"""numpy dtypes and their GeoTIFF counterparts, and the nodata values that they can hold."""

from __future__ import annotations

import numbers
import sys
from typing import Any

import numpy as np
import rasterio.dtypes

from georeader.errors import DtypeError, NodataError

#: Lossless substitutes for dtypes that a GeoTIFF does not have.
_WIDENED = {"bool": "uint8", "float16": "float32"}

#: Integers that even float64 rounds, though numpy calls that cast safe.
WIDE_DTYPES = ("int64", "uint64")

#: Advice for dtypes that are not converted automatically.
_ADVICE = {
    "O": "cast to the numbers that the objects stand for, for instance .astype('float64')",
    **dict.fromkeys("UST", "encode the words as integer classes, for instance by np.unique(..., return_inverse=True)"),
    **dict.fromkeys("Mm", "cast to int64 (.astype('int64')) and note the unit in a tag"),
    "V": "stack the fields as bands of one number type, for instance float64",
    "f": "cast to float64",
    "c": "cast to complex128",
    "i": "cast to int16, int32 or float64",
    "u": "cast to uint8, uint16, uint32 or float64",
}


def is_nodata_for_rasterio(nodata: int | float | None, dtype: np.dtype[Any]) -> bool:
    """Return whether rasterio passes nodata on: it makes doubles of 64-bit integers, and refuses complex infinity."""
    return nodata is None or not (dtype.name in WIDE_DTYPES or (dtype.kind == "c" and np.isinf(nodata)))


def nodata_text(nodata: int | float) -> str:
    """Return nodata as GDAL writes it into a GeoTIFF.

    Example:
        >>> nodata_text(-(2**63)), nodata_text(0.1), nodata_text(float("inf"))
        ('-9223372036854775808', '0.10000000000000001', 'inf')
    """
    return str(nodata) if isinstance(nodata, int) else f"{nodata:.17g}"


def storage_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the dtype that the installed GDAL stores for ``dtype`` in a GeoTIFF, in native byte order."""
    try:
        wanted: np.dtype[Any] = np.dtype("None" if dtype is None else dtype)  # None itself would be float64
    except (TypeError, ValueError) as error:
        raise DtypeError(f"dtype={dtype!r} is not a numpy dtype; pass for instance 'uint16' or 'float32'") from error
    name = _WIDENED.get(wanted.name, wanted.name)
    if wanted.kind not in "biufc" or not rasterio.dtypes.check_dtype(name):
        advice = _ADVICE.get(wanted.kind, "cast to float64")
        raise DtypeError(f"dtype {wanted} has no GeoTIFF counterpart in the installed GDAL; {advice}")
    stored: np.dtype[Any] = np.dtype(name)
    return stored


def check_nodata(nodata: Any, dtype: np.dtype[Any], where: str) -> int | float | None:
    """Convert nodata to a number that ``dtype`` holds; otherwise raise a NodataError that begins with ``where``.

    None stays None. It is an int for integer dtypes, else the nearest value as a float. That of a complex raster is
    real, and kept in double precision, as GDAL does.
    """
    if nodata is None:
        return None
    number = nodata.item() if isinstance(nodata, (np.generic, np.ndarray)) and nodata.ndim == 0 else nodata
    if isinstance(number, bool):
        number = int(number)
    if not isinstance(number, numbers.Real):
        raise NodataError(f"{where}={nodata!r} is not a real number; pass a number, or None for no nodata")
    return _fit_integer(number, dtype, where) if dtype.kind in "iu" else _fit_float(number, dtype, where)


def _fit_integer(number: Any, dtype: np.dtype[Any], where: str) -> int:
    limits = np.iinfo(dtype)
    whole = number == number and abs(number) != float("inf") and number == int(number)
    if not whole or not limits.min <= int(number) <= limits.max:
        raise NodataError(
            f"{where}={number!r} cannot be held by {dtype}, which holds integers from {limits.min} to {limits.max}; "
            "pass a nodata in that range, or save as another dtype (profile_arg={'dtype': ...})"
        )
    return int(number)


def _fit_float(number: Any, dtype: np.dtype[Any], where: str) -> float:
    part = np.empty(0, dtype).real.dtype
    with np.errstate(over="ignore", under="ignore"):
        stored = part.type(number) if abs(number) <= sys.float_info.max else part.type(np.inf)
    is_finite = number == number and abs(number) != float("inf")
    if (is_finite and not np.isfinite(stored)) or (number != 0 and stored == 0):
        limits = np.finfo(part)
        raise NodataError(
            f"{where}={number!r} cannot be held by {dtype}, which ends at {limits.max:g} and, towards 0, at "
            f"{limits.smallest_subnormal:g}; pass nodata=numpy.nan, or save as float64"
        )
    return float(stored) if is_finite and dtype.kind == "f" else float(number)


def convert_pixels(pixels: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return the pixels in the dtype of the file; values that it does not hold are a DtypeError.

    Floating-point numbers become integers by rounding half to even. The input is never changed; it is returned itself
    if its dtype is that of the file.
    """
    if pixels.dtype == dtype and pixels.dtype.isnative:
        return pixels
    if not pixels.size:
        return pixels.astype(dtype)
    if pixels.dtype.kind == "c" and dtype.kind != "c":
        raise DtypeError(f"complex pixels cannot be saved as {dtype}; take .real, .imag or abs() first")
    if dtype.kind in "iu" and not np.can_cast(pixels.dtype, dtype, "safe"):
        pixels = _check_integer_range(pixels, dtype)
    elif dtype.kind in "fc" and (pixels.dtype.name in WIDE_DTYPES or not np.can_cast(pixels.dtype, dtype, "safe")):
        return _to_smaller_float(pixels, dtype)
    return pixels.astype(dtype)


def replace_nan(pixels: np.ndarray[Any, Any], nodata: float) -> np.ndarray[Any, Any]:
    """Return floating-point or complex pixels with nodata in place of NaN; the input itself if it has none.

    An integer, which a file of integers has, is kept exactly up to 2**53.
    """
    is_nan = np.isnan(pixels)
    if not is_nan.any():
        return pixels
    number = np.float64(nodata) if isinstance(nodata, int) else pixels.dtype.type(nodata)
    return np.where(is_nan, number, pixels)


def _check_integer_range(pixels: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    limits = np.iinfo(dtype)
    if pixels.dtype.kind == "f":
        pixels = np.rint(pixels)
    low, high = pixels.min(), pixels.max()
    # The upper end is compared as "below one more", since 2**63 - 1 is not a double.
    if not (low >= limits.min and high < float(limits.max) + 1) or (
        pixels.dtype.kind in "iu" and int(high) > limits.max
    ):
        missing = int(np.isnan(pixels).sum()) if pixels.dtype.kind == "f" else 0
        if missing:
            raise DtypeError(
                f"{missing} pixels of NaN cannot be saved as {dtype} ({limits.min} to {limits.max}); replace them "
                "by the nodata first"
            )
        raise DtypeError(
            f"pixels from {low} to {high} cannot be saved as {dtype} ({limits.min} to {limits.max}); clip or "
            "rescale them first"
        )
    return pixels


def _to_smaller_float(pixels: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Convert to a smaller floating-point dtype: integers exactly, other numbers within its range."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        converted = pixels.astype(dtype)
        if pixels.dtype.kind in "fc":
            lost = np.isinf(converted) & ~np.isinf(pixels)
        else:
            lost = converted.real.astype(pixels.dtype) != pixels
    if lost.any():
        raise DtypeError(f"{int(lost.sum())} pixels, such as {pixels[lost][0]!s}, cannot be saved as {dtype} unchanged")
    return converted
