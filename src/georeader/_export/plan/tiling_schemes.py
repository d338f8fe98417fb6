"""Tiling schemes: the tile matrix sets of `TILING_SCHEME`, and the grid of a raster in one of them. Pure.

References:
    OGC 17-083r4 (Two Dimensional Tile Matrix Set): scale denominators, table 2 on the size of a pixel in CRS units.
    GDAL's COG driver page, options TILING_SCHEME to ALIGNED_LEVELS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from georeader._core.reporting import import_extra
from georeader.errors import GeoreferenceError, OptionError

#: Size of a pixel on a screen, by which scale denominators are defined, in metres.
_SCREEN_PIXEL_M = 0.28e-3

#: Half the length of the equator of Web Mercator's sphere, in metres.
_HALF_EQUATOR_M = 6378137 * math.pi

#: Levels of a raster may be aligned with the tiles of so many zoom levels.
_MOST_ALIGNED_LEVELS = 10

#: Relative difference of resolutions that are the same.
_SAME = 1e-8

#: Part of a pixel by which a raster may reach into a tile that is not written for it.
_TOLERANCE_PX = 0.499

#: Ratios of the resolutions of neighbouring zoom levels have this numerator.
_RATIO_NUMERATOR = 60


@dataclass(frozen=True)
class TilingScheme:
    """A tile matrix set whose zoom levels share an origin and a size of tiles."""

    name: str
    crs: str  #: Any CRS input
    left: float  #: x of the origin, in units of the CRS
    top: float
    tile_px: int  #: Side of a tile
    resolutions: tuple[float, ...]  #: Size of a pixel at each zoom level, in units of the CRS
    matrix_sizes: tuple[tuple[int, int], ...]  #: (columns, rows) of tiles at each zoom level
    bounds: tuple[float, float, float, float] | None = None  #: (left, bottom, right, top), if declared

    def ratio(self, zoom: int) -> float:
        """Return how many pixels of a zoom level make one of the level before it; 2 for the first."""
        return self.resolutions[zoom - 1] / self.resolutions[zoom] if zoom >= 1 else 2.0


@dataclass(frozen=True)
class ZoomOptions:
    """The options that choose a zoom level, and tiles to align with."""

    tile_px: int
    zoom_level: int | None = None
    strategy: str = "AUTO"  #: "AUTO", "LOWER" or "UPPER"
    aligned_levels: int = 0


@dataclass(frozen=True)
class SchemeGrid:
    """The grid of a raster in a tiling scheme."""

    zoom: int
    aligned_levels: int
    resolution: float
    bounds: tuple[float, float, float, float]  #: (left, bottom, right, top)


def find_scheme(name: str) -> TilingScheme:
    """Return a tiling scheme by name, or that of a definition in JSON; morecantile knows all but two."""
    builtin = _BUILTIN.get(name.upper())
    return builtin if builtin is not None else _from_morecantile(name)


def scheme_grid(
    scheme: TilingScheme, options: ZoomOptions, bounds: tuple[float, float, float, float], resolution: float
) -> SchemeGrid:
    """Return the grid of a raster with these bounds, (left, bottom, right, top), and this resolution.

    Raises:
        GeoreferenceError: The raster lies beside the scheme, or is finer than its last zoom level.
    """
    left, bottom, right, top = bounds
    limits = scheme.bounds
    if limits and (right < limits[0] or left > limits[2] or top < limits[1] or bottom > limits[3]):
        raise GeoreferenceError(_beside(scheme))
    zoom = _zoom_level(scheme, options, resolution)
    pixel = scheme.resolutions[zoom] * scheme.tile_px / options.tile_px
    tile, margin = pixel * options.tile_px, _TOLERANCE_PX * pixel
    first_column = math.floor((left - scheme.left + margin) / tile)
    first_row = math.floor((scheme.top - top + margin) / tile)
    last_column = math.ceil((right - scheme.left - margin) / tile)
    last_row = math.ceil((scheme.top - bottom - margin) / tile)
    aligned = min(_MOST_ALIGNED_LEVELS, options.aligned_levels, zoom)
    step = _alignment(scheme, zoom, aligned)
    first_column, first_row = int(first_column / step) * step, int(first_row / step) * step
    last_column, last_row = -(-last_column // step) * step, -(-last_row // step) * step
    columns, rows = scheme.matrix_sizes[zoom]
    first_column, first_row = max(0, first_column), max(0, first_row)
    last_column, last_row = min(columns, last_column), min(rows, last_row)
    if first_column >= last_column or first_row >= last_row:
        raise GeoreferenceError(_beside(scheme))
    return SchemeGrid(
        zoom=zoom,
        aligned_levels=aligned,
        resolution=pixel,
        bounds=(
            scheme.left + first_column * tile,
            scheme.top - last_row * tile,
            scheme.left + last_column * tile,
            scheme.top - first_row * tile,
        ),
    )


def is_halved(scheme: TilingScheme, zoom: int, levels: int) -> bool:
    """Return whether so many overviews of half the size each are zoom levels of the scheme."""
    return all(abs(scheme.ratio(max(0, zoom - level)) - 2) <= _SAME for level in range(levels))


def _beside(scheme: TilingScheme) -> str:
    return (
        f"the raster lies outside of the tile matrix set {scheme.name}; choose another TILING_SCHEME, or pass "
        "TARGET_SRS for a grid of its own"
    )


def _zoom_level(scheme: TilingScheme, options: ZoomOptions, resolution: float) -> int:
    """Return the zoom level of a resolution: as fine, or the one that the strategy chooses."""
    last = len(scheme.resolutions) - 1
    if options.zoom_level is not None:
        if options.zoom_level > last:
            raise OptionError(
                f"profile_arg['ZOOM_LEVEL']={options.zoom_level} is not a zoom level of {scheme.name}; allowed: 0 to "
                f"{last}"
            )
        return options.zoom_level
    pixels = [one * scheme.tile_px / options.tile_px for one in scheme.resolutions]
    fine = (zoom for zoom, pixel in enumerate(pixels) if resolution > pixel or _is_same(resolution, pixel))
    zoom = next(fine, None)
    if zoom is None:
        raise GeoreferenceError(
            f"the raster's pixels of {resolution:g} are finer than the last zoom level of {scheme.name}, "
            f"{pixels[-1]:g}; pass ZOOM_LEVEL={last}"
        )
    if zoom == 0 or _is_same(resolution, pixels[zoom]) or options.strategy == "UPPER":
        return zoom
    is_lower_near = pixels[zoom - 1] / resolution < resolution / pixels[zoom]
    return zoom - 1 if options.strategy == "LOWER" or is_lower_near else zoom


def _is_same(resolution: float, other: float) -> bool:
    return abs(resolution - other) / other <= _SAME


def _alignment(scheme: TilingScheme, zoom: int, aligned_levels: int) -> int:
    """Return the number of tiles, along an axis, whose edges are edges of tiles in all aligned levels."""
    step = 1
    for level in range(zoom, zoom - aligned_levels + 1, -1):
        scaled = _RATIO_NUMERATOR / scheme.ratio(level)
        divisor = math.gcd(_RATIO_NUMERATOR, round(scaled))
        if not 1 <= scaled <= _RATIO_NUMERATOR or abs(round(scaled) - scaled) > 1e-10 or divisor < 2:
            raise OptionError(
                f"profile_arg['ALIGNED_LEVELS']={aligned_levels}: zoom levels {level - 1} and {level} of {scheme.name} "
                f"differ by {scheme.ratio(level):g}, which no number of whole tiles has in common; pass fewer levels"
            )
        step *= _RATIO_NUMERATOR // divisor
    return step


def _web_mercator() -> TilingScheme:
    side = 2 * _HALF_EQUATOR_M
    return TilingScheme(
        name="GoogleMapsCompatible",
        crs="EPSG:3857",
        left=-_HALF_EQUATOR_M,
        top=_HALF_EQUATOR_M,
        tile_px=256,
        resolutions=tuple(side / 256 / (1 << zoom) for zoom in range(31)),
        matrix_sizes=tuple((1 << zoom, 1 << zoom) for zoom in range(31)),
        bounds=(-_HALF_EQUATOR_M, -_HALF_EQUATOR_M, _HALF_EQUATOR_M, _HALF_EQUATOR_M),
    )


def _inspire_quad() -> TilingScheme:
    return TilingScheme(
        name="InspireCRS84Quad",
        crs="EPSG:4326",
        left=-180.0,
        top=90.0,
        tile_px=256,
        resolutions=tuple(180.0 / 256 / (1 << zoom) for zoom in range(30)),
        matrix_sizes=tuple((2 << zoom, 1 << zoom) for zoom in range(30)),
        bounds=(-180.0, -90.0, 180.0, 90.0),
    )


#: The schemes that need no extra, by their names in upper case.
_BUILTIN = {scheme.name.upper(): scheme for scheme in (_web_mercator(), _inspire_quad())}


@lru_cache(maxsize=16)
def _from_morecantile(name: str) -> TilingScheme:
    morecantile = import_extra("morecantile", extra="tms", purpose=f"profile_arg['TILING_SCHEME']={name[:80]!r}")
    if name.lstrip().startswith("{"):
        try:
            return _converted(morecantile.TileMatrixSet.model_validate_json(name))
        except ValueError as error:
            raise OptionError(f"profile_arg['TILING_SCHEME'] is not the JSON of a tile matrix set: {error}") from error
    known = {one.upper(): one for one in morecantile.tms.list()}
    if name.upper() not in known:
        names = ", ".join(["GoogleMapsCompatible", "InspireCRS84Quad", *sorted(known.values())])
        raise OptionError(
            f"profile_arg['TILING_SCHEME']={name!r} is unknown; allowed: CUSTOM, {names}, or the JSON of a tile matrix "
            "set (OGC 17-083r4)"
        )
    return _converted(morecantile.tms.get(known[name.upper()]))


def _converted(tms: Any) -> TilingScheme:
    """Return the scheme of morecantile's tile matrix set."""
    matrices = tms.tileMatrices
    first = matrices[0]
    for facts, what in (
        ({tuple(one.pointOfOrigin) for one in matrices}, "top left corner"),
        ({(one.tileWidth, one.tileHeight) for one in matrices}, "size of tiles"),
        ({len(one.variableMatrixWidths or ()) for one in matrices} | {0}, "matrix width for all rows"),
    ):
        if len(facts) > 1:
            raise OptionError(
                f"profile_arg['TILING_SCHEME']={tms.id!r}: its zoom levels do not share one {what}; choose another "
                "scheme"
            )
    if any(one.cornerOfOrigin != "topLeft" for one in matrices) or first.tileWidth != first.tileHeight:
        raise OptionError(
            f"profile_arg['TILING_SCHEME']={tms.id!r}: tiles must be squares that are counted from the top left; "
            "choose another scheme"
        )
    crs = tms.crs._pyproj_crs
    code = crs.to_authority(min_confidence=100)
    origin = first.pointOfOrigin
    is_inverted = _is_inverted(crs)
    return TilingScheme(
        name=tms.id,
        # A GeoTIFF holds CRS84 as EPSG:4326, which it differs from in the order of axes alone.
        crs="EPSG:4326" if code == ("OGC", "CRS84") else ":".join(code) if code else crs.to_wkt(),
        left=float(origin[is_inverted]),
        top=float(origin[not is_inverted]),
        tile_px=first.tileWidth,
        resolutions=tuple(one.scaleDenominator * _SCREEN_PIXEL_M / _metres_per_unit(crs) for one in matrices),
        matrix_sizes=tuple((one.matrixWidth, one.matrixHeight) for one in matrices),
    )


def _is_inverted(crs: Any) -> bool:
    """Return whether the first axis of pyproj's CRS is y: northing before easting, latitude before longitude."""
    first, second = crs.axis_info[:2]
    if first.direction == second.direction:  # around a pole
        return bool(first.name.lower().startswith("northing"))
    return (first.direction, second.direction) == ("north", "east")


def _metres_per_unit(crs: Any) -> float:
    if crs.is_geographic:
        return float(crs.ellipsoid.semi_major_metre) * math.pi / 180
    return float(crs.axis_info[0].unit_conversion_factor)
