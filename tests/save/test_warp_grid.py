"""The grid of a raster that is warped is that of GDAL's COG driver: the same transform, size and zoom level."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import morecantile
import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from effort import often
from georeader import GeoTensor, plan_export, save_cog
from georeader._export.plan import tiling_schemes
from georeader._export.plan.tiling_schemes import find_scheme
from georeader._export.plan.warp_plan import TargetGrid, target_grid
from georeader._export.suggested_grid import Georeference
from georeader.errors import GeoreferenceError, LayoutWarning, MissingExtraError, OptionError

WEB = {"TILING_SCHEME": "GoogleMapsCompatible"}
ZOOM_12_M = 38.21851414258813
EDGE_M = 20037508.342789244

#: (transform, rows, columns, CRS) of rasters.
SOURCES: dict[str, tuple[Affine, int, int, str]] = {
    "UTM": (Affine(10, 0, 500000, 0, -10, 4000000), 300, 400, "EPSG:32630"),
    "UTM south": (Affine(30, 0, 300000, 0, -30, 6000000), 250, 280, "EPSG:32733"),
    "world": (Affine(1, 0, -180, 0, -1, 90), 180, 360, "EPSG:4326"),
    "world, finer": (Affine(0.3, 0, -180, 0, -0.3, 90), 600, 1200, "EPSG:4326"),
    "0 to 360 degrees": (Affine(1, 0, 0, 0, -1, 90), 180, 360, "EPSG:4326"),
    "antimeridian": (Affine(0.1, 0, 175, 0, -0.1, 60), 80, 100, "EPSG:4326"),
    "antimeridian in UTM": (Affine(100, 0, 700000, 0, -100, 7500000), 200, 300, "EPSG:32660"),
    "rotated": (Affine(7, 3, 500000, 3, -7, 4000000), 300, 400, "EPSG:32630"),
    "south up": (Affine(10, 0, 500000, 0, 10, 4000000), 300, 400, "EPSG:32630"),
    "zoom level": (
        Affine(ZOOM_12_M, 0, -EDGE_M + ZOOM_12_M * 25600, 0, -ZOOM_12_M, EDGE_M - ZOOM_12_M * 25600), 512, 256,
        "EPSG:3857",
    ),
    "pole": (Affine(1000, 0, -200000, 0, -1000, 200000), 400, 400, "EPSG:3413"),
    "south pole": (Affine(1000, 0, -200000, 0, -1000, 200000), 400, 400, "EPSG:3031"),
    "New Zealand": (Affine(10, 0, 1500000, 0, -10, 5400000), 300, 300, "EPSG:2193"),
    "Europe": (Affine(100, 0, 4000000, 0, -100, 3000000), 300, 300, "EPSG:3035"),
}  # fmt: skip

OPTIONS: list[dict[str, Any]] = [
    WEB,
    WEB | {"BLOCKSIZE": 512},
    WEB | {"ZOOM_LEVEL_STRATEGY": "LOWER"},
    WEB | {"ZOOM_LEVEL_STRATEGY": "UPPER"},
    WEB | {"ZOOM_LEVEL": 3},
    WEB | {"ALIGNED_LEVELS": 3},
    WEB | {"ALIGNED_LEVELS": 30, "ZOOM_LEVEL": 2},
    {"TILING_SCHEME": "InspireCRS84Quad"},
    {"TARGET_SRS": "EPSG:3857"},
    {"TARGET_SRS": "EPSG:4326"},
    {"TARGET_SRS": "EPSG:3857", "EXTENT": "-400000,4100000,-300000,4300000", "RES": "1234.5"},
    {"TARGET_SRS": "EPSG:3857", "EXTENT": "-400000,4100000,-300000,4300000", "RES": "1000"},
]


def grid_of_gdal(source: tuple[Affine, int, int, str], options: dict[str, Any]) -> Any:
    """Return transform, shape, CRS and tags of a file that GDAL's driver writes; None where it writes none."""
    transform, height_px, width_px, crs = source
    place = {"transform": transform, "height": height_px, "width": width_px, "crs": crs, "count": 1, "dtype": "uint8"}
    quick = {"WARP_RESAMPLING": "NEAREST", "OVERVIEWS": "NONE", "SPARSE_OK": "YES"}
    with MemoryFile(ext=".tif") as file, MemoryFile(ext=".tif") as out:
        with file.open(driver="GTiff", SPARSE_OK="YES", tiled=True, **place):
            pass
        with file.open() as dataset:
            try:
                rasterio.shutil.copy(dataset, out.name, driver="COG", **quick, **options)
            except (RasterioError, CPLE_BaseError):
                return None
        with out.open() as found:
            # rasterio passes names of schemes to GDAL in upper case.
            tags = {key: value for key, value in found.tags(ns="TILING_SCHEME").items() if key != "NAME"}
            return found.transform, found.shape, found.crs.to_epsg(), tags


