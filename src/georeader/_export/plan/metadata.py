"""Metadata of a file and its bands: the source's, overridden by the caller's, as far as a GeoTIFF can hold them. Pure.

References:
    TIFF 6.0, sections 4 to 6 (grey, palette, RGB), 18 (ExtraSamples) and 21 (YCbCr); GDAL's GTiff driver page, option
    PHOTOMETRIC.
"""

from __future__ import annotations

import numbers
import re
from collections.abc import Callable, Mapping, Sequence
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
from georeader._export.plan.options import NBITS, PHOTOMETRIC, OptionType
from georeader.errors import MetadataError, MetadataWarning, OptionError
from georeader.ground_control import GroundControlPoints, as_control_points
from georeader.window_utils import normalise_crs

Tags = tuple[tuple[str, str], ...]
Namespaces = tuple[tuple[str, Tags], ...]

#: Colour interpretations of the bands of a picture, by GDAL's names.
RGB = ("red", "green", "blue")

#: Colour interpretations that go with any colour model.
_UNCLAIMED = frozenset({"undefined", "gray"})

#: Prefix of the tags of a band that GDAL derives from its pixels.
STATISTICS_PREFIX = "STATISTICS_"

#: Characters outside XML 1.0 (section 2.2, Char).
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_TIFF_TEXT_TAGS = tuple(
    f"TIFFTAG_{name}"
    for name in ("DOCUMENTNAME", "IMAGEDESCRIPTION", "SOFTWARE", "DATETIME", "ARTIST", "HOSTCOMPUTER", "COPYRIGHT")
)
_TIFF_NUMBER_TAGS = tuple(
    f"TIFFTAG_{name}" for name in ("XRESOLUTION", "YRESOLUTION", "RESOLUTIONUNIT", "MINSAMPLEVALUE", "MAXSAMPLEVALUE")
)


@dataclass(frozen=True)
class Metadata:
    """Metadata of bands and of the file; empty tuples and None mean "not set"."""

    descriptions: tuple[str | None, ...] = ()  #: Of each band, as are the next four
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    units: tuple[str | None, ...] = ()
    colorinterp: tuple[str, ...] = ()  #: GDAL's names
    photometric: str | None = None  #: Colour model, one of `options.PHOTOMETRIC`; None: it follows from the rest
    nbits: int | None = None  #: Bits of a sample of a MINISWHITE source, where they are fewer than the dtype's
    colormap: Colormap | None = None  #: ((pixel value, (red, green, blue, alpha)), ...) of a one-band raster
    tags: Tags = ()
    band_tags: tuple[Tags, ...] = ()
    namespaces: Namespaces = ()  #: Tags of the file in other domains of GDAL's
    band_namespaces: tuple[Namespaces, ...] = ()
    attribute_tables: tuple[str | None, ...] = ()  #: GDAL's XML of a raster attribute table, per band
    gcps: GroundControlPoints | None = None  #: In place of the raster's transform and CRS
    rpcs: RPC | None = None
    acquired: datetime | None = None  #: When the pixels were taken; the file has it only where it is a tag


def metadata_from_attrs(attrs: Mapping[str, Any], count: int, *, named: str = "attrs[{!r}]") -> Metadata:
    """Read a source's metadata, under the keys of `GeoTensor.attrs`; messages name them by a format."""
    lost: list[str] = []
    readers: dict[str, Callable[[Any, str], Any]] = {
        "colormap": lambda table, _: parse_colormap(table),
        "photometric": partial(_as_option, PHOTOMETRIC),
        "nbits": partial(_as_option, NBITS),
        "tags": partial(_source_tags, lost=lost),
        "namespaces": partial(_namespaces, lost=lost),
        "acquired": _time,
        "descriptions": _name,
        "scales": _number,
        "offsets": _number,
        "units": _name,
        "colorinterp": _interp,
        "band_tags": partial(_source_tags, lost=lost, is_band=True),
        "band_namespaces": partial(_namespaces, lost=lost),
        "attribute_tables": _attribute_table,
        "gcps": _control_points,
        "rpcs": _rational_polynomials,
    }
    found: dict[str, Any] = {}
    for key, read in readers.items():
        values, where = attrs.get(key), named.format(key)
        if values is None:
            continue
        if key in PER_BAND_KEYS:
            check_list(values, where)
            check_count(values, count, where)
            found[key] = tuple(read(value, f"{where}[{band}]") for band, value in enumerate(values))
        else:
            found[key] = read(values, where)
    if lost:
        names = ", ".join(dict.fromkeys(lost))
        warn_at_caller(f"tags of the source that a GeoTIFF cannot keep are left out: {names}", MetadataWarning)
    return Metadata(**found)


