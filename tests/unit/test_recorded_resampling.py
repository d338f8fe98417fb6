"""A copy's overviews are made by the method that the source records for its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray
from affine import Affine
from rasterio.enums import Resampling
from rasterio.windows import Window
from rio_cogeo import cog_profiles, cog_translate

from by_command import run
from by_rioxarray import BY_RIOXARRAY
from georeader import CogWriter, GeoTensor, RasterioReader, save_cog
from georeader.preview import preview

CLASSES = (10, 20, 80)
PLACE = {"transform": Affine(10, 0, 500000, 0, -10, 4000000), "crs": "EPSG:32630"}
GDAL = tuple(int(part) for part in rasterio.__gdal_version__.split(".")[:2])


pytestmark = BY_RIOXARRAY


@pytest.fixture
def classes(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    return rng.choice(np.array(CLASSES, "uint8"), (1, 600, 600))


def write_plain(path: Path, classes: np.ndarray[Any, Any]) -> None:
    profile = {"driver": "GTiff", "height": 600, "width": 600, "count": len(classes), "dtype": "uint8", "tiled": True}
    with rasterio.open(path, "w", **profile, blockxsize=256, blockysize=256, **PLACE) as dataset:
        dataset.write(classes)


def by_this_project(path: Path, classes: np.ndarray[Any, Any]) -> None:
    save_cog(GeoTensor(classes, **PLACE, fill_value_default=None), path, profile_arg={"RESAMPLING": "mode"})


def by_rio_cogeo(path: Path, classes: np.ndarray[Any, Any]) -> None:
    write_plain(path.with_suffix(".plain.tif"), classes)
    profile = cog_profiles.get("deflate") | {"blockxsize": 256, "blockysize": 256}
    cog_translate(path.with_suffix(".plain.tif"), path, profile, overview_resampling="mode", quiet=True)


def by_an_earlier_name(path: Path, classes: np.ndarray[Any, Any]) -> None:
    write_plain(path, classes)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(OVR_RESAMPLING_ALG="MODE")


def by_rasterio(path: Path, classes: np.ndarray[Any, Any]) -> None:
    write_plain(path, classes)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4], Resampling.mode)


def by_rasterio_beside(path: Path, classes: np.ndarray[Any, Any]) -> None:
    write_plain(path, classes)
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4], Resampling.mode)
    assert path.with_name(f"{path.name}.ovr").exists()


def by_gdals_cog_driver(path: Path, classes: np.ndarray[Any, Any]) -> None:
    if GDAL < (3, 12):
        pytest.skip("GDAL records the method from 3.12 on")
    write_plain(path.with_suffix(".plain.tif"), classes)
    rasterio.shutil.copy(path.with_suffix(".plain.tif"), path, driver="COG", overview_resampling="MODE", blocksize=256)


RECORDERS = {
    "this project": by_this_project, "rio-cogeo": by_rio_cogeo, "earlier name": by_an_earlier_name,
    "rasterio": by_rasterio, ".ovr": by_rasterio_beside, "COG driver": by_gdals_cog_driver,
}  # fmt: skip


def save_dataset(source: Path, path: Path) -> None:
    with rasterio.open(source) as dataset:
        save_cog(dataset, path)


def save_data_array(source: Path, path: Path) -> None:
    with rioxarray.open_rasterio(source) as array:
        save_cog(array, path)


def write_like(source: Path, path: Path) -> None:
    with CogWriter(path, like=source) as writer:
        writer.write(RasterioReader(source).values, Window(0, 0, 600, 600))


COPIES: dict[str, Callable[[Path, Path], Any]] = {
    "path": save_cog,
    "gdal": lambda source, path: save_cog(source, path, engine="gdal"),
    "reader": lambda source, path: save_cog(RasterioReader(source), path),
    "window": lambda source, path: save_cog(RasterioReader(source).isel({"y": slice(0, 590)}), path),
    "dataset": save_dataset,
    "tensor": lambda source, path: save_cog(RasterioReader(source).load(), path),
    "DataArray": save_data_array,
    "like": write_like,
    "command": lambda source, path: run("cog", source, path),
}


def overview(path: Path) -> np.ndarray[Any, Any]:
    with rasterio.open(path, overview_level=0) as dataset:
        return dataset.read()  # type: ignore[no-any-return]


def check_is_mode(path: Path) -> None:
    with rasterio.open(path) as dataset:
        assert dataset.tags()["OVERVIEW_RESAMPLING"] == "MODE"
    assert set(np.unique(overview(path))) == set(CLASSES)


@pytest.mark.parametrize("record", RECORDERS.values(), ids=RECORDERS)
def test_a_recorded_method_is_the_default_of_a_copy(
    record: Callable[..., None], classes: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    record(tmp_path / "in.tif", classes)

    save_cog(tmp_path / "in.tif", tmp_path / "out.tif")

    check_is_mode(tmp_path / "out.tif")


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_every_way_of_copying_takes_the_recorded_method(
    copy: Callable[[Path, Path], Any], classes: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    by_this_project(tmp_path / "in.tif", classes)

    copy(tmp_path / "in.tif", tmp_path / "out.tif")

    check_is_mode(tmp_path / "out.tif")


@pytest.mark.parametrize("key", ["RESAMPLING", "overview_resampling"])
def test_explicit_method_overrides_the_recorded_one(key: str, classes: np.ndarray[Any, Any], tmp_path: Path) -> None:
    by_this_project(tmp_path / "in.tif", classes)

    save_cog(tmp_path / "in.tif", tmp_path / "out.tif", profile_arg={key: "average"})

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.tags()["OVERVIEW_RESAMPLING"] == "AVERAGE"
    assert len(np.unique(overview(tmp_path / "out.tif"))) > 3


@pytest.mark.parametrize(("indexes", "expected"), [([1, 2], "MODE,AVERAGE"), ([2], "AVERAGE"), ([1, 1], "MODE")])
def test_methods_recorded_for_each_band_follow_a_selection(
    indexes: list[int], expected: str, classes: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    both = GeoTensor(np.concatenate([classes, classes]), **PLACE, fill_value_default=None)
    save_cog(both, tmp_path / "in.tif", profile_arg={"RESAMPLING": ["mode", "average"]})

    save_cog(RasterioReader(tmp_path / "in.tif", indexes=indexes), tmp_path / "out.tif")

    assert RasterioReader(tmp_path / "out.tif").tags()["OVERVIEW_RESAMPLING"] == expected


@pytest.mark.parametrize(("change", "expected"), [
    (lambda tensor: tensor.astype("float32"), "MODE"),
    (lambda tensor: tensor.isel({"x": slice(0, 590)}), "MODE"),
    (lambda tensor: tensor * 2, "AVERAGE"),
    (lambda tensor: tensor == 10, "NEAREST"),
])  # fmt: skip
def test_arithmetic_drops_the_recorded_method(
    change: Callable[[Any], Any], expected: str, classes: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    by_this_project(tmp_path / "in.tif", classes)

    save_cog(change(RasterioReader(tmp_path / "in.tif").load()), tmp_path / "out.tif")

    assert RasterioReader(tmp_path / "out.tif").tags()["OVERVIEW_RESAMPLING"] == expected


@pytest.mark.parametrize(("recorded", "dtype", "expected"), [
    ("OR", "float32", "AVERAGE"), ("LANCZOS", "complex64", "AVERAGE"), ("AVERAGE", "bool", "NEAREST"),
    ("MODE", "bool", "MODE"), ("WIBBLE", "uint8", "AVERAGE"), ("MODE,MODE", "uint8", "AVERAGE"),
    ("cubic_spline", "uint8", "CUBICSPLINE"),
])  # fmt: skip
def test_a_recorded_method_that_does_not_fit_is_ignored(
    recorded: str, dtype: str, expected: str, make_tensor: Any, tmp_path: Path
) -> None:
    tensor = make_tensor((1, 600, 600), dtype, attrs={"tags": {"OVERVIEW_RESAMPLING": recorded}})

    save_cog(tensor, tmp_path / "out.tif")

    assert RasterioReader(tmp_path / "out.tif").tags()["OVERVIEW_RESAMPLING"] == expected


def test_a_writer_of_another_dtype_does_not_take_the_method(classes: np.ndarray[Any, Any], tmp_path: Path) -> None:
    by_this_project(tmp_path / "in.tif", classes)

    with CogWriter(tmp_path / "out.tif", like=tmp_path / "in.tif", dtype="float32") as writer:
        writer.write(classes.astype("float32"), Window(0, 0, 600, 600))

    assert RasterioReader(tmp_path / "out.tif").tags()["OVERVIEW_RESAMPLING"] == "AVERAGE"


@pytest.mark.parametrize("record", [by_rasterio, by_rio_cogeo], ids=["rasterio", "rio-cogeo"])
def test_preview_of_classes_uses_nearest(
    record: Callable[..., None], classes: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    record(tmp_path / "in.tif", classes)
    by_this_project(tmp_path / "ours.tif", classes)

    assert preview(tmp_path / "in.tif", max_side_px=100) == preview(tmp_path / "ours.tif", max_side_px=100)


@pytest.mark.skipif(GDAL < (3, 12), reason="GDAL reads the method from 3.12 on")
def test_gdal_reads_the_method(classes: np.ndarray[Any, Any], tmp_path: Path) -> None:
    by_this_project(tmp_path / "out.tif", classes)

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["OVERVIEW_RESAMPLING"] == "MODE"
        assert dataset.get_tag_item("RESAMPLING", bidx=1, ovr=0) == "MODE"
