"""Metadata of a file and its bands: the source's, overridden by the caller's, as far as a GeoTIFF can hold them."""

from __future__ import annotations

import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from georeader._core.band_attrs import (
    PER_BAND_KEYS,
    RECORDING_TAGS,
    Colormap,
    check_count,
    check_list,
    keeps_colour_model,
    parse_colormap,
)
from georeader._core.reporting import warn_at_caller
from georeader._export.plan.photometric import nbits_of_attrs, photometric_of_attrs, resolve_colours
from georeader.errors import MetadataError, MetadataWarning
from georeader.ground_control import GroundControlPoints, as_control_points
from georeader.window_utils import normalise_crs

Tags = tuple[tuple[str, str], ...]
Namespaces = tuple[tuple[str, Tags], ...]

#: Prefix of the tags of a band that GDAL derives from its pixels.
STATISTICS_PREFIX = "STATISTICS_"

#: Characters outside XML 1.0 (section 2.2, Char).
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

#: Tags that GDAL derives from the file itself: in a copy they would be wrong.
_DERIVED_TAGS = RECORDING_TAGS

_TIFF_TEXT_TAGS = tuple(
    f"TIFFTAG_{name}"
    for name in ("DOCUMENTNAME", "IMAGEDESCRIPTION", "SOFTWARE", "DATETIME", "ARTIST", "HOSTCOMPUTER", "COPYRIGHT")
)
_TIFF_NUMBER_TAGS = tuple(
    f"TIFFTAG_{name}" for name in ("XRESOLUTION", "YRESOLUTION", "RESOLUTIONUNIT", "MINSAMPLEVALUE", "MAXSAMPLEVALUE")
)


@dataclass(frozen=True)
class Metadata:
    """Metadata of bands and of the file; empty tuples and None mean "not set".

    Attributes:
        descriptions: One name or None per band.
        scales: One factor per band.
        offsets: One summand per band.
        units: One unit name or None per band.
        colorinterp: One GDAL name per band.
        photometric: Colour model, one of `photometric.PHOTOMETRIC`; None: it follows from the rest.
        nbits: Bits of a sample of a MINISWHITE source, where they are fewer than the dtype's; or None.
        colormap: ((pixel value, (red, green, blue, alpha)), ...) of a one-band raster, or None.
        tags: ((key, value), ...) of the file.
        band_tags: ((key, value), ...) of each band.
        namespaces: ((domain, ((key, value), ...)), ...): tags of the file in other domains of GDAL's.
        band_namespaces: The same of each band.
        attribute_tables: GDAL's XML of a raster attribute table, or None, per band.
        gcps: Ground control points, in place of the raster's transform and CRS; or None.
        rpcs: Rational polynomials, or None.
        acquired: When the pixels were taken, or None; the receipt has it, the file has it where it is a tag.
    """

    descriptions: tuple[str | None, ...] = ()
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    units: tuple[str | None, ...] = ()
    colorinterp: tuple[str, ...] = ()
    photometric: str | None = None
    nbits: int | None = None
    colormap: Colormap | None = None
    tags: Tags = ()
    band_tags: tuple[Tags, ...] = ()
    namespaces: Namespaces = ()
    band_namespaces: tuple[Namespaces, ...] = ()
    attribute_tables: tuple[str | None, ...] = ()
    gcps: GroundControlPoints | None = None
    rpcs: RPC | None = None
    acquired: datetime | None = None


