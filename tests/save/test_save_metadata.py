"""Descriptions, tags, CRS, transform and metadata of the source are read back."""

from __future__ import annotations

import datetime
import xml.dom.minidom
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from georeader import CogWriter, GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader._tiff.directories import TagNumber
from georeader._tiff.parser import read_first_tags
from georeader.errors import GeoreferenceError, MetadataError, MetadataWarning, ReadError

#: Rows from south to north are meant here.
pytestmark = pytest.mark.filterwarnings("ignore::georeader.errors.LayoutWarning")

PLACE = (Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630")

#: A projection that no EPSG code stands for.
CUSTOM_WKT = CRS.from_proj4("+proj=laea +lat_0=12.3 +lon_0=-4.5 +x_0=1000 +y_0=2000 +ellps=GRS80 +units=m").to_wkt()

both = pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])


@both
def test_descriptions_are_read_back(save: Any, make_tensor: Any, tmp_path: Path) -> None:
    names = ["Red", "Próximo infrarrojo ☀", None]

    save(make_tensor((3, 300, 300)), tmp_path / "out.tif", descriptions=names)

    assert RasterioReader(tmp_path / "out.tif").descriptions == names


@both
def test_tags_of_any_scalar_type_are_read_back_as_text(save: Any, make_tensor: Any, tmp_path: Path) -> None:
    tags = {
        "text": "a <b> & 'c' \"d\" = é ☃",
        "several lines": "one\ntwo\r\n\tthree",
        "int": 3,
        "float": 0.1,
        "bool": True,
        "float32": np.float32(1.1),
        "array of no dimension": np.array(7),
        "date": datetime.date(2024, 1, 15),
        "long": "x" * 100_000,
    }

    save(make_tensor(), tmp_path / "out.tif", tags=tags)

    found = RasterioReader(tmp_path / "out.tif").tags()
    expected = {key: str(value) for key, value in tags.items()} | {"array of no dimension": "7"}
    assert {key: found[key] for key in expected} == expected


@both
@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"bands": ["a", "b"]}, r"tags\['bands'\] is a list, not a scalar"),
        ({"nothing": None}, r"tags\['nothing'\] is a NoneType"),
        ({"array": np.zeros(2)}, "is a ndarray, not a scalar"),
        ({"bytes": b"ab"}, "is a bytes, not a scalar"),
        ({"": "x"}, "a key is text"),
        ({3: "x"}, "a key is text"),
        ({"a=b": "x"}, "a key must not have"),
        ({"a:b": "x"}, "a key must not have"),
        ({"empty": ""}, "GDAL drops empty values"),
        ({"lead": "  x"}, "white space at the start"),
        ({"control": "a\x00b"}, "control characters"),
        ({"ns": "x"}, "rasterio keeps this name for itself"),
        ({"bidx": "1"}, "rasterio keeps this name for itself"),
        ({"A": 1, "a": 2}, "tags has both 'A' and 'a'; GDAL's keys ignore case"),
        ({"AREA_OR_POINT": "nonsense"}, "allowed: Area, Point"),
        ({"TIFFTAG_WIBBLE": "x"}, "GDAL keeps no such TIFF tag; allowed: TIFFTAG_DOCUMENTNAME"),
        ({"TIFFTAG_RESOLUTIONUNIT": "x"}, "holds a number"),
        ({"surrogate": "\ud800"}, "surrogates"),
        (["a"], "tags is a list; pass a mapping"),
    ],
)
def test_tag_that_cannot_be_read_back_is_refused(
    save: Any, tags: Any, message: str, make_tensor: Any, tmp_path: Path, contents: Callable[[Path], dict[str, bytes]]
) -> None:
    with pytest.raises(MetadataError, match=message):
        save(make_tensor(), tmp_path / "out.tif", tags=tags)

    assert contents(tmp_path) == {}


