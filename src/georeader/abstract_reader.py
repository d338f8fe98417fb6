"""The GeoData protocol: the shape of an object that georeader can save."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

from georeader import window_utils
from georeader.errors import ShapeError
from georeader.window_utils import normalise_transform


class Georeferenced:
    """Mixin: size, resolution, bounds and footprint from ``transform``, ``crs`` and ``shape`` (..., row, column)."""

    transform: Affine
    crs: Any
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        """Columns, in pixels."""
        return int(self._known_shape()[-1])

    @property
    def height(self) -> int:
        """Rows, in pixels."""
        return int(self._known_shape()[-2])

    def _known_shape(self) -> tuple[int, ...]:
        if not self.shape:
            name = type(self).__name__
            raise ShapeError(f"this {name} has no shape; pass {name}(..., shape=(rows, columns))")
        return self.shape

    @property
    def res(self) -> tuple[float, float]:
        """The pixel's (width, height) in CRS units."""
        return window_utils.res(self.transform)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(min x, min y, max x, max y) in CRS units."""
        return window_utils.window_bounds(self._whole(), self.transform)

    def footprint(self, crs: Any = None) -> Any:
        """Return the outline of the raster as a shapely polygon, in another CRS by reprojection of its corners.

        Raises:
            MissingExtraError: shapely is not installed (extra ``shapely``).
            GeoreferenceError: ``crs`` is given, but the raster has no CRS.
        """
        ring = window_utils.window_corners(self._whole(), self.transform)
        return window_utils.ring_to_polygon(ring, self.crs, crs)

    def same_extent(self, other: Any, precision: float = 1e-3) -> bool:
        """Return whether an object with ``transform``, ``crs`` and ``shape`` lies on the same grid.

        Corresponding pixels may be ``precision`` pixels apart.
        """
        rows_columns = tuple(self.shape[-2:])
        return (
            rows_columns == tuple(other.shape[-2:])
            and window_utils.same_transform(self.transform, other.transform, precision)
            and window_utils.same_corners(self.transform, other.transform, rows_columns, precision)
            and window_utils.compare_crs(self.crs, other.crs)
        )

    def _whole(self) -> Window:
        return Window(0, 0, self.width, self.height)


@runtime_checkable
class GeoDataBase(Protocol):
    """A georeferenced grid: affine transform, CRS and shape, the last two axes (row, column)."""

    @property
    def transform(self) -> Affine:
        """Pixel (column, row) to CRS (x, y)."""
        ...

    @property
    def crs(self) -> Any:
        """Any CRS input, or None."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., row, column), in pixels."""
        ...


@runtime_checkable
class GeoData(GeoDataBase, Protocol):
    """An object that ``save_cog`` accepts: a georeferenced grid with pixels and the value of missing ones.

    ``values`` is (row, column) or (band, row, column). An object with ``read_from_window(window)`` is read in windows,
    which it returns as objects of this protocol or as arrays; its ``values`` are not accessed. ``values`` that can be
    sliced but are not a numpy array (dask, zarr, h5py) are read in windows, too. An object with ``load()`` in place of
    ``values`` is loaded as a whole. An object with a ``dtype`` is not read before all options are checked.

    Attributes of the names ``descriptions``, ``scales``, ``offsets``, ``units``, ``colorinterp``, ``colormap``,
    ``photometric``, ``nbits``, ``tags`` (a mapping or a method), ``band_tags``, ``gcps`` and ``rpcs`` are kept, and
    such keys of a mapping ``attrs``. So are ``attrs["mask"]``, and the mask of a masked array if it is the same in all
    bands. An object that has its mask only after ``load()`` must have the attribute ``has_mask = True``.
    """

    @property
    def fill_value_default(self) -> Any:
        """Value of missing pixels, or None."""
        ...

    @property
    def values(self) -> NDArray[Any]:
        """(row, column) or (band, row, column) pixels."""
        ...


AbstractGeoData = GeoData


def declared_nodata(data: Any, dtype: np.dtype[Any]) -> Any:
    """Return the value of missing pixels in an object of the GeoData protocol with pixels of a dtype, or None.

    A bool array has one only if it was passed explicitly (``fill_value_is_explicit``), since False is a value and 0 the
    usual fill value.
    """
    fill = getattr(data, "fill_value_default", None)
    return None if dtype.kind == "b" and not getattr(data, "fill_value_is_explicit", False) else fill


def same_nodata(one: Any, other: Any) -> bool:
    """Return whether two nodata values are the same; NaN is the same as NaN, and None as None.

    Example:
        >>> same_nodata(float("nan"), float("nan")), same_nodata(None, float("nan")), same_nodata(0, 0.0)
        (True, False, True)
    """
    return bool(one == other or (one != one and other != other))


@dataclass
class FakeGeoData(Georeferenced):
    """A georeferenced grid without pixels, for arithmetic of windows and bounds.

    The shape is (..., row, column); it may be empty if only the transform is needed.

    Example:
        >>> from affine import Affine
        >>> FakeGeoData("EPSG:4326", Affine(0.5, 0, -180, 0, -0.5, 90), (360, 720)).bounds
        (-180.0, -90.0, 180.0, 90.0)
    """

    crs: Any
    transform: Affine
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check the transform."""
        self.transform = normalise_transform(self.transform)

    def __repr__(self) -> str:
        """Return one line: the CRS, the transform and the shape."""
        numbers = ", ".join(f"{number:.10g}" for number in self.transform[:6])
        return f"FakeGeoData({window_utils.describe_crs(self.crs)}, ({numbers}), {self.shape})"


def same_extent(a: GeoDataBase, b: GeoDataBase, precision: float = 1e-3) -> bool:
    """Return whether two objects lie on the same grid, as `Georeferenced.same_extent` does."""
    return FakeGeoData(a.crs, a.transform, tuple(a.shape)).same_extent(b, precision)
