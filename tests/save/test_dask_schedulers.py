"""Arrays of dask under every scheduler, persisted ones included: each chunk computed once by any of them."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from by_rioxarray import BY_RIOXARRAY
from conftest import CRS, TRANSFORM
from georeader import CogWriter, save_cog, save_tiled_geotiff
from georeader.errors import ReadError
from georeader.preview import preview

da = pytest.importorskip("dask.array", reason="dask is not installed")
dask = pytest.importorskip("dask", reason="dask is not installed")
distributed = pytest.importorskip("distributed", reason="distributed is not installed")

pytestmark = [
    BY_RIOXARRAY,
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

IS_MASKED = np.arange(500 * 600).reshape(500, 600) % 7 == 0
PIXELS = (np.arange(2 * 500 * 600) % 251 + 1).reshape(2, 500, 600).astype("uint16")

SAVES = {
    "save_cog": lambda data, out: save_cog(data, out),
    "save_cog by gdal": lambda data, out: save_cog(data, out, engine="gdal"),
    "tiled": lambda data, out: save_tiled_geotiff(data, out, profile_arg={"predictor": 2}),
    "tiled by gdal": lambda data, out: save_tiled_geotiff(data, out, engine="gdal"),
}


@pytest.fixture(scope="module", params=["in this process", "in processes"])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return a client of a cluster on this machine, which is the scheduler while the client is open."""
    cluster = distributed.LocalCluster(
        n_workers=1 if request.param == "in this process" else 2,
        threads_per_worker=2,
        processes=request.param != "in this process",
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
        memory_limit=0,
    )
    with cluster, distributed.Client(cluster) as client:
        yield client


def behind_an_object(values: Any) -> Any:
    place = {"transform": TRANSFORM, "crs": CRS, "fill_value_default": None, "attrs": {}}
    return SimpleNamespace(shape=values.shape, values=values, **place)


class Counted:
    """Cuts chunks out of the pixels, and records each call in a folder shared by processes."""

    def __init__(self, folder: Path, fails_at: tuple[int, ...] | None = None) -> None:
        self.folder, self.fails_at = folder, fails_at

    def __call__(self, block_info: Any = None) -> NDArray[Any]:
        place = tuple(block_info[None]["chunk-location"])
        name = f"{'-'.join(map(str, place))}.{os.getpid()}.{threading.get_ident()}.{os.urandom(4).hex()}"
        (self.folder / name).touch()
        if place == self.fails_at:
            raise OSError("the disk was pulled out")
        return PIXELS[tuple(slice(*edges) for edges in block_info[None]["array-location"])]

    def array(self, chunks: tuple[int, ...]) -> Any:
        self.folder.mkdir(exist_ok=True)
        sizes = da.core.normalize_chunks(chunks, PIXELS.shape)
        return da.map_blocks(self, chunks=sizes, dtype=PIXELS.dtype, meta=np.empty((0, 0, 0), PIXELS.dtype))

    @property
    def calls(self) -> Counter[str]:
        return Counter(path.name.split(".")[0] for path in self.folder.iterdir())


def check(path: Path, expected: NDArray[Any] = PIXELS) -> None:
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), expected)


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_a_persisted_array_is_saved(save: Any, client: Any, tmp_path: Path) -> None:
    values = da.from_array(PIXELS, chunks=(1, 200, 256)).persist()

    save(behind_an_object(values), tmp_path / "out.tif")

    check(tmp_path / "out.tif")


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_array_computed_from_a_persisted_array_is_saved(save: Any, client: Any, tmp_path: Path) -> None:
    values = da.from_array(PIXELS, chunks=(2, 200, 256)).persist()
    made = (values.rechunk((2, 256, 200)) * 2 + values.min()).astype("uint16")

    save(behind_an_object(made), tmp_path / "out.tif")

    check(tmp_path / "out.tif", PIXELS * 2 + 1)


@pytest.mark.parametrize("is_persisted", [True, False], ids=["persisted", "lazy"])
@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_a_data_array_opened_in_chunks_is_saved(save: Any, is_persisted: bool, client: Any, tmp_path: Path) -> None:
    rioxarray = pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    place = {"driver": "GTiff", "crs": CRS, "transform": TRANSFORM, "count": 2, "height": 500, "width": 600}
    with rasterio.open(tmp_path / "in.tif", "w", dtype="uint16", **place) as dataset:
        dataset.write(PIXELS)
    array = rioxarray.open_rasterio(tmp_path / "in.tif", chunks={"band": 1, "y": 200, "x": 300})

    save(array.persist() if is_persisted else array, tmp_path / "out.tif")

    check(tmp_path / "out.tif")


def test_persisted_array_has_a_preview_and_a_grid(client: Any, tmp_path: Path) -> None:
    data = behind_an_object(da.from_array(PIXELS, chunks=(2, 200, 256)).persist())

    with CogWriter(tmp_path / "out.tif", like=data) as writer:
        writer.write(PIXELS)

    check(tmp_path / "out.tif")
    assert preview(data, max_side_px=200) == preview(behind_an_object(PIXELS), max_side_px=200)


