"""Documents of a collection: JSON of items and of the collection, and GeoParquet, in readers that others wrote."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow.parquet
import pystac
import pytest
import rustac
import stac_geoparquet.arrow
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from georeader import GeoTensor, save_cog
from georeader._collection.documents import collection_documents, item_document, read_item
from georeader._collection.geoparquet import parquet_bytes
from georeader._collection.hrefs import folder_of, relative_href, resolve_href
from georeader.errors import MetadataWarning, MissingExtraError, OptionError
from georeader.stac import collection_of, item_of
from saved_collections import Cube
from stac_validator import validating_offline

DAYS = [datetime(2024, 5, 1, 10, 30, 31, 123456, UTC), datetime(2024, 5, 6, tzinfo=UTC)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a collection."""
    root = tmp_path_factory.mktemp("collection")
    Cube().save(str(root))
    return root


@pytest.fixture
def make_item(tmp_path: Path) -> Any:
    """Return a function that saves a small raster somewhere and returns its item."""

    def make(day: int = 0, *, crs: Any = "EPSG:32630", left: float = 500000, **options: Any) -> pystac.Item:
        transform = options.pop("transform", Affine(10, 0, left, 0, -10, 4000000))
        options = {"dtype": "uint16", "nodata": 0, "names": ["B04"], "properties": None} | options
        values = np.ones((len(options["names"]), 20, 30), options["dtype"])
        tensor = GeoTensor(values, transform, crs, options["nodata"], {"acquired": DAYS[day]})
        receipt = save_cog(tensor, tmp_path / f"day{day}_{left:.0f}.tif", options["names"])
        return item_of(receipt, properties=options["properties"])

    return make


def documents_of(items: dict[str, pystac.Item], root: str = "root", **options: Any) -> dict[str, bytes]:
    collection = collection_of(items.values(), id="c", license="CC-BY-4.0")
    return collection_documents(items, root, collection=collection, **options)


class TestJson:
    def test_collection_and_its_items_are_valid_for_pystac(self, folder: Path) -> None:
        collection = pystac.Collection.from_file(str(folder / "collection.json"))

        with validating_offline():
            assert collection.validate_all() == 2

        assert [item.id for item in collection.get_items()] == ["20240501", "20240506"]

    def test_items_lead_to_their_files_and_their_collection(self, folder: Path) -> None:
        item = pystac.Item.from_file(str(folder / "20240506.json"))

        assert {key: asset.get_absolute_href() for key, asset in item.assets.items()} == {
            name: str(folder / f"20240506_{name}.tif") for name in ("B04", "ndvi")
        }
        assert (item.collection_id, item.get_collection().id, item.get_root().id) == ("cube", "cube", "cube")

    def test_every_link_is_relative(self, folder: Path) -> None:
        for path in folder.glob("*.json"):
            document = json.loads(path.read_text())
            hrefs = [link["href"] for link in [*document["links"], *document["assets"].values()]]
            assert len(hrefs) > 3
            assert all(href.startswith("./") for href in hrefs)

    def test_collection_that_was_moved_still_leads_to_its_files(self, folder: Path, tmp_path: Path) -> None:
        moved = tmp_path / "elsewhere"
        moved.mkdir()
        for path in folder.iterdir():
            (moved / path.name).write_bytes(path.read_bytes())

        items = pystac.Collection.from_file(str(moved / "collection.json")).get_items()

        hrefs = [asset.get_absolute_href() for item in items for asset in item.assets.values()]
        assert {str(Path(href).parent) for href in hrefs} == {str(moved)}

    @pytest.mark.parametrize("root", ["out", "s3://bucket/a b", "/data/out", "memory://out"])
    def test_item_in_a_subfolder_is_read_back_as_it_was(self, root: str, make_item: Any) -> None:
        item, path = make_item(), f"{root}/2024/05/item.json"
        item.assets["data"].href = f"{root}/2024/05/B04.tif"

        content = item_document(item, path, root, collection_id="c")

        assert json.loads(content)["assets"]["data"]["href"] == "./B04.tif"
        assert {link["href"] for link in json.loads(content)["links"]} == {"../../collection.json"}
        again = read_item(content, path)
        assert again.to_dict() == item.to_dict() | {"collection": "c"}
        assert again.assets["data"].href == f"{root}/2024/05/B04.tif"

    def test_items_of_the_caller_stay_as_they_are(self, make_item: Any) -> None:
        items = {f"root/{day}.json": make_item(day) for day in (0, 1)}
        earlier = json.dumps([item.to_dict() for item in items.values()])

        documents_of(items)

        assert json.dumps([item.to_dict() for item in items.values()]) == earlier

    def test_what_is_not_an_item_is_named(self) -> None:
        for content in (b"", b"[]", b'{"type": "Feature"}'):
            with pytest.raises(OptionError, match=r"'out/a\.json' is not a STAC item"):
                read_item(content, "out/a.json")