def grid_of(source: tuple[Affine, int, int, str], options: dict[str, Any]) -> Any:
    """Return the same of the grid that is planned; None where none is."""
    try:
        grid = planned(source, options)
    except (GeoreferenceError, OptionError):
        return None
    tags = {key: value for key, value in grid.tags if key != "NAME"}
    return grid.transform, (grid.height_px, grid.width_px), grid.crs.to_epsg(), tags


def planned(source: tuple[Affine, int, int, str], options: dict[str, Any]) -> TargetGrid:
    transform, height_px, width_px, crs = source
    side_px = options.get("BLOCKSIZE", 256)
    place = Georeference(height_px, width_px, rasterio.CRS.from_user_input(crs), transform)
    return target_grid(place, {key: str(value) for key, value in options.items()}, side_px, side_px)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(map(str, options.values())))
def test_grid_is_gdals(options: dict[str, Any]) -> None:
    found = {name: grid_of(source, options) for name, source in SOURCES.items()}

    assert found == {name: grid_of_gdal(source, options) for name, source in SOURCES.items()}


def test_extent_without_a_resolution_has_that_of_gdal() -> None:
    options = {"TARGET_SRS": "EPSG:3857", "EXTENT": "-330000,4310000,-320000,4330000"}

    assert grid_of(SOURCES["UTM"], options) == grid_of_gdal(SOURCES["UTM"], options)


@pytest.mark.parametrize(
    "name", [name for name in morecantile.tms.list() if name not in ("CDB1GlobalGrid", "GNOSISGlobalGrid")]
)
@pytest.mark.parametrize(
    "more",
    [{}, pytest.param({"ALIGNED_LEVELS": 3, "ZOOM_LEVEL": 6}, marks=pytest.mark.thorough)],
    ids=["", "aligned"],
)
def test_grid_in_every_scheme_of_morecantile_is_gdals(
    name: str, more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # By a name that stays the same in upper case.
    (tmp_path / "TMS.JSON").write_text(morecantile.tms.get(name).model_dump_json(exclude_none=True))
    compared = 0
    for source in map(SOURCES.__getitem__, ("UTM", "New Zealand", "Europe", "pole", "south pole")):
        expected = grid_of_gdal(source, {"TILING_SCHEME": "TMS.JSON", **more})
        if expected is not None:  # GDAL locates the whole world in no scheme of a pole
            assert grid_of(source, {"TILING_SCHEME": name, **more}) == expected
            compared += 1

    assert compared >= 1


@given(
    pixel=st.floats(0.01, 20_000),
    x=st.floats(-15e6, 15e6),
    y=st.floats(-15e6, 15e6),
    shape=st.tuples(st.integers(1, 1500), st.integers(1, 1500)),
    strategy=st.sampled_from(["AUTO", "LOWER", "UPPER"]),
    aligned=st.integers(1, 12),
    side_px=st.sampled_from([256, 512, 1024]),
)
@example(ZOOM_12_M, -EDGE_M, EDGE_M, (256, 256), "LOWER", 1, 256)
@settings(max_examples=often(500, 20))
def test_grid_of_any_raster_is_gdals(
    pixel: float, x: float, y: float, shape: tuple[int, int], strategy: str, aligned: int, side_px: int
) -> None:
    source = Affine(pixel, 0, x, 0, -pixel, y), *shape, "EPSG:3857"
    options = WEB | {"ZOOM_LEVEL_STRATEGY": strategy, "ALIGNED_LEVELS": aligned, "BLOCKSIZE": side_px}
    grid = grid_of(source, options)
    if grid is not None and math.prod(grid[1]) > 2**24:
        return  # which GDAL would write

    assert grid == grid_of_gdal(source, options)


def test_levels_are_zoom_levels_and_are_planned_before_the_save(make_tensor: Any, tmp_path: Path) -> None:
    tensor = make_tensor((1, 700, 900), "uint8")

    plan = plan_export(tensor, tmp_path / "out.tif", profile_arg=WEB)
    receipt = save_cog(tensor, tmp_path / "out.tif", profile_arg=WEB)

    assert (plan.engine, plan.shape) == ("stream", receipt.shape)
    assert [(one.height_px, one.width_px) for one in plan.levels] == [
        (one.height_px, one.width_px) for one in receipt.levels
    ]
    for level in range(len(plan.levels) - 1):
        with rasterio.open(tmp_path / "out.tif", overview_level=level) as overview:
            zoom = math.log2(2 * EDGE_M / 256 / overview.transform.a)
            assert zoom == pytest.approx(round(zoom), abs=1e-9)


def test_file_records_scheme_and_zoom_level(make_tensor: Any, tmp_path: Path) -> None:
    save_cog(make_tensor(), tmp_path / "out.tif", profile_arg={"tiling_scheme": "googlemapscompatible"})

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.tags(ns="TILING_SCHEME") == {"NAME": "GoogleMapsCompatible", "ZOOM_LEVEL": "14"}


def test_raster_on_the_grid_is_not_warped(tmp_path: Path, make_tensor: Any) -> None:
    transform, height_px, width_px, crs = SOURCES["zoom level"]
    tensor = make_tensor((1, height_px, width_px), transform=transform, crs=crs)

    receipt = save_cog(tensor, tmp_path / "out.tif", profile_arg=WEB)

    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), tensor.values)
        assert dataset.tags(ns="TILING_SCHEME")["ZOOM_LEVEL"] == "12"
    assert receipt.shape == (1, 512, 256)


