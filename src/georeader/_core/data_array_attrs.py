"""Names in the attributes and the encoding of DataArrays that have a meaning: rioxarray's, and the project's own. Pure.

What a GeoTensor's attributes have and rioxarray has no convention for, such as colours, lies in the encoding, since
xarray drops that where values change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from georeader._core import band_attrs

#: Where attributes declare the value of missing pixels, in order of precedence.
NODATA_ATTRS = ("_FillValue", "missing_value", "fill_value", "nodata")

#: Attributes that have a place of their own in a GeoTIFF, or in none.
NO_TAGS = frozenset({
    *NODATA_ATTRS, "nodatavals", "is_tiled", "res", "crs", "transform", "grid_mapping", "coordinates", "long_name",
    "units", "scales", "offsets", "scale_factor", "add_offset", "band_tags", "zarr_conventions",
})  # fmt: skip

NO_TAG_PREFIXES = ("STATISTICS_", "proj:", "spatial:")

#: Coordinate along rows and columns that is True where pixels are valid; it has this attribute.
MASK_COORDINATE = "mask"
MASK_ATTRS = {"flag_meanings": "masked valid"}

#: Key in the encoding of what a GeoTensor's attributes have and attributes of a DataArray have not.
_CARRIED = "georeader"

_CARRIED_KEYS = (
    "colorinterp", "colormap", "photometric", "nbits", "namespaces", "band_namespaces", "attribute_tables", "acquired",
)  # fmt: skip


def carry(attrs: Mapping[str, Any], tags: Mapping[str, str], count: int, dtype: Any) -> dict[str, Any]:
    """Return the entry of an encoding that carries attributes of a GeoTensor, and tags that cannot be attributes."""
    carried = {key: attrs[key] for key in _CARRIED_KEYS if attrs.get(key) is not None}
    if tags:
        carried["tags"] = dict(tags)
    return {_CARRIED: {"count": count, "dtype": str(dtype), "attrs": carried}} if carried else {}


def carried(encoding: Mapping[Any, Any], dtype: Any, count: int, numbers: Sequence[int] | None) -> dict[str, Any]:
    """Return what `carry` put into an encoding for ``count`` bands, with their numbers from 1 if known.

    Nothing is returned for values of another dtype, which were computed.
    """
    found = encoding.get(_CARRIED)
    if not isinstance(found, Mapping) or found.get("dtype") != str(dtype):
        return {}
    attrs, before = dict(found["attrs"]), int(found["count"])
    if numbers is not None and max(numbers) <= before:
        return band_attrs.select_bands(attrs, before, [number - 1 for number in numbers])
    return attrs if before == count else band_attrs.without_bands(attrs)