@both
@pytest.mark.parametrize(
    ("descriptions", "message"),
    [
        (["a"], "descriptions has 1 entries for 2 bands; pass one per band"),
        (["a", "b", "c"], "descriptions has 3 entries for 2 bands"),
        ([], "descriptions has 0 entries for 2 bands"),
        ("ab", r"descriptions is a str, not a list with one entry per band; pass \['ab'\]"),
        ({"compress": "lzw"}, "descriptions is a dict.*meant as profile_arg"),
        (["a", 2], r"descriptions\[1\] is a int; pass text or None"),
        (["a", " b"], r"descriptions\[1\]=' b': GDAL drops white space"),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(
    save: Any,
    descriptions: Any,
    message: str,
    make_tensor: Any,
    tmp_path: Path,
    contents: Callable[[Path], dict[str, bytes]],
) -> None:
    with pytest.raises(MetadataError, match=message):
        save(make_tensor((2, 20, 20)), tmp_path / "out.tif", descriptions=descriptions)

    assert contents(tmp_path) == {}


@both
@pytest.mark.parametrize("crs", ["EPSG:32630", "EPSG:4326", 3857, CUSTOM_WKT, CRS.from_epsg(2193), None])
def test_crs_is_read_back(save: Any, crs: Any, make_tensor: Any, tmp_path: Path) -> None:
    save(make_tensor(crs=crs), tmp_path / "out.tif")

    assert RasterioReader(tmp_path / "out.tif").crs == (None if crs is None else CRS.from_user_input(crs))


@both
@pytest.mark.parametrize(
    "transform",
    [
        Affine(10, 0, 500000, 0, -10, 4000000),
        Affine(0.1, 0, -3.7, 0, -0.1, 40.4),
        Affine(10, 0, 500000, 0, 10, 4000000),
        Affine(30, 0, 500015.123456789, 0, -15, 4000000.987654321),
        Affine.translation(500000, 4000000) @ Affine.rotation(30) @ Affine.scale(10, -12),
        Affine(10, 3, 500000, 2, -9, 4000000),
    ],
    ids=["north up", "degrees", "south up", "oblong", "rotated", "sheared"],
)
def test_transform_is_read_back(save: Any, transform: Affine, make_tensor: Any, tmp_path: Path) -> None:
    save(make_tensor(transform=transform), tmp_path / "out.tif")

    np.testing.assert_allclose(RasterioReader(tmp_path / "out.tif").transform[:6], transform[:6], rtol=1e-15)


@both
def test_identity_transform_is_read_back(save: Any, make_tensor: Any, tmp_path: Path) -> None:
    save(make_tensor(transform=Affine.identity(), crs=None), tmp_path / "out.tif")

    assert RasterioReader(tmp_path / "out.tif").transform == Affine.identity()


@both
def test_scales_offsets_units_and_colours_of_the_source_are_kept(save: Any, make_tensor: Any, tmp_path: Path) -> None:
    attrs = {
        "descriptions": ["B04", "mask"],
        "scales": [0.0001, 1.0],
        "offsets": [-0.1, 0.0],
        "units": ["reflectance", None],
        "colorinterp": ["gray", "alpha"],
        "tags": {"mission": "S2"},
    }

    save(make_tensor((2, 300, 300), attrs=attrs), tmp_path / "out.tif", tags={"added": 1})

    found = RasterioReader(tmp_path / "out.tif").attrs
    assert {key: found[key] for key in attrs if key != "tags"} == {k: v for k, v in attrs.items() if k != "tags"}
    assert found["tags"] | {"mission": "S2", "added": "1"} == found["tags"]


def test_arguments_override_metadata_of_the_source(make_tensor: Any, tmp_path: Path) -> None:
    attrs = {"descriptions": ["old", "old"], "tags": {"key": "old"}}

    save_cog(make_tensor(attrs=attrs), tmp_path / "out.tif", descriptions=["new", None], tags={"key": "new"})

    reader = RasterioReader(tmp_path / "out.tif")
    assert reader.descriptions == ["new", None]
    assert reader.tags()["key"] == "new"


@both
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_colour_table_is_read_back(save: Any, dtype: str, make_tensor: Any, tmp_path: Path) -> None:
    table = {0: (0, 0, 0, 255), 1: (255, 0, 0, 255), 7: (1, 2, 3, 255)}

    save(make_tensor((1, 300, 300), dtype, attrs={"colormap": table}), tmp_path / "out.tif")

    found = RasterioReader(tmp_path / "out.tif").attrs["colormap"]
    assert {value: found[value] for value in table} == table


def test_a_colour_table_that_the_file_cannot_hold_is_left_out_with_a_warning(make_tensor: Any, tmp_path: Path) -> None:
    tensor = make_tensor((1, 30, 30), attrs={"colormap": {1: (255, 0, 0)}})

    with pytest.warns(MetadataWarning, match="colour table is left out.*not for 1 of float32") as caught:
        save_cog(tensor, tmp_path / "out.tif", profile_arg={"dtype": "float32"})

    assert caught[0].filename == __file__
    assert "colormap" not in RasterioReader(tmp_path / "out.tif").attrs


def test_a_tag_of_the_source_that_the_file_cannot_hold_is_left_out_with_a_warning(
    make_tensor: Any, tmp_path: Path
) -> None:
    tensor = make_tensor(attrs={"tags": {"netcdf:name": "x", "kept": "y"}})

    with pytest.warns(MetadataWarning, match="left out: netcdf:name") as caught:
        save_cog(tensor, tmp_path / "out.tif")

    assert caught[0].filename == __file__
    assert RasterioReader(tmp_path / "out.tif").tags()["kept"] == "y"


def test_a_picture_of_three_bytes_is_red_green_and_blue(make_tensor: Any, tmp_path: Path) -> None:
    save_cog(make_tensor((3, 30, 30), "uint8"), tmp_path / "three.tif")
    save_cog(make_tensor((4, 30, 30), "uint8"), tmp_path / "four.tif")

    assert RasterioReader(tmp_path / "three.tif").attrs["colorinterp"] == ["red", "green", "blue"]
    # A fourth band is transparency only if it is declared so.
    assert "alpha" not in RasterioReader(tmp_path / "four.tif").attrs["colorinterp"]


def test_point_pixels_stay_point_pixels(make_tensor: Any, tmp_path: Path) -> None:
    tensor = make_tensor(attrs={"tags": {"AREA_OR_POINT": "Point"}})

    save_cog(tensor, tmp_path / "out.tif")

    reader = RasterioReader(tmp_path / "out.tif")
    assert reader.tags()["AREA_OR_POINT"] == "Point"
    assert reader.transform == tensor.transform


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"descriptions": ["a"]}, r"attrs\['descriptions'\] has 1 entries for 2 bands"),
        ({"scales": [1.0, "x"]}, r"attrs\['scales'\]\[1\] is a str; pass a number"),
        ({"colorinterp": ["gray", "beige"]}, "'beige' is not a colour interpretation; allowed: undefined, gray"),
        ({"tags": ["x"]}, r"attrs\['tags'\] is a list"),
        ({"colormap": [1, 2]}, r"attrs\['colormap'\] should map"),
        ({"colormap": {0: (0, 0, 300)}}, "from 0 to 255"),
        ({"colormap": {-1: (0, 0, 0)}}, "from 0 to 255"),
        ({"colormap": {"a": (0, 0, 0), 1: None}}, "from 0 to 255"),
        ({"colormap": {}}, "should map"),
        ({"colorinterp": [[], "gray"]}, "is not a colour interpretation"),
    ],
)
def test_metadata_that_do_not_fit_the_bands_are_refused(
    attrs: dict[str, Any], message: str, make_tensor: Any, tmp_path: Path
) -> None:
    with pytest.raises(MetadataError, match=message):
        save_cog(make_tensor((2, 20, 20), attrs=attrs), tmp_path / "out.tif")

    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"crs": "EPSG:999999"}, "crs='EPSG:999999' is not a CRS that PROJ knows"),
        ({"crs": "somewhere"}, "is not a CRS"),
        ({"transform": Affine(0, 0, 1, 0, 0, 2)}, "pixels of no area"),
        ({"transform": Affine(float("nan"), 0, 1, 0, 1, 2)}, "pixels of no area"),
        ({"transform": "north"}, "not an affine transform"),
    ],
)
def test_invalid_georeference_is_refused(place: dict[str, Any], message: str, make_tensor: Any, tmp_path: Path) -> None:
    with pytest.raises(GeoreferenceError, match=message):
        save_cog(make_tensor(**place), tmp_path / "out.tif")


