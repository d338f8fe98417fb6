"""Checks of each file that was written, so that no peer wins by doing less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from benchmarks.options import overview_count
from benchmarks.settings import Place, Settings

#: Side of the windows whose pixels are compared with the array.
_WINDOW_PX = 200

_LOSSY = ("jpeg", "webp")


def look_at(path: Path, array: Any, place: Place, settings: Settings) -> dict[str, Any]:
    """Return what the file is like, and what is wrong with it.

    Args:
        path: The file.
        array: (band, row, column): what should be in it, or what can be cut by slices like that.
        place: Where it should lie.
        settings: How it should be encoded.

    Returns:
        tile_px, overviews, codec, predictor, interleave, layout, bytes, is_bigtiff; and problems, a list that should be
        empty.
    """
    with rasterio.open(path) as dataset:
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        facts = {
            "bytes": path.stat().st_size,
            "shape": [dataset.count, dataset.height, dataset.width],
            "tile_px": list(dataset.block_shapes[0]),
            "overviews": dataset.overviews(1),
            "codec": structure.get("COMPRESSION", "NONE"),
            "predictor": structure.get("PREDICTOR", "1"),
            "interleave": structure.get("INTERLEAVE"),
            "layout": structure.get("LAYOUT"),
            "is_bigtiff": _is_bigtiff(path),
        }
        return facts | {
            "problems": [*_shape_problems(dataset, array), *_file_problems(dataset, array, place, settings)]
        }


def _shape_problems(dataset: Any, array: Any) -> list[str]:
    problems = []
    padded_px = 2 ** len(dataset.overviews(1))
    sides_px = zip((dataset.height, dataset.width), array.shape[1:], strict=True)
    # odc-geo's dask writer pads to whole pixels of its smallest overview: more work than required, not less.
    if not all(0 <= found - wanted < padded_px for found, wanted in sides_px):
        problems.append(f"{dataset.height} x {dataset.width} pixels instead of {array.shape[1:]}")
    if dataset.count != array.shape[0]:
        problems.append(f"{dataset.count} bands instead of {array.shape[0]}")
    if dataset.dtypes[0] != array.dtype.name:
        problems.append(f"dtype {dataset.dtypes[0]} instead of {array.dtype.name}")
    return problems


def _file_problems(dataset: Any, array: Any, place: Place, settings: Settings) -> list[str]:
    problems = []
    tile_px = max(dataset.block_shapes[0])
    side_px = max(array.shape[1:])
    if tile_px > max(settings.tile_px or 0, 2048) or (side_px > 2048 and dataset.block_shapes[0][1] == dataset.width):
        problems.append("not tiled")
    wanted = overview_count(array.shape[1:], settings.tile_px or tile_px)
    found = len(dataset.overviews(1))
    if found < wanted and (settings.tile_px is not None or not found):
        problems.append(f"{found} overviews instead of {wanted}")
    if (settings.codec == "none") != (dataset.compression is None):
        problems.append(f"compression {dataset.compression} instead of {settings.codec}")
    if settings.codec != "jpeg" and not _are_same(dataset.nodata, place.nodata):
        problems.append(f"nodata {dataset.nodata} instead of {place.nodata}")
    if dataset.crs is None or dataset.crs.to_string() != place.crs:
        problems.append(f"CRS {dataset.crs} instead of {place.crs}")
    if not problems and settings.codec not in _LOSSY and not _are_pixels_kept(dataset, array):
        problems.append("pixels differ from the array's")
    if not problems and found and not _has_something(dataset):
        problems.append("the smallest overview is empty")
    return problems


def _is_bigtiff(path: Path) -> bool:
    """Check the version in the file's header: 42 for TIFF, 43 for BigTIFF."""
    with path.open("rb") as file:
        order = "little" if file.read(2) == b"II" else "big"
        return int.from_bytes(file.read(2), order) == 43


def _are_same(found: float | None, wanted: float | None) -> bool:
    """Compare two nodata values; NaN is the same as NaN."""
    return found == wanted or (None not in (found, wanted) and bool(np.isnan([found, wanted]).all()))


def _are_pixels_kept(dataset: Any, array: Any) -> bool:
    """Compare three windows: the first corner, the middle, the last corner."""
    _, height_px, width_px = array.shape
    rows_px, columns_px = min(_WINDOW_PX, height_px), min(_WINDOW_PX, width_px)
    for share in (0, 0.5, 1):
        row, column = int((height_px - rows_px) * share), int((width_px - columns_px) * share)
        stored = dataset.read(window=Window(column, row, columns_px, rows_px))
        expected = array[:, row : row + rows_px, column : column + columns_px]
        if not np.array_equal(stored, expected, equal_nan=array.dtype.kind == "f"):
            return False
    return True


def _has_something(dataset: Any) -> bool:
    with rasterio.open(dataset.name, overview_level=len(dataset.overviews(1)) - 1) as smallest:
        pixels = smallest.read(1)
    return bool(np.nanmin(pixels) < np.nanmax(pixels))
