"""Fixtures of all tests: small rasters, real rasters, and listings of folders."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from affine import Affine
from hypothesis import settings
from rio_cogeo import cog_validate

from browser import browser, running_chromium  # noqa: F401  (fixtures)
from cluster_stores import bucket, s3_env, s3_proxy, start_s3_workers  # noqa: F401  (fixtures)
from dask_cluster import cluster  # noqa: F401  (a fixture: starts its clusters when it is called)
from effort import IS_THOROUGH, covering
from faults.count import pytest_terminal_summary  # noqa: F401  (a hook: prints the number of faults)
from georeader import GeoTensor
from georeader._core.threads import usable_cpus
from range_server import Server, running
from servers.fixtures import *  # noqa: F403  (fixtures: each starts its server at the first use)

# Random examples find new cases on a developer's machine; the result of CI must not depend on them. A deadline would
# measure the load of the machine.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.load_profile("local")
if os.environ.get("CI"):
    settings.load_profile("ci")

#: Fixtures that start a server in a process of its own; a test that uses one is marked ``server``.
SERVERS = frozenset({"azurite", "fake_gcs", "moto", "nginx", "seaweed", "sftp"})


# A shell has jobs in the background ignore interrupts, and so would the processes that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Return one process more than there are CPUs: many tests wait for servers and for processes of their own."""
    return usable_cpus() + 1


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that need a server, and leave what takes long to ``make test-thorough``."""
    for item in items:
        if _parameters_and_fixtures(item) & SERVERS:
            item.add_marker("server")
    left_out = (
        [] if IS_THOROUGH else [*_not_covering(items), *(item for item in items if item.get_closest_marker("thorough"))]
    )
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _parameters_and_fixtures(item: pytest.Item) -> set[str]:
    names = {name.removeprefix("running_").removesuffix("_server") for name in getattr(item, "fixturenames", ())}
    callspec = getattr(item, "callspec", None)
    return names | {value for value in callspec.params.values() if isinstance(value, str)} if callspec else names


def _not_covering(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the tests that are marked `covering` and repeat what the others of their table cover."""
    tables: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("covering"):
            tables.setdefault(item.nodeid.partition("[")[0], []).append(item)
    left_out = []
    for table in tables.values():
        columns = table[0].get_closest_marker("covering").kwargs["columns"]
        chosen = set(covering([columns(**item.callspec.params) for item in table]))
        left_out += [item for index, item in enumerate(table) if index not in chosen]
    return left_out


#: A grid of 10 m pixels in UTM zone 30N.
TRANSFORM = Affine(10, 0, 500000, 0, -10, 4000000)
CRS = "EPSG:32630"

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def _released_block_cache() -> Iterator[None]:
    """Check that each source that bounded GDAL's block cache was closed, also by a save that failed."""
    yield
    sources = sys.modules.get("georeader._export.sources.handles")
    left = list(sources._BLOCK_CACHE._parts) if sources else []
    for owner in left:
        owner.release()
    assert not left, "a source was not closed: GDAL's block cache stays bounded"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240601)


@pytest.fixture
def make_tensor(rng: np.random.Generator) -> Callable[..., GeoTensor]:
    """Return a function (shape, dtype, **GeoTensor arguments) -> GeoTensor of random pixels."""

    def make(shape: tuple[int, ...] = (2, 40, 50), dtype: str = "uint16", **kwargs: object) -> GeoTensor:
        kind = np.dtype(dtype).kind
        if kind == "b":
            values = rng.random(shape) > 0.5
        elif kind == "f":
            values = rng.normal(size=shape).astype(dtype)
        elif kind == "c":
            values = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
        else:
            values = rng.integers(1, 100, shape).astype(dtype)
        arguments = {"transform": TRANSFORM, "crs": CRS, "fill_value_default": None} | kwargs
        return GeoTensor(values, **arguments)

    return make


@pytest.fixture
def shared_data() -> Path:
    """The folder of real rasters beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real rasters (../shared/data) are not on this machine")
    return SHARED_DATA


@pytest.fixture
def good_cog() -> Callable[[Path], None]:
    """Return a function that checks a COG with other readers: rio-cogeo (strict), tifffile and GDAL."""

    def check(path: Path) -> None:
        is_valid, errors, warnings = cog_validate(path, strict=True, quiet=True)
        assert is_valid, (errors, warnings)
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            assert [page.is_tiled for page in tiff.pages] == [True] * len(tiff.pages)
            assert series.shape[0] > 0
        with rasterio.open(path) as dataset:
            assert dataset.driver == "GTiff"

    return check


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    """Return a function that lists all files below a folder, hidden ones too, to compare before and after."""

    def note(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()} | {
            str(path.relative_to(folder)) + "/": b"" for path in folder.rglob("*") if path.is_dir()
        }

    return note


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The running server and the folder that it serves."""
    with running(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def server(served: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A new folder for each test on an HTTP server that records requests, since GDAL caches URLs."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    folder = Path(tempfile.mkdtemp(dir=served.folder))
    yield Server(f"{served.base}/{folder.name}", folder)
    shutil.rmtree(folder)
