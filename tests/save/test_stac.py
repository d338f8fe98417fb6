"""STAC items of receipts: validity, geometry and properties."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import shapely
from affine import Affine
from pystac.errors import STACValidationError
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from rasterio.warp import transform_bounds, transform_geom

from georeader import GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader._export.receipt.receipt import Receipt
from georeader.errors import MetadataWarning, MissingExtraError, OptionError
from georeader.stac import item_of
from stac_validator import offline_validator

#: Rows from south to north are meant here.
pytestmark = pytest.mark.filterwarnings("ignore::georeader.errors.LayoutWarning")

#: When the pixels of rasters here were taken, unless a test says otherwise.
TAKEN = datetime(2024, 5, 1, 10, 30, 31, tzinfo=UTC)


@pytest.fixture(scope="module")
def validator() -> JsonSchemaSTACValidator:
    return offline_validator()


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Receipt]:
    """Return a function that saves a raster of zeros and ones somewhere."""

    def run(
        crs: Any = "EPSG:32630",
        transform: Affine = Affine(10, 0, 500000, 0, -10, 4000000),  # noqa: B008
        shape: tuple[int, int, int] = (2, 40, 50),
        dtype: str = "uint8",
        nodata: Any = None,
        function: Any = save_cog,
        attrs: Any = None,
        **options: Any,
    ) -> Receipt:
        values = (np.arange(math.prod(shape)).reshape(shape) % 2).astype(dtype)
        attrs = {"acquired": TAKEN} | (attrs or {})
        tensor = GeoTensor(values, transform, crs, fill_value_default=nodata, attrs=attrs)
        return function(tensor, tmp_path / "scene.v2.tif", **options)

    return run


def area_of(item: pystac.Item) -> float:
    return shapely.from_geojson(json.dumps(item.geometry)).area


@pytest.mark.filterwarnings("ignore:the CRS")
@pytest.mark.parametrize("options", [
    {}, {"function": save_tiled_geotiff}, {"dtype": "float32", "nodata": np.nan},
    {"dtype": "float64", "nodata": np.inf}, {"dtype": "float32", "nodata": -np.inf},
    {"dtype": "int64", "nodata": -(2**63)}, {"dtype": "complex64"},
    {"crs": None, "transform": Affine.identity()}, {"crs": None},
    {"crs": "+proj=laea +lat_0=52 +lon_0=10 +datum=WGS84"},
    {"crs": "EPSG:32660", "transform": Affine(10000, 0, 600000, 0, -10000, 4000000)}, {"engine": "gdal"},
    {"profile_arg": {"STATISTICS": "YES"}}, {"profile_arg": {"STATISTICS": "YES"}, "dtype": "int16", "nodata": 1},
    {"profile_arg": {"TILING_SCHEME": "GoogleMapsCompatible", "STATISTICS": "YES"}},
    {"attrs": {"descriptions": ["red", None], "units": [None, "K"], "scales": [0.1, 1], "offsets": [-1, 0]}},
], ids=lambda options: "-".join(f"{key}={getattr(value, '__name__', value)}" for key, value in options.items()),
)  # fmt: skip
def test_item_is_valid_for_pystac(options: dict[str, Any], save: Any, validator: JsonSchemaSTACValidator) -> None:
    item = save(**options).to_stac()

    used = item.validate(validator)

    names = {uri.split("/")[-3] for uri in used[1:]}
    assert names - {"eo"} == {"file", "projection", "raster"}
    assert ("eo" in names) == any(item.assets["data"].extra_fields.get("bands", []))
    again = pystac.Item.from_dict(json.loads(json.dumps(item.to_dict(), allow_nan=False)))
    assert again.to_dict() == item.to_dict()


@pytest.mark.parametrize(("where", "name", "value"), [
    ("properties", "proj:shape", [40]), ("properties", "proj:transform", [1, 2]), ("properties", "proj:epsg", 32630),
    ("asset", "file:size", -1), ("asset", "file:checksum", "crc32:00"), ("asset", "raster:bands", []),
    ("asset", "raster:bands", [{"nodata": "none"}]), ("asset", "raster:bands", [{"statistics": {"mean": "nan"}}]),
    ("asset", "raster:bands", [{"data_type": "complex64"}]),
])  # fmt: skip
def test_schemas_refuse_invalid_items(
    where: str, name: str, value: Any, save: Any, validator: JsonSchemaSTACValidator
) -> None:
    item = save().to_stac()
    fields = item.properties if where == "properties" else item.assets["data"].extra_fields
    fields[name] = value

    with pytest.raises(STACValidationError):
        item.validate(validator)


def test_item_has_the_grid(save: Any) -> None:
    item = save().to_stac()

    assert item.properties["proj:code"] == "EPSG:32630"
    assert item.properties["proj:shape"] == [40, 50]
    assert item.properties["proj:transform"] == [10, 0, 500000, 0, -10, 4000000]
    assert item.properties["proj:bbox"] == [500000, 3999600, 500500, 4000000]
    assert shapely.from_geojson(json.dumps(item.properties["proj:geometry"])).equals(
        shapely.box(500000, 3999600, 500500, 4000000)
    )
    assert "proj:wkt2" not in item.properties
    assert item.bbox == pytest.approx(transform_bounds("EPSG:32630", "EPSG:4326", 500000, 3999600, 500500, 4000000))


def test_crs_without_a_code_is_written_as_wkt2(save: Any) -> None:
    crs = "+proj=laea +lat_0=52 +lon_0=10 +datum=WGS84"

    item = save(crs=crs).to_stac()

    assert "proj:code" not in item.properties
    assert item.properties["proj:wkt2"].startswith("PROJCRS[")
    assert rasterio.CRS.from_wkt(item.properties["proj:wkt2"]) == rasterio.CRS.from_string(crs)


def test_item_has_the_file(save: Any, tmp_path: Path) -> None:
    receipt = save()
    item = receipt.to_stac()

    asset = item.assets["data"]
    assert (item.id, asset.href, asset.roles) == ("scene.v2", str(tmp_path / "scene.v2.tif"), ["data"])
    assert asset.media_type == "image/tiff; application=geotiff; profile=cloud-optimized"
    assert asset.extra_fields["file:size"] == receipt.size_bytes
    # A multihash: 0x0132 as a varint, 4 bytes, and these.
    assert asset.extra_fields["file:checksum"] == "b20204" + receipt.checksum.removeprefix("crc32:")
    assert save(function=save_tiled_geotiff).to_stac().assets["data"].media_type == "image/tiff; application=geotiff"


def test_item_has_the_bands(save: Any) -> None:
    attrs = {"descriptions": ["red", None], "units": [None, "K"], "scales": [0.1, 1], "offsets": [-1, 0]}

    asset = save(dtype="int16", nodata=-1, attrs=attrs, profile_arg={"STATISTICS": "YES"}).to_stac().assets["data"]

    red, heat = asset.extra_fields["raster:bands"]
    assert {
        "nodata": -1,
        "data_type": "int16",
        "spatial_resolution": 10.0,
        "scale": 0.1,
        "offset": -1,
    }.items() <= red.items()
    assert red["statistics"] == {"minimum": 0, "maximum": 1, "mean": 0.5, "stddev": 0.5, "valid_percent": 100}
    assert (heat["unit"], "scale" in heat, "unit" in red) == ("K", False, False)
    assert asset.extra_fields["bands"] == [{"name": "red"}, {}]


@pytest.mark.parametrize(("dtype", "nodata", "expected"), [
    ("float32", np.nan, "nan"), ("float64", np.inf, "inf"), ("float64", -np.inf, "-inf"), ("uint8", 7, 7),
    ("int64", -(2**63), -(2**63)), ("uint8", None, None),
])  # fmt: skip
def test_nodata_is_a_number_or_its_name(dtype: str, nodata: Any, expected: Any, save: Any) -> None:
    band = save(dtype=dtype, nodata=nodata).to_stac().assets["data"].extra_fields["raster:bands"][0]

    assert band.get("nodata") == expected


def test_non_finite_numbers_are_left_out_of_statistics(save: Any) -> None:
    receipt = save(profile_arg={"STATISTICS": "YES"})
    odd = replace(receipt.statistics[0], maximum=math.inf, mean=math.nan)

    asset = replace(receipt, statistics=(odd, odd)).to_stac().assets["data"]

    assert set(asset.extra_fields["raster:bands"][0]["statistics"]) == {"minimum", "stddev", "valid_percent"}


@pytest.mark.parametrize(("crs", "transform", "metres"), [
    ("EPSG:32630", Affine(10, 0, 500000, 0, -10, 4000000), 10),
    ("EPSG:32630", Affine(10, 0, 500000, 0, -10, 4000000) @ Affine.rotation(30), 10),
    ("EPSG:2227", Affine(30, 0, 6000000, 0, -30, 2100000), 30 * 1200 / 3937),  # US survey feet
    ("EPSG:4326", Affine(0.01, 0, 10, 0, -0.01, 0.2), 1112),
    ("EPSG:4326", Affine(0.01, 0, 10, 0, -0.01, 60.2), 1112 * math.sqrt(0.5)),
    (None, Affine(10, 0, 500000, 0, -10, 4000000), None),
])  # fmt: skip
def test_the_resolution_is_in_metres(crs: Any, transform: Affine, metres: float | None, save: Any) -> None:
    band = save(crs=crs, transform=transform).to_stac().assets["data"].extra_fields["raster:bands"][0]

    assert band.get("spatial_resolution") == (None if metres is None else pytest.approx(metres, rel=1e-4))


class TestGeometry:
    def test_a_small_grid_has_four_corners(self, save: Any) -> None:
        geometry = save().to_stac().geometry

        assert (geometry["type"], len(geometry["coordinates"][0])) == ("Polygon", 5)

    def test_long_edges_follow_the_projection(self, save: Any) -> None:
        item = save("EPSG:3035", Affine(10_000, 0, 2_600_000, 0, -10_000, 5_400_000), (1, 400, 400)).to_stac()

        outline = shapely.segmentize(shapely.box(2_600_000, 1_400_000, 6_600_000, 5_400_000), 1000)
        geometry = transform_geom("EPSG:3035", "EPSG:4326", shapely.geometry.mapping(outline))
        expected = shapely.from_geojson(json.dumps(geometry))
        found = shapely.from_geojson(json.dumps(item.geometry))
        assert found.symmetric_difference(expected).area < 2e-3 * expected.area
        assert len(item.geometry["coordinates"][0]) < 100

    def test_rotated_grid_is_not_a_box(self, save: Any) -> None:
        transform = Affine(10, 0, 500000, 0, -10, 4000000) @ Affine.rotation(30)

        item = save(transform=transform).to_stac()

        (west, south), (east, north) = item.bbox[:2], item.bbox[2:]
        assert area_of(item) < 0.7 * (east - west) * (north - south)

    @pytest.mark.parametrize("transform", [
        Affine(10, 0, 500000, 0, -10, 4000000), Affine(10, 0, 500000, 0, 10, 4000000),
        Affine(-10, 0, 500000, 0, -10, 4000000), Affine(0, 10, 500000, 10, 0, 4000000),
    ], ids=str)  # fmt: skip
    def test_rings_are_counterclockwise_for_any_orientation(self, transform: Affine, save: Any) -> None:
        item = save(transform=transform).to_stac()

        for geometry in (item.geometry, item.properties["proj:geometry"]):
            assert shapely.LinearRing(geometry["coordinates"][0]).is_ccw

    @pytest.mark.parametrize(("crs", "transform", "shape"), [
        ("EPSG:32660", Affine(100, 0, 700000, 0, -100, 4000000), (1, 1000, 1000)),
        ("EPSG:32701", Affine(300, 0, 200000, 0, -300, 7000000), (1, 1000, 1000)),
        ("EPSG:3460", Affine(3000, 0, 1900000, 0, -3000, 4000000), (1, 100, 100)),
        ("EPSG:4326", Affine(0.1, 0, 170, 0, -0.1, 10), (1, 100, 200)),
        ("EPSG:4326", Affine(0.1, 0, -190, 0, 0.1, 10), (1, 100, 200)),
    ])  # fmt: skip
    def test_geometry_across_the_antimeridian_has_two_parts(
        self, crs: str, transform: Affine, shape: tuple[int, int, int], save: Any, validator: JsonSchemaSTACValidator
    ) -> None:
        item = save(crs, transform, shape).to_stac()

        item.validate(validator)
        assert item.geometry["type"] == "MultiPolygon"
        (west, south, east, north), geometry = item.bbox, shapely.from_geojson(json.dumps(item.geometry))
        assert west > east
        assert -90 <= south < north <= 90
        assert geometry.is_valid
        assert sorted(part.bounds[::2] for part in geometry.geoms) == [(-180, east), (west, 180)]

    @pytest.mark.parametrize("left", [-180, 0, -0.5, 90], ids=str)
    def test_grid_around_the_earth_covers_all_longitudes(self, left: float, save: Any) -> None:
        item = save("EPSG:4326", Affine(1, 0, left, 0, -1, 90), (1, 180, 360)).to_stac()

        assert (item.geometry["type"], item.bbox) == ("Polygon", [-180, -90, 180, 90])
        assert area_of(item) == 360 * 180

    def test_grid_with_pixels_centred_on_the_poles_ends_at_90_degrees(self, save: Any) -> None:
        item = save("EPSG:4326", Affine(0.25, 0, -0.125, 0, -0.25, 90.125), (1, 721, 1440)).to_stac()

        assert item.bbox == [-180, -90, 180, 90]

    @pytest.mark.parametrize(("crs", "pole"), [("EPSG:3413", 90), ("EPSG:3031", -90)])
    def test_grid_around_a_pole_includes_it(self, crs: str, pole: int, save: Any) -> None:
        item = save(crs, Affine(50_000, 0, -2_500_000, 0, -50_000, 2_500_000), (1, 100, 100)).to_stac()

        assert item.bbox[0::2] == [-180, 180]
        assert pole in item.bbox
        assert shapely.from_geojson(json.dumps(item.geometry)).is_valid

    @pytest.mark.filterwarnings("ignore:the CRS")
    @pytest.mark.parametrize("crs", [None, "+proj=longlat +R=1737400", 'LOCAL_CS["here",UNIT["metre",1]]'])
    def test_geometry_is_none_without_a_crs(self, crs: Any, save: Any, validator: JsonSchemaSTACValidator) -> None:
        item = save(crs, Affine(1, 0, 5, 0, -1, 5)).to_stac()

        item.validate(validator)
        assert (item.geometry, item.bbox) == (None, None)
        assert item.properties["proj:transform"] == [1, 0, 5, 0, -1, 5]

    def test_geometry_is_none_for_a_disk_with_corners_in_space(self, save: Any) -> None:
        disk = "+proj=geos +h=35785831 +lon_0=0 +sweep=y"

        item = save(disk, Affine(111_375, 0, -5_568_748, 0, -111_375, 5_568_748), (1, 100, 100)).to_stac()

        assert item.geometry is None

    def test_raster_without_georeference_has_its_shape_only(self, save: Any) -> None:
        item = save(None, Affine.identity()).to_stac()

        assert [name for name in item.properties if name.startswith("proj:")] == ["proj:shape"]


class TestArguments:
    @pytest.mark.parametrize("engine", ["stream", "gdal"])
    @pytest.mark.parametrize(
        ("attrs", "tags"),
        [
            ({"acquired": TAKEN}, None),
            ({"acquired": TAKEN.replace(tzinfo=None)}, None),
            (
                {"acquired": TAKEN.astimezone(timezone(timedelta(hours=-7)))},
                {"TIFFTAG_DATETIME": "2020:01:01 00:00:00"},
            ),
            ({"acquired": None, "tags": {"TIFFTAG_DATETIME": "2024:05:01 10:30:31"}}, None),
            ({"acquired": None}, {"TIFFTAG_DATETIME": "2024:05:01 10:30:31"}),
            ({"acquired": None}, {"AcquisitionDateTime": "20240501T103031Z"}),
            (
                {"acquired": "May"},
                {"ACQUISITIONDATETIME": "2024-05-01 10:30:31", "TIFFTAG_DATETIME": "2025:05:01 00:00:00"},
            ),
            ({"acquired": None}, {"ACQUISITIONDATETIME": "2024-05-01T12:30:31+02:00"}),
            ({"acquired": None}, {"ACQUISITIONDATETIME": "in May", "TIFFTAG_DATETIME": "2024:05:01 10:30:31"}),
        ],
    )
    def test_datetime_is_that_of_the_tags(self, attrs: Any, tags: Any, engine: str, save: Any) -> None:
        receipt = save(attrs=attrs, tags=tags, engine=engine)

        assert receipt.acquired == receipt.to_stac().datetime == TAKEN
        assert receipt.to_dict()["acquired"] == "2024-05-01T10:30:31+00:00"
        created = receipt.to_stac().assets["data"].common_metadata.created
        assert abs(created - receipt.finished) < timedelta(seconds=1)

    @pytest.mark.parametrize("kind", ["path", "reader", "reader of a window", "loaded", "dataset"])
    def test_datetime_is_that_of_the_imagery_domain(self, kind: str, save: Any, tmp_path: Path) -> None:
        path = tmp_path / "in.tif"
        profile = {"driver": "GTiff", "width": 30, "height": 20, "count": 1, "dtype": "uint8", "crs": "EPSG:32630"}
        with rasterio.open(path, "w", **profile, transform=Affine(10, 0, 500000, 0, -10, 4000000)) as dataset:
            dataset.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2024-05-01 10:30:31")
            dataset.write(np.ones((1, 20, 30), "uint8"))
        reader = RasterioReader(path)
        sources = {"path": str(path), "reader": reader, "reader of a window": reader.isel({"x": slice(0, 9)})}
        with rasterio.open(path) as dataset:
            source = {**sources, "loaded": reader.load(), "dataset": dataset}[kind]
            receipt = save_cog(source, tmp_path / "out.tif")

        assert receipt.to_stac().datetime == TAKEN

    @pytest.mark.parametrize(
        "tags", [None, {"TIFFTAG_DATETIME": "yesterday"}, {"TIFFTAG_DATETIME": "2024:13:45 10:00:00"}], ids=str
    )
    def test_datetime_is_the_time_of_saving_with_a_warning_otherwise(self, tags: Any, save: Any) -> None:
        receipt = save(attrs={"acquired": None}, tags=tags)

        with pytest.warns(MetadataWarning, match=r"datetime is the time of the save.*; pass datetime=") as caught:
            item = receipt.to_stac()

        assert (receipt.acquired, item.datetime) == (None, receipt.finished)
        assert caught[0].filename == __file__

    def test_arguments_override_fields_of_the_item(self, save: Any) -> None:
        when, properties = datetime(2024, 5, 1, tzinfo=UTC), {"eo:cloud_cover": 3}

        item = save().to_stac(
            id="me", datetime=when, asset_key="ndvi", href="https://example.org/a.tif", properties=properties
        )

        assert (item.id, item.datetime, list(item.assets)) == ("me", when, ["ndvi"])
        assert item.assets["ndvi"].href == "https://example.org/a.tif"
        assert item.properties["eo:cloud_cover"] == 3
        assert properties == {"eo:cloud_cover": 3}

    def test_time_span_has_a_null_datetime(self, save: Any, validator: JsonSchemaSTACValidator) -> None:
        span = {"start_datetime": "2024-05-01T00:00:00Z", "end_datetime": "2024-06-01T00:00:00Z"}

        item = save().to_stac(properties=span)

        item.validate(validator)
        assert (item.datetime, item.properties["end_datetime"]) == (None, span["end_datetime"])

    @pytest.mark.parametrize(("path", "href", "name"), [
        ("https://host/a/ndvi.tif?***", "https://host/a/ndvi.tif", "ndvi"),
        ("https://***@host/ndvi.tif", "https://host/ndvi.tif", "ndvi"),
        ("s3://bucket/2024/ndvi.tif", "s3://bucket/2024/ndvi.tif", "ndvi"),
        ("C:\\data\\ndvi.tif", "C:/data/ndvi.tif", "ndvi"),
        ("no_suffix", "no_suffix", "no_suffix"),
    ])  # fmt: skip
    def test_links_have_no_secrets(self, path: str, href: str, name: str, save: Any) -> None:
        item = replace(save(), path=path).to_stac()

        assert (item.assets["data"].href, item.id) == (href, name)

    def test_receipt_of_a_file_object_needs_an_href(self) -> None:
        tensor = GeoTensor(np.zeros((4, 5), "uint8"), Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630", 0)
        receipt = save_cog(tensor, BytesIO())

        with pytest.raises(OptionError, match="pass href="):
            receipt.to_stac(datetime=TAKEN)

        assert receipt.to_stac(href="https://host/a.tif", datetime=TAKEN).id == "a"

    def test_missing_pystac_is_an_error_with_the_extra(self, save: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        receipt = save()
        monkeypatch.setitem(sys.modules, "pystac", None)

        with pytest.raises(MissingExtraError, match="extra 'stac'"):
            receipt.to_stac()


@pytest.mark.parametrize(
    "taken", ["2024-05-01", date(2024, 5, 1), np.datetime64("2024-05-01")], ids=["text", "date", "numpy"]
)
def test_invalid_datetime_is_refused(taken: Any, save: Any) -> None:
    with pytest.raises(OptionError, match=r"pass a datetime\.datetime"):
        save().to_stac(datetime=taken)


def test_datetime_in_properties_is_refused(save: Any) -> None:
    with pytest.raises(OptionError, match="pass datetime="):
        save().to_stac(properties={"datetime": "2024-05-01T00:00:00Z"})


def test_time_span_is_written_as_json_text(save: Any) -> None:
    span = {"start_datetime": datetime(2024, 5, 1, tzinfo=UTC), "end_datetime": datetime(2024, 6, 1, tzinfo=UTC)}

    expected = json.loads(json.dumps(save().to_stac(properties=span).to_dict()))["properties"]

    assert (expected["datetime"], expected["start_datetime"]) == (None, "2024-05-01T00:00:00Z")


@pytest.mark.parametrize("crs", ["EPSG:4978", "EPSG:4936"])
def test_geocentric_crs_has_no_geometry(crs: str, save: Any) -> None:
    item = save(crs=crs).to_stac()
    assert (item.geometry, item.bbox) == (None, None)


class TestSeveralFiles:
    """One item with a file for each band."""

    @pytest.fixture
    def bands(self, tmp_path: Path) -> dict[str, Receipt]:
        """Red and infrared of 10 m, water vapour of 60 m, on one extent."""
        found = {}
        for name, side_px, step in (("B04", 60, 10), ("B08", 60, 10), ("B09", 10, 60)):
            values = np.full((side_px, side_px), len(found) + 1, "uint16")
            tensor = GeoTensor(values, Affine(step, 0, 500000, 0, -step, 4000000), 32630, fill_value_default=0)
            tags = {"TIFFTAG_DATETIME": "2024:05:01 10:30:31"}
            found[name] = save_cog(tensor, tmp_path / f"scene-{name}.tif", [name], tags)
        return found

    @pytest.mark.parametrize("as_list", [False, True])
    def test_each_file_is_an_asset_of_one_item(
        self, as_list: bool, bands: dict[str, Receipt], validator: JsonSchemaSTACValidator
    ) -> None:
        item = item_of(list(bands.values()) if as_list else bands, id="scene")

        item.validate(validator)
        assert [(key, asset.href) for key, asset in item.assets.items()] == [(k, one.path) for k, one in bands.items()]
        assert (item.id, item.datetime) == ("scene", TAKEN)
        # What they share is said of the item, what they do not of each asset.
        assert item.properties["proj:code"] == "EPSG:32630"
        assert item.properties["proj:bbox"] == [500000, 3999400, 500600, 4000000]
        assert "proj:shape" not in item.properties
        assert [asset.extra_fields["proj:shape"] for asset in item.assets.values()] == [[60, 60], [60, 60], [10, 10]]
        assert [asset.extra_fields["file:size"] for asset in item.assets.values()] == [
            one.size_bytes for one in bands.values()
        ]
        again = pystac.Item.from_dict(json.loads(json.dumps(item.to_dict(), allow_nan=False)))
        assert again.to_dict() == item.to_dict()

    def test_common_grid_is_written_once(self, bands: dict[str, Receipt]) -> None:
        item = item_of({name: bands[name] for name in ("B04", "B08")}, id="scene")

        assert item.properties["proj:shape"] == [60, 60]
        assert not any(name.startswith("proj:") for asset in item.assets.values() for name in asset.extra_fields)
        assert item.geometry == bands["B04"].to_stac().geometry

    def test_geometry_of_several_grids_is_their_union(self, bands: dict[str, Receipt]) -> None:
        other = replace(bands["B08"], transform=Affine(10, 0, 500600, 0, -10, 4000000))

        item = item_of({"west": bands["B04"], "east": other}, id="scene")

        west, east = bands["B04"].to_stac(), other.to_stac()
        assert area_of(item) == pytest.approx(area_of(west) + area_of(east), rel=1e-3)
        assert item.bbox == pytest.approx([west.bbox[0], west.bbox[1], east.bbox[2], east.bbox[3]], abs=1e-5)

    @pytest.mark.parametrize(
        ("lefts", "bbox"),
        [
            ((179.5, 179.2), [179.2, -179.5]),
            ((-170, 170), [-170, 171]),
            ((179.5, 170), [170, -179.5]),
            ((179.5, -170), [179.5, -169]),
            ((10, 20), [10, 21]),
        ],
    )
    def test_bbox_of_several_crosses_the_antimeridian_if_one_does(
        self,
        lefts: tuple[float, float],
        bbox: list[float],
        bands: dict[str, Receipt],
        validator: JsonSchemaSTACValidator,
    ) -> None:
        crs = rasterio.CRS.from_epsg(4326).to_wkt()
        grids = [Affine(1 / 60, 0, left, 0, -1 / 60, 10) for left in lefts]
        files = {str(grid.c): replace(bands["B04"], crs_wkt=crs, transform=grid) for grid in grids}

        item = item_of(files, id="scene")

        item.validate(validator)
        assert item.bbox[::2] == pytest.approx(bbox, abs=1e-6)

    def test_different_times_become_a_span(self, bands: dict[str, Receipt], validator: JsonSchemaSTACValidator) -> None:
        later = replace(bands["B08"], acquired=TAKEN + timedelta(seconds=2))
        unknown = replace(bands["B09"], acquired=None)

        item = item_of({"a": later, "b": bands["B04"], "c": unknown}, id="scene")

        item.validate(validator)
        assert item.datetime is None
        assert item.properties["start_datetime"] == "2024-05-01T10:30:31Z"
        assert item.properties["end_datetime"] == "2024-05-01T10:30:33Z"
        assert item_of({"a": later, "b": bands["B04"]}, id="scene", datetime=TAKEN).datetime == TAKEN

    def test_hrefs_are_by_asset(self, bands: dict[str, Receipt]) -> None:
        item = item_of(bands, id="scene", href={"B04": "https://host/B04.tif"})

        assert item.assets["B04"].href == "https://host/B04.tif"
        assert item.assets["B08"].href == bands["B08"].path

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "an item of 3 files has no default id; pass id="),
            ({"id": "a", "href": "https://host/a.tif"}, "is one link for 3 files; pass a mapping"),
            ({"id": "a", "href": {"B05": "b5.tif"}}, "href has links of 'B05'; the assets are B04, B08, B09"),
        ],
    )
    def test_missing_arguments_for_several_files_are_errors(
        self, arguments: dict[str, Any], message: str, bands: dict[str, Receipt]
    ) -> None:
        with pytest.raises(OptionError, match=message):
            item_of(bands, **arguments)

    @pytest.mark.parametrize(("receipts", "message"), [
        ([], "receipts must be what save_cog returns, got none"),
        ({}, "receipts must be what save_cog returns, got none"),
        (["a.tif"], "receipts must be what save_cog returns, got str"),
        ({"a": None}, "receipts must be what save_cog returns, got NoneType"),
        (7, "receipts must be what save_cog returns, got int"),
    ])  # fmt: skip
    def test_objects_other_than_receipts_are_refused(self, receipts: Any, message: str) -> None:
        with pytest.raises(OptionError, match=message):
            item_of(receipts, id="a")

    def test_a_list_with_one_name_twice_is_refused(self, bands: dict[str, Receipt]) -> None:
        with pytest.raises(OptionError, match="two assets would be called 'B04'"):
            item_of([bands["B04"], bands["B04"]], id="a")
