"""CogWriter: which numbers fit, what masks become, and what is refused before anything is written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from conftest import CRS, TRANSFORM
from georeader import CogWriter, GeoTensor
from georeader.errors import (
    DestinationError,
    DtypeError,
    GeoreaderError,
    GeoreferenceError,
    MetadataError,
    MetadataWarning,
    MissingExtraError,
    NodataError,
    NotSupportedError,
    OptionError,
    ReadError,
    ShapeError,
)

#: A raster of one band, 40 rows and 50 columns.
SMALL: dict[str, Any] = {"shape": (40, 50), "dtype": "uint8", "transform": TRANSFORM, "crs": CRS}

#: Every other pixel of every other row is hidden.
HIDDEN = np.zeros((40, 50), bool)
HIDDEN[::2, ::2] = True


def written(path: Path, array: Any, **how: Any) -> NDArray[Any]:
    """Write the whole raster and return the pixels of the file."""
    with CogWriter(path, **SMALL | how) as writer:
        writer.write(array)
    with rasterio.open(path) as dataset:
        pixels: NDArray[Any] = dataset.read()
    return pixels


class TestNumbers:
    @pytest.mark.parametrize(
        ("number", "dtype", "in_file"),
        [
            (255, "uint8", 255),
            (True, "uint8", 1),
            (-3.0, "int16", -3),
            (1.5, "uint8", 2),
            (2.5, "uint8", 2),
            (7, "float32", 7),
            (np.float64(0.1), "float32", np.float32(0.1)),
            (2, "complex64", 2 + 0j),
            (2**63 - 1, "int64", 2**63 - 1),
            (True, "bool", 1),
            (5, ">i2", 5),
        ],
        ids=str,
    )
    def test_values_that_the_dtype_holds_are_converted(
        self, number: Any, dtype: str, in_file: Any, tmp_path: Path
    ) -> None:
        assert np.unique(written(tmp_path / "out.tif", np.full((40, 50), number), dtype=dtype)).tolist() == [in_file]

    @pytest.mark.parametrize(
        ("number", "dtype"),
        [
            (300, "uint8"),
            (-1, "uint8"),
            (-0.6, "uint16"),
            (np.nan, "uint16"),
            (np.inf, "int16"),
            (2**31, "int32"),
            (1e300, "float32"),
            (2**24 + 1, "float32"),
            (1j, "float64"),
        ],
        ids=str,
    )
    def test_values_that_the_dtype_cannot_hold_are_refused(self, number: Any, dtype: str, tmp_path: Path) -> None:
        values = np.zeros((40, 50), np.asarray(number).dtype)
        values[20, 20] = number

        with pytest.raises(DtypeError, match=f"cannot be saved as {dtype}"):
            written(tmp_path / "out.tif", values, dtype=dtype)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("number", [5, -1, np.nan, 0.3], ids=str)
    def test_bool_accepts_0_and_1_only(self, number: Any, tmp_path: Path) -> None:
        with pytest.raises(DtypeError, match="bool"):
            written(tmp_path / "out.tif", np.full((40, 50), number), dtype=bool)

    @pytest.mark.parametrize(
        "values", [np.full((40, 50), "a"), np.zeros((40, 50), "M8[s]"), [[1, 2], [3]]], ids=["text", "dates", "ragged"]
    )
    def test_objects_other_than_numeric_arrays_are_refused(self, values: Any, tmp_path: Path) -> None:
        with pytest.raises((DtypeError, ShapeError)):
            written(tmp_path / "out.tif", values)

    def test_the_error_names_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(DtypeError, match=r"out\.tif"):
            written(tmp_path / "out.tif", np.full((40, 50), 300))

    @pytest.mark.parametrize(("dtype", "number"), [("uint8", 300), ("float32", 0.1), ("float16", 2.001)])
    def test_the_dtype_of_the_profile_is_that_of_the_file(self, dtype: str, number: float, tmp_path: Path) -> None:
        values = np.full((40, 50), number)

        found = written(tmp_path / "out.tif", values, dtype=dtype, profile_arg={"dtype": "float64"})

        assert np.unique(found).tolist() == [number]

    def test_values_that_the_dtype_of_the_profile_cannot_hold_are_refused(self, tmp_path: Path) -> None:
        """And not when hours of work are done."""
        values = np.full((40, 50), 300.0)

        how = SMALL | {"dtype": "float32", "profile_arg": {"dtype": "uint8"}}

        with CogWriter(tmp_path / "out.tif", **how) as writer, pytest.raises(DtypeError, match="uint8"):
            writer.write(values)


class TestMasks:
    @pytest.mark.parametrize("as_tensor", [False, True], ids=["array", "GeoTensor"])
    @pytest.mark.parametrize(
        ("dtype", "file_dtype", "nodata"),
        [("uint8", "uint8", 255), ("bool", "uint8", 255), ("float32", "uint8", 255), ("uint16", "float32", np.nan)],
    )
    def test_masked_pixels_are_nodata(
        self, dtype: str, file_dtype: str, nodata: float, as_tensor: bool, tmp_path: Path
    ) -> None:
        masked: Any = np.ma.masked_array(np.ones((40, 50), dtype), HIDDEN)
        if as_tensor:
            masked = GeoTensor(masked, TRANSFORM, CRS, 0)

        with CogWriter(tmp_path / "out.tif", **SMALL | {"dtype": file_dtype}, nodata=nodata) as writer:
            writer.write(masked, Window(0, 0, 50, 40))

        with rasterio.open(tmp_path / "out.tif") as dataset:
            np.testing.assert_array_equal(dataset.read(1), np.where(HIDDEN, nodata, 1))
            np.testing.assert_array_equal(dataset.dataset_mask() == 0, HIDDEN)

    def test_masked_pixels_are_nodata_that_the_arrays_dtype_cannot_hold(self, tmp_path: Path) -> None:
        masked = np.ma.masked_array(np.ones((40, 50), "uint8"), HIDDEN)

        found = written(tmp_path / "out.tif", masked, dtype="int16", nodata=-1)

        np.testing.assert_array_equal(found[0], np.where(HIDDEN, -1, 1))

    def test_masked_values_need_not_fit_the_dtype(self, tmp_path: Path) -> None:
        values = np.where(HIDDEN, np.nan, 3.0)

        found = written(tmp_path / "out.tif", np.ma.masked_invalid(values), nodata=255)

        np.testing.assert_array_equal(found[0], np.where(HIDDEN, 255, 3))

    def test_bands_may_have_different_masks(self, tmp_path: Path) -> None:
        """As by ``dataset.read(masked=True)`` where bands have nodata at different pixels."""
        hidden = np.stack([HIDDEN, ~HIDDEN])

        found = written(
            tmp_path / "out.tif", np.ma.masked_array(np.ones((2, 40, 50), "uint8"), hidden), shape=(2, 40, 50), nodata=0
        )

        np.testing.assert_array_equal(found, ~hidden)

    def test_masked_pixels_are_masked_in_a_lossy_codec(self, tmp_path: Path) -> None:
        hidden = np.zeros((3, 40, 50), bool)
        hidden[:, :16] = True
        masked = np.ma.masked_array(np.full((3, 40, 50), 90, "uint8"), hidden)

        written(tmp_path / "out.tif", masked, shape=(3, 40, 50), nodata=0, profile_arg={"compress": "jpeg"})

        with rasterio.open(tmp_path / "out.tif") as dataset:
            np.testing.assert_array_equal(dataset.dataset_mask() == 0, hidden[0])

    @pytest.mark.parametrize(
        "mask", [np.ones((3, 3), bool), np.zeros((40, 50), "uint8"), "none"], ids=["size", "dtype", "text"]
    )
    def test_invalid_mask_of_a_geotensor_is_refused(self, mask: Any, tmp_path: Path) -> None:
        tensor = GeoTensor(np.ones((40, 50), "uint8"), TRANSFORM, CRS, 0, attrs={"mask": mask})

        with pytest.raises((ShapeError, DtypeError), match="mask"):
            written(tmp_path / "out.tif", tensor, nodata=255)

    def test_mask_is_refused_without_nodata(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match=r"out\.tif.*pass nodata"):
            written(tmp_path / "out.tif", np.ma.masked_array(np.ones((40, 50), "uint8"), HIDDEN))

    def test_masked_array_without_masked_pixels_needs_no_nodata(self, tmp_path: Path) -> None:
        assert written(tmp_path / "out.tif", np.ma.masked_array(np.ones((40, 50), "uint8"))).min() == 1

    def test_array_is_not_changed(self, tmp_path: Path) -> None:
        masked = np.ma.masked_array(np.ones((40, 50)), HIDDEN)

        written(tmp_path / "out.tif", masked, nodata=255)

        assert masked.data.min() == 1
        np.testing.assert_array_equal(masked.mask, HIDDEN)


class TestRefusedAtConstruction:
    @pytest.mark.parametrize(
        ("wish", "error", "message"),
        [
            ({"profile_arg": {"compres": "lzw"}}, OptionError, "did you mean 'COMPRESS'"),
            ({"profile_arg": {"compress": "jpeg"}, "dtype": "float32"}, OptionError, "jpeg"),
            ({"profile_arg": {"compress": "webp"}}, OptionError, "3 or 4 bands"),
            ({"profile_arg": {"predictor": 3}}, OptionError, "predictor 3"),
            ({"profile_arg": {"count": 2}}, OptionError, "count"),
            ({"profile_arg": 3}, OptionError, "profile_arg is a int"),
            ({"profile_arg": {"TILING_SCHEME": "x"}, "engine": "stream"}, OptionError, "TILING_SCHEME"),
            ({"engine": "rasterio"}, OptionError, "engine='rasterio' is unknown"),
            ({"engine": "gdal", "verify": True}, OptionError, "cannot verify"),
            ({"progress": "yes"}, OptionError, "progress='yes'"),
            ({"nodata": 300}, NodataError, "nodata=300 cannot be held by uint8"),
            ({"nodata": np.nan}, NodataError, "nodata=nan"),
            ({"nodata": "none"}, NodataError, "nodata='none'"),
            ({"nodata": 1, "profile_arg": {"nodata": 2}}, OptionError, "contradict"),
            ({"descriptions": ["a", "b"]}, MetadataError, "2 entries for 1 bands"),
            ({"descriptions": "red"}, MetadataError, "pass \\['red'\\]"),
            ({"tags": ["a"]}, MetadataError, "tags is a list"),
            ({"tags": {"a=b": 1}}, MetadataError, "a=b"),
            ({"shape": None}, ShapeError, "pass shape="),
            ({"shape": (40,)}, ShapeError, "pass \\(row, column\\)"),
            ({"shape": (1, 1, 40, 50)}, ShapeError, "pass \\(row, column\\)"),
            ({"shape": (0, 50)}, ShapeError, r"invalid shape=\(0, 50\); pass \(row, column\)"),
            ({"shape": (40.0, 50.0)}, ShapeError, r"invalid shape=\(40.0, 50.0\); pass \(row, column\)"),
            ({"shape": 40}, ShapeError, r"invalid shape=40; pass \(row, column\)"),
            ({"dtype": None}, DtypeError, "pass dtype="),
            ({"dtype": "int13"}, DtypeError, "int13"),
            ({"dtype": "datetime64[s]"}, DtypeError, "cast to int64"),
            ({"transform": None}, GeoreferenceError, "pass transform="),
            ({"transform": (1, 2, 3)}, GeoreferenceError, "not an affine transform"),
            ({"transform": (0, 0, 0, 0, 0, 0)}, GeoreferenceError, "no area"),
            ({"crs": "EPSG:0"}, GeoreferenceError, "EPSG:0"),
            ({"like": np.ones((40, 50))}, GeoreferenceError, "without transform, crs"),
            ({"like": "missing.tif"}, ReadError, "missing.tif"),
            ({"dir_tmpfiles": "missing"}, DestinationError, "dir_tmpfiles='missing'"),
            ({"fs": object()}, DestinationError, "fs is a object; pass a filesystem"),
        ],
        ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
    )
    def test_conflicting_options_are_refused(
        self, wish: dict[str, Any], error: type[GeoreaderError], message: str, tmp_path: Path
    ) -> None:
        (tmp_path / "out.tif").write_bytes(b"the earlier file")

        with pytest.raises(error, match=message):
            CogWriter(tmp_path / "out.tif", **SMALL | wish)

        assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"out.tif": b"the earlier file"}

    @pytest.mark.parametrize(
        ("path", "error"),
        [
            ("missing/out.tif", DestinationError),
            (".", DestinationError),
            ("", DestinationError),
            (3, DestinationError),
            ("s3://bucket", DestinationError),
            ("/vsimem/out.tif", NotSupportedError),
        ],
        ids=repr,
    )
    def test_invalid_path_is_refused(
        self, path: Any, error: type[GeoreaderError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)

        with pytest.raises(error):
            CogWriter(path, **SMALL)

    def test_progress_without_tqdm_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tqdm", None)

        with pytest.raises(MissingExtraError, match="tqdm"):
            CogWriter(tmp_path / "out.tif", **SMALL, progress=True)

    def test_crs_that_a_geotiff_cannot_represent_is_refused(self, tmp_path: Path) -> None:
        rotated = "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +to_meter=0.0174532925199433"

        with pytest.raises(GeoreferenceError, match="cannot be represented in a GeoTIFF"):
            CogWriter(tmp_path / "out.tif", **SMALL | {"crs": rotated})

    def test_only_keywords_follow_the_path(self, tmp_path: Path) -> None:
        with pytest.raises(TypeError, match="positional"):
            CogWriter(tmp_path / "out.tif", "like.tif")  # type: ignore[misc]

    def test_arguments_are_copied_at_construction(self, tmp_path: Path) -> None:
        profile_arg, tags, descriptions = {"compress": "zstd"}, {"model": "v1"}, ["red"]

        with CogWriter(tmp_path / "out.tif", **SMALL, profile_arg=profile_arg, tags=tags, descriptions=descriptions):
            profile_arg["compress"], tags["model"], descriptions[0] = "nonsense", "v2", "blue"

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert (dataset.compression.name, dataset.tags()["model"]) == ("zstd", "v1")
            assert dataset.descriptions == ("red",)

    def test_arguments_are_not_changed(self, tmp_path: Path) -> None:
        profile_arg, tags, descriptions = {"compress": "zstd"}, {"model": 1}, ["red"]

        with CogWriter(tmp_path / "out.tif", **SMALL, profile_arg=profile_arg, tags=tags, descriptions=descriptions):
            pass

        assert (profile_arg, tags, descriptions) == ({"compress": "zstd"}, {"model": 1}, ["red"])


def test_crs_that_reads_back_differently_is_named_in_one_warning(tmp_path: Path) -> None:
    with (
        pytest.warns(MetadataWarning, match="comes back from a GeoTIFF as 'EPSG:4326'") as caught,
        CogWriter(tmp_path / "out.tif", **SMALL | {"crs": "OGC:CRS84"}) as writer,
    ):
        writer.write(np.zeros((40, 50), "uint8"))

    assert len(caught) == 1
