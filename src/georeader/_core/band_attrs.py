"""The entries of ``attrs`` that describe bands (docs/reading.md lists all), and how they follow the bands. Pure.

``parts`` are (attrs, number of bands) of several rasters, in order. `georeader._arrays.pixel_attrs` has the entries
that refer to pixels.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from georeader.errors import MetadataError

#: Tag of the overviews' resampling, as rio-cogeo from 6.0 on writes it; GDAL from 3.12 on has it in its IMAGE_STRUCTURE
#: domain.
RESAMPLING_TAG = "OVERVIEW_RESAMPLING"

#: Tags that record the method, those of this project and of rio-cogeo before 6.0 among them.
RECORDING_TAGS = (RESAMPLING_TAG, "OVR_RESAMPLING_ALG")

#: Keys with one entry per band, and the entry of a band without one, in a stack in which others have one.
BAND_DEFAULTS: dict[str, Any] = {
    "descriptions": None, "scales": 1.0, "offsets": 0.0, "units": None, "colorinterp": "undefined", "band_tags": {},
    "band_namespaces": {}, "attribute_tables": None,
}  # fmt: skip

PER_BAND_KEYS = tuple(BAND_DEFAULTS)

#: Keys that describe stored numbers; they are dropped where arithmetic makes other numbers.
ENCODING_KEYS = ("scales", "offsets", "units", "colorinterp", "colormap", "photometric", "nbits", "attribute_tables")

#: Keys that describe how the first band is displayed, and no other band.
_OF_THE_FIRST_BAND = ("colormap", "photometric", "nbits")

Attrs = dict[str, Any]

#: GDAL's numbers of the types and the usages of a table's columns.
_INTEGER, _STRING, _NAME, _MIN_MAX = 0, 2, 2, 5

#: A colour table, sorted by value: ((pixel value, (red, green, blue, alpha)), ...).
Colormap = tuple[tuple[int, tuple[int, int, int, int]], ...]


def check_list(values: Any, where: str) -> None:
    """Check that values are a sequence or an array; else raise a MetadataError that begins with ``where``."""
    if isinstance(values, (str, Mapping)) or not isinstance(values, (Sequence, np.ndarray)):
        hint = f"; pass [{values!r}]" if isinstance(values, str) else ""
        hint = "; is it meant as profile_arg?" if isinstance(values, Mapping) else hint
        raise MetadataError(f"{where} is a {type(values).__name__}, not a list with one entry per band{hint}")


def check_count(values: Sequence[Any], count: int, where: str) -> None:
    """Check that there is one value per band; else raise a MetadataError that begins with ``where``."""
    if len(values) != count:
        raise MetadataError(f"{where} has {len(values)} entries for {count} bands; pass one per band")


def parse_colormap(colormap: Any) -> Colormap:
    """Parse the colour table of ``attrs["colormap"]``.

    Example:
        >>> parse_colormap({1: (255, 0, 0), 0: (0, 0, 0, 0)})
        ((0, (0, 0, 0, 0)), (1, (255, 0, 0, 255)))
    """
    where = "attrs['colormap']"
    if not isinstance(colormap, Mapping) or not colormap:
        raise MetadataError(f"{where} should map pixel values to (red, green, blue, alpha)")
    entries = []
    for value, colour in colormap.items():
        try:
            entries.append(_colour_entry(value, colour))
        except (TypeError, ValueError) as error:
            raise MetadataError(
                f"{where}[{value!r}]={colour!r}; pass (red, green, blue, alpha) from 0 to 255"
            ) from error
    return tuple(sorted(entries))


def _colour_entry(value: Any, colour: Any) -> tuple[int, tuple[int, int, int, int]]:
    number = operator.index(value)
    if number < 0:
        raise ValueError(f"{number} is negative")
    red, green, blue, alpha = bytes((*(int(channel) for channel in colour), 255)[:4])  # a ValueError beyond 0 to 255
    return number, (red, green, blue, alpha)


def attribute_table(names: Mapping[int, str]) -> str:
    """Return GDAL's XML of the raster attribute table that names pixel values.

    Example:
        >>> attribute_table({1: "rock & ice"}).partition("<Row")[2]
        ' index="0"><F>1</F><F>rock &amp; ice</F></Row></GDALRasterAttributeTable>'
    """
    columns = (("Value", _INTEGER, _MIN_MAX), ("Class", _STRING, _NAME))
    fields = "".join(
        f'<FieldDefn index="{number}"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage></FieldDefn>'
        for number, (name, kind, usage) in enumerate(columns)
    )
    rows = "".join(
        f'<Row index="{row}"><F>{value}</F><F>{escape(name)}</F></Row>'
        for row, (value, name) in enumerate(names.items())
    )
    return f'<GDALRasterAttributeTable tableType="thematic">{fields}{rows}</GDALRasterAttributeTable>'


def alpha_band(colorinterp: Sequence[Any]) -> int | None:
    """Return the position of the first alpha band among colour interpretations, or their names; None if none is."""
    names = [getattr(interp, "name", interp) for interp in colorinterp]
    return names.index("alpha") if "alpha" in names else None


def _per_band(attrs: Mapping[str, Any], key: str, count: int) -> Sequence[Any] | None:
    value = attrs.get(key)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, str) or not isinstance(value, Sequence):
        return None
    return value if len(value) == count else None


def select_bands(attrs: Mapping[str, Any], count: int, bands: Iterable[int]) -> Attrs:
    """Keep the entries of the chosen ones of ``count`` bands, counted from 0, in their new order."""
    chosen = list(bands)
    selected = dict(attrs)
    for key in PER_BAND_KEYS:
        values = _per_band(attrs, key, count)
        if values is not None:
            selected[key] = [values[band] for band in chosen]
    if chosen != list(range(count)):
        selected.pop("colormap", None)
    if not keeps_colour_model(attrs.get("photometric"), chosen):
        selected.pop("photometric", None)
    if chosen[:1] != [0]:
        selected.pop("nbits", None)
    return selected


def keeps_colour_model(photometric: Any, bands: Sequence[int]) -> bool:
    """Return whether bands, counted from 0, have the raster's colour model, which is of the first band or three.

    Example:
        >>> keeps_colour_model("MINISWHITE", [0, 2]), keeps_colour_model("RGB", [0, 2])
        (True, False)
    """
    is_grey = str(getattr(photometric, "value", photometric)).upper().endswith(("WHITE", "BLACK"))
    own = [0] if is_grey else [0, 1, 2]
    return list(bands[: len(own)]) == own


def without_bands(attrs: Mapping[str, Any]) -> Attrs:
    """Drop the entries that describe single bands."""
    return {key: value for key, value in attrs.items() if key not in (*PER_BAND_KEYS, *_OF_THE_FIRST_BAND)}


def without_encoding(attrs: Mapping[str, Any]) -> Attrs:
    """Drop scale, offset, unit, colours and the overviews' resampling, which do not describe changed values."""
    kept = {key: value for key, value in attrs.items() if key not in ENCODING_KEYS}
    tags = kept.get("tags")
    if isinstance(tags, Mapping) and any(str(key).upper() in RECORDING_TAGS for key in tags):
        kept["tags"] = {key: value for key, value in tags.items() if str(key).upper() not in RECORDING_TAGS}
    return kept