@pytest.mark.filterwarnings("ignore:.*NaN pixels in band:georeader.errors.FillValueWarning")
def test_arguments_of_the_caller_are_not_changed(make_tensor: Any, tmp_path: Path) -> None:
    tensor = make_tensor((2, 600, 600), "float32", fill_value_default=np.nan, attrs={"descriptions": ["a", "b"]})
    tensor[:, :9] = np.nan
    before = (tensor.values.copy(), dict(tensor.attrs), tensor.transform, tensor.crs)
    tags, descriptions, profile = {"a": 1}, ["x", "y"], {"compress": "zstd", "crs": "EPSG:32630"}

    save_cog(tensor, tmp_path / "out.tif", descriptions, tags, profile)

    np.testing.assert_array_equal(tensor.values, before[0])
    assert (tensor.attrs, tensor.transform, tensor.crs) == before[1:]
    assert (tags, descriptions) == ({"a": 1}, ["x", "y"])
    assert profile == {"compress": "zstd", "crs": "EPSG:32630"}


def test_file_has_no_metadata_of_an_earlier_raster(make_tensor: Any, tmp_path: Path) -> None:
    save_cog(make_tensor(), tmp_path / "out.tif", descriptions=["a", "b"], tags={"a": 1})

    save_cog(make_tensor((1, 20, 30)), tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.shape == (20, 30)
        assert dataset.descriptions == (None,)
        assert "a" not in dataset.tags()


def test_missing_georeference_is_an_error_with_advice(tmp_path: Path) -> None:
    with pytest.raises(GeoreferenceError, match=r"a ndarray without transform, crs; wrap the pixels as GeoTensor"):
        save_cog(np.zeros((3, 4)), tmp_path / "out.tif")
    with pytest.raises(ReadError, match="missing.tif"):
        save_cog(tmp_path / "missing.tif", tmp_path / "out.tif")


def test_arithmetic_drops_scales_before_a_save(make_tensor: Any, tmp_path: Path) -> None:
    stored = make_tensor((1, 30, 30), "int16", attrs={"scales": [0.0001], "offsets": [0.5], "descriptions": ["B04"]})

    save_cog(stored * 0.0001 + 0.5, tmp_path / "out.tif")

    reader = RasterioReader(tmp_path / "out.tif")
    assert "scales" not in reader.attrs
    assert "offsets" not in reader.attrs
    assert reader.descriptions == ["B04"]


def test_saved_geotensor_is_read_back(make_tensor: Any, tmp_path: Path) -> None:
    tensor = make_tensor((2, 300, 300), "int16", fill_value_default=-5, attrs={"descriptions": ["a", "b"]})

    save_cog(tensor, tmp_path / "out.tif")

    again: GeoTensor = RasterioReader(tmp_path / "out.tif").load()
    np.testing.assert_array_equal(again.values, tensor.values)
    assert again.fill_value_default == -5
    assert again.attrs["descriptions"] == ["a", "b"]
    assert again.same_extent(tensor)


def test_a_colour_table_with_entries_beyond_the_dtype_is_refused(make_tensor: Any, tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match="an entry for 300, which uint8 cannot hold"):
        save_cog(make_tensor((1, 9, 9), "uint8", attrs={"colormap": {300: (1, 2, 3)}}), tmp_path / "out.tif")


def test_transparent_colours_are_named_in_a_warning_unless_they_are_nodata(make_tensor: Any, tmp_path: Path) -> None:
    table = {0: (0, 0, 0, 0), 1: (255, 0, 0, 128)}
    classes = make_tensor((1, 9, 9), "uint8", attrs={"colormap": table})

    with pytest.warns(MetadataWarning, match="transparency of 1 colour table entries, such as that of 1,") as caught:
        save_cog(classes, tmp_path / "out.tif", nodata=0)

    assert caught[0].filename == __file__
    assert RasterioReader(tmp_path / "out.tif").attrs["colormap"][1] == (255, 0, 0, 255)


def test_palettes_of_several_bands_are_left_out_with_a_warning_and_stay_classes(
    make_tensor: Any, tmp_path: Path
) -> None:
    tensor = make_tensor((2, 600, 600), "uint8", attrs={"colorinterp": ["palette", "palette"]})

    with pytest.warns(MetadataWarning, match="colour tables are left out"):
        save_cog(tensor, tmp_path / "out.tif")

    assert RasterioReader(tmp_path / "out.tif").tags()["OVERVIEW_RESAMPLING"] == "NEAREST"


def test_tags_of_the_caller_override_those_of_the_source_in_any_case(make_tensor: Any, tmp_path: Path) -> None:
    save_cog(make_tensor(attrs={"tags": {"Foo": "1"}}), tmp_path / "out.tif", tags={"foo": 2})

    assert {k: v for k, v in RasterioReader(tmp_path / "out.tif").tags().items() if k.lower() == "foo"} == {"foo": "2"}


def test_a_readers_own_tags_can_be_passed_on(make_tensor: Any, tmp_path: Path) -> None:
    save_cog(make_tensor((1, 600, 600)), tmp_path / "in.tif", tags={"TIFFTAG_SOFTWARE": "x", "k": "v"})

    save_cog(make_tensor((1, 20, 20)), tmp_path / "out.tif", tags=RasterioReader(tmp_path / "in.tif").tags())

    expected = {"TIFFTAG_SOFTWARE": "x", "k": "v", "AREA_OR_POINT": "Area"}
    assert RasterioReader(tmp_path / "out.tif").tags() == expected


def test_crs_that_geotiff_cannot_represent_is_refused(
    make_tensor: Any, tmp_path: Path, contents: Callable[[Path], dict[str, bytes]]
) -> None:
    message = "cannot be represented in a GeoTIFF.*reproject to one with an EPSG code"
    with pytest.raises(GeoreferenceError, match=message):
        save_cog(make_tensor(crs="+proj=hammer"), tmp_path / "out.tif")

    assert contents(tmp_path) == {}


def test_crs_that_reads_back_differently_is_named_in_a_warning(make_tensor: Any, tmp_path: Path) -> None:
    with pytest.warns(MetadataWarning, match="comes back from a GeoTIFF as 'EPSG:4326'"):
        save_cog(make_tensor(crs="OGC:CRS84"), tmp_path / "out.tif")


def test_warp_without_georeference_is_refused(make_tensor: Any, tmp_path: Path) -> None:
    with pytest.raises(GeoreferenceError, match="the data has no CRS"):
        save_cog(make_tensor(crs=None), tmp_path / "out.tif", profile_arg={"TARGET_SRS": "EPSG:3857"})


def test_transform_close_to_the_identity_is_written(make_tensor: Any, tmp_path: Path) -> None:
    transform = Affine(1.000005, 0, 0, 0, 1, 0)

    save_cog(make_tensor(transform=transform), tmp_path / "out.tif")

    assert RasterioReader(tmp_path / "out.tif").transform[:6] == transform[:6]


#: What XML 1.0 does not have, and so no metadata of GDAL's.
NOT_IN_XML = ["\ufffe", "\uffff", "\ud800", "\udfff", "\x0b", "\x00"]


@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
@pytest.mark.parametrize("character", NOT_IN_XML, ids=ascii)
@pytest.mark.parametrize(
    "arguments",
    [
        lambda text: ({}, {"tags": {"key": text}}),
        lambda text: ({}, {"tags": {text: "value"}}),
        lambda text: ({}, {"tags": {"TIFFTAG_ARTIST": text}}),
        lambda text: ({}, {"descriptions": [text]}),
        lambda text: ({"descriptions": [text]}, {}),
        lambda text: ({"units": [text]}, {}),
    ],
    ids=["tag", "key", "TIFF's own tag", "description", "description of the source", "unit"],
)
def test_character_that_xml_cannot_represent_is_refused(
    arguments: Any, character: str, save: Any, make_tensor: Any, tmp_path: Path
) -> None:
    attrs, options = arguments(f"a{character}b")

    with pytest.raises(MetadataError):
        save(make_tensor((1, 20, 20), attrs=attrs), tmp_path / "out.tif", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("character", NOT_IN_XML[:4], ids=ascii)
@pytest.mark.parametrize(
    "attrs",
    [
        lambda text: {"tags": {"key": text}},
        lambda text: {"band_tags": [{"key": text}]},
        lambda text: {"namespaces": {"OURS": {"key": text}}},
        lambda text: {"attribute_tables": [f"<GDALRasterAttributeTable>{text}</GDALRasterAttributeTable>"]},
    ],
    ids=["tag", "tag of a band", "tag of a namespace", "attribute table"],
)
def test_character_of_a_source_that_xml_cannot_represent_is_left_out_with_a_warning(
    attrs: Any, character: str, make_tensor: Any, tmp_path: Path
) -> None:
    with pytest.warns(MetadataWarning, match="left out"):
        save_cog(make_tensor((1, 20, 20), attrs=attrs(f"a{character}b")), tmp_path / "out.tif")

    found = read_first_tags((tmp_path / "out.tif").read_bytes())
    for text in [tag.data for tag in found if tag.number == TagNumber.GDAL_METADATA]:
        xml.dom.minidom.parseString(text.rstrip(b"\0"))


@pytest.mark.parametrize(
    "character", ["\ufdd0", "\U0001fffe", "\x7f", "\x85", "\u2028", "\ufffd", "\U0010ffff"], ids=ascii
)
def test_every_character_of_xml_is_read_back(character: str, make_tensor: Any, tmp_path: Path) -> None:
    text = f"a{character}b"

    save_cog(make_tensor((1, 20, 20)), tmp_path / "out.tif", tags={"key": text}, descriptions=[text])

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert (dataset.tags()["key"], dataset.descriptions) == (text, (text,))


def test_cog_writer_refuses_a_character_that_xml_cannot_represent(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match="ufffe"):
        CogWriter(
            tmp_path / "out.tif",
            shape=(20, 20),
            dtype="uint8",
            transform=Affine(1, 0, 0, 0, -1, 0),
            crs=3857,
            tags={"key": "a\ufffe"},
        )
