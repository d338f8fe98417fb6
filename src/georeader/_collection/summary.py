"""What the items of a collection have in common: extents, assets, bands and CRSs."""

from __future__ import annotations

import datetime as datetime_
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from georeader._core.reporting import import_extra, warn_at_caller
from georeader._export.receipt.stac import widest
from georeader.errors import MetadataWarning, OptionError

if TYPE_CHECKING:
    import pystac

#: Extensions of which fields are in the collection itself, by the prefixes of their fields.
_PREFIXES = ("eo:", "proj:", "raster:")


def check_texts(**texts: Any) -> None:
    """Raise OptionError unless the texts of a collection are such; a title and a description may be None."""
    for name, value in texts.items():
        is_missing = value is None and name in ("title", "description")
        if not is_missing and not (isinstance(value, str) and value):
            raise OptionError(f"{name}={value!r} is not text of one letter at least; pass such text")


def build_collection(
    items: Sequence[pystac.Item], collection_id: str, *, title: str | None, description: str | None, license_name: str
) -> Any:
    """Return the collection of some items, without links to them; see `georeader.stac.collection_of`."""
    pystac = import_extra("pystac", extra="stac", purpose="a STAC collection")
    if not items:
        raise OptionError("a collection needs one item at least, got none")
    check_texts(id=collection_id, license=license_name, title=title, description=description)
    item_assets = _item_assets(items)
    codes = sorted({code for item in items for code in _values_of(item, "proj:code") if code is not None})
    bands = _distinct(band for asset in item_assets.values() for band in asset.get("bands", ()) if band)
    names = {name for asset in item_assets.values() for name in asset} | ({"proj:code"} if codes else set())
    return pystac.Collection(
        id=collection_id,
        title=title,
        description=description or title or collection_id,
        license=license_name,
        extent=pystac.Extent(pystac.SpatialExtent([_bbox(items)]), pystac.TemporalExtent([_interval(items)])),
        summaries=pystac.Summaries({"proj:code": codes, "bands": bands}),
        stac_extensions=_extensions(items, names),
        extra_fields={"item_assets": item_assets},
    )


def _bbox(items: Sequence[pystac.Item]) -> list[float]:
    """Return the bounding box of all items; west > east across the antimeridian, as in items."""
    boxes = [item.bbox for item in items if item.bbox]
    if not boxes:
        warn_at_caller(
            "the collection's bounding box is the whole Earth, since no item has a place on it; save rasters with a "
            "CRS",
            MetadataWarning,
        )
        return [-180.0, -90.0, 180.0, 90.0]
    half = len(boxes[0]) // 2
    west, east = widest([(box[0], box[half]) for box in boxes])
    return [west, min(box[1] for box in boxes), east, max(box[half + 1] for box in boxes)]


def _interval(items: Sequence[pystac.Item]) -> list[datetime_.datetime | None]:
    """Return the first and the last time of all items."""
    starts = [item.common_metadata.start_datetime or item.datetime for item in items]
    ends = [item.common_metadata.end_datetime or item.datetime for item in items]
    utc = datetime_.UTC
    times = [[one if one.tzinfo else one.replace(tzinfo=utc) for one in each if one] for each in (starts, ends)]
    return [min(times[0], default=None), max(times[1], default=None)]


def _item_assets(items: Sequence[pystac.Item]) -> dict[str, dict[str, Any]]:
    """Return the assets that items have: of each its fields that are equal in all items."""
    fields: dict[str, dict[str, Any]] = {}
    for item in items:
        for key, asset in item.assets.items():
            own = {name: value for name, value in asset.to_dict().items() if _is_general(name)}
            if "raster:bands" in own:
                own["raster:bands"] = [_without(band, "statistics") for band in own["raster:bands"]]
            common = fields.setdefault(key, own)
            fields[key] = {name: value for name, value in common.items() if own.get(name) == value}
    return fields


def _is_general(name: str) -> bool:
    return name not in ("href", "created", "updated") and not name.startswith(("file:", "proj:"))


def _without(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


def _values_of(item: pystac.Item, name: str) -> list[Any]:
    """Return the values of a field of an item and its assets."""
    return [item.properties.get(name), *(asset.extra_fields.get(name) for asset in item.assets.values())]


def _distinct(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _extensions(items: Sequence[pystac.Item], names: Iterable[str]) -> list[str]:
    """Return the extensions of the items that have fields with some names."""
    used = {name.partition(":")[0] for name in names if name.startswith(_PREFIXES)}
    parts = {"eo": "/eo/", "proj": "/projection/", "raster": "/raster/"}
    known = sorted({uri for item in items for uri in item.stac_extensions or ()})
    return [uri for uri in known if any(parts[prefix] in uri for prefix in used)]
