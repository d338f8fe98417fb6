"""STAC items of files that were saved, from their receipts, and collections of items. Needs the extra ``stac``."""

from __future__ import annotations

import datetime as datetime_
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from georeader._collection.hrefs import folder_of, relative_href
from georeader._collection.summary import build_collection
from georeader._core.reporting import import_extra
from georeader._export.receipt.receipt import Receipt
from georeader._export.receipt.stac import build_item, href_of, name_of
from georeader.errors import OptionError

if TYPE_CHECKING:
    import pystac


def item_of(
    receipts: Receipt | Mapping[str, Receipt] | Sequence[Receipt],
    *,
    id: str | None = None,  # noqa: A002  (as STAC and pystac call it)
    datetime: datetime_.datetime | None = None,
    asset_key: str = "data",
    href: str | Mapping[str, str] | None = None,
    properties: Mapping[str, Any] | None = None,
) -> pystac.Item:
    """Return a STAC item with one or several files as assets: with the projection, raster and file extensions.

    The geometry is the outline of the grids in WGS 84 (longitude, latitude). Where it crosses the antimeridian it is
    cut into a MultiPolygon, and the west of its bounding box is larger than the east (RFC 7946, sections 3.1.9 and
    5.2). It is null, and there is no bounding box, where no raster has a CRS, or one without a place on Earth (a local
    one, that of another planet, a full disk with corners in space).

    ``proj:code`` is the code of an authority, such as "EPSG:32630"; a CRS without one is described by ``proj:wkt2``.
    What several files do not have in common is set on each asset. ``spatial_resolution`` is in metres, in a geographic
    CRS that of the middle of the raster. Of statistics, numbers that JSON does not have are left out.

    Bands that have a description are named so, in STAC 1.1's ``bands`` and in ``eo:bands``, by which odc-stac finds
    them: ``odc.stac.load([item], bands=["B04"])``. stackstac opens assets of one band, and needs the grid:
    ``stackstac.stack([item], epsg=32630, bounds=item.properties["proj:bbox"], resolution=10)``.

    Args:
        receipts: What was saved: one receipt, receipts by the names of their assets, or a list of them. Those of a list
            are named after their only band, or else their file.
        id: By default the file's name without its suffix; of several files it must be passed.
        datetime: When the pixels were taken; by default that of the receipts (`Receipt.acquired`), and of several
            that differ a span from the first to the last, with a null datetime. Where they have none, it is when the
            last file was finished, with a MetadataWarning. For a span pass ``properties`` with ``start_datetime`` and
            ``end_datetime``.
        asset_key: Name of the asset, where ``receipts`` is one receipt.
        href: Where readers find the file, or for several a mapping of assets' names to that; by default
            ``receipt.path``, without the query of a signed URL.
        properties: Further properties; copied.

    Raises:
        MissingExtraError: pystac or antimeridian is not installed.
        OptionError: ``id`` or ``href`` has no default (an object without a name, a URL with a secret before its query,
            several files); ``datetime`` is not a datetime, or is among the properties, too; two assets have one name.

    Example:
        >>> import numpy as np
        >>> from affine import Affine
        >>> from georeader import GeoTensor, save_cog
        >>> tensor = GeoTensor(np.zeros((300, 300), "uint8"), Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630")
        >>> tags = {"TIFFTAG_DATETIME": "2024:05:01 10:30:31"}
        >>> red = save_cog(tensor, "B04.tif", ["B04"], tags, nodata=255)
        >>> item = item_of(red, properties={"platform": "sentinel-2a"})
        >>> print(item.datetime, [round(degrees, 3) for degrees in item.bbox or []])
        2024-05-01 10:30:31+00:00 [-3.0, 36.118, -2.967, 36.145]
        >>> item.assets["data"].extra_fields["raster:bands"]
        [{'nodata': 255, 'data_type': 'uint8', 'spatial_resolution': 10.0}]
        >>> infrared = save_cog(tensor, "B08.tif", ["B08"], tags, nodata=255)
        >>> item = item_of([red, infrared], id="scene")  # a file a band
        >>> {name: asset.href for name, asset in item.assets.items()}
        {'B04': 'B04.tif', 'B08': 'B08.tif'}
    """
    named = _named(receipts, asset_key)
    return build_item(named, id=id, datetime=datetime, href=href, properties=properties)


