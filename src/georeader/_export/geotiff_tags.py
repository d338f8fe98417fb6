"""The tags that describe a raster, its bands and its georeference, as GDAL writes them.

GDAL writes them into a GeoTIFF of one pixel in memory, from which they are copied. That takes about a millisecond, so
they are cached, and the six numbers of a transform are replaced in them: those of many chips differ in nothing else.

References:
    OGC 19-008r4 (GeoTIFF 1.1): section 7; section 7.4 and annex B.6 (ModelPixelScaleTag and ModelTiepointTag where rows
    lie along x and the first row is the northernmost, ModelTransformationTag else); section 7.1.2.1
    (GTRasterTypeGeoKey: where pixels are points, these tags locate the middle of the first pixel).
    GDAL's GTiff driver page, "Metadata", "Georeferencing", "Internal nodata and metadata" (tag 42112) and "Raster
    attribute table"; the XMP specification, part 3 (TIFF tag 700).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from xml.sax.saxutils import escape, quoteattr

import rasterio
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from georeader._core.band_attrs import RESAMPLING_TAG
from georeader._core.dtypes import is_nodata_for_rasterio, nodata_text
from georeader._core.reporting import warn_at_caller
from georeader._export.gdal_dataset import ENVIRONMENT, creation_profile, describe
from georeader._export.plan.metadata import Tags
from georeader._export.plan.spec import ExportSpec
from georeader._export.statistics import BandStatistics, statistics_tags
from georeader._resample.methods import GDAL_METHODS
from georeader._tiff.directories import Tag, TagNumber, TagType, make_tag
from georeader._tiff.parser import read_first_tags
from georeader.errors import GeoreferenceError, MetadataWarning, WriteError

#: Largest number of cached tags, and of cached CRSs as they are read back from a GeoTIFF.
_CACHED = 64

_ENVIRONMENT = {**ENVIRONMENT, "GDAL_PAM_ENABLED": "NO", "GDAL_TIFF_ENDIANNESS": "LITTLE"}

#: Tags of the layout of the one-pixel file itself.
_LAYOUT_TAGS = frozenset({
    TagNumber.NEW_SUBFILE_TYPE, TagNumber.IMAGE_WIDTH, TagNumber.IMAGE_LENGTH, TagNumber.COMPRESSION,
    TagNumber.STRIP_OFFSETS, TagNumber.ROWS_PER_STRIP, TagNumber.STRIP_BYTE_COUNTS, TagNumber.PLANAR_CONFIGURATION,
    TagNumber.TILE_WIDTH, TagNumber.TILE_LENGTH, TagNumber.TILE_OFFSETS, TagNumber.TILE_BYTE_COUNTS,
})  # fmt: skip

#: Transforms of cached tags: north up, and any other. GDAL takes pixels of side 1 for a missing transform.
_NORTH_UP = Affine(2, 0, 0, 0, -2, 0)
_OTHERWISE = Affine(0, 2, 0, 2, 0, 0)

#: Domain that has a TIFF tag of its own.
_XMP = "xml:_XMP"

#: Domain that rasterio writes into TIFF tags of its own.
_COLOR_PROFILE = "COLOR_PROFILE"


def descriptive_tags(
    spec: ExportSpec, statistics: Sequence[BandStatistics] = (), *, warns: bool = True
) -> tuple[Tag, ...]:
    """Return the tags that describe a raster and its bands, as GDAL writes them."""
    try:
        tags = _tags_by_gdal(spec, statistics) if statistics else _cached_tags(spec)
        found = None if spec.crs is None else _crs_read_back(spec.crs.to_wkt(), *_version(spec).values())
    except (RasterioError, CPLE_BaseError, SystemError) as error:
        raise WriteError(f"GDAL cannot write this raster's georeference and metadata to a GeoTIFF: {error}") from error
    if spec.crs is not None:
        check_crs(found, spec.crs, warns=warns)
    return tags


def _tags_by_gdal(spec: ExportSpec, statistics: Sequence[BandStatistics] = ()) -> tuple[Tag, ...]:
    """Write a GeoTIFF of one pixel by GDAL, and return its tags."""
    with rasterio.Env(**_ENVIRONMENT), MemoryFile(filename="tags.tif") as file:
        with file.open(height=1, width=1, **creation_profile(spec), **_version(spec)) as dataset:
            describe(dataset, spec)
            if spec.overview_factors:
                dataset.update_tags(**{RESAMPLING_TAG: spec.resampling})
            for band, numbers in enumerate(statistics, start=1):
                dataset.update_tags(band, **statistics_tags(numbers))
        tags = read_first_tags(bytes(file.getbuffer()))
    described = _with_items([tag for tag in tags if tag.number not in _LAYOUT_TAGS], spec)
    if spec.nodata is not None and not is_nodata_for_rasterio(spec.nodata, spec.dtype):
        text = f"{nodata_text(spec.nodata)}\0".encode("ascii")
        described.append(make_tag(TagNumber.GDAL_NODATA, TagType.ASCII, text))
    return tuple(described)


def _version(spec: ExportSpec) -> dict[str, str]:
    return {name: value for name, value in spec.encoding.options.items() if name == "GEOTIFF_VERSION"}


@dataclass(frozen=True)
class _CacheKey:
    """Everything that tags depend on, save for the numbers of the transform."""

    text: str  #: The key: text in which 0 and -0, and 1 and 1.0, differ
    spec: ExportSpec = field(compare=False)  #: The file with the `_reference_transform`


def _cached_tags(spec: ExportSpec) -> tuple[Tag, ...]:
    """Return GDAL's tags, cached for rasters that differ in the numbers of their transforms alone."""
    like = _reference_transform(spec.transform)
    metadata = spec.metadata
    if like is None or metadata.gcps is not None or metadata.rpcs is not None:
        return _tags_by_gdal(spec)
    overviews = spec.resampling if spec.overview_factors else None
    crs = None if spec.crs is None else spec.crs.to_wkt()
    pixels = spec.count, spec.dtype.name, spec.encoding.bits, spec.nodata
    text = repr((like, crs, pixels, metadata, overviews, _version(spec)))
    tags = _tags_of(_CacheKey(text, replace(spec, transform=like)))
    return tuple(_with_transform(tag, spec.transform) for tag in tags)


