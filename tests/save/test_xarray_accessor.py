"""The accessor ``georeader`` of DataArrays and Datasets: the saves and the preview of the functions."""

from __future__ import annotations

import importlib
import inspect
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_arrays import data_array, ramp
from georeader import save_cog, save_tiled_geotiff
from georeader.errors import MetadataError, MissingExtraError, OptionError
from georeader.preview import preview

xarray = pytest.importorskip("xarray", reason="xarray is not installed")
pytest.importorskip("rioxarray", reason="rioxarray is not installed")
accessor = pytest.importorskip("georeader.xarray").RasterAccessor


def dataset() -> Any:
    return xarray.Dataset({"red": data_array(ramp((60, 50))), "nir": data_array(ramp((60, 50)) + 7)})


ARRAYS: dict[str, Callable[[], Any]] = {"DataArray": lambda: data_array(ramp()), "Dataset": dataset}


@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize(("method", "save"), [("to_cog", save_cog), ("to_tiled_geotiff", save_tiled_geotiff)])
def test_accessor_writes_the_bytes_of_the_function(
    method: str, save: Callable[..., Any], make: Callable[[], Any], tmp_path: Path
) -> None:
    options = {"profile_arg": {"compress": "zstd", "blocksize": 32}, "tags": {"model": "v2"}, "nodata": 5}

    receipt = getattr(make().georeader, method)(tmp_path / "by accessor.tif", ["a", "b"], **options)

    save(make(), tmp_path / "by function.tif", ["a", "b"], **options)
    assert (tmp_path / "by accessor.tif").read_bytes() == (tmp_path / "by function.tif").read_bytes()
    assert receipt.size_bytes == (tmp_path / "by accessor.tif").stat().st_size


@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS)
def test_accessor_draws_the_picture_of_the_function(make: Callable[[], Any]) -> None:
    options = {"max_side_px": 20, "bands": [2], "percentiles": (0, 90), "colormap": "viridis", "legend": True}

    assert make().georeader.preview(**options) == preview(make(), **options)


@pytest.mark.parametrize(
    ("method", "function", "left_out"),
    [
        ("to_cog", save_cog, {"data_save", "path_tiff_save"}),
        ("to_tiled_geotiff", save_tiled_geotiff, {"data_save", "path_tiff_save"}),
        ("preview", preview, {"data", "fs"}),
    ],
)
def test_accessor_has_the_arguments_of_the_function(
    method: str, function: Callable[..., Any], left_out: set[str]
) -> None:
    own = inspect.signature(getattr(accessor, method)).parameters
    expected = inspect.signature(function).parameters

    assert [(one.name, one.kind, one.default) for one in own.values() if one.name not in ("self", "path")] == [
        (one.name, one.kind, one.default) for one in expected.values() if one.name not in left_out
    ]


@pytest.mark.parametrize("argument", sorted(set(inspect.signature(save_tiled_geotiff).parameters) - {"data_save"}))
def test_accessor_passes_each_argument_on_by_its_name(argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: dict[str, Any] = {}
    signature = inspect.signature(save_tiled_geotiff)

    def record(*args: Any, **kwargs: Any) -> None:
        passed.update(signature.bind(*args, **kwargs).arguments)

    monkeypatch.setattr("georeader.save.save_tiled_geotiff", record)
    monkeypatch.setattr("georeader.save.save_cog", record)
    own = "path" if argument == "path_tiff_save" else argument
    marker = object()
    accessor(None).to_tiled_geotiff(**{"path": "out.tif", own: marker})
    assert passed[argument] is marker
    if argument != "blocksize":
        passed.clear()
        accessor(None).to_cog(**{"path": "out.tif", own: marker})
        assert passed[argument] is marker


@pytest.mark.parametrize("chunks", [None, {"y": 20}], ids=["numpy", "dask"])
@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("method", ["to_cog", "to_tiled_geotiff"])
def test_compute_false_writes_when_the_delayed_is_computed(
    method: str, make: Callable[[], Any], chunks: Any, tmp_path: Path
) -> None:
    dask = pytest.importorskip("dask", reason="dask is not installed")
    data = make() if chunks is None else make().chunk(chunks)

    step = getattr(data.georeader, method)(tmp_path / "later.tif", compute=False)

    assert list(tmp_path.iterdir()) == []
    (receipt,) = dask.compute(step)
    assert receipt.checksum == getattr(data.georeader, method)(tmp_path / "now.tif").checksum
    assert (tmp_path / "later.tif").read_bytes() == (tmp_path / "now.tif").read_bytes()


def test_delayed_save_can_be_pickled(tmp_path: Path) -> None:
    pytest.importorskip("dask", reason="dask is not installed")
    array = data_array(ramp()).chunk({"y": 20})

    step = pickle.loads(pickle.dumps(array.georeader.to_cog(tmp_path / "out.tif", compute=False)))

    assert step.compute().size_bytes == (tmp_path / "out.tif").stat().st_size


def test_errors_are_those_of_the_function(tmp_path: Path) -> None:
    array = data_array(ramp())

    with pytest.raises(MetadataError, match="descriptions has 1 entries for 2 bands"):
        array.georeader.to_cog(tmp_path / "out.tif", ["red"])
    with pytest.raises(OptionError, match="max_side_px=0"):
        array.georeader.preview(max_side_px=0)
    assert list(tmp_path.iterdir()) == []


def test_import_without_xarray_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "georeader.xarray")
    monkeypatch.setitem(sys.modules, "xarray", None)

    with pytest.raises(MissingExtraError) as caught:
        importlib.import_module("georeader.xarray")

    assert str(caught.value) == (
        "georeader.xarray needs xarray: pip install xarray (it comes with georeader-cog's extra 'xarray')"
    )
