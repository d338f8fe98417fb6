"""nodata: what it is by default, what the dtype can hold, and when a warning is due."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import tifffile
from rasterio.io import MemoryFile

from georeader import CogWriter, GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader.errors import FillValueWarning, NodataError, OptionError
from georeader.validation import info
from geotoolz.cloud import MaskClouds

PLACE = (rasterio.Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630")

both = pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])


def same(a: Any, b: Any) -> bool:
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


@both
@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("uint8", 0),
        ("uint8", 255),
        ("uint8", 255.0),
        ("bool", False),
        ("bool", 255),
        ("uint16", 65535),
        ("int16", -32768),
        ("uint32", 2**32 - 1),
        ("int32", -(2**31)),
        ("float32", np.nan),
        ("float32", -9999.0),
        ("float32", float(np.float32(0.1))),
        ("float32", float(np.finfo("float32").min)),
        ("float32", -np.inf),
        ("float64", 1e300),
        ("complex64", 0.0),
        ("int64", 0),
        ("int64", -1),
        ("int64", -(2**63)),
        ("int64", 2**63 - 1),
        ("uint64", 2**64 - 1),
        ("uint8", np.uint8(7)),
        ("float32", np.float32(-9999)),
    ],
)
def test_nodata_is_read_back(save: Any, dtype: str, nodata: Any, make_tensor: Any, tmp_path: Path) -> None:
    save(make_tensor((2, 300, 300), dtype), tmp_path / "out.tif", nodata=nodata)

    reader = RasterioReader(tmp_path / "out.tif")
    assert same(reader.nodata, nodata.item() if isinstance(nodata, np.generic) else nodata)
    assert same(reader.fill_value_default, reader.nodata)


def nodata_text(path: Path) -> str:
    """Return the text of the tag GDAL_NODATA."""
    with tifffile.TiffFile(path) as tiff:
        entry = tiff.pages[0].tags[42113]
        tiff.filehandle.seek(entry.valueoffset)
        return bytes(tiff.filehandle.read(entry.count)).rstrip(b"\0").decode()


def write_by_gdal(path: Path, dtype: str, nodata: float) -> None:
    """Copy a raster by GDAL's COG driver."""
    place = {"transform": rasterio.Affine(10, 0, 500000, 0, -10, 4000000), "crs": "EPSG:32630"}
    with MemoryFile() as file:
        with file.open(driver="GTiff", height=8, width=8, count=1, dtype=dtype, nodata=nodata, **place):
            pass
        with file.open() as source:
            rasterio.shutil.copy(source, path, driver="COG")


@both
@pytest.mark.parametrize("engine", ["stream", "gdal"])
@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("float32", -9999.99),
        ("float32", 0.1),
        ("float32", 1 / 3),
        ("float32", 1e20),
        ("float32", 1e-40),
        ("float32", 16777217),
        ("float32", -3.4e38),
        ("float32", -3.40282347e38),
        ("float32", -9999),
        ("float32", np.nan),
        ("float32", np.inf),
        ("float32", -np.inf),
        ("float64", -9999.99),
        ("float64", 0.1),
        ("float64", -1.7976931348623157e308),
        ("float64", np.nan),
        ("float64", -np.inf),
        ("complex64", -9999.99),
        ("complex64", np.nan),
        ("complex128", 0.1),
        ("uint8", 255),
        ("int8", -128),
        ("int16", -9999),
        ("uint32", 2**32 - 1),
    ],
)
def test_nodata_is_written_as_by_gdals_cog_driver(
    save: Any, engine: str, dtype: str, nodata: float, make_tensor: Any, tmp_path: Path
) -> None:
    receipt = save(make_tensor((1, 8, 8), dtype, fill_value_default=nodata), tmp_path / "out.tif", engine=engine)

    write_by_gdal(tmp_path / "gdal.tif", dtype, nodata)
    with rasterio.open(tmp_path / "gdal.tif") as dataset:
        wanted = dataset.nodata
    assert nodata_text(tmp_path / "out.tif") == nodata_text(tmp_path / "gdal.tif")
    found = (receipt.nodata, RasterioReader(tmp_path / "out.tif").nodata, info(tmp_path / "out.tif").place.nodata)
    assert all(same(float(value), wanted) for value in found)


