"""Windows at the edge of a raster, and selections of a lazy reader as windows and bands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from georeader.errors import IndexingError
from georeader.window_utils import overlap

#: The axes of a reader.
DIMS = ("band", "y", "x")


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


def check_axes(sel: Mapping[str, Any]) -> None:
    """Check that a selection names axes of a reader, and rows and columns that a window can express."""
    for name, index in sel.items():
        if name not in DIMS:
            raise IndexingError(f"axis {name!r} does not exist; a reader has {', '.join(DIMS)}")
        if name != "band" and not (isinstance(index, slice) and index.step in (None, 1)):
            raise IndexingError(f"axis {name!r} takes slices of step one; load() first for {index!r}")


def pixel_range(path: str, name: str, wanted: slice, size_px: int, boundless: bool) -> tuple[int, int]:
    """Return the first pixel of a slice of step one along an axis and the one behind its last.

    If ``boundless``, a negative index lies before the edge; else it counts from the end.
    """
    start, stop, _ = wanted.indices(size_px)
    if boundless:
        start = 0 if wanted.start is None else wanted.start
        stop = size_px if wanted.stop is None else wanted.stop
    if stop <= start:
        hint = "; a negative index lies before the edge, boundless=False counts it from the end" * boundless
        raise IndexingError(f"{path}: axis {name!r}: {wanted} selects no pixels of {size_px}{hint}")
    return start, stop


def band_indexes(path: str, wanted: Any, count: int) -> list[int]:
    """Return the bands of a slice or list that counts from 0 among ``count`` bands, counted from 1."""
    if isinstance(wanted, str) or not isinstance(wanted, (slice, Sequence, np.ndarray)):
        raise IndexingError(f"axis 'band' takes a slice or a list, as in isel({{'band': [{wanted!r}]}})")
    try:
        chosen = np.arange(1, count + 1)[wanted if isinstance(wanted, slice) else list(wanted)]
    except IndexError as error:
        raise IndexingError(f"{path}: axis 'band': {wanted!r} of {count} bands: {error}") from error
    return [int(index) for index in chosen]


def tiles_inside(
    window: Window, tiles: Iterable[tuple[tuple[int, int], Window]]
) -> list[tuple[tuple[int, int], Window]]:
    """Cut tiles at the edge of a window, and return them relative to it; those outside are left out.

    Tiles are ((tile row, tile column), window), both windows in pixels of the file.
    """
    found = []
    for position, tile in tiles:
        shifted = Window(tile.col_off - window.col_off, tile.row_off - window.row_off, tile.width, tile.height)
        (rows, columns), _ = overlap(shifted, int(window.height), int(window.width))
        if rows.start < rows.stop and columns.start < columns.stop:
            found.append((position, Window.from_slices(rows, columns)))
    return found
