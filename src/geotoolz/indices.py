"""Spectral indices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader import GeoTensor
from georeader.errors import DtypeError, OptionError
from georeader.toolkit import without_bands, without_encoding
from geotoolz._rasters import band_index, check_bands, load_bands
from geotoolz.operator import Operator

#: Pixels that are worked on at a time: what lies in between stays in a processor's cache.
_STRIP_PIXELS = 2**16

#: What these hold, sums of two included, float32 holds too.
_FIT_FLOAT32 = (np.dtype("uint8"), np.dtype("int8"), np.dtype("uint16"), np.dtype("int16"), np.dtype("float16"))


@dataclass(frozen=True, repr=False, eq=False)
class NDVI(Operator):
    """Normalised difference vegetation index: (near infrared - red) / (near infrared + red).

    Takes (band, row, column) of real numbers, of a lazy reader only the two bands. Returns (1, row, column) float32 at
    the same place, described "NDVI", with NaN as ``fill_value_default``. NaN where a band is missing
    (``fill_value_default``, masked, NaN), and where the sum is 0 or the quotient not finite. Stored numbers are taken
    as they are: scales and offsets in ``attrs`` are not applied. Negative numbers are calculated with like others, so
    the result may lie outside of -1 to 1. Nothing wraps: the sum is taken in float32 for integers of up to 16 bits,
    else in float64. Other entries of ``attrs`` are kept.

    Memory: the result, and a few MiB for a strip of rows.

    Attributes:
        red_idx: Band of red light, counted from 0.
        nir_idx: Band of near infrared light, counted from 0.

    Raises:
        OptionError: At construction: an index is not an integer, is negative, or both are the same.
        ShapeError: Other than (band, row, column).
        BandError: A band does not exist.
        DtypeError: Complex numbers.

    References:
        Rouse et al. (1974), Monitoring vegetation systems in the Great Plains with ERTS.

    Example:
        >>> from georeader import GeoTensor
        >>> stack = np.array([[[100, 300, 0]], [[300, 100, 0]]], dtype="uint16")
        >>> NDVI(red_idx=0, nir_idx=1)(GeoTensor(stack, (10, 0, 0, 0, -10, 0), 32630)).values
        array([[[ 0.5, -0.5,  nan]]], dtype=float32)
    """

    red_idx: int
    nir_idx: int

    def __post_init__(self) -> None:
        """Check the indexes."""
        for name in ("red_idx", "nir_idx"):
            object.__setattr__(self, name, band_index(getattr(self, name), name))
        if self.red_idx == self.nir_idx:
            raise OptionError(f"red_idx and nir_idx are both {self.red_idx}; name two bands")

    def __call__(self, raster: Any) -> GeoTensor:
        """Compute the index of a GeoTensor, or of the two bands of a lazy reader."""
        gt, (red, nir) = load_bands(raster, (self.red_idx, self.nir_idx), type(self).__name__)
        check_bands(gt, {"red_idx": red, "nir_idx": nir}, type(self).__name__)
        return normalised_difference(gt, nir, red, "NDVI")


def normalised_difference(
    gt: GeoTensor,
    first: int,
    second: int,
    description: str,
    *,
    calibrate: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
    is_hidden: Callable[[slice], NDArray[np.bool_]] | None = None,
) -> GeoTensor:
    """Compute (first - second) / (first + second) of two bands, counted from 0, as `NDVI` describes it.

    Args:
        gt: (band, row, column).
        first: A band.
        second: Another.
        description: Of the result's band.
        calibrate: Called with each strip of a band in floating point; returns the values to calculate with.
        is_hidden: Called with rows; returns which of their pixels, (row, column), become NaN too.
    """
    if gt.dtype.kind not in "biuf":
        raise DtypeError(f"{description} of {gt.dtype} is not defined; take the real part or the magnitude first")
    out = np.empty((1, *gt.shape[-2:]), dtype="float32")
    step = max(1, _STRIP_PIXELS // max(1, gt.shape[-1]))
    for start in range(0, gt.shape[-2], step):
        rows = slice(start, start + step)
        pair = gt.isel({"band": [first, second], "y": rows})
        invalid = pair.invalidmask().values
        hidden = invalid[0] | invalid[1]
        if is_hidden is not None:
            hidden |= is_hidden(rows)
        numbers = [_floating(band) for band in pair.values]
        upper, lower = numbers if calibrate is None else map(calibrate, numbers)
        _write_quotient(upper, lower, hidden, out[0, rows])
    attrs = without_encoding(without_bands(gt.attrs)) | {"descriptions": [description]}
    attrs.pop("mask", None)  # what it hid is NaN now
    return gt.like(out, fill_value_default=np.nan, attrs=attrs)


def _floating(values: NDArray[Any]) -> NDArray[Any]:
    """Convert to a type in which the sum of two values does not overflow; always a copy."""
    is_small = (
        values.dtype.newbyteorder("=") in _FIT_FLOAT32
        or values.dtype.kind == "b"
        or (values.dtype.itemsize == 4 and values.dtype.kind == "f")
    )
    return values.astype("float32" if is_small else "float64")


def _write_quotient(
    first: NDArray[Any], second: NDArray[Any], hidden: NDArray[np.bool_], out: NDArray[np.float32]
) -> None:
    """Write (first - second) / (first + second); overwrites what it is given."""
    # Zeros, NaN, infinities and sums of 0 result in values that become NaN below.
    with np.errstate(all="ignore"):
        total = first + second
        first -= second
        np.divide(first, total, out=out, casting="same_kind")
    hidden |= ~np.isfinite(out)
    np.copyto(out, np.nan, where=hidden)
