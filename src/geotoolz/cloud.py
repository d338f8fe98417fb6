"""Masking of clouds and of everything else that hides the ground."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader import GeoTensor
from georeader.errors import NodataError, OptionError
from geotoolz._rasters import band_index, check_bands
from geotoolz.operator import Operator

#: Classes of SCL that show no ground, or not as it is; see `MaskClouds`.
CLASSES_DEFAULT = (0, 1, 3, 8, 9, 10)


@dataclass(frozen=True, repr=False, eq=False)
class MaskClouds(Operator):
    """Masks pixels that Sentinel-2 L2A's scene classification (SCL) marks as clouds and the like.

    Takes (band, row, column) with SCL as one of the bands; returns a new stack of the same shape and dtype in which all
    other bands are ``fill_value_default`` where SCL is one of ``classes``. SCL itself is not changed. Floating-point
    stacks without a ``fill_value_default`` get NaN, as value and as ``fill_value_default``.

    Masked by default: 0, no data; 1, saturated or defective; 3, cloud shadows; 8 and 9, cloud of medium and of high
    probability; 10, thin cirrus. Kept: 2, dark areas and topographic shadows; 4, vegetation; 5, bare ground; 6, water;
    7, unclassified (formerly cloud of low probability); 11, snow or ice. Memory: one copy of the stack.

    Attributes:
        scl_idx: Band of SCL, counted from 0. It has to be on the grid of the others: nearest neighbour, from 20 m.
        classes: Classes that become missing.

    Raises:
        OptionError: At construction: no index, or no classes of SCL.
        ShapeError: Other than (band, row, column).
        BandError: A band does not exist.
        NodataError: An integer stack without a ``fill_value_default``, or with one that its dtype cannot hold.

    References:
        ESA, Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), Scene Classification.

    Example:
        >>> stack = np.array([[[100, 300]], [[4, 9]]], dtype="uint16")
        >>> gt = GeoTensor(stack, (10, 0, 0, 0, -10, 0), 32630, fill_value_default=0)
        >>> MaskClouds(scl_idx=1)(gt).values[0]
        array([[100,   0]], dtype=uint16)
    """

    scl_idx: int
    classes: Sequence[int] = CLASSES_DEFAULT

    def __post_init__(self) -> None:
        """Check index and classes."""
        object.__setattr__(self, "scl_idx", band_index(self.scl_idx, "scl_idx"))
        object.__setattr__(self, "classes", scl_classes(self.classes))

    def apply(self, gt: GeoTensor) -> GeoTensor:
        """Return the masked stack."""
        check_bands(gt, {"scl_idx": self.scl_idx}, type(self).__name__)
        fill = _fill_of(gt, type(self).__name__)
        hidden = is_any_of(gt.values[self.scl_idx], self.classes)
        masked = gt.values.copy()
        for band in range(gt.count):
            if band != self.scl_idx:
                masked[band][hidden] = fill
        return gt.like(masked) if fill is gt.fill_value_default else gt.like(masked, fill_value_default=fill)


def scl_classes(classes: Any) -> tuple[int, ...]:
    """Check classes of SCL, and return them sorted, each once.

    Raises:
        OptionError: They are not integers from 0 to 255.
    """
    try:
        found = sorted({operator.index(one) for one in classes})
    except TypeError as error:
        raise OptionError(
            f"classes={classes!r} are not classes of SCL; pass integers, such as (3, 8, 9, 10)"
        ) from error
    if found and not 0 <= found[0] <= found[-1] <= 255:
        raise OptionError(f"classes={classes!r} are not classes of SCL, which are 0 to 11")
    return tuple(found)


def is_any_of(scl: NDArray[Any], classes: Sequence[int]) -> NDArray[np.bool_]:
    """Return which pixels are of some classes, as bool of the same shape."""
    hidden = np.zeros(scl.shape, dtype=bool)
    for one in classes:
        hidden |= scl == one
    return hidden


def _fill_of(gt: GeoTensor, caller: str) -> Any:
    fill = gt.fill_value_default
    if fill is None and gt.dtype.kind in "fc":
        return np.nan
    if fill is None:
        raise NodataError(
            f"{caller}: the stack of {gt.dtype} has no fill_value_default to mask with; set one, as in "
            "gt.like(gt.values, fill_value_default=0)"
        )
    if gt.dtype.kind in "iub" and not _fits(gt.dtype, fill):
        raise NodataError(f"{caller}: {gt.dtype} cannot hold fill_value_default={fill!r}; set another one")
    return fill


def _fits(dtype: np.dtype[Any], fill: Any) -> bool:
    number = float(fill)
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return number.is_integer() and low <= int(fill) <= high
