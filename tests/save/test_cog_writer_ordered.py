"""CogWriter(ordered=True): rows are saved while windows are still written; the file is the same."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.windows import Window

from conftest import CRS, TRANSFORM
from georeader import CogWriter, iter_windows
from georeader.errors import FillValueWarning, IndexingError, OptionError, WriteError
from georeader.validation import validate

PLACE: dict[str, Any] = {"transform": TRANSFORM, "crs": CRS}
SHAPE = (2500, 700)

#: Predictor and codec that do not depend on the pixels.
FIXED = {"compress": "deflate", "predictor": 2}


@pytest.fixture
def pixels(rng: np.random.Generator) -> Any:
    return rng.integers(1, 200, SHAPE).astype("uint8")


def write(path: Any, pixels: Any, *, ordered: bool = True, **options: Any) -> CogWriter:
    with CogWriter(path, shape=pixels.shape, dtype=pixels.dtype, ordered=ordered, **PLACE, **options) as writer:
        for _, window in iter_windows(pixels, 256, 64):
            writer.write(pixels[(..., *window.toslices())], window)
    return writer


def threads_of_saves() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("georeader")]


def await_true(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestFile:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"max_memory": "12MiB"},
            {"profile_arg": {"INTERLEAVE": "BAND", "compress": "zstd", "predictor": 2}},
            {"profile_arg": {"NUM_THREADS": 1, **FIXED}},
            {"profile_arg": {"RESAMPLING": "CUBIC", **FIXED}},
            {"profile_arg": {"STATISTICS": "YES", **FIXED}, "verify": True},
            {"profile_arg": {"compress": "jpeg"}},
            {"engine": "gdal", "profile_arg": FIXED},
            {"profile_arg": {"TILING_SCHEME": "GoogleMapsCompatible", **FIXED}},
            {"profile_arg": {"RESAMPLING": "NEAREST", **FIXED}, "nodata": 7},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("bands", [1, 3])
    def test_has_the_bytes_of_one_that_is_saved_at_the_end(
        self, options: dict[str, Any], bands: int, pixels: Any, tmp_path: Path
    ) -> None:
        several = np.stack([pixels + band for band in range(bands)])
        options = {"profile_arg": FIXED, **options}
        write(tmp_path / "at_the_end.tif", several, ordered=False, **options)
        write(tmp_path / "ordered.tif", several, **options)
        assert (tmp_path / "ordered.tif").read_bytes() == (tmp_path / "at_the_end.tif").read_bytes()

    @pytest.mark.parametrize("dtype", ["uint8", "float32"])
    def test_has_the_pixels_with_a_predictor_of_the_first_rows(self, dtype: str, pixels: Any, tmp_path: Path) -> None:
        writer = write(tmp_path / "out.tif", pixels.astype(dtype))
        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert np.array_equal(dataset.read(1), pixels)
            assert dataset.overviews(1) == [2, 4, 8, 16]
        assert np.array_equal(tifffile.imread(tmp_path / "out.tif"), pixels)
        assert validate(tmp_path / "out.tif", strict=True).is_valid
        assert writer.receipt is not None
        assert not threads_of_saves()

    @pytest.mark.filterwarnings("ignore:rows run from south to north")
    @pytest.mark.parametrize("transform", [rasterio.Affine(10, 0, 0, 0, 10, 0), rasterio.Affine(0, 10, 0, 10, 0, 0)])
    def test_rows_of_any_direction(self, transform: rasterio.Affine, pixels: Any, tmp_path: Path) -> None:
        for name, ordered in (("at_the_end.tif", False), ("ordered.tif", True)):
            with CogWriter(
                tmp_path / name, shape=SHAPE, dtype="uint8", transform=transform, crs=CRS, ordered=ordered,
                profile_arg=FIXED,
            ) as writer:  # fmt: skip
                for _, window in iter_windows(SHAPE, 256, 64):
                    writer.write(pixels[window.toslices()], window)
        assert (tmp_path / "ordered.tif").read_bytes() == (tmp_path / "at_the_end.tif").read_bytes()

    def test_rows_without_windows_are_nodata(self, tmp_path: Path) -> None:
        with CogWriter(tmp_path / "out.tif", shape=SHAPE, dtype="uint8", nodata=9, ordered=True, **PLACE) as writer:
            for top in (600, 1300):
                writer.write(np.ones((300, 700), "uint8"), Window(0, top, 700, 300))
        with rasterio.open(tmp_path / "out.tif") as dataset:
            rows = dataset.read(1).max(axis=1)
        assert rows.tolist() == [9] * 600 + [1] * 300 + [9] * 400 + [1] * 300 + [9] * 900

    def test_without_any_window(self, tmp_path: Path) -> None:
        with CogWriter(tmp_path / "out.tif", shape=SHAPE, dtype="uint8", nodata=9, ordered=True, **PLACE):
            pass
        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert (dataset.read() == 9).all()

    def test_to_a_store_that_takes_parts_in_any_order(self, pixels: Any, tmp_path: Path) -> None:
        write(tmp_path / "out.tif", pixels, profile_arg=FIXED)
        write("memory://ordered.tif", pixels, profile_arg=FIXED)
        assert fsspec.filesystem("memory").cat("ordered.tif") == (tmp_path / "out.tif").read_bytes()

    def test_windows_of_a_row_from_several_threads(self, pixels: Any, tmp_path: Path) -> None:
        windows = [pair.write for pair in iter_windows(SHAPE, 128, 32)]
        with (
            CogWriter(tmp_path / "out.tif", shape=SHAPE, dtype="uint8", ordered=True, **PLACE) as writer,
            ThreadPoolExecutor(4) as pool,
        ):
            for _, row in groupby(windows, lambda window: window.row_off):
                list(pool.map(lambda window: writer.write(pixels[window.toslices()], window), row))
        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert np.array_equal(dataset.read(1), pixels)

    @pytest.mark.parametrize("order", ["row by row", "shuffled"])
    def test_listed_windows_from_any_threads(self, order: str, pixels: Any, rng: Any, tmp_path: Path) -> None:
        pairs = list(iter_windows(SHAPE, 128, 32))
        work = pairs if order == "row by row" else rng.permutation(len(pairs))

        def write_one(pair: Any) -> None:
            _, window = pairs[pair] if order == "shuffled" else pair
            if window.col_off == 0:
                time.sleep(0.005)  # so that later rows overtake it
            writer.write(pixels[window.toslices()], window)

        with (
            CogWriter(tmp_path / "out.tif", shape=SHAPE, dtype="uint8", windows=pairs, **PLACE) as writer,
            ThreadPoolExecutor(8) as pool,
        ):
            list(pool.map(write_one, work))
        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert np.array_equal(dataset.read(1), pixels)

    def test_listed_windows_lie_in_the_raster(self, tmp_path: Path) -> None:
        with pytest.raises(IndexingError, match=r"out\.tif': windows: .*beyond the raster"):
            CogWriter(tmp_path / "out.tif", shape=SHAPE, dtype="uint8", windows=[Window(0, 0, 800, 10)], **PLACE)

    @pytest.mark.parametrize(
        ("windows", "message"),
        [
            (3, "windows is a int; pass a list of windows"),
            ([], "windows is empty; pass all windows that will be written"),
            (iter_windows(SHAPE, 128, 32), r"windows can be iterated over only once; pass list\(windows\)"),
            (["a"], "windows: window='a' is not a rasterio"),
        ],
    )
    def test_what_does_not_list_windows_is_refused(self, windows: Any, message: str, tmp_path: Path) -> None:
        with pytest.raises((OptionError, IndexingError), match=message):
            CogWriter(tmp_path / "out.tif", shape=SHAPE, dtype="uint8", windows=windows, **PLACE)

    @pytest.mark.parametrize("engine", ["stream", "gdal"])
    def test_windows_that_are_not_listed_are_refused_at_any_time(
        self, engine: Any, pixels: Any, tmp_path: Path
    ) -> None:
        listed, other = Window(0, 0, 128, 128), Window(8, 300, 128, 128)
        with CogWriter(
            tmp_path / "out.tif", shape=SHAPE, dtype="uint8", windows=[listed, other], engine=engine, **PLACE
        ) as writer:
            writer.write(pixels[listed.toslices()], listed)
            for window in (listed, Window(0, 290, 128, 128)):
                with pytest.raises(IndexingError, match="is not listed in windows=, or was written as often as it is"):
                    writer.write(pixels[window.toslices()], window)

    def test_a_writer_may_be_used_again(self, pixels: Any, tmp_path: Path) -> None:
        writer = CogWriter(tmp_path / "out.tif", shape=SHAPE, dtype="uint8", ordered=True, **PLACE)
        for values in (pixels, pixels[::-1]):
            with writer:
                writer.write(values)
            with rasterio.open(tmp_path / "out.tif") as dataset:
                assert np.array_equal(dataset.read(1), values)


class TestRows:
    def test_are_encoded_before_the_last_window(self, tmp_path: Path) -> None:
        done: list[int] = []
        with CogWriter(
            tmp_path / "out.tif", shape=(12000, 600), dtype="uint8", ordered=True, **PLACE,
            progress=lambda tiles, _: done.append(tiles),
        ) as writer:  # fmt: skip
            for top in range(0, 11000, 500):
                writer.write(np.full((500, 600), 1, "uint8"), Window(0, top, 600, 500))
            await_true(lambda: done and done[-1] > 0)
        assert done[-1] > 150

    def test_are_freed_when_they_are_encoded(self, tmp_path: Path) -> None:
        rows = np.arange(256 * 1024, dtype="uint16").reshape(256, 1024)
        height_px = 2**16
        tracemalloc.start()
        with CogWriter(
            tmp_path / "out.tif", shape=(height_px, 1024), dtype="uint16", ordered=True, max_memory="1GB", **PLACE
        ) as writer:
            for top in range(0, height_px, 256):
                writer.write(rows, Window(0, top, 1024, 256))
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak_bytes < 40 * 2**20  # of 128 MiB

    def test_that_are_saved_take_no_window(self, tmp_path: Path) -> None:
        with (
            pytest.raises(IndexingError, match=r"out\.tif.*row by row"),
            CogWriter(tmp_path / "out.tif", shape=SHAPE, dtype="uint8", ordered=True, **PLACE) as writer,
        ):
            for top in (0, 256, 512, 0):
                writer.write(np.ones((256, 700), "uint8"), Window(0, top, 700, 256))
        assert list(tmp_path.iterdir()) == []


class TestErrors:
    @pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), KeyboardInterrupt(), SystemExit(1)])
    def test_exception_in_the_block_leaves_nothing(
        self, error: BaseException, pixels: Any, tmp_path: Path, contents: Any
    ) -> None:
        (tmp_path / "out.tif").write_bytes(b"the earlier file")
        before = contents(tmp_path)
        with (
            pytest.raises(type(error)) as caught,
            CogWriter(tmp_path / "out.tif", shape=SHAPE, dtype="uint8", ordered=True, **PLACE) as writer,
        ):
            writer.write(pixels)
            raise error
        assert caught.value is error
        assert contents(tmp_path) == before
        await_true(lambda: not threads_of_saves())

    @pytest.mark.parametrize("at", ["begin", "middle", "end"])
    def test_error_of_the_save_ends_the_block(self, at: str, pixels: Any, tmp_path: Path) -> None:
        def refuse(done: int, total: int) -> None:
            if done >= {"begin": 0, "middle": 6, "end": total}[at]:
                raise ZeroDivisionError(at)

        with pytest.raises(ZeroDivisionError, match=at):
            write(tmp_path / "out.tif", pixels, progress=refuse)
        assert list(tmp_path.iterdir()) == []
        assert not threads_of_saves()

    def test_folder_that_is_gone_is_an_error_at_the_end(self, pixels: Any, tmp_path: Path) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        writer = CogWriter(folder / "out.tif", shape=SHAPE, dtype="uint8", ordered=True, **PLACE)
        folder.rmdir()
        with pytest.raises(WriteError, match=r"out\.tif.*cannot be put in place"), writer:
            writer.write(pixels)

    def test_warning_of_the_save_is_at_the_end_of_the_block(self, tmp_path: Path) -> None:
        writer = CogWriter(tmp_path / "out.tif", shape=SHAPE, dtype="float32", nodata=-1, ordered=True, **PLACE)
        with pytest.warns(FillValueWarning, match="NaN") as caught, writer:
            writer.write(np.full(SHAPE, np.nan, "float32"))
        assert caught[0].filename == __file__

    def test_no_thread_can_be_started(self, pixels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        write(tmp_path / "out.tif", pixels)
        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert np.array_equal(dataset.read(1), pixels)
