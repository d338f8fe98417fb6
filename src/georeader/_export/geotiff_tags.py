"""GDAL's tags for georeferencing, bands and metadata, read from a GeoTIFF of one pixel that GDAL writes in memory.

GDAL defines GeoTIFF keys, its XML, colour tables and alpha flags. So GDAL writes them all into a GeoTIFF of one pixel,
and its tags are copied into the file that this project lays out. That takes about a millisecond, so the tags are
cached: those of many chips differ in their transforms alone.

References:
    OGC 19-008r4 (GeoTIFF 1.1), section 7; GDAL's GTiff driver page, "Metadata" and "Georeferencing".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from georeader._core.caller_warnings import warn_at_caller
from georeader._core.dtypes import is_nodata_for_rasterio, nodata_text
from georeader._core.recorded_resampling import RESAMPLING_TAG
from georeader._export.gdal_dataset import ENVIRONMENT, describe, place_and_kind
from georeader._export.gdal_metadata import with_items
from georeader._export.placed_tags import place_like, with_transform
from georeader._export.plan.spec import ExportSpec
from georeader._export.statistics import BandStatistics, statistics_tags
from georeader._tiff import directories
from georeader._tiff.directories import Tag, TagNumber, TagType
from georeader.errors import GeoreferenceError, MetadataWarning, WriteError

#: CRSs of which is remembered how they come back from a GeoTIFF.
CRS_REMEMBERED = 64

#: Questions to GDAL of which is remembered what it said.
ANSWERS_REMEMBERED = 64

_ENVIRONMENT = {**ENVIRONMENT, "GDAL_PAM_ENABLED": "NO", "GDAL_TIFF_ENDIANNESS": "LITTLE"}

#: Tags that say how the tiny file itself is laid out.
_LAYOUT_TAGS = frozenset(
    {
        TagNumber.NEW_SUBFILE_TYPE,
        TagNumber.IMAGE_WIDTH,
        TagNumber.IMAGE_LENGTH,
        TagNumber.COMPRESSION,
        TagNumber.STRIP_OFFSETS,
        TagNumber.ROWS_PER_STRIP,
        TagNumber.STRIP_BYTE_COUNTS,
        TagNumber.PLANAR_CONFIGURATION,
        TagNumber.TILE_WIDTH,
        TagNumber.TILE_LENGTH,
        TagNumber.TILE_OFFSETS,
        TagNumber.TILE_BYTE_COUNTS,
    }
)


def descriptive_tags(
    spec: ExportSpec, statistics: Sequence[BandStatistics] = (), *, warns: bool = True
) -> tuple[Tag, ...]:
    """Give the tags that describe a raster and its bands, as GDAL writes them.

    Args:
        spec: The file that is wanted.
        statistics: One per band, or empty: then the file says nothing of them.
        warns: Of a CRS that comes back as another one; False for a look beforehand.

    Raises:
        GeoreferenceError: The CRS has no counterpart in a GeoTIFF.
        WriteError: GDAL failed.
    """
    try:
        tags = _asked(spec, statistics) if statistics else _remembered(spec)
        found = None if spec.crs is None else _crs_that_comes_back(spec.crs.to_wkt(), *_version(spec).values())
    except (RasterioError, CPLE_BaseError, SystemError) as error:
        raise WriteError(f"GDAL can't tell this raster's place and metadata in a GeoTIFF: {error}") from error
    if spec.crs is not None:
        check_crs(found, spec.crs, warns=warns)
    return tags


def _asked(spec: ExportSpec, statistics: Sequence[BandStatistics] = ()) -> tuple[Tag, ...]:
    """Return the tags of a GeoTIFF of one pixel that GDAL writes."""
    with rasterio.Env(**_ENVIRONMENT), MemoryFile(filename="tags.tif") as file:
        with file.open(height=1, width=1, **place_and_kind(spec), **_version(spec)) as dataset:
            describe(dataset, spec)
            if spec.overview_factors:
                dataset.update_tags(**{RESAMPLING_TAG: spec.resampling})
            for band, numbers in enumerate(statistics, start=1):
                dataset.update_tags(band, **statistics_tags(numbers))
        tags = directories.read_first_directory(bytes(file.getbuffer()))
    described = [tag for tag in tags if tag.number not in _LAYOUT_TAGS]
    return (*with_items(described, spec), *_own_nodata(spec))


def _version(spec: ExportSpec) -> dict[str, str]:
    return {name: value for name, value in spec.encoding.driver_options if name == "GEOTIFF_VERSION"}


@dataclass(frozen=True)
class _Question:
    """What GDAL is asked, but for the numbers of the transform.

    Attributes:
        text: All that its answer depends on, in words that tell 0 from -0, and 1 from 1.0.
        spec: The same at a place like that of the raster.
    """

    text: str
    spec: ExportSpec = field(compare=False)


def _remembered(spec: ExportSpec) -> tuple[Tag, ...]:
    """Return GDAL's tags, cached for rasters that differ in nothing but the numbers of their transforms."""
    like = place_like(spec.transform)
    metadata = spec.metadata
    if like is None or metadata.gcps is not None or metadata.rpcs is not None:
        return _asked(spec)
    overviews = spec.resampling if spec.overview_factors else None
    crs = None if spec.crs is None else spec.crs.to_wkt()
    pixels = spec.count, spec.dtype.name, spec.encoding.bits, spec.nodata
    text = repr((like, crs, pixels, metadata, overviews, _version(spec)))
    return with_transform(_answer(_Question(text, replace(spec, transform=like))), spec.transform)


