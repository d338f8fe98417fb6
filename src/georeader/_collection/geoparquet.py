"""Items as GeoParquet: a row for each item, a column for each of its properties.

pyarrow writes the table: rustac 0.9 (87 MB) cuts times to milliseconds and makes MultiPolygons of Polygons;
stac-geoparquet 0.8 refuses items without a geometry, and needs geopandas. Tests read the files by both.

References:
    STAC GeoParquet Specification 1.1.0; GeoParquet 1.1.0 (columns "geometry" and "bbox").
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from georeader._core.reporting import import_extra, warn_at_caller
from georeader.errors import MetadataWarning, OptionError

#: Properties that are times.
TIMES = (
    "datetime", "start_datetime", "end_datetime", "created", "updated", "published", "expires", "unpublished",
)  # fmt: skip

#: Columns that are not properties.
_COLUMNS = ("type", "stac_version", "stac_extensions", "id", "geometry", "bbox", "links", "assets", "collection")


def parquet_bytes(items: Sequence[Mapping[str, Any]], collection: Mapping[str, Any]) -> bytes:
    """Return the Parquet file of items, whose collection is kept in its metadata, both as JSON.

    A property that has values of several types is JSON text, with a MetadataWarning.

    Raises:
        OptionError: Another field has values of several types in the items.
    """
    arrow, parquet = (
        import_extra(module, extra="collection", purpose=f"{len(items)} items as GeoParquet")
        for module in ("pyarrow", "pyarrow.parquet")
    )
    columns = _columns(items)
    types = _types(arrow)
    arrays = {name: _column(arrow, name, values, types.get(name), items) for name, values in columns.items()}
    metadata = {"geo": _geo(items, columns), "stac-geoparquet": _stac(collection)}
    table = arrow.table(arrays).replace_schema_metadata({key: json.dumps(value) for key, value in metadata.items()})
    sink = arrow.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def check_types(properties: Sequence[Mapping[str, Any]]) -> None:
    """Raise OptionError if a property has values of several types in the items."""
    arrow = import_extra("pyarrow", extra="collection", purpose="items as GeoParquet")
    for name in dict.fromkeys(name for own in properties for name in own):
        values = [_plain(name, own.get(name)) for own in properties]
        try:
            _array(arrow, name, values, None)
        except OptionError as error:
            raise OptionError(f"property {error}; pass values of one type, such as text") from error


def _columns(items: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the values of each column."""
    lost = dict.fromkeys(name for item in items for name in item["properties"] if name in _COLUMNS)
    if lost:
        names = ", ".join(map(repr, lost))
        warn_at_caller(f"properties {names} are not in the Parquet file, which has such columns", MetadataWarning)
    rows = []
    for item in items:
        properties = {name: value for name, value in item["properties"].items() if name not in _COLUMNS}
        box = item.get("bbox")
        rows.append(
            {name: item.get(name) for name in _COLUMNS}
            | {name: _plain(name, value) for name, value in properties.items()}
            | {
                "geometry": _as_wkb(item["geometry"]),
                "bbox": box and dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)),
                "assets": {key: _plain("", asset) for key, asset in item["assets"].items()},
            }
        )
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}


def _plain(name: str, value: Any) -> Any:
    """Return a value as Parquet takes it: geometries as WKB, times as such, no structures without fields."""
    if name == "proj:geometry":
        return _as_wkb(value)
    if name in TIMES:
        return value and datetime.fromisoformat(value)
    if isinstance(value, Mapping):
        fields = {key: _plain(key if key == "proj:geometry" else "", one) for key, one in value.items()}
        return fields or None
    if isinstance(value, (list, tuple)):
        return [_plain("", one) for one in value]
    return value


def _as_wkb(geometry: Mapping[str, Any] | None) -> bytes | None:
    if geometry is None:
        return None
    shapely = import_extra("shapely", extra="collection", purpose="items as GeoParquet")
    binary: bytes = shapely.to_wkb(shapely.from_geojson(json.dumps(geometry)), flavor="iso")
    return binary


def _types(arrow: Any) -> dict[str, Any]:
    """Return the types of columns that are the same for all items, and cannot be inferred from no values."""
    text = arrow.string()
    links = arrow.list_(arrow.struct({"href": text, "rel": text, "type": text, "title": text}))
    box = arrow.struct(dict.fromkeys(("xmin", "ymin", "xmax", "ymax"), arrow.float64()))
    fixed = {"stac_extensions": arrow.list_(text), "geometry": arrow.binary(), "proj:geometry": arrow.binary()}
    times = dict.fromkeys(TIMES, arrow.timestamp("us", tz="UTC"))
    return {"bbox": box, "links": links, **fixed, **times}


def _column(arrow: Any, name: str, values: list[Any], kind: Any, items: Sequence[Mapping[str, Any]]) -> Any:
    """Return the values of a column; those of a property that has several types are JSON text."""
    try:
        return _array(arrow, name, values, kind)
    except OptionError as error:
        if kind is not None or name in _COLUMNS:
            raise
        warn_at_caller(f"{error}: they are JSON text in items.parquet", MetadataWarning)
        found = [item["properties"].get(name) for item in items]
        return arrow.array([None if value is None else json.dumps(value) for value in found], arrow.string())


def _array(arrow: Any, name: str, values: list[Any], kind: Any) -> Any:
    try:
        return arrow.array(values, kind)
    except (arrow.ArrowException, OverflowError) as error:
        raise OptionError(f"{name!r} has values of several types in the items: {error}") from error


def _geo(items: Sequence[Mapping[str, Any]], columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of GeoParquet; without a CRS, coordinates are longitude and latitude in WGS 84."""
    kinds = sorted({item["geometry"]["type"] for item in items if item["geometry"]})
    covering = {"bbox": {edge: ["bbox", edge] for edge in ("xmin", "ymin", "xmax", "ymax")}}
    found: dict[str, Any] = {"geometry": {"encoding": "WKB", "geometry_types": kinds, "covering": covering}}
    if "proj:geometry" in columns:
        found["proj:geometry"] = {"encoding": "WKB", "geometry_types": [], "crs": None}
    return {"version": "1.1.0", "primary_column": "geometry", "columns": found}


def _stac(collection: Mapping[str, Any]) -> dict[str, Any]:
    return {"version": "1.1.0", "collections": {collection["id"]: collection}}
