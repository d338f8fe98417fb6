"""The documents of a collection, as functions of its items. Needs the extra ``collection``.

``items`` are items by the paths or URLs of their JSON files, and assets' hrefs are the paths or URLs of files, all as
they were written. In the documents they are relative to the document, so that a collection can be moved as a whole.

References:
    STAC 1.1.0: Item and Collection Specification; "Use of links" in its best practices (self-contained catalogs).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from georeader._collection.geoparquet import parquet_bytes
from georeader._collection.hrefs import folder_of, path_in, relative_href, resolve_href
from georeader._collection.vrt import Grid, index_xml
from georeader._core.reporting import import_extra, warn_at_caller
from georeader.errors import MetadataWarning, OptionError

if TYPE_CHECKING:
    import pystac

#: Names of the documents in the folder of a collection.
COLLECTION_FILE = "collection.json"
ITEMS_FILE = "items.parquet"
INDEX_FILE = "index.vrt"

_PARQUET = "application/vnd.apache.parquet"

#: Relations that say where an item is in a catalog.
_STRUCTURAL = ("self", "root", "parent", "collection", "item", "child")


def check_installed() -> None:
    """Raise MissingExtraError unless all that writes the documents is installed."""
    for module in ("pystac", "antimeridian", "shapely", "pyarrow"):
        import_extra(module, extra="collection", purpose="a STAC collection")


def item_document(item: pystac.Item, path: str, root: str, *, collection_id: str) -> bytes:
    """Return the JSON file of an item.

    Args:
        item: Its assets' hrefs are paths or URLs as written; it stays as it is.
        path: The path or URL of the JSON file.
        root: The folder of the collection.
        collection_id: Its id.
    """
    return _as_json(_placed(item, folder_of(path), root, collection_id))


def read_item(content: bytes, path: str) -> pystac.Item:
    """Return the item of a JSON file, with paths or URLs as `item_document` took them, without links to the collection.

    Raises:
        OptionError: It is not a STAC item.
    """
    make_item = import_extra("pystac", extra="collection", purpose="a STAC collection").Item.from_dict
    try:
        found = json.loads(content)
        found["links"] = [link for link in found["links"] if link["rel"] not in _STRUCTURAL]
        item: pystac.Item = make_item(found, preserve_dict=False)
    except Exception as error:  # (pystac raises anything for what is not an item)
        raise OptionError(f"{path!r} is not a STAC item: {error}") from error
    for asset in item.assets.values():
        asset.href = resolve_href(asset.href, folder_of(path))
    return item


def collection_documents(
    items: Mapping[str, pystac.Item],
    root: str,
    *,
    collection: pystac.Collection,
    steps: Mapping[str, str] | None = None,
    step_names: Sequence[str] | None = None,
    grid: Grid | None = None,
    index: bool = True,
) -> dict[str, bytes]:
    """Return the documents of a collection by their names in its folder.

    Args:
        items: Items by the paths or URLs of their JSON files.
        root: The folder of the collection.
        collection: What `georeader.stac.collection_of` returns.
        steps: Names of the items' steps in the index; see `georeader._collection.vrt.index_xml`.
        step_names: Names of all steps; those without items, too.
        grid: The grid of the index; by default the smallest one that covers all items.
        index: Whether there is an index.

    Raises:
        GeoreferenceError: The items do not have a common grid for the index.
    """
    rows = [_placed(item, root, root, collection.id) for item in items.values()]
    document = collection.to_dict(include_self_link=False, transform_hrefs=False)
    document["links"] = [_link("root", f"./{COLLECTION_FILE}", "application/json")]
    document["links"] += [
        _link("item", relative_href(path, root), "application/geo+json", item.id) for path, item in items.items()
    ]
    assets: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    if index:
        files[INDEX_FILE] = index_xml(items, root, steps=steps, step_names=step_names, grid=grid)
        assets["index"] = {"href": f"./{INDEX_FILE}", "type": "application/xml", "roles": ["index"]}
    items_asset = {"items": {"href": f"./{ITEMS_FILE}", "type": _PARQUET, "roles": ["collection-mirror"]}}
    own = document.get("assets", {})
    document["assets"] = items_asset | assets | own
    try:
        files = {ITEMS_FILE: parquet_bytes(rows, document)} | files
    except OptionError as error:
        warn_at_caller(f"there is no {ITEMS_FILE}: {error}", MetadataWarning)
        document["assets"] = assets | own
    return files | {COLLECTION_FILE: _as_json(document)}


def _placed(item: pystac.Item, folder: str, root: str, collection_id: str) -> dict[str, Any]:
    """Return an item as JSON that is in a folder."""
    found: dict[str, Any] = copy.deepcopy(item.to_dict(include_self_link=False, transform_hrefs=False))
    for asset in found["assets"].values():
        asset["href"] = relative_href(asset["href"], folder)
    to_collection = relative_href(path_in(root, COLLECTION_FILE), folder)
    own = [_link(rel, to_collection, "application/json") for rel in ("root", "parent", "collection")]
    found["links"] = own + [link for link in found["links"] if link["rel"] not in _STRUCTURAL]
    found["collection"] = collection_id
    return found


def _link(rel: str, href: str, media_type: str, title: str | None = None) -> dict[str, str]:
    return {"rel": rel, "href": href, "type": media_type} | ({} if title is None else {"title": title})


def _as_json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
