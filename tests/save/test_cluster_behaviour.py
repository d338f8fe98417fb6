"""Saves by a cluster: which client they use, as steps of larger graphs, and what they leave after errors."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import rasterio
from fsspec.implementations.memory import MemoryFileSystem

from cluster_blocks import set_blocks
from cluster_rasters import CRS, TRANSFORM, Painter, difference, geodata, same_receipt, visited
from dask_cluster import StartCluster, worker_pids
from georeader import GeoTensor, plan_export, save_cog, save_collection, save_tiled_geotiff
from georeader._core.reporting import linked_errors
from georeader.errors import DestinationError, ExistsError, GeoreaderError, OptionError, ReadError
from geotoolz import Operator
from geotoolz.catalog_ops import CatalogPipeline

dask = pytest.importorskip("dask", reason="dask is not installed")
distributed = pytest.importorskip("distributed", reason="distributed is not installed")
da = pytest.importorskip("dask.array", reason="dask is not installed")
Delayed = pytest.importorskip("dask.delayed", reason="dask is not installed").Delayed
xarray = pytest.importorskip("xarray", reason="xarray is not installed")
cluster_watch = pytest.importorskip("cluster_watch")

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

PAINTER = Painter((2, 600, 700), "uint16", is_blank=True)
CHUNKS = (2, 256, 256)

#: In names of tasks that do more than the array's own.
WORK = re.compile(r"encode|reduce|write|save")

EARLIER = b"the earlier file"


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    set_blocks(monkeypatch)


def a_raster(painter: Painter = PAINTER, chunks: Any = CHUNKS) -> Any:
    return geodata(painter.array(chunks), nodata=0)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Any]:
    """File and receipt of a save without a cluster."""
    path = tmp_path_factory.mktemp("expected") / "out.tif"
    receipt = save_cog(a_raster(), path, client=False)
    return path.read_bytes(), receipt


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function that returns what was logged of clients at the level of INFO."""
    caplog.set_level(logging.INFO, logger="georeader")

    def found() -> list[str]:
        records = [one for one in caplog.records if one.name == "georeader" and one.levelno == logging.INFO]
        return [one.getMessage() for one in records if re.search(r"dask|client|cluster", one.getMessage(), re.I)]

    return found


# Which client.


def test_current_client_is_used_for_a_dask_array_and_logged(
    cluster: StartCluster, folder: Path, lines: Callable[[], list[str]], expected: tuple[bytes, Any]
) -> None:
    client = cluster(2)

    with client.as_current(), cluster_watch.recorded_keys(client) as keys:
        save_cog(a_raster(), folder / "out.tif")

    assert difference((folder / "out.tif").read_bytes(), expected[0]) == ""
    assert len(lines()) == 1
    assert "out.tif" in lines()[0]
    assert any(WORK.search(prefix) for prefix in cluster_watch.prefixes(keys()))


def test_passed_client_is_used_and_not_logged_as_current(
    cluster: StartCluster, folder: Path, expected: tuple[bytes, Any]
) -> None:
    client = cluster(2)

    with cluster_watch.recorded_keys(client) as keys:
        receipt = save_cog(a_raster(), folder / "out.tif", client=client)

    assert same_receipt(receipt, expected[1])
    assert any(WORK.search(prefix) for prefix in cluster_watch.prefixes(keys()))


@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
def test_no_client_is_used_or_logged_where_none_is_current(
    save: Any, cluster: StartCluster, folder: Path, lines: Callable[[], list[str]]
) -> None:
    client = cluster(2)

    with cluster_watch.recorded_keys(client) as keys:
        save(a_raster(), folder / "out.tif")

    assert lines() == []
    assert keys() == set()


def test_current_client_is_not_used_for_encoding_where_the_caller_passes_false(
    cluster: StartCluster, folder: Path, lines: Callable[[], list[str]], expected: tuple[bytes, Any]
) -> None:
    client = cluster(2)

    with client.as_current(), cluster_watch.recorded_keys(client) as keys:
        save_cog(a_raster(), folder / "out.tif", client=False)

    assert difference((folder / "out.tif").read_bytes(), expected[0]) == ""
    assert lines() == []
    assert not any(WORK.search(prefix) for prefix in cluster_watch.prefixes(keys()))