class TestHrefs:
    NAMES = st.text(st.characters(blacklist_characters="/\\\0:", blacklist_categories=("Cs",)), min_size=1, max_size=6)
    FOLDERS = st.lists(NAMES.filter(lambda name: name.strip(".")), max_size=3)

    @given(st.sampled_from(["", "/data/", "s3://bucket/", "https://host/"]), FOLDERS, FOLDERS, NAMES)
    def test_links_are_followed_back(self, start: str, folders: list[str], others: list[str], name: str) -> None:
        folder = start + "/".join(["root", *folders])
        path = start + "/".join(["root", *others, f"{name}.tif"])

        assert resolve_href(relative_href(path, folder), folder) == path

    @pytest.mark.parametrize(("path", "folder", "expected"), [
        ("a.tif", "", "./a.tif"), ("a.tif", ".", "./a.tif"), ("out/a.tif", "out/", "./a.tif"),
        ("s3://bucket/a.tif", "s3://bucket", "./a.tif"), ("s3://bucket/x/a.tif", "s3://bucket/y", "../x/a.tif"),
        ("s3://other/a.tif", "s3://bucket", "s3://other/a.tif"), ("file:///data/a.tif", "/data", "./a.tif"),
        ("s3://bucket/x//a%20?#.tif", "s3://bucket/x", ".//a%20?#.tif"), ("/a.tif", "/", "./a.tif"),
    ])  # fmt: skip
    def test_links_are_relative_where_they_can_be(self, path: str, folder: str, expected: str) -> None:
        assert relative_href(path, folder) == expected

    def test_folders_of_paths(self) -> None:
        assert [folder_of(path) for path in ("/a", "a", "b/a", "s3://b/a")] == ["/", "", "b", "s3://b"]


class TestCollectionOf:
    def test_extent_covers_all_times(self, make_item: Any) -> None:
        span = {"start_datetime": "2024-04-01T00:00:00Z", "end_datetime": "2024-07-01T00:00:00Z"}

        single = collection_of([make_item(0), make_item(1)], id="c")
        spans = collection_of([make_item(0), make_item(1, properties=span)], id="c")

        assert single.extent.temporal.intervals == [DAYS]
        assert spans.extent.to_dict()["temporal"]["interval"] == [list(span.values())]

    @pytest.mark.parametrize("lefts", [[700_000, 750_000], [750_000, 200_000]], ids=["crossing", "both sides"])
    def test_extent_crosses_the_antimeridian_as_items_do(self, lefts: list[int], make_item: Any) -> None:
        items = [
            make_item(number, crs=crs, transform=Affine(10_000, 0, left, 0, -10_000, 4_000_000))
            for number, (left, crs) in enumerate(zip(lefts, ["EPSG:32660", "EPSG:32601"], strict=True))
        ]

        (west, south, east, north), boxes = (
            collection_of(items, id="c").extent.spatial.bboxes[0],
            [item.bbox for item in items],
        )

        assert west > east
        assert (south, north) == (min(box[1] for box in boxes), max(box[3] for box in boxes))
        assert west == min(box[0] for box in boxes if box[0] > 0)

    @pytest.mark.filterwarnings("ignore:the CRS")
    def test_items_without_a_place_have_the_extent_of_the_earth_with_a_warning(self, make_item: Any) -> None:
        with pytest.warns(MetadataWarning, match="whole Earth") as caught:
            collection = collection_of([make_item(crs=None)], id="c")

        assert collection.extent.spatial.bboxes == [[-180, -90, 180, 90]]
        assert caught[0].filename == __file__

    def test_item_assets_have_what_is_equal_in_all_items(self, make_item: Any) -> None:
        items = [make_item(0, names=["red", "nir"]), make_item(1, names=["red", "nir"], nodata=7)]

        asset = collection_of(items, id="c").to_dict()["item_assets"]["data"]

        assert sorted(asset) == ["bands", "eo:bands", "roles", "type"]
        assert asset["bands"] == [{"name": "red"}, {"name": "nir"}]

    def test_summaries_have_crss_and_bands(self, make_item: Any) -> None:
        items = [make_item(0, names=["red"]), make_item(1, crs="EPSG:32631", names=["nir"])]
        items[1].assets = {"other": items[1].assets["data"]}

        collection = collection_of(items, id="c")

        assert collection.summaries.lists == {
            "proj:code": ["EPSG:32630", "EPSG:32631"], "bands": [{"name": "red"}, {"name": "nir"}]
        }  # fmt: skip
        with validating_offline():
            collection.validate()

    @pytest.mark.parametrize("kind", ["mapping", "self links", "ids"])
    def test_items_are_linked_to(self, kind: str, make_item: Any) -> None:
        item = make_item()
        if kind == "self links":
            item.set_self_href("/data/day0_500000.json")
        items = {"/data/day0_500000.json": item} if kind == "mapping" else [item]

        collection = collection_of(items, id="c", href=None if kind == "ids" else "/data/collection.json")

        (link,) = collection.get_links("item")
        assert (link.target, link.media_type, link.title) == ("./day0_500000.json", "application/geo+json", item.id)

    def test_what_is_not_a_collection_is_refused(self, make_item: Any) -> None:
        with pytest.raises(OptionError, match="needs one item at least"):
            collection_of([], id="c")
        with pytest.raises(OptionError, match="two items would be linked to by"):
            collection_of([make_item(), make_item()], id="c")


