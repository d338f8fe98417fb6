"""Chunks of dask arrays that are larger than windows: each computed once, and spooled where memory is too small."""

from __future__ import annotations

import os
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from by_rioxarray import BY_RIOXARRAY
from conftest import CRS, TRANSFORM
from forked import Forked, forked
from georeader import save_cog, save_tiled_geotiff
from georeader._export.sinks.base import Scratch
from georeader._export.sinks.temporary_file import TemporaryFile
from georeader._export.sources.sliced import DaskWindows
from georeader.preview import preview

pytestmark = pytest.mark.slow

da = pytest.importorskip("dask.array", reason="dask is not installed")
dask = pytest.importorskip("dask", reason="dask is not installed")

SHAPE = (2, 1800, 1900)
Box = tuple[slice, ...]

PIXELS = np.random.default_rng(0).integers(1, 4000, SHAPE).astype("uint16")

#: Which chunks windows cut, in which no window fits.
CHUNKS = {
    "one": SHAPE,
    "four": (2, 1000, 1000),
    "six of several sizes": (2, (300, 1500), (1300, 100, 500)),
    "rows": (2, 900, 1900),
    "columns": (2, 1800, 700),
    "a band each": (1, 1800, 1900),
}


def plain(box: Box) -> NDArray[Any]:
    return PIXELS[box]


def floats(box: Box) -> NDArray[Any]:
    return PIXELS[box].astype("float32")


def partly_masked(box: Box) -> NDArray[Any]:
    pixels = PIXELS[box]
    return np.ma.MaskedArray(pixels, np.broadcast_to(PIXELS[:1, *box[1:]] % 7 == 0, pixels.shape))


class Counted:
    """Cuts chunks out of pixels, and records each call in a folder shared by processes."""

    def __init__(self, folder: Path, cut: Callable[[Box], NDArray[Any]] = plain) -> None:
        self.folder, self.cut = folder, cut

    def __call__(self, block_info: Any = None) -> NDArray[Any]:
        place = "-".join(map(str, block_info[None]["chunk-location"]))
        (self.folder / f"{place}.{os.urandom(8).hex()}").touch()
        return self.cut(tuple(slice(*edges) for edges in block_info[None]["array-location"]))

    def array(self, chunks: Any, shape: tuple[int, int, int] = SHAPE) -> Any:
        self.folder.mkdir(exist_ok=True)
        meta = self.cut((slice(0, 0),) * 3)
        sizes = da.core.normalize_chunks(chunks, shape, dtype=meta.dtype)
        return da.map_blocks(self, chunks=sizes, dtype=meta.dtype, meta=meta)

    @property
    def calls(self) -> Counter[str]:
        return Counter(path.name.split(".")[0] for path in self.folder.iterdir())


def behind_an_object(values: Any) -> Any:
    place = {"transform": TRANSFORM, "crs": CRS, "fill_value_default": None, "attrs": {}}
    return SimpleNamespace(shape=values.shape, values=values, **place)


def data_array(values: Any, **encoding: Any) -> Any:
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    array = xarray.DataArray(values, dims=("band", "y", "x"), attrs={"crs": "EPSG:3857"})
    y, x = (-10 * (np.arange(size) + 0.5) for size in SHAPE[1:])
    array = array.assign_coords(y=y, x=-x)
    array.encoding = encoding
    return array


def decoded(counted: Counted, chunks: Any) -> Any:
    """Return a DataArray that is packed when it is saved: chunks are read ahead to see whether it still may be."""
    counted.cut = floats
    return data_array(counted.array(chunks), dtype="uint16", _FillValue=0, scale_factor=1.0)


def in_a_dataset(counted: Counted, chunks: Any) -> Any:
    array = data_array(counted.array(chunks))
    return array.to_dataset(dim="band").rename({0: "red", 1: "green"})


def masked(counted: Counted, chunks: Any) -> Any:
    counted.cut = partly_masked
    return behind_an_object(counted.array(chunks))


FORMS: dict[str, Callable[[Counted, Any], Any]] = {
    "object": lambda counted, chunks: behind_an_object(counted.array(chunks)),
    "DataArray": lambda counted, chunks: data_array(counted.array(chunks)),
    "decoded": decoded,
    "masked": masked,
    "Dataset": in_a_dataset,
}


