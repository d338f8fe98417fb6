"""Kernel-weighted means at every second pixel, over the valid pixels only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._resample.average import block_means
from georeader._resample.bits import filled
from georeader._resample.block import Block, Margins, core, even_sided
from georeader._resample.kernels import Kernel
from georeader._resample.rounding import rounded

Mask = NDArray[np.bool_] | None

#: Share of a sharpening kernel's weight that has to be valid; below it, what is left may cancel out.
_SMALLEST_SHARE = 0.2


def convolve(block: Block, kernel: Kernel) -> NDArray[Any]:
    """Weight the pixels around each 2x2 block; the weights of those that are there are scaled to a sum of 1.

    A block with a valid pixel gets the plain average of its valid pixels where the kernel can't be trusted: a
    sharpening kernel with little valid weight, infinities, or sums beyond the range of doubles.

    Memory: about twice the block in the dtype it computes in (`_working_dtype`), three times with missing pixels.
    """
    if block.values.dtype.kind != "c":
        return _real(block.values, block.is_valid, block.margins, kernel)
    rows, columns = core(block.values, block.margins).shape
    result = np.empty(((rows + 1) // 2, (columns + 1) // 2), block.values.dtype)
    result.real = _real(block.values.real, block.is_valid, block.margins, kernel)
    result.imag = _real(block.values.imag, block.is_valid, block.margins, kernel)
    return result


def _real(values: NDArray[Any], is_valid: Mask, margins: Margins, kernel: Kernel) -> NDArray[Any]:
    axes = _axes(values.shape, margins, kernel)
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
    whole_valid = None if is_valid is None else even_sided(core(is_valid, margins))
    plain = block_means(even_sided(core(values, margins)), whole_valid)
    result[is_doubtful] = plain[is_doubtful]
    return result


def _cast(means: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind in "iu":
        return rounded(means, dtype)
    limits = np.finfo(dtype)
    return np.asarray(np.clip(means, limits.min, limits.max).astype(dtype))


def _working_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Give a floating-point dtype that holds the pixels and some digits more, where there is one."""
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        return np.dtype(np.float32)
    return np.dtype(np.longdouble if dtype.kind in "iu" and dtype.itemsize == 8 else np.float64)


@dataclass(frozen=True)
class _Axis:
    """How a kernel moves along the rows or columns of a block.

    Attributes:
        start: First pixel of the block that it needs.
        inset: Place of that pixel in the padded pixels.
        stop: End of the pixels that it needs.
        length: Of the result.
        padded: Pixels that it needs, beyond the raster included.
    """

    start: int
    inset: int
    stop: int
    length: int
    padded: int


def _axes(shape: tuple[int, ...], margins: Margins, kernel: Kernel) -> tuple[_Axis, _Axis]:
    """Give the axes of rows and of columns."""
    return (
        _axis(shape[0], margins.top_px, margins.bottom_px, kernel),
        _axis(shape[1], margins.left_px, margins.right_px, kernel),
    )


def _axis(side: int, before: int, after: int, kernel: Kernel) -> _Axis:
    length = (side - before - after + 1) // 2
    start, inset = max(0, before - kernel.before_px), max(0, kernel.before_px - before)
    padded = 2 * length + len(kernel.weights) - 2
    return _Axis(start, inset, min(side, start + padded - inset), length, padded)


def _weighted_sums(
    pixels: NDArray[Any], axes: tuple[_Axis, _Axis], kernel: Kernel, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Sum weighted pixels around each 2x2 block, rows first; pixels beyond the raster count as 0."""
    rows, columns = axes
    padded = np.zeros((rows.padded, columns.padded), dtype)
    inner = padded[rows.inset :, columns.inset :]
    inner[: rows.stop - rows.start, : columns.stop - columns.start] = pixels[
        rows.start : rows.stop, columns.start : columns.stop
    ]
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
    """Sum the weights of the pixels that count, and say where that is too little to divide by."""
    by_row, by_column = (_edge_shares(axis, kernel, dtype) for axis in axes)
    there = np.asarray(by_row[:, None] * by_column)
    if is_valid is None:
        return there, np.zeros(there.shape, np.bool_)
    counted = _weighted_sums(is_valid, axes, kernel, dtype)
    # Where all pixels are valid only the order of additions makes a difference: give the same number, so that a
    # result does not depend on other pixels of its block.
    is_whole = np.abs(counted - there) <= 32 * np.finfo(dtype).eps * there
    smallest_share = _SMALLEST_SHARE if kernel.has_negative_weights else 0
    return np.where(is_whole, there, counted), counted <= smallest_share * there


def _edge_shares(axis: _Axis, kernel: Kernel, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Sum the weights of the pixels that are there: 1, and another number at the raster's edges."""
    padded = np.zeros(axis.padded, np.longdouble)
    padded[axis.inset : axis.inset + axis.stop - axis.start] = 1
    taps = [padded[tap : tap + 2 * axis.length : 2] for tap in range(len(kernel.weights))]
    return _weighted(taps, kernel, padded.dtype).astype(dtype)
