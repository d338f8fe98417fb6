"""Text of the reprs of arrays and readers."""

from __future__ import annotations

from typing import Any

import numpy as np
from rasterio.rpc import RPC

from georeader._arrays.pixel_attrs import mask_of
from georeader.abstract_reader import declared_nodata
from georeader.ground_control import as_control_points
from georeader.window_utils import describe_crs


def describe_pixel_attrs(raster: Any) -> dict[str, str]:
    """Return a line each about the mask, the ground control points and the rational polynomials of a raster."""
    attrs = raster.attrs
    mask, gcps = mask_of(attrs, raster.shape), as_control_points(attrs.get("gcps"))
    facts: dict[str, str] = {}
    if mask is not None:
        facts["mask"] = f"hides {mask.size - int(np.count_nonzero(mask))} of {mask.size} pixels"
    elif getattr(raster, "has_mask", False):
        facts["mask"] = "yes, read by load()"
    if gcps is not None:
        facts["gcps"] = f"{len(gcps.points)} ground control points in {describe_crs(gcps.crs)}"
    if isinstance(attrs.get("rpcs"), RPC):
        facts["rpcs"] = "yes"
    return facts


def describe_grid(raster: Any, **extra: Any) -> str:
    """Return a heading line and one line per fact.

    Args:
        raster: A GeoTensor or a reader.
        **extra: Further facts, name to value; None is left out.
    """
    axes = " x ".join(str(size) for size in raster.shape)
    names = ", ".join({"y": "row", "x": "column"}.get(name, name) for name in raster.dims)
    left, bottom, right, top = raster.bounds
    width, height = raster.res
    nodata = declared_nodata(raster, raster.dtype)
    facts: dict[str, Any] = {
        "crs": describe_crs(raster.crs),
        "pixel": f"{width:g} x {height:g}",
        "bounds": f"({left:.10g}, {bottom:.10g}, {right:.10g}, {top:.10g})",
        "no data": "none" if nodata is None else nodata,
        **describe_pixel_attrs(raster),
        **extra,
    }
    lines = [f"{type(raster).__name__} {axes} ({names}) {raster.dtype}"]
    lines += [f"  {name:<9}{value}" for name, value in facts.items() if value is not None]
    return "\n".join(lines)
