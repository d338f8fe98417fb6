"""Chunks of DataArrays that read a raster file."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from contextlib import suppress
from importlib import import_module
from numbers import Integral
from typing import TYPE_CHECKING, Any

from georeader._core.reporting import import_extra
from georeader.errors import OptionError

if TYPE_CHECKING:
    from xarray import DataArray


def import_dask() -> Any:
    """Import dask, or raise a MissingExtraError."""
    return import_extra("dask.base", extra="dask", purpose="to_xarray(chunks=...)")


def chunked(array: DataArray, chunks: Any, tiles: tuple[int, int, int], path: str, state: tuple[Any, ...]) -> DataArray:
    """Return a lazy (band, row, column) DataArray as one of dask, whose chunks are read one by one.

    Args:
        array: Not cached.
        chunks: As in `RasterioReader.to_xarray`.
        tiles: (bands, rows, columns) of the file's tiles.
        path: Of the file, whose time of change is a part of the names of tasks.
        state: What else distinguishes the pixels of this array from others of the file.
    """
    dask = import_dask()
    sizes = _sizes(array, chunks, tiles)
    mtime = None
    with suppress(OSError, ValueError):
        mtime = os.stat(path).st_mtime_ns  # noqa: PTH116 - it may be a URL
    token = dask.tokenize(path, mtime, state, sizes)
    try:
        return array.chunk(sizes, name_prefix="to_xarray-", token=token)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise OptionError(f"chunks={chunks!r} are not sizes of chunks: {error}") from error


def _sizes(array: DataArray, chunks: Any, tiles: tuple[int, int, int]) -> dict[Hashable, Any]:
    """Return the sizes of chunks along axes."""
    advice = "pass 'auto', a number of pixels, or a mapping such as {'y': 1024, 'x': 1024}"
    if chunks is True or (isinstance(chunks, str) and chunks == "auto"):
        wanted = (tiles[0], "auto", "auto")
        found = import_module("dask.array.core").normalize_chunks(
            wanted, shape=array.shape, dtype=array.dtype, previous_chunks=tiles
        )
        return dict(zip(array.dims, found, strict=True))
    if isinstance(chunks, Mapping):
        unknown = sorted(str(dim) for dim in chunks if dim not in array.dims)
        if unknown:
            raise OptionError(f"chunks: {', '.join(unknown)} is not an axis; a reader has band, y and x")
        return dict(chunks)
    if isinstance(chunks, tuple) and len(chunks) == array.ndim:
        return dict(zip(array.dims, chunks, strict=True))
    if isinstance(chunks, Integral) and chunks is not False:
        return dict.fromkeys(array.dims, int(chunks))
    raise OptionError(f"chunks={chunks!r}; {advice}")
