"""The pyramid: how deep, by which method, and what nodata and NaN do to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from georeader import GeoTensor, RasterioReader, save_cog
from georeader._export.plan.grid import overview_factors, overview_shape
from georeader._resample.block import halve_mask
from georeader._resample.pyramid import halve
from georeader.save import _add_overviews

PLACE = (Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630")


def tensor(values: Any, fill: Any = None, **attrs: Any) -> GeoTensor:
    return GeoTensor(np.asarray(values), *PLACE, fill_value_default=fill, attrs=attrs)


def overview(path: Path, level: int = 0) -> np.ndarray[Any, Any]:
    return RasterioReader(path).reader_overview(level).values


def block_mean(values: np.ndarray[Any, Any], is_valid: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Mean of the valid pixels of each 2x2 block of a (row, column) array with even sides; NaN where there are none."""
    rows, columns = values.shape
    blocks = np.where(is_valid, values, np.nan).reshape(rows // 2, 2, columns // 2, 2)
    count = np.isfinite(blocks).sum(axis=(1, 3))
    with np.errstate(invalid="ignore"):
        return np.nansum(blocks, axis=(1, 3)) / count


@pytest.mark.parametrize(
    ("size", "factors"),
    [
        ((16, 5000), [2, 4, 8, 16, 32]),
        ((5000, 16), [2, 4, 8, 16, 32]),
        ((1000, 777), [2, 4]),
        ((256, 256), []),
        ((257, 3), [2]),
        ((256, 257), [2]),
        ((1, 1), []),
        ((1025, 1025), [2, 4, 8]),
    ],
)
def test_overviews_end_with_the_first_that_fits_in_one_tile(
    size: tuple[int, int], factors: list[int], make_tensor: Any, tmp_path: Path
) -> None:
    save_cog(make_tensor((1, *size)), tmp_path / "out.tif")

    assert overview_factors(*size, 256, 256) == tuple(factors)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        levels = len(dataset.overviews(1))
    sizes = [overview(tmp_path / "out.tif", level).shape[-2:] for level in range(levels)]
    assert sizes == [overview_shape(*size, factor) for factor in factors]
    assert all(rows > 256 or columns > 256 for rows, columns in [size, *sizes][:-1])
    assert max([size, *sizes][-1]) <= 256


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_measurements_are_averaged(dtype: str, rng: np.random.Generator, tmp_path: Path) -> None:
    values = (rng.random((512, 600)) * 250).astype(dtype)

    save_cog(tensor(values), tmp_path / "out.tif")

    expected = block_mean(values.astype("float64"), np.ones(values.shape, bool))
    tolerance = 1e-6 if dtype.startswith("float") else 0.5
    np.testing.assert_allclose(overview(tmp_path / "out.tif")[0], expected, atol=tolerance, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*NaN pixels in:georeader.errors.FillValueWarning")
@pytest.mark.parametrize("nodata", [None, np.nan, -9999.0, 0.0])
def test_averages_leave_out_nodata_and_nan(nodata: float | None, rng: np.random.Generator, tmp_path: Path) -> None:
    values = rng.random((512, 600)).astype("float32") + 1
    values[rng.random(values.shape) < 0.3] = np.nan
    values[100:200, 300:400] = np.nan
    is_valid = np.isfinite(values)
    if nodata is not None and nodata == nodata:
        hole = rng.random(values.shape) < 0.3
        values[hole] = nodata
        is_valid &= ~hole

    save_cog(tensor(values, nodata), tmp_path / "out.tif")

    found = overview(tmp_path / "out.tif")[0]
    expected = block_mean(values.astype("float64"), is_valid)
    filled = nodata if nodata is not None else np.nan
    np.testing.assert_allclose(found, np.where(np.isnan(expected), filled, expected), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*NaN pixels in:georeader.errors.FillValueWarning")
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("nodata", [None, 0])
def test_averages_of_complex_numbers_leave_out_nodata_and_nan(
    dtype: str, nodata: int | None, rng: np.random.Generator, tmp_path: Path, good_cog: Callable[[Path], None]
) -> None:
    """GDAL's own average of complex numbers counts both."""
    values = (rng.random((1, 1024, 600)) + 1j * rng.random((1, 1024, 600)) + 1).astype(dtype)
    hole = rng.random(values.shape) < 0.3
    values[hole] = np.nan if nodata is None else nodata
    values[0, 100, 100:200] = complex(np.nan, 1)
    values[0, 300:310, 300:310] = np.nan
    is_valid = np.isfinite(values) & ((values != nodata) if nodata is not None else True)

    save_cog(tensor(values, nodata), tmp_path / "out.tif")

    found = overview(tmp_path / "out.tif")[0]
    missing = np.nan if nodata is None else nodata
    for part in ("real", "imag"):
        expected = block_mean(getattr(values[0], part).astype("float64"), is_valid[0])
        filled = np.where(np.isnan(expected), missing if part == "real" else 0, expected)
        np.testing.assert_allclose(getattr(found, part), filled, rtol=1e-5)
    reader = RasterioReader(tmp_path / "out.tif")
    np.testing.assert_array_equal(reader.values, values)
    assert reader.overviews() == [2, 4]
    assert reader.tags()["OVERVIEW_RESAMPLING"] == "AVERAGE"
    good_cog(tmp_path / "out.tif")


@pytest.mark.filterwarnings("ignore:.*NaN pixels in:georeader.errors.FillValueWarning")
@pytest.mark.parametrize("nodata", [None, -9999.0])
def test_full_resolution_and_nodata_are_not_changed_by_overviews(nodata: float | None, tmp_path: Path) -> None:
    values = np.ones((600, 600), "float32")
    values[7, 9] = np.nan

    save_cog(tensor(values, nodata), tmp_path / "out.tif")

    reader = RasterioReader(tmp_path / "out.tif")
    np.testing.assert_array_equal(reader.values[0], values)
    assert reader.nodata == nodata
    assert reader.overviews() == [2, 4]


@pytest.mark.parametrize("nodata", [0, 255])
def test_integer_averages_leave_out_nodata(nodata: int, rng: np.random.Generator, tmp_path: Path) -> None:
    values = rng.integers(1, 250, (512, 600)).astype("uint8")
    hole = rng.random(values.shape) < 0.4
    values[hole] = nodata

    save_cog(tensor(values, nodata), tmp_path / "out.tif")

    expected = block_mean(values.astype("float64"), ~hole)
    expected = np.where(np.isnan(expected), nodata, np.floor(expected + 0.5))
    np.testing.assert_array_equal(overview(tmp_path / "out.tif")[0], expected)


def _classes() -> dict[str, GeoTensor]:
    values = np.random.default_rng(1).choice([1, 90, 200], (1, 1000, 900))
    table = {1: (255, 0, 0, 255), 90: (0, 255, 0, 255), 200: (0, 0, 255, 255)}
    return {
        "bool": tensor(values > 90),
        "uint8 with a colour table": tensor(values.astype("uint8"), colormap=table),
        "uint16 with a colour table": tensor(values.astype("uint16"), colormap=table),
    }


@pytest.mark.parametrize("name", list(_classes()))
def test_classes_never_gain_invented_values(name: str, tmp_path: Path) -> None:
    classes = _classes()[name]

    save_cog(classes, tmp_path / "out.tif")

    known = set(np.unique(classes.values).astype(int))
    for level in range(2):
        assert set(np.unique(overview(tmp_path / "out.tif", level))) <= known
    assert RasterioReader(tmp_path / "out.tif").tags()["OVERVIEW_RESAMPLING"] == "NEAREST"


def test_classes_of_bool_stay_classes_when_saved_as_another_dtype(tmp_path: Path) -> None:
    save_cog(_classes()["bool"], tmp_path / "out.tif", profile_arg={"dtype": "float32"})

    assert set(np.unique(overview(tmp_path / "out.tif"))) == {0, 1}


def test_classes_stay_classes_where_they_are_warped(tmp_path: Path) -> None:
    classes = _classes()["uint8 with a colour table"]

    save_cog(classes, tmp_path / "out.tif", profile_arg={"TARGET_SRS": "EPSG:3857", "ADD_ALPHA": False})

    reader = RasterioReader(tmp_path / "out.tif")
    assert set(np.unique(reader.values)) <= {0, 1, 90, 200}
    assert set(np.unique(reader.reader_overview(-1).values)) <= {0, 1, 90, 200}


@pytest.mark.parametrize(
    "name", ["nearest", "average", "bilinear", "cubic", "cubicspline", "lanczos", "mode", "rms", "gauss"]
)
def test_requested_method_is_used_and_recorded(
    name: str, rng: np.random.Generator, tmp_path: Path, good_cog: Callable[[Path], None]
) -> None:
    values = rng.integers(0, 200, (1, 600, 600)).astype("uint8")

    save_cog(tensor(values), tmp_path / "out.tif", profile_arg={"RESAMPLING": name})

    method = rasterio.enums.Resampling["cubic_spline" if name == "cubicspline" else name]
    with rasterio.open(tmp_path / "reference.tif", "w", driver="GTiff", count=1, height=600, width=600,
                       dtype="uint8", transform=PLACE[0], crs=PLACE[1]) as reference:  # fmt: skip
        reference.write(values)
        reference.build_overviews([2, 4], method)
    np.testing.assert_array_equal(overview(tmp_path / "out.tif"), overview(tmp_path / "reference.tif"))
    assert RasterioReader(tmp_path / "out.tif").tags()["OVERVIEW_RESAMPLING"] == name.upper()
    good_cog(tmp_path / "out.tif")


@pytest.mark.parametrize("key", ["OVERVIEW_RESAMPLING", "OVR_RESAMPLING_ALG", "ovr_resampling_alg"])
def test_a_method_recorded_in_the_source_is_not_passed_on(key: str, make_tensor: Any, tmp_path: Path) -> None:
    source = make_tensor((1, 600, 600), attrs={"tags": {key: "LANCZOS", "kept": "yes"}})

    save_cog(source, tmp_path / "with.tif", profile_arg={"OVERVIEWS": "NONE"})

    assert {"OVERVIEW_RESAMPLING", "OVR_RESAMPLING_ALG", "ovr_resampling_alg"}.isdisjoint(
        RasterioReader(tmp_path / "with.tif").tags()
    )


@given(
    npst.arrays(st.sampled_from(["int64", "uint64"]), (3, 4), elements=st.integers(0, 2**63 - 1)),
    st.booleans(),
)
def test_averages_of_64_bit_integers_are_exact(values: np.ndarray[Any, Any], high: bool) -> None:
    """Halves go away from zero, as in GDAL, for any size; doubles would lose the last digits."""
    values = values + values.dtype.type(2**63 if high and values.dtype.kind == "u" else 0)
    values = -values if high and values.dtype.kind == "i" else values
    is_valid = values % 3 != 0

    found, still_valid = halve(values, "AVERAGE", is_valid=is_valid), halve_mask(is_valid)

    for row, column in np.ndindex(2, 2):
        block = np.s_[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        numbers = [int(number) for number in values[block][is_valid[block]]]
        assert still_valid[row, column] == bool(numbers)
        if numbers:
            size = (2 * abs(sum(numbers)) + len(numbers)) // (2 * len(numbers))
            assert int(found[row, column]) == (size if sum(numbers) >= 0 else -size)


@pytest.mark.parametrize(
    ("dtype", "values", "nodata", "expected"),
    [
        ("uint64", [2**64 - 1, 2**64 - 1], None, 2**64 - 1),
        ("uint64", [2**64 - 1, 2**64 - 3], 2**64 - 1, 2**64 - 3),
        ("int64", [-(2**63), 5], -(2**63), 5),
        ("int64", [-1, 1], 0, 1),
        ("uint64", [2**64 - 1, 2**64 - 3], 2**64 - 2, 2**64 - 1),
        ("complex64", [1, -1], 0, float(np.nextafter(np.float32(0), np.float32(1)))),
    ],
)
def test_a_valid_average_never_becomes_nodata(
    dtype: str, values: list[int], nodata: int | None, expected: float, tmp_path: Path
) -> None:
    pixels = np.tile(np.array(values, dtype), (300, 150))

    save_cog(tensor(pixels, nodata), tmp_path / "out.tif")

    assert set(overview(tmp_path / "out.tif").flat) == {expected}


def test_nan_does_not_spread_where_it_is_warped(tmp_path: Path) -> None:
    values = np.ones((1, 1000, 1000), "float32")
    values[0, ::10, ::10] = np.nan
    profile = {"TARGET_SRS": "EPSG:32630", "RESAMPLING": "average"}

    save_cog(tensor(values), tmp_path / "out.tif", profile_arg=profile)

    assert RasterioReader(tmp_path / "out.tif").count == 1
    assert not np.isnan(overview(tmp_path / "out.tif")).any()
    assert RasterioReader(tmp_path / "out.tif").tags()["OVERVIEW_RESAMPLING"] == "AVERAGE"


def test_large_tiles_have_as_many_overviews(make_tensor: Any, tmp_path: Path, good_cog: Callable[[Path], None]) -> None:
    save_cog(make_tensor((1, 900, 900)), tmp_path / "out.tif", profile_arg={"BLOCKSIZE": 1024})

    assert RasterioReader(tmp_path / "out.tif").overviews() == [2]
    good_cog(tmp_path / "out.tif")


class TestAddOverviews:
    """The helper by which others build overviews on a dataset that they hold."""

    @staticmethod
    def dataset(path: Path, size: tuple[int, int], **profile: Any) -> Any:
        table = profile.pop("table", None)
        opened = rasterio.open(path, "w", driver="GTiff", count=1, height=size[0], width=size[1], dtype="uint8",
                               transform=PLACE[0], crs=PLACE[1], tiled=True, **profile)  # fmt: skip
        if table:
            opened.write_colormap(1, table)
        opened.write(np.arange(size[0] * size[1], dtype="uint8").reshape(1, *size))
        return opened

    @pytest.mark.parametrize(
        ("size", "tile_size", "factors"),
        [((600, 500), 256, [2, 4]), ((600, 500), 512, [2]), ((256, 256), 256, []), ((16, 2000), 256, [2, 4, 8])],
    )
    def test_stops_at_the_first_overview_within_a_tile(
        self, size: tuple[int, int], tile_size: int, factors: list[int], tmp_path: Path
    ) -> None:
        with self.dataset(tmp_path / "out.tif", size) as dataset:
            _add_overviews(dataset, tile_size)

        with rasterio.open(tmp_path / "out.tif") as again:
            assert again.overviews(1) == factors

    def test_records_its_method(self, tmp_path: Path) -> None:
        with self.dataset(tmp_path / "measured.tif", (600, 600)) as dataset:
            _add_overviews(dataset, 256)
        with self.dataset(tmp_path / "classes.tif", (600, 600), table={0: (1, 2, 3, 255)}) as dataset:
            _add_overviews(dataset, 256)

        for name, method in (("measured", "average"), ("classes", "nearest")):
            with rasterio.open(tmp_path / f"{name}.tif") as again:
                assert again.tags(ns="rio_overview") == {"resampling": method}
                assert again.tags()["OVERVIEW_RESAMPLING"] == method.upper()

    def test_leaves_out_nan(self, tmp_path: Path) -> None:
        values = np.ones((1, 600, 600), "float32")
        values[0, 0, 0] = np.nan
        profile = {"count": 1, "height": 600, "width": 600, "dtype": "float32", "transform": PLACE[0], "crs": PLACE[1]}
        with rasterio.open(tmp_path / "out.tif", "w", driver="GTiff", tiled=True, **profile) as dataset:
            dataset.write(values)
            _add_overviews(dataset, 256)

        assert not np.isnan(overview(tmp_path / "out.tif")).any()
        assert RasterioReader(tmp_path / "out.tif").nodata is None

    def test_prints_only_if_verbose(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with self.dataset(tmp_path / "a.tif", (600, 600)) as dataset:
            _add_overviews(dataset, 256)
        assert capsys.readouterr().out == ""

        with self.dataset(tmp_path / "b.tif", (600, 600)) as dataset:
            _add_overviews(dataset, 256, verbose=True)
        assert capsys.readouterr().out == "building overviews [2, 4] by average\n"