def test_scheme_of_a_saved_file_is_not_that_of_a_warp_of_it(make_tensor: Any, tmp_path: Path) -> None:
    save_cog(make_tensor(), tmp_path / "web.tif", profile_arg=WEB)

    save_cog(tmp_path / "web.tif", tmp_path / "out.tif", profile_arg={"TARGET_SRS": "EPSG:4326"})

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.tags(ns="TILING_SCHEME") == {}


def test_scheme_by_its_definition_in_json(make_tensor: Any, tmp_path: Path) -> None:
    definition = morecantile.tms.get("WebMercatorQuad").model_dump_json(exclude_none=True)

    by_name, by_json = (
        save_cog(make_tensor(), tmp_path / "out.tif", profile_arg={"TILING_SCHEME": scheme})
        for scheme in ("WebMercatorQuad", definition)
    )

    assert (by_name.transform, by_name.shape) == (by_json.transform, by_json.shape)


@pytest.mark.parametrize(("options", "kind", "message"), [
    ({"TILING_SCHEME": "nonsense"}, OptionError, "'nonsense' is unknown; allowed: CUSTOM, GoogleMapsCompatible"),
    ({"TILING_SCHEME": "CDB1GlobalGrid"}, OptionError, "do not share one size of tiles"),
    ({"TILING_SCHEME": "GNOSISGlobalGrid"}, OptionError, "do not share one matrix width"),
    ({"TILING_SCHEME": "{}"}, OptionError, "is not the JSON of a tile matrix set"),
    ({"TILING_SCHEME": "NZTM2000Quad"}, GeoreferenceError, "lies outside of the tile matrix set NZTM2000Quad"),
    ({"TILING_SCHEME": "NZTM2000Quad", "ZOOM_LEVEL": 22}, OptionError, "22 is not a zoom level .* allowed: 0 to 21"),
    ({"TILING_SCHEME": "CanadianNAD83_LCC", "ALIGNED_LEVELS": 4}, OptionError, "differ by 1.7, which no number of"),
    (WEB | {"blockxsize": 512}, OptionError, "square tiles, got 512 x 256"),
    ({"TARGET_SRS": "EPSG:3857", "EXTENT": "1,1,0,0"}, OptionError, "is empty"),
    ({"TARGET_SRS": "EPSG:3857", "EXTENT": "0,0,1,1"}, OptionError, "is 0 x 0 pixels"),
    ({"TARGET_SRS": "EPSG:3857", "WARP_RESAMPLING": "GAUSS"}, OptionError, "allowed: NEAREST"),
])  # fmt: skip
def test_impossible_grid_is_refused_without_a_file(
    options: dict[str, Any], kind: type[Exception], message: str, make_tensor: Any, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=message):
        save_cog(make_tensor(), tmp_path / "out.tif", profile_arg=options)

    assert list(tmp_path.iterdir()) == []


def test_raster_beside_the_square_of_web_mercator_is_refused(make_tensor: Any, tmp_path: Path) -> None:
    arctic = make_tensor(transform=Affine(0.01, 0, 0, 0, -0.01, 89.9), crs="EPSG:4326")

    with pytest.raises(GeoreferenceError, match="outside of the tile matrix set GoogleMapsCompatible"):
        save_cog(arctic, tmp_path / "out.tif", profile_arg=WEB)


def test_scheme_without_morecantile_names_the_extra(
    make_tensor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "morecantile", None)
    tiling_schemes._from_morecantile.cache_clear()

    with pytest.raises(MissingExtraError, match=r"'EuropeanETRS89_LAEAQuad' needs morecantile: .* extra 'tms'"):
        save_cog(make_tensor(), tmp_path / "out.tif", profile_arg={"TILING_SCHEME": "EuropeanETRS89_LAEAQuad"})
    save_cog(make_tensor(), tmp_path / "out.tif", profile_arg=WEB)


def test_overviews_beside_the_zoom_levels_are_a_warning(tmp_path: Path) -> None:
    place = {"transform": Affine(1000, 0, 0, 0, -1000, 0), "crs": "EPSG:3978"}
    tensor = GeoTensor(np.ones((1, 600, 600), "uint8"), **place, fill_value_default=None)

    with pytest.warns(LayoutWarning, match="overviews are not zoom levels of CanadianNAD83_LCC"):
        save_cog(tensor, tmp_path / "out.tif", profile_arg={"TILING_SCHEME": "CanadianNAD83_LCC"})


def test_resolutions_are_those_of_the_standard() -> None:
    """OGC 17-083r4, annex D: WebMercatorQuad, zoom level 12."""
    scheme = find_scheme("webmercatorquad")

    assert scheme.resolutions[12] == pytest.approx(ZOOM_12_M, rel=1e-12)
    assert (scheme.left, scheme.top, scheme.tile_px) == (-EDGE_M, EDGE_M, 256)
