"""GDAL writes tags once for rasters that differ only in their transform; cached tags equal its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint

from georeader import GeoTensor
from georeader._export import geotiff_tags
from georeader._export.geotiff_tags import descriptive_tags
from georeader._export.plan.request import SaveRequest
from georeader._export.plan.resolve import resolve_spec
from georeader._export.plan.spec import ExportSpec
from georeader._export.sources import open_source
from georeader._storage.urls import Destination

#: Rows from south to north are meant here.
pytestmark = pytest.mark.filterwarnings("ignore::georeader.errors.LayoutWarning")

NORTH_UP = Affine(10, 0, 500000, 0, -10, 4000000)

#: Rows to the south, to the north, to the west, turned, sheared, mirrored, and nowhere.
TRANSFORMS = {
    "as usual": NORTH_UP,
    "oblong": Affine(0.1, 0, -180, 0, -0.3, 90),
    "from the south": Affine(10, 0, 500000, 0, 10, 4000000),
    "mirrored": Affine(-10, 0, 500000, 0, -10, 4000000),
    "turned": Affine(8, 5, 500000, 5, -8, 4000000),
    "sheared": Affine(10, 3, 500000, 0, -10, 4000000),
    "lying": Affine(0, 10, 500000, 10, 0, 4000000),
    "of one unit": Affine(1, 0, 0, 0, -1, 0),
    "nowhere": Affine(1, 0, 0, 0, 1, 0),
}


def shifted(transform: Affine, columns: int, rows: int) -> Affine:
    a, b, c, d, e, f = transform[:6]
    return Affine(a, b, c + columns * a + rows * b, d, e, f + columns * d + rows * e)


def a_spec(transform: Affine = NORTH_UP, crs: Any = "EPSG:32630", nodata: Any = None, **more: Any) -> ExportSpec:
    pixels = np.zeros((1, 512, 512), more.pop("dtype", "float32"))
    tensor = GeoTensor(pixels, transform, crs, fill_value_default=None, attrs=more.pop("attrs", {}))
    defaults = {"compress": "lzw", "BLOCKSIZE": 256}
    request = SaveRequest.parse("cog", Destination("out.tif"), default_profile=defaults, nodata=nodata, **more)
    return resolve_spec(open_source(tensor).spec, request)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ExportSpec]:
    """Calls of GDAL, with an empty cache."""
    seen: list[ExportSpec] = []
    original = geotiff_tags._tags_by_gdal
    monkeypatch.setattr(geotiff_tags, "_tags_by_gdal", lambda spec, *rest: seen.append(spec) or original(spec, *rest))
    geotiff_tags._tags_of.cache_clear()
    return seen


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("tags", [{}, {"AREA_OR_POINT": "Point"}], ids=["areas", "points"])
@pytest.mark.parametrize("crs", ["EPSG:32630", "EPSG:4326", "EPSG:4979", "EPSG:5972", None], ids=str)
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_cached_tags_equal_those_of_gdal(transform: Affine, crs: Any, tags: dict[str, str]) -> None:
    for place in (transform, shifted(transform, 7, 11)):
        spec = a_spec(place, crs, tags=tags)
        assert descriptive_tags(spec) == geotiff_tags._tags_by_gdal(spec)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_cached_tags_keep_the_height_of_a_vertical_crs() -> None:
    spec = a_spec(crs="EPSG:5972", attrs={"scales": [0.5], "offsets": [100.0]})
    assert descriptive_tags(spec) == geotiff_tags._tags_by_gdal(spec)


NUMBERS = st.floats(-1e7, 1e7).filter(lambda number: abs(number) > 1e-6)


@settings(max_examples=150, deadline=None)
@given(
    sides=st.tuples(NUMBERS, NUMBERS),
    turns=st.one_of(st.just((0.0, 0.0)), st.tuples(NUMBERS, NUMBERS)),
    origin=st.tuples(st.floats(-1e8, 1e8), st.floats(-1e8, 1e8)),
    is_point=st.booleans(),
)
def test_cached_tags_equal_those_of_gdal_for_any_transform(
    sides: tuple[float, float], turns: tuple[float, float], origin: tuple[float, float], is_point: bool
) -> None:
    transform = Affine(sides[0], turns[0], origin[0], turns[1], sides[1], origin[1])
    if transform.is_degenerate:
        return
    spec = a_spec(transform, tags={"AREA_OR_POINT": "Point" if is_point else "Area"})
    assert descriptive_tags(spec) == geotiff_tags._tags_by_gdal(spec)


def test_tags_are_written_by_gdal_once_for_similar_chips(asked: list[ExportSpec]) -> None:
    for number in range(10):
        descriptive_tags(a_spec(shifted(NORTH_UP, 512 * number, 0), descriptions=["NDVI"]))
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"nodata": 0.0}, {"nodata": -0.0}),
        ({"nodata": np.nan}, {"nodata": None}),
        ({"descriptions": ["red"]}, {"descriptions": ["nir"]}),
        ({"tags": {"a": "1"}}, {"tags": {"a": "2"}}),
        ({"crs": "EPSG:32630"}, {"crs": "EPSG:32631"}),
        ({"dtype": "float32"}, {"dtype": "int16"}),
        ({"transform": TRANSFORMS["turned"]}, {"transform": NORTH_UP}),
        ({"profile_arg": {"GEOTIFF_VERSION": "1.0"}}, {"profile_arg": {"GEOTIFF_VERSION": "1.1"}}),
        ({"profile_arg": {"OVERVIEWS": "NONE"}}, {}),
        ({"profile_arg": {"RESAMPLING": "NEAREST"}}, {}),
        ({"attrs": {"scales": [1.0], "offsets": [0.0]}}, {"attrs": {"scales": [2.0], "offsets": [0.0]}}),
        ({"attrs": {"units": ["m"]}}, {"attrs": {"units": ["km"]}}),
    ],
    ids=lambda options: "-".join(map(str, options)),
)
def test_tags_are_written_by_gdal_again_for_other_differences(
    first: dict[str, Any], second: dict[str, Any], asked: list[ExportSpec]
) -> None:
    tags = [descriptive_tags(a_spec(**options)) for options in (first, second)]
    assert len(asked) == 2
    assert tags[0] != tags[1]


def test_tags_are_not_cached_with_control_points(asked: list[ExportSpec]) -> None:
    gcps = ([GroundControlPoint(row, column, column, row) for row, column in ((0, 0), (0, 9), (9, 0))], "EPSG:4326")
    spec = a_spec(transform=Affine.identity(), crs=None, attrs={"gcps": gcps})
    assert descriptive_tags(spec) == descriptive_tags(replace(spec))
    assert len(asked) == 2