def _as_option(parser: OptionType, value: Any, where: str) -> Any:
    try:
        return parser.parse(where, value)
    except OptionError as error:
        raise MetadataError(str(error)) from error


def _time(acquired: object, _: str) -> datetime | None:
    """Return a time in UTC; None for any other value under that key."""
    if not isinstance(acquired, datetime) or acquired != acquired:  # pandas' NaT is a datetime, too
        return None
    return acquired.replace(tzinfo=UTC) if acquired.tzinfo is None else acquired.astimezone(UTC)


def pick_bands(metadata: Metadata, bands: Sequence[int]) -> Metadata:
    """Return the metadata of some bands, in their order; a colour model is kept with its own bands only."""
    per_band = {name: getattr(metadata, name) for name in PER_BAND_KEYS}
    chosen: dict[str, Any] = {name: tuple(all_[band] for band in bands) for name, all_ in per_band.items() if all_}
    photometric = metadata.photometric if keeps_colour_model(metadata.photometric, bands) else None
    nbits = metadata.nbits if list(bands[:1]) == [0] else None
    return replace(metadata, photometric=photometric, nbits=nbits, **chosen)


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
    """Return the source's metadata with the caller's descriptions, tags and colour model, as the file can hold them."""
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
        raise MetadataError(f"attrs['colormap'] has an entry for {source.colormap[-1][0]}, which {dtype} cannot hold")
    return _resolve_colours(replace(source, **changes), photometric, count=count, dtype=dtype, packs_bits=packs_bits)


def _resolve_colours(
    metadata: Metadata, asked: str | None, *, count: int, dtype: np.dtype[Any], packs_bits: bool = False
) -> Metadata:
    """Return metadata with the colour model of the file and one colour interpretation per band that goes with it.

    The option comes first, then what the source declares, then its colour table or its colour interpretations. Without
    any of them, three bands of uint8 (beside alpha) are a picture, and nothing is declared for other bands. GDAL's
    drivers do the same except for uint8: there they declare any three or four bands RGB, and the fourth alpha.
    """
    if metadata.nbits == 1 and metadata.photometric == "MINISWHITE" and metadata.colormap is not None:
        # GDAL makes a colour table of single bits, white and black; in whole bytes, the table keeps these colours.
        metadata = replace(metadata, colormap=None) if packs_bits else replace(metadata, photometric=None)
    names = () if "palette" in metadata.colorinterp else metadata.colorinterp
    wanted = asked or metadata.photometric
    if wanted is None:
        wanted = _derived(metadata, names, count, dtype)
    elif problem := _problem(wanted, metadata, names, count):
        if asked is None:
            raise MetadataError(f"attrs['photometric']={wanted!r}: {problem}, or drop the key")
        raise OptionError(f"profile_arg['photometric']={wanted!r}: {problem}, or drop the key")
    if wanted == "PALETTE":
        return replace(metadata, photometric=wanted, colorinterp=("palette",))
    if wanted in ("RGB", "YCBCR"):
        return replace(metadata, photometric="RGB", colorinterp=(*RGB, *(names[3:] or ("undefined",) * (count - 3))))
    if not names or names[:3] == RGB:
        names = ("gray", *("undefined",) * (min(count, 3) - 1), *(names[3:] or ("undefined",) * (count - 3)))
    return replace(metadata, photometric=wanted, colorinterp=names)


def _derived(metadata: Metadata, names: tuple[str, ...], count: int, dtype: np.dtype[Any]) -> str:
    if metadata.colormap is not None:
        return "PALETTE"
    colours = names[:-1] if names[-1:] == ("alpha",) else names or ("undefined",) * count
    is_plain_picture = colours == ("undefined",) * 3 and dtype == np.uint8
    return "RGB" if names[:3] == RGB or is_plain_picture else "MINISBLACK"


def _problem(wanted: str, metadata: Metadata, names: tuple[str, ...], count: int) -> str | None:
    """Return why the bands cannot have a colour model; None: they can."""
    if wanted == "PALETTE":
        return None if metadata.colormap is not None else "there is no colour table; set attrs['colormap']"
    if metadata.colormap is not None:
        return "there is a colour table, which only 'PALETTE' goes with; remove attrs['colormap']"
    if wanted in ("MINISBLACK", "MINISWHITE"):
        return None
    if count < 3:
        return f"red, green and blue take three bands, got {count}; pass 'MINISBLACK'"
    others = [name for name, colour in zip(names, RGB, strict=False) if name != colour and name not in _UNCLAIMED]
    if others:
        return (
            f"bands 1 to 3 must be red, green and blue, got {', '.join(names[:3])}; reorder the bands or set "
            "attrs['colorinterp']"
        )
    return None


