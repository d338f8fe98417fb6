"""A picture in another size: by areas where colours may be mixed, by picking where they may not. Pure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def resize(picture: Picture, shape: tuple[int, int], *, picks: bool = False) -> Picture:
    """Give a picture with so many rows and columns.

    A new pixel is the mean of the area that it covers, each colour weighed by its alpha, so that what is transparent
    gives no colour; or with ``picks`` it is the pixel in the middle of that area.

    Args:
        picture: (row, column, channel), the last of which is alpha; never changed.
        shape: (rows, columns).
        picks: Invent no colour.

    Returns:
        (row, column, channel); alpha is 0 where all of the area was transparent, and colours are then 0.

    Memory: some eight bytes for each number of the picture.

    Example:
        >>> one_row = np.array([[[10, 255], [20, 255], [99, 0], [99, 0]]], "uint8")
        >>> resize(one_row, (1, 2)).tolist(), resize(one_row, (1, 1)).tolist()
        ([[[15, 255], [0, 0]]], [[[15, 128]]])
    """
    if picture.shape[:2] == tuple(shape):
        return picture
    if picks:
        rows, columns = (_middles(old, new) for old, new in zip(picture.shape[:2], shape, strict=True))
        return np.asarray(picture[rows][:, columns])
    weighed = picture.astype(np.float32)
    weighed[..., :-1] *= weighed[..., -1:] / 255
    means = _mean(_mean(weighed, shape[0], axis=0), shape[1], axis=1)
    alpha = means[..., -1:]
    np.divide(means[..., :-1] * 255, alpha, out=means[..., :-1], where=alpha > 0)
    return np.rint(np.clip(means, 0, 255)).astype(np.uint8)


def _middles(old: int, new: int) -> NDArray[Any]:
    return (2 * np.arange(new) + 1) * old // (2 * new)


def _mean(values: NDArray[np.float32], new: int, *, axis: int) -> NDArray[np.float32]:
    """Give means along an axis over ``new`` equal parts of it, whose edges may lie within pixels."""
    old = values.shape[axis]
    if old == new:
        return values
    starts, stops = np.arange(new) * old / new, np.arange(1, new + 1) * old / new
    first = np.floor(starts).astype(int)
    total: NDArray[np.float32] = np.zeros((*values.shape[:axis], new, *values.shape[axis + 1 :]), np.float32)
    for tap in range(math.ceil(old / new) + 1):
        pixel = first + tap
        share = np.clip(np.minimum(stops, pixel + 1) - np.maximum(starts, pixel), 0, None) / (old / new)
        weights = share.astype(np.float32).reshape([new if at == axis else 1 for at in range(values.ndim)])
        total += values.take(np.minimum(pixel, old - 1), axis=axis) * weights
    return total