@pytest.mark.parametrize("engine", ["stream", "gdal"])
@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("int64", -(2**63)),
        ("uint64", 2**64 - 1),
        ("complex64", np.inf),
        ("complex64", -np.inf),
        ("complex128", np.inf),
    ],
)
def test_a_nodata_that_rasterio_cannot_pass_is_written(
    engine: str, dtype: str, nodata: float, make_tensor: Any, tmp_path: Path
) -> None:
    save_cog(make_tensor((1, 300, 300), dtype, fill_value_default=nodata), tmp_path / "out.tif", engine=engine)

    assert nodata_text(tmp_path / "out.tif") == str(nodata)
    assert RasterioReader(tmp_path / "out.tif").nodata == nodata


@pytest.mark.parametrize(
    ("pixels", "dtype", "nodata", "wanted"),
    [
        ("float32", "float64", -9999.99, "-9999.990234375"),
        ("float16", "float32", -9999.99, "-9999.990234375"),
        ("float16", "float32", 1e20, "1.0000000200408773e+20"),
        ("int16", "float32", -9999.99, "-9999.990234375"),
        ("float32", "int32", 2**31 - 1, "2147483647"),
    ],
)
def test_nodata_of_converted_pixels_is_converted(
    pixels: str, dtype: str, nodata: float, wanted: str, make_tensor: Any, tmp_path: Path
) -> None:
    save_cog(make_tensor((1, 8, 8), pixels), tmp_path / "out.tif", nodata=nodata, profile_arg={"dtype": dtype})

    assert nodata_text(tmp_path / "out.tif") == wanted


def test_the_nodata_of_a_stac_item_is_that_of_the_file(make_tensor: Any, tmp_path: Path) -> None:
    receipt = save_cog(make_tensor((1, 8, 8), "float32"), tmp_path / "out.tif", nodata=-9999.99)

    item = receipt.to_stac(datetime=datetime(2024, 1, 1, tzinfo=UTC))
    assert '"nodata": -9999.990234375' in json.dumps(item.to_dict())


@pytest.mark.parametrize("nodata", [2**60 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)])
def test_a_64_bit_nodata_is_written_to_the_last_digit(nodata: int, make_tensor: Any, tmp_path: Path) -> None:
    save_cog(make_tensor((1, 300, 300), "int64"), tmp_path / "out.tif", nodata=nodata)

    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        entry = tiff.pages[0].tags[42113]
        tiff.filehandle.seek(entry.valueoffset)
        assert tiff.filehandle.read(entry.count).rstrip(b"\0").decode() == str(nodata)