def test_current_client_is_not_used_where_dask_has_another_scheduler(
    cluster: StartCluster, folder: Path, lines: Callable[[], list[str]]
) -> None:
    client = cluster(2)

    with client.as_current(), dask.config.set(scheduler="synchronous"), cluster_watch.recorded_keys(client) as keys:
        save_cog(a_raster(), folder / "out.tif")

    assert lines() == []
    assert keys() == set()


@pytest.mark.parametrize("kind", ["GeoTensor", "path"])
def test_current_client_is_not_used_for_other_sources(
    kind: str, cluster: StartCluster, folder: Path, lines: Callable[[], list[str]]
) -> None:
    client = cluster(2)
    tensor = GeoTensor(PAINTER.whole(), TRANSFORM, CRS, fill_value_default=0)
    save_tiled_geotiff(tensor, folder / "in.tif")

    with client.as_current(), cluster_watch.recorded_keys(client) as keys:
        save_cog(tensor if kind == "GeoTensor" else folder / "in.tif", folder / "out.tif")

    assert lines() == []
    assert keys() == set()


# Work of the cluster.


def test_each_chunk_is_computed_once_and_by_every_worker(cluster: StartCluster, tmp_path: Path, folder: Path) -> None:
    client = cluster(2)
    painter = visited(PAINTER, tmp_path / "calls", wait_seconds=0.02)

    save_cog(a_raster(painter, (2, 128, 350)), folder / "out.tif", client=client)

    assert set(painter.calls().values()) == {1}
    assert len(painter.calls()) == 5 * 2
    assert painter.pids() == set(worker_pids(client).values())


@pytest.mark.parametrize("blocks", ["default", "small"])
def test_graph_has_fewer_than_three_tasks_for_each_chunk(
    blocks: str, cluster: StartCluster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    set_blocks(monkeypatch, blocks)
    client = cluster(2)
    data = a_raster(Painter((1, 4096, 4096), "uint8", noise=1), (1, 512, 512))

    with cluster_watch.recorded_keys(client) as keys:
        save_cog(data, folder / "out.tif", client=client, profile_arg={"compress": "zstd", "LEVEL": 1})

    assert 64 < len(keys()) < 3 * 64


def test_names_of_tasks_say_what_they_do(cluster: StartCluster, folder: Path) -> None:
    client = cluster(2)

    with cluster_watch.recorded_keys(client) as keys:
        save_cog(a_raster(), folder / "out.tif", client=client, profile_arg={"STATISTICS": "YES"})

    names = cluster_watch.prefixes(keys()) - cluster_watch.prefixes({str(key) for key in a_raster().values.dask})
    assert any("encode" in name for name in names), names
    assert [name for name in names if not re.fullmatch(r"[a-z]+(-[a-z]+)+", name)] == []


def test_scheduler_holds_no_task_after_a_save(cluster: StartCluster, folder: Path) -> None:
    client = cluster(2)
    before = cluster_watch.tasks(client)

    save_cog(a_raster(), folder / "out.tif", client=client)

    cluster_watch.assert_no_task_is_left(client, before)


def test_progress_is_reported_in_the_thread_of_the_caller(cluster: StartCluster, folder: Path) -> None:
    calls = []

    def report(done: int, total: int) -> None:
        calls.append((done, total, threading.current_thread()))

    data = a_raster(Painter((1, 4096, 512), "uint8"), (1, 256, 512))
    save_cog(data, folder / "out.tif", client=cluster(2), progress=report)

    done = [one[0] for one in calls]
    assert {one[2] for one in calls} == {threading.current_thread()}
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, calls[0][1])
    assert len(calls) > 3


def test_relative_path_is_that_of_the_client(
    cluster: StartCluster, folder: Path, monkeypatch: pytest.MonkeyPatch, expected: tuple[bytes, Any]
) -> None:
    client = cluster(2)
    monkeypatch.chdir(folder)

    receipt = save_cog(a_raster(), "out.tif", client=client)

    assert difference((folder / "out.tif").read_bytes(), expected[0]) == ""
    assert receipt.path == "out.tif"


