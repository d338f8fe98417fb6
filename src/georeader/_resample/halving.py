"""`halve`: reduces one band by two, by any method. Pure.

Arguments are checked, blocks are cut into strips, and missing pixels are put back into the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._resample import choice
from georeader._resample.average import average, rms
from georeader._resample.block import Block, Margins, check_margins, core, filled, halve_mask, strips
from georeader._resample.kernels import KERNELS, convolve
from georeader._resample.methods import METHODS
from georeader._resample.missing import find_valid, kept_apart, missing_value, nodata_of
from georeader.errors import DtypeError, OptionError, ShapeError

_NO_MARGINS = Margins()

_CHOICES: Mapping[str, Callable[[Block], NDArray[Any]]] = {
    "MODE": choice.mode,
    "MIN": choice.minimum,
    "MAX": choice.maximum,
    "MED": choice.median,
}
_COMPUTED: Mapping[str, Callable[[Block], NDArray[Any]]] = {
    "AVERAGE": average,
    "RMS": rms,
    "OR": choice.bitwise_or,
    **{name: partial(convolve, kernel=kernel) for name, kernel in KERNELS.items()},
}

_DTYPES = frozenset(
    ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64", "complex64",
     "complex128"]
)  # fmt: skip


def margin_px(method: str) -> int:
    """Return how many source pixels a method reads beyond 2x2 pixels, on each side, rounded up to an even number.

    Args:
        method: One of `METHODS`.

    Raises:
        OptionError: There is no such method.

    >>> margin_px("AVERAGE"), margin_px("BILINEAR"), margin_px("LANCZOS")
    (0, 2, 6)
    """
    _check_name(method)
    if method not in KERNELS:
        return 0
    kernel = KERNELS[method]
    return (max(kernel.before_px, kernel.after_px) + 1) // 2 * 2


def check_method(method: str, dtype: np.dtype[Any]) -> None:
    """Check that a method is defined for a dtype.

    Args:
        method: One of `METHODS`.
        dtype: Of the raster.

    Raises:
        OptionError: There is no such method, OR of other than integers, or MIN, MAX or MED of complex numbers.
        DtypeError: Rasters of the dtype cannot be resampled.
    """
    _check_name(method)
    if dtype.name not in _DTYPES or not dtype.isnative:
        raise DtypeError(f"pixels of dtype {dtype.str} can't be resampled; cast to one of {', '.join(sorted(_DTYPES))}")
    if dtype.kind in METHODS[method].kinds:
        return
    if method == "OR":
        raise OptionError(f"resampling OR sets bits and {dtype} has none to set; use MAX, MODE or NEAREST, or integers")
    raise OptionError(f"resampling {method} needs an order, and {dtype} has none; use AVERAGE, RMS or NEAREST")


def _check_name(method: str) -> None:
    if method not in METHODS:
        raise OptionError(f"resampling {method!r} is unknown; use one of {', '.join(METHODS)}")


def halve(
    values: NDArray[Any],
    method: str,
    *,
    nodata: int | float | None = None,
    is_valid: NDArray[np.bool_] | None = None,
    margins: Margins = _NO_MARGINS,
) -> NDArray[Any]:
    """Reduce a band by two: each 2x2 pixels become one.

    A pixel is missing if it is nodata, NaN (in either part of a complex number) or not valid. Missing pixels do not
    count, and a result is missing only where all of its 2x2 pixels are; it is then nodata, or NaN where there is no
    nodata, or 0 for integers. A valid result that happens to equal nodata becomes the number beside it. NEAREST alone
    picks its pixel whatever it is. The package's docstring says where results equal GDAL's.

    At an odd edge a block has the pixels that are there. Kernels scale the weights of the pixels that are there.

    Args:
        values: (row, column) of one band, in native byte order: signed and unsigned integers of 8 to 64 bits,
            float32, float64, complex64, complex128. May be any view; never changed.
        method: One of `METHODS`.
        nodata: What missing pixels hold, or None.
        is_valid: (row, column) of the same shape, True where a pixel counts; None: everywhere.
        margins: Pixels of ``values`` around the core, so that the raster can be reduced block by block with the same
            result as in one go. A method reads at most `margin_px` of them; further ones are ignored.

    Returns:
        (row, column) of half the core's size, rounded up, and of the dtype of ``values``.

    Raises:
        OptionError: The method is unknown or has no meaning for the dtype, or margins are odd.
        DtypeError: The dtype can't be resampled.
        NodataError: The dtype can't hold nodata.
        ShapeError: ``values`` is not two-dimensional, ``is_valid`` has another shape, or there is no core.

    Memory: the result and a few times a strip of some 130,000 pixels.

    >>> halve(np.array([[1, 2, 9], [4, 0, 0]], "uint8"), "AVERAGE", nodata=0)
    array([[2, 9]], dtype=uint8)
    """
    check_method(method, values.dtype)
    _check_shapes(values, is_valid)
    rows, columns = check_margins(values.shape, margins)
    if method == "NEAREST":
        return choice.nearest(Block(values, None, margins, may_miss=False))
    scalar = nodata_of(nodata, values.dtype)
    may_miss = scalar is not None or is_valid is not None
    result = np.empty(((rows + 1) // 2, (columns + 1) // 2), values.dtype)
    done = 0
    with np.errstate(all="ignore"):  # infinities and NaN are numbers like any other; overflows are found and redone
        for part, around in strips(values.shape, margins, margin_px(method)):
            found = find_valid(values[part], scalar, None if is_valid is None else is_valid[part])
            strip = _reduced(Block(values[part], found, around, may_miss), method, scalar)
            result[done : done + len(strip)] = strip
            done += len(strip)
    return result


def _reduced(block: Block, method: str, nodata: Any) -> NDArray[Any]:
    has_valid = None if block.is_valid is None else halve_mask(core(block.is_valid, block.margins))
    fill = missing_value(nodata, block.values.dtype)
    if has_valid is not None and not has_valid.any():
        return np.full(has_valid.shape, fill)
    result = _CHOICES[method](block) if method in _CHOICES else kept_apart(_COMPUTED[method](block), nodata)
    return result if has_valid is None or has_valid.all() else filled(result, has_valid, fill)


def _check_shapes(values: NDArray[Any], is_valid: NDArray[np.bool_] | None) -> None:
    if values.ndim != 2 or 0 in values.shape:
        raise ShapeError(f"values of shape {values.shape} are not (row, column) pixels of one band")
    if is_valid is not None and (is_valid.shape != values.shape or is_valid.dtype != np.bool_):
        raise ShapeError(
            f"is_valid has shape {is_valid.shape} and dtype {is_valid.dtype}; values of shape {values.shape} need "
            "as many bool"
        )
