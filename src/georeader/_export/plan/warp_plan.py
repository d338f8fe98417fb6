"""Plan of a warp: the target grid, and the spec of the raster on it, for `TILING_SCHEME` and `TARGET_SRS`. Pure.

The grid is that of GDAL's COG driver: the CRS and the resolution that GDAL suggests for the raster, fitted to a tiling
scheme, or to ``EXTENT`` and ``RES``.

References:
    GDAL's COG driver page, "Reprojection related creation options"; GDALSuggestedWarpOutput2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from georeader._codecs.registry import CODECS
from georeader._core.band_attrs import PER_BAND_KEYS, alpha_band
from georeader._core.reporting import warn_at_caller
from georeader._export.plan.encoding import Encoding
from georeader._export.plan.metadata import Metadata
from georeader._export.plan.spec import SourceSpec
from georeader._export.plan.tiling_schemes import TilingScheme, ZoomOptions, find_scheme, is_halved, scheme_grid
from georeader._export.suggested_grid import Bounds, Georeference, suggested_grid
from georeader.errors import GeoreferenceError, LayoutWarning, OptionError
from georeader.window_utils import normalise_crs, same_corners

#: Domain in which GDAL's drivers find the tiling scheme of a file.
TILING_SCHEME_DOMAIN = "TILING_SCHEME"

#: Relative difference from a whole number of pixels at which they are exact squares.
_SQUARE = 1e-8

#: Most pixels along an axis: what a GeoTIFF holds.
_MOST_SIDE_PX = 2**31 - 1

#: Value of a further band in metadata that has one for each band.
_OF_ALPHA: dict[str, Any] = {
    "scales": 1.0, "offsets": 0.0, "colorinterp": "alpha", "band_tags": (), "band_namespaces": (),
}  # fmt: skip


@dataclass(frozen=True)
class TargetGrid:
    """The grid that a raster is warped onto."""

    height_px: int
    width_px: int
    crs: CRS
    transform: Affine
    scheme: TilingScheme | None = None
    zoom: int = 0
    aligned_levels: int = 0

    @property
    def tags(self) -> tuple[tuple[str, str], ...]:
        """The tags by which readers find the scheme and the zoom level of a file."""
        if self.scheme is None:
            return ()
        tags = (("NAME", self.scheme.name), ("ZOOM_LEVEL", str(self.zoom)))
        return (*tags, ("ALIGNED_LEVELS", str(self.aligned_levels))) if self.aligned_levels else tags


@dataclass(frozen=True)
class WarpPlan:
    """What a warp does to a raster."""

    source: SourceSpec  #: The raster, in the dtype of the file
    place: Georeference  #: of the raster
    target: SourceSpec  #: The raster on the target grid
    method: str  #: One of `methods.WARP_METHODS`
    nodata: int | float | None  #: Of pixels that are missing in the source, and beyond it
    source_alpha: int | None  #: Position of the alpha band of the source
    adds_alpha: bool  #: The last band of the target is alpha, which the source does not have
    is_same_grid: bool  #: Source and target are on one grid: nothing is warped


def plan_warp(source: SourceSpec, encoding: Encoding, nodata: int | float | None, dtype: np.dtype[Any]) -> WarpPlan:
    """Return the plan of the warp of a source that is written in some encoding, with this nodata and this dtype."""
    place = _place_of(source)
    options = encoding.effective_options
    grid = target_grid(place, options, encoding.tile_width_px, encoding.tile_height_px)
    _warn_of_levels(grid, encoding)
    is_same_grid = _is_same_grid(place, grid)
    alpha = alpha_band(source.metadata.colorinterp)
    wanted = options.get("ADD_ALPHA")
    is_bare = nodata is None and alpha is None and not is_same_grid
    if is_bare and not source.has_mask and dtype.kind == "f" and wanted != "YES":
        nodata, is_bare = float("nan"), False
    # A colour table goes with a single band, and JPEG keeps no alpha: there a mask says the same.
    is_masked_instead = source.metadata.colormap is not None or CODECS[encoding.codec].alpha_is_mask
    adds_alpha = is_bare and wanted != "NO" and not is_masked_instead
    if is_bare:
        has_mask = not adds_alpha and (source.has_mask or wanted != "NO")
    else:
        has_mask = source.has_mask and (is_same_grid or alpha is not None)
    own = replace(source, dtype=dtype)
    return WarpPlan(
        source=own,
        place=place,
        target=replace(
            own,
            count=source.count + adds_alpha,
            height_px=grid.height_px,
            width_px=grid.width_px,
            crs=grid.crs,
            transform=grid.transform,
            metadata=_metadata_on(grid, source.metadata, source.count, adds_alpha=adds_alpha),
            fill_value=nodata,
            fill_value_is_explicit=True,
            has_mask=has_mask and alpha is None,
            overview_resamplings=source.overview_resamplings + source.overview_resamplings[-1:] * adds_alpha,
        ),
        method=_method(source, encoding, dtype),
        nodata=nodata,
        source_alpha=alpha,
        adds_alpha=adds_alpha,
        is_same_grid=is_same_grid,
    )


def target_grid(place: Georeference, options: Mapping[str, str], tile_width_px: int, tile_height_px: int) -> TargetGrid:
    """Return the grid that a raster is warped onto, by creation options of GDAL's COG driver."""
    if "TILING_SCHEME" not in options:
        return _grid_by_extent(place, options)
    if tile_width_px != tile_height_px:
        raise OptionError(
            f"profile_arg['TILING_SCHEME'] goes with square tiles, got {tile_width_px} x {tile_height_px}; pass "
            "BLOCKSIZE"
        )
    scheme = find_scheme(options["TILING_SCHEME"])
    crs = _known_crs(scheme.crs)
    zoom = ZoomOptions(
        tile_px=tile_width_px,
        zoom_level=int(options["ZOOM_LEVEL"]) if "ZOOM_LEVEL" in options else None,
        strategy=options.get("ZOOM_LEVEL_STRATEGY", "AUTO"),
        aligned_levels=int(options.get("ALIGNED_LEVELS", 0)),
    )
    transform, bounds = suggested_grid(place, crs)
    found = scheme_grid(scheme, zoom, bounds, transform.a)
    return replace(
        _grid(crs, found.bounds, found.resolution),
        scheme=replace(scheme, name=_name_of(scheme, options["TILING_SCHEME"])),
        zoom=found.zoom,
        aligned_levels=found.aligned_levels,
    )


