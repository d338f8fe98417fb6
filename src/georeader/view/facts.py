"""Facts about a file that the page needs: levels, bands, georeference, and the reason if it cannot be shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from affine import Affine

from georeader._readers.measurement import MeasuredDirectory, Measurement, structure_of, tile_table
from georeader._readers.pixel_layout import YCBCR, PixelLayout
from georeader._render.bands import RasterBands, choose_bands
from georeader.rasterio_reader import RasterioReader
from georeader.validation.judge import SMALL_PX, judge
from georeader.validation.judge_clients import judge_clients
from georeader.validation.reports import Report
from georeader.window_utils import compare_crs, counts_pixels, describe_crs

#: Longest side of the smallest level that the page reads: its stretch is computed of all its pixels.
MAX_SMALLEST_PX = 4096

#: Value of Compression.
_JPEG = 7


def facts_of(reader: RasterioReader, measured: Measurement, name: str) -> dict[str, Any]:
    """Return the facts about a TIFF as values of JSON."""
    report = Report(name, measured, judge(measured))
    reason = _reason_not_shown(report)
    levels = [] if reason else [_level(measured, *one) for one in _pyramid(measured)]
    base = measured.images[0].layout if measured.images else None
    return {
        "name": name,
        "error": reason,
        "notes": [] if reason else [*_faulty(report), *_unplaced(reader)],
        "size_bytes": measured.size_bytes,
        "header_bytes": _header_bytes(measured),
        "width": reader.width,
        "height": reader.height,
        "levels": levels,
        "is_ycbcr": base is not None and base.photometric == YCBCR and base.compression == _JPEG,
        **_bands(reader),
        **_georeference(reader),
    }


def _reason_not_shown(report: Report) -> str | None:
    """Return the reason if geotiff.js cannot read a file, or could only read it as a whole; None otherwise."""
    pyramid = _pyramid(report.measurement)
    if not pyramid:
        return f"its pixels cannot be found: {'; '.join(_faults(report)[:1])}"
    (_, layout), (_, smallest) = pyramid[0], pyramid[-1]
    unread = judge_clients(report.measurement)
    if unread:
        return unread[0].message
    is_large = max(smallest.width_px, smallest.height_px) > MAX_SMALLEST_PX
    is_striped = not layout.is_tiled and max(layout.width_px, layout.height_px) > SMALL_PX
    if is_striped or is_large:
        size = f"its smallest level has {smallest.width_px} x {smallest.height_px} pixels"
        cause = _not_a_cog(report) if _faults(report) else size
        return f"{cause}; a map would have to read all of it; georeader cog saves it as one"
    return None


def _faults(report: Report) -> list[str]:
    """Return the problems that a map has with a file: those that make it invalid, and missing overviews."""
    return [one.message for one in report.problems if one in report.errors or one.code == "overviews-missing"]


def _not_a_cog(report: Report) -> str:
    return f"it is not a good COG: {_faults(report)[0]}"


def _faulty(report: Report) -> list[tuple[str, str]]:
    return [("note", f"{_not_a_cog(report)}; georeader validate lists all")] if _faults(report) else []


def _unplaced(reader: RasterioReader) -> list[tuple[str, str]]:
    """Return the reason if a raster is shown in pixels, not in a CRS."""
    if _is_north_up(reader.transform):
        return []
    has_none = counts_pixels(reader.crs, reader.transform)
    kind = "has no georeference" if has_none else "is rotated, or its rows run north"
    return [("info", f"it {kind}: it is shown as its rows and columns run")]


def _pyramid(measured: Measurement) -> list[tuple[MeasuredDirectory, PixelLayout]]:
    """Return the raster and its overviews, as far as each is smaller than the one before."""
    found: list[tuple[MeasuredDirectory, PixelLayout]] = []
    width_px = math.inf
    for image in measured.images:
        if image.layout is None or image.layout.width_px >= width_px:
            break
        found.append((image, image.layout))
        width_px = image.layout.width_px
    return found


def _level(measured: Measurement, image: MeasuredDirectory, layout: PixelLayout) -> dict[str, Any]:
    mask = None if image.role.level is None else measured.mask_of(image.role.level)
    return {
        "directory": image.number,
        "mask": None if mask is None or mask.layout is None else mask.number,
        "width": layout.width_px,
        "height": layout.height_px,
        "is_tiled": layout.is_tiled,
        # Strips are read as one tile: only small rasters in strips are shown.
        "tile_width": layout.tile_width_px if layout.is_tiled else layout.width_px,
        "tile_height": layout.tile_height_px if layout.is_tiled else layout.height_px,
        "planes": layout.planes,
    }


def _header_bytes(measured: Measurement) -> int:
    """Return the end of the header and the directories before the first tile."""
    tiles = tile_table(measured.directories, measured.size_bytes)
    first_tile = int(tiles.starts[0]) if len(tiles) else measured.size_bytes
    ends = [extent.end_bytes for extent in structure_of(measured, with_values=True)]
    return max((end for end in ends if end <= first_tile), default=0)


def _bands(reader: RasterioReader) -> dict[str, Any]:
    bands = RasterBands.from_attrs(
        {**reader.attrs, "descriptions": reader.descriptions}, reader.count, reader.dtype, reader.nodata
    )
    chosen = choose_bands(bands)
    colormap = bands.colormap if bands.count == 1 else None
    names = bands.descriptions or (None,) * bands.count
    return {
        "dtype": str(reader.dtype),
        "bands": [f"{number} {name}" if name else str(number) for number, name in enumerate(names, 1)],
        "shown_bands": chosen.colours,
        "alpha": chosen.alpha,
        "are_colours": chosen.are_colours,
        "is_inverted": bands.is_inverted and colormap is None,
        "colormap": None if colormap is None else [(value, rgba) for value, rgba in colormap],
        "nodata": _number(reader.nodata, reader.dtype),
    }


def _number(nodata: Any, dtype: np.dtype[Any]) -> int | float | str | None:
    """Return nodata as the page compares it with pixels; a text where JSON has no number for it."""
    if nodata is None:
        return None
    if dtype.kind != "f":
        return int(nodata) if math.isfinite(nodata) and nodata == int(nodata) else None
    with np.errstate(over="ignore"):
        value = float(dtype.type(nodata))
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _georeference(reader: RasterioReader) -> dict[str, Any]:
    """Return CRS and transform, and the place on the map: in units of the CRS, or of pixels.

    Rasters that are rotated, or whose rows run north, are shown as their rows and columns run.
    """
    transform, crs = reader.transform, reader.crs
    is_north_up = _is_north_up(transform)
    return {
        "crs": None if crs is None else describe_crs(crs),
        "transform": transform[:6],
        "units": "degrees"
        if is_north_up and crs is not None and crs.is_geographic
        else "m"
        if is_north_up
        else "pixels",
        "map": {
            "left": transform.c if is_north_up else 0,
            "top": transform.f if is_north_up else 0,
            "pixel_x": transform.a if is_north_up else 1,
            "pixel_y": -transform.e if is_north_up else 1,
        },
    }


def _is_north_up(transform: Affine) -> bool:
    return bool(transform.b == 0 == transform.d and transform.a > 0 > transform.e)


def map_transform(facts: dict[str, Any]) -> Affine:
    """Return the transform from (column, row) to coordinates of the map."""
    place = facts["map"]
    return Affine(place["pixel_x"], 0, place["left"], 0, -place["pixel_y"], place["top"])


def frames_of(georeferences: Sequence[tuple[Any, Affine]]) -> list[int]:
    """Return a number for each (CRS, transform): rasters of one number share a map.

    They do if they have one CRS and north is up, or if their transforms only count pixels.

    Example:
        >>> grid, pixels = Affine(10, 0, 0, 0, -10, 0), Affine.identity()
        >>> frames_of([("EPSG:32630", grid), ("EPSG:4326", grid), (32630, grid), (None, pixels), (None, pixels)])
        [0, 1, 0, 3, 3]
    """
    return [
        next(first for first in range(number + 1) if first == number or _share_a_map(georeferences[first], one))
        for number, one in enumerate(georeferences)
    ]


def _share_a_map(first: tuple[Any, Affine], second: tuple[Any, Affine]) -> bool:
    if all(counts_pixels(*one) for one in (first, second)):
        return True
    return all(_is_north_up(one) for _, one in (first, second)) and compare_crs(first[0], second[0])
