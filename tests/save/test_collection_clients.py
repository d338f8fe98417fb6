"""Collections in the clients that others wrote: odc-stac and stackstac load the cube, and GDAL its index."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import odc.stac
import pyarrow.parquet
import pystac
import pytest
import rustac
import stac_geoparquet.arrow

from georeader.storage import read_bytes
from saved_collections import TRANSFORM, Cube
from servers.s3 import S3Server

# The clients' own business.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::PendingDeprecationWarning", "ignore::FutureWarning"
)


def items_of_collection(root: str) -> list[pystac.Item]:
    return list(pystac.Collection.from_file(f"{root}/collection.json").get_items())


def items_by_stac_geoparquet(root: str) -> list[pystac.Item]:
    path = f"{root}/items.parquet"
    found = stac_geoparquet.arrow.stac_table_to_items(pyarrow.parquet.read_table(path))
    return [pystac.Item.from_dict(item, href=path) for item in found]


def items_by_rustac(root: str) -> list[pystac.Item]:
    path = f"{root}/items.parquet"
    return [pystac.Item.from_dict(item, href=path) for item in rustac.read_sync(path)["features"]]


CUBES = {
    "DataArray": {"variables": ["B04"], "is_array": True},
    "Dataset": {"steps": 3},
    "chunks": {"chunk": (50, 70), "missing": [(1, 0, 1)]},
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[str, Cube]]:
    """Return a function that saves a cube once, and returns its folder and the cube."""
    done: dict[str, tuple[str, Cube]] = {}

    def save(kind: str) -> tuple[str, Cube]:
        if kind not in done:
            root, cube = str(tmp_path_factory.mktemp(kind.replace(" ", "_"))), Cube(**CUBES[kind])
            cube.save(root)
            done[kind] = root, cube
        return done[kind]

    return save


def assert_is_cube(loaded: Any, cube: Cube) -> None:
    """Compare what odc-stac loads with the cube."""
    assert loaded.odc.geobox.transform == TRANSFORM
    assert loaded.odc.geobox.crs.to_epsg() == 32630
    np.testing.assert_array_equal(loaded.time.values, np.array(cube.times, "datetime64[ns]"))
    assert sorted(loaded.data_vars) == sorted(cube.values)
    for name, expected in cube.expected.items():
        assert loaded[name].dtype == expected.dtype
        np.testing.assert_array_equal(loaded[name].values, expected)


@pytest.mark.parametrize(("kind", "read"), [
    ("Dataset", items_of_collection), ("Dataset", items_by_stac_geoparquet), ("Dataset", items_by_rustac),
    ("DataArray", items_of_collection), ("chunks", items_of_collection), ("chunks", items_by_stac_geoparquet),
])  # fmt: skip
def test_odc_stac_loads_the_cube(kind: str, read: Any, saved: Any) -> None:
    root, cube = saved(kind)

    assert_is_cube(odc.stac.load(read(root), bands=list(cube.values)), cube)


def test_odc_stac_loads_chunks_of_dask(saved: Any) -> None:
    root, cube = saved("chunks")

    loaded = odc.stac.load(items_of_collection(root), chunks={"x": 64, "y": 64})

    assert loaded["B04"].chunks == ((1, 1), (64, 26), (64, 56))
    assert_is_cube(loaded.compute(), cube)


def test_odc_stac_loads_the_cube_from_s3(seaweed: S3Server, use_env: Callable[[dict[str, str]], None]) -> None:
    use_env(seaweed.env())
    cube = Cube()
    path = cube.save(seaweed.url("clients/cube")).parquet

    found = stac_geoparquet.arrow.stac_table_to_items(pyarrow.parquet.read_table(io.BytesIO(read_bytes(path))))

    assert_is_cube(odc.stac.load([pystac.Item.from_dict(item, href=path) for item in found]), cube)


@pytest.mark.parametrize(("kind", "name", "fill", "read"), [
    ("DataArray", "B04", np.uint16(0), items_of_collection), ("Dataset", "B04", np.uint16(0), items_by_rustac),
    ("Dataset", "ndvi", np.float32("nan"), items_by_stac_geoparquet),
    ("chunks", "ndvi", np.float32("nan"), items_of_collection),
])  # fmt: skip
def test_stackstac_stacks_the_cube(kind: str, name: str, fill: Any, read: Any, saved: Any) -> None:
    reason = "stackstac 0.5.1 needs pandas before 3, so that no extra has it: pip install 'stackstac>=0.5.1'"
    stackstac = pytest.importorskip("stackstac", minversion="0.5.1", reason=reason)
    root, cube = saved(kind)
    items = [item.make_asset_hrefs_absolute() for item in read(root)]  # it opens links as they are

    stack = stackstac.stack(
        items, assets=["data" if cube.is_array else name], epsg=32630, resolution=10, dtype=fill.dtype, fill_value=fill,
        rescale=False, bounds=(500000, 4000000 - 10 * cube.shape[0], 500000 + 10 * cube.shape[1], 4000000),
    )  # fmt: skip

    stack = stack.groupby("time").map(stackstac.mosaic, nodata=fill) if kind == "chunks" else stack
    np.testing.assert_array_equal(stack.values[:, 0], cube.expected[name])