@contextmanager
def scheduler(name: str | None) -> Iterator[None]:
    with ExitStack() as stack:
        if name == "distributed":
            distributed = pytest.importorskip("distributed", reason="distributed is not installed")
            cluster = distributed.LocalCluster(
                n_workers=1,
                threads_per_worker=2,
                processes=False,
                dashboard_address="127.0.0.1:0",
                worker_dashboard_address="127.0.0.1:0",
                memory_limit=0,
            )
            stack.enter_context(cluster)
            stack.enter_context(distributed.Client(cluster))
        else:
            stack.enter_context(dask.config.set(scheduler=name))
        yield


def check(path: Path, form: str) -> None:
    with rasterio.open(path) as dataset:
        read, mask = dataset.read(), dataset.dataset_mask() > 0
    expected = PIXELS if form != "masked" else np.where(PIXELS[:1] % 7 == 0, 0, PIXELS)
    np.testing.assert_array_equal(read * mask, expected)


@pytest.mark.parametrize("predictor", ["AUTO", 2])
@pytest.mark.parametrize(
    ("chunks", "by", "form", "save", "interleave"),
    [
        ("one", "synchronous", "object", save_cog, "PIXEL"),
        ("one", None, "DataArray", save_tiled_geotiff, "PIXEL"),
        ("four", "threads", "object", save_cog, "PIXEL"),
        ("four", "distributed", "decoded", save_cog, "PIXEL"),
        ("four", None, "masked", save_tiled_geotiff, "BAND"),
        ("six of several sizes", "synchronous", "decoded", save_tiled_geotiff, "BAND"),
        ("six of several sizes", "threads", "masked", save_cog, "PIXEL"),
        ("rows", "distributed", "DataArray", save_tiled_geotiff, "PIXEL"),
        ("rows", None, "Dataset", save_cog, "PIXEL"),
        ("columns", "threads", "decoded", save_cog, "BAND"),
        ("columns", "synchronous", "masked", save_cog, "PIXEL"),
        ("a band each", "threads", "DataArray", save_cog, "BAND"),
        ("a band each", "synchronous", "Dataset", save_tiled_geotiff, "BAND"),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@BY_RIOXARRAY
def test_each_chunk_is_computed_once(
    chunks: str, by: str | None, form: str, save: Any, interleave: str, predictor: Any, tmp_path: Path
) -> None:
    counted = Counted(tmp_path / "calls")
    data = FORMS[form](counted, CHUNKS[chunks])
    (tmp_path / "out").mkdir()
    options = {"compress": "zstd", "LEVEL": 1, "predictor": predictor, "interleave": interleave, "blocksize": 128}

    with scheduler(by):
        save(data, tmp_path / "out" / "out.tif", profile_arg=options, max_memory="48MiB")

    assert set(counted.calls.values()) == {1}
    check(tmp_path / "out" / "out.tif", form)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["out.tif"]


@pytest.mark.parametrize("chunks", CHUNKS)
def test_each_chunk_is_computed_once_by_the_gdal_engine(chunks: str, tmp_path: Path) -> None:
    counted = Counted(tmp_path / "calls")

    save_cog(decoded(counted, CHUNKS[chunks]), tmp_path / "out.tif", engine="gdal")

    assert set(counted.calls.values()) == {1}
    check(tmp_path / "out.tif", "decoded")


@pytest.mark.parametrize("chunks", CHUNKS)
def test_each_chunk_is_computed_once_for_a_picture(chunks: str, tmp_path: Path) -> None:
    counted = Counted(tmp_path / "calls")

    picture = preview(behind_an_object(counted.array(CHUNKS[chunks])), max_side_px=200, bands=[1, 2, 1])

    assert set(counted.calls.values()) == {1}
    assert picture == preview(behind_an_object(PIXELS), max_side_px=200, bands=[1, 2, 1])


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[TemporaryFile]:
    scratch = Scratch("the test", tmp_path)
    yield scratch.open_spool()
    scratch.close()


SMALL = np.arange(3 * 90 * 110, dtype="float32").reshape(3, 90, 110)
DTYPES = ["uint8", "int16", "float64", "complex64", "bool"]


@pytest.mark.parametrize("is_masked", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize(("seed", "dtype"), list(enumerate(DTYPES)))
def test_windows_in_any_order_equal_the_array(
    dtype: str, seed: int, is_masked: bool, spool: TemporaryFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("georeader._export.sources.sliced.LEAST_KEPT_BYTES", 0)
    monkeypatch.setattr("georeader._export.sources.read_once.PIECE_BYTES", 500)
    values = SMALL.astype(dtype)
    expected = np.ma.MaskedArray(values, SMALL % 5 == 0) if is_masked else values
    counted = Counted(tmp_path / "calls", expected.__getitem__)
    windows = DaskWindows(counted.array((2, 40, 50), SMALL.shape), 1, lambda: spool)
    edges = [(0, 1, 3), (0, 17, 33, 60, 90), (0, 50, 71, 90, 110)]
    axes = [[slice(start, stop) for start, stop in pairwise(axis)] for axis in edges]
    order = np.random.default_rng(seed).permutation(list(product(*axes)))

    for window_slices in order:
        key = tuple(window_slices)
        window = windows.cut(key)
        np.testing.assert_array_equal(np.ma.getdata(window), values[key])
        np.testing.assert_array_equal(np.ma.getmaskarray(window), np.ma.getmaskarray(expected)[key])

    assert set(counted.calls.values()) == {1}
    assert spool.size_bytes > 0


def test_space_of_pieces_that_were_read_is_reused(
    spool: TemporaryFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("georeader._export.sources.sliced.LEAST_KEPT_BYTES", 0)
    values = np.ones((40, 64, 64), "uint8")
    counted = Counted(tmp_path / "calls", values.__getitem__)
    windows = DaskWindows(counted.array((1, 64, 64), values.shape), 1, lambda: spool)

    for first in range(0, 40, 2):
        for rows, band in product((slice(0, 32), slice(32, 64)), (first, first + 1)):
            windows.cut((slice(band, band + 1), rows, slice(0, 64)))

    assert 0 < spool.size_bytes <= 2 * 64 * 64
    assert set(counted.calls.values()) == {1}


#: Saves an array of which chunks must be spooled; its file takes next to nothing. A limit on the size of files stands
#: for a full disk; or the last chunk never comes, and the process prints that it waits for it.
SAVE = textwrap.dedent("""
    import resource, signal, sys, time
    from types import SimpleNamespace
    import dask.array as da
    import numpy as np
    from georeader import save_cog

    out, scratch, ends_by = sys.argv[1:]

    def ones(block_info=None):
        if ends_by == "kill" and block_info[None]["chunk-location"] == (2, 2):
            print("waits", flush=True)
            time.sleep(60)
        return np.ones(block_info[None]["chunk-shape"], "uint32")

    values = da.map_blocks(ones, chunks=((1300,) * 3, (1300,) * 3), dtype="uint32", meta=np.empty((0, 0), "uint32"))
    place = {"transform": (10, 0, 0, 0, -10, 0), "crs": 3857, "fill_value_default": None, "attrs": {}}
    raster = SimpleNamespace(shape=values.shape, values=values, **place)
    if ends_by == "full disk":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
    try:
        options = {"predictor": "AUTO", "compress": "zstd"}
        save_cog(raster, out, dir_tmpfiles=scratch, max_memory="64MiB", profile_arg=options)
    except OSError as error:
        print(type(error).__name__, error.errno, error)
""")


@pytest.fixture
def saving(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Forked]:
    (tmp_path / "scratch").mkdir()
    with forked(SAVE, tmp_path / "out.tif", tmp_path / "scratch", request.param) as process:
        yield process


@pytest.mark.skipif(sys.platform != "linux", reason="it sets a limit of Linux")
@pytest.mark.parametrize("saving", ["full disk"], indirect=True)
def test_a_full_disk_is_an_error_that_names_the_folder(saving: Forked, tmp_path: Path) -> None:
    output = saving.stdout.read()
    saving.wait()

    assert output.startswith("WriteError 27 ")
    assert f"a temporary file in {str(tmp_path / 'scratch')!r}" in output
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="this system has no unnamed files")
@pytest.mark.parametrize("saving", ["kill"], indirect=True)
def test_killed_process_leaves_no_chunks(saving: Forked, tmp_path: Path) -> None:
    assert saving.stdout.readline() == "waits\n", saving.errors()
    opened = [str(path.readlink()) for path in Path(f"/proc/{saving.process.pid}/fd").iterdir()]

    saving.kill()

    assert any(path.startswith(str(tmp_path / "scratch")) for path in opened)
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]
    assert list((tmp_path / "scratch").iterdir()) == []
