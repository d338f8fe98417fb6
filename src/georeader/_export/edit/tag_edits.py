"""Changes of metadata in the tags of a stored file: what does not change stays byte for byte. Pure.

References:
    GDAL's GTiff driver page, "Internal nodata and metadata" (tags 42112 and 42113); OGC 19-008r4 (GeoTIFF 1.1),
    section 7; TIFF 6.0, sections 5 (ColorMap), 8 (tags of text) and 18 (ExtraSamples).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import unescape

from georeader._core.band_attrs import RECORDING_TAGS
from georeader._export.edit.changes import Changes
from georeader._export.plan.metadata import STATISTICS_PREFIX
from georeader._export.sources.stored_file import StoredImage
from georeader._export.statistics import BandSummary
from georeader._tiff.directories import Tag, TagNumber, TagType, make_tag
from georeader.errors import OptionError

_PLACE = (TagNumber.MODEL_PIXEL_SCALE, TagNumber.MODEL_TIEPOINT, TagNumber.MODEL_TRANSFORMATION)
_KEYS = (TagNumber.GEO_KEY_DIRECTORY, TagNumber.GEO_DOUBLE_PARAMS, TagNumber.GEO_ASCII_PARAMS)
_COLOURS = (TagNumber.PHOTOMETRIC, TagNumber.COLOR_MAP, TagNumber.EXTRA_SAMPLES)

#: Values of PhotometricInterpretation.
_RGB, _YCBCR = 2, 6

#: TIFF's own tags among the tags of a file, by GDAL's names in lower case.
_OWN_TAGS = {
    "tifftag_documentname": 269, "tifftag_imagedescription": 270, "tifftag_minsamplevalue": 280,
    "tifftag_maxsamplevalue": 281, "tifftag_xresolution": 282, "tifftag_yresolution": 283,
    "tifftag_resolutionunit": 296, "tifftag_software": 305, "tifftag_datetime": 306, "tifftag_artist": 315,
    "tifftag_hostcomputer": 316, "tifftag_copyright": 33432,
}  # fmt: skip

#: Roles of items of GDAL's metadata, by the argument that changes them.
_ROLES = {
    "descriptions": "description", "scales": "scale", "offsets": "offset", "units": "unittype", "category_names": "rat",
}  # fmt: skip

_ITEM = re.compile(r"<Item\b([^>]*?)(?:/>|>(.*?)</Item>)", re.DOTALL)
_ATTRIBUTE = re.compile(r'([\w:]+)\s*=\s*"([^"]*)"')


@dataclass(frozen=True)
class Item:
    """An item of GDAL's metadata (tag 42112)."""

    text: str  #: As it is stored.
    name: str
    sample: str | None  #: Position of its band, or None for an item of the file.
    role: str
    domain: str


def items_of(tag: Tag | None) -> list[Item]:
    r"""Return the items of GDAL's metadata.

    Example:
        >>> text = b'<GDALMetadata>\n  <Item name="scale" sample="0" role="scale">0.1</Item>\n</GDALMetadata>\n\0'
        >>> [(item.name, item.sample, item.role) for item in items_of(Tag(42112, 2, text))]
        [('scale', '0', 'scale')]
    """
    text = "" if tag is None else tag.data.rstrip(b"\0").decode("utf-8", "surrogateescape")
    found = []
    for match in _ITEM.finditer(text):
        attributes = {name: unescape(value) for name, value in _ATTRIBUTE.findall(match[1])}
        sample, role, domain = attributes.get("sample"), attributes.get("role", ""), attributes.get("domain", "")
        found.append(Item(match[0], attributes.get("name", ""), sample, role, domain))
    return found


def edited_tags(
    image: StoredImage, described: Sequence[Tag], changes: Changes, statistics: Sequence[BandSummary | None] = ()
) -> tuple[Tag, ...]:
    """Return the tags of an image after an edit; those that change are taken from what describes the whole raster."""
    tags = {tag.number: tag for tag in image.tags}
    if image.is_mask:
        return image.tags
    new = {tag.number: tag for tag in described}
    changed: set[int] = {TagNumber.GDAL_NODATA} if "nodata" in changes else set()
    if changes.recolours:
        changed.update(_COLOURS)
        _check_colours(tags, new)
        if _value(tags.get(TagNumber.PHOTOMETRIC)) == _YCBCR:
            changed.discard(TagNumber.PHOTOMETRIC)
    if image.level == 0:
        changed.update(_placing(changes, tags), _own_tags(changes))
        changed.update((TagNumber.RPC_COEFFICIENTS,) if "rpcs" in changes else ())
    edited = {number: tag for number, tag in tags.items() if number not in changed}
    edited |= {number: new[number] for number in changed if number in new}
    if image.level == 0:
        edited[TagNumber.GDAL_METADATA] = _metadata(tags, new, changes, statistics)
        if not items_of(edited[TagNumber.GDAL_METADATA]):
            del edited[TagNumber.GDAL_METADATA]
    return tuple(edited[number] for number in sorted(edited))