def test_nodata_of_64_bits_is_written_with_any_gdal_configuration(make_tensor: Any, tmp_path: Path) -> None:
    with rasterio.Env(GDAL_PAM_ENABLED="NO", GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        save_cog(make_tensor((1, 300, 300), "int64"), tmp_path / "out.tif", nodata=-5)

    assert RasterioReader(tmp_path / "out.tif").nodata == -5


def test_overviews_leave_out_a_64_bit_nodata(tmp_path: Path, make_tensor: Any) -> None:
    nodata = -(2**63)
    values = np.full((1, 300, 300), 8, "int64")
    values[:, ::2, ::2] = nodata

    save_cog(make_tensor().like(values, fill_value_default=nodata), tmp_path / "out.tif")

    assert set(RasterioReader(tmp_path / "out.tif").reader_overview(0).values.flat) == {8}


@both
@pytest.mark.parametrize(
    ("dtype", "nodata", "message"),
    [
        ("uint8", -9999, "nodata=-9999 cannot be held by uint8, which holds integers from 0 to 255"),
        ("uint8", 256, "nodata=256 cannot be held by uint8"),
        ("bool", -1, "nodata=-1 cannot be held by uint8"),
        ("int16", np.nan, "nodata=nan cannot be held by int16"),
        ("int16", 1.5, "nodata=1.5 cannot be held by int16"),
        ("int16", np.inf, "nodata=inf cannot be held by int16"),
        ("uint64", -1, "nodata=-1 cannot be held by uint64"),
        ("int64", 2**63, "cannot be held by int64"),
        ("float32", 1e300, r"nodata=1e\+300 cannot be held by float32, which ends at 3.40282e\+38"),
        ("float64", "nan", "nodata='nan' is not a real number"),
        ("float32", 1e-50, "nodata=1e-50 cannot be held by float32"),
        ("float64", 10**400, "cannot be held by float64"),
        ("complex64", 1j, "nodata=1j is not a real number"),
    ],
)
def test_a_nodata_that_the_dtype_cannot_hold_is_refused(
    save: Any,
    dtype: str,
    nodata: Any,
    message: str,
    make_tensor: Any,
    tmp_path: Path,
    contents: Callable[[Path], dict[str, bytes]],
) -> None:
    with pytest.raises(NodataError, match=message):
        save(make_tensor((1, 20, 20), dtype), tmp_path / "out.tif", nodata=nodata)

    assert contents(tmp_path) == {}


def test_smallest_float32_as_printed_by_numpy_is_accepted(make_tensor: Any, tmp_path: Path) -> None:
    save_cog(make_tensor((1, 20, 20), "float32"), tmp_path / "out.tif", nodata=-3.4028235e38)

    assert RasterioReader(tmp_path / "out.tif").nodata == np.finfo("float32").min


def test_a_fill_value_that_the_dtype_cannot_hold_is_refused_by_its_name(make_tensor: Any, tmp_path: Path) -> None:
    with pytest.raises(NodataError, match="data_save.fill_value_default=-9999 cannot be held by uint8"):
        save_cog(make_tensor((1, 20, 20), "uint8", fill_value_default=-9999), tmp_path / "out.tif")


@pytest.mark.parametrize("fill", [None, 0, 3, 255])
def test_nodata_is_the_fill_value_by_default(fill: int | None, make_tensor: Any, tmp_path: Path) -> None:
    save_cog(make_tensor((1, 20, 20), "uint8", fill_value_default=fill), tmp_path / "out.tif")

    assert RasterioReader(tmp_path / "out.tif").nodata == fill


def test_argument_overrides_the_fill_value(make_tensor: Any, tmp_path: Path) -> None:
    save_cog(make_tensor((1, 20, 20), "uint8", fill_value_default=3), tmp_path / "out.tif", nodata=4)

    assert RasterioReader(tmp_path / "out.tif").nodata == 4


def test_profile_with_nodata_none_declares_no_nodata(make_tensor: Any, tmp_path: Path) -> None:
    tensor = make_tensor((1, 20, 20), "uint8", fill_value_default=3)

    save_cog(tensor, tmp_path / "out.tif", profile_arg={"nodata": None})

    assert RasterioReader(tmp_path / "out.tif").nodata is None


class TestWarning:
    """Zero is a class or a measurement in most rasters: as nodata by default it warns."""

    @staticmethod
    def unsaid(make_tensor: Any, dtype: str = "float32") -> GeoTensor:
        tensor = make_tensor((1, 20, 20), dtype)
        return GeoTensor(tensor.values, tensor.transform, tensor.crs)

    @both
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64"])
    def test_zero_by_default_warns_at_the_callers_line(
        self, save: Any, dtype: str, make_tensor: Any, tmp_path: Path
    ) -> None:
        with pytest.warns(FillValueWarning, match=r"Pass nodata=numpy\.nan") as caught:
            save(self.unsaid(make_tensor, dtype), tmp_path / "out.tif")

        assert caught[0].filename == __file__
        assert RasterioReader(tmp_path / "out.tif").nodata == 0

    @both
    @pytest.mark.parametrize("engine", ["stream", "gdal"])
    @pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64"])
    def test_zero_by_default_warns_for_integers(
        self, save: Any, engine: str, dtype: str, make_tensor: Any, tmp_path: Path
    ) -> None:
        with pytest.warns(FillValueWarning, match=r"nodata of this u?int\d+ raster is 0 .* Pass nodata=0 if") as caught:
            save(self.unsaid(make_tensor, dtype), tmp_path / "out.tif", engine=engine)

        assert caught[0].filename == __file__

    @pytest.mark.parametrize(
        "derive",
        [
            pytest.param(lambda gt: gt[:, 2:9], id="slice"),
            pytest.param(lambda gt: gt + gt, id="arithmetic"),
            pytest.param(lambda gt: gt.astype("int32"), id="astype"),
            pytest.param(lambda gt: gt.copy(), id="copy"),
            pytest.param(lambda gt: GeoTensor.stack([gt[0], gt[0].like(gt.values[0], nodata=0)]), id="stack"),
            pytest.param(lambda gt: GeoTensor.concatenate([gt, gt.like(gt.values, nodata=0)]), id="concatenate"),
            pytest.param(lambda gt: MaskClouds(scl_idx=0)(gt), id="operator"),
        ],
    )
    def test_zero_by_default_warns_after_operations(self, derive: Any, make_tensor: Any, tmp_path: Path) -> None:
        with pytest.warns(FillValueWarning):
            save_cog(derive(self.unsaid(make_tensor, "uint8")), tmp_path / "out.tif")

    def test_zero_by_default_of_the_template_warns_in_a_writer(self, make_tensor: Any, tmp_path: Path) -> None:
        with pytest.warns(FillValueWarning):
            CogWriter(tmp_path / "out.tif", like=self.unsaid(make_tensor, "uint8"))

    def test_explicit_zero_stays_explicit_after_conversion_to_float(self, make_tensor: Any, tmp_path: Path) -> None:
        bands = make_tensor((2, 20, 20), "uint16", nodata=0, fill_value_default=0)

        with warnings.catch_warnings():
            warnings.simplefilter("error", FillValueWarning)
            save_cog((bands * 1.5).astype("uint16"), tmp_path / "out.tif")

        assert RasterioReader(tmp_path / "out.tif").nodata == 0

    def test_integers_that_became_floating_point_warn_too(self, make_tensor: Any, tmp_path: Path) -> None:
        bands = make_tensor((2, 20, 20), "uint16", fill_value_default=0)

        with pytest.warns(FillValueWarning):
            save_cog((bands[0] - bands[1]) / (bands[0] + bands[1]), tmp_path / "out.tif")

    @pytest.mark.parametrize(
        ("dtype", "fill", "arguments"),
        [
            ("float32", 0, {}),
            ("float32", np.nan, {}),
            ("float32", None, {}),
            ("uint8", 0, {}),
            ("float32", None, {"nodata": 0}),
            ("float32", None, {"profile_arg": {"nodata": 0}}),
        ],
    )
    def test_explicit_nodata_does_not_warn(
        self, dtype: str, fill: Any, arguments: dict[str, Any], make_tensor: Any, tmp_path: Path
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FillValueWarning)
            save_cog(make_tensor((1, 20, 20), dtype, fill_value_default=fill), tmp_path / "out.tif", **arguments)

    def test_nodata_argument_does_not_warn(self, make_tensor: Any, tmp_path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FillValueWarning)
            save_cog(self.unsaid(make_tensor, "uint8"), tmp_path / "a.tif", profile_arg={"nodata": None})
            save_cog(self.unsaid(make_tensor), tmp_path / "b.tif", nodata=np.nan)
            save_cog(self.unsaid(make_tensor), tmp_path / "c.tif", nodata=0)

    def test_a_mask_from_a_comparison_is_saved_without_nodata_that_it_cannot_hold(
        self, make_tensor: Any, tmp_path: Path
    ) -> None:
        for fill in (-9999, np.nan):
            save_cog(make_tensor((1, 20, 20), "float32", fill_value_default=fill) > 0, tmp_path / "mask.tif")

            assert RasterioReader(tmp_path / "mask.tif").nodata is None

    def test_explicit_zero_of_a_reader_does_not_warn(self, make_tensor: Any, tmp_path: Path) -> None:
        save_cog(make_tensor((1, 20, 20), "float32"), tmp_path / "in.tif")

        with warnings.catch_warnings():
            warnings.simplefilter("error", FillValueWarning)
            save_cog(RasterioReader(tmp_path / "in.tif", fill_value_default=0), tmp_path / "out.tif")

    def test_nodata_zero_of_a_file_does_not_warn(self, make_tensor: Any, tmp_path: Path) -> None:
        save_cog(make_tensor((1, 20, 20), "float32"), tmp_path / "in.tif", nodata=0)

        with warnings.catch_warnings():
            warnings.simplefilter("error", FillValueWarning)
            save_cog(RasterioReader(tmp_path / "in.tif"), tmp_path / "lazy.tif")
            save_cog(RasterioReader(tmp_path / "in.tif").load(), tmp_path / "loaded.tif")


def tenth() -> np.ndarray[Any, Any]:
    """Return a mask of 256 x 256 pixels of which one in ten, at random places, is True."""
    return np.random.default_rng(7).random((1, 256, 256)) < 0.1


MASKS = {
    "bool": lambda: GeoTensor(tenth(), *PLACE),
    "bool, nodata=None": lambda: GeoTensor(tenth(), *PLACE, nodata=None),
    "comparison, fill 0": lambda: GeoTensor(tenth().astype("int16"), *PLACE, 0) > 0,
    "comparison, fill -9999": lambda: GeoTensor(tenth().astype("float32"), *PLACE, -9999) > 0,
    "comparison, no fill": lambda: GeoTensor(tenth().astype("uint8"), *PLACE, None) == 1,
    "comparison, default fill": lambda: GeoTensor(tenth().astype("uint8"), *PLACE) == 1,
    "astype bool": lambda: GeoTensor(tenth().astype("uint8"), *PLACE, 0).astype(bool),
    "like": lambda: GeoTensor(tenth().astype("uint8"), *PLACE, 0).like(tenth()),
    "np.isnan": lambda: np.isnan(GeoTensor(np.where(tenth(), np.nan, 1.0), *PLACE, 0)),
    "np.zeros_like": lambda: np.zeros_like(GeoTensor(tenth().astype("uint8"), *PLACE, 0), dtype=bool) | tenth(),
    "np.any over bands": lambda: np.any(GeoTensor(tenth().repeat(2, axis=0).astype("uint8"), *PLACE, 0), axis=0),
    "validmask": lambda: GeoTensor(tenth().astype("uint8"), *PLACE, 0).validmask(),
    "invalidmask": lambda: ~GeoTensor(tenth().astype("uint8"), *PLACE, 0).invalidmask(),
    "not": lambda: ~GeoTensor(~tenth(), *PLACE),
    "slice": lambda: GeoTensor(tenth(), *PLACE)[:, :256],
    "stack": lambda: GeoTensor.stack([GeoTensor(tenth()[0], *PLACE)] * 2),
    "concatenate": lambda: GeoTensor.concatenate([GeoTensor(tenth(), *PLACE)] * 2),
    "astype uint8": lambda: GeoTensor(tenth(), *PLACE).astype("uint8") * np.uint8(200),
    "view": lambda: GeoTensor(tenth(), *PLACE).view("uint8") * np.uint8(200),
    "view as bool": lambda: GeoTensor(tenth().astype("uint8"), *PLACE, 0).view(bool),
    "times 200": lambda: (GeoTensor(tenth().astype("uint8"), *PLACE, 0) > 0) * np.uint8(200),
    "np.where": lambda: np.where(GeoTensor(tenth(), *PLACE), np.uint8(200), np.uint8(0)),
    "an object": lambda: SimpleNamespace(
        shape=(256, 256), values=tenth()[0], transform=PLACE[0], crs=PLACE[1], fill_value_default=0
    ),
}


#: What True became.
MOST = {"astype uint8": 200, "view": 200, "times 200": 200, "np.where": 200}


@pytest.mark.parametrize("engine", ["stream", "gdal"])
@pytest.mark.parametrize("made", MASKS)
def test_a_mask_has_no_nodata_and_keeps_its_share_in_overviews(made: str, engine: str, tmp_path: Path) -> None:
    options = {"blocksize": 64}  # bool is picked, integers are averaged
    with warnings.catch_warnings():
        warnings.simplefilter("error", FillValueWarning)
        save_cog(MASKS[made](), tmp_path / "mask.tif", profile_arg=options, engine=engine)

    with rasterio.open(tmp_path / "mask.tif") as dataset:
        assert dataset.nodata is None
        for factor in (1, 2, 4):
            pixels = dataset.read(1, out_shape=(256 // factor, 256 // factor))
            assert pixels.mean() / MOST.get(made, 1) == pytest.approx(0.1, abs=0.02)


def test_a_mask_written_in_windows_has_no_nodata(tmp_path: Path) -> None:
    with CogWriter(tmp_path / "mask.tif", like=GeoTensor(tenth(), *PLACE)) as writer:
        writer.write(tenth())

    assert RasterioReader(tmp_path / "mask.tif").nodata is None


@pytest.mark.parametrize("options", [{"nbits": 1}, {}])
def test_a_mask_read_from_a_file_has_no_nodata(options: dict[str, Any], tmp_path: Path) -> None:
    with rasterio.open(
        tmp_path / "in.tif", "w", driver="GTiff", width=256, height=256, count=1, dtype="uint8", crs=PLACE[1],
        transform=PLACE[0], **options,
    ) as dataset:  # fmt: skip
        dataset.write(tenth().astype("uint8"))

    loaded = RasterioReader(tmp_path / "in.tif").load()
    save_cog(loaded, tmp_path / "copy.tif")
    save_cog(loaded > 0, tmp_path / "mask.tif")

    assert loaded.nodata is None
    assert RasterioReader(tmp_path / "copy.tif").nodata is None
    assert RasterioReader(tmp_path / "mask.tif").nodata is None


def test_bool_array_declares_the_nodata_argument(tmp_path: Path) -> None:
    save_cog(GeoTensor(tenth(), *PLACE, nodata=False), tmp_path / "mask.tif")

    assert RasterioReader(tmp_path / "mask.tif").nodata == 0


@pytest.mark.parametrize(
    ("arguments", "fill"),
    [
        ({"nodata": 5}, 5),
        ({"nodata": None}, None),
        ({"nodata": 5, "fill_value_default": 5.0}, 5),
        ({"nodata": np.nan, "fill_value_default": np.nan}, np.nan),
        ({"nodata": None, "fill_value_default": None}, None),
    ],
)
def test_nodata_is_another_name_of_the_fill_value(arguments: dict[str, Any], fill: Any) -> None:
    gt = GeoTensor(np.zeros((2, 2)), *PLACE, **arguments)

    for made in (gt, GeoTensor(np.zeros((2, 2)), *PLACE, 9).like(np.ones((2, 2)), **arguments)):
        assert same(made.fill_value_default, fill)
        assert same(made.nodata, fill)
        assert made.fill_value_is_explicit


@pytest.mark.parametrize(("fill", "nodata"), [(0, 5), (None, 0), (0, None), (np.nan, 0)])
def test_two_names_with_different_values_are_refused(fill: Any, nodata: Any) -> None:
    with pytest.raises(OptionError, match="contradict; they are two names of one value"):
        GeoTensor(np.zeros((2, 2)), *PLACE, fill_value_default=fill, nodata=nodata)
    with pytest.raises(OptionError, match="contradict"):
        GeoTensor(np.zeros((2, 2)), *PLACE, None).like(np.ones((2, 2)), fill_value_default=fill, nodata=nodata)


def test_setting_nodata_sets_the_fill_value() -> None:
    gt = GeoTensor(np.zeros((2, 2), bool), *PLACE)

    gt.nodata = False

    assert (gt.fill_value_default, gt.nodata, gt.fill_value_is_explicit) == (False, False, True)


@pytest.mark.parametrize("fill", [0, 255])
def test_masks_are_equal_after_reading_back(fill: int, make_tensor: Any, tmp_path: Path) -> None:
    mask = make_tensor((1, 40, 40), "bool").astype("uint8") * 255 if fill else make_tensor((1, 40, 40), "bool")
    mask = mask.like(mask.values, fill_value_default=fill)

    save_cog(mask, tmp_path / "mask.tif")

    again = RasterioReader(tmp_path / "mask.tif").load()
    np.testing.assert_array_equal(again.invalidmask().values, mask.invalidmask().values)
    np.testing.assert_array_equal(again.validmask().values, mask.validmask().values)
