"""Georeferencing, bands and tags of a file, passed to GDAL through rasterio, in the `ENVIRONMENT`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from georeader._core.dtypes import is_nodata_for_rasterio
from georeader._export.plan.metadata import Metadata
from georeader._export.plan.spec import ExportSpec

#: Defaults of GDAL configuration that would change the dataset: the caller's own is for other files.
ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        "COMPRESS_OVERVIEW": "NONE",
        "PREDICTOR_OVERVIEW": "1",
        "GDAL_TIFF_ENDIANNESS": "NATIVE",
        "GDAL_TIFF_INTERNAL_MASK": "YES",
        "GTIFF_POINT_GEO_IGNORE": "FALSE",
        "USE_RRD": "NO",
        "TIFF_USE_OVR": "NO",
    }
)

#: Colour interpretations that GDAL gives bands by itself: of MINISWHITE "undefined" even to the first.
_UNCLAIMED = frozenset({"gray", "undefined"})


def creation_profile(spec: ExportSpec) -> dict[str, Any]:
    """Return rasterio's creation profile of a GeoTIFF with the georeference, the bands and the dtype of ``spec``.

    The caller adds height, width and layout.
    """
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": spec.count,
        "dtype": spec.dtype.name,
        "crs": spec.crs,
        "nodata": spec.nodata if is_nodata_for_rasterio(spec.nodata, spec.dtype) else None,
        # GDAL changes grey to a palette when the colour table is written, and YCbCr requires JPEG.
        "photometric": {"PALETTE": "MINISBLACK", "YCBCR": "RGB"}.get(spec.photometric, spec.photometric),
        "ALPHA": "NO",
    }
    if spec.encoding.bits is not None:
        profile["NBITS"] = spec.encoding.bits
    gcps = spec.metadata.gcps
    if gcps is not None:
        is_of_points = dict(spec.metadata.tags).get("AREA_OR_POINT") == "Point"
        shift_px = _shift_of_points_px() if is_of_points else 0
        # rasterio gives GDAL the CRS of the raster for that of the points.
        profile |= {"gcps": list(gcps.regrid(shift_px, shift_px).points), "crs": gcps.crs or CRS()}
    elif spec.transform[:6] != (1, 0, 0, 0, 1, 0):  # which GDAL takes for none
        profile["transform"] = spec.transform
    if spec.metadata.rpcs is not None:
        profile["rpcs"] = spec.metadata.rpcs
    return profile


def describe(dataset: Any, spec: ExportSpec) -> None:
    """Write the metadata of ``spec`` to a dataset without pixels: GDAL takes colours only before the first one."""
    metadata = spec.metadata
    if metadata.colormap is not None:
        dataset.write_colormap(1, dict(metadata.colormap))
    elif not _UNCLAIMED.issuperset(metadata.colorinterp):
        dataset.colorinterp = [ColorInterp[name] for name in metadata.colorinterp]
    if metadata.tags:
        dataset.update_tags(**dict(metadata.tags))
    if profile := dict(metadata.namespaces).get("COLOR_PROFILE"):
        dataset.update_tags(ns="COLOR_PROFILE", **dict(profile))
    for band, tags in enumerate(metadata.band_tags, start=1):
        if tags:
            dataset.update_tags(band, **dict(tags))
    _describe_bands(dataset, metadata)
    if metadata.rpcs is not None:
        errors = {"ERR_BIAS": metadata.rpcs.err_bias, "ERR_RAND": metadata.rpcs.err_rand}
        # rasterio leaves out errors of zero.
        dataset.update_tags(ns="RPC", **{name: "0" for name, error in errors.items() if error == 0})


def _describe_bands(dataset: Any, metadata: Metadata) -> None:
    """Write scales, offsets, units and descriptions of the bands."""
    if metadata.scales:
        dataset.scales = metadata.scales
    if metadata.offsets:
        dataset.offsets = metadata.offsets
    if metadata.units:
        dataset.units = [unit or "" for unit in metadata.units]
    for band, name in enumerate(metadata.descriptions, start=1):
        if name:
            dataset.set_band_description(band, name)


@functools.cache
def _shift_of_points_px() -> float:
    """Return by how much GDAL shifts the ground control points of a new GeoTIFF whose AREA_OR_POINT is "Point".

    Counted from a pixel's middle they are half a pixel less (OGC 19-008r4, GTRasterTypeGeoKey). GDAL adds the half
    when it reads, as it should; releases up to 3.12 add it when they write a new file, too, though not a copy.
    """
    point = GroundControlPoint(row=0, col=0, x=0, y=0)
    with rasterio.Env(**ENVIRONMENT), MemoryFile(filename="points.tif") as file:
        with file.open(
            driver="GTiff", height=1, width=1, count=1, dtype="uint8", gcps=[point], crs=CRS.from_epsg(4326)
        ) as dataset:
            dataset.update_tags(AREA_OR_POINT="Point")
        with file.open() as dataset:
            (found,), _ = dataset.gcps
    return float(found.row)
