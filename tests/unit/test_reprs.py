"""reprs of public objects: one short line without WKT for any CRS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from rasterio.control import GroundControlPoint

from georeader import CogWriter, GeoTensor, GroundControlPoints, save_cog
from georeader.validation import info, validate
from geotoolz.catalog_ops import CatalogPipeline, WriteCOG

TRANSFORM = Affine(10, 0, 500000, 0, -10, 4000000)
CUSTOM_CRS = "+proj=laea +lat_0=52 +lon_0=10 +datum=WGS84"
BANDS = 20


def _writer(path: Path, tensor: GeoTensor) -> CogWriter:
    with CogWriter(path.with_name("pieces.tif"), like=tensor) as writer:
        writer.write(tensor.values)
    return writer


def _row_result(path: Path, _: GeoTensor) -> Any:
    operator = WriteCOG(str(path.with_name("{tile}.tif")))
    return CatalogPipeline([{"path": str(path), "tile": "T1"}], operator).run()[0]


def _points(_: Path, tensor: GeoTensor) -> GroundControlPoints:
    return GroundControlPoints(tuple(GroundControlPoint(row, 0, row, 1) for row in range(50)), tensor.crs)


@pytest.mark.parametrize("crs", ["EPSG:32630", CUSTOM_CRS, None], ids=["epsg", "custom", "none"])
@pytest.mark.parametrize(
    "build",
    [
        lambda path, tensor: save_cog(tensor, path),
        lambda path, _: validate(path),
        lambda path, _: validate(path).measurement,
        lambda path, _: info(path),
        _writer,
        _row_result,
        _points,
    ],
    ids=["receipt", "report", "measurement", "info", "writer", "row result", "ground control points"],
)
def test_a_repr_is_one_line_without_wkt(build: Callable[[Path, GeoTensor], Any], crs: Any, tmp_path: Path) -> None:
    pixels = np.ones((BANDS, 30, 40), "uint8")
    names = [f"band {number}" for number in range(BANDS)]
    tensor = GeoTensor(pixels, TRANSFORM, crs, fill_value_default=0, attrs={"descriptions": names})
    save_cog(tensor, tmp_path / "in.tif")

    text = repr(build(tmp_path / "in.tif", tensor))

    assert len(text.splitlines()) == 1
    assert len(text) < 250 + len(str(tmp_path))
    assert not any(word in text for word in ("PROJCRS", "GEOGCS", "BASEGEOGCRS", "object at 0x"))


def test_the_repr_of_a_receipt_is_its_str_and_to_dict_keeps_the_wkt(tmp_path: Path) -> None:
    receipt = save_cog(GeoTensor(np.ones((30, 40), "uint8"), TRANSFORM, 32630, 0), tmp_path / "a.tif", nodata=0)

    assert repr(receipt) == str(receipt)
    assert repr([receipt]) == f"[{receipt}]"
    assert receipt.to_dict()["crs_wkt"].startswith("PROJCRS")


@pytest.mark.parametrize(("state", "is_open"), [("not open", False), ("open", True), ("written", None)])
def test_the_repr_of_a_writer_names_its_state(state: str, is_open: bool | None, tmp_path: Path) -> None:
    writer = CogWriter(tmp_path / "a.tif", shape=(3, 40, 50), dtype="uint8", transform=TRANSFORM, crs=32630)

    if is_open is False:
        assert f"3 x 40 x 50 (band, row, column) uint8, {state}>" in repr(writer)
        return
    with writer:
        if is_open:
            assert f"uint8, {state}>" in repr(writer)
    if not is_open:
        assert f"uint8, {state}>" in repr(writer)
