"""Tiled GeoTIFFs are opened for update: tags change and overviews are built without a word from GDAL."""

from __future__ import annotations

import json
import subprocess
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp, MaskFlags

from foreign.processes import DEBIAN_PYTHON, need
from georeader import GeoTensor, RasterioReader, save_tiled_geotiff
from georeader.validation import info, validate

#: Options of files, and attributes of what is saved.
FILES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "BigTIFF": ({"BIGTIFF": "YES"}, {}),
    "bands apart": ({"INTERLEAVE": "BAND"}, {}),
    "mask": ({}, {"mask": np.arange(300 * 400).reshape(300, 400) % 5 != 0}),
    "mask, bands apart": ({"INTERLEAVE": "BAND"}, {"mask": np.arange(300 * 400).reshape(300, 400) % 5 != 0}),
    "sparse": ({"SPARSE_OK": "YES"}, {}),
    "uncompressed": ({"compress": "none"}, {}),
    "jpeg": ({"compress": "jpeg"}, {}),
    "alpha": ({}, {"colorinterp": ["red", "green", "alpha"]}),
}

#: Opens a file for update, changes a tag and builds overviews, as gdaladdo does; prints what GDAL says meanwhile.
GDALADDO = """
import json, sys
from osgeo import gdal
gdal.UseExceptions()
said = []
gdal.PushErrorHandler(lambda level, number, text: said.append(text))
for path in sys.argv[1:]:
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.SetMetadataItem("edited", "yes")
    dataset.BuildOverviews("AVERAGE", [2, 4])
    dataset = None
print(json.dumps(said))
"""


def picture(**attrs: Any) -> GeoTensor:
    values = np.random.default_rng(0).integers(1, 255, (3, 300, 400), "uint8")
    return GeoTensor(values, Affine(10, 0, 0, 0, -10, 0), "EPSG:3857", fill_value_default=None, attrs=attrs)


def save_file(name: str, path: Any, engine: str = "stream") -> GeoTensor:
    """Save one of `FILES`; return what was saved."""
    options, attrs = FILES[name]
    tensor = picture(**attrs)
    save_tiled_geotiff(tensor, path, profile_arg={"BLOCKSIZE": 128} | options, engine=engine)
    return tensor


def check(path: Path, tensor: GeoTensor, name: str) -> None:
    """Compare a file that has overviews now with what was saved."""
    with rasterio.open(path) as dataset:
        assert (dataset.overviews(1), dataset.tags()["edited"]) == ([2, 4], "yes")
        assert "LAYOUT" not in dataset.tags(ns="IMAGE_STRUCTURE")
        if name != "jpeg":
            assert np.array_equal(dataset.read(), tensor.values)
        if "mask" in tensor.attrs:
            assert np.array_equal(dataset.dataset_mask() > 0, tensor.attrs["mask"])
            assert MaskFlags.per_dataset in dataset.mask_flag_enums[0]
        if name == "alpha":
            assert dataset.colorinterp[2] is ColorInterp.alpha
    assert RasterioReader(path).overviews() == [2, 4]


def update(path: Path) -> None:
    """Open a file by rasterio for update, as documented; any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(edited="yes")
            dataset.build_overviews([2, 4], rasterio.enums.Resampling.average)


@pytest.mark.parametrize("engine", ["stream", "gdal"])
@pytest.mark.parametrize("name", FILES)
def test_a_tiled_file_is_edited_by_rasterio(name: str, engine: str, tmp_path: Path) -> None:
    tensor = save_file(name, tmp_path / "out.tif", engine)

    update(tmp_path / "out.tif")

    check(tmp_path / "out.tif", tensor, name)


def test_tiled_files_are_edited_by_debians_gdal(tmp_path: Path) -> None:
    need("Debian's GDAL")
    paths = {name: tmp_path / f"{number}.tif" for number, name in enumerate(FILES)}
    tensors = {name: save_file(name, path) for name, path in paths.items()}

    done = subprocess.run(
        [DEBIAN_PYTHON, "-I", "-c", GDALADDO, *map(str, paths.values())], capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout) == []
    for name, path in paths.items():
        check(path, tensors[name], name)


def _to_file_object(name: str, path: Path) -> GeoTensor:
    buffer = BytesIO()
    tensor = save_file(name, buffer)
    path.write_bytes(buffer.getvalue())
    return tensor


def _to_filesystem(name: str, path: Path) -> GeoTensor:
    tensor = save_file(name, "memory://tiled/out.tif")
    path.write_bytes(fsspec.filesystem("memory").cat_file("/tiled/out.tif"))
    return tensor


@pytest.mark.parametrize("save", [_to_file_object, _to_filesystem])
def test_tiled_file_of_another_writer_is_edited(save: Callable[[str, Path], GeoTensor], tmp_path: Path) -> None:
    tensor = save("mask", tmp_path / "out.tif")

    update(tmp_path / "out.tif")

    check(tmp_path / "out.tif", tensor, "mask")


def test_validate_and_info_find_no_structural_metadata_in_a_tiled_file(tmp_path: Path) -> None:
    save_file("mask", tmp_path / "out.tif")

    report = validate(tmp_path / "out.tif", strict=True)

    assert report.is_valid, report
    assert report.measurement.ghost is None
    assert "no structural metadata" in str(info(tmp_path / "out.tif"))


@pytest.mark.parametrize("options", [{}, {"BIGTIFF": "YES"}])
def test_tiles_of_a_tiled_file_are_contiguous(options: dict[str, Any], tmp_path: Path) -> None:
    receipt = save_tiled_geotiff(picture(), tmp_path / "out.tif", profile_arg={"BLOCKSIZE": 128} | options)

    (base,) = validate(tmp_path / "out.tif").measurement.directories
    ends = base.tile_offsets_bytes + base.tile_sizes_bytes
    assert (base.tile_offsets_bytes[1:] == ends[:-1]).all()
    assert int(ends[-1]) == receipt.size_bytes == (tmp_path / "out.tif").stat().st_size
