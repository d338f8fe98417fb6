"""Windows, transforms, CRS and bounds of arrays and readers.

Pixel coordinates are (column, row) with the origin at the outer corner of the first pixel, as in GDAL and rasterio. A
window is a `rasterio.windows.Window` in pixels.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.windows import Window

from georeader._core.reporting import import_extra
from georeader.errors import GeoreferenceError, IndexingError, OptionError, ShapeError

#: Largest distance of a window's edge from a whole pixel at which it still counts as whole, in pixels.
PIXEL_PRECISION_PX = 1e-3


def res(transform: Affine) -> tuple[float, float]:
    """Return the pixel's (width, height) in CRS units, also for rotated transforms.

    Example:
        >>> from affine import Affine
        >>> res(Affine(10, 0, 500000, 0, -20, 4000000))
        (10.0, 20.0)
    """
    return math.hypot(transform.a, transform.d), math.hypot(transform.b, transform.e)


def window_corners(window: Window, transform: Affine) -> list[tuple[float, float]]:
    """Return the (x, y) of the window's four corners, clockwise from the first pixel's outer corner."""
    left, top = window.col_off, window.row_off
    right, bottom = left + window.width, top + window.height
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return [pixel_to_crs(transform, *corner) for corner in corners]


def pixel_to_crs(transform: Affine, column: float, row: float) -> tuple[float, float]:
    """Return the (x, y) of a point in pixel coordinates."""
    # Written out, since releases of affine differ in the operator for it.
    a, b, c, d, e, f = transform[:6]
    return float(a * column + b * row + c), float(d * column + e * row + f)


def regrid(transform: Affine, column: float, row: float, column_step: float = 1, row_step: float = 1) -> Affine:
    """Return the transform of a grid laid over another one.

    Origin and steps of the new grid are in columns and rows of the first; a negative step mirrors.
    """
    a, b, _, d, e, _ = transform[:6]
    x, y = pixel_to_crs(transform, column, row)
    return Affine(a * column_step, b * row_step, x, d * column_step, e * row_step, y)


def window_bounds(window: Window, transform: Affine) -> tuple[float, float, float, float]:
    """Return (min x, min y, max x, max y) of the window in CRS units, for any rotation.

    Example:
        >>> from affine import Affine
        >>> window_bounds(Window.from_slices((0, 3), (0, 2)), Affine(10, 0, 100, 0, -10, 200))
        (100.0, 170.0, 120.0, 200.0)
    """
    xs, ys = zip(*window_corners(window, transform), strict=True)
    return float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys))


def window_transform(window: Window, transform: Affine) -> Affine:
    """Return the transform whose origin is the window's first pixel."""
    return regrid(transform, window.col_off, window.row_off)


def whole_pixel_window(window: Window) -> Window:
    """Return the window with integer offsets and sizes.

    Raises:
        IndexingError: An edge lies between pixels, which would need resampling.
    """
    exact = (window.col_off, window.row_off, window.width, window.height)
    whole = tuple(round(value) if math.isfinite(value) else 0 for value in exact)
    if not all(abs(a - b) <= PIXEL_PRECISION_PX for a, b in zip(exact, whole, strict=True)):
        raise IndexingError(
            f"{window} does not lie on whole pixels; round it first, "
            "for instance with window.round_offsets().round_lengths()"
        )
    return Window(*whole)


