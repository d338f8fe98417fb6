"""STAC items and GeoJSON features as rows: their properties, id, collection, geometry, bbox and assets. Pure.

STAC 1.0 and 1.1, Item Specification; pystac's objects are recognised by what they have, pystac is not imported.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import urljoin

Row = dict[str, Any]


def is_feature(value: Any) -> bool:
    """Tell whether something is a GeoJSON feature, as STAC items are."""
    return isinstance(value, Mapping) and value.get("type") == "Feature"


def is_stac_object(value: Any) -> bool:
    """Tell whether something is an Item or ItemCollection of pystac."""
    return (
        not isinstance(value, type)
        and callable(getattr(value, "to_dict", None))
        and ((hasattr(value, "assets") and hasattr(value, "properties")) or _is_collection(value))
    )


def _is_collection(value: Any) -> bool:
    return hasattr(value, "items") and hasattr(value, "extra_fields") and hasattr(value, "__iter__")


def object_rows(value: Any) -> list[Row]:
    """Give the rows of an Item or ItemCollection of pystac."""
    return [_item_row(item) for item in (value if _is_collection(value) else [value])]


def _item_row(item: Any) -> Row:
    content = item.to_dict(include_self_link=False, transform_hrefs=False)
    return feature_row(content, item.get_self_href() or "")


def feature_row(feature: Mapping[str, Any], place: str) -> Row:
    """Give a feature as a row.

    Args:
        feature: GeoJSON. Never changed.
        place: Path or URL of the document it comes from, to which relative links of assets are relative; an item's
            own "self" link goes before it; "": unknown.

    Returns:
        Its properties, and "id", "collection", "geometry", "bbox" and "assets" where it has them; what the feature
        itself says goes before a property of the same name.

    Example:
        >>> item = {"type": "Feature", "id": "S2A", "properties": {}, "assets": {"B04": {"href": "b4.tif"}}}
        >>> feature_row(item, "https://host/items/S2A.json")["assets"]
        {'B04': {'href': 'https://host/items/b4.tif'}}
    """
    row: Row = {str(key): value for key, value in (feature.get("properties") or {}).items()}
    row |= {key: feature[key] for key in ("id", "collection", "geometry", "bbox") if feature.get(key) is not None}
    assets = feature.get("assets")
    if isinstance(assets, Mapping):
        base = _self_link(feature) or place
        row["assets"] = {name: _with_place(asset, base) for name, asset in assets.items() if isinstance(asset, Mapping)}
    return row


def _self_link(feature: Mapping[str, Any]) -> str:
    links = [link for link in feature.get("links") or () if isinstance(link, Mapping) and link.get("rel") == "self"]
    href = links[0].get("href") if links else ""
    return href if isinstance(href, str) and "://" in href else ""


def _with_place(asset: Mapping[str, Any], base: str) -> Row:
    href = asset.get("href")
    return {**asset, "href": _absolute(href, base)} if isinstance(href, str) else dict(asset)


def _absolute(href: str, base: str) -> str:
    if "://" in href or not base or PurePath(href).is_absolute():
        return href
    if base.startswith(("http://", "https://", "file://")):
        return urljoin(base, href)
    folder = posixpath.dirname(base)  # schemes of stores, and paths
    scheme, separator, rest = folder.partition("://")
    if separator:
        return f"{scheme}://{posixpath.normpath(posixpath.join(rest, href))}"
    return posixpath.normpath(posixpath.join(folder, href))