def metadata_from_attrs(attrs: Mapping[str, Any], count: int) -> Metadata:
    """Read a source's metadata, under the keys of `georeader._core.band_attrs`.

    Args:
        attrs: As a GeoTensor carries them.
        count: Bands of the source.

    Raises:
        MetadataError: The number of entries is not that of the bands, or an entry has the wrong type.
    """
    lost: list[str] = []
    per_band: dict[str, Any] = {
        "descriptions": _name,
        "scales": _number,
        "offsets": _number,
        "units": _name,
        "colorinterp": _interp,
        "band_tags": partial(_band_tags, lost=lost),
        "band_namespaces": partial(_namespaces, lost=lost),
        "attribute_tables": _attribute_table,
    }
    as_a_whole: dict[str, Any] = {
        "colormap": parse_colormap,
        "photometric": photometric_of_attrs,
        "nbits": nbits_of_attrs,
        "tags": lambda tags: _source_tags(tags, "attrs['tags']", lost),
        "namespaces": lambda namespaces: _namespaces(namespaces, "attrs['namespaces']", lost),
        "acquired": _time,
    }
    found = {key: read(attrs[key]) for key, read in as_a_whole.items() if attrs.get(key) is not None}
    for key, read in per_band.items():
        if attrs.get(key) is not None:
            found[key] = _per_band(attrs[key], count, read, f"attrs[{key!r}]")
    if lost:
        names = ", ".join(dict.fromkeys(lost))
        warn_at_caller(f"tags of the source that a GeoTIFF can't keep are left out: {names}", MetadataWarning)
    return Metadata(**found, gcps=_control_points(attrs.get("gcps")), rpcs=_rational_polynomials(attrs.get("rpcs")))


def _time(acquired: object) -> datetime | None:
    """Return a time in UTC; None for any other value under that key."""
    if not isinstance(acquired, datetime) or acquired != acquired:  # pandas' NaT is a datetime, too
        return None
    return acquired.replace(tzinfo=UTC) if acquired.tzinfo is None else acquired.astimezone(UTC)


def pick_bands(metadata: Metadata, bands: Sequence[int]) -> Metadata:
    """Return the metadata of some bands, in their order; a colour model is kept with its own bands only.

    Args:
        metadata: Of a raster.
        bands: Positions, from 0.
    """
    said = {name: getattr(metadata, name) for name in PER_BAND_KEYS}
    chosen: dict[str, Any] = {name: tuple(all_[band] for band in bands) for name, all_ in said.items() if all_}
    is_same = keeps_colour_model(metadata.photometric, bands)
    return replace(
        metadata,
        photometric=metadata.photometric if is_same else None,
        nbits=metadata.nbits if list(bands[:1]) == [0] else None,
        **chosen,
    )


def resolve_metadata(
    source: Metadata,
    *,
    count: int,
    dtype: np.dtype[Any],
    descriptions: Sequence[str | None] | None = None,
    tags: Mapping[str, str] | None = None,
    photometric: str | None = None,
    packs_bits: bool = False,
) -> Metadata:
    """Return the source's metadata with the caller's descriptions, tags and colour model, as the file can hold them.

    Args:
        source: Metadata of the source.
        count: Bands.
        dtype: Of the file.
        descriptions: What `parse_descriptions` returns, or None for those of the source.
        tags: What `check_tags` returns, or None.
        photometric: Colour model that the caller asks for, or None.
        packs_bits: The file keeps the bits of a MINISWHITE source.

    Raises:
        MetadataError: Not one description per band.
        OptionError: The colour model contradicts the bands.
    """
    changes: dict[str, Any] = {}
    if descriptions is not None:
        check_count(descriptions, count, "descriptions")
        changes["descriptions"] = tuple(descriptions)
    if tags is not None:
        names = {key.lower() for key in tags}
        kept = {key: value for key, value in source.tags if key.lower() not in names}
        changes["tags"] = tuple({**kept, **tags}.items())
    if source.colormap is not None and (count != 1 or dtype.name not in ("uint8", "uint16")):
        warn_at_caller(
            "the colour table is left out: a TIFF has one for a single band of uint8 or uint16, "
            f"not for {count} of {dtype}",
            MetadataWarning,
        )
        changes["colormap"] = None
    elif source.colormap is None and "palette" in source.colorinterp:
        warn_at_caller(
            "colour tables are left out: a TIFF has one for a single band, and this raster several bands",
            MetadataWarning,
        )
    elif source.colormap is not None and source.colormap[-1][0] > np.iinfo(dtype).max:
        raise MetadataError(f"attrs['colormap'] has an entry for {source.colormap[-1][0]}, which {dtype} can't hold")
    return resolve_colours(replace(source, **changes), photometric, count=count, dtype=dtype, packs_bits=packs_bits)


def parse_descriptions(descriptions: Any) -> tuple[str | None, ...]:
    """Return band names as a tuple; an empty name is None.

    Raises:
        MetadataError: It is not a list, or an entry is neither text that GDAL's metadata keeps nor None.
    """
    check_list(descriptions, "descriptions")
    return tuple(_name(value, f"descriptions[{position}]") for position, value in enumerate(descriptions))


