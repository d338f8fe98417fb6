"""CogWriter(argmax=True): the class with the highest blended score, and the score in a second band or file."""

from __future__ import annotations

import os
import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from conftest import CRS, TRANSFORM
from georeader import CogWriter, GeoTensor
from georeader.errors import DtypeError, ExistsError, GeoreaderError, NodataError, OptionError, ShapeError

HEIGHT, WIDTH, CLASSES = 560, 620, 5
CLASS_FILE: dict[str, Any] = {
    "shape": (HEIGHT, WIDTH),
    "dtype": "uint8",
    "nodata": 255,
    "transform": TRANSFORM,
    "crs": CRS,
    "blend": "mean",
    "argmax": True,
}


def windows() -> list[Window]:
    return [
        Window(column, row, min(256, WIDTH - column), min(256, HEIGHT - row))
        for row in range(0, HEIGHT, 190)
        for column in range(0, WIDTH, 190)
    ]


def scores(rng: np.random.Generator) -> list[tuple[Window, NDArray[Any]]]:
    return [(window, rng.random((CLASSES, window.height, window.width), "float32")) for window in windows()]


def means(written: list[tuple[Window, NDArray[Any]]]) -> NDArray[Any]:
    """Return the mean score of each class; NaN where none counts."""
    total, weight = np.zeros((CLASSES, HEIGHT, WIDTH)), np.zeros((HEIGHT, WIDTH))
    for window, values in written:
        rows, columns = window.toslices()
        counts = np.isfinite(values).all(axis=0)
        total[:, rows, columns] += np.where(counts, values, 0)
        weight[rows, columns] += counts
    with np.errstate(invalid="ignore"):
        return total / weight


def write(path: Any, written: list[tuple[Window, NDArray[Any]]], **how: Any) -> CogWriter:
    with CogWriter(path, **CLASS_FILE | how) as writer:
        for window, values in written:
            writer.write(values, window)
    return writer


def read(path: Any) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        pixels: NDArray[Any] = dataset.read()
    return pixels


