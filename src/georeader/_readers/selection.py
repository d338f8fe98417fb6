"""What a lazy reader makes of ``isel``: axis names and indices into ranges of pixels and lists of bands. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rasterio.windows import Window

from georeader.errors import IndexingError
from georeader.window_utils import overlap

#: The axes of a reader.
DIMS = ("band", "y", "x")


def check_axes(sel: Mapping[str, Any]) -> None:
    """Ask for axes that a reader has, and for rows and columns that a window can express.

    Raises:
        IndexingError: An axis that is not there, or a spatial index other than a slice of step one.
    """
    for name, index in sel.items():
        if name not in DIMS:
            raise IndexingError(f"axis {name!r} is not there; a reader has {', '.join(DIMS)}")
        if name != "band" and not (isinstance(index, slice) and index.step in (None, 1)):
            raise IndexingError(f"axis {name!r} takes slices of step one; load() first for {index!r}")


def pixel_range(path: str, name: str, wished: slice, size_px: int, boundless: bool) -> tuple[int, int]:
    """Give the first pixel of a slice and the one behind its last.

    Args:
        path: Of the raster, for messages.
        name: Of the axis, for messages.
        wished: Of step one.
        size_px: Pixels along the axis.
        boundless: A negative index lies before the edge; False: it counts from the end.

    Raises:
        IndexingError: There are no pixels in it.
    """
    start, stop, _ = wished.indices(size_px)
    if boundless:
        start = 0 if wished.start is None else wished.start
        stop = size_px if wished.stop is None else wished.stop
    if stop <= start:
        hint = "; a negative index lies before the edge, boundless=False counts it from the end" * boundless
        raise IndexingError(f"{path}: axis {name!r}: {wished} selects no pixels of {size_px}{hint}")
    return start, stop


def band_indexes(path: str, wished: Any, count: int) -> list[int]:
    """Give the bands of a slice or list, counted from 1.

    Args:
        path: Of the raster, for messages.
        wished: Counted from 0.
        count: Bands that there are.

    Raises:
        IndexingError: Another index, or a band that is not there.
    """
    if isinstance(wished, str) or not isinstance(wished, (slice, Sequence, np.ndarray)):
        raise IndexingError(f"axis 'band' takes a slice or a list, as in isel({{'band': [{wished!r}]}})")
    try:
        chosen = np.arange(1, count + 1)[wished if isinstance(wished, slice) else list(wished)]
    except IndexError as error:
        raise IndexingError(f"{path}: axis 'band': {wished!r} of {count} bands: {error}") from error
    return [int(index) for index in chosen]


def tiles_inside(
    window: Window, tiles: Iterable[tuple[tuple[int, int], Window]]
) -> list[tuple[tuple[int, int], Window]]:
    """Cut tiles at the edge of a window; those outside are left out.

    Args:
        window: In pixels of the file.
        tiles: ((tile row, tile column), window) of each.

    Returns:
        The same, relative to the window.
    """
    found = []
    for position, tile in tiles:
        shifted = Window(tile.col_off - window.col_off, tile.row_off - window.row_off, tile.width, tile.height)
        (rows, columns), _ = overlap(shifted, int(window.height), int(window.width))
        if rows.start < rows.stop and columns.start < columns.stop:
            found.append((position, Window.from_slices(rows, columns)))
    return found
