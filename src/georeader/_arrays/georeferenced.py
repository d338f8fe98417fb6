"""What follows from (transform, crs, shape), written once for arrays, readers and stand-ins."""

from __future__ import annotations

from typing import Any

from affine import Affine
from rasterio.windows import Window

from georeader import window_utils


class Georeferenced:
    """Mixin: size, resolution, bounds and footprint from ``transform``, ``crs`` and ``shape``.

    The last two axes of ``shape`` are (row, column).
    """

    transform: Affine
    crs: Any
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        """Columns, in pixels."""
        return int(self.shape[-1])

    @property
    def height(self) -> int:
        """Rows, in pixels."""
        return int(self.shape[-2])

    @property
    def res(self) -> tuple[float, float]:
        """The pixel's (width, height) in CRS units."""
        return window_utils.res(self.transform)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(min x, min y, max x, max y) in CRS units."""
        return window_utils.window_bounds(self._whole(), self.transform)

    def footprint(self, crs: Any = None) -> Any:
        """Outline of the raster as a shapely polygon.

        Args:
            crs: CRS of the result; the raster's own by default. Only the corners are reprojected.

        Raises:
            MissingExtraError: shapely is not installed (extra ``shapely``).
            GeoreferenceError: ``crs`` is given, but the raster has no CRS.
        """
        ring = window_utils.window_corners(self._whole(), self.transform)
        return window_utils.ring_to_polygon(ring, self.crs, crs)

    def same_extent(self, other: Any, precision: float = 1e-3) -> bool:
        """Tell whether ``other`` lies on the same grid: CRS, rows and columns, and transform.

        Args:
            other: Anything with ``transform``, ``crs`` and ``shape``.
            precision: How far from each other pixels may lie, in pixels; everywhere in the raster.
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