def collection_of(
    items: Iterable[pystac.Item] | Mapping[str, pystac.Item],
    *,
    id: str,  # noqa: A002  (as STAC and pystac call it)
    title: str | None = None,
    description: str | None = None,
    license: str = "other",  # noqa: A002
    href: str | None = None,
) -> pystac.Collection:
    """Return the STAC collection of some items, which stay as they are.

    Its bounding box has west > east where it crosses the antimeridian, as those of items. ``item_assets`` has the
    assets by their names, with what is equal in all items; ``summaries`` has CRSs and bands.

    Args:
        items: One or more. Those of a mapping are linked to by its keys, the paths or URLs of their JSON files; others
            by their self link, or ``./<id>.json`` where they have none.
        id: Id of the collection.
        title: One line.
        description: Any text; by default the title, or the id.
        license: Of SPDX, such as "CC-BY-4.0".
        href: The path or URL of the collection's JSON file; links are then relative to it.

    Raises:
        MissingExtraError: pystac is not installed.
        OptionError: There is no item.

    Example:
        >>> import numpy as np
        >>> from affine import Affine
        >>> from georeader import GeoTensor, save_cog
        >>> tensor = GeoTensor(np.ones((300, 300), "uint8"), Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630", 0)
        >>> items = [
        ...     save_cog(tensor, f"{day}.tif", ["B04"]).to_stac(datetime=datetime_.datetime(2024, 5, day))
        ...     for day in (1, 6)
        ... ]
        >>> collection = collection_of(items, id="may", license="CC-BY-4.0")
        >>> collection.summaries.lists
        {'proj:code': ['EPSG:32630'], 'bands': [{'name': 'B04'}]}
        >>> [link.target for link in collection.get_links("item")]
        ['./1.json', './6.json']
    """
    named = items if isinstance(items, Mapping) else _by_links(items)
    collection: pystac.Collection = build_collection(
        list(named.values()), id, title=title, description=description, license_name=license
    )
    make_link = import_extra("pystac", extra="stac", purpose="a STAC collection").Link
    for path, item in named.items():
        target = path if href is None else relative_href(path, folder_of(href))
        collection.add_link(make_link("item", target, media_type="application/geo+json", title=item.id))
    return collection


def _by_links(items: Iterable[pystac.Item]) -> dict[str, pystac.Item]:
    """Return items by links to them."""
    found: dict[str, pystac.Item] = {}
    for item in items:
        link = item.get_self_href() or f"./{item.id}.json"
        if link in found:
            raise OptionError(f"two items would be linked to by {link!r}; pass a mapping of paths to items")
        found[link] = item
    return found


def _named(receipts: Any, asset_key: str) -> dict[str, Receipt]:
    """Return receipts by the names of their assets."""
    if isinstance(receipts, Receipt):
        return {asset_key: receipts}
    if isinstance(receipts, Mapping):
        _checked(list(receipts.values()))
        return dict(receipts)
    named: dict[str, Receipt] = {}
    for receipt in _checked(receipts):
        only = receipt.descriptions[0] if len(receipt.descriptions) == 1 else None
        key = only or name_of(href_of(receipt.path))
        if key in named:
            raise OptionError(f"two assets would be called {key!r}; pass a mapping of names to receipts")
        named[key] = receipt
    return named


def _checked(receipts: Any) -> list[Receipt]:
    found = list(receipts) if isinstance(receipts, Iterable) else [receipts]
    wrong = [type(one).__name__ for one in found if not isinstance(one, Receipt)]
    if wrong or not found:
        got = wrong[0] if wrong else "none"
        raise OptionError(
            f"receipts must be what save_cog returns, got {got}; pass one, or a mapping or a list of them"
        )
    return found