def test_durable_save_by_a_cluster_is_the_same_file(
    cluster: StartCluster, folder: Path, expected: tuple[bytes, Any]
) -> None:
    save_cog(a_raster(), folder / "out.tif", client=cluster(2), durable=True)

    assert difference((folder / "out.tif").read_bytes(), expected[0]) == ""


def test_save_of_a_numpy_array_imports_nothing_of_dask(tmp_path: Path) -> None:
    code = """
        import sys
        import numpy as np
        from affine import Affine
        from georeader import GeoTensor, save_cog

        save_cog(GeoTensor(np.ones((1, 300, 300), "uint8"), Affine(1, 0, 0, 0, -1, 0), "EPSG:3857", 0), sys.argv[1])
        print(sorted(name for name in sys.modules if name.partition(".")[0] in ("dask", "distributed")))
    """

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "out.tif")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.stdout, done.stderr) == ("[]\n", "")


# Delayed saves.


def compute(delayed: Any, how: str, client: Any) -> Any:
    return delayed.compute(scheduler=client if how == "cluster" else how)


HOW = ["cluster", "threads", "synchronous"]


@pytest.mark.parametrize("how", HOW)
def test_delayed_save_is_one_step_of_a_larger_graph(
    how: str, cluster: StartCluster, folder: Path, expected: tuple[bytes, Any]
) -> None:
    client = cluster(2)
    before = dask.delayed(PAINTER.whole)()
    values = da.from_delayed(before, PAINTER.shape, PAINTER.dtype).rechunk(CHUNKS)

    saved = save_cog(geodata(values, nodata=0), folder / "out.tif", compute=False)
    after = dask.delayed(attrgetter("checksum", "size_bytes"))(saved)

    assert isinstance(saved, Delayed)
    assert compute(after, how, client) == (expected[1].checksum, expected[1].size_bytes)
    assert difference((folder / "out.tif").read_bytes(), expected[0]) == ""
    assert os.listdir(folder) == ["out.tif"]


@pytest.mark.parametrize("how", HOW)
def test_result_of_a_delayed_save_is_the_receipt(
    how: str, cluster: StartCluster, folder: Path, expected: tuple[bytes, Any]
) -> None:
    client = cluster(2)

    receipt = compute(save_cog(a_raster(), folder / "out.tif", compute=False), how, client)

    assert same_receipt(receipt, expected[1])
    assert receipt.path == str(folder / "out.tif")


def test_delayed_save_needs_no_client_when_it_is_made(folder: Path, expected: tuple[bytes, Any]) -> None:
    receipt = save_cog(a_raster(), folder / "out.tif", compute=False).compute(scheduler="threads")

    assert same_receipt(receipt, expected[1])


def test_delayed_save_writes_and_computes_nothing_before_it_is_computed(
    cluster: StartCluster, tmp_path: Path, folder: Path
) -> None:
    painter = visited(PAINTER, tmp_path / "calls")

    save_cog(a_raster(painter), folder / "out.tif", compute=False)

    assert os.listdir(folder) == []
    assert not painter.calls()


@pytest.mark.parametrize("how", ["cluster", "threads"])
def test_delayed_save_is_computed_together_with_a_reduction_of_its_array(
    how: str, cluster: StartCluster, folder: Path, expected: tuple[bytes, Any]
) -> None:
    client = cluster(2)
    data = a_raster()

    saved = save_cog(data, folder / "out.tif", compute=False)
    scheduler = client if how == "cluster" else how
    receipt, largest, total = dask.compute(saved, data.values.max(), data.values.sum(), scheduler=scheduler)

    assert same_receipt(receipt, expected[1])
    assert (largest, total) == (PAINTER.whole().max(), PAINTER.whole().sum())


def test_two_delayed_saves_are_computed_at_once(
    cluster: StartCluster, folder: Path, expected: tuple[bytes, Any]
) -> None:
    client = cluster(2)
    names = ("one.tif", "two.tif")

    saves = [save_cog(a_raster(), folder / name, compute=False) for name in names]
    dask.compute(*saves, scheduler=client)

    assert [difference((folder / name).read_bytes(), expected[0]) for name in names] == ["", ""]
    assert sorted(os.listdir(folder)) == sorted(names)


