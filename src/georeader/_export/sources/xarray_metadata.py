"""Metadata of an xarray.DataArray by rioxarray's conventions: nodata, band names, units, scales and tags.

Differences from rioxarray's own ``to_raster``: units become those of the bands; labels along the bands (texts, times,
wavelengths) become their names; attributes of single bands follow a selection of bands by rioxarray's band numbers;
statistics of the pixels are left out. Times have the shortest form of ISO 8601 that is exact, hours with minutes.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from rasterio.errors import RasterioIOError

from georeader._core.data_array_attrs import NO_TAG_PREFIXES, NO_TAGS, NODATA_ATTRS, carried
from georeader._core.reporting import warn_at_caller
from georeader._export.sources.xarray_georeference import accessor_in_use, spatial_dims, values_of
from georeader._readers.file_info import warn_of_nodata
from georeader.abstract_reader import same_nodata
from georeader.errors import MetadataWarning

#: Names of the factors of all bands, and that of one for all: scales and offsets.
FACTOR_NAMES = {"scales": ("scales", "scale_factor"), "offsets": ("offsets", "add_offset")}

#: Attributes of stackstac that describe its grid, where "spec" is an object.
_STACKSTAC_ATTRS = ("spec", "resolution", "resolution_xy")

#: A name that dask made: of a function, and a hash of its arguments (`dask.base.tokenize`) or a UUID. It differs from
#: one array to the next and from run to run.
_DASK_NAME = re.compile(r".*-([0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.DOTALL)

#: Nanoseconds of the units of a duration in ISO 8601, from the largest to the smallest.
_DURATION_UNITS = (("D", 86_400 * 10**9), ("H", 3_600 * 10**9), ("M", 60 * 10**9))

_NS_PER_S = 10**9


def title_of(array: Any) -> str:
    """Return the subject of messages about a DataArray: its name, unless dask made it."""
    name = _own_name(array)
    return "DataArray" if name is None else f"DataArray {name!r}"


def _own_name(array: Any) -> Any:
    """Return the name of an array; None if dask made it."""
    is_of_dask = isinstance(array.name, str) and _DASK_NAME.fullmatch(array.name) is not None
    return None if is_of_dask else array.name


def nodata_of(array: Any) -> Any:
    """Return the value of missing pixels that the attributes of an array declare; None if there is none.

    bool arrays have none: comparisons keep the attributes of the array that was compared (xarray >= 2025.11), where its
    nodata has no meaning.
    """
    if array.dtype.kind == "b":
        return None
    declared = [*(array.attrs.get(name) for name in NODATA_ATTRS), *_nodatavals(array)[:1]]
    return next((np.ravel(value)[0] for value in declared if value is not None and np.size(value)), None)


def with_set_nodata(array: Any) -> Any:
    """Return an array whose attributes have the nodata that only its accessor has, set by ``.rio.set_nodata``.

    The accessor of the caller's array keeps no answer that it derived from the attributes, which may change.
    """
    accessor = accessor_in_use(array)
    if accessor is None or array.dtype.kind == "b" or array.encoding.get("_FillValue") is not None:
        return array
    # An attribute of another type or range is refused later, by name; the array's file may be gone by now.
    with suppress(OverflowError, TypeError, ValueError, RasterioIOError):
        found = accessor.nodata
        derived = [nodata_of(array), *np.ravel(array.attrs.get("nodatavals", ()))[:1]]
        if any(same_nodata(found, value) for value in derived):
            accessor.set_nodata(None)  # forgets the answer; it removes nothing
            return array
        changed = array.assign_attrs(_FillValue=found)
        rows, columns = spatial_dims(array)
        return changed.rio.set_spatial_dims(columns, rows, inplace=True)
    return array


def _nodatavals(array: Any) -> list[Any]:
    """Return the nodata of each band in ``attrs["nodatavals"]``, following a selection by rioxarray's band numbers."""
    declared = array.attrs.get("nodatavals")
    if not isinstance(declared, (Sequence, np.ndarray)) or isinstance(declared, str):
        return []
    band = _band_coordinate(array, "band")
    numbers = [] if band is None or band.dtype.kind not in "iu" else band.tolist()
    is_known = bool(numbers) and min(numbers) >= 1 and max(numbers) <= len(declared)
    return [declared[number - 1] for number in numbers] if is_known else list(declared)


