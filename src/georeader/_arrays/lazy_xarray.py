"""Arrays that xarray indexes before they are read. Imported when one is made, since it needs xarray."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window
from xarray.backends import BackendArray
from xarray.core import indexing


class LazyWindows(BackendArray):
    """A (band, row, column) or (row, column) array that is read by windows, each with the bands that it needs.

    ``read`` takes a window on whole pixels, and the bands from 1; a (row, column) array gets no bands. It is pickled
    with the array. Memory: the window that encloses the selected rows and columns.
    """

    def __init__(self, read: Callable[..., NDArray[Any]], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._read, self.shape, self.dtype = read, shape, dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._select)

    def _select(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Read a selection by integers, slices and lists of integers, one for each axis."""
        places = [np.arange(size)[index] for size, index in zip(self.shape, key, strict=True)]
        shape = tuple(place.size for place in places if place.ndim)
        if 0 in shape:
            return np.empty(shape, self.dtype)
        *bands, rows, columns = (np.atleast_1d(place) for place in places)
        spans = [slice(int(axis.min()), int(axis.max()) + 1) for axis in (rows, columns)]
        pixels = self._read(Window.from_slices(*spans), *((axis + 1).tolist() for axis in bands))
        for axis, chosen in ((-2, rows), (-1, columns)):
            offsets = chosen - chosen.min()
            if not np.array_equal(offsets, np.arange(pixels.shape[axis])):
                pixels = np.take(pixels, offsets, axis)
        return np.asarray(pixels, self.dtype).reshape(shape)


class LazyBoxes(BackendArray):
    """An array of any axes that is read by boxes: a slice for each axis, of step one."""

    def __init__(
        self, read: Callable[[tuple[slice, ...]], NDArray[Any]], shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self._read, self.shape, self.dtype = read, shape, dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._select)

    def _select(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Read a selection by integers and slices, one for each axis."""
        places = [np.arange(size)[index] for size, index in zip(self.shape, key, strict=True)]
        shape = tuple(place.size for place in places if place.ndim)
        if 0 in shape:
            return np.empty(shape, self.dtype)
        box = tuple(slice(int(place.min()), int(place.max()) + 1) for place in places)
        pixels = self._read(box)
        chosen = np.ix_(*(np.atleast_1d(place) - cut.start for place, cut in zip(places, box, strict=True)))
        is_whole = pixels.size == np.prod(shape, dtype=int)
        return np.asarray(pixels if is_whole else pixels[chosen], self.dtype).reshape(shape)


def lazy(array: LazyWindows | LazyBoxes, *, is_cached: bool) -> Any:
    """Return an array as xarray's DataArray takes it; if it ``is_cached``, it is kept once all of it was read."""
    layers: Any = indexing  # as xarray's backends make it; not all of it has types
    found = layers.CopyOnWriteArray(layers.LazilyIndexedArray(array))
    return layers.MemoryCachedArray(found) if is_cached else found


class _Centres:
    """Computes the x (axis 0) or y (axis 1) coordinates of the centres of pixels of a window."""

    def __init__(self, transform: Affine, axis: int, offset_px: tuple[int, int]) -> None:
        self._factors = tuple(transform)[3 * axis : 3 * axis + 3]
        self._offset_px = offset_px

    def __call__(self, window: Window) -> NDArray[np.float64]:
        across, down, origin = self._factors
        column, row = self._offset_px
        columns = np.arange(window.width) + (window.col_off + column)
        rows = np.arange(window.height) + (window.row_off + row)
        # In rioxarray's order of operations, so that coordinates are equal to the last bit.
        first = across * 0.5 + down * 0.5 + origin
        centres: NDArray[np.float64] = columns * across + (rows * down)[:, np.newaxis] + first
        return centres


def lazy_centres(transform: Affine, axis: int, offset_px: tuple[int, int], shape: tuple[int, int]) -> Any:
    """Return the x (axis 0) or y (axis 1) coordinates of the pixels of a window, computed when they are used.

    ``offset_px`` is the (column, row) of the window in the grid of the transform.
    """
    return lazy(LazyWindows(_Centres(transform, axis, offset_px), shape, np.dtype(np.float64)), is_cached=False)
