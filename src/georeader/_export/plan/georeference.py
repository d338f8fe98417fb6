"""Choice of a raster's georeference: transform, ground control points or rational polynomials. Pure."""

from __future__ import annotations

from dataclasses import replace

from affine import Affine
from rasterio.crs import CRS

from georeader._core.reporting import warn_at_caller
from georeader._export.plan.metadata import Metadata
from georeader.errors import GeoreferenceError, MetadataWarning
from georeader.window_utils import compare_crs, counts_pixels

_IDENTITY = Affine.identity()

#: Largest number of ground control points in a TIFF: six numbers each, of which GDAL writes at most 65535.
MOST_CONTROL_POINTS = 65535 // 6


def choose_georeference(metadata: Metadata, crs: CRS | None, transform: Affine) -> tuple[Metadata, CRS | None, Affine]:
    """Choose between transform, ground control points and rational polynomials where a GeoTIFF cannot hold them all.

    A GeoTIFF has either a transform and its CRS, or ground control points and theirs (OGC 19-008r4, ModelTiepointTag).
    The transform comes first, as in GDAL. A transform that only counts pixels, as that of a raster without georeference
    or of a window of it, is dropped for the points or polynomials.

    Args:
        metadata: Of the source.
        crs: Of the source.
        transform: Of the source.

    Returns:
        The three that a GeoTIFF can hold: with control points, no CRS (they have it) and the identity.

    Raises:
        GeoreferenceError: CRS and control points contradict.
    """
    gcps = metadata.gcps
    is_unplaced = counts_pixels(crs, transform)
    if gcps is None:
        only_polynomials = metadata.rpcs is not None and crs is None and is_unplaced
        return metadata, crs, _IDENTITY if only_polynomials else transform
    if not is_unplaced:
        warn_at_caller(
            f"the {len(gcps.points)} ground control points are left out: a GeoTIFF has them or a transform",
            MetadataWarning,
        )
        return replace(metadata, gcps=None), crs, transform
    if len(gcps.points) > MOST_CONTROL_POINTS:
        warn_at_caller(
            f"the {len(gcps.points)} ground control points are left out: a GeoTIFF has at most {MOST_CONTROL_POINTS}",
            MetadataWarning,
        )
        return replace(metadata, gcps=None), crs, transform
    if crs is not None and gcps.crs is not None and not compare_crs(crs, gcps.crs):
        raise GeoreferenceError(
            f"the ground control points are in {gcps.crs}, the raster in {crs} without a transform; a GeoTIFF has one "
            "CRS for both: set the raster's crs to None"
        )
    return replace(metadata, gcps=replace(gcps, crs=gcps.crs or crs)), None, _IDENTITY