def test_delayed_save_that_is_computed_again_writes_the_same_file(
    cluster: StartCluster, folder: Path, expected: tuple[bytes, Any]
) -> None:
    client = cluster(2)
    saved = save_cog(a_raster(), folder / "out.tif", compute=False)

    for _ in range(2):
        assert same_receipt(saved.compute(scheduler=client), expected[1])

    assert difference((folder / "out.tif").read_bytes(), expected[0]) == ""
    assert os.listdir(folder) == ["out.tif"]


def test_options_of_a_delayed_save_are_checked_at_the_call(cluster: StartCluster, folder: Path) -> None:
    with pytest.raises(OptionError, match="compress"):
        save_cog(a_raster(), folder / "out.tif", compute=False, profile_arg={"compress": "zip"})


@pytest.mark.parametrize("how", ["cluster", "threads"])
def test_error_of_a_delayed_save_leaves_nothing(how: str, cluster: StartCluster, tmp_path: Path, folder: Path) -> None:
    client = cluster(2)
    painter = visited(PAINTER, tmp_path / "calls", fails_at=(0, 1, 2))
    saved = save_cog(a_raster(painter), folder / "out.tif", compute=False)

    with pytest.raises(GeoreaderError, match="disk was pulled out"):
        compute(saved, how, client)

    assert cluster_watch.soon(lambda: os.listdir(folder) == []), os.listdir(folder)


# Errors.


@pytest.mark.parametrize("place", [(0, 0, 0), (0, 1, 1), (0, 1, 2), (0, 2, 2)])
def test_error_of_a_chunk_is_one_read_error_that_names_the_window_and_leaves_nothing(
    place: tuple[int, ...], cluster: StartCluster, tmp_path: Path, folder: Path
) -> None:
    client = cluster(2)
    before = cluster_watch.tasks(client)
    painter = visited(PAINTER, tmp_path / "calls", fails_at=place)

    with pytest.raises(ReadError) as caught:
        save_cog(a_raster(painter), folder / "out.tif", client=client)

    message = str(caught.value)
    assert re.search(r"rows \d+ to \d+, columns \d+ to \d+, bands 1 to 2\b.*disk was pulled out", message), message
    first, last = map(int, re.findall(r"rows (\d+) to (\d+)", message)[0])
    assert first < 256 * (place[1] + 1)
    assert last > 256 * place[1]
    assert any(type(one) is OSError for one in linked_errors(caught.value))
    assert os.listdir(folder) == []
    cluster_watch.assert_no_task_is_left(client, before)


def test_chunk_that_fails_once_is_computed_again_where_dask_has_retries(
    cluster: StartCluster, tmp_path: Path, folder: Path, expected: tuple[bytes, Any]
) -> None:
    painter = visited(PAINTER, tmp_path / "calls", fails_at=(0, 1, 1), failures=1)

    with dask.annotate(retries=2):
        save_cog(a_raster(painter), folder / "out.tif", client=cluster(2))

    assert painter.calls()["0-1-1"] == 2
    assert difference((folder / "out.tif").read_bytes(), expected[0]) == ""


def test_folder_for_temporary_files_is_empty_after_a_save_and_an_error(
    cluster: StartCluster, tmp_path: Path, folder: Path, expected: tuple[bytes, Any]
) -> None:
    (tmp_path / "temporary").mkdir()
    painter = visited(PAINTER, tmp_path / "calls", fails_at=(0, 2, 2))
    options = {"client": cluster(2), "dir_tmpfiles": tmp_path / "temporary"}

    save_cog(a_raster(), folder / "out.tif", **options)
    with pytest.raises(GeoreaderError):
        save_cog(a_raster(painter), folder / "other.tif", **options)

    assert difference((folder / "out.tif").read_bytes(), expected[0]) == ""
    assert os.listdir(folder) == ["out.tif"]
    assert os.listdir(tmp_path / "temporary") == []


