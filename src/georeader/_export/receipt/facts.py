"""Fields of a receipt that describe the raster in the file: its grid, its place, its bands. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rasterio.crs import CRS
from rasterio.enums import WktVersion
from rasterio.errors import CRSError

from georeader._export.plan.metadata import Metadata
from georeader._export.plan.spec import ExportSpec
from georeader._export.receipt.acquisition import acquisition_time


def facts_of_spec(spec: ExportSpec) -> dict[str, Any]:
    """Return the fields of a `Receipt` that describe the raster, if it is written as planned.

    Args:
        spec: The file.
    """
    metadata, count = spec.metadata, spec.count
    return {
        "kind": spec.kind,
        "shape": (count, spec.height_px, spec.width_px),
        "dtype": spec.dtype.name,
        "transform": spec.transform,
        "crs_wkt": wkt2_of(spec.crs),
        "nodata": spec.nodata,
        "descriptions": metadata.descriptions or (None,) * count,
        "units": metadata.units or (None,) * count,
        "scales": metadata.scales or (1.0,) * count,
        "offsets": metadata.offsets or (0.0,) * count,
        "acquired": _acquired(metadata),
    }


def _acquired(metadata: Metadata) -> datetime | None:
    imagery = dict(dict(metadata.namespaces).get("IMAGERY", ()))
    return metadata.acquired or acquisition_time(imagery) or acquisition_time(dict(metadata.tags))


def facts_of_file(spec: ExportSpec, dataset: Any) -> dict[str, Any]:
    """Give the same of a file whose grid is another than was passed: GDAL warped it, and may have added an alpha band.

    Args:
        spec: What was asked for.
        dataset: The finished file, an open rasterio dataset.
    """
    return facts_of_spec(spec) | {
        "shape": (dataset.count, dataset.height, dataset.width),
        "transform": dataset.transform,
        "crs_wkt": wkt2_of(dataset.crs),
        "nodata": None if dataset.nodata is None else spec.nodata,
        "descriptions": tuple(dataset.descriptions),
        "units": tuple(dataset.units),
        "scales": tuple(dataset.scales),
        "offsets": tuple(dataset.offsets),
    }


def wkt2_of(crs: CRS | None) -> str | None:
    """Give a CRS in WKT 2 (ISO 19162:2019), or as it is where that can't tell it; None for none.

    Example:
        >>> wkt2_of(CRS.from_epsg(32630))[:31]
        'PROJCRS["WGS 84 / UTM zone 30N"'
    """
    if crs is None:
        return None
    try:
        return str(crs.to_wkt(version=WktVersion.WKT2_2019))
    except CRSError:
        return str(crs.to_wkt())