@lru_cache(maxsize=_CACHED)
def _tags_of(key: _CacheKey) -> tuple[Tag, ...]:
    return _tags_by_gdal(key.spec)


@lru_cache(maxsize=_CACHED)
def _crs_read_back(wkt: str, geotiff_version: str = "AUTO") -> CRS | None:
    """Write a CRS into a GeoTIFF and read it back; cached, since each takes a millisecond."""
    place = {"height": 1, "width": 1, "count": 1, "dtype": "uint8", "crs": CRS.from_wkt(wkt)}
    shifted = Affine(1, 0, 1, 0, -1, 0)  # rasterio warns of a dataset without georeference
    with rasterio.Env(**_ENVIRONMENT), MemoryFile(filename="crs.tif") as file:
        with file.open(driver="GTiff", transform=shifted, GEOTIFF_VERSION=geotiff_version, **place):
            pass
        with file.open() as dataset:
            found: CRS | None = dataset.crs
    return found


def check_crs(found: CRS | None, wanted: CRS, *, warns: bool = True) -> None:
    """Compare a CRS with the one that is read back from a GeoTIFF: its keys do not hold every CRS."""
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


# Items that rasterio cannot write: attribute tables, and the domains of a caller.


def _with_items(tags: list[Tag], spec: ExportSpec) -> list[Tag]:
    """Return a file's tags with the items that rasterio cannot write."""
    added = "".join(f"  {item}\n" for item in _metadata_items(spec)).encode()
    if added:
        by_number = {tag.number: tag for tag in tags}
        none = make_tag(TagNumber.GDAL_METADATA, TagType.ASCII, b"<GDALMetadata>\n</GDALMetadata>\n\0")
        own = by_number.get(TagNumber.GDAL_METADATA, none)
        data = own.data.replace(b"<GDALMetadata>\n", b"<GDALMetadata>\n" + added, 1)
        tags = list((by_number | {own.number: replace(own, data=data)}).values())
    xmp = dict(spec.metadata.namespaces).get(_XMP)
    return [*tags, make_tag(TagNumber.XMP, TagType.BYTE, *xmp[0][1].encode())] if xmp else tags


def _metadata_items(spec: ExportSpec) -> Iterator[str]:
    metadata = spec.metadata
    if spec.overview_factors and spec.resampling in GDAL_METHODS:  # where GDAL reads it from 3.12 on
        yield f'<Item name="{RESAMPLING_TAG}" domain="IMAGE_STRUCTURE">{spec.resampling}</Item>'
    yield from _domain_items(metadata.namespaces, "")
    for sample, namespaces in enumerate(metadata.band_namespaces):
        yield from _domain_items(namespaces, f' sample="{sample}"')
    for sample, table in enumerate(metadata.attribute_tables):
        if table:
            yield f'<Item name="DEFAULT_RASTER_ATTRIBUTE_TABLE" sample="{sample}" role="rat">{table}</Item>'


def _domain_items(namespaces: Sequence[tuple[str, Tags]], sample: str) -> Iterator[str]:
    for domain, tags in namespaces:
        if domain in (_XMP, _COLOR_PROFILE):
            continue
        for key, value in tags:
            name = "doc" if domain.startswith("xml:") else key
            # GDAL escapes values twice.
            yield f"<Item name={quoteattr(name)}{sample} domain={quoteattr(domain)}>{escape(escape(value))}</Item>"


# Transforms.


def _reference_transform(transform: Affine) -> Affine | None:
    """Return the transform whose tags differ from those of this one in their numbers alone; None if there is none."""
    if transform[:6] == (1, 0, 0, 0, 1, 0):  # which GDAL takes for a missing transform
        return None
    return _NORTH_UP if transform.b == transform.d == 0 and transform.e < 0 else _OTHERWISE


def _with_transform(tag: Tag, transform: Affine) -> Tag:
    """Return a tag of a raster with the `_reference_transform` of a transform as it is with that one."""
    numbers: dict[int, float]
    match tag.number:
        case TagNumber.MODEL_PIXEL_SCALE:
            numbers = {0: transform.a, 1: abs(transform.e)}
        case TagNumber.MODEL_TIEPOINT:
            x, y = _origin(transform, is_middle=tag.values[3] != _NORTH_UP.c)
            numbers = {3: x, 4: y}
        case TagNumber.MODEL_TRANSFORMATION:
            x, y = _origin(transform, is_middle=tag.values[3] != _OTHERWISE.c)
            numbers = {0: transform.a, 1: transform.b, 3: x, 4: transform.d, 5: transform.e, 7: y}
        case _:
            return tag
    return make_tag(tag.number, tag.type, *(numbers.get(place, old) for place, old in enumerate(tag.values)))


def _origin(transform: Affine, *, is_middle: bool) -> tuple[float, float]:
    """Return x and y of the first pixel's corner, or of its middle, summed in GDAL's order."""
    a, b, c, d, e, f = transform[:6]
    return (c + (a * 0.5 + b * 0.5), f + (d * 0.5 + e * 0.5)) if is_middle else (c, f)
