"""Which engine writes: the project's own, unless an option leaves only GDAL."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import rasterio

from georeader import save_cog, save_tiled_geotiff
from georeader.errors import OptionError

both = pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])


@both
@pytest.mark.parametrize(("engine", "expected"), [("auto", "stream"), ("stream", "stream"), ("gdal", "gdal")])
def test_receipt_names_the_engine(engine: str, expected: str, save: Any, make_tensor: Any, tmp_path: Path) -> None:
    receipt = save(make_tensor(), tmp_path / "out.tif", engine=engine)

    assert receipt.engine == expected
    assert receipt.size_bytes == (tmp_path / "out.tif").stat().st_size
    assert str(receipt).startswith(f"{tmp_path / 'out.tif'}: {receipt.size_bytes:,} bytes by {expected} in ")


@pytest.mark.parametrize("profile_arg", [{"NBITS": 12}, {"NBITS": 12, "TARGET_SRS": "EPSG:4326"}])
def test_gdal_engine_is_chosen_and_logged_for_its_options(
    profile_arg: dict[str, Any], make_tensor: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="georeader"):
        receipt = save_cog(make_tensor(), tmp_path / "out.tif", profile_arg=profile_arg)

    assert receipt.engine == "gdal"
    assert [record.getMessage() for record in caplog.records if record.name == "georeader"] == [
        f"{tmp_path / 'out.tif'}: written by GDAL's engine, because of NBITS"
    ]


def test_stream_engine_is_not_logged(make_tensor: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="georeader"):
        save_cog(make_tensor(), tmp_path / "out.tif")

    assert caplog.records == []


@pytest.mark.parametrize(("arguments", "message"), [
    ({"engine": "fast"}, r"engine='fast' is unknown; allowed: auto, stream, gdal"),
    ({"engine": None}, r"engine=None is unknown"),
    ({"engine": "stream", "profile_arg": {"NBITS": 12}}, r"engine='stream' does not write profile_arg\['NBITS'\]"),
    ({"engine": "gdal", "profile_arg": {"RESAMPLING": "max"}}, "engine='gdal' has no RESAMPLING=MAX"),
    ({"engine": "gdal", "profile_arg": {"RESAMPLING": ["mode", "average"]}}, "one RESAMPLING for all bands"),
    ({"engine": "gdal", "profile_arg": {"compress": "jxl"}}, "engine='gdal' is built without JPEG XL"),
    ({"engine": "gdal", "verify": True}, "engine='gdal' cannot verify tiles"),
    ({"verify": True, "profile_arg": {"NBITS": 12}}, r"'NBITS'.* is written by GDAL, which cannot"),
])  # fmt: skip
def test_unsupported_request_is_refused_without_a_file(
    arguments: dict[str, Any], message: str, make_tensor: Any, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=message):
        save_cog(make_tensor((2, 600, 600)), tmp_path / "out.tif", **arguments)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("engine", ["stream", "gdal"])
def test_engines_choose_the_same_predictor(engine: str, make_tensor: Any, tmp_path: Path) -> None:
    tensor = make_tensor((1, 600, 600), "uint16")
    tensor.values[...] = tensor.values.cumsum(axis=2, dtype="uint16")

    save_cog(tensor, tmp_path / "out.tif", engine=engine, profile_arg={"compress": "deflate"})

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "2"