def overlap(window: Window, height_px: int, width_px: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the part of a window on whole pixels that lies inside a raster, in pixels of the raster and of the window.

    Returns:
        ``(source, target)``, each a (row, column) pair of slices: ``source`` into the raster, ``target`` into an array
        of the window's size. Both are empty where window and raster do not meet.
    """
    source_rows, target_rows = _overlap_1d(int(window.row_off), int(window.height), height_px)
    source_columns, target_columns = _overlap_1d(int(window.col_off), int(window.width), width_px)
    return (source_rows, source_columns), (target_rows, target_columns)


def _overlap_1d(offset: int, size: int, limit: int) -> tuple[slice, slice]:
    start = min(max(offset, 0), limit)
    stop = max(min(offset + size, limit), start)
    shift = start - offset if stop > start else 0
    return slice(start, stop), slice(shift, shift + stop - start)


class WindowPair(NamedTuple):
    """The window that a model reads, and the part of it that is written; made by `iter_windows`.

    Attributes:
        read: Of the full size; it may reach beyond the raster's last row and column.
        write: Within ``read`` and within the raster.
    """

    read: Window
    write: Window

    def crop(self, array: Any) -> Any:
        """Return the pixels of ``write`` out of those of ``read``: a view of an array.

        Args:
            array: (..., row, column), of the size of ``read``.

        Raises:
            ShapeError: The array is not of this size.
        """
        if tuple(array.shape[-2:]) != (self.read.height, self.read.width):
            raise ShapeError(
                f"crop() takes the {self.read.height} x {self.read.width} pixels of the window that was read, "
                f"got shape {tuple(array.shape)}"
            )
        row, column = self.write.row_off - self.read.row_off, self.write.col_off - self.read.col_off
        return array[..., row : row + self.write.height, column : column + self.write.width]


def iter_windows(
    shape_or_raster: Any,
    size: int | tuple[int, int] = 512,
    overlap: int | tuple[int, int] = 0,
    *,
    trim: bool = False,
) -> Iterator[WindowPair]:
    """Iterate over the windows of a raster to read and to write, row by row, for models that run window by window.

    The first window begins at the first pixel, each later one ``overlap`` pixels before the end of that before it,
    until the raster is covered. All windows to read are of one size, as models need it: pixels beyond the last row or
    column are filled by ``read_from_window(pair.read, boundless=True)``.

    Args:
        shape_or_raster: (row, column) or (..., row, column) in pixels, or an object that has such a ``shape``: a
            reader, a GeoTensor, a dataset of rasterio, a `CogWriter`.
        size: Rows and columns of the windows to read; a number for both.
        overlap: Rows and columns that neighbours share, less than ``size``; a number for both.
        trim: True: windows to write do not overlap. Each is the middle of its window to read, and all of them cover
            the raster once. False: each is its window to read as far as that is within the raster, for
            ``CogWriter(blend=...)``.

    Raises:
        OptionError: ``size`` or ``overlap`` are not such numbers.
        ShapeError: ``shape_or_raster`` is neither a shape nor has one, or it is empty.

    Example:
        >>> for read, write in iter_windows((600, 900), size=512, overlap=64):
        ...     print(read.toranges(), write.toranges())
        ((0, 512), (0, 512)) ((0, 512), (0, 512))
        ((0, 512), (448, 960)) ((0, 512), (448, 900))
        ((448, 960), (0, 512)) ((448, 600), (0, 512))
        ((448, 960), (448, 960)) ((448, 600), (448, 900))

        A model that needs 32 pixels around each, written by any writer:

        >>> [pair.write.toranges() for pair in iter_windows((500, 900), size=512, overlap=64, trim=True)]
        [((0, 500), (0, 480)), ((0, 500), (480, 900))]
    """
    height, width = _raster_size(shape_or_raster)
    (rows, columns), (shared_rows, shared_columns) = _both(size, "size", 1), _both(overlap, "overlap", 0)
    if shared_rows >= rows or shared_columns >= columns:
        raise OptionError(f"overlap={overlap!r} must be less than size={size!r}")
    down = _read_and_write_ranges(height, rows, shared_rows, trim)
    across = _read_and_write_ranges(width, columns, shared_columns, trim)
    return (
        WindowPair(Window.from_slices(y, x, boundless=True), Window.from_slices(write_y, write_x))
        for y, write_y in down
        for x, write_x in across
    )


def _raster_size(shape_or_raster: Any) -> tuple[int, int]:
    shape = getattr(shape_or_raster, "shape", shape_or_raster)
    try:
        height, width = map(operator.index, shape[-2:])
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{shape_or_raster!r} is not a shape and has none; pass (row, column), or a raster") from error
    if height < 1 or width < 1:
        raise ShapeError(f"the raster has no pixels: shape {tuple(shape)}")
    return height, width


def _both(value: Any, name: str, least: int) -> tuple[int, int]:
    """Return (rows, columns) of one number for both, or of two."""
    try:
        rows, columns = map(operator.index, value if isinstance(value, Sequence) else (value, value))
    except (TypeError, ValueError) as error:
        raise OptionError(f"{name} must be a whole number or (rows, columns), got {value!r}") from error
    if min(rows, columns) < least:
        raise OptionError(f"{name} must be at least {least}, got {value!r}")
    return rows, columns


def _read_and_write_ranges(
    limit: int, size: int, shared: int, trim: bool
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return (start, stop) to read and to write of the windows along an axis of ``limit`` pixels."""
    starts = range(0, max(limit - shared, 1), size - shared)
    reads = [(start, start + size) for start in starts]
    if not trim:
        return [(read, (read[0], min(read[1], limit))) for read in reads]
    cuts = [0, *(start + shared // 2 for start in starts[1:]), limit]
    return list(zip(reads, itertools.pairwise(cuts), strict=True))


def normalise_crs(crs: Any) -> CRS | None:
    """Return a rasterio CRS for an EPSG code (integer or text), WKT, PROJ string, pyproj or rasterio CRS, or None.

    Raises:
        GeoreferenceError: PROJ does not know the input; the message has PROJ's reason.

    Example:
        >>> normalise_crs("EPSG:32630") == normalise_crs(32630)
        True
    """
    if crs is None or isinstance(crs, CRS):
        return crs
    try:
        return CRS.from_user_input(operator.index(crs) if hasattr(crs, "__index__") else crs)
    except (CRSError, TypeError, ValueError) as error:
        broken = proj_failure()
        advice = f"{_PROJ_ADVICE}, or pass WKT"
        if broken is None:
            advice = "pass an EPSG code such as 'EPSG:32630', WKT, or a rasterio or pyproj CRS"
        raise GeoreferenceError(f"crs={crs!r} is not a CRS that PROJ knows: {broken or error}; {advice}") from error


#: Advice about PROJ data that cannot be used.
_PROJ_ADVICE = "unset PROJ_DATA and PROJ_LIB, or set them to the folder of a proj.db that belongs to this PROJ"


def proj_failure() -> str | None:
    """Return PROJ's message about why it cannot use its database; None if it can."""
    try:
        CRS.from_epsg(4326)
    except CRSError as error:
        return str(error).partition("PROJ: ")[2] or str(error)
    return None


def check_epsg_code(crs: CRS | None) -> str | None:
    """Return the reason if a CRS has no EPSG code because PROJ cannot use its database; None otherwise."""
    if crs is None or crs.to_epsg() is not None:
        return None
    broken = proj_failure()
    return None if broken is None else f"{broken}; {_PROJ_ADVICE}"


def describe_crs(crs: Any) -> str:
    """Return a short text for a CRS: its EPSG code, else its name, else its PROJ string.

    Example:
        >>> describe_crs(32630)
        'EPSG:32630'
    """
    if crs is None:
        return "none"
    try:
        known = rasterio_crs(crs)
    except GeoreferenceError:
        return f"{crs!r} (PROJ does not know it)"
    code = known.to_epsg()
    if code is not None:
        return f"EPSG:{code}"
    reason = "no EPSG code" if proj_failure() is None else "no EPSG code: PROJ cannot use its database"
    wkt = known.to_wkt()
    name = wkt.split('"')[1] if '"' in wkt else "unnamed"
    if name in ("unknown", "unnamed"):
        name = known.to_proj4() or name
    return f"{name} ({reason})"


def rasterio_crs(crs: Any) -> CRS:
    """Return the rasterio CRS of an EPSG code, WKT, PROJ string, pyproj or rasterio CRS.

    Raises:
        GeoreferenceError: ``crs`` is None, or PROJ does not know it.

    Example:
        >>> rasterio_crs(32630).to_epsg()
        32630
    """
    known = normalise_crs(crs)
    if known is None:
        raise GeoreferenceError("crs=None is not a CRS; pass an EPSG code such as 'EPSG:32630', or WKT")
    return known


def compare_crs(a_crs: Any, b_crs: Any) -> bool:
    """Return whether two CRS inputs, of any accepted kind, are the same CRS.

    Example:
        >>> compare_crs("EPSG:4326", 4326), compare_crs("EPSG:4326", "EPSG:32630")
        (True, False)
    """
    if a_crs is b_crs or (isinstance(a_crs, str) and a_crs == b_crs):
        return True
    return bool(normalise_crs(a_crs) == normalise_crs(b_crs))


def normalise_transform(transform: Any) -> Affine:
    """Return an Affine for an Affine or six numbers (a, b, c, d, e, f).

    Raises:
        GeoreferenceError: Not six finite numbers, numbers in GDAL's order, or pixels of no area.
    """
    try:
        affine = transform if isinstance(transform, Affine) else _affine_of_numbers(tuple(transform))
        finite = all(math.isfinite(value) for value in affine[:6])
    except GeoreferenceError:
        raise
    except (TypeError, ValueError) as error:
        raise GeoreferenceError(
            f"transform={transform!r} is not an affine transform; pass affine.Affine(a, b, c, d, e, f)"
        ) from error
    if not finite or affine.is_degenerate:
        raise GeoreferenceError(f"transform={tuple(affine[:6])} has pixels of no area; pass the raster's own transform")
    return affine


def _affine_of_numbers(numbers: tuple[Any, ...]) -> Affine:
    if len(numbers) not in (6, 9):
        raise ValueError(f"{len(numbers)} numbers")
    if _is_gdal_order(*numbers[:6]):
        raise GeoreferenceError(
            f"transform={tuple(map(float, numbers[:6]))} is in GDAL's order (x, width, 0, y, 0, -height); pass "
            "affine.Affine.from_gdal(*transform), or (width, 0, x, 0, -height, y)"
        )
    return Affine(*numbers[:6])


def _is_gdal_order(first: Any, second: Any, third: Any, _: Any, fifth: Any, sixth: Any) -> bool:
    """Return whether six numbers look like a geotransform of GDAL: as rasterio does, and also where rows run north.

    In Affine's order third and fifth, x and the height of a pixel, are 0 only in a raster that is turned by 90 degrees
    at x=0, and then the first is 0, too.
    """
    if third != 0 or fifth != 0:
        return False
    return bool((second > 0 and sixth < 0) or (first != 0 and second != 0 and sixth != 0))


def counts_pixels(crs: Any, transform: Affine) -> bool:
    """Return whether a transform only counts pixels: to the right and down, without rotation and CRS."""
    a, b, _, d, e, _ = transform[:6]
    return transform[:6] == Affine.identity()[:6] or (crs is None and b == d == 0 and a > 0 and e > 0)


def rows_run_north(transform: Affine) -> bool:
    """Return whether rows run from south to north, rather than south, east or west."""
    return transform.e > 0 and transform.e >= abs(transform.b)


def same_transform(a: Affine, b: Affine, precision: float = 1e-3) -> bool:
    """Return whether two transforms agree within ``precision`` pixels in shift and relative size."""
    scale = min(min(res(a)), min(res(b)))
    return all(abs(x - y) <= precision * scale for x, y in zip(a[:6], b[:6], strict=True))


def same_corners(a: Affine, b: Affine, shape: tuple[int, ...], precision: float = 1e-3) -> bool:
    """Return whether the corners of (rows, columns) lie within ``precision`` pixels of each other under two transforms.

    A small difference in pixel size adds up along rows and columns. A ``shape`` of () is one of unknown size.
    """
    if not shape:
        return True
    tolerance = precision * min(min(res(a)), min(res(b)))
    whole = Window(0, 0, shape[1], shape[0])
    return all(
        abs(one - other) <= tolerance
        for corner, other_corner in zip(window_corners(whole, a), window_corners(whole, b), strict=True)
        for one, other in zip(corner, other_corner, strict=True)
    )


def transform_points(crs: Any, dst_crs: Any, x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Transform points of one CRS to another, by PROJ.

    Args:
        crs: CRS of the points, as `normalise_crs` takes it.
        dst_crs: CRS of the result.
        x: First coordinates (point,): eastings, or longitudes.
        y: Second coordinates (point,): northings, or latitudes.

    Returns:
        x and y in ``dst_crs``; NaN for points that it cannot show, such as those beyond the horizon of a satellite.

    Example:
        >>> import numpy as np
        >>> x, y = transform_points("EPSG:3857", "+proj=geos +h=35785831", np.array([0, 2e7]), np.array([0.0, 0]))
        >>> x.round(3).tolist(), y.round(3).tolist()
        ([0.0, nan], [0.0, nan])
    """
    with rasterio.Env():
        found = _transformed(normalise_crs(crs), normalise_crs(dst_crs), np.asarray(x, float), np.asarray(y, float))
    is_known = np.isfinite(found).all(axis=0)
    return np.where(is_known, found[0], np.nan), np.where(is_known, found[1], np.nan)


def _transformed(crs: CRS | None, dst_crs: CRS | None, x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Return (x and y, point) in another CRS.

    PROJ marks points that cannot be transformed, but rasterio raises an error of the first few of them that a process
    has met: then each half is tried.
    """
    from rasterio.warp import transform

    try:
        return np.array(transform(crs, dst_crs, x, y)[:2])
    except (RasterioError, CPLE_BaseError):
        middle = len(x) // 2
        if middle == 0:
            return np.full((2, len(x)), np.nan)
        parts = slice(None, middle), slice(middle, None)
        return np.concatenate([_transformed(crs, dst_crs, x[part], y[part]) for part in parts], axis=1)


def ring_to_polygon(ring: Sequence[tuple[float, float]], crs: Any, dst_crs: Any) -> Any:
    """Build a shapely polygon of a ring, reprojected if ``dst_crs`` is another CRS than ``crs``."""
    geometry = import_extra("shapely.geometry", extra="shapely", purpose="footprint()")
    if not all(math.isfinite(value) for point in ring for value in point):
        raise GeoreferenceError(f"the raster has no outline: its transform puts a corner at {ring[0]}; correct it")
    if dst_crs is None or compare_crs(crs, dst_crs):
        return geometry.Polygon(ring)
    from rasterio.warp import transform_geom

    if crs is None:
        raise GeoreferenceError("footprint(crs=...) needs a raster that has a CRS itself")
    shape = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    return geometry.shape(transform_geom(normalise_crs(crs), normalise_crs(dst_crs), shape))