def check_tags(tags: Any) -> dict[str, str]:
    """Return tags as text.

    Raises:
        MetadataError: GDAL's metadata would change a key or value.
    """
    if not isinstance(tags, Mapping):
        raise MetadataError(f"tags is a {type(tags).__name__}; pass a mapping such as {{'source': 'Sentinel-2'}}")
    checked: dict[str, str] = {}
    for key, value in tags.items():
        as_text = tag_text(key, value)
        problem = tag_problem(key, as_text)
        if problem:
            raise MetadataError(f"tags[{key!r}]: {problem}")
        twin = next((other for other in checked if other.lower() == key.lower()), None)
        if twin is not None:
            raise MetadataError(f"tags has both {twin!r} and {key!r}; GDAL's keys ignore case, so keep one")
        checked[str(key)] = as_text
    return {key: value for key, value in checked.items() if not is_derived(key, is_band=False)}


def tag_text(key: Any, value: Any) -> str:
    """Return a scalar as text, as ``str`` does."""
    scalar = value.item() if isinstance(value, (np.ndarray, np.generic)) and value.ndim == 0 else value
    is_text = isinstance(scalar, str)
    is_container = isinstance(scalar, (Mapping, Sequence, set, frozenset, np.ndarray, bytearray))
    if scalar is None or (is_container and not is_text):
        raise MetadataError(
            f"tags[{key!r}] is a {type(value).__name__}, not a scalar; join it into text first (json.dumps does), "
            "or leave the key out"
        )
    return str(value)


def tag_problem(key: Any, value: str, *, is_band: bool = False) -> str | None:
    """Return why GDAL's metadata would change a tag of the file, or of a band; None: it would not."""
    if not isinstance(key, str) or not key.strip() or key != key.strip():
        return "a key is text, without white space around it"
    if any(character in "=:" or not character.isprintable() for character in key):
        return "a key can't have '=', ':' or control characters in it"
    if key in ("ns", "bidx"):
        return "rasterio keeps this name for itself; use another"
    if not is_band and key == "AREA_OR_POINT" and value not in ("Area", "Point"):
        return "allowed: Area, Point"
    if not is_band and key.upper().startswith("TIFFTAG_") and key not in _TIFF_TEXT_TAGS:
        return _tiff_tag_problem(key, value)
    if not value:
        return "GDAL drops empty values; leave the key out"
    if value[0].isspace():
        return "GDAL drops white space at the start of a value; strip it"
    found = _NOT_IN_XML.search(value)
    if found:
        return (
            f"{found[0]!r} is not a character of XML 1.0, in which GDAL keeps metadata: control characters, lone "
            "surrogates, U+FFFE and U+FFFF; leave it out"
        )
    return None


def _tiff_tag_problem(key: str, value: str) -> str | None:
    if key not in _TIFF_NUMBER_TAGS:
        return f"GDAL keeps no such TIFF tag; allowed: {', '.join((*_TIFF_TEXT_TAGS, *_TIFF_NUMBER_TAGS))}"
    try:
        number = float(value.partition(" ")[0])  # GDAL itself says "2 (pixels/inch)"
    except ValueError:
        return "this TIFF tag holds a number"
    return None if number >= 0 else "this TIFF tag holds no negative number"


def _source_tags(tags: Any, where: str, lost: list[str], *, is_band: bool = False) -> Tags:
    """Return the tags that a GeoTIFF keeps; the names of the others are added to ``lost``."""
    if not isinstance(tags, Mapping):
        raise MetadataError(f"{where} is a {type(tags).__name__}; it should be a mapping of text to text")
    kept: dict[str, str] = {}
    for key, value in ((str(key), str(value)) for key, value in tags.items()):
        has_twin = key.lower() in {other.lower() for other in kept}
        if is_derived(key, is_band=is_band):
            continue
        if has_twin or tag_problem(key, value, is_band=is_band):
            lost.append(key)
        else:
            kept[key] = value
    return tuple(kept.items())