@pytest.mark.parametrize("is_current", [False, True], ids=["global", "current"])
def test_each_chunk_is_computed_once_by_a_client(is_current: bool, client: Any, tmp_path: Path) -> None:
    counted = Counted(tmp_path / "calls")

    with ExitStack() as stack:
        if is_current:
            stack.enter_context(client.as_current())
        save_cog(behind_an_object(counted.array((2, 128, 200))), tmp_path / "out.tif")

    check(tmp_path / "out.tif")
    assert set(counted.calls.values()) == {1}
    assert len(counted.calls) == 4 * 3


@pytest.mark.parametrize(
    ("scheduler", "max_memory", "save"),
    [
        ("threads", "24MiB", save_cog),
        ("threads", "512MiB", save_tiled_geotiff),
        ("synchronous", "24MiB", save_tiled_geotiff),
        ("synchronous", "512MiB", save_cog),
        (None, "24MiB", save_cog),
        (None, "24MiB", save_tiled_geotiff),
        ("processes", "24MiB", save_cog),
    ],
)
def test_each_chunk_is_computed_once_by_every_scheduler(
    scheduler: str | None, max_memory: str, save: Any, tmp_path: Path
) -> None:
    counted = Counted(tmp_path / "calls")

    with ExitStack() as stack:
        if scheduler == "processes":
            pool = stack.enter_context(ProcessPoolExecutor(2, mp_context=get_context("forkserver")))
            stack.enter_context(dask.config.set(pool=pool))
        stack.enter_context(dask.config.set(scheduler=scheduler))
        save(behind_an_object(counted.array((1, 500, 400))), tmp_path / "out.tif", max_memory=max_memory)

    check(tmp_path / "out.tif")
    assert set(counted.calls.values()) == {1}
    assert len(counted.calls) == 4


def test_an_error_on_a_cluster_names_the_window_and_leaves_nothing(client: Any, tmp_path: Path) -> None:
    counted = Counted(tmp_path / "calls", fails_at=(0, 1, 2))
    (tmp_path / "out").mkdir()

    with pytest.raises(ReadError, match=r"rows \d+ to \d+, columns \d+ to \d+, bands 1 to 2.*disk was pulled"):
        save_cog(behind_an_object(counted.array((2, 128, 200))), tmp_path / "out" / "out.tif")

    assert list((tmp_path / "out").iterdir()) == []


def test_array_with_a_closed_client_is_a_read_error(tmp_path: Path) -> None:
    cluster = distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
    )
    with cluster, distributed.Client(cluster):
        values = da.from_array(PIXELS, chunks=(2, 200, 256), name=False).persist()  # a name no other cluster has

    with pytest.raises(ReadError, match=r"rows \d+ to"):
        save_cog(behind_an_object(values), tmp_path / "out.tif")


# Saves within a task of a worker.


def save_in_task(values: Any, path: str) -> str:
    save_cog(SimpleNamespace(shape=values.shape, values=values, **TASK_PLACE), path)
    return threading.current_thread().name


TASK_PLACE = {"transform": TRANSFORM, "crs": CRS, "fill_value_default": None, "attrs": {}}


def test_saves_that_occupy_all_threads_of_a_cluster_compute_their_arrays_themselves(
    client: Any, tmp_path: Path
) -> None:
    counted = Counted(tmp_path / "calls")
    values = counted.array((2, 200, 256))
    threads = sum(client.nthreads().values())

    # as a value within a function: dask would compute an argument before the task
    futures = [
        client.submit(lambda path: save_in_task(values, path), str(tmp_path / f"{number}.tif"), pure=False)
        for number in range(2 * threads)
    ]
    distributed.wait(futures, timeout=60)

    for number in range(2 * threads):
        check(tmp_path / f"{number}.tif")
    assert set(counted.calls.values()) == {2 * threads}


def test_persisted_array_is_saved_within_a_task(client: Any, tmp_path: Path) -> None:
    values = da.from_array(PIXELS, chunks=(2, 200, 256)).persist()

    client.submit(lambda path: save_in_task(values, path), str(tmp_path / "out.tif"), pure=False).result(60)

    check(tmp_path / "out.tif")


@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_masked_integers_that_a_cluster_computes_are_saved_in_this_process(
    dtype: str, client: Any, tmp_path: Path
) -> None:
    """NumPy's fill value of masked integers, 999999, is none that 16 bits hold; dask fails to move such chunks."""
    plain = da.from_array(PIXELS.astype(dtype), chunks=(2, 200, 256))
    values = da.ma.masked_array(plain, np.broadcast_to(IS_MASKED, PIXELS.shape))

    save_cog(behind_an_object(values), tmp_path / "out.tif", client=False)

    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_array_equal(dataset.dataset_mask() == 0, IS_MASKED)
