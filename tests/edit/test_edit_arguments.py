"""What each argument of edit_cog changes, as rasterio reads it back, and what is refused."""

from __future__ import annotations

import io
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from georeader import GeoTensor, RasterioReader, edit_cog, plan_edit, save_cog, save_tiled_geotiff
from georeader._export.statistics import BandSummary
from georeader.errors import (
    ChangedError,
    DestinationError,
    ExistsError,
    GeoreferenceError,
    MetadataError,
    MetadataWarning,
    NodataError,
    NotSupportedError,
    OptionError,
    ReadError,
)
from georeader.validation import validate
from malformed import DAMAGES, Good, good
from stored_files import facts_by_gdal, tensor, tile_digests


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A COG of two bands of int16, with overviews and metadata of every kind."""
    path = tmp_path / "scene.tif"
    data = tensor(2, "int16")
    data.attrs.update(
        scales=[0.1, 0.2], offsets=[1.0, 2.0], units=["m", "K"], band_tags=[{"kind": "a"}, {}],
        namespaces={"IMAGERY": {"SATELLITEID": "S2A"}},
    )  # fmt: skip
    save_cog(
        data, path, ["one", "two"], {"model": "v1", "AREA_OR_POINT": "Area", "TIFFTAG_SOFTWARE": "a & b"},
        profile_arg={"STATISTICS": "YES"},
    )  # fmt: skip
    return path


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    path = tmp_path / "classes.tif"
    data = tensor(1)
    data.attrs["colormap"] = {0: (0, 0, 0, 255), 1: (10, 20, 30, 255)}
    save_cog(data, path)
    return path


#: (argument, value, name of a fact that GDAL reads, that fact).
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "descriptions": ({"descriptions": ["new", None]}, {"descriptions": ("new", None)}),
    "descriptions, removed": ({"descriptions": None}, {"descriptions": (None, None)}),
    "scales": ({"scales": [2, 0.5]}, {"scales": (2.0, 0.5)}),
    "scales, removed": ({"scales": None}, {"scales": (1.0, 1.0)}),
    "offsets": ({"offsets": [-1, 7.25]}, {"offsets": (-1.0, 7.25)}),
    "offsets, removed": ({"offsets": None}, {"offsets": (0.0, 0.0)}),
    "units": ({"units": ["°C", None]}, {"units": ("°C", None)}),
    "units, removed": ({"units": None}, {"units": (None, None)}),
    "crs": ({"crs": "EPSG:3857"}, {"crs": CRS.from_epsg(3857)}),
    "crs, removed": ({"crs": None}, {"crs": None}),
    "crs of WKT": ({"crs": CRS.from_epsg(4326).to_wkt()}, {"crs": CRS.from_epsg(4326)}),
    "transform": ({"transform": (2, 0, 1, 0, -3, 5)}, {"transform": Affine(2, 0, 1, 0, -3, 5)}),
    "transform, rotated": ({"transform": (2, 1, 1, 1, -3, 5)}, {"transform": Affine(2, 1, 1, 1, -3, 5)}),
    "colorinterp": (
        {"colorinterp": ["gray", ColorInterp.alpha]}, {"colorinterp": (ColorInterp.gray, ColorInterp.alpha)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_an_argument_changes_what_it_names_and_nothing_else(path: Path, name: str) -> None:
    arguments, expected = CHANGES[name]
    before, tiles = facts_by_gdal(path), tile_digests(path)

    edit_cog(path, **arguments)

    after = facts_by_gdal(path)
    touched = set(expected) | ({"tags"} if name == "crs, removed" else set())  # GDAL drops AREA_OR_POINT=Area then
    touched |= {key for key in after if key.startswith("mask")} if "alpha" in str(expected) else set()
    assert {key: after[key] for key in expected} == expected
    assert {key: after[key] for key in after.keys() - touched} == {key: before[key] for key in before.keys() - touched}
    assert tile_digests(path) == tiles
    assert validate(path, strict=True).is_valid


def test_tags_are_added_replaced_and_removed_by_name(path: Path) -> None:
    edit_cog(path, tags={"MODEL": "v2", "TIFFTAG_SOFTWARE": None, "checked": True, "TIFFTAG_COPYRIGHT": "CC0"})

    with rasterio.open(path) as dataset:
        assert dataset.tags() == {
            "MODEL": "v2", "checked": "True", "TIFFTAG_COPYRIGHT": "CC0", "AREA_OR_POINT": "Area",
            "OVERVIEW_RESAMPLING": "AVERAGE",
        }  # fmt: skip
        assert dataset.tags(ns="IMAGERY") == {"SATELLITEID": "S2A"}
        assert dataset.tags(1)["kind"] == "a"


@pytest.mark.parametrize("arguments", [{"tags": None}, {"tags": {"only": "1"}, "replace_tags": True}])
def test_all_tags_of_the_file_are_replaced_on_request(path: Path, arguments: dict[str, Any]) -> None:
    edit_cog(path, **arguments)

    with rasterio.open(path) as dataset:
        own = {"AREA_OR_POINT": "Area", "OVERVIEW_RESAMPLING": "AVERAGE"}
        assert dataset.tags() == own | (arguments["tags"] or {})
        assert dataset.tags(1)["kind"] == "a"


def test_points_keep_their_place_when_pixels_become_points(path: Path) -> None:
    before = RasterioReader(path).transform

    edit_cog(path, tags={"AREA_OR_POINT": "Point"})

    with rasterio.open(path) as dataset:
        assert dataset.tags()["AREA_OR_POINT"] == "Point"
        assert dataset.transform == before


def test_points_keep_their_place_without_a_crs(path: Path) -> None:
    before = RasterioReader(path).transform
    edit_cog(path, tags={"AREA_OR_POINT": "Point"})

    edit_cog(path, crs=None)

    assert RasterioReader(path).transform == before


@pytest.mark.parametrize(("nodata", "found"), [(-7, -7.0), (None, None)])
def test_nodata_changes_at_all_levels_with_a_warning_for_the_overviews(path: Path, nodata: Any, found: Any) -> None:
    with pytest.warns(MetadataWarning, match="were made with nodata=0") as warned:
        edit_cog(path, nodata=nodata)

    assert {one.filename for one in warned} == {__file__}

    for options in ({}, {"OVERVIEW_LEVEL": 0}):
        with rasterio.open(path, **options) as dataset:
            assert dataset.nodata == found


@pytest.mark.filterwarnings("error")
def test_the_same_nodata_is_no_reason_for_a_warning(path: Path) -> None:
    edit_cog(path, nodata=0)

    assert RasterioReader(path).nodata == 0


def test_a_colour_table_is_set_at_all_levels(tmp_path: Path) -> None:
    path = tmp_path / "classes.tif"
    save_cog(tensor(1), path)

    edit_cog(path, colormap={1: (255, 0, 0), 2: (0, 255, 0)})

    for options in ({}, {"OVERVIEW_LEVEL": 0}):
        with rasterio.open(path, **options) as dataset:
            assert dataset.colorinterp == (ColorInterp.palette,)
            assert dataset.colormap(1)[2] == (0, 255, 0, 255)


def test_a_colour_table_is_removed(classes: Path) -> None:
    edit_cog(classes, colormap=None)

    with rasterio.open(classes) as dataset:
        assert dataset.colorinterp == (ColorInterp.gray,)
    assert validate(classes, strict=True).is_valid


@pytest.mark.parametrize("names", [{1: "rock & ice", 3: "<water>"}, [None, "rock & ice", None, "<water>"]])
def test_names_of_classes_are_stored_and_removed(classes: Path, names: Any) -> None:
    edit_cog(classes, category_names=names)

    (table,) = RasterioReader(classes).attrs["attribute_tables"]
    assert "<F>1</F><F>rock &amp; ice</F>" in table
    assert "<F>3</F><F>&lt;water&gt;</F>" in table

    edit_cog(classes, category_names=None)
    assert not any(RasterioReader(classes).attrs.get("attribute_tables") or ())


def test_statistics_are_set_and_removed_band_by_band(path: Path) -> None:
    edit_cog(path, statistics=[BandSummary(1, 9, 5.5, 2.0, 50.0), None])

    with rasterio.open(path) as dataset:
        assert dataset.tags(1) == {
            "STATISTICS_MINIMUM": "1", "STATISTICS_MAXIMUM": "9", "STATISTICS_MEAN": "5.5", "STATISTICS_STDDEV": "2",
            "STATISTICS_VALID_PERCENT": "50", "kind": "a",
        }  # fmt: skip
        assert dataset.tags(2) == {}


def test_ground_control_points_keep_their_place_and_get_a_crs(tmp_path: Path) -> None:
    path = tmp_path / "gcps.tif"
    points = [GroundControlPoint(row, column, 10 + column, 50 - row) for row in (0, 90) for column in (0, 90)]
    with rasterio.open(
        path, "w", driver="GTiff", tiled=True, blockxsize=64, blockysize=64, count=1, dtype="uint8", height=100,
        width=100, gcps=points, crs=CRS.from_epsg(4326),
    ) as dataset:  # fmt: skip
        dataset.write(np.ones((1, 100, 100), "uint8"))
    before = facts_by_gdal(path)["gcps"]

    edit_cog(path, crs="EPSG:4258")

    with rasterio.open(path) as dataset:
        found, crs = dataset.gcps
    assert crs.to_epsg() == 4258
    assert [(one.row, one.col, one.x, one.y) for one in found] == [(one.row, one.col, one.x, one.y) for one in before]


# Edits in sequence.

EDITS = st.one_of(
    st.dictionaries(
        st.sampled_from(["a", "b", "TIFFTAG_ARTIST"]), st.none() | st.text("xyz <&é").map("x{}".format), min_size=1
    ).map(lambda tags: {"tags": tags}),
    st.lists(st.none() | st.text("abc", min_size=1), min_size=2, max_size=2).map(lambda names: {"descriptions": names}),
    st.sampled_from([4326, 32633, 3035]).map(lambda code: {"crs": code}),
    st.tuples(st.floats(0.1, 9), st.floats(-9e5, 9e5)).map(lambda at: {"transform": (at[0], 0, at[1], 0, -at[0], 3)}),
    st.lists(st.floats(-5, 5).filter(bool), min_size=2, max_size=2).map(lambda scales: {"scales": scales}),
)  # fmt: skip


@given(st.lists(EDITS, min_size=1, max_size=5))
def test_the_last_edit_of_each_kind_holds_and_the_file_does_not_grow(edits: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.tif"
        save_cog(tensor(2), path, ["one", "two"])
        tiles, size = tile_digests(path), path.stat().st_size
        tags: dict[str, str] = {}
        last: dict[str, Any] = {}
        for edit in edits:
            edit_cog(path, **edit)
            for key, value in edit.get("tags", {}).items():
                tags.pop(key, None)
                tags |= {} if value is None else {key: value}
            last |= edit
        with rasterio.open(path) as dataset:
            assert {key: value for key, value in dataset.tags().items() if key in ("a", "b", "TIFFTAG_ARTIST")} == tags
            if "descriptions" in last:
                assert dataset.descriptions == tuple(last["descriptions"])
            if "crs" in last:
                assert dataset.crs.to_epsg() == last["crs"]
            if "transform" in last:
                assert dataset.transform == Affine(*last["transform"])
            if "scales" in last:
                assert dataset.scales == tuple(last["scales"])
        assert tile_digests(path) == tiles
        assert path.stat().st_size < size + 4096
        assert validate(path, strict=True).is_valid


# Refusals: the file stays as it is.

INVALID: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "nothing": ({}, OptionError, "nothing to change"),
    "replace_tags alone": ({"crs": 4326, "replace_tags": True}, OptionError, "replace_tags goes with tags"),
    "tags of text": ({"tags": "a=b"}, MetadataError, "tags is a str"),
    "a tag twice": ({"tags": {"a": 1, "A": None}}, MetadataError, "both removes and sets"),
    "nodata beyond the dtype": ({"nodata": 99999}, NodataError, "nodata=99999"),
    "too few descriptions": ({"descriptions": ["one"]}, MetadataError, "descriptions has 1 entries for 2 bands"),
    "a description of a number": ({"descriptions": [1, 2]}, MetadataError, r"descriptions\[0\] is a int"),
    "a scale of text": ({"scales": ["a", 1]}, MetadataError, r"scales\[0\] is a str"),
    "no transform": ({"transform": None}, GeoreferenceError, "transform=None"),
    "five numbers": ({"transform": (1, 2, 3, 4, 5)}, GeoreferenceError, "transform"),
    "an unknown CRS": ({"crs": "EPSG:1"}, GeoreferenceError, "EPSG:1"),
    "a colour table of two bands": ({"colormap": {1: (1, 2, 3)}}, MetadataError, "colormap"),
    "an unknown colour": ({"colorinterp": ["gray", "pink"]}, MetadataError, "pink"),
    "names of two bands": ({"category_names": {1: "a"}}, MetadataError, "category_names has 1 entries"),
    "statistics of one band": ({"statistics": [None]}, MetadataError, "statistics has 1 entries"),
    "statistics of text": ({"statistics": [{"minimum": "x"}, None]}, MetadataError, r"statistics\[0\]"),
}


@pytest.mark.parametrize("name", INVALID)
@pytest.mark.filterwarnings("ignore::georeader.errors.MetadataWarning")
def test_an_invalid_argument_is_refused_and_the_file_stays(path: Path, name: str) -> None:
    arguments, error, message = INVALID[name]
    before = path.read_bytes()

    with pytest.raises(error, match=message):
        edit_cog(path, **arguments)

    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_jpeg_in_ycbcr_keeps_its_colours(tmp_path: Path) -> None:
    path = tmp_path / "picture.tif"
    save_cog(tensor(3), path, profile_arg={"compress": "jpeg"})
    before = path.read_bytes()

    with pytest.raises(OptionError, match="YCbCr"):
        edit_cog(path, colorinterp=["gray", "undefined", "undefined"])

    assert path.read_bytes() == before


@pytest.fixture(scope="module")
def undamaged(tmp_path_factory: pytest.TempPathFactory) -> Good:
    return good(tmp_path_factory.mktemp("good"))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_or_gets_a_valid_layout(tmp_path: Path, damage: str, undamaged: Good) -> None:
    path = tmp_path / "scene.tif"
    content = DAMAGES[damage].make(undamaged)
    path.write_bytes(content)

    try:
        edit_cog(path, tags={"a": "b"})
    except (ReadError, NotSupportedError) as error:
        assert "scene.tif" in str(error)
        assert path.read_bytes() == content
    else:
        assert validate(path, decode=False).is_valid


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused_and_stays(tmp_path: Path, part: float, undamaged: Good) -> None:
    path = tmp_path / "scene.tif"
    content = undamaged.content[: int(len(undamaged.content) * part)]
    path.write_bytes(content)

    with pytest.raises(ReadError, match=r"scene\.tif"):
        edit_cog(path, tags={"a": "b"})

    assert path.read_bytes() == content


def test_a_file_in_strips_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    with rasterio.open(path, "w", driver="GTiff", count=1, dtype="uint8", height=40, width=40, crs=4326) as dataset:
        dataset.write(np.ones((1, 40, 40), "uint8"))

    with pytest.raises(NotSupportedError, match="stored in strips"):
        edit_cog(path, tags={"a": "b"})


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"missing\.tif"):
        edit_cog(tmp_path / "missing.tif", tags={"a": "b"})


# Where the result goes.


def test_the_file_stays_where_the_result_goes_elsewhere(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    out = tmp_path / "edited.tif"

    receipt = edit_cog(path, tags={"a": "b"}, out=out)

    assert path.read_bytes() == before
    assert RasterioReader(out).tags()["a"] == "b"
    assert receipt.path == str(out)


def test_the_result_goes_to_a_file_object(path: Path) -> None:
    out = io.BytesIO()

    receipt = edit_cog(path, tags={"a": "b"}, out=out)

    assert receipt.path == "<BytesIO>"
    with rasterio.MemoryFile(out.getvalue()) as file, file.open() as dataset:
        assert dataset.tags()["a"] == "b"


def test_an_existing_file_is_not_replaced_without_overwrite(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "edited.tif"
    out.write_bytes(b"mine")

    with pytest.raises(ExistsError, match=r"edited\.tif"):
        edit_cog(path, tags={"a": "b"}, out=out, overwrite=False)

    assert out.read_bytes() == b"mine"


def test_a_missing_folder_is_an_error(path: Path, tmp_path: Path) -> None:
    with pytest.raises(DestinationError, match="missing"):
        edit_cog(path, tags={"a": "b"}, out=tmp_path / "no" / "out.tif")


def test_permissions_stay(path: Path) -> None:
    path.chmod(0o640)

    edit_cog(path, tags={"a": "b"})

    assert path.stat().st_mode & 0o777 == 0o640


def test_a_file_that_is_replaced_meanwhile_is_not_overwritten(path: Path) -> None:
    other = path.with_name("other.tif")
    other.write_bytes(b"another writer's")

    with pytest.raises(ChangedError, match=r"scene\.tif"):
        edit_cog(path, tags={"a": "b"}, progress=lambda *_: other.replace(path) if other.exists() else None)

    assert path.read_bytes() == b"another writer's"
    assert os.listdir(path.parent) == [path.name]


def test_of_two_edits_at_once_none_is_lost(path: Path) -> None:
    failed: list[ChangedError] = []

    def edit(number: int) -> None:
        for _ in range(20):
            try:
                edit_cog(path, tags={f"edit{number}": "yes"})
            except ChangedError as error:
                failed.append(error)
            else:
                return

    threads = [threading.Thread(target=edit, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {f"edit{number}" for number in range(3)} <= RasterioReader(path).tags().keys()
    assert all("replaced by another" in str(error) for error in failed)


def test_an_interrupt_leaves_the_file(path: Path) -> None:
    before = path.read_bytes()

    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        edit_cog(path, tags={"a": "b"}, progress=interrupt)

    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_tiled_geotiff_becomes_a_cog(tmp_path: Path) -> None:
    path = tmp_path / "tiled.tif"
    save_tiled_geotiff(tensor(1), path)

    receipt = edit_cog(path, tags={"a": "b"})

    assert receipt.kind == "cog"
    assert receipt.checksum is not None
    with rasterio.open(path) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


# Plans.


def test_a_plan_names_each_change_and_writes_nothing(path: Path) -> None:
    before = path.read_bytes()

    plan = plan_edit(path, crs=4326, tags={"model": None, "new": "1"}, scales=[1, 2])

    assert plan.changes == (
        ("crs", "EPSG:32630", "EPSG:4326"), ("tags[model]", "v1", None), ("scales[0]", 0.1, 1.0),
        ("scales[1]", 0.2, 2.0), ("tags[new]", None, "1"),
    )  # fmt: skip
    assert path.read_bytes() == before
    assert plan.size_bytes == edit_cog(path, crs=4326, tags={"model": None, "new": "1"}, scales=[1, 2]).size_bytes


def test_a_plan_of_what_is_there_already_says_so(path: Path) -> None:
    assert "nothing changes" in str(plan_edit(path, crs="EPSG:32630"))


def test_a_large_file_keeps_the_place_of_its_tiles_within_blocks(tmp_path: Path) -> None:
    path = tmp_path / "large.tif"
    pixels = np.random.default_rng(1).integers(0, 2**16, (1600, 1600)).astype("uint16")
    save_cog(GeoTensor(pixels, Affine(1, 0, 0, 0, -1, 0), 3857), path, nodata=0, profile_arg={"compress": "none"})
    before = _first_tile(path)

    edit_cog(path, tags={"long": "x" * 10_000})

    assert (_first_tile(path) - before) % 4096 == 0


def _first_tile(path: Path) -> int:
    with tifffile.TiffFile(path) as file:
        return min(offset for page in file.pages for offset in page.dataoffsets)
