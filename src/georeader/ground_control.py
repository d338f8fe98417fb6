"""Ground control points and rational polynomials: the georeference of a raster without an affine transform.

Both refer to pixels by row and column, so they move when rows and columns do. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC

from georeader.window_utils import describe_crs

#: Rational polynomials count from the middle of the first pixel, everything else here from its outer corner.
_RPC_ORIGIN_PX = 0.5


@dataclass(frozen=True, eq=False)
class GroundControlPoints:
    """Pixels whose coordinates on Earth are known.

    A GeoTIFF keeps row, column, x, y and z of each (OGC 19-008r4, ModelTiepointTag); it numbers the points anew, and
    cannot hold their ``info``.

    Each is rasterio's GroundControlPoint: (row, col) in pixels from the outer corner of the first pixel, (x, y, z) in
    units of ``crs``, which may be None.

    Example:
        >>> points = [GroundControlPoint(row=0, col=0, x=-3.7, y=40.4), GroundControlPoint(row=10, col=0, x=-3.7, y=40)]
        >>> moved = GroundControlPoints(tuple(points), "EPSG:4326").regrid(column=0, row=4)
        >>> [point.row for point in moved.points]
        [-4.0, 6.0]
    """

    points: tuple[GroundControlPoint, ...]
    crs: Any

    def regrid(self, column: float, row: float, column_step: float = 1, row_step: float = 1) -> GroundControlPoints:
        """Return the points in pixels of a grid laid over this one, as in `georeader.window_utils.regrid`."""
        moved = (
            GroundControlPoint(
                (point.row - row) / row_step,
                (point.col - column) / column_step,
                *(point.x, point.y, point.z, point.id, point.info),
            )
            for point in self.points
        )
        return GroundControlPoints(tuple(moved), self.crs)

    def __repr__(self) -> str:
        """Return one line: the number of points and their CRS."""
        return f"GroundControlPoints({len(self.points)} points in {describe_crs(self.crs)})"

    def _facts(self) -> tuple[tuple[Any, ...], ...]:
        return tuple((p.row, p.col, p.x, p.y, p.z, p.id, p.info) for p in self.points)

    def __eq__(self, other: object) -> bool:
        """Return whether all attributes of the points are equal; rasterio's points compare by identity."""
        if not isinstance(other, GroundControlPoints):
            return NotImplemented
        return self.crs == other.crs and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash(self._facts())


def as_control_points(value: Any) -> GroundControlPoints | None:
    """Return `GroundControlPoints` of such, or of ``(points, crs)`` as in rasterio's ``dataset.gcps``; else None."""
    if isinstance(value, GroundControlPoints):
        return value
    if not isinstance(value, tuple) or len(value) != 2 or not isinstance(value[0], Sequence):
        return None
    points, crs = value
    return GroundControlPoints(tuple(points), crs) if all(isinstance(p, GroundControlPoint) for p in points) else None


def regrid_rpcs(rpcs: RPC, column: float, row: float, column_step: float = 1, row_step: float = 1) -> RPC:
    """Return rational polynomials in pixels of a grid laid over another one, as in `georeader.window_utils.regrid`."""
    return RPC(**rpcs.to_dict() | _axis(rpcs, "line", row, row_step) | _axis(rpcs, "samp", column, column_step))


def _axis(rpcs: RPC, name: str, origin: float, step: float) -> dict[str, Any]:
    """Return the entries of one axis. Mirrored, the polynomial changes its sign and the scale stays positive."""
    offset, scale = getattr(rpcs, f"{name}_off"), getattr(rpcs, f"{name}_scale")
    sign = -1.0 if step < 0 else 1.0
    return {
        # A step of one is handled apart, since halves would cost digits.
        f"{name}_off": offset - origin if step == 1 else (offset + _RPC_ORIGIN_PX - origin) / step - _RPC_ORIGIN_PX,
        f"{name}_scale": scale / abs(step),
        f"{name}_num_coeff": [sign * coefficient for coefficient in getattr(rpcs, f"{name}_num_coeff")],
        f"{name}_den_coeff": list(getattr(rpcs, f"{name}_den_coeff")),
    }
