"""reprs of public objects: one or a few short lines without WKT for any CRS."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from rasterio.control import GroundControlPoint

from georeader import (
    CogWriter,
    CollectionResult,
    FakeGeoData,
    GeoTensor,
    GroundControlPoints,
    ItemResult,
    RasterioReader,
    iter_windows,
    plan_edit,
    plan_export,
    save_cog,
    view,
)
from georeader.planning import PlannedCluster
from georeader.preview import preview
from georeader.toolkit import Outcome, Run, Workers, read_template
from georeader.validation import Problem, Severity, info, validate
from geotoolz import Output, Sequential
from geotoolz.catalog_ops import CatalogPipeline, RowResult, WriteCOG
from geotoolz.cloud import MaskClouds
from geotoolz.indices import NDVI
from geotoolz.presets.s2 import S2_L2A_NDVI

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


def _item_result() -> ItemResult:
    paths = {f"B{number:02}": f"s3://bucket/20240501/B{number:02}.tif" for number in range(20)}
    return ItemResult(0, {"time": "2024-05-01"}, paths, None, ValueError("y" * 400), 1.5)


#: Each public class whose objects a user prints, from a path and a tensor of 3 large bands.
PUBLIC: dict[str, Callable[[Path, GeoTensor], Any]] = {
    "GeoTensor": lambda _, tensor: tensor,
    "GeoTensor of numpy": lambda *_: np.zeros((4, 40, 50)).view(GeoTensor),
    "RasterioReader": lambda path, _: RasterioReader(path),
    "FakeGeoData": lambda _, tensor: FakeGeoData(tensor.crs, tensor.transform, tensor.shape),
    "GroundControlPoints": _points,
    "CogWriter": _writer,
    "Receipt": lambda path, tensor: save_cog(tensor, path, verify=True),
    "LevelReceipt": lambda path, tensor: save_cog(tensor, path).levels[0],
    "BandSummary": lambda path, tensor: save_cog(tensor, path, profile_arg={"STATISTICS": "YES"}).statistics[0],
    "Report": lambda path, _: validate(path),
    "Measurement": lambda path, _: validate(path).measurement,
    "MeasuredDirectory": lambda path, _: validate(path).measurement.directories[0],
    "Ghost": lambda path, _: validate(path).measurement.ghost,
    "ViewerCost": lambda path, _: validate(path).measurement.viewer,
    "Problem": lambda *_: Problem(Severity.ERROR, "tile-decode", "level 0, tile row 0 column 0 " * 20),
    "Severity": lambda *_: Severity.ERROR,
    "Info": lambda path, _: info(path),
    "RasterFacts": lambda path, _: info(path).place,
    "BandHistogram": lambda path, _: info(path, histogram=True).histograms[0],
    "EditPlan": lambda path, _: plan_edit(path, crs="EPSG:32631", tags={"model": "v2"}),
    "ExportPlan": lambda path, tensor: plan_export(tensor, path),
    "PlannedLevel": lambda path, tensor: plan_export(tensor, path).levels[0],
    "PlannedCluster": lambda *_: PlannedCluster(4, 512, 512, 6, 512, 2, 10, 5, 6, 1000, 10**6, "parts"),
    "Png": lambda _, tensor: preview(tensor),
    "WindowPair": lambda _, tensor: next(iter_windows(tensor, size=64)),
    "CollectionResult": lambda *_: CollectionResult((_item_result(),) * 99, "s3://bucket/collection.json"),
    "ItemResult": lambda *_: _item_result(),
    "Outcome": lambda *_: Outcome("a.tif", ValueError("y" * 100), 1.5, ["x" * 400]),
    "Run": lambda *_: Run(lambda: False, 1),
    "Template": lambda *_: read_template("out/{tile}_{date:%Y%m%d}.tif"),
    "Workers": lambda *_: Workers(2),
    "Output": lambda path, _: Output(str(path)),
    "NDVI": lambda *_: NDVI(0, 1),
    "MaskClouds": lambda *_: MaskClouds(0),
    "S2_L2A_NDVI": lambda *_: S2_L2A_NDVI(path="out/{tile}.tif", profile_arg={"compress": "zstd", "level": 12}),
    "WriteCOG": lambda *_: WriteCOG("out/{tile}.tif", profile_arg={"compress": "zstd"}, tags={"a": "b" * 50}),
    "Sequential": lambda *_: Sequential(
        [MaskClouds(2), NDVI(0, 1), WriteCOG("{tile}.tif", nodata=-9999.0, durable=True)]
    ),
    "CatalogPipeline": lambda *_: CatalogPipeline([{"path": "a.tif"}] * 99, NDVI(0, 1)),
    "RowResult": lambda *_: RowResult(0, {"tile": "x" * 400}, "a.tif", ValueError("y" * 400), 1.5),
}

#: Protocols, dictionaries, mixins, base classes and pages of servers, and errors.
WITHOUT_OBJECTS = {
    "AbstractGeoData",
    "GeoDataBase",
    "Georeferenced",
    "Operator",
    "ProfileOptions",
    "RasterAccessor",
    "SaveOptions",
    "View",
}


@pytest.mark.parametrize("crs", ["EPSG:32630", CUSTOM_CRS], ids=["epsg", "custom"])
@pytest.mark.parametrize("name", PUBLIC)
def test_repr_of_a_public_object_is_one_short_line_or_a_few(
    name: str, crs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values = np.linspace(0.1, 0.9, 3 * 300 * 400).reshape(3, 300, 400)
    tensor = GeoTensor(values, TRANSFORM, crs, np.nan, attrs={"descriptions": ["red", "green", "blue"], "x": "y" * 500})
    save_cog(tensor, "a.tif")

    lines = repr(PUBLIC[name](Path("a.tif"), tensor)).splitlines()

    assert len(lines) <= 16
    assert max(map(len, lines)) <= (200 if len(lines) == 1 else 110)
    assert not any(word in line for line in lines for word in ("PROJCRS", "GEOGCS", "BASEGEOGCRS", "object at 0x"))


def test_repr_of_a_view_is_its_address(tmp_path: Path) -> None:
    save_cog(GeoTensor(np.ones((30, 40), "uint8"), TRANSFORM, 32630, 0), tmp_path / "a.tif")

    with view(tmp_path / "a.tif", open_browser=False) as shown:
        assert repr(shown) == f"View({shown.url})"


def test_public_classes_have_a_row_in_the_table() -> None:
    listed = (Path(__file__).parents[1] / "project" / "public_api.txt").read_text().splitlines()
    classes = {re.split(r"[(:]", line)[0].split(".")[-1] for line in listed if ": class(" in line}
    results = {line.split(": ")[1] for line in listed if re.fullmatch(r"[a-z_]+\(\)\S*: [A-Z]\w+", line)}

    objects = {one for one in classes | results if not one.endswith(("Error", "Warning"))}
    assert objects - {*PUBLIC} == WITHOUT_OBJECTS


def test_operators_of_many_arguments_have_a_line_for_each() -> None:
    operator = WriteCOG("out/{tile}.tif", profile_arg={"compress": "zstd", "level": 12}, tags={"mission": "b" * 40})

    assert repr(Sequential([NDVI(0, 1), operator])).splitlines() == [
        "Sequential([",
        "    NDVI(red_idx=0, nir_idx=1),",
        "    WriteCOG(",
        "        path_template='out/{tile}.tif',",
        "        profile_arg={'compress': 'zstd', 'level': 12},",
        f"        tags={{'mission': '{'b' * 40}'}},",
        "    ),",
        "])",
    ]


def test_print_options_that_were_set_stay() -> None:
    tensor = GeoTensor(np.arange(400).reshape(20, 20), TRANSFORM, 32630)

    assert len(repr(tensor).splitlines()) == 10
    with np.printoptions(threshold=2000):
        assert len(repr(tensor).splitlines()) > 20
