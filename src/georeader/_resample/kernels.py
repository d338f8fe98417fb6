"""BILINEAR, CUBIC, CUBICSPLINE, LANCZOS and GAUSS: kernel-weighted means of the valid pixels around each 2x2 block.

The weights are those of GDAL, stretched to reduce by two. A kernel of radius r is stretched by the factor, so it covers
4 r pixels, at distances of 1/4, 3/4, 5/4, ... from the centre of the 2x2 pixels:

- BILINEAR: the triangle 1 - |x|.
- CUBIC: Keys, "Cubic convolution interpolation for digital image processing" (1981), with a = -1/2.
- CUBICSPLINE: the cubic B-spline, which is Mitchell and Netravali (1988) with (B, C) = (1, 0).
- LANCZOS: sinc(x) sinc(x / 3).
- GAUSS: GDAL's 1-2-1 matrix, which begins at the top left pixel and so is off-centre to the right and down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.windows import Mask
from georeader._resample.aggregates import average
from georeader._resample.block import Block, by_parts, filled, rounded


@dataclass(frozen=True)
class Kernel:
    """Weights along one axis, in extended precision, with a sum of 1."""

    weights: tuple[np.longdouble, ...]
    before_px: int  #: Pixels that it covers before a 2x2 block.

    @property
    def margin_px(self) -> int:
        """Pixels that it covers before or behind a 2x2 block, rounded up to an even number."""
        behind_px = len(self.weights) - 2 - self.before_px
        return (max(self.before_px, behind_px) + 1) // 2 * 2


def _from_integers(before_px: int, *weights: int) -> Kernel:
    total = np.longdouble(sum(weights))
    return Kernel(tuple(weight / total for weight in weights), before_px)


def _lanczos() -> Kernel:
    x = (np.arange(-5, 7, dtype=np.longdouble) - np.longdouble(0.5)) / 2
    pi = 4 * np.arctan(np.longdouble(1))
    weights = np.sin(pi * x) * np.sin(pi * x / 3) / (x * x)
    return Kernel(tuple(weights / weights.sum()), 5)


KERNELS: Mapping[str, Kernel] = {
    "BILINEAR": _from_integers(1, 1, 3, 3, 1),
    "CUBIC": _from_integers(3, -3, -9, 29, 111, 111, 29, -9, -3),
    "CUBICSPLINE": _from_integers(3, 1, 27, 121, 235, 235, 121, 27, 1),
    "LANCZOS": _lanczos(),
    "GAUSS": _from_integers(0, 1, 2, 1),
}


#: Smallest valid share of a sharpening kernel's weight; below it, the remaining weights may cancel out.
_SMALLEST_SHARE = 0.2


def convolve(block: Block, kernel: Kernel) -> NDArray[Any]:
    """Compute weighted means around each 2x2 block; the weights of the existing pixels are scaled to a sum of 1.

    A block gets the average of its valid pixels where the weighted mean is not reliable: for a sharpening kernel with
    little valid weight, for infinities, and for sums beyond the range of doubles.

    Memory: about twice the block in the dtype it computes in (`_working_dtype`), three times with missing pixels.
    """
    return by_parts(lambda part: _real(Block(part, block.is_valid, block.margins), kernel), block.values)


def _real(block: Block, kernel: Kernel) -> NDArray[Any]:
    values, is_valid, margins = block.values, block.is_valid, block.margins
    axes = (
        _Axis.of(values.shape[0], margins.top_px, margins.bottom_px, kernel),
        _Axis.of(values.shape[1], margins.left_px, margins.right_px, kernel),
    )
    dtype = _working_dtype(values.dtype)
    if is_valid is not None:
        values = filled(values, is_valid, 0)
    means = _weighted_sums(values, axes, kernel, dtype)
    shares, is_doubtful = _shares(is_valid, axes, kernel, dtype)
    means /= shares
    is_doubtful |= ~np.isfinite(means)
    if not is_doubtful.any():
        return _cast(means, values.dtype)
    means[is_doubtful] = 0
    result = _cast(means, values.dtype)
    result[is_doubtful] = average(*Block(values, is_valid, margins).whole_pairs())[is_doubtful]
    return result


def _cast(means: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind in "iu":
        return rounded(means, dtype)
    limits = np.finfo(dtype)
    return np.asarray(np.clip(means, limits.min, limits.max).astype(dtype))


def _working_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a floating-point dtype that holds the pixels with some more digits, where there is one."""
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        return np.dtype(np.float32)
    return np.dtype(np.longdouble if dtype.kind in "iu" and dtype.itemsize == 8 else np.float64)