def without_other_names(attrs: Mapping[str, Any], parts: Sequence[tuple[Mapping[str, Any], int]]) -> Attrs:
    """Drop the names and tags of bands that are computed from differently named ones: B08 - B04 is neither.

    The name of such a band is None, which differs from every name, so that a band computed from it has no name either.
    """
    kept = dict(attrs)
    for key in ("descriptions", "band_tags", "band_namespaces"):
        stated = [values for values in (_per_band(part, key, count) for part, count in parts) if values is not None]
        if len(stated) < 2:
            continue
        bands = max(map(len, stated))
        columns = zip(*(list(values) * (bands if len(values) == 1 else 1) for values in stated), strict=False)
        names = [column[0] if all(one == column[0] for one in column) else BAND_DEFAULTS[key] for column in columns]
        kept[key] = [dict(name) if isinstance(name, Mapping) else name for name in names]
    return kept


def merge_bands(parts: Sequence[tuple[Mapping[str, Any], int]]) -> Attrs:
    """Join the metadata of rasters whose bands are concatenated; keys that are not per band come from the first."""
    first = parts[0][0]
    merged = without_bands(first)
    if "photometric" in first:
        merged["photometric"] = first["photometric"]
    bits = [attrs.get("nbits") for attrs, _ in parts]
    if bits[0] is not None and all(one == bits[0] for one in bits):  # else values of the others may be larger
        merged["nbits"] = bits[0]
    if sum(count for _, count in parts) == 1 and "colormap" in first:
        merged["colormap"] = first["colormap"]
    for key in PER_BAND_KEYS:
        if any(_per_band(attrs, key, count) is not None for attrs, count in parts):
            merged[key] = [value for attrs, count in parts for value in _values_or_default(attrs, key, count)]
    return merged


def merge_times(parts: Sequence[tuple[Mapping[str, Any], int]]) -> Attrs:
    """Join the metadata of rasters that show the same bands at several times.

    Keys that are not per band come from the first; names and colours of bands are kept where all agree. Scales, offsets
    or units that differ are an error.
    """
    first, count = parts[0]
    merged = dict(first)
    for key in (*PER_BAND_KEYS, *_OF_THE_FIRST_BAND):
        stated = [_values_or_default(attrs, key, count) for attrs, _ in parts]
        differing = next((position for position, values in enumerate(stated) if values != stated[0]), None)
        if differing is None:
            continue
        if key in ("scales", "offsets", "units"):
            raise MetadataError(
                f"{key} of element {differing} are {stated[differing]}, of element 0 {stated[0]}; "
                "convert the numbers to one scale and unit first"
            )
        merged.pop(key, None)
    return merged


def _values_or_default(attrs: Mapping[str, Any], key: str, count: int) -> Any:
    if key in _OF_THE_FIRST_BAND:
        return attrs.get(key)
    values = _per_band(attrs, key, count)
    # Copied, since the caller may add to the tags.
    return list(values) if values is not None else [copy(BAND_DEFAULTS[key]) for _ in range(count)]
