"""CogWriter(blend=): weights of the caller, bands, nodata, dtypes of results, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from conftest import CRS, TRANSFORM
from georeader import CogWriter, GeoTensor
from georeader.errors import DtypeError, GeoreaderError, OptionError, ShapeError

#: A raster of one band, 40 rows and 50 columns.
SMALL: dict[str, Any] = {"shape": (40, 50), "dtype": "float32", "transform": TRANSFORM, "crs": CRS, "blend": "mean"}

LEFT = np.zeros((40, 50))
LEFT[:, :20] = 1


def full(value: Any, dtype: Any = "float32") -> NDArray[Any]:
    return np.full((40, 50), value, dtype)


def blended(path: Path, *arrays: Any, weights: Any = (), **how: Any) -> NDArray[Any]:
    """Write arrays over each other and return the first band."""
    weights = weights or (None,) * len(arrays)
    with CogWriter(path, **SMALL | how) as writer:
        for array, weight in zip(arrays, weights, strict=True):
            writer.write(array, weight=weight)
    with rasterio.open(path) as dataset:
        pixels: NDArray[Any] = dataset.read(1)
    return pixels


class TestWeights:
    @pytest.mark.parametrize("blend", ["mean", "hann", "linear"])
    def test_weight_replaces_that_by_position(self, blend: str, rng: Any, tmp_path: Path) -> None:
        weights = rng.random((2, 40, 50))

        found = blended(tmp_path / "a.tif", full(1), full(5), weights=tuple(weights), blend=blend)

        np.testing.assert_allclose(found, (weights[0] + 5 * weights[1]) / weights.sum(0), rtol=1e-6)

    def test_weight_multiplies_a_sum(self, tmp_path: Path) -> None:
        found = blended(tmp_path / "a.tif", full(2), full(5), weights=(full(3), full(0.5)), blend="sum")

        assert np.unique(found).tolist() == [8.5]

    @pytest.mark.parametrize("blend", ["last", "first", "max", "min", "mean", "sum"])
    def test_pixels_of_weight_0_do_not_count(self, blend: str, tmp_path: Path) -> None:
        """Not even if they are infinite."""
        other = np.where(LEFT == 1, 3, np.inf).astype("float32")

        found = blended(tmp_path / "a.tif", full(3), other, weights=(1 - LEFT, LEFT * 0.25), blend=blend)

        assert np.unique(found[:, 20:]).tolist() == [3]
        assert np.unique(found[:, :20]).tolist() == [0.75 if blend == "sum" else 3]

    def test_pixels_without_any_weight_are_nodata(self, tmp_path: Path) -> None:
        found = blended(tmp_path / "a.tif", full(3), weights=(LEFT,), nodata=-1)

        np.testing.assert_array_equal(found, np.where(LEFT == 1, 3, -1))

    def test_weights_differ_by_band(self, tmp_path: Path) -> None:
        path, weights = tmp_path / "a.tif", np.stack([LEFT, 1 - LEFT])
        with CogWriter(path, **SMALL | {"shape": (2, 40, 50)}) as writer:
            writer.write(np.ones((2, 40, 50)))
            writer.write(np.full((2, 40, 50), 3), weight=weights)

        with rasterio.open(path) as dataset:
            np.testing.assert_array_equal(dataset.read(), 1 + weights)

    def test_weights_fraction_counts_in_a_file_of_integers(self, tmp_path: Path) -> None:
        found = blended(
            tmp_path / "a.tif", full(9, "uint8"), weights=(full(0.25),), blend="max", dtype="uint8", nodata=0
        )

        assert np.unique(found).tolist() == [9]

    @pytest.mark.parametrize("blend", ["mean", "max"])
    @pytest.mark.parametrize(
        ("weight", "error", "message"),
        [
            (-LEFT, OptionError, "not negative"),
            (full(np.nan), OptionError, "finite"),
            (full(np.inf), OptionError, "finite"),
            (np.ones((50, 40)), ShapeError, "shape"),
            (np.ones((2, 40, 50)), ShapeError, "shape"),
            (0.5, ShapeError, "shape"),
            (LEFT * 1j, ShapeError, "numbers"),
        ],
        ids=["negative", "nan", "infinite", "turned", "bands", "scalar", "complex"],
    )
    def test_invalid_weight_is_refused(
        self, blend: str, weight: Any, error: type[GeoreaderError], message: str, tmp_path: Path
    ) -> None:
        with CogWriter(tmp_path / "a.tif", **SMALL | {"blend": blend}) as writer:
            writer.write(full(1))
            with pytest.raises(error, match=message) as caught:
                writer.write(full(9), weight=weight)
        assert "a.tif" in str(caught.value)
        with rasterio.open(tmp_path / "a.tif") as dataset:
            assert np.unique(dataset.read()).tolist() == [1]

    def test_weight_without_blend_is_refused(self, tmp_path: Path) -> None:
        with (
            CogWriter(tmp_path / "a.tif", **SMALL | {"blend": None}) as writer,
            pytest.raises(OptionError, match="requires a blend"),
        ):
            writer.write(full(1), weight=LEFT)

    def test_function_is_called_once_for_each_size(self, tmp_path: Path) -> None:
        sizes = []

        def weigh(height: int, width: int) -> NDArray[Any]:
            sizes.append((height, width))
            return np.ones((height, width))

        with CogWriter(tmp_path / "a.tif", **SMALL | {"blend": weigh}) as writer:
            for row in range(30):
                writer.write(np.ones((10, 50)), Window(0, row, 50, 10))
            writer.write(np.ones((10, 20)), Window(0, 0, 20, 10))

        assert sizes == [(10, 50), (10, 20)]

    @pytest.mark.parametrize(
        ("weights", "error"),
        [(np.ones((3, 3)), ShapeError), (np.full((40, 50), -1.0), OptionError), ("none", ShapeError)],
        ids=["shape", "negative", "text"],
    )
    def test_invalid_weights_of_a_function_are_refused(
        self, weights: Any, error: type[GeoreaderError], tmp_path: Path
    ) -> None:
        with (
            CogWriter(tmp_path / "a.tif", **SMALL | {"blend": lambda *_: weights}) as writer,
            pytest.raises(error, match=r"a\.tif.*blend\(40, 50\)"),
        ):
            writer.write(full(1))


class TestBands:
    @pytest.mark.parametrize("deterministic", [False, True])
    @pytest.mark.parametrize("blend", ["last", "max", "mean", "sum"])
    def test_bands_are_blended_by_themselves(self, blend: str, deterministic: bool, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        with CogWriter(path, **SMALL | {"shape": (3, 40, 50), "blend": blend}, deterministic=deterministic) as writer:
            writer.write(np.stack([full(1), full(2), full(3)]))
            writer.write(np.stack([full(30), full(10)]), indexes=[3, 1])
            writer.write(full(4)[:10], Window(0, 0, 50, 10), indexes=2)

        low, mid, high = {
            "last": (10, 4, 30),
            "max": (10, 4, 30),
            "mean": (5.5, 3, 16.5),
            "sum": (11, 6, 33),
        }[blend]
        if blend == "last" and deterministic:
            mid = 2  # the larger window counts as the later one
        with rasterio.open(path) as dataset:
            found = dataset.read()
        assert [np.unique(band).tolist() for band in found[:, :10]] == [[low], [mid], [high]]
        assert np.unique(found[1, 10:]).tolist() == [2]

    def test_geotensor_is_located_by_its_transform(self, tmp_path: Path) -> None:
        tensor = GeoTensor(np.full((1, 10, 50), 5, "float32"), TRANSFORM, CRS, None)

        found = blended(tmp_path / "a.tif", full(1), tensor)

        assert (np.unique(found[:10]), np.unique(found[10:])) == (3, 1)

    @pytest.mark.parametrize("blend", ["mean", "first", "min", "sum"])
    def test_nodata_of_a_geotensor_does_not_count_in_a_file_of_another(self, blend: str, tmp_path: Path) -> None:
        tensors = [GeoTensor(np.where(side == LEFT, 5, 0).astype("uint8"), TRANSFORM, CRS, 0) for side in (0, 1)]

        found = blended(tmp_path / "a.tif", *tensors, dtype="uint8", nodata=255, blend=blend)

        assert np.unique(found).tolist() == [5]

    @pytest.mark.parametrize("name", ["_FillValue", "nodata"])
    def test_nodata_of_a_dataarray_does_not_count_in_a_file_of_another(self, name: str, tmp_path: Path) -> None:
        xarray = pytest.importorskip("xarray", reason="xarray is not installed")
        arrays = [
            xarray.DataArray(np.where(side == LEFT, 5, 0).astype("uint8"), dims=("y", "x"), attrs={name: 0})
            for side in (0, 1)
        ]

        found = blended(tmp_path / "a.tif", *arrays, dtype="uint8", nodata=255)

        assert np.unique(found).tolist() == [5]

    def test_nodata_of_a_geotensor_requires_one_of_a_file_of_integers(self, tmp_path: Path) -> None:
        tensor = GeoTensor(LEFT.astype("uint8"), TRANSFORM, CRS, 0)

        with pytest.raises(OptionError, match="the array has nodata=0, and the file none; pass nodata=0 to CogWriter"):
            blended(tmp_path / "a.tif", tensor, dtype="uint8")

    def test_0_counts_where_a_geotensor_was_made_without_nodata(self, tmp_path: Path) -> None:
        tensor = GeoTensor(LEFT.astype("uint8"), TRANSFORM, CRS)

        assert np.array_equal(blended(tmp_path / "a.tif", tensor, dtype="uint8"), LEFT)


class TestNumbers:
    @pytest.mark.parametrize(("arrays", "in_file"), [((1, 2), 2), ((2, 3), 2), ((1, 1, 2), 1), ((1, 2, 2), 2)], ids=str)
    def test_means_of_integers_are_rounded_half_to_even(
        self, arrays: tuple[int, ...], in_file: int, tmp_path: Path
    ) -> None:
        found = blended(tmp_path / "a.tif", *(full(value, "uint8") for value in arrays), dtype="uint8")

        assert np.unique(found).tolist() == [in_file]

    def test_mean_of_scores_may_be_a_bool(self, tmp_path: Path) -> None:
        """Which is what most of the windows say."""
        assert np.unique(blended(tmp_path / "a.tif", full(1), full(0.7), full(0), dtype=bool)).tolist() == [1]

    @pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 0), ("int16", 3), ("float32", 3)])
    def test_result_that_equals_nodata_becomes_the_number_beside_it(
        self, dtype: str, nodata: int, tmp_path: Path
    ) -> None:
        low, high = (nodata, nodata + 1) if nodata == 0 else (nodata - 1, nodata + 1)
        weights = (full(0.9), full(0.1)) if nodata == 0 else (full(1), full(1))

        arrays = (full(low + 0.25 * (nodata == 0)), full(high))
        found = blended(tmp_path / "a.tif", *arrays, weights=weights, dtype=dtype, nodata=nodata)

        beside = np.nextafter(np.float32(3), np.float32(4)) if dtype == "float32" else nodata + 1
        assert np.unique(found).tolist() == [beside]

    def test_integers_beyond_float32_are_summed_exactly(self, tmp_path: Path) -> None:
        found = blended(tmp_path / "a.tif", full(2**31 - 3, "int32"), full(2**31 - 1, "int32"), dtype="int32")

        assert np.unique(found).tolist() == [2**31 - 2]

    def test_accumulator_is_of_double_precision_if_requested(self, tmp_path: Path) -> None:
        arrays = [full(2**24), full(1), full(1), full(-(2**24))]

        wide = blended(tmp_path / "a.tif", *arrays, blend="sum", accumulator="float64")
        usual = blended(tmp_path / "b.tif", *arrays, blend="sum")

        assert (np.unique(wide), np.unique(usual)) == (2, 0)

    def test_nodata_in_a_window_of_another_dtype_does_not_count(self, tmp_path: Path) -> None:
        """-9999.99 is another number in float32, which is the dtype of the file."""
        nodata = -9999.99
        array = np.where(LEFT == 1, 5, nodata)

        found = blended(tmp_path / "a.tif", array, full(7), nodata=nodata, accumulator="float64")

        np.testing.assert_array_equal(found, np.where(LEFT == 1, 6, 7))

    @pytest.mark.parametrize(
        ("dtype", "nodata", "accumulator"), [("int64", 2**63 - 1, None), ("float64", -1e300, "float32")]
    )
    def test_nodata_that_the_accumulators_do_not_hold(
        self, dtype: str, nodata: float, accumulator: Any, tmp_path: Path
    ) -> None:
        array = np.where(LEFT == 1, np.array(5, dtype), np.array(nodata, dtype))
        how: dict[str, Any] = {"dtype": dtype, "nodata": nodata, "accumulator": accumulator}

        found = blended(tmp_path / "a.tif", array, **how)

        np.testing.assert_array_equal(found, array)

    def test_nodata_that_the_windows_dtype_does_not_hold(self, tmp_path: Path) -> None:
        found = blended(tmp_path / "a.tif", full(200, "uint8"), full(1, "uint8"), dtype="int16", nodata=-1, blend="sum")

        assert np.unique(found).tolist() == [201]

    @pytest.mark.parametrize("blend", ["last", "mean"])
    def test_nan_does_not_count_in_a_file_of_integers(self, blend: str, tmp_path: Path) -> None:
        array = np.where(LEFT == 1, 4, np.nan)

        found = blended(tmp_path / "a.tif", array, dtype="uint8", nodata=255, blend=blend)

        np.testing.assert_array_equal(found, np.where(LEFT == 1, 4, 255))

    def test_pixels_without_weight_are_nan_in_a_float_file_without_nodata(self, tmp_path: Path) -> None:
        np.testing.assert_array_equal(
            blended(tmp_path / "a.tif", np.where(LEFT == 1, 4, np.nan)), np.where(LEFT == 1, 4, np.nan)
        )

    def test_pixels_without_weight_are_masked_in_a_lossy_codec(self, tmp_path: Path) -> None:
        path, how = tmp_path / "a.tif", {"shape": (3, 40, 50), "dtype": "uint8", "profile_arg": {"compress": "jpeg"}}
        with CogWriter(path, **SMALL | how, nodata=0) as writer:
            writer.write(np.full((3, 40, 20), 90, "uint8"), Window(0, 0, 20, 40))

        with rasterio.open(path) as dataset:
            np.testing.assert_array_equal(dataset.dataset_mask() != 0, LEFT == 1)

    def test_infinite_pixels_stay(self, tmp_path: Path) -> None:
        assert np.unique(blended(tmp_path / "a.tif", full(np.inf), full(1))).tolist() == [np.inf]

    def test_array_is_not_changed(self, tmp_path: Path) -> None:
        array = np.where(LEFT == 1, 4, np.nan).astype("float32")
        array.flags.writeable = False

        blended(tmp_path / "a.tif", array, array)


class TestRefused:
    @pytest.mark.parametrize(
        ("how", "error", "message"),
        [
            ({"blend": "average"}, OptionError, "blend='average' is unknown; allowed: last, first"),
            ({"blend": 3}, OptionError, "blend=3 is unknown"),
            ({"blend": None, "deterministic": True}, OptionError, "deterministic=True requires a blend"),
            ({"blend": None, "accumulator": "float64"}, OptionError, "requires a blend"),
            ({"accumulator": "float16"}, OptionError, "accumulator='float16' is unknown"),
            ({"blend": "max", "accumulator": "float64"}, OptionError, "applies to sums"),
            ({"blend": "max", "dtype": "complex64"}, DtypeError, "no order"),
            ({"blend": "sum", "dtype": bool}, DtypeError, "bool does not hold sums"),
        ],
        ids=str,
    )
    def test_arguments_that_contradict_are_refused(
        self, how: dict[str, Any], error: type[GeoreaderError], message: str, tmp_path: Path
    ) -> None:
        with pytest.raises(error, match=message):
            CogWriter(tmp_path / "a.tif", **SMALL | how)
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("blend", ["last", "max", "mean", "hann"])
    @pytest.mark.parametrize(
        ("array", "dtype", "error"),
        [
            (full(np.nan), "uint8", DtypeError),
            (np.ma.masked_array(full(1), LEFT == 1), "uint8", OptionError),
            (full(1j, "complex64"), "float32", DtypeError),
            (full(1e300, "float64"), "float32", DtypeError),
            (full(5), "bool", DtypeError),
            (np.ones((3, 3)), "float32", ShapeError),
            (np.full((40, 50), "a"), "float32", DtypeError),
        ],
        ids=["nan", "masked", "complex", "large", "bool", "shape", "text"],
    )
    def test_refused_window_does_not_affect_other_windows(
        self, blend: str, array: Any, dtype: str, error: type[GeoreaderError], tmp_path: Path
    ) -> None:
        with CogWriter(tmp_path / "a.tif", **SMALL | {"dtype": dtype, "blend": blend}) as writer:
            writer.write(full(1))
            with pytest.raises(error, match=r"a\.tif"):
                writer.write(array)
        with rasterio.open(tmp_path / "a.tif") as dataset:
            assert np.unique(dataset.read()).tolist() == [1]

    @pytest.mark.parametrize("how", [{}, {"argmax": True}, {"blend": None}], ids=str)
    def test_array_of_row_column_class_is_refused_with_its_remedy(self, how: dict[str, Any], tmp_path: Path) -> None:
        message = r"shape \(40, 50, 3\) is \(row, column, .*; pass numpy.moveaxis\(array, -1, 0\)"

        with pytest.raises(ShapeError, match=message):
            blended(tmp_path / "a.tif", np.zeros((40, 50, 3)), **{"dtype": "uint8", "nodata": 255} | how)

    def test_array_of_another_size_is_refused_with_its_remedy(self, tmp_path: Path) -> None:
        with pytest.raises(ShapeError, match="pass its window, or cut the array"):
            blended(tmp_path / "a.tif", np.zeros((10, 20)))

    @pytest.mark.parametrize("value", [200, -200])
    def test_sum_beyond_the_dtype_is_refused_at_the_end(self, value: int, tmp_path: Path) -> None:
        arrays = np.zeros((2, 40, 50), "int16")
        arrays[1] = value

        with pytest.raises(DtypeError, match=r"a\.tif.*band 2.*cannot be saved as int8"):  # noqa: SIM117
            with CogWriter(
                tmp_path / "a.tif", **SMALL | {"dtype": "int8", "shape": (2, 40, 50), "blend": "sum"}
            ) as writer:
                writer.write(arrays)

        assert os.listdir(tmp_path) == []
