"""Rows of a catalog of any kind: each a dict of field to value.

Lists, CSV, JSON and STAC (1.0 and 1.1, Item Specification) need only the standard library and fsspec; Parquet is read
by pyarrow. Frames and pystac's objects are recognised by their attributes; their packages are not imported.
"""

from __future__ import annotations

import csv
import io
import json
import os
import posixpath
from collections.abc import Iterable, Mapping
from pathlib import PurePath, PurePosixPath
from typing import Any
from urllib.parse import urljoin

from georeader.errors import MissingExtraError, OptionError, ReadError
from georeader.storage import read_bytes, redact_url
from geotoolz.errors import RowError

Row = dict[str, Any]

_KINDS = (
    "a list of mappings, a pandas or geopandas frame, a STAC ItemCollection, or a path to CSV, Parquet or (Geo)JSON"
)


def read_rows(catalog: Any) -> list[Row]:
    """Return the rows of a catalog, in order; each a new dict. See `geotoolz.catalog_ops.CatalogPipeline`."""
    if isinstance(catalog, (str, os.PathLike)):
        return _read_file(os.fspath(catalog))
    if isinstance(catalog, Mapping):
        return _json_rows(catalog, "")
    if hasattr(catalog, "columns") and hasattr(catalog, "to_dict"):
        return _frame_rows(catalog)
    if _is_stac_object(catalog):
        return _object_rows(catalog)
    if isinstance(catalog, (bytes, type)) or not isinstance(catalog, Iterable):
        raise OptionError(f"catalog is a {type(catalog).__name__}; pass {_KINDS}")
    return _list_rows(catalog)


def _list_rows(entries: Iterable[Any]) -> list[Row]:
    rows: list[Row] = []
    for index, entry in enumerate(entries):
        if _is_stac_object(entry):
            rows += _object_rows(entry)
        elif _is_feature(entry):
            rows.append(feature_row(entry, ""))
        elif isinstance(entry, Mapping):
            rows.append({str(key): value for key, value in entry.items()})
        else:
            raise RowError(f"row {index} is a {type(entry).__name__}; a row is a mapping of field to value")
    return rows


def _frame_rows(frame: Any) -> list[Row]:
    """Return the rows of a frame; an index that has a name is a field, too."""
    named = [name for name in frame.index.names if name is not None and name not in frame.columns]
    frame = frame.reset_index(level=named) if named else frame
    columns = [str(column) for column in frame.columns]
    if len(set(columns)) < len(columns):
        raise RowError(f"the frame has columns of one name: {', '.join(columns)}; rename them")
    return [dict(zip(columns, values, strict=True)) for values in frame.itertuples(index=False, name=None)]


