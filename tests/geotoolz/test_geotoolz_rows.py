"""Rows of a catalog: the same from a list, a frame, CSV, Parquet and STAC."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import geopandas
import pandas as pd
import pystac
import pytest
from shapely.geometry import Point

from georeader.errors import OptionError, ReadError
from geotoolz import RowError
from geotoolz._catalog.row_work import source_of
from geotoolz._catalog.rows import read_rows

ROWS = [{"path": "a.tif", "tile": "007"}, {"path": "b.tif", "tile": "T2"}]


def item(name: str, **assets: str) -> dict[str, Any]:
    return pystac.Item(
        name, {"type": "Point", "coordinates": [0, 1]}, [0, 1, 0, 1], datetime(2024, 5, 1, tzinfo=UTC),
        {"grid:code": "MGRS-32TQM"}, assets={key: pystac.Asset(href) for key, href in assets.items()}, collection="s2",
    ).to_dict(transform_hrefs=False)  # fmt: skip


def collection(*items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(items)}


def test_list_of_mappings_is_copied() -> None:
    rows = read_rows(iter(ROWS))

    assert rows == ROWS
    assert rows[0] is not ROWS[0]


def test_frame_rows_have_columns_and_named_index() -> None:
    frame = pd.DataFrame({"path": ["a.tif", "b.tif"], "n": [1, 2], "date": pd.to_datetime(["2024-05-01", None])})

    rows = read_rows(frame.set_index(pd.Index(["x", "y"], name="tile")))

    assert [row["tile"] for row in rows] == ["x", "y"]
    assert (rows[0]["path"], rows[0]["n"], rows[0]["date"]) == ("a.tif", 1, pd.Timestamp("2024-05-01"))
    assert list(read_rows(frame)[0]) == ["path", "n", "date"]


def test_geopandas_rows_have_geometries() -> None:
    frame = geopandas.GeoDataFrame({"path": ["a.tif"]}, geometry=[Point(1, 2)], crs=4326)

    assert read_rows(frame) == [{"path": "a.tif", "geometry": Point(1, 2)}]


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,path\na,b\n")

    for catalog in (pd.DataFrame([[1, 2]], columns=["path", "path"]), tmp_path / "a.csv"):
        with pytest.raises(RowError, match="columns of one name: path, path"):
            read_rows(catalog)


def test_csv_values_are_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes('\ufeffpath,tile,note\r\na.tif,007,"x, y\nz"\r\n\r\nb.tif,T2,\r\n'.encode())

    assert read_rows(tmp_path / "a.csv") == [
        {"path": "a.tif", "tile": "007", "note": "x, y\nz"},
        {"path": "b.tif", "tile": "T2", "note": ""},
    ]


def test_a_line_with_more_or_fewer_cells_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,tile\na.tif,1\nb.tif\n")

    with pytest.raises(RowError, match="line 3: 1 cells below 2 columns"):
        read_rows(str(tmp_path / "a.csv"))


def test_too_long_cell_is_an_error_with_advice(tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_text(f"path,outline\na.tif,{'x' * 140_000}\n")

    with pytest.raises(
        ReadError, match=r"long\.csv.* cannot be read: .*; leave that column out, or save .* as Parquet"
    ):
        read_rows(str(tmp_path / "long.csv"))


def test_parquet_values_keep_their_types(tmp_path: Path) -> None:
    frame = pd.DataFrame({"path": ["a.tif"], "n": [1], "at": pd.to_datetime(["2024-05-01"]).astype("datetime64[ns]")})
    frame.to_parquet(tmp_path / "a.parquet")

    assert read_rows(tmp_path / "a.parquet") == [{"path": "a.tif", "n": 1, "at": datetime(2024, 5, 1)}]


def test_geoparquet_geometries_are_wkb(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"path": ["a.tif"]}, geometry=[Point(1, 2)], crs=4326)
    frame.to_parquet(tmp_path / "a.geoparquet")

    assert read_rows(tmp_path / "a.geoparquet") == [{"path": "a.tif", "geometry": Point(1, 2).wkb}]


def test_a_catalog_may_be_a_url() -> None:
    with fsspec.open("memory://geotoolz/rows.csv", "wb") as file:
        file.write(b"path\na.tif\n")

    assert read_rows("memory://geotoolz/rows.csv") == [{"path": "a.tif"}]


def test_stac_items_are_the_same_rows_in_all_forms(tmp_path: Path) -> None:
    items = [item("A", B04="/data/a.tif"), item("B", B04="/data/b.tif")]
    (tmp_path / "a.json").write_text(json.dumps(collection(*items)))
    objects = pystac.ItemCollection(items)

    forms = [objects, list(objects), objects.to_dict(), items, tmp_path / "a.json"]

    rows = [read_rows(form) for form in forms]
    assert all(one == rows[0] for one in rows)
    assert [row["id"] for row in rows[0]] == ["A", "B"]
    first = rows[0][0]
    assert (first["datetime"], first["grid:code"], first["collection"]) == ("2024-05-01T00:00:00Z", "MGRS-32TQM", "s2")
    assert first["geometry"]["coordinates"] == [0, 1]
    assert first["assets"]["B04"]["href"] == "/data/a.tif"


def test_one_item_is_a_catalog_of_one_row() -> None:
    assert [row["id"] for row in read_rows(pystac.Item.from_dict(item("A")))] == ["A"]


@pytest.mark.parametrize(
    ("document", "href", "expected"),
    [
        ("https://host/items/A.json?x=1", "./B04.tif", "https://host/items/B04.tif"),
        ("s3://bucket/items/A.json", "../B04.tif", "s3://bucket/B04.tif"),
        ("s3://bucket/items/A.json", "https://host/B04.tif", "https://host/B04.tif"),
        ("/data/items/A.json", "B04.tif", "/data/items/B04.tif"),
        ("", "B04.tif", "B04.tif"),
    ],
)
def test_relative_links_of_assets_are_relative_to_the_item(document: str, href: str, expected: str) -> None:
    one = pystac.Item.from_dict(item("A", B04=href))
    if document:
        one.set_self_href(document)
        one.assets["B04"].href = href

    assert read_rows([one])[0]["assets"]["B04"]["href"] == expected


def test_relative_links_of_assets_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_text(json.dumps(collection(item("A", B04="tifs/B04.tif"))))

    assert read_rows(tmp_path / "a.geojson")[0]["assets"]["B04"]["href"] == str(tmp_path / "tifs/B04.tif")


def test_geojson_of_any_kind_and_lists_in_json_are_catalogs(tmp_path: Path) -> None:
    feature = {"type": "Feature", "id": 3, "properties": {"path": "a.tif"}, "geometry": None}
    (tmp_path / "a.geojson").write_text(json.dumps(collection(feature)))
    (tmp_path / "b.json").write_text(json.dumps(ROWS))

    assert read_rows(tmp_path / "a.geojson") == [{"path": "a.tif", "id": 3}]
    assert read_rows(tmp_path / "b.json") == ROWS


@pytest.mark.parametrize(
    ("catalog", "error", "message"),
    [
        (7, OptionError, "catalog is a int; pass a list of mappings"),
        (None, OptionError, "catalog is a NoneType"),
        (b"a.csv", OptionError, "catalog is a bytes"),
        ("rows.xlsx", OptionError, "ends with none of .csv"),
        ({"type": "Catalog", "id": "x"}, OptionError, "catalog is a Catalog, not a FeatureCollection"),
        ({"type": "FeatureCollection", "features": [{"type": "Point"}]}, RowError, r"features \[0\]"),
        (["a.tif"], RowError, "row 0 is a str; a row is a mapping"),
        ("missing.csv", ReadError, "'missing.csv': cannot be read"),
        ("memory://nowhere/a.csv?sig=secret99", ReadError, r"a.csv\?\*\*\*"),
    ],
)
def test_an_invalid_catalog_is_refused(catalog: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        read_rows(catalog)
    assert "secret99" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"), [("a.json", b"{"), ("a.csv", b"\xff\xfe"), ("a.parquet", b"PAR"), ("b.csv", b'a\n"b')]
)
def test_broken_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ReadError, match=name):
        read_rows(tmp_path / name)


STAC = {
    "id": "A",
    "assets": {"B04": {"href": "b4.tif", "roles": ["data"]}, "thumb": {"href": "t.png", "roles": ["thumbnail"]}},
}


@pytest.mark.parametrize(
    ("row", "path_field", "source"),
    [
        ({"path": "a.tif", "href": "b.tif"}, None, "a.tif"),
        ({"href": "b.tif"}, None, "b.tif"),
        ({"file": Path("c.tif")}, "file", "c.tif"),
        (STAC, None, "b4.tif"),
        (STAC, "thumb", "t.png"),
        ({"assets": {"only": {"href": "o.tif"}}}, None, "o.tif"),
        ({"red": "r.tif", "nir": "n.tif"}, ["red", "nir"], ["r.tif", "n.tif"]),
        ({"seed": 7}, "seed", 7),
    ],
)
def test_source_is_a_field_or_an_asset(row: dict[str, Any], path_field: Any, source: Any) -> None:
    assert source_of(row, path_field) == source


@pytest.mark.parametrize(
    ("row", "path_field", "message"),
    [
        ({"file": "a.tif"}, None, "no field names the raster; pass path_field, one of: file"),
        (STAC | {"assets": {"B04": {"href": "a"}, "B08": {"href": "b"}}}, None, r"B04 \(asset\), B08 \(asset\)"),
        (STAC, "B8", "field 'B8', which names the raster, is not there; the row's fields are: id, assets, B04"),
        ({"path": None}, None, "field 'path'.* has no value"),
        ({"path": float("nan")}, None, "has no value"),
        ({"path": ""}, "path", "has no value"),
    ],
)
def test_a_row_that_names_no_raster_raises_row_error(row: dict[str, Any], path_field: Any, message: str) -> None:
    with pytest.raises(RowError, match=message):
        source_of(row, path_field)


def test_nothing_optional_is_imported_before_it_is_used() -> None:
    optional = {"pandas", "geopandas", "pyarrow", "pystac", "shapely", "tqdm", "obstore", "aiohttp"}
    code = f"import sys, geotoolz; print({optional} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