class TestClasses:
    @pytest.mark.parametrize("order", [{}, {"ordered": True}, {"deterministic": True}], ids=str)
    def test_class_has_the_highest_mean_score(
        self, order: dict[str, Any], rng: Any, good_cog: Any, tmp_path: Path
    ) -> None:
        written = scores(rng)

        write(tmp_path / "out.tif", written, **order)

        good_cog(tmp_path / "out.tif")
        np.testing.assert_array_equal(read(tmp_path / "out.tif")[0], means(written).argmax(axis=0))

    def test_pixel_does_not_count_if_one_score_is_missing(self, rng: Any, tmp_path: Path) -> None:
        written = scores(rng)
        for _, values in written:
            values[2, rng.random(values.shape[1:]) < 0.6] = np.nan

        write(tmp_path / "out.tif", written, score=tmp_path / "score.tif")

        expected = means(written)
        is_missing = np.isnan(expected[0])
        assert is_missing.any()
        found = np.where(is_missing, 255, np.nan_to_num(expected).argmax(axis=0))
        np.testing.assert_array_equal(read(tmp_path / "out.tif")[0], found)
        np.testing.assert_allclose(read(tmp_path / "score.tif")[0], expected.max(axis=0), rtol=1e-6)

    def test_score_that_equals_nodata_counts(self, tmp_path: Path) -> None:
        values = np.full((CLASSES, HEIGHT, WIDTH), 255.0)
        values[3] = 256

        write(tmp_path / "out.tif", [(Window(0, 0, WIDTH, HEIGHT), values)])

        assert np.unique(read(tmp_path / "out.tif")).tolist() == [3]

    def test_first_of_equal_classes_is_chosen(self, tmp_path: Path) -> None:
        write(tmp_path / "out.tif", [(Window(0, 0, WIDTH, HEIGHT), np.zeros((3, HEIGHT, WIDTH)))])

        assert np.unique(read(tmp_path / "out.tif")).tolist() == [0]

    def test_overviews_are_nearest(self, rng: Any, tmp_path: Path) -> None:
        write(tmp_path / "out.tif", scores(rng))

        with rasterio.open(tmp_path / "out.tif") as dataset:
            overview = dataset.read(1, out_shape=(HEIGHT // 2, WIDTH // 2))
        np.testing.assert_array_equal(overview, read(tmp_path / "out.tif")[0, ::2, ::2])

    def test_like_with_more_bands_gives_one_band(self, tmp_path: Path) -> None:
        scene = GeoTensor(np.ones((4, HEIGHT, WIDTH), "uint16"), TRANSFORM, CRS, 0)

        with CogWriter(tmp_path / "out.tif", like=scene, dtype="uint8", nodata=255, blend="max", argmax=True) as writer:
            writer.write(np.ones((3, HEIGHT, WIDTH)))

        assert writer.shape == (1, HEIGHT, WIDTH)

    def test_accumulators_are_freed_when_their_rows_are_encoded(self, tmp_path: Path) -> None:
        values = np.ones((3, 256, 1024), "float32")
        how: dict[str, Any] = CLASS_FILE | {"shape": (2**14, 1024), "blend": "hann", "max_memory": "1GB"}

        tracemalloc.start()
        with CogWriter(tmp_path / "out.tif", **how, ordered=True) as writer:
            for row in range(0, 2**14 - 128, 128):
                writer.write(values, Window(0, row, 1024, 256))
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        assert peak_bytes < 60 * 2**20  # of 256 MiB


class TestScore:
    @pytest.mark.parametrize("order", [{}, {"ordered": True}, {"deterministic": True}, {"engine": "gdal"}], ids=str)
    def test_score_is_a_file(self, order: dict[str, Any], rng: Any, good_cog: Any, tmp_path: Path) -> None:
        written = scores(rng)

        writer = write(tmp_path / "out.tif", written[:-1], score=tmp_path / "score.tif", **order)

        assert writer.score_receipt is not None
        assert writer.score_receipt.path == str(tmp_path / "score.tif")
        good_cog(tmp_path / "score.tif")
        with rasterio.open(tmp_path / "score.tif") as dataset:
            assert (dataset.dtypes, dataset.transform, np.isnan(dataset.nodata)) == (("float32",), TRANSFORM, True)
        expected = means(written[:-1]).max(axis=0)
        np.testing.assert_allclose(read(tmp_path / "score.tif")[0], expected, rtol=1e-6)

    def test_score_is_a_second_band(self, rng: Any, tmp_path: Path) -> None:
        written = scores(rng)

        write(tmp_path / "out.tif", written[:-1], score=True, dtype="float32", nodata=-1)

        expected = means(written[:-1])
        is_missing = np.isnan(expected[0])
        found = read(tmp_path / "out.tif")
        np.testing.assert_array_equal(found[0], np.where(is_missing, -1, np.nan_to_num(expected).argmax(axis=0)))
        np.testing.assert_allclose(found[1], np.where(is_missing, -1, expected.max(axis=0)), rtol=1e-6)

    def test_score_of_sums_is_the_sum(self, tmp_path: Path) -> None:
        whole = Window(0, 0, WIDTH, HEIGHT)
        written = [(whole, np.full((2, HEIGHT, WIDTH), 3.0)), (whole, np.full((2, HEIGHT, WIDTH), 4.0))]

        write(tmp_path / "out.tif", written, blend="sum", score=tmp_path / "score.tif", accumulator="float64")

        assert (read(tmp_path / "score.tif").dtype, np.unique(read(tmp_path / "score.tif"))) == (np.float64, 7)

    def test_score_may_be_a_file_object(self, rng: Any, tmp_path: Path) -> None:
        file = BytesIO()

        writer = write(tmp_path / "out.tif", scores(rng), score=file)

        assert writer.score_receipt is not None
        assert len(file.getvalue()) == writer.score_receipt.size_bytes

    def test_earlier_score_file_may_be_kept(self, tmp_path: Path) -> None:
        (tmp_path / "score.tif").write_bytes(b"the earlier file")

        with pytest.raises(ExistsError, match=r"score\.tif"):
            write(tmp_path / "out.tif", [], score=tmp_path / "score.tif", overwrite=False)

        assert (tmp_path / "score.tif").read_bytes() == b"the earlier file"
        assert os.listdir(tmp_path) == ["score.tif"]

    @pytest.mark.parametrize("ordered", [False, True])
    def test_writer_may_be_used_again_with_other_classes(self, ordered: bool, tmp_path: Path) -> None:
        writer = CogWriter(tmp_path / "out.tif", **CLASS_FILE, score=tmp_path / "score.tif", ordered=ordered)

        for count in (2, 3):
            with writer:
                writer.write(np.arange(count)[:, np.newaxis, np.newaxis] * np.ones((HEIGHT, WIDTH)))
            assert np.unique(read(tmp_path / "out.tif")).tolist() == [count - 1]
            assert np.unique(read(tmp_path / "score.tif")).tolist() == [count - 1]

    @pytest.mark.parametrize("ordered", [False, True])
    def test_exception_in_the_block_leaves_no_file(self, ordered: bool, rng: Any, tmp_path: Path) -> None:
        (tmp_path / "score.tif").write_bytes(b"the earlier file")

        with pytest.raises(KeyboardInterrupt):  # noqa: SIM117
            with CogWriter(tmp_path / "out.tif", **CLASS_FILE, score=tmp_path / "score.tif", ordered=ordered) as writer:
                for window, values in scores(rng):
                    writer.write(values, window)
                raise KeyboardInterrupt

        assert os.listdir(tmp_path) == ["score.tif"]
        assert (tmp_path / "score.tif").read_bytes() == b"the earlier file"

    @pytest.mark.parametrize("ordered", [False, True])
    def test_classes_are_not_written_if_the_score_file_fails(self, ordered: bool, rng: Any, tmp_path: Path) -> None:
        class FullError(Exception):
            pass

        class Full(BytesIO):
            def write(self, data: Any) -> int:
                raise FullError

        with pytest.raises((FullError, GeoreaderError)):
            write(tmp_path / "out.tif", scores(rng), score=Full(), ordered=ordered)

        assert os.listdir(tmp_path) == []


class TestRefused:
    @pytest.mark.parametrize(
        ("how", "error", "message"),
        [
            ({"blend": None}, OptionError, "argmax=True requires a blend"),
            ({"argmax": False, "score": True}, OptionError, "score requires argmax"),
            ({"score": True}, DtypeError, "pass a float dtype"),
            ({"dtype": "complex64", "nodata": None}, DtypeError, "no order"),
            ({"count": 3}, ShapeError, "one band, of classes"),
            ({"shape": (3, HEIGHT, WIDTH)}, ShapeError, "one band, of classes"),
            ({"score": "score.tif", "profile_arg": {"TILING_SCHEME": "GoogleMapsCompatible"}}, OptionError, "score"),
            ({"score": "out.tif"}, OptionError, "same file"),
        ],
        ids=str,
    )
    def test_arguments_that_contradict_are_refused(
        self, how: dict[str, Any], error: type[GeoreaderError], message: str, tmp_path: Path, monkeypatch: Any
    ) -> None:
        monkeypatch.chdir(tmp_path)

        with pytest.raises(error, match=message):
            CogWriter("out.tif", **CLASS_FILE | how)
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize(
        ("shape", "how", "error", "message"),
        [
            ((HEIGHT, WIDTH), {}, ShapeError, "(class, row, column)"),
            ((4, HEIGHT, WIDTH), {"nodata": 3}, NodataError, "number of a class"),
            ((300, HEIGHT, WIDTH), {}, DtypeError, "300 classes do not fit uint8"),
        ],
        ids=str,
    )
    def test_classes_that_do_not_fit_are_refused(
        self, shape: Any, how: dict[str, Any], error: type[GeoreaderError], message: str, tmp_path: Path
    ) -> None:
        values = np.broadcast_to(np.float32(0), shape)

        with CogWriter(tmp_path / "out.tif", **CLASS_FILE | how) as writer, pytest.raises(error) as caught:
            writer.write(values)
        assert message in str(caught.value)
        assert "out.tif" in str(caught.value)

    def test_another_number_of_classes_is_refused(self, tmp_path: Path) -> None:
        with CogWriter(tmp_path / "out.tif", **CLASS_FILE) as writer:
            writer.write(np.zeros((2, HEIGHT, WIDTH)))
            with pytest.raises(ShapeError, match="3 classes, and the first one had 2"):
                writer.write(np.zeros((3, HEIGHT, WIDTH)))

    @pytest.mark.parametrize(
        "how", [{"indexes": 1}, {"weight": np.ones((2, HEIGHT, WIDTH))}], ids=["indexes", "weight"]
    )
    def test_classes_cannot_be_chosen_or_weighted(self, how: dict[str, Any], tmp_path: Path) -> None:
        with CogWriter(tmp_path / "out.tif", **CLASS_FILE) as writer, pytest.raises((OptionError, ShapeError)):
            writer.write(np.zeros((2, HEIGHT, WIDTH)), **how)

    @pytest.mark.parametrize("ordered", [False, True])
    def test_missing_scores_are_refused_without_nodata(self, ordered: bool, tmp_path: Path) -> None:
        with CogWriter(tmp_path / "out.tif", **CLASS_FILE | {"nodata": None}, ordered=ordered) as writer:
            with pytest.raises(DtypeError, match="pass nodata"):
                writer.write(np.full((2, HEIGHT, WIDTH), np.nan))
            writer.write(np.ones((2, HEIGHT, WIDTH)))
        assert read(tmp_path / "out.tif").max() == 0
