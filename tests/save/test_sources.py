"""Anything of the GeoData shape: the same raster in, the same bytes out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from georeader import FakeGeoData, GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader._core.windows import PixelWindow
from georeader._export.sources import open_source
from georeader.abstract_reader import GeoData
from georeader.errors import DtypeError, GeoreferenceError, ShapeError

ATTRS = {"descriptions": ["B04", "B08"], "scales": [0.0001, 0.0001], "offsets": [0.0, 0.0], "tags": {"mission": "S2"}}


@pytest.fixture
def tensor(make_tensor: Any) -> GeoTensor:
    return make_tensor((2, 300, 280), "int16", fill_value_default=-1, attrs=ATTRS)


class OnlyLoad:
    """A lazy object with metadata that can only load the whole raster."""

    def __init__(self, tensor: GeoTensor) -> None:
        self.shape, self.dtype = tensor.shape, tensor.dtype
        self.crs, self.transform, self.fill_value_default = tensor.crs, tensor.transform, tensor.fill_value_default
        self.attrs = tensor.attrs
        self.loads = 0
        self._tensor = tensor

    def load(self) -> GeoTensor:
        self.loads += 1
        return self._tensor


class OnlyValues:
    """An object with pixels and metadata as attributes of its own, and no dtype."""

    def __init__(self, tensor: GeoTensor) -> None:
        self.shape, self.values = tensor.shape, tensor.values
        self.crs, self.transform, self.fill_value_default = tensor.crs, tensor.transform, tensor.fill_value_default
        self.descriptions, self.scales = tuple(ATTRS["descriptions"]), tuple(ATTRS["scales"])
        self._tags = dict(ATTRS["tags"])

    def tags(self) -> dict[str, str]:
        return self._tags


def from_file(tensor: GeoTensor, folder: Path) -> RasterioReader:
    save_tiled_geotiff(tensor, folder / "in.tif")
    return RasterioReader(folder / "in.tif")


FORMS: dict[str, Callable[[GeoTensor, Path], Any]] = {
    "GeoTensor": lambda tensor, folder: tensor,
    "RasterioReader": from_file,
    "loaded RasterioReader": lambda tensor, folder: from_file(tensor, folder).load(),
    "object with load()": lambda tensor, folder: OnlyLoad(tensor),
    "object with values": lambda tensor, folder: OnlyValues(tensor),
    "SimpleNamespace": lambda tensor, folder: SimpleNamespace(
        **{name: getattr(tensor, name) for name in ("shape", "values", "crs", "transform", "fill_value_default")},
        attrs=tensor.attrs,
    ),
    "big-endian": lambda tensor, folder: tensor.astype(">i2"),
    "Fortran order": lambda tensor, folder: tensor.like(np.asfortranarray(tensor.values)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
def test_every_type_of_source_gives_the_same_file(save: Any, form: str, tensor: GeoTensor, tmp_path: Path) -> None:
    save(tensor, tmp_path / "expected.tif", tags={"AREA_OR_POINT": "Area"})

    save(FORMS[form](tensor, tmp_path), tmp_path / "out.tif", tags={"AREA_OR_POINT": "Area"})

    expected, found = RasterioReader(tmp_path / "expected.tif"), RasterioReader(tmp_path / "out.tif")
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.attrs == expected.attrs | {"colorinterp": found.attrs["colorinterp"]}
    assert (found.nodata, found.crs, found.transform) == (expected.nodata, expected.crs, expected.transform)
    if found.attrs == expected.attrs:
        assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "expected.tif").read_bytes()


@pytest.mark.parametrize("form", ["GeoTensor", "RasterioReader", "object with values", "SimpleNamespace"])
def test_sources_implement_the_geodata_protocol(form: str, tensor: GeoTensor, tmp_path: Path) -> None:
    assert isinstance(FORMS[form](tensor, tmp_path), GeoData)


def test_window_and_bands_of_a_reader_are_saved(tensor: GeoTensor, tmp_path: Path) -> None:
    part = from_file(tensor, tmp_path).isel({"band": [1], "y": slice(20, 120), "x": slice(30, 90)})

    save_cog(part, tmp_path / "out.tif")

    again = RasterioReader(tmp_path / "out.tif")
    np.testing.assert_array_equal(again.values, tensor.values[[1], 20:120, 30:90])
    assert again.bounds == tensor[:, 20:120, 30:90].bounds
    assert again.descriptions == ["B08"]


@pytest.mark.parametrize("says_its_dtype", [True, False])
def test_pixels_are_loaded_once(says_its_dtype: bool, tensor: GeoTensor, tmp_path: Path) -> None:
    lazy = OnlyLoad(tensor)
    if not says_its_dtype:
        del lazy.dtype

    save_cog(lazy, tmp_path / "out.tif")

    assert lazy.loads == 1


def test_refused_options_load_no_pixels(tensor: GeoTensor, tmp_path: Path) -> None:
    lazy = OnlyLoad(tensor)

    with pytest.raises(ValueError, match="unknown"):
        save_cog(lazy, tmp_path / "out.tif", profile_arg={"wibble": 1})

    assert lazy.loads == 0


def test_pixels_of_another_shape_than_declared_are_refused(tensor: GeoTensor, tmp_path: Path) -> None:
    liar = OnlyLoad(tensor)
    liar.shape = (2, 10, 10)

    with pytest.raises(ShapeError, match=r"OnlyLoad declares \(2, 10, 10\), but its pixels are \(2, 300, 280\)"):
        save_cog(liar, tmp_path / "out.tif")

    assert not (tmp_path / "out.tif").exists()


def test_pixels_of_another_dtype_than_declared_are_refused(tensor: GeoTensor, tmp_path: Path) -> None:
    liar = OnlyLoad(tensor)
    liar.dtype = np.dtype("int32")

    with pytest.raises(DtypeError, match="OnlyLoad declares int32, but its pixels are int16"):
        save_cog(liar, tmp_path / "out.tif")

    assert not (tmp_path / "out.tif").exists()


def test_load_may_return_a_plain_array(tensor: GeoTensor, tmp_path: Path) -> None:
    lazy = OnlyLoad(tensor)
    lazy._tensor = tensor.values

    save_cog(lazy, tmp_path / "out.tif")

    np.testing.assert_array_equal(RasterioReader(tmp_path / "out.tif").values, tensor.values)


@pytest.mark.parametrize("shape", [None, 5, "ab", (2.5, 3)])
def test_an_invalid_shape_is_refused(shape: Any, tensor: GeoTensor, tmp_path: Path) -> None:
    odd = OnlyLoad(tensor)
    odd.shape = shape

    with pytest.raises(ShapeError, match="is not a tuple of integers"):
        save_cog(odd, tmp_path / "out.tif")


def test_an_object_without_pixels_is_refused(tensor: GeoTensor, tmp_path: Path) -> None:
    fake = FakeGeoData(tensor.crs, tensor.transform, tensor.shape)

    with pytest.raises(GeoreferenceError, match=r"FakeGeoData without pixels: it has neither 'values' nor 'load\(\)'"):
        save_cog(fake, tmp_path / "out.tif")


def test_a_two_dimensional_array_is_one_band(make_tensor: Any) -> None:
    source = open_source(make_tensor((20, 30)))

    assert (source.spec.count, source.spec.height_px, source.spec.width_px) == (1, 20, 30)
    assert source.read(PixelWindow(0, 20, 0, 30), range(1))[0].shape == (1, 20, 30)