def test_cluster_saves_again_after_an_error(
    cluster: StartCluster, tmp_path: Path, folder: Path, expected: tuple[bytes, Any]
) -> None:
    client = cluster(2)
    with pytest.raises(GeoreaderError):
        save_cog(a_raster(visited(PAINTER, tmp_path / "calls", fails_at=(0, 1, 1))), folder / "out.tif", client=client)

    save_cog(a_raster(), folder / "out.tif", client=client)

    assert difference((folder / "out.tif").read_bytes(), expected[0]) == ""


def test_chunk_of_another_shape_is_an_error_as_locally(cluster: StartCluster, folder: Path) -> None:
    values = da.ones((1, 512, 512), dtype="uint8", chunks=(1, 256, 256))
    wrong = da.map_blocks(np.transpose, values[:, :, :500], dtype="uint8", chunks=values[:, :, :500].chunks)

    with pytest.raises(GeoreaderError) as local:
        save_cog(geodata(wrong), folder / "out.tif", client=False)
    with pytest.raises(GeoreaderError) as found:
        save_cog(geodata(wrong), folder / "out.tif", client=cluster(2))

    assert type(found.value) is type(local.value)
    assert os.listdir(folder) == []


def test_earlier_file_is_untouched_after_an_error(cluster: StartCluster, tmp_path: Path, folder: Path) -> None:
    (folder / "out.tif").write_bytes(EARLIER)
    painter = visited(PAINTER, tmp_path / "calls", fails_at=(0, 2, 0))

    with pytest.raises(GeoreaderError):
        save_cog(a_raster(painter), folder / "out.tif", client=cluster(2))

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"out.tif": EARLIER}


def test_existing_file_is_kept_without_overwrite(cluster: StartCluster, tmp_path: Path, folder: Path) -> None:
    (folder / "out.tif").write_bytes(EARLIER)
    painter = visited(PAINTER, tmp_path / "calls")

    with pytest.raises(ExistsError, match=r"out\.tif"):
        save_cog(a_raster(painter), folder / "out.tif", client=cluster(2), overwrite=False)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"out.tif": EARLIER}
    assert not painter.calls()


def test_file_that_appears_meanwhile_is_kept_without_overwrite(cluster: StartCluster, folder: Path) -> None:
    def rival(done: int, total: int) -> None:
        if done:
            (folder / "out.tif").write_bytes(EARLIER)

    with pytest.raises(ExistsError, match=r"out\.tif"):
        save_cog(a_raster(), folder / "out.tif", client=cluster(2), overwrite=False, progress=rival)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"out.tif": EARLIER}


def test_new_file_is_written_without_overwrite(
    cluster: StartCluster, folder: Path, expected: tuple[bytes, Any]
) -> None:
    save_cog(a_raster(), folder / "out.tif", client=cluster(2), overwrite=False)

    assert difference((folder / "out.tif").read_bytes(), expected[0]) == ""


def test_missing_folder_is_a_destination_error_before_anything_is_computed(
    cluster: StartCluster, tmp_path: Path
) -> None:
    painter = visited(PAINTER, tmp_path / "calls")

    with pytest.raises(DestinationError):
        save_cog(a_raster(painter), tmp_path / "none" / "out.tif", client=cluster(2))

    assert not painter.calls()


def _tensor(folder: Path) -> Any:
    return GeoTensor(PAINTER.whole(), TRANSFORM, CRS, fill_value_default=0)


def _dataset(folder: Path) -> Any:
    save_tiled_geotiff(_tensor(folder), folder.parent / "in.tif")
    return rasterio.open(folder.parent / "in.tif")


class ReadInWindows:
    """An object that is not dask's, and whose windows only this process can read."""

    shape, dtype, transform, crs, fill_value_default = PAINTER.shape, np.dtype("uint16"), TRANSFORM, CRS, 0

    def read_from_window(self, window: Any) -> Any:
        raise AssertionError("a window was read")