def _grid_by_extent(place: Georeference, options: Mapping[str, str]) -> TargetGrid:
    crs = _known_crs(options["TARGET_SRS"])
    transform, bounds = suggested_grid(place, crs)
    resolution = float(options.get("RES", transform.a))
    if "EXTENT" in options:
        left, bottom, right, top = map(float, options["EXTENT"].split(","))
        bounds = left, bottom, right, top
        if not (left < right and bottom < top):
            raise OptionError(
                f"profile_arg['EXTENT']={options['EXTENT']!r} is empty; pass left, bottom, right and top, in units of "
                "TARGET_SRS"
            )
    return _grid(crs, bounds, resolution)


def _grid(crs: CRS, bounds: Bounds, resolution: float) -> TargetGrid:
    """Return the grid of bounds whose pixels are of about this size: exactly, if that is a whole number of pixels."""
    left, bottom, right, top = bounds
    width, height = (right - left) / resolution, (top - bottom) / resolution
    width_px, height_px = _rounded(width), _rounded(height)
    if min(width_px, height_px) < 1 or max(width_px, height_px) > _MOST_SIDE_PX:
        raise OptionError(
            f"the raster is {height_px} x {width_px} pixels of {resolution:g} after the warp; pass another RES, EXTENT "
            "or ZOOM_LEVEL"
        )
    x_px, y_px = (right - left) / width_px, (top - bottom) / height_px
    if max(abs(width - width_px), abs(height - height_px)) <= _SQUARE:
        x_px = y_px = resolution
    return TargetGrid(height_px, width_px, crs, Affine(x_px, 0, left, 0, -y_px, top))


def _rounded(number: float) -> int:
    """Round to an integer, halves up, as C does."""
    return math.floor(number + 0.5)


def _name_of(scheme: TilingScheme, given: str) -> str:
    """Return the name that a file records: GDAL's spelling of its own schemes, and what was passed for others."""
    return scheme.name if given.upper() == scheme.name.upper() or given.lstrip().startswith("{") else given


def _known_crs(crs: Any) -> CRS:
    return normalise_crs(crs) or CRS()


def _place_of(source: SourceSpec) -> Georeference:
    gcps = source.metadata.gcps
    if gcps is not None and gcps.crs is not None:
        return Georeference(source.height_px, source.width_px, _known_crs(gcps.crs), source.transform, gcps)
    if source.crs is None:
        raise GeoreferenceError(
            "profile_arg asks for a warp (TILING_SCHEME or TARGET_SRS), but the data has no CRS; set it on the data, "
            "or drop the option"
        )
    return Georeference(source.height_px, source.width_px, source.crs, source.transform)


def _is_same_grid(place: Georeference, grid: TargetGrid) -> bool:
    """Return whether a raster is on the target grid already."""
    shape = grid.height_px, grid.width_px
    is_same_shape = place.gcps is None and (place.height_px, place.width_px) == shape
    return is_same_shape and place.crs == grid.crs and same_corners(place.transform, grid.transform, shape)


def _method(source: SourceSpec, encoding: Encoding, dtype: np.dtype[Any]) -> str:
    """Return the method of the warp: the requested one, nearest for classes and complex numbers, else cubic."""
    requested = encoding.options.get("WARP_RESAMPLING") or encoding.warp_resampling
    return str(requested or ("NEAREST" if source.is_classes or dtype.kind == "c" else "CUBIC"))


def _metadata_on(grid: TargetGrid, metadata: Metadata, count: int, *, adds_alpha: bool) -> Metadata:
    """Return the metadata of a raster on another grid, with a further band for alpha."""
    spaces = tuple((domain, tags) for domain, tags in metadata.namespaces if domain != TILING_SCHEME_DOMAIN)
    if grid.tags:
        spaces = (*spaces, (TILING_SCHEME_DOMAIN, grid.tags))
    changes: dict[str, Any] = {"namespaces": spaces, "gcps": None, "rpcs": None}
    if adds_alpha:
        changes |= {key: (*values, _OF_ALPHA.get(key)) for key in PER_BAND_KEYS if (values := getattr(metadata, key))}
        if not metadata.colorinterp:
            is_picture = count == 3
            names = ("undefined",) * 3 if is_picture else ("gray", *("undefined",) * (count - 1))
            changes["colorinterp"] = (*names, "alpha")
    return replace(metadata, **changes)


def _warn_of_levels(grid: TargetGrid, encoding: Encoding) -> None:
    """Warn of a scheme whose zoom levels are not halves of each other, as overviews are."""
    if grid.scheme is None or encoding.overviews == "NONE":
        return
    levels = encoding.overview_count
    if levels is None:
        levels = max(0, (max(grid.width_px, grid.height_px) - 1) // encoding.tile_width_px).bit_length()
    if not is_halved(grid.scheme, grid.zoom, levels):
        warn_at_caller(
            f"the overviews are not zoom levels of {grid.scheme.name}, which are not halves of each other; pass "
            "OVERVIEWS=NONE for a file of one zoom level",
            LayoutWarning,
        )
