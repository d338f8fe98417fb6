"""The reprs of arrays and readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from georeader import GeoTensor
from georeader._arrays.pixel_attrs import describe_grid
from georeader.window_utils import describe_crs

TRANSFORM = Affine(10, 0, 500000, 0, -10, 4000000)


class TestDescribeCrs:
    @pytest.mark.parametrize(
        "crs", [32630, "EPSG:32630", CRS.from_epsg(32630), CRS.from_epsg(32630).to_wkt()], ids=type
    )
    def test_returns_the_epsg_code(self, crs: object) -> None:
        assert describe_crs(crs) == "EPSG:32630"

    def test_returns_none_as_text_for_no_crs(self) -> None:
        assert describe_crs(None) == "none"

    def test_returns_the_name_of_a_crs_without_code(self, shared_data: Path) -> None:
        with rasterio.open(shared_data / "landcover_palette_uint8.tif") as dataset:
            assert describe_crs(dataset.crs) == "WGS_1984_Lambert_Azimuthal_Equal_Area (no EPSG code)"

    def test_returns_the_parameters_of_a_crs_without_name(self) -> None:
        described = describe_crs("+proj=laea +lat_0=10 +lon_0=3 +datum=WGS84")
        assert described.startswith("+proj=laea +lat_0=10 +lon_0=3")
        assert described.endswith("(no EPSG code)")

    def test_returns_unnamed_for_an_empty_crs(self) -> None:
        assert describe_crs(CRS()) == "unnamed (no EPSG code)"

    def test_describes_an_invalid_crs_by_its_repr(self) -> None:
        assert describe_crs("nonsense") == "'nonsense' (PROJ does not know it)"


class TestDescribeGrid:
    def test_has_one_line_per_fact(self) -> None:
        tensor = GeoTensor(np.zeros((2, 3, 4), "int16"), TRANSFORM, "EPSG:32630", fill_value_default=-1)
        assert describe_grid(tensor) == (
            "GeoTensor 2 x 3 x 4 (band, row, column) int16\n"
            "  crs      EPSG:32630\n"
            "  pixel    10 x 10\n"
            "  bounds   (500000, 3999970, 500040, 4000000)\n"
            "  no data  -1"
        )

    @pytest.mark.parametrize(
        ("shape", "heading"),
        [
            ((3, 4), "3 x 4 (row, column)"),
            ((2, 3, 4), "2 x 3 x 4 (band, row, column)"),
            ((5, 2, 3, 4), "5 x 2 x 3 x 4 (time, band, row, column)"),
        ],
    )
    def test_names_the_axes(self, shape: tuple[int, ...], heading: str) -> None:
        assert heading in describe_grid(GeoTensor(np.zeros(shape), TRANSFORM, None))

    @pytest.mark.parametrize(("fill", "text"), [(None, "none"), (0, "0"), (np.nan, "nan"), (-9999.0, "-9999.0")])
    def test_shows_nodata(self, fill: float | None, text: str) -> None:
        tensor = GeoTensor(np.zeros((3, 4)), TRANSFORM, None, fill_value_default=fill)
        assert f"  no data  {text}" in describe_grid(tensor).splitlines()

    def test_adds_further_facts_without_those_that_are_none(self) -> None:
        lines = describe_grid(GeoTensor(np.zeros((3, 4)), TRANSFORM, None), path="a.tif", bands=None).splitlines()
        assert lines[-1] == "  path     a.tif"

    def test_keeps_digits_of_degrees(self) -> None:
        tensor = GeoTensor(np.zeros((1, 1)), Affine(0.25, 0, -3.123456789, 0, -0.25, 40.5), "EPSG:4326")
        assert "bounds   (-3.123456789, 40.25, -2.873456789, 40.5)" in describe_grid(tensor)

    def test_shows_the_pixel_size_of_a_rotated_grid(self) -> None:
        tensor = GeoTensor(np.zeros((3, 4)), Affine(8, 6, 500000, 6, -8, 4000000), None)
        assert "pixel    10 x 10" in describe_grid(tensor)


class TestReprOfAGeoTensor:
    def test_has_the_grid_before_the_values(self) -> None:
        tensor = GeoTensor(np.zeros((1, 2), "uint8"), TRANSFORM, "EPSG:32630", fill_value_default=None)
        assert repr(tensor) == f"{describe_grid(tensor)}\narray([[0, 0]], dtype=uint8)"

    def test_names_a_crs_unknown_to_proj(self) -> None:
        assert "'nonsense' (PROJ does not know it)" in repr(GeoTensor(np.zeros((1, 2)), TRANSFORM, "nonsense"))
