"""Windows at the edge of a raster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from georeader.window_utils import overlap


def pad(inside: NDArray[Any], window: Window, shape: tuple[int, int], fill: Any) -> NDArray[Any]:
    """Pad the (..., row, column) part of a window that lies inside a raster to the size of the window.

    If the whole window lies inside, the part itself is returned. ``shape`` is (rows, columns) of the raster.

    Example:
        >>> pad(np.array([[7]]), Window(-1, -1, 2, 2), (1, 1), fill=0).tolist()
        [[0, 0], [0, 7]]
    """
    size = int(window.height), int(window.width)
    if inside.shape[-2:] == size:
        return inside
    _, target = overlap(window, *shape)
    padded = np.full((*inside.shape[:-2], *size), fill, inside.dtype)
    padded[(..., *target)] = inside
    return padded


def read_padded(
    window: Window,
    shape: tuple[int, int],
    read: Callable[[Window], tuple[NDArray[Any], NDArray[np.bool_] | None]],
    *,
    count: int,
    dtype: np.dtype[Any],
    fill: Any,
    has_mask: bool,
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Read a window on whole pixels, which may reach beyond the edge of a raster of (rows, columns).

    ``read`` returns the (band, row, column) pixels and the (row, column) mask, or None, of a window inside the raster.
    It is not called where window and raster do not meet. Beyond the edge pixels are ``fill``, and the mask is False.
    """
    inside = Window.from_slices(*overlap(window, *shape)[0])
    if 0 in (inside.height, inside.width):
        size = int(window.height), int(window.width)
        return np.full((count, *size), fill, dtype), np.zeros(size, bool) if has_mask else None
    pixels, mask = read(inside)
    return pad(pixels, window, shape, fill), None if mask is None else pad(mask, window, shape, fill=False)