@lru_cache(maxsize=ANSWERS_REMEMBERED)
def _answer(question: _Question) -> tuple[Tag, ...]:
    return _asked(question.spec)


@lru_cache(maxsize=CRS_REMEMBERED)
def _crs_that_comes_back(wkt: str, geotiff_version: str = "AUTO") -> CRS | None:
    """Write a CRS into a GeoTIFF and read it again.

    What came of one is remembered: a catalog's chips are in few of them, and each takes a millisecond.
    """
    place = {"height": 1, "width": 1, "count": 1, "dtype": "uint8", "crs": CRS.from_wkt(wkt)}
    shifted = rasterio.Affine(1, 0, 1, 0, -1, 0)  # rasterio warns of a dataset that lies nowhere
    with rasterio.Env(**_ENVIRONMENT), MemoryFile(filename="crs.tif") as file:
        with file.open(driver="GTiff", transform=shifted, GEOTIFF_VERSION=geotiff_version, **place):
            pass
        with file.open() as dataset:
            found: CRS | None = dataset.crs
    return found


def check_crs(found: CRS | None, wanted: CRS, *, warns: bool = True) -> None:
    """Compare a CRS with what GeoTIFF's keys made of it: not every CRS has a place in them.

    Raises:
        GeoreferenceError: Nothing is left of it.
    """
    if found is None:
        raise GeoreferenceError(
            f"crs={wanted.to_wkt()[:80]!r}... cannot be represented in a GeoTIFF (OGC 19-008r4); "
            "reproject to one with an EPSG code"
        )
    if found != wanted and warns:
        warn_at_caller(
            f"the CRS {wanted.to_string()[:80]!r} comes back from a GeoTIFF as {found.to_string()[:80]!r}",
            MetadataWarning,
        )


def _own_nodata(spec: ExportSpec) -> tuple[Tag, ...]:
    """Build the nodata tag where rasterio does not take the value."""
    if spec.nodata is None or is_nodata_for_rasterio(spec.nodata, spec.dtype):
        return ()
    return (
        directories.make_tag(TagNumber.GDAL_NODATA, TagType.ASCII, f"{nodata_text(spec.nodata)}\0".encode("ascii")),
    )
