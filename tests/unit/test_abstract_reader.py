"""The GeoData protocol and FakeGeoData."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from affine import Affine

from georeader import FakeGeoData, GeoData, GeoDataBase, GeoTensor
from georeader.abstract_reader import AbstractGeoData, same_extent
from georeader.errors import GeoreferenceError, ShapeError

GRID = Affine(10, 0, 500000, 0, -10, 4000000)
PLACE = FakeGeoData("EPSG:32630", GRID, (40, 50))


class Duck:
    """Something of another library that happens to have the right attributes."""

    transform = GRID
    crs = "EPSG:32630"
    shape = (1, 40, 50)
    fill_value_default = None
    values = np.zeros((1, 40, 50))


def test_object_with_the_attributes_is_geodata() -> None:
    assert isinstance(Duck(), GeoData)


@pytest.mark.parametrize(
    ("thing", "base", "full"),
    [
        (PLACE, True, False),
        (GeoTensor(np.zeros((2, 2)), GRID, None), True, True),
        (np.zeros((2, 2)), False, False),
        (np.zeros((2, 2)).view(GeoTensor), False, False),
    ],
    ids=["a grid without pixels", "a tensor", "a plain array", "a tensor without georeference"],
)
def test_protocols_distinguish_grids_from_rasters(thing: Any, base: bool, full: bool) -> None:
    assert (isinstance(thing, GeoDataBase), isinstance(thing, GeoData)) == (base, full)


def test_name_of_georeader_spaceml_is_an_alias() -> None:
    assert AbstractGeoData is GeoData


def test_grid_without_pixels_has_bounds_and_size() -> None:
    assert PLACE.bounds == (500000, 3999600, 500500, 4000000)
    assert (PLACE.height, PLACE.width, PLACE.res) == (40, 50, (10, 10))
    assert PLACE.footprint().area == 400 * 500


def test_grid_of_unknown_size_raises() -> None:
    with pytest.raises(ShapeError, match=r"has no shape; pass FakeGeoData\(\.\.\., shape=\(rows, columns\)\)"):
        _ = FakeGeoData("EPSG:32630", GRID).bounds


def test_grids_of_unknown_size_compare_by_transform_and_crs() -> None:
    assert same_extent(FakeGeoData("EPSG:32630", GRID), FakeGeoData(32630, GRID))
    assert not same_extent(FakeGeoData("EPSG:32630", GRID), FakeGeoData(32631, GRID))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (FakeGeoData("EPSG:32630", GRID, (40, 50)), True),
        (FakeGeoData(32630, GRID, (40, 50)), True),
        (FakeGeoData("EPSG:32630", GRID, (7, 40, 50)), True),
        (Duck(), True),
        (FakeGeoData("EPSG:32630", Affine(10, 0, 500000.009, 0, -10, 4000000), (40, 50)), True),
        (FakeGeoData("EPSG:32630", Affine(10, 0, 500000.011, 0, -10, 4000000), (40, 50)), False),
        (FakeGeoData("EPSG:32630", Affine(10, 0, 500000, 0, 10, 4000000), (40, 50)), False),
        (FakeGeoData("EPSG:32630", Affine(10, 1, 500000, 0, -10, 4000000), (40, 50)), False),
        (FakeGeoData("EPSG:32630", Affine(10.001, 0, 500000, 0, -10, 4000000), (40, 50)), False),
        (FakeGeoData("EPSG:32630", GRID, (50, 40)), False),
        (FakeGeoData("EPSG:32631", GRID, (40, 50)), False),
        (FakeGeoData(None, GRID, (40, 50)), False),
    ],
    ids=[
        "the same", "CRS as a number", "more bands", "another class", "a shift within a thousandth of a pixel",
        "a shift beyond it", "south up", "sheared", "pixel sizes whose difference adds up", "another size",
        "another CRS", "no CRS",
    ],
)  # fmt: skip
def test_the_same_grid_has_the_same_crs_size_and_pixels(other: Any, same: bool) -> None:
    assert same_extent(PLACE, other) is same
    assert same_extent(other, PLACE) is same


def test_precision_sets_the_tolerance() -> None:
    shifted = FakeGeoData("EPSG:32630", Affine(10, 0, 500001, 0, -10, 4000000), (40, 50))

    assert same_extent(PLACE, shifted, precision=0.2)
    assert not same_extent(PLACE, shifted, precision=0.05)


def test_tolerance_is_in_pixels_for_degrees() -> None:
    fine = Affine(1e-5, 0, 10, 0, -1e-5, 50)
    one_pixel_on = Affine(1e-5, 0, 10.00001, 0, -1e-5, 50)

    assert not same_extent(FakeGeoData(4326, fine, (4, 4)), FakeGeoData(4326, one_pixel_on, (4, 4)))


def test_invalid_crs_is_named_in_the_error() -> None:
    with pytest.raises(GeoreferenceError, match="crs='banana' is not a CRS that PROJ knows"):
        same_extent(PLACE, FakeGeoData("banana", GRID, (40, 50)))
