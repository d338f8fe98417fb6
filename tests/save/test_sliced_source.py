"""Arrays of dask, zarr and h5py behind an object of the GeoData shape: read by windows, each chunk once."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from conftest import CRS, TRANSFORM
from georeader import GeoTensor, save_cog, save_tiled_geotiff
from georeader._core.windows import PixelWindow
from georeader._export.sources import open_source, sliced
from georeader.errors import DtypeError, OptionError, ReadError, ShapeError

da = pytest.importorskip("dask.array", reason="dask is not installed")
dask = pytest.importorskip("dask", reason="dask is not installed")


def behind_an_object(values: Any, raster: GeoTensor | None = None, **more: Any) -> Any:
    """Return an object of the GeoData shape with any pixels."""
    place = {"transform": TRANSFORM, "crs": CRS, "fill_value_default": None, "attrs": {}}
    if raster is not None:
        place = {name: getattr(raster, name) for name in place}
    return SimpleNamespace(**{"shape": values.shape, "values": values} | place | more)


def ramp(shape: tuple[int, ...], dtype: str = "uint16") -> NDArray[Any]:
    return (np.arange(np.prod(shape)) % 251 + 1).reshape(shape).astype(dtype)


class Counting:
    """Cuts chunks out of an array, and counts how often each was requested."""

    def __init__(self, pixels: NDArray[Any], fails_at: tuple[int, ...] | None = None) -> None:
        self.pixels, self.fails_at = pixels, fails_at
        self.calls: Counter[tuple[int, ...]] = Counter()
        self._lock = threading.Lock()

    def __call__(self, block_info: Any = None) -> NDArray[Any]:
        place = tuple(block_info[None]["chunk-location"])
        with self._lock:
            self.calls[place] += 1
        if place == self.fails_at:
            raise OSError("the disk was pulled out")
        return self.pixels[tuple(slice(*edges) for edges in block_info[None]["array-location"])]

    def array(self, chunks: tuple[int, ...]) -> Any:
        sizes = da.core.normalize_chunks(chunks, self.pixels.shape)
        empty = np.empty((0,) * self.pixels.ndim, self.pixels.dtype)
        return da.map_blocks(self, chunks=sizes, dtype=self.pixels.dtype, meta=empty)


@pytest.mark.parametrize("chunks", [None, (1, 64, 64), (2, 50, 200)], ids=str)
def test_a_dataset_of_hdf5_is_saved_by_windows(chunks: Any, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    pixels = ramp((2, 150, 200))
    with h5py.File(tmp_path / "in.h5", "w") as file:
        values = file.create_dataset("pixels", data=pixels, chunks=chunks)

        save_cog(behind_an_object(values), tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), pixels)


@pytest.mark.parametrize("chunks", [(3, 256, 256), (1, 100, 333), (3, 500, 600), (2, 64, 600)], ids=str)
@pytest.mark.parametrize(
    ("save", "profile_arg"),
    [(save_cog, {}), (save_cog, {"interleave": "band"}), (save_tiled_geotiff, {"predictor": 1})],
    ids=["COG", "COG by bands", "tiles"],
)
def test_each_chunk_is_computed_once(save: Any, chunks: Any, profile_arg: dict[str, Any], tmp_path: Path) -> None:
    counting = Counting(ramp((3, 500, 600)))

    save(behind_an_object(counting.array(chunks)), tmp_path / "out.tif", profile_arg=profile_arg)

    assert set(counting.calls.values()) == {1}
    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), counting.pixels)


SHARED = {
    "rechunked": lambda array: array.rechunk((256, 200)),
    "sharpened": lambda array: array.map_overlap(lambda part: part, depth=2, boundary="none", dtype=array.dtype),
    "twice": lambda array: array.map_overlap(
        lambda part: part, depth=1, boundary="none", dtype=array.dtype
    ).map_overlap(lambda part: part, depth=1, boundary="none", dtype=array.dtype),
    "turned": lambda array: array[::-1, ::-1][::-1, ::-1],
}


@pytest.mark.parametrize("pipeline", SHARED.values(), ids=SHARED)
def test_chunks_that_several_others_of_a_window_need_are_computed_once(pipeline: Any, tmp_path: Path) -> None:
    counting = Counting(ramp((700, 900)))

    save_cog(behind_an_object(pipeline(counting.array((150, 170)))), tmp_path / "out.tif")

    assert set(counting.calls.values()) == {1}
    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), counting.pixels)


def test_chunks_that_several_windows_need_are_computed_for_each_of_them(tmp_path: Path) -> None:
    counting = Counting(ramp((2000, 2000)))
    array = SHARED["sharpened"](counting.array((250, 250)))

    save_cog(behind_an_object(array), tmp_path / "out.tif", max_memory="32MiB", profile_arg={"predictor": 2})

    # Of 64 chunks, those at the edges of a few windows: no more than four windows meet in one.
    assert max(counting.calls.values()) <= 4
    assert sum(counting.calls.values()) < 2 * 64
    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), counting.pixels)


def test_tasks_that_need_all_chunks_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    counting = Counting(ramp((2000, 2000), "float32"))
    array = counting.array((100, 100))

    with caplog.at_level("WARNING", "georeader"):
        save_cog(behind_an_object((array - array.mean()).astype("float32")), tmp_path / "out.tif", max_memory="32MiB")
        assert "compute or persist() what all chunks need" in caplog.text
        caplog.clear()
        save_cog(behind_an_object((array - array.mean().compute()).astype("float32")), tmp_path / "out.tif")

    assert not caplog.text


@pytest.mark.parametrize("pipeline", [lambda array: array, SHARED["sharpened"]], ids=["plain", "sharpened"])
def test_a_graph_of_many_tasks_is_optimised_in_parts(
    pipeline: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sliced, "MOST_TASKS", 40)
    counting = Counting(ramp((700, 900)))

    save_cog(behind_an_object(pipeline(counting.array((100, 170)))), tmp_path / "out.tif")

    # What neighbouring parts need is computed by each of them.
    assert max(counting.calls.values()) <= (3 if pipeline is SHARED["sharpened"] else 1)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), counting.pixels)


def test_a_chunk_that_is_larger_than_a_window_is_computed_once(tmp_path: Path) -> None:
    counting = Counting(ramp((3000, 3000)))

    save_cog(behind_an_object(counting.array((3000, 3000))), tmp_path / "out.tif", max_memory="48MiB")

    assert counting.calls == {(0, 0): 1}


@pytest.mark.parametrize("failing", [(0, 0), (1, 2), (2, 3)])
def test_an_error_in_a_task_names_the_window_and_leaves_nothing(failing: tuple[int, int], tmp_path: Path) -> None:
    counting = Counting(ramp((700, 900)), fails_at=failing)

    with pytest.raises(
        ReadError, match=r"rows \d+ to \d+, columns \d+ to \d+, bands 1 to 1.*disk was pulled"
    ) as caught:
        save_cog(behind_an_object(counting.array((256, 256))), tmp_path / "out.tif")

    assert isinstance(caught.value.__cause__, OSError)
    assert list(tmp_path.iterdir()) == []


def test_configured_scheduler_is_used(tmp_path: Path) -> None:
    threads = set()

    def scheduler(graph: Any, keys: Any, **options: Any) -> Any:
        threads.add(threading.current_thread().name)
        return dask.get(graph, keys, **options)

    with dask.config.set(scheduler=scheduler):
        save_cog(behind_an_object(da.from_array(ramp((300, 400)), chunks=(100, 100))), tmp_path / "out.tif")

    assert threads


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "synchronous"),
        ({"scheduler": "threads"}, dask.threaded.get),
        ({"scheduler": "synchronous"}, dask.get),
        ({"num_workers": 3}, "synchronous"),
    ],
)
def test_windows_are_computed_by_the_reading_thread_by_default(options: Any, expected: Any) -> None:
    with dask.config.set(options):
        scheduler = sliced.find_scheduler(da.zeros(1))

    assert scheduler.get == expected
    assert scheduler.concurrent == options.get("num_workers", 2 if options else dask.system.CPU_COUNT)


def test_chunks_of_unknown_size_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    counting = Counting(ramp((300, 400)))
    array = counting.array((100, 100))
    unknown = array[da.from_array(np.arange(300) % 2 == 0, chunks=100)]

    with pytest.raises(ShapeError, match=r"has chunks of unknown size; call its compute_chunk_sizes\(\)"):
        save_cog(behind_an_object(unknown, shape=(150, 400)), tmp_path / "out.tif")

    assert not counting.calls
    assert list(tmp_path.iterdir()) == []


def test_an_object_of_another_shape_than_its_array_is_refused(tmp_path: Path) -> None:
    values = da.zeros((10, 20), chunks=10)

    with pytest.raises(ShapeError, match=r"declares \(20, 10\), but its pixels are \(10, 20\)"):
        save_cog(behind_an_object(values, shape=(20, 10)), tmp_path / "out.tif")


def misdeclared(declared: str, given: str, shape: Any = None) -> Any:
    """Return a dask array whose function returns another dtype or shape than it declares."""
    values = da.zeros((300, 400), chunks=(100, 200), dtype=declared)
    return values.map_blocks(
        lambda part: np.full(shape or part.shape, 3, given), dtype=declared, meta=np.empty((0, 0), declared)
    )


@pytest.mark.parametrize(("declared", "given"), [("float32", "float64"), ("int32", "int16"), ("uint16", "int64")])
def test_a_chunk_of_another_dtype_is_converted_without_loss(declared: str, given: str, tmp_path: Path) -> None:
    save_cog(behind_an_object(misdeclared(declared, given)), tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.dtypes == (declared,)
        assert (dataset.read() == 3).all()


def test_chunk_of_another_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DtypeError, match=r"rows 0 to .* is float32, but the array declares uint8"):
        save_cog(behind_an_object(misdeclared("uint8", "float32")), tmp_path / "out.tif")


def test_a_chunk_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"chunk \(\d, \d\) of the dask array is of \(1, 1\)"):
        save_cog(behind_an_object(misdeclared("uint8", "uint8", shape=(1, 1))), tmp_path / "out.tif")


def test_masked_chunks_become_a_mask(tmp_path: Path) -> None:
    pixels = ramp((2, 300, 400))
    hidden = np.broadcast_to(pixels[0] % 7 == 0, pixels.shape)
    values = da.from_array(np.ma.array(pixels, mask=hidden), chunks=(1, 128, 128), asarray=False)

    save_cog(behind_an_object(values), tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_array_equal(dataset.read_masks(2) == 0, hidden[1])
        np.testing.assert_array_equal(dataset.read(masked=True).filled(0), np.where(hidden, 0, pixels))


def test_chunks_that_are_masked_in_one_band_alone_are_refused(tmp_path: Path) -> None:
    hidden = np.zeros((2, 300, 400), bool)
    hidden[0, 5, 5] = True
    values = da.from_array(np.ma.array(ramp((2, 300, 400)), mask=hidden), chunks=(2, 128, 128), asarray=False)

    with pytest.raises(OptionError, match="not the same ones in each band"):
        save_cog(behind_an_object(values), tmp_path / "out.tif")


def test_a_mask_beside_the_pixels_is_cut_with_them(tmp_path: Path) -> None:
    mask = ramp((300, 400)) % 5 != 0
    values = da.from_array(ramp((2, 300, 400)), chunks=(1, 128, 128))

    save_cog(behind_an_object(values, attrs={"mask": mask}), tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_array_equal(dataset.dataset_mask() != 0, mask)


class OnlySlices:
    """Array of another library: it has shape and dtype, and can be sliced."""

    def __init__(self, pixels: NDArray[Any]) -> None:
        self.keys: list[Any] = []
        self.chunks: Any = None
        self._pixels = pixels

    @property
    def shape(self) -> tuple[int, ...]:
        return self._pixels.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._pixels.dtype

    def __getitem__(self, key: Any) -> NDArray[Any]:
        self.keys.append(key)
        return self._pixels[key]

    def __array__(self, *_: Any, **__: Any) -> NDArray[Any]:
        raise AssertionError("the whole array was asked for")


def test_sliceable_array_is_read_by_windows_on_one_thread(tmp_path: Path) -> None:
    values = OnlySlices(ramp((2, 1500, 1400)))

    save_cog(behind_an_object(values), tmp_path / "out.tif", max_memory="48MiB")

    assert open_source(behind_an_object(values)).traits.concurrent_reads == 1
    assert max((key[1].stop - key[1].start) * (key[2].stop - key[2].start) for key in values.keys) < 1500 * 1400
    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), values._pixels)


@pytest.mark.parametrize(
    ("chunks", "rows", "columns"),
    [
        ((2, 100, 60), (0, 100, 150), (0, 60, 120, 130)),
        (((1, 1), (50, 0, 100), (130,)), (0, 50, 150), (0, 130)),
        (((1, 1), (50, 50), (130,)), None, None),
        ("auto", None, None),
        ((100, 60), None, None),
        ((2, None, 60), None, None),
    ],
)
def test_declared_chunks_of_an_array_are_known(chunks: Any, rows: Any, columns: Any) -> None:
    values = OnlySlices(ramp((2, 150, 130)))
    values.chunks = chunks

    found = open_source(behind_an_object(values)).traits.chunks

    assert (found.row_edges_px, found.column_edges_px) == (rows, columns) if rows else found is None


def test_empty_chunks_are_skipped(tmp_path: Path) -> None:
    pixels = ramp((300, 400))
    values = da.concatenate(
        [da.from_array(pixels[:100]), da.zeros((0, 400), dtype="uint16"), da.from_array(pixels[100:])]
    )

    save_cog(behind_an_object(values), tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), pixels)


sizes = st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple)


@settings(deadline=None)
@given(rows=sizes, columns=sizes, overlaps=st.booleans(), data=st.data())
def test_any_window_of_any_chunks_has_the_pixels_of_the_array(
    rows: Any, columns: Any, overlaps: bool, data: Any
) -> None:
    pixels = ramp((sum(rows), sum(columns)))
    values = da.from_array(pixels, chunks=(rows, columns))
    if overlaps:
        values = values.map_overlap(lambda part: part, depth=1, boundary="none", allow_rechunk=False, dtype="uint16")
    with closing(open_source(behind_an_object(values))) as source:
        for _ in range(3):
            row, column = (data.draw(st.integers(0, side - 1)) for side in pixels.shape)
            down, right = (
                data.draw(st.integers(row + 1, pixels.shape[0])),
                data.draw(st.integers(column + 1, pixels.shape[1])),
            )
            found, mask = source.read(PixelWindow(row, down, column, right), range(1))
            np.testing.assert_array_equal(found[0], pixels[row:down, column:right])
            assert mask is None


def test_windows_that_cut_chunks_are_ordered_by_chunk(tmp_path: Path) -> None:
    counting = Counting(ramp((3000, 3000)))
    array = counting.array((1500, 1500))

    options: dict[str, Any] = {"max_memory": "32MiB", "profile_arg": {"predictor": 1, "BLOCKSIZE": 128}}
    save_tiled_geotiff(behind_an_object(array), tmp_path / "out.tif", **options)

    assert counting.calls == dict.fromkeys([(0, 0), (0, 1), (1, 0), (1, 1)], 1)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), counting.pixels)


def test_chunk_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    counting = Counting(ramp((3000, 3000)))

    with pytest.raises(OptionError, match=r"reading the source holds, 18000000 bytes.*smaller tiles or chunks"):
        save_cog(behind_an_object(counting.array((3000, 3000))), tmp_path / "out.tif", max_memory="32MiB")

    assert not counting.calls