def metadata_of(array: Any, band: Hashable | None, count: int) -> dict[str, Any]:
    """Return the attributes of an array, with or without a dimension along bands, under the keys of a GeoTensor.

    bool arrays have neither scale nor offset nor unit: comparisons keep those of the array that was compared.
    """
    attrs = array.attrs
    declared = {"long_name": attrs.get("long_name"), "band_tags": attrs.get("band_tags")}
    if array.dtype.kind != "b":
        if nodatavals := _nodatavals(array):
            warn_of_nodata(title_of(array), nodatavals)
        declared["units"] = attrs.get("units")
        for key, names in FACTOR_NAMES.items():
            # Those of the encoding convert these numbers to the file's, and back.
            entries = (place.get(name) for name in names for place in (attrs, array.encoding))
            declared[key] = next((entry for entry in entries if entry is not None), None)
    numbers = band_numbers(array, band, count)
    each = {name: per_band(value, count, numbers) for name, value in declared.items()}
    lost = ", ".join(name for name, value in declared.items() if value is not None and each[name] is None)
    if lost:
        warn_at_caller(f"{lost}: not one entry for each of the {count} bands, so they are left out", MetadataWarning)
    if is_reordered(numbers):
        moved = ", ".join(name for name in declared if len(set(map(str, each[name] or ()))) > 1)
        if moved:
            warn_at_caller(
                f"{moved}: read in the order of the band numbers {numbers}, because xarray reorders them with the "
                "bands, but not attributes; if the attributes are in the new order, pass array.drop_vars('band')",
                MetadataWarning,
            )
    labels = _labels(array, band, count)
    is_shared = count > 1 and np.size(declared["long_name"]) == 1  # by all bands, which their labels distinguish
    own = None if is_shared and labels else _texts(each["long_name"])
    found = {
        "descriptions": own or labels or _texts([_own_name(array)] * count),
        "units": _texts(each.get("units")),
        "scales": _numbers(each.get("scales"), neutral=1.0),
        "offsets": _numbers(each.get("offsets"), neutral=0.0),
        "band_tags": each["band_tags"] if isinstance(declared["band_tags"], (list, tuple)) else None,
        "tags": tags_of(attrs, also=("long_name",) if is_shared and labels else ()),
    }
    kept = carried(array.encoding, array.dtype, count, numbers)
    found["tags"] = kept.pop("tags", {}) | found["tags"]
    return kept | {key: value for key, value in found.items() if value is not None}


def without_encoding(found: Mapping[str, Any], array: Any) -> dict[str, Any]:
    """Return what `metadata_of` found without the scales and offsets that come from the array's encoding."""
    encoded = [key for key, names in FACTOR_NAMES.items() if all(array.attrs.get(name) is None for name in names)]
    return {key: value for key, value in found.items() if key not in encoded}


def per_band(declared: Any, count: int, numbers: Sequence[int] | None) -> list[Any] | None:
    """Return one entry per band; None if there is no entry, or their number does not fit the bands.

    Declared is one entry for all bands, one for each, or one for each band before these were selected by ``numbers``.
    """
    if not isinstance(declared, (list, tuple, np.ndarray)) or getattr(declared, "ndim", 1) == 0:
        return None if declared is None else [declared] * count
    if len(declared) == 1:
        return list(declared) * count
    if len(declared) == count and not is_reordered(numbers):
        return list(declared)
    if numbers is not None and max(numbers) <= len(declared):
        return [declared[number - 1] for number in numbers]
    return None


def is_reordered(numbers: Sequence[int] | None) -> bool:
    """Return whether band numbers are all of 1, 2, 3, ... in another order, as after ``isel(band=[2, 1, 0])``."""
    return numbers is not None and list(numbers) != sorted(numbers) == list(range(1, len(numbers) + 1))


def band_numbers(array: Any, band: Hashable | None, count: int) -> list[int] | None:
    """Return rioxarray's band numbers, from 1, if the coordinate along bands has them."""
    values = _band_coordinate(array, band)
    if values is None or values.dtype.kind not in "iu" or len(values) != count or values.min() < 1:
        return None
    return [int(value) for value in values]


def _band_coordinate(array: Any, band: Hashable | None) -> Any:
    """Return the coordinates along bands, or the scalar coordinate of a band that was selected."""
    name = "band" if band is None else band
    if name not in array.coords or array.coords[name].dims not in ((), (name,)):
        return None
    return np.atleast_1d(values_of(array, name))