def parse_descriptions(descriptions: Any) -> tuple[str | None, ...]:
    """Return band names as a tuple; an empty name is None."""
    check_list(descriptions, "descriptions")
    return tuple(_name(value, f"descriptions[{position}]") for position, value in enumerate(descriptions))


def check_tags(tags: Any) -> dict[str, str]:
    """Return tags as text, without those that GDAL derives from the file."""
    if not isinstance(tags, Mapping):
        raise MetadataError(f"tags is a {type(tags).__name__}; pass a mapping such as {{'source': 'Sentinel-2'}}")
    checked: dict[str, str] = {}
    for key, value in tags.items():
        as_text = _tag_text(key, value)
        if problem := tag_problem(key, as_text):
            raise MetadataError(f"tags[{key!r}]: {problem}")
        twin = next((other for other in checked if other.lower() == key.lower()), None)
        if twin is not None:
            raise MetadataError(f"tags has both {twin!r} and {key!r}; GDAL's keys ignore case, so keep one")
        checked[str(key)] = as_text
    return {key: value for key, value in checked.items() if not _is_derived(key, is_band=False)}


def _tag_text(key: Any, value: Any) -> str:
    """Return a scalar as text, as ``str`` does."""
    scalar = value.item() if isinstance(value, (np.ndarray, np.generic)) and value.ndim == 0 else value
    is_container = isinstance(scalar, (Mapping, Sequence, set, frozenset, np.ndarray, bytearray))
    if scalar is None or (is_container and not isinstance(scalar, str)):
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
        return "a key must not have '=', ':' or control characters in it"
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
    if tags is None:
        return ()
    if not isinstance(tags, Mapping):
        raise MetadataError(f"{where} is a {type(tags).__name__}; it should be a mapping of text to text")
    kept: dict[str, str] = {}
    for key, value in ((str(key), str(value)) for key, value in tags.items()):
        has_twin = key.lower() in {other.lower() for other in kept}
        if _is_derived(key, is_band=is_band):
            continue
        if has_twin or tag_problem(key, value, is_band=is_band):
            lost.append(key)
        else:
            kept[key] = value
    return tuple(kept.items())


def _is_derived(key: str, *, is_band: bool) -> bool:
    """Return whether GDAL derives a tag from the file itself, so that it must not be copied."""
    return key.upper().startswith(STATISTICS_PREFIX) if is_band else key.upper() in RECORDING_TAGS


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


def _control_points(gcps: Any, where: str) -> GroundControlPoints | None:
    given = as_control_points(gcps)
    if given is None:
        raise MetadataError(
            f"{where} is a {type(gcps).__name__}; pass georeader.ground_control.GroundControlPoints(points, crs)"
        )
    for position, point in enumerate(given.points):
        if not np.isfinite([point.row, point.col, point.x, point.y, point.z or 0]).all():
            raise MetadataError(f"{where}: point {position} is {point}; pass finite numbers")
    own = GroundControlPoints(given.points, normalise_crs(given.crs)).regrid(0, 0)
    return own if own.points else None


def _rational_polynomials(rpcs: Any, where: str) -> RPC:
    if not isinstance(rpcs, RPC):
        raise MetadataError(f"{where} is a {type(rpcs).__name__}; pass a rasterio.rpc.RPC")
    coefficients = rpcs.to_dict()
    for name, value in coefficients.items():
        wanted = 20 if name.endswith("_coeff") else 1
        numbers = [0] if value is None and name.startswith("err_") else value
        if np.size(numbers) != wanted or not np.isfinite(np.asarray(numbers, dtype=float)).all():
            raise MetadataError(f"{where}.{name}={value!r}; pass {wanted} finite number{'s' * (wanted > 1)}")
    return RPC(**coefficients)


def _name(value: Any, where: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise MetadataError(f"{where} is a {type(value).__name__}; pass text or None")
    if problem := tag_problem("name", value):
        raise MetadataError(f"{where}={value!r}: {problem}")
    return value


def _number(value: Any, where: str) -> float:
    if not isinstance(value, numbers.Real):
        raise MetadataError(f"{where} is a {type(value).__name__}; pass a number")
    return float(value)


def _interp(value: Any, where: str) -> str:
    name = value.name if isinstance(value, ColorInterp) else value
    if not isinstance(name, str) or name not in ColorInterp.__members__:
        raise MetadataError(
            f"{where}={value!r} is not a colour interpretation; allowed: {', '.join(ColorInterp.__members__)}"
        )
    return str(name)
