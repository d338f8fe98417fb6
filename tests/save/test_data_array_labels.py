"""Band names of DataArrays: the labels along an axis become descriptions, names that dask made do not."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from data_arrays import data_array, ramp, read_summary, saved
from georeader import save_cog, save_tiled_geotiff
from georeader._export.sources import open_source
from georeader._export.sources.xarray_metadata import label_text
from georeader.errors import MetadataWarning

xarray = pytest.importorskip("xarray", reason="xarray is not installed")


def along(dim: str, labels: Any, **more: Any) -> Any:
    """Return a (dim, y, x) array with labels along its first axis."""
    array = data_array(ramp((len(labels), 60, 50)), **more).rename(band=dim)
    return array.assign_coords({dim: labels})


#: Times and the text that each has.
TIMES: dict[str, dict[str, str | None]] = {
    "dates": {"2024-01-01": "2024-01-01", "2024-01-11": "2024-01-11"},
    "minutes": {"2024-01-01T10:30": "2024-01-01T10:30", "2024-01-01T10": "2024-01-01T10:00"},
    "midnight beside noon": {"2024-01-01T00:00": "2024-01-01", "2024-01-01T12:00": "2024-01-01T12:00"},
    "seconds": {"2024-01-01T10:30:05": "2024-01-01T10:30:05", "2024-01-01T10:30:10": "2024-01-01T10:30:10"},
    "fractions": {"2024-01-01T00:00:00.500": "2024-01-01T00:00:00.5", "2024-01-01T01:00:00.000": "2024-01-01T01:00"},
    "nanoseconds": {"2024-01-01T00:00:00.000000001": "2024-01-01T00:00:00.000000001", "NaT": None},
}

#: Those that seconds do not hold.
FINE = ("fractions", "nanoseconds")

LABELS: dict[str, tuple[str, Any, tuple[str | None, ...]]] = {
    "lead times": ("step", np.array([0, 90, -1440], "timedelta64[m]"), ("PT0S", "PT1H30M", "-P1D")),
    "wavelengths": ("wavelength", np.array([490.5, 0.1]), ("490.5", "0.1")),
    "single precision": ("wavelength", np.array([0.49, 0.1], "float32"), ("0.49", "0.1")),
    "years": ("year", np.array([2023, 2024]), ("2023", "2024")),
    "texts": ("band", np.array(["B04", "B08"]), ("B04", "B08")),
    "texts of another axis": ("polarisation", np.array(["VV", "VH"], object), ("VV", "VH")),
    "bytes": ("band", np.array([b"B04", b"B08"]), ("B04", "B08")),
    "numbers of bands": ("band", np.array([1, 2]), (None, None)),
}


@pytest.mark.parametrize(
    ("texts", "unit"),
    [(TIMES[name], unit) for name in TIMES for unit in ("s", "ns") if unit == "ns" or name not in FINE],
)
def test_times_become_descriptions_in_the_shortest_exact_form(
    texts: dict[str, str | None], unit: str, tmp_path: Path
) -> None:
    array = along("time", np.array(list(texts), f"datetime64[{unit}]"))

    assert saved(array, tmp_path).descriptions == tuple(texts.values())


@pytest.mark.parametrize("unit", ["s", "ns"])
def test_times_with_a_time_zone_keep_it(unit: str, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    array = along("time", pandas.date_range("2024-05-01", periods=2, tz="Europe/Berlin").as_unit(unit))

    assert saved(array, tmp_path).descriptions == ("2024-05-01T00:00+02:00", "2024-05-02T00:00+02:00")


@pytest.mark.parametrize(("dim", "labels", "expected"), LABELS.values(), ids=LABELS)
def test_labels_along_an_axis_become_descriptions(
    dim: str, labels: Any, expected: tuple[str | None, ...], tmp_path: Path
) -> None:
    assert saved(along(dim, labels), tmp_path).descriptions == expected


def test_labels_are_descriptions_of_a_tiled_file_and_of_a_dask_array(tmp_path: Path) -> None:
    pytest.importorskip("dask.array", reason="dask is not installed")
    array = along("time", np.array(["2024-01-01", "2024-01-11"], "M8[ns]")).chunk({"time": 1})

    save_tiled_geotiff(array, tmp_path / "out.tif")

    assert read_summary(tmp_path / "out.tif").descriptions == ("2024-01-01", "2024-01-11")


def test_labels_of_two_axes_that_were_stacked_are_joined(tmp_path: Path) -> None:
    times = np.array(["2024-01-01", "2024-01-11"], "M8[ns]")
    array = data_array(ramp()).assign_coords(band=["red", "nir"]).expand_dims(time=times)

    found = saved(array.stack(layer=("time", "band")).transpose("layer", "y", "x"), tmp_path)

    assert found.descriptions == ("2024-01-01 red", "2024-01-01 nir", "2024-01-11 red", "2024-01-11 nir")


@pytest.mark.parametrize("name", ["noleap", "360_day", "standard"])
def test_dates_of_other_calendars_have_the_same_form(name: str, tmp_path: Path) -> None:
    cftime = pytest.importorskip("cftime", reason="cftime is not installed")
    times = [cftime.datetime(2024, 2, 28, calendar=name), cftime.datetime(2024, 2, 28, 6, calendar=name)]

    assert saved(along("time", times), tmp_path).descriptions == ("2024-02-28", "2024-02-28T06:00")


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (datetime.date(2024, 1, 2), "2024-01-02"),
        (datetime.datetime(2024, 1, 2, 3, 4, 5, 600000), "2024-01-02T03:04:05.6"),
        (datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC), "2024-01-02T00:00+00:00"),
        (np.timedelta64(90_061_500, "ms"), "P1DT1H1M1.5S"),
        ((np.datetime64("2024-01-01"), None, 3), "2024-01-01 3"),
        (None, None),
    ],
    ids=str,
)
def test_a_label_has_its_shortest_exact_form(label: Any, text: str | None) -> None:
    assert label_text(label) == text


# Beside other names.


def test_long_names_of_bands_take_precedence_over_labels(tmp_path: Path) -> None:
    labels = np.array(["2024-01-01", "2024-01-11"], "M8[ns]")

    assert saved(along("time", labels, attrs={"long_name": ("old", "new")}), tmp_path).descriptions == ("old", "new")


def test_labels_take_precedence_over_one_name_of_all_bands(tmp_path: Path) -> None:
    array = along("time", np.array(["2024-01-01", "2024-01-11"], "M8[ns]"), attrs={"long_name": "NDVI"}, name="ndvi")

    save_cog(array, tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.descriptions == ("2024-01-01", "2024-01-11")
        assert dataset.tags()["long_name"] == "NDVI"


def test_a_single_band_keeps_its_long_name(tmp_path: Path) -> None:
    array = along("time", np.array(["2024-01-01"], "M8[ns]"), attrs={"long_name": "NDVI"})

    assert saved(array, tmp_path).descriptions == ("NDVI",)


# Names that dask made.


def of_dask() -> dict[str, Any]:
    dask_array = pytest.importorskip("dask.array", reason="dask is not installed")
    ones = dask_array.ones((2, 60, 50), chunks=(1, 30, 50), dtype="int16")
    return {
        "ones": ones,
        "a sum": ones + 1,
        "from an array": dask_array.from_array(ramp(), chunks=(1, 30, 50)),
        "without a hash": dask_array.from_array(ramp(), chunks=(1, 30, 50), name=False),
    }


@pytest.mark.parametrize("which", ["ones", "a sum", "from an array", "without a hash"])
@pytest.mark.parametrize("computed", [False, True], ids=["lazy", "computed"])
def test_generated_name_of_dask_is_not_a_band_name(which: str, computed: bool, tmp_path: Path) -> None:
    array = data_array(of_dask()[which])
    assert array.name  # xarray takes dask's
    array = array.compute() if computed else array

    assert saved(array, tmp_path).descriptions == (None, None)


def test_generated_name_of_dask_is_not_in_messages() -> None:
    assert open_source(data_array(of_dask()["ones"])).name == "DataArray"
    assert open_source(data_array(of_dask()["ones"], name="ndvi")).name == "DataArray 'ndvi'"


def test_a_name_given_to_a_dask_array_is_a_band_name(tmp_path: Path) -> None:
    dask_array = pytest.importorskip("dask.array", reason="dask is not installed")
    array = data_array(dask_array.from_array(ramp(), chunks=(1, 30, 50), name="ndvi-2024"))

    assert saved(array, tmp_path).descriptions == ("ndvi-2024", "ndvi-2024")


def test_bytes_do_not_depend_on_the_name_of_a_dask_array(tmp_path: Path) -> None:
    for run in ("one", "two"):
        save_cog(data_array(of_dask()["without a hash"]), tmp_path / run)

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("bands", [(2, 1, 0), (2, 0), (1, 0, 2)])
def test_names_scales_and_units_follow_reordered_bands(bands: tuple[int, ...], tmp_path: Path) -> None:
    attrs: dict[str, tuple[Any, ...]] = {
        "long_name": ("red", "green", "nir"),
        "scales": (0.1, 0.2, 0.3),
        "units": ("a", "b", "c"),
    }
    array = data_array(ramp((3, 60, 50)), attrs=attrs).assign_coords(band=[1, 2, 3]).isel(band=list(bands))

    if len(bands) == 3:
        with pytest.warns(MetadataWarning, match=r"long_name, units, scales: read in the order of the band numbers"):
            save_cog(array, tmp_path / "out.tif")
    else:
        save_cog(array, tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        found = dataset.descriptions, dataset.scales, dataset.units
    assert found == tuple(tuple(attrs[name][band] for band in bands) for name in attrs)


def test_names_of_reordered_bands_without_numbers_are_in_the_order_of_the_bands(tmp_path: Path) -> None:
    array = data_array(ramp((3, 60, 50))).assign_coords(band=[1, 2, 3]).isel(band=[2, 1, 0])

    save_cog(array.assign_attrs(long_name=["nir", "green", "red"]).drop_vars("band"), tmp_path / "out.tif")

    assert read_summary(tmp_path / "out.tif").descriptions == ("nir", "green", "red")