def _labels(array: Any, band: Hashable | None, count: int) -> list[str | None] | None:
    """Return the labels along the bands as texts; the band numbers of rioxarray are not labels."""
    values = _band_coordinate(array, band)
    is_numbers = values is not None and band in (None, "band") and values.dtype.kind in "iu"
    if values is None or is_numbers or len(values) != count:
        return None
    return _texts([label_text(value) for value in values])


def _texts(values: Sequence[Any] | None) -> list[str | None] | None:
    """Return values as texts; None if all are empty."""
    texts = [None if value is None else str(value).strip() or None for value in values or ()]
    return texts if any(texts) else None


def _numbers(values: Sequence[Any] | None, *, neutral: float) -> list[float] | None:
    """Return values as numbers; None if all are neutral."""
    numbers = [float(np.ravel(value)[0]) for value in values or ()]
    return numbers if set(numbers) - {neutral} else None


def tags_of(attrs: Mapping[Any, Any], also: Sequence[str] = ()) -> dict[str, str]:
    """Return the attributes that become tags of the file, and those of `NO_TAGS` that are named."""
    grid = _STACKSTAC_ATTRS if hasattr(attrs.get("spec"), "transform") else ()
    tags = {str(key): _text(value) for key, value in attrs.items() if value is not None and key not in grid}
    return {
        key: value
        for key, value in tags.items()
        if value and (key in also or key not in NO_TAGS) and not key.startswith(NO_TAG_PREFIXES)
    }


def _text(value: Any) -> str:
    plain = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
    return str(plain).strip() if isinstance(plain, str) else str(plain)


def label_text(value: Any) -> str | None:
    """Return a label along an axis as a text; None if it is missing (NaT, NaN, None).

    Labels are texts, numbers, numpy's times, objects of cftime or `datetime`, or tuples (xarray's MultiIndex).
    """
    if isinstance(value, tuple):
        return " ".join(filter(None, map(label_text, value))) or None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip() or None
    if value is None or value != value:
        return None
    if hasattr(value, "to_timedelta64"):
        value = value.to_timedelta64()
    if isinstance(value, np.datetime64):
        return _without_zeros(str(np.datetime_as_string(value, unit="auto")))
    if isinstance(value, np.timedelta64):
        return _duration(value)
    if all(hasattr(value, name) for name in ("year", "month", "day")):
        return _date(value)
    return str(value).strip() or None


def _date(value: Any) -> str:
    """Return a date, or a date and a time, of any calendar: of `datetime`, pandas or cftime."""
    text = f"{value.year:0{5 if value.year < 0 else 4}d}-{value.month:02d}-{value.day:02d}"
    if not hasattr(value, "hour"):
        return text
    ns = value.microsecond * 1000 + getattr(value, "nanosecond", 0)
    offset = value.isoformat()[19:].lstrip(".0123456789") if getattr(value, "tzinfo", None) is not None else ""
    if not offset and not (value.hour or value.minute or value.second or ns):
        return text
    clock = f"{value.hour:02d}:{value.minute:02d}"
    if value.second or ns:
        clock = _without_zeros(f"{clock}:{value.second:02d}.{ns:09d}")
    return f"{text}T{clock}{offset}"


def _without_zeros(text: str) -> str:
    """Return a time without zeros at the end of its fraction."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def _duration(value: np.timedelta64) -> str | None:
    """Return a duration; for months and years, whose length varies, numpy's text."""
    if np.datetime_data(value.dtype)[0] in ("Y", "M", "generic"):
        return str(value)
    rest = int(value.astype("timedelta64[ns]").astype(np.int64))
    sign, rest = ("-" if rest < 0 else ""), abs(rest)
    parts: list[str] = []
    for unit, length in _DURATION_UNITS:
        number, rest = divmod(rest, length)
        parts.append(f"{number}{unit}" if number else "")
    seconds, fraction = divmod(rest, _NS_PER_S)
    if seconds or fraction or not any(parts):
        parts.append(_without_zeros(f"{seconds}.{fraction:09d}") + "S")
    clock = "".join(parts[1:])
    return f"{sign}P{parts[0]}{'T' if clock else ''}{clock}"
