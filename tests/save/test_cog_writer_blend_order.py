"""CogWriter(blend=): the order of windows, threads, and pixels that wait on disk."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.windows import Window

from conftest import CRS, TRANSFORM
from georeader import CogWriter

PLACE = {"transform": TRANSFORM, "crs": CRS}
Piece = tuple[Window, Any]

BLENDS = ["last", "first", "max", "min", "mean", "sum", "hann", "gaussian", "linear"]


def written(path: Path, shape: tuple[int, int, int], pieces: list[Piece], threads: int = 1, **how: Any) -> bytes:
    """Return the bytes of a file; they depend on every bit of every pixel."""
    how = {"dtype": "float32", "profile_arg": {"compress": "none", "OVERVIEWS": "NONE"}, **PLACE, **how}
    with CogWriter(path, shape=shape, **how) as writer:
        if threads == 1:
            for window, pixels in pieces:
                writer.write(pixels, window)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda piece: writer.write(piece[1], piece[0]), pieces))
    return path.read_bytes()


def pieces_of(shape: tuple[int, int, int], size: int, step: int, rng: np.random.Generator) -> list[Piece]:
    """Return windows with numbers of many bits, whose sums are rounded."""
    count, height, width = shape
    found = []
    for row in range(0, height - size + 1, step):
        for column in range(0, width - size + 1, step):
            values = (rng.standard_normal((count, size, size)) * 10.0 ** rng.integers(-3, 4)).astype("float32")
            found.append((Window(column, row, size, size), values))
    return found


def shuffled(pieces: list[Piece], rng: np.random.Generator) -> list[Piece]:
    return [pieces[index] for index in rng.permutation(len(pieces))]


class TestOrder:
    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.sampled_from(BLENDS), st.integers(0, 2**32), st.booleans())
    def test_deterministic_file_does_not_depend_on_the_order(
        self, tmp_path: Path, blend: str, seed: int, has_masks: bool
    ) -> None:
        """Nine windows on a pixel, of which two are at the same place."""
        rng = np.random.default_rng(seed)
        shape = (2, 300, 270)
        pieces = pieces_of(shape, 90, 30, rng)
        pieces.append((pieces[0][0], pieces[0][1] * np.float32(0.7)))
        if has_masks:
            pieces = [(window, np.ma.masked_array(pixels, rng.random(pixels.shape) < 0.4)) for window, pixels in pieces]

        first, second = (
            written(tmp_path / "out.tif", shape, order, blend=blend, deterministic=True)
            for order in (pieces, shuffled(pieces, rng))
        )

        assert first == second

    @pytest.mark.parametrize("blend", ["max", "min"])
    def test_largest_and_smallest_do_not_depend_on_the_order(self, blend: str, rng: Any, tmp_path: Path) -> None:
        """Nor do zeros, of which one is negative."""
        shape = (1, 300, 300)
        pieces = pieces_of(shape, 100, 50, rng)
        zeros = [(window, np.where(rng.random(pixels.shape) < 0.3, -0.0, 0.0)) for window, pixels in pieces]
        pieces = [(window, np.abs(pixels) * (1 if blend == "min" else -1)) for window, pixels in pieces] + zeros

        first, second = (
            written(tmp_path / "out.tif", shape, order, blend=blend) for order in (pieces, shuffled(pieces, rng))
        )

        assert first == second

    @pytest.mark.parametrize("blend", ["mean", "sum", "hann", "gaussian", "linear"])
    def test_sums_of_two_windows_do_not_depend_on_the_order(self, blend: str, rng: Any, tmp_path: Path) -> None:
        shape = (2, 200, 620)
        pieces = pieces_of(shape, 200, 140, rng)

        first, second = (
            written(tmp_path / "out.tif", shape, order, blend=blend) for order in (pieces, shuffled(pieces, rng))
        )

        assert first == second

    def test_sums_of_integers_do_not_depend_on_the_order(self, rng: Any, tmp_path: Path) -> None:
        shape = (2, 300, 300)
        pieces = [(window, rng.integers(0, 7000, pixels.shape)) for window, pixels in pieces_of(shape, 100, 20, rng)]

        first, second = (
            written(tmp_path / "out.tif", shape, order, blend="mean", dtype="uint16")
            for order in (pieces, shuffled(pieces, rng))
        )

        assert first == second

    @pytest.mark.parametrize(("blend", "chosen"), [("first", 0), ("last", 2)])
    def test_deterministic_first_and_last_are_by_position(self, blend: str, chosen: int, tmp_path: Path) -> None:
        pieces = [
            (Window(column, row, 50, 50), np.full((50, 50), number))
            for number, (row, column) in enumerate([(0, 0), (0, 10), (10, 0)])
        ]

        written(tmp_path / "out.tif", (1, 60, 60), pieces[::-1], blend=blend, deterministic=True)

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert np.unique(dataset.read(1)[10:50, 10:50]).tolist() == [chosen]


class TestThreads:
    @pytest.mark.parametrize("blend", ["max", "min", "mean", "sum", "hann"])
    def test_pixels_are_equal_if_threads_write_at_once(self, blend: str, rng: Any, tmp_path: Path) -> None:
        shape = (3, 560, 560)
        pieces = pieces_of(shape, 80, 40, rng)

        written(tmp_path / "a.tif", shape, pieces, blend=blend)
        written(tmp_path / "b.tif", shape, shuffled(pieces, rng), threads=6, blend=blend)

        np.testing.assert_allclose(read(tmp_path / "b.tif"), read(tmp_path / "a.tif"), rtol=1e-4, atol=1e-4)

    def test_deterministic_bytes_are_equal_if_threads_write_at_once(self, rng: Any, tmp_path: Path) -> None:
        shape = (3, 560, 560)
        pieces = pieces_of(shape, 80, 40, rng)
        how: dict[str, Any] = {"blend": "hann", "deterministic": True}

        expected = written(tmp_path / "a.tif", shape, pieces, **how)

        assert written(tmp_path / "b.tif", shape, shuffled(pieces, rng), threads=6, **how) == expected

    def test_last_window_is_written_as_a_whole(self, tmp_path: Path) -> None:
        shape = (1, 600, 600)
        pieces = [(Window(0, 0, 600, 600), np.full((600, 600), number, "float32")) for number in range(12)]

        written(tmp_path / "a.tif", shape, pieces, threads=6, blend="last")

        assert len(np.unique(read(tmp_path / "a.tif"))) == 1


class TestSpool:
    @pytest.mark.parametrize("deterministic", [False, True])
    @pytest.mark.parametrize("blend", ["last", "max", "hann"])
    def test_bytes_are_equal_if_accumulators_are_spooled(
        self, blend: str, deterministic: bool, rng: Any, tmp_path: Path
    ) -> None:
        shape = (3, 1000, 1000)
        pieces = shuffled(pieces_of(shape, 200, 160, rng), rng)
        how: dict[str, Any] = {"blend": blend, "deterministic": deterministic, "dir_tmpfiles": tmp_path}

        expected = written(tmp_path / "a.tif", shape, pieces, **how)

        assert written(tmp_path / "b.tif", shape, pieces, max_memory="20MiB", **how) == expected
        assert sorted(os.listdir(tmp_path)) == ["a.tif", "b.tif"]

    def test_bytes_are_equal_if_threads_write_to_spooled_accumulators(self, rng: Any, tmp_path: Path) -> None:
        shape = (3, 1000, 1000)
        pieces = [(window, np.rint(pixels)) for window, pixels in pieces_of(shape, 200, 100, rng)]

        expected = written(tmp_path / "a.tif", shape, pieces, blend="sum")

        assert written(tmp_path / "b.tif", shape, pieces, threads=4, blend="sum", max_memory="20MiB") == expected

    def test_bands_that_do_not_share_blocks_are_blended(self, rng: Any, tmp_path: Path) -> None:
        pieces = pieces_of((40, 150, 150), 100, 50, rng)

        written(tmp_path / "a.tif", (40, 150, 150), pieces, blend="mean")

        total, weight = np.zeros((40, 150, 150)), np.zeros((150, 150))
        for window, pixels in pieces:
            rows, columns = window.toslices()
            total[:, rows, columns] += pixels
            weight[rows, columns] += 1
        np.testing.assert_allclose(read(tmp_path / "a.tif"), total / weight, rtol=1e-4, atol=1e-4)


def read(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        pixels: NDArray[Any] = dataset.read()
    return pixels