def tidy(item: dict[str, Any], *, is_by_rustac: bool = False) -> dict[str, Any]:
    """Return an item as both sides have it: readers add nulls, and write times and sequences in forms of their own.

    rustac 0.9 cuts times to milliseconds, and makes a MultiPolygon of each Polygon where one is.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items() if one is not None}
        return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value

    found = plain(item)
    when = datetime.fromisoformat(found["properties"]["datetime"])
    found["properties"]["datetime"] = when.isoformat(timespec="milliseconds" if is_by_rustac else "microseconds")
    if is_by_rustac and found["geometry"]["type"] == "Polygon":
        found["geometry"] = {"type": "MultiPolygon", "coordinates": [found["geometry"]["coordinates"]]}
    return found


def read_by_stac_geoparquet(path: Path) -> list[dict[str, Any]]:
    return list(stac_geoparquet.arrow.stac_table_to_items(pyarrow.parquet.read_table(path)))


def read_by_rustac(path: Path) -> list[dict[str, Any]]:
    return list(rustac.read_sync(str(path))["features"])


class TestParquet:
    @pytest.mark.parametrize("read", [read_by_stac_geoparquet, read_by_rustac])
    def test_other_readers_find_the_items(self, read: Any, make_item: Any, tmp_path: Path) -> None:
        items = {
            str(tmp_path / "0.json"): make_item(0, properties={"eo:cloud_cover": 3, "list": [1, 2], "empty": {}}),
            str(tmp_path / "1.json"): make_item(
                1, crs="EPSG:32660", transform=Affine(10_000, 0, 700_000, 0, -10_000, 4_000_000)
            ),
        }
        documents = documents_of(items, str(tmp_path), index=False)
        (tmp_path / "items.parquet").write_bytes(documents["items.parquet"])

        found = read(tmp_path / "items.parquet")

        expected = [json.loads(item_document(items[path], path, str(tmp_path), collection_id="c")) for path in items]
        expected[0]["properties"].pop("empty")  # Parquet has no structures without fields
        assert {item["geometry"]["type"] for item in expected} == {"Polygon", "MultiPolygon"}
        is_by_rustac = read is read_by_rustac
        assert [tidy(item, is_by_rustac=is_by_rustac) for item in found] == [
            tidy(item, is_by_rustac=is_by_rustac) for item in expected
        ]

    def test_geopandas_reads_it(self, folder: Path) -> None:
        frame = geopandas.read_parquet(folder / "items.parquet")

        assert frame.crs == "OGC:CRS84"
        assert list(frame["id"]) == ["20240501", "20240506"]
        assert frame["datetime"].iloc[1].to_pydatetime() == datetime(2024, 5, 6, tzinfo=UTC)
        bbox = json.loads((folder / "20240501.json").read_text())["bbox"]
        assert frame.geometry.iloc[0].bounds == pytest.approx(bbox)
        assert frame["assets"].iloc[0]["ndvi"]["href"] == "./20240501_ndvi.tif"
        near = geopandas.read_parquet(folder / "items.parquet", bbox=(-4, 36, -2, 37))  # by its column "bbox"
        far = geopandas.read_parquet(folder / "items.parquet", bbox=(4, 36, 5, 37))
        assert (len(near), len(far)) == (2, 0)

    def test_its_metadata_hold_the_collection(self, folder: Path) -> None:
        metadata = pyarrow.parquet.read_schema(folder / "items.parquet").metadata

        collection = json.loads((folder / "collection.json").read_text())
        assert json.loads(metadata[b"stac-geoparquet"]) == {"version": "1.1.0", "collections": {"cube": collection}}
        assert json.loads(metadata[b"geo"])["columns"]["geometry"]["geometry_types"] == ["Polygon"]

    @pytest.mark.filterwarnings("ignore:the CRS", "ignore:the collection's bounding box")
    def test_items_without_a_place_have_null_geometries(self, make_item: Any) -> None:
        documents = documents_of({"root/0.json": make_item(0, crs=None), "root/1.json": make_item(1)}, index=False)

        table = pyarrow.parquet.read_table(io.BytesIO(documents["items.parquet"]))

        assert table["geometry"].is_null().to_pylist() == table["bbox"].is_null().to_pylist() == [True, False]

    def test_times_keep_their_microseconds(self, make_item: Any) -> None:
        span = {"start_datetime": "1492-05-01T00:00:00.000001Z", "end_datetime": "2024-07-01T00:00:00+02:00"}

        content = documents_of({"root/0.json": make_item(), "root/1.json": make_item(1, properties=span)})

        table = pyarrow.parquet.read_table(io.BytesIO(content["items.parquet"]))
        assert table["datetime"].to_pylist() == [DAYS[0], None]
        starts, ends = table["start_datetime"].to_pylist(), table["end_datetime"].to_pylist()
        assert starts == [None, datetime(1492, 5, 1, 0, 0, 0, 1, UTC)]
        assert ends == [None, datetime(2024, 6, 30, 22, tzinfo=UTC)]

    def test_values_of_several_types_are_json_text_with_a_warning(self, make_item: Any) -> None:
        values = [1, "one", [2**70], None]
        items = {
            f"{number}.json": make_item(left=500000 + 300 * number, properties={"note": value})
            for number, value in enumerate(values)
        }

        with pytest.warns(MetadataWarning, match="'note' has values of several types.*are JSON text in items.parquet"):
            content = documents_of(items)["items.parquet"]

        table = pyarrow.parquet.read_table(io.BytesIO(content))
        assert table["note"].to_pylist() == ["1", '"one"', "[1180591620717411303424]", None]

    def test_assets_of_several_types_leave_the_other_documents(self, make_item: Any) -> None:
        items = {f"{day}.json": make_item(day) for day in range(2)}
        items["1.json"].assets["data"].extra_fields["raster:bands"][0]["nodata"] = "nan"

        with pytest.warns(MetadataWarning, match="there is no items.parquet: 'assets' has values of several types"):
            documents = documents_of(items)

        assert set(documents) == {"index.vrt", "collection.json"}
        assert set(json.loads(documents["collection.json"])["assets"]) == {"index"}

    def test_property_with_the_name_of_a_column_is_left_out_with_a_warning(self, make_item: Any) -> None:
        items = {f"root/{day}.json": make_item(day, properties={"links": "many"}) for day in range(2)}

        with pytest.warns(MetadataWarning, match="properties 'links' are not in the Parquet file") as caught:
            content = documents_of(items)["items.parquet"]

        assert len(caught) == 1
        assert len(pyarrow.parquet.read_table(io.BytesIO(content))["links"].to_pylist()[0]) == 3

    def test_same_items_make_the_same_bytes(self, folder: Path) -> None:
        rows = [json.loads((folder / f"{name}.json").read_text()) for name in ("20240501", "20240506")]
        collection = json.loads((folder / "collection.json").read_text())

        assert parquet_bytes(rows, collection) == (folder / "items.parquet").read_bytes()


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("package", ["pystac", "antimeridian", "shapely", "pyarrow"])
def test_missing_package_is_named_before_anything_is_written(
    package: str, index: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingExtraError, match=rf"needs {package}.*extra 'collection'"):
        Cube().save(str(tmp_path / "out"), index=index)

    assert list(tmp_path.iterdir()) == []