REFUSED: dict[str, tuple[Callable[[Path], Any], dict[str, Any]]] = {
    "numpy array": (_tensor, {}),
    "open dataset": (_dataset, {}),
    "windows of an object": (lambda folder: ReadInWindows(), {}),
    "engine of GDAL": (lambda folder: a_raster(), {"engine": "gdal"}),
    "option of GDAL": (lambda folder: a_raster(), {"profile_arg": {"NBITS": 12}}),
    "warp of an array": (lambda folder: a_raster(), {"profile_arg": {"TILING_SCHEME": "GoogleMapsCompatible"}}),
    "address as client": (lambda folder: a_raster(), {"client": "tcp://127.0.0.1:8786"}),
    "true as client": (lambda folder: a_raster(), {"client": True}),
    "unknown codec": (lambda folder: a_raster(), {"profile_arg": {"compress": "zip"}}),
    "client of a delayed save": (lambda folder: a_raster(), {"compute": False}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_input_is_an_option_error_before_anything_is_written(
    name: str, cluster: StartCluster, folder: Path
) -> None:
    client = cluster(2)
    make, changes = REFUSED[name]
    data, arguments = make(folder), {"path": folder / "out.tif", "client": client, **changes}

    with cluster_watch.recorded_keys(client) as keys, pytest.raises(OptionError):
        save_cog(data, arguments.pop("path"), **arguments)

    if hasattr(data, "close"):
        data.close()
    assert os.listdir(folder) == []
    assert keys() == set()


def test_memory_filesystem_of_this_process_has_the_file(cluster: StartCluster, expected: tuple[bytes, Any]) -> None:
    files = fsspec.filesystem("memory")

    save_cog(a_raster(), "memory://cluster/out.tif", client=cluster(2))

    assert difference(files.cat_file("/cluster/out.tif"), expected[0]) == ""
    files.rm("/cluster", recursive=True)


def test_closed_client_is_refused_before_anything_is_written(cluster: StartCluster, folder: Path) -> None:
    closed = distributed.Client(cluster(2).scheduler.address, set_as_default=False)
    closed.close()

    with pytest.raises(GeoreaderError, match="client"):
        save_cog(a_raster(), folder / "out.tif", client=closed)

    assert os.listdir(folder) == []


@pytest.mark.fault
@pytest.mark.slow
def test_folder_that_a_worker_does_not_see_is_a_destination_error_that_names_the_worker(
    cluster: StartCluster, tmp_path: Path, folder: Path
) -> None:
    client = cluster(2)
    (folder / "out.tif").write_bytes(EARLIER)

    painter = visited(Painter((1, 4096, 1024), "uint8"), tmp_path / "calls", wait_seconds=0.05)

    with (
        cluster_watch.blind_worker(client, folder) as address,
        pytest.raises(DestinationError, match=re.escape(address)) as caught,
    ):
        save_cog(a_raster(painter, (1, 512, 512)), folder / "out.tif", client=client)

    assert str(folder) in str(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"out.tif": EARLIER}


def test_path_that_workers_cannot_open_is_a_read_error(cluster: StartCluster, folder: Path) -> None:
    with pytest.raises(ReadError, match=r"none\.tif"):
        save_cog(folder / "none.tif", folder / "out.tif", client=cluster(2))

    assert os.listdir(folder) == []


# Interrupts.


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit], ids=lambda kind: kind.__name__)
def test_interrupt_of_the_caller_leaves_the_earlier_file_and_no_task(
    error: type[BaseException], cluster: StartCluster, tmp_path: Path, folder: Path
) -> None:
    client = cluster(2)
    before = cluster_watch.tasks(client)
    (folder / "out.tif").write_bytes(EARLIER)
    painter = visited(PAINTER, tmp_path / "calls", wait_seconds=0.05)

    def stop(done: int, total: int) -> None:
        if done:
            raise error

    with pytest.raises(error):
        save_cog(a_raster(painter, (2, 64, 350)), folder / "out.tif", client=client, progress=stop)

    cluster_watch.assert_no_task_is_left(client, before)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"out.tif": EARLIER}


