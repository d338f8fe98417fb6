"""One dataset of the caller's, saved from several threads: rasterio's handles are not safe to use from two at once."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio._env import get_gdal_config
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from conftest import CRS, TRANSFORM
from georeader import CogWriter, RasterioReader, files_kept_open, save_cog, save_tiled_geotiff
from georeader._export.sources import handles
from georeader.preview import preview

THREADS = 4
PIXELS = (np.arange(3 * 700 * 650) % 251 + 1).reshape(3, 700, 650).astype("uint8")


class Watched(DatasetReader):
    """A dataset that records how many threads read it at once."""

    reading = most_at_once = 0

    def read(self, *args: Any, **kwargs: Any) -> NDArray[Any]:
        self.reading += 1
        self.most_at_once = max(self.most_at_once, self.reading)
        time.sleep(0.002)
        try:
            return super().read(*args, **kwargs)
        finally:
            self.reading -= 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = {"crs": CRS, "transform": TRANSFORM, "count": 3, "height": 700, "width": 650}
    tiles = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate"}
    with rasterio.open(tmp_path / "in.tif", "w", driver="GTiff", dtype="uint8", **place, **tiles) as dataset:
        dataset.write(PIXELS)
    return tmp_path / "in.tif"


@pytest.fixture
def watched(path: Path) -> Iterator[Watched]:
    with Watched(str(path)) as dataset:
        yield dataset


def in_threads(work: Callable[[int], Any]) -> list[Any]:
    """Run work on four threads that begin together."""
    start = threading.Barrier(THREADS)

    def begin(number: int) -> Any:
        start.wait(10)
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


def read(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        found: NDArray[Any] = dataset.read()
    return found


USES = {
    "save_cog": lambda data, out: save_cog(data, out),
    "save_cog by gdal": lambda data, out: save_cog(data, out, engine="gdal"),
    "save_tiled_geotiff": lambda data, out: save_tiled_geotiff(data, out, profile_arg={"predictor": 2}),
    "tiles by gdal": lambda data, out: save_tiled_geotiff(data, out, engine="gdal"),
    "bands by themselves": lambda data, out: save_cog(data, out, profile_arg={"INTERLEAVE": "BAND"}),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_dataset_saved_from_four_threads_is_read_by_one_at_a_time(use: Any, watched: Watched, tmp_path: Path) -> None:
    in_threads(lambda number: use(watched, tmp_path / f"{number}.tif"))

    assert watched.most_at_once == 1
    for number in range(THREADS):
        np.testing.assert_array_equal(read(tmp_path / f"{number}.tif"), PIXELS)


def test_a_dataset_drawn_and_described_from_four_threads_is_read_by_one_at_a_time(
    watched: Watched, tmp_path: Path
) -> None:
    def use(number: int) -> Any:
        if number % 2:
            return preview(watched, max_side_px=300)
        with CogWriter(tmp_path / f"{number}.tif", like=watched) as writer:
            writer.write(PIXELS)
        return None

    pictures = in_threads(use)

    assert watched.most_at_once == 1
    assert pictures[1] == pictures[3] == preview(watched, max_side_px=300)


def test_warps_of_one_dataset_wait_for_each_other_and_for_the_dataset(watched: Watched, tmp_path: Path) -> None:
    entered, left = threading.Event(), threading.Event()
    with WarpedVRT(watched, crs=CRS) as one, WarpedVRT(one, crs=CRS) as other:

        def hold() -> None:
            with handles.CallersHandle(other).borrow():
                entered.set()
                left.wait(10)

        holder = threading.Thread(target=hold)
        holder.start()
        entered.wait(10)
        saves = [
            threading.Thread(target=save_cog, args=(data, tmp_path / f"{number}.tif"))
            for number, data in enumerate((watched, one, other))
        ]
        for save in saves:
            save.start()
        time.sleep(0.2)
        waiting = [save.is_alive() for save in saves]
        left.set()
        for thread in (*saves, holder):
            thread.join(60)

    assert waiting == [True, True, True]
    for number in range(3):
        np.testing.assert_array_equal(read(tmp_path / f"{number}.tif"), PIXELS)


@pytest.mark.filterwarnings("ignore:.*matmul:PendingDeprecationWarning")
@pytest.mark.parametrize("lock", [None, False], ids=["rioxarray's lock", "no lock"])
@pytest.mark.parametrize("engine", ["stream", "gdal"])
def test_a_lazy_data_array_of_one_dataset_is_saved_from_four_threads(
    engine: Any, lock: Any, path: Path, tmp_path: Path
) -> None:
    rioxarray = pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    with rasterio.open(path) as dataset, rioxarray.open_rasterio(dataset, lock=lock, cache=False) as array:
        in_threads(lambda number: save_cog(array, tmp_path / f"{number}.tif", engine=engine))

    for number in range(THREADS):
        np.testing.assert_array_equal(read(tmp_path / f"{number}.tif"), PIXELS)


def test_readers_and_files_kept_open_have_handles_for_each_thread(path: Path, tmp_path: Path) -> None:
    reader = RasterioReader(path)

    def use(number: int) -> NDArray[Any]:
        with files_kept_open():
            save_cog(reader, tmp_path / f"{number}.tif")
            return reader.load().values

    for number, pixels in enumerate(in_threads(use)):
        np.testing.assert_array_equal(pixels, PIXELS)
        np.testing.assert_array_equal(read(tmp_path / f"{number}.tif"), PIXELS)


def test_the_lock_of_a_dataset_is_released_with_it(path: Path, tmp_path: Path) -> None:
    gc.collect()
    before = len(handles._LOCKS)
    for number in range(20):
        with rasterio.open(path) as dataset:
            save_tiled_geotiff(dataset, tmp_path / f"{number}.tif")
    del dataset
    gc.collect()

    assert len(handles._LOCKS) <= before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_its_parents_threads(path: Path) -> None:
    with rasterio.open(path) as dataset, handles.CallersHandle(dataset).borrow():
        child = os.fork()
        if not child:
            lock = handles.lock_of(dataset)
            took = threading.Thread(target=lambda: lock.__enter__(), daemon=True)
            took.start()
            took.join(5)
            os._exit(int(took.is_alive()))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_process_restores_the_block_cache() -> None:
    before = get_gdal_config("GDAL_CACHEMAX")
    owner, lock = object(), handles._BLOCK_CACHE._lock
    handles._BLOCK_CACHE.bound(owner, 9 * 2**20)
    try:
        with lock:
            child = os.fork()
            if not child:
                found: list[Any] = []

                def save() -> None:
                    for size_bytes in (8 * 2**20, 0):
                        handles._BLOCK_CACHE.bound(saving, size_bytes)
                    found.append(get_gdal_config("GDAL_CACHEMAX"))

                saving = threading.Thread(target=save, daemon=True)
                saving.start()
                saving.join(5)
                os._exit(int(found != [before]))
    finally:
        handles._BLOCK_CACHE.bound(owner, 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert get_gdal_config("GDAL_CACHEMAX") == before


@pytest.mark.parametrize("opens", [str, RasterioReader, rasterio.open], ids=["path", "reader", "dataset"])
@pytest.mark.parametrize("num_threads", [1, 2])
def test_block_cache_of_gdal_is_restored_after_a_save(opens: Any, num_threads: int, path: Path, tmp_path: Path) -> None:
    before = get_gdal_config("GDAL_CACHEMAX")

    with rasterio.Env():
        data = opens(path)
        in_threads(lambda number: save_cog(data, tmp_path / f"{number}.tif", profile_arg={"NUM_THREADS": num_threads}))
        if opens is rasterio.open:
            data.close()

    assert get_gdal_config("GDAL_CACHEMAX") == before
