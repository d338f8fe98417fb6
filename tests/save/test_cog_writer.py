"""CogWriter: windows in any order and from any thread give the file of the whole array, or none."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.windows import Window

from conftest import CRS, TRANSFORM
from georeader import CogWriter, GeoTensor, save_cog

PLACE = {"transform": TRANSFORM, "crs": CRS}

#: More than 512 pixels, which wait for the rest together, and no whole number of tiles.
HEIGHT, WIDTH = 560, 530


def chips(height: int, width: int, chip_height: int, chip_width: int) -> list[Window]:
    """Cut a raster into windows; those at its edge are smaller."""
    return [
        Window(column, row, min(chip_width, width - column), min(chip_height, height - row))
        for row in range(0, height, chip_height)
        for column in range(0, width, chip_width)
    ]


def shuffled(windows: list[Window], rng: np.random.Generator) -> list[Window]:
    return [windows[index] for index in rng.permutation(len(windows))]


def cut(values: NDArray[Any], window: Window) -> NDArray[Any]:
    rows, columns = window.toslices()
    return values[..., rows, columns]


def saved(values: NDArray[Any], path: Path, nodata: Any = None, **options: Any) -> bytes:
    """Return the bytes of the file that save_cog makes of a whole array."""
    save_cog(GeoTensor(values, **PLACE, fill_value_default=nodata), path, **options)
    return path.read_bytes()


@contextmanager
def threads_that_change_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def read(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        pixels: NDArray[Any] = dataset.read()
    return pixels


class TestBytes:
    @pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint16", "int32", "float32", "float64", "complex64"])
    def test_bytes_are_equal_for_any_dtype(self, dtype: str, make_tensor: Any, rng: Any, tmp_path: Path) -> None:
        values = make_tensor((2, HEIGHT, WIDTH), dtype).values

        with CogWriter(tmp_path / "found.tif", shape=values.shape, dtype=dtype, **PLACE) as writer:
            for window in shuffled(chips(HEIGHT, WIDTH, 256, 256), rng):
                writer.write(cut(values, window), window)

        assert (tmp_path / "found.tif").read_bytes() == saved(values, tmp_path / "expected.tif")

    @pytest.mark.parametrize(
        "profile_arg",
        [
            {"compress": "deflate", "interleave": "band"},
            {"compress": "zstd", "predictor": 2, "BLOCKSIZE": 128},
            {"compress": "jpeg", "QUALITY": 60},
            {"compress": "webp", "BLOCKSIZE": 1024},
            {"compress": "none", "BIGTIFF": "YES", "OVERVIEWS": "NONE"},
            {"STATISTICS": "YES", "RESAMPLING": "cubic", "NUM_THREADS": 1},
        ],
        ids=str,
    )
    def test_bytes_are_equal_for_any_profile(
        self, profile_arg: dict[str, Any], make_tensor: Any, rng: Any, tmp_path: Path
    ) -> None:
        values = make_tensor((3, HEIGHT, WIDTH), "uint8").values
        how: dict[str, Any] = {"profile_arg": profile_arg, "descriptions": ["r", "g", "b"], "tags": {"model": "v2"}}

        with CogWriter(tmp_path / "found.tif", shape=values.shape, dtype="uint8", **PLACE, **how) as writer:
            for window in shuffled(chips(HEIGHT, WIDTH, 256, 256), rng):
                writer.write(cut(values, window), window)

        assert (tmp_path / "found.tif").read_bytes() == saved(values, tmp_path / "expected.tif", **how)

    @pytest.mark.parametrize(
        ("height", "width", "chip_height", "chip_width"),
        [(HEIGHT, WIDTH, 100, 333), (1, 1500, 1, 7), (1500, 1, 400, 1), (600, 600, 600, 1), (513, 513, 512, 512)],
    )
    def test_bytes_are_equal_if_windows_do_not_follow_tiles(
        self, height: int, width: int, chip_height: int, chip_width: int, make_tensor: Any, rng: Any, tmp_path: Path
    ) -> None:
        values = make_tensor((1, height, width)).values

        with CogWriter(tmp_path / "found.tif", shape=values.shape, dtype="uint16", **PLACE) as writer:
            for window in shuffled(chips(height, width, chip_height, chip_width), rng):
                writer.write(cut(values, window), window)

        assert (tmp_path / "found.tif").read_bytes() == saved(values, tmp_path / "expected.tif")

    @pytest.mark.parametrize("chip_px", [256, 90])
    def test_bytes_are_equal_if_threads_write_at_once(
        self, chip_px: int, make_tensor: Any, rng: Any, tmp_path: Path
    ) -> None:
        values = make_tensor((2, HEIGHT, WIDTH)).values
        windows = shuffled(chips(HEIGHT, WIDTH, chip_px, chip_px), rng)

        with (
            CogWriter(tmp_path / "found.tif", shape=values.shape, dtype="uint16", **PLACE) as writer,
            ThreadPoolExecutor(6) as pool,
        ):
            list(pool.map(lambda window: writer.write(cut(values, window), window), windows))

        assert (tmp_path / "found.tif").read_bytes() == saved(values, tmp_path / "expected.tif")

    def test_bytes_are_equal_if_pixels_are_spooled(self, make_tensor: Any, rng: Any, tmp_path: Path) -> None:
        values = make_tensor((1, 1500, 1500)).values

        with CogWriter(tmp_path / "a.tif", shape=values.shape, dtype="uint16", max_memory="12MiB", **PLACE) as writer:
            for window in shuffled(chips(1500, 1500, 300, 200), rng):
                writer.write(cut(values, window), window)

        assert (tmp_path / "a.tif").read_bytes() == saved(values, tmp_path / "expected.tif")

    @settings(max_examples=20, deadline=None)
    @given(st.data())
    def test_bytes_are_equal_for_any_windows(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        """Of windows that overlap, the last one wins; what none of them covers is nodata."""
        folder = tmp_path_factory.mktemp("windows")
        count, height, width = (data.draw(st.integers(1, most)) for most in (2, 600, 600))
        expected = np.full((count, height, width), 200, "uint8")
        profile_arg = {"BLOCKSIZE": data.draw(st.sampled_from([16, 64, 256])), "SPARSE_OK": data.draw(st.booleans())}

        with CogWriter(
            folder / "found.tif", shape=expected.shape, dtype="uint8", nodata=200, profile_arg=profile_arg, **PLACE
        ) as writer:
            for number in range(data.draw(st.integers(0, 6))):
                row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
                rows, columns = data.draw(st.integers(1, height - row)), data.draw(st.integers(1, width - column))
                piece = np.arange(rows * columns).reshape(rows, columns) % 30 + 10 * number
                band = data.draw(st.integers(1, count))
                writer.write(piece, Window(column, row, columns, rows), indexes=band)
                expected[band - 1, row : row + rows, column : column + columns] = piece

        found = (folder / "found.tif").read_bytes()
        assert found == saved(expected, folder / "expected.tif", 200, profile_arg=profile_arg)


class TestPixels:
    def test_window_is_written_as_a_whole(self, tmp_path: Path) -> None:
        pieces = [np.full((1200, 1200), number, "uint8") for number in range(6)]
        at_once = Barrier(len(pieces))

        def write(piece: NDArray[Any]) -> None:
            at_once.wait()
            writer.write(piece)

        with (
            CogWriter(tmp_path / "out.tif", shape=(1200, 1200), dtype="uint8", **PLACE) as writer,
            ThreadPoolExecutor(len(pieces)) as pool,
            threads_that_change_often(),
        ):
            list(pool.map(write, pieces))

        assert len(np.unique(read(tmp_path / "out.tif"))) == 1

    def test_array_is_copied(self, tmp_path: Path) -> None:
        buffer = np.empty((100, 40), "uint8")

        with CogWriter(tmp_path / "out.tif", shape=(300, 40), dtype="uint8", **PLACE) as writer:
            for number in range(3):
                buffer[...] = number
                writer.write(buffer, Window(0, 100 * number, 40, 100))

        assert read(tmp_path / "out.tif")[0, ::100, 0].tolist() == [0, 1, 2]

    @pytest.mark.parametrize(
        ("dtype", "nodata"),
        [
            ("uint8", None),
            ("uint8", 255),
            ("int16", -9999),
            ("float32", np.nan),
            ("float64", -1e300),
            ("int64", -(2**63)),
            ("complex64", -5),
        ],
    )
    def test_unwritten_pixels_are_nodata_or_0(self, dtype: str, nodata: Any, tmp_path: Path) -> None:
        with CogWriter(tmp_path / "out.tif", shape=(40, 50), dtype=dtype, nodata=nodata, **PLACE) as writer:
            writer.write(np.ones((40, 10)), Window(30, 0, 10, 40))

        expected = np.full((1, 40, 50), 0 if nodata is None else nodata, dtype)
        expected[..., 30:40] = 1
        np.testing.assert_array_equal(read(tmp_path / "out.tif"), expected)

    @pytest.mark.parametrize(
        ("dtype", "nodata", "profile_arg", "in_file"),
        [
            ("bool", 255, {}, 255),
            ("float16", -9999, {}, -9999),
            ("uint8", -1, {"dtype": "int16"}, -1),
            ("uint8", np.nan, {"dtype": "float32"}, np.nan),
        ],
    )
    def test_unwritten_pixels_are_nodata_if_the_file_has_another_dtype(
        self, dtype: str, nodata: Any, profile_arg: dict[str, Any], in_file: float, tmp_path: Path
    ) -> None:
        with CogWriter(
            tmp_path / "out.tif", shape=(4, 4), dtype=dtype, nodata=nodata, profile_arg=profile_arg, **PLACE
        ) as writer:
            writer.write(np.ones((2, 4)), Window(0, 0, 4, 2))

        np.testing.assert_array_equal(read(tmp_path / "out.tif")[0, :, 0], [1, 1, in_file, in_file])

    def test_unwritten_tiles_take_no_bytes_if_sparse(self, tmp_path: Path) -> None:
        with CogWriter(
            tmp_path / "out.tif", shape=(600, 600), dtype="uint8", nodata=9, profile_arg={"SPARSE_OK": "YES"}, **PLACE
        ) as writer:
            writer.write(np.ones((10, 10), "uint8"), Window(300, 0, 10, 10))

        with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
            assert [size > 0 for size in tiff.pages[0].databytecounts] == [False, True, *[False] * 7]

    def test_file_is_empty_if_nothing_is_written(self, good_cog: Any, tmp_path: Path) -> None:
        with CogWriter(tmp_path / "out.tif", shape=(600, 500), dtype="uint8", nodata=7, **PLACE):
            pass

        good_cog(tmp_path / "out.tif")
        assert np.unique(read(tmp_path / "out.tif")).tolist() == [7]

    @pytest.mark.parametrize("profile_arg", [{"compress": "jpeg"}, {"compress": "webp"}], ids=str)
    def test_unwritten_pixels_are_masked_in_a_lossy_codec(self, profile_arg: dict[str, Any], tmp_path: Path) -> None:
        with CogWriter(
            tmp_path / "out.tif", shape=(3, 300, 300), dtype="uint8", nodata=0, profile_arg=profile_arg, **PLACE
        ) as writer:
            writer.write(np.full((3, 300, 100), 80, "uint8"), Window(0, 0, 100, 300))

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert dataset.nodata is None
            mask = dataset.dataset_mask()
        assert (mask[:, :100].min(), mask[:, 100:].max()) == (255, 0)


class TestFile:
    def test_file_is_a_valid_cog_with_its_metadata(self, good_cog: Any, make_tensor: Any, tmp_path: Path) -> None:
        values = make_tensor((2, 600, 700)).values

        with CogWriter(
            tmp_path / "out.tif", shape=values.shape, dtype="uint16", nodata=0, descriptions=["B04", None],
            tags={"model": "v2", "threshold": 0.5}, profile_arg={"compress": "zstd"}, **PLACE,
        ) as writer:  # fmt: skip
            writer.write(values)

        good_cog(tmp_path / "out.tif")
        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert (dataset.transform, dataset.crs.to_epsg(), dataset.nodata) == (TRANSFORM, 32630, 0)
            assert dataset.descriptions == ("B04", None)
            assert dataset.tags().items() >= {"model": "v2", "threshold": "0.5"}.items()
            assert dataset.overviews(1) == [2, 4]
            assert dataset.compression.name == "zstd"

    def test_bool_overviews_are_nearest(self, rng: Any, tmp_path: Path) -> None:
        with CogWriter(tmp_path / "out.tif", shape=(600, 600), dtype=bool, **PLACE) as writer:
            writer.write(rng.random((600, 600)) > 0.5)

        with rasterio.open(tmp_path / "out.tif") as dataset:
            overview = dataset.read(1, out_shape=(300, 300))
        np.testing.assert_array_equal(overview, read(tmp_path / "out.tif")[0, ::2, ::2])

    def test_gdal_engine_writes_the_same_pixels(self, make_tensor: Any, tmp_path: Path) -> None:
        values = make_tensor((2, 300, 300)).values

        with CogWriter(
            tmp_path / "out.tif", shape=values.shape, dtype="uint16", engine="gdal", dir_tmpfiles=tmp_path, **PLACE
        ) as writer:
            writer.write(values)

        assert writer.receipt is not None
        assert writer.receipt.engine == "gdal"
        np.testing.assert_array_equal(read(tmp_path / "out.tif"), values)
        assert os.listdir(tmp_path) == ["out.tif"]

    def test_receipt_is_set_after_the_block(self, tmp_path: Path) -> None:
        path = tmp_path / "out.tif"

        with CogWriter(path, shape=(40, 50), dtype="uint8", durable=True, **PLACE) as writer:
            assert (writer.receipt, writer.shape) == (None, (1, 40, 50))

        assert writer.receipt is not None
        assert (writer.receipt.path, writer.receipt.engine) == (str(path), "stream")
        assert writer.receipt.size_bytes == path.stat().st_size

    @pytest.mark.parametrize(("profile_arg", "is_exact"), [({}, True), ({"compress": "webp"}, False)], ids=str)
    def test_verify_records_the_largest_error_of_each_band(
        self, profile_arg: dict[str, Any], is_exact: bool, rng: Any, tmp_path: Path
    ) -> None:
        with CogWriter(
            tmp_path / "out.tif", shape=(3, 40, 50), dtype="uint8", verify=True, profile_arg=profile_arg, **PLACE
        ) as writer:
            writer.write(rng.integers(0, 255, (3, 40, 50)))

        assert writer.receipt is not None
        assert len(writer.receipt.largest_errors) == 3
        assert (max(writer.receipt.largest_errors) == 0) == is_exact

    def test_progress_is_reported_when_the_file_is_made(self, tmp_path: Path) -> None:
        calls: list[tuple[int, int]] = []

        with CogWriter(
            tmp_path / "out.tif", shape=(600, 600), dtype="uint8", progress=lambda *done: calls.append(done), **PLACE
        ) as writer:
            writer.write(np.ones((600, 600), "uint8"))
            assert calls == []

        assert (calls[0], calls[-1]) == ((0, 14), (14, 14))
        assert calls == sorted(calls)