def _read_file(path: str) -> list[Row]:
    suffix = PurePosixPath(path.partition("?")[0] if "://" in path else path.replace("\\", "/")).suffix.lower()
    readers = {
        ".csv": _csv_rows, ".parquet": _parquet_rows, ".geoparquet": _parquet_rows, ".pq": _parquet_rows,
        ".json": _json_file_rows, ".geojson": _json_file_rows,
    }  # fmt: skip
    if suffix not in readers:
        raise OptionError(f"catalog={redact_url(path)!r} ends with none of {', '.join(readers)}; pass {_KINDS}")
    content = read_bytes(path)
    try:
        return readers[suffix](content, path)
    except (UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        hint = "; leave that column out, or save the catalog as Parquet" if "limit" in str(error) else ""
        raise ReadError(f"catalog {redact_url(path)!r} cannot be read: {error}{hint}") from error


def _csv_rows(content: bytes, path: str) -> list[Row]:
    """Read CSV with a header: all values are text, so that "007" stays what it is."""
    lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    header = next(lines, [])
    if len(set(header)) < len(header):
        raise RowError(f"catalog {redact_url(path)!r} has columns of one name: {', '.join(header)}; rename them")
    rows = []
    for cells in lines:
        if not cells:
            continue  # an empty line
        if len(cells) != len(header):
            raise RowError(
                f"catalog {redact_url(path)!r}, line {lines.line_num}: {len(cells)} cells below {len(header)} columns"
            )
        rows.append(dict(zip(header, cells, strict=True)))
    return rows


def _parquet_rows(content: bytes, path: str) -> list[Row]:
    """Read Parquet; a geometry (GeoParquet) stays WKB, times are in microseconds."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(
            "a catalog in Parquet needs pyarrow: pip install pyarrow (it comes with georeader-cog's extra 'catalog')"
        ) from error
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(content))
    except pyarrow.ArrowInvalid as error:
        raise ReadError(f"catalog {redact_url(path)!r} is not a Parquet file: {error}") from error

    def in_microseconds(kind: Any) -> Any:
        is_nanoseconds = pyarrow.types.is_timestamp(kind) and kind.unit == "ns"
        return pyarrow.timestamp("us", kind.tz) if is_nanoseconds else kind

    schema = pyarrow.schema([field.with_type(in_microseconds(field.type)) for field in table.schema])
    rows: list[Row] = table.cast(schema, safe=False).to_pylist()
    return rows


def _json_file_rows(content: bytes, path: str) -> list[Row]:
    document = json.loads(content)
    return _list_rows(document) if isinstance(document, list) else _json_rows(document, path)


def _json_rows(content: Any, path: str) -> list[Row]:
    """Return the rows of a GeoJSON FeatureCollection, which a STAC ItemCollection is, or of one feature."""
    if isinstance(content, Mapping) and content.get("type") == "FeatureCollection":
        features = content.get("features")
        wrong = [index for index, one in enumerate(features or ()) if not _is_feature(one)]
        if wrong:
            raise RowError(f"features {wrong[:5]} of the catalog are not GeoJSON features")
        return [feature_row(feature, path) for feature in features or ()]
    if _is_feature(content):
        return [feature_row(content, path)]
    kind = content.get("type", "mapping without a type") if isinstance(content, Mapping) else type(content).__name__
    raise OptionError(f"catalog is a {kind}, not a FeatureCollection of items; pass {_KINDS}")


def _is_feature(value: Any) -> bool:
    """Return whether something is a GeoJSON feature, as STAC items are."""
    return isinstance(value, Mapping) and value.get("type") == "Feature"


def _is_stac_object(value: Any) -> bool:
    """Return whether something is an Item or ItemCollection of pystac."""
    return (
        not isinstance(value, type)
        and callable(getattr(value, "to_dict", None))
        and ((hasattr(value, "assets") and hasattr(value, "properties")) or _is_collection(value))
    )


def _is_collection(value: Any) -> bool:
    return hasattr(value, "items") and hasattr(value, "extra_fields") and hasattr(value, "__iter__")


def _object_rows(value: Any) -> list[Row]:
    """Return the rows of an Item or ItemCollection of pystac."""
    return [
        feature_row(item.to_dict(include_self_link=False, transform_hrefs=False), item.get_self_href() or "")
        for item in (value if _is_collection(value) else [value])
    ]


def feature_row(feature: Mapping[str, Any], place: str) -> Row:
    """Return a GeoJSON feature as a row: its properties, and id, collection, geometry, bbox and assets.

    Links of assets are relative to the item's "self" link, or to `place`, the document's path or URL ("": unknown).

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
        row["assets"] = {
            name: {**asset, "href": _absolute(asset["href"], base)} if isinstance(asset.get("href"), str) else {**asset}
            for name, asset in assets.items()
            if isinstance(asset, Mapping)
        }
    return row


def _self_link(feature: Mapping[str, Any]) -> str:
    links = [link for link in feature.get("links") or () if isinstance(link, Mapping) and link.get("rel") == "self"]
    href = links[0].get("href") if links else ""
    return href if isinstance(href, str) and "://" in href else ""


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