@dataclass(frozen=True)
class _Axis:
    """The steps of a kernel along the rows or columns of a block."""

    source: slice  #: Pixels of the block that it reads.
    target: slice  #: Their position among the padded pixels.
    length: int  #: Length of the result.
    padded: int  #: Number of pixels that it reads, with those beyond the raster.

    @classmethod
    def of(cls, side: int, before: int, after: int, kernel: Kernel) -> _Axis:
        """Return the steps along a side with margins before and after its core."""
        length = (side - before - after + 1) // 2
        start, inset = max(0, before - kernel.before_px), max(0, kernel.before_px - before)
        padded = 2 * length + len(kernel.weights) - 2
        stop = min(side, start + padded - inset)
        return cls(slice(start, stop), slice(inset, inset + stop - start), length, padded)


def _weighted_sums(
    pixels: NDArray[Any], axes: tuple[_Axis, _Axis], kernel: Kernel, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Sum weighted pixels around each 2x2 block, rows first; pixels beyond the raster count as 0."""
    rows, columns = axes
    padded = np.zeros((rows.padded, columns.padded), dtype)
    padded[rows.target, columns.target] = pixels[rows.source, columns.source]
    taps = range(len(kernel.weights))
    by_row = _weighted([padded[tap : tap + 2 * rows.length : 2] for tap in taps], kernel, dtype)
    halves = [np.ascontiguousarray(by_row[:, parity::2]) for parity in (0, 1)]
    return _weighted([halves[tap % 2][:, tap // 2 : tap // 2 + columns.length] for tap in taps], kernel, dtype)


def _weighted(taps: list[NDArray[Any]], kernel: Kernel, dtype: np.dtype[Any]) -> NDArray[Any]:
    total = taps[0] * dtype.type(kernel.weights[0])
    term = np.empty_like(total)
    for tap, weight in zip(taps[1:], kernel.weights[1:], strict=True):
        np.multiply(tap, dtype.type(weight), out=term)
        total += term
    return np.asarray(total)


def _shares(
    is_valid: Mask, axes: tuple[_Axis, _Axis], kernel: Kernel, dtype: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the sums of the weights of valid pixels, and where they are too small to divide by."""
    by_row, by_column = (_edge_shares(axis, kernel, dtype) for axis in axes)
    there = np.asarray(by_row[:, None] * by_column)
    if is_valid is None:
        return there, np.zeros(there.shape, np.bool_)
    counted = _weighted_sums(is_valid, axes, kernel, dtype)
    # Where all pixels are valid the sums differ only by the order of additions: take the same number, so that a
    # result does not depend on other pixels of its block.
    is_whole = np.abs(counted - there) <= 32 * np.finfo(dtype).eps * there
    smallest_share = _SMALLEST_SHARE if min(kernel.weights) < 0 else 0
    return np.where(is_whole, there, counted), counted <= smallest_share * there


def _edge_shares(axis: _Axis, kernel: Kernel, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the sums of the weights of existing pixels: 1, and less or more at the raster's edges."""
    padded = np.zeros(axis.padded, np.longdouble)
    padded[axis.target] = 1
    taps = [padded[tap : tap + 2 * axis.length : 2] for tap in range(len(kernel.weights))]
    return _weighted(taps, kernel, padded.dtype).astype(dtype)