def is_derived(key: str, *, is_band: bool) -> bool:
    """Return whether GDAL derives a tag from the file itself, so that it must not be copied."""
    return key.upper().startswith(STATISTICS_PREFIX) if is_band else key.upper() in _DERIVED_TAGS


def _band_tags(tags: Any, where: str, lost: list[str]) -> Tags:
    return () if tags is None else _source_tags(tags, where, lost, is_band=True)


def _namespaces(namespaces: Any, where: str, lost: list[str]) -> Namespaces:
    """Return the tags of other domains that a GeoTIFF keeps; the names of the others are added to ``lost``."""
    if namespaces is None:
        return ()
    if not isinstance(namespaces, Mapping):
        raise MetadataError(f"{where} must map domains to mappings of tags, got {type(namespaces).__name__}")
    kept = []
    for domain, tags in namespaces.items():
        if not isinstance(domain, str) or not domain.strip() or not domain.isprintable() or domain.startswith("json:"):
            lost.append(str(domain))
            continue
        problems: list[str] = []
        # The key of an XML document is the name of its domain.
        named = {"doc": next(iter(tags.values()), "")} if domain.startswith("xml:") else tags
        own = _source_tags(named, f"{where}[{domain!r}]", problems, is_band=True)
        lost += [f"{domain}:{key}" for key in problems]
        if own:
            kept.append((domain, own))
    return tuple(kept)


def _attribute_table(table: Any, where: str) -> str | None:
    if table is None:
        return None
    if not isinstance(table, str) or not table.strip().startswith("<GDALRasterAttributeTable"):
        raise MetadataError(f"{where} is not GDAL's XML of a raster attribute table (<GDALRasterAttributeTable>)")
    kept, lost = _NOT_IN_XML.subn("", table.strip())
    if lost:
        warn_at_caller(f"{where}: {lost} characters that XML 1.0 does not have are left out", MetadataWarning)
    return kept


def _control_points(gcps: Any) -> GroundControlPoints | None:
    if gcps is None:
        return None
    given = as_control_points(gcps)
    if given is None:
        raise MetadataError(
            f"attrs['gcps'] is a {type(gcps).__name__}; give georeader.ground_control.GroundControlPoints(points, crs)"
        )
    for position, point in enumerate(given.points):
        if not np.isfinite([point.row, point.col, point.x, point.y, point.z or 0]).all():
            raise MetadataError(f"attrs['gcps']: point {position} is {point}; give finite numbers")
    own = GroundControlPoints(given.points, normalise_crs(given.crs)).regrid(0, 0)
    return own if own.points else None


def _rational_polynomials(rpcs: Any) -> RPC | None:
    if rpcs is None:
        return None
    if not isinstance(rpcs, RPC):
        raise MetadataError(f"attrs['rpcs'] is a {type(rpcs).__name__}; give a rasterio.rpc.RPC")
    said = rpcs.to_dict()
    for name, value in said.items():
        wanted = 20 if name.endswith("_coeff") else 1
        numbers = [0] if value is None and name.startswith("err_") else value
        if np.size(numbers) != wanted or not np.isfinite(np.asarray(numbers, dtype=float)).all():
            raise MetadataError(f"attrs['rpcs'].{name}={value!r}; give {wanted} finite number{'s' * (wanted > 1)}")
    return RPC(**said)


def _per_band(values: Any, count: int, read: Any, where: str) -> tuple[Any, ...]:
    check_list(values, where)
    check_count(values, count, where)
    return tuple(read(value, f"{where}[{position}]") for position, value in enumerate(values))


def _name(value: Any, where: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise MetadataError(f"{where} is a {type(value).__name__}; give text or None")
    problem = tag_problem("name", value)
    if problem:
        raise MetadataError(f"{where}={value!r}: {problem}")
    return value


def _number(value: Any, where: str) -> float:
    if not isinstance(value, numbers.Real):
        raise MetadataError(f"{where} is a {type(value).__name__}; give a number")
    return float(value)


def _interp(value: Any, where: str) -> str:
    name = value.name if isinstance(value, ColorInterp) else value
    if not isinstance(name, str) or name not in ColorInterp.__members__:
        raise MetadataError(
            f"{where}={value!r} is not a colour interpretation; allowed: {', '.join(ColorInterp.__members__)}"
        )
    return str(name)