#: Saves by a cluster of another process: its address, the folder of calls, the destination.
SAVE = textwrap.dedent("""
    import sys
    from pathlib import Path
    import pytest
    from cluster_blocks import set_blocks
    from cluster_rasters import Painter, geodata, visited
    from distributed import Client
    from georeader import save_cog

    set_blocks(pytest.MonkeyPatch())
    address, calls, path = sys.argv[1:]
    painter = visited(Painter((2, 2048, 700)), Path(calls), wait_seconds=0.1)
    with Client(address, set_as_default=False) as client:
        try:
            save_cog(geodata(painter.array((2, 64, 350)), nodata=0), path, client=client)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
""")


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a signal cannot be sent to one process alone")
def test_ctrl_c_at_the_client_leaves_the_earlier_file_and_no_task(
    cluster: StartCluster, tmp_path: Path, folder: Path, record_property: Any
) -> None:
    client = cluster(2)
    before = cluster_watch.tasks(client)
    (folder / "out.tif").write_bytes(EARLIER)
    (tmp_path / "calls").mkdir()
    command = [sys.executable, "-c", SAVE, client.scheduler.address, str(tmp_path / "calls"), str(folder / "out.tif")]

    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ) as process:
        assert cluster_watch.soon(lambda: len(os.listdir(tmp_path / "calls")) > 6 or process.poll() is not None, 60)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)

    record_property("faults", 1)
    assert said == "interrupted\n"
    assert process.returncode == 0
    cluster_watch.assert_no_task_is_left(client, before)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"out.tif": EARLIER}
    computed = len(os.listdir(tmp_path / "calls"))
    assert computed < 64


def test_cancelled_delayed_save_leaves_the_earlier_file(cluster: StartCluster, tmp_path: Path, folder: Path) -> None:
    client = cluster(2)
    before = cluster_watch.tasks(client)
    (folder / "out.tif").write_bytes(EARLIER)
    painter = visited(Painter((2, 2048, 700)), tmp_path / "calls", wait_seconds=0.05)
    saved = save_cog(a_raster(painter, (2, 64, 350)), folder / "out.tif", compute=False)

    future = client.compute(saved)
    assert cluster_watch.soon(lambda: len(painter.calls()) > 20)
    future.cancel()

    cluster_watch.assert_no_task_is_left(client, before)
    assert cluster_watch.soon(lambda: os.listdir(folder) == ["out.tif"]), os.listdir(folder)
    assert (folder / "out.tif").read_bytes() == EARLIER
    assert len(painter.calls()) < 64


class Unpicklable(MemoryFileSystem):
    """A filesystem with an open connection, say."""

    protocol = "unpicklable"

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle '_thread.lock' object")


def test_filesystem_that_cannot_be_pickled_is_an_error_that_names_the_file(cluster: StartCluster) -> None:
    with pytest.raises(OptionError, match=r"out\.tif.*cannot pickle '_thread.lock'"):
        save_cog(a_raster(), "folder/out.tif", fs=Unpicklable(), client=cluster(2))


@pytest.mark.parametrize("function", ["save_cog", "plan_export", "save_collection", "CatalogPipeline"])
def test_asynchronous_client_is_refused_before_anything_is_written(function: str, tmp_path: Path) -> None:
    """Dask refuses it with a RuntimeError, as soon as a scheduler is looked for."""
    places = {"y": np.arange(4.0), "x": np.arange(4.0)}
    cube = xarray.DataArray(da.ones((1, 4, 4), chunks=-1), {"time": ["first"]} | places, attrs={"crs": CRS})
    calls: dict[str, Callable[[Any], Any]] = {
        "save_cog": lambda client: save_cog(cube, tmp_path / "out.tif", client=client),
        "plan_export": lambda client: plan_export(cube, tmp_path / "out.tif", client=client),
        "save_collection": lambda client: save_collection(cube, tmp_path / "{time}.tif", dim="time", executor=client),
        "CatalogPipeline": lambda client: CatalogPipeline([], Operator(), executor=client),
    }

    async def call() -> None:
        async with distributed.Client(processes=False, asynchronous=True, dashboard_address=None) as client:
            with pytest.raises(OptionError, match="asynchronous Client of dask; pass one made without asynchronous"):
                calls[function](client)

    asyncio.run(call())
    assert list(tmp_path.iterdir()) == []
