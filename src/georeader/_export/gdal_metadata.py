"""Items of GDAL's metadata tag that rasterio cannot write: attribute tables, and domains of a caller's own. Pure.

References:
    GDAL's GTiff driver page, "Internal nodata and metadata" (tag 42112) and "Raster attribute table"; the
    XMP specification, part 3 (TIFF tag 700).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from xml.sax.saxutils import escape, quoteattr

from georeader._core.option_names import GDAL_RESAMPLINGS
from georeader._core.recorded_resampling import RESAMPLING_TAG
from georeader._export.plan.metadata import Metadata, Tags
from georeader._export.plan.spec import ExportSpec
from georeader._tiff.directories import Tag, TagNumber, TagType, make_tag

#: Domain that has a TIFF tag of its own.
XMP = "xml:XMP"

#: Domain that rasterio writes into TIFF tags of its own.
COLOR_PROFILE = "COLOR_PROFILE"


def with_items(tags: Sequence[Tag], spec: ExportSpec) -> tuple[Tag, ...]:
    """Add to a file's tags what rasterio cannot write.

    Args:
        tags: As GDAL writes them.
        spec: The file that is wanted.
    """
    added = "".join(f"  {item}\n" for item in _items(spec))
    xmp = dict(spec.metadata.namespaces).get(XMP)
    own = () if not xmp else (make_tag(TagNumber.XMP, TagType.BYTE, *xmp[0][1].encode()),)
    if not added:
        return (*tags, *own)
    if not any(tag.number == TagNumber.GDAL_METADATA for tag in tags):
        tags = (*tags, make_tag(TagNumber.GDAL_METADATA, TagType.ASCII, b"<GDALMetadata>\n</GDALMetadata>\n\0"))
    return (*(_with_text(tag, added) for tag in tags), *own)


def _with_text(tag: Tag, items: str) -> Tag:
    if tag.number != TagNumber.GDAL_METADATA:
        return tag
    return replace(tag, data=tag.data.replace(b"<GDALMetadata>\n", b"<GDALMetadata>\n" + items.encode(), 1))


def _items(spec: ExportSpec) -> Iterator[str]:
    metadata: Metadata = spec.metadata
    if spec.overview_factors and spec.resampling in GDAL_RESAMPLINGS:  # where GDAL from 3.12 on looks for it
        yield f'<Item name="{RESAMPLING_TAG}" domain="IMAGE_STRUCTURE">{spec.resampling}</Item>'
    yield from _domains(metadata.namespaces, "")
    for sample, namespaces in enumerate(metadata.band_namespaces):
        yield from _domains(namespaces, f' sample="{sample}"')
    for sample, table in enumerate(metadata.attribute_tables):
        if table:
            yield f'<Item name="DEFAULT_RASTER_ATTRIBUTE_TABLE" sample="{sample}" role="rat">{table}</Item>'


def _domains(namespaces: Sequence[tuple[str, Tags]], sample: str) -> Iterator[str]:
    for domain, tags in namespaces:
        if domain in (XMP, COLOR_PROFILE):
            continue
        for key, value in tags:
            name = "doc" if domain.startswith("xml:") else key
            # GDAL escapes values twice, and takes them so.
            yield f"<Item name={quoteattr(name)}{sample} domain={quoteattr(domain)}>{escape(escape(value))}</Item>"