def _placing(changes: Changes, tags: dict[int, Tag]) -> Iterable[int]:
    """Return the tags of the georeference that change."""
    if not changes.moves:
        return ()
    # Without a CRS, GDAL writes no key that says where in a pixel its place is.
    is_redefined = "area_or_point" in changes.names_of_tags or changes.given.get("crs", "") is None
    place = _PLACE if is_redefined or "transform" in changes else ()
    keys = _KEYS if is_redefined or "crs" in changes or TagNumber.GEO_KEY_DIRECTORY not in tags else ()
    return (*place, *keys)


def _own_tags(changes: Changes) -> Iterable[int]:
    """Return the tags of TIFF's own that change."""
    if "tags" not in changes:
        return ()
    if _replaces_tags(changes):
        return _OWN_TAGS.values()
    return [number for name, number in _OWN_TAGS.items() if name in changes.names_of_tags]


def _replaces_tags(changes: Changes) -> bool:
    return changes.replace_tags or changes.given["tags"] is None


def _check_colours(tags: dict[int, Tag], new: dict[int, Tag]) -> None:
    wanted = _value(new.get(TagNumber.PHOTOMETRIC))
    if _value(tags.get(TagNumber.PHOTOMETRIC)) == _YCBCR and wanted != _RGB:
        raise OptionError(
            "colorinterp: the tiles are JPEG in YCbCr, which decode to red, green and blue; the bands must stay so"
        )


def _value(tag: Tag | None) -> int | None:
    return None if tag is None else int(tag.values[0])


def _metadata(
    tags: dict[int, Tag], new: dict[int, Tag], changes: Changes, statistics: Sequence[BandSummary | None]
) -> Tag:
    """Return GDAL's metadata with the items that change."""
    kept = [item.text for item in items_of(tags.get(TagNumber.GDAL_METADATA)) if not _changes(item, changes)]
    kept += [item.text for item in items_of(new.get(TagNumber.GDAL_METADATA)) if _changes(item, changes)]
    for sample, summary in enumerate(statistics):
        kept += [] if summary is None else _statistics_items(sample, summary)
    lines = "".join(f"  {text}\n" for text in kept)
    text = f"<GDALMetadata>\n{lines}</GDALMetadata>\n\0"
    return make_tag(TagNumber.GDAL_METADATA, TagType.ASCII, text.encode("utf-8", "surrogateescape"))


def _changes(item: Item, changes: Changes) -> bool:
    """Return whether an item is of what changes."""
    if item.role:
        names = {role: name for name, role in _ROLES.items()}
        return changes.recolours if item.role == "colorinterp" else names.get(item.role) in changes.given
    if item.domain and item.sample is None:
        return item.domain in changes.given.get("namespaces", ())
    if item.domain:
        return (item.sample, item.domain) in changes.given.get("band_namespaces", ())
    if item.sample is not None:
        is_statistic = "statistics" in changes and item.name.upper().startswith(STATISTICS_PREFIX)
        return is_statistic or (item.sample, item.name) in changes.given.get("band_tags", ())
    if item.name.upper() in RECORDING_TAGS:
        return "recorded_tags" in changes
    if "tags" not in changes:
        return False
    return _replaces_tags(changes) or item.name.lower() in changes.names_of_tags


def _statistics_items(sample: int, summary: BandSummary) -> list[str]:
    numbers = {
        "STATISTICS_MAXIMUM": summary.maximum,
        "STATISTICS_MEAN": summary.mean,
        "STATISTICS_MINIMUM": summary.minimum,
        "STATISTICS_STDDEV": summary.standard_deviation,
        "STATISTICS_VALID_PERCENT": summary.valid_percent,
    }
    texts = {name: repr(value).removesuffix(".0") for name, value in numbers.items() if value is not None}
    return [f'<Item name="{name}" sample="{sample}">{text}</Item>' for name, text in texts.items()]
