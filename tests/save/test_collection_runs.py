"""Runs of save_collection: errors of items, resuming, Ctrl-C, processes, clusters and stores."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cubes import NAMES, PIXELS, Counted, cube_of, dies_in_a_process, read_pixels
from dask_cluster import StartCluster
from georeader import save_cog, save_collection
from georeader.errors import MetadataWarning, OptionError, ReadError, WorkerError
from places import SUPPORT
from servers.moto_server import MotoServer
from servers.nginx import WebServer

pystac = pytest.importorskip("pystac", reason="pystac is not installed")

UseEnv = Callable[[dict[str, str]], None]

#: Longer than this, and the user presses Ctrl-C again.
LONGEST_SECONDS = 3.0

TEMPLATE = "{time:%Y%m%d}.tif"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def failing(*steps: int, chunks: tuple[int, int, int] = (1, 96, 80)) -> Any:
    """Return a cube of dask of which some steps cannot be computed."""
    dask_array = pytest.importorskip("dask.array", reason="dask is not installed")

    def fail(chunk: Any, block_info: Any = None) -> Any:
        if block_info[0]["array-location"][0][0] in steps:
            raise RuntimeError("no such scene")
        return chunk

    array = dask_array.from_array(PIXELS, chunks=chunks)
    return cube_of(array.map_blocks(fail, dtype=PIXELS.dtype, meta=array._meta))


def tiffs(folder: str | Path = ".") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.tif")}


# Errors.


@pytest.mark.parametrize("n_workers", [1, 3])
def test_an_item_that_fails_does_not_affect_the_others(n_workers: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "georeader"):
        result = save_collection(
            failing(1), TEMPLATE, dim="time", on_item_error="log_and_continue", n_workers=n_workers
        )

    (failed,) = result.errors
    assert (failed.index, type(failed.error), failed.item, failed.receipts) == (1, ReadError, None, {})
    assert "item 1 (time=2024-05-11): ReadError" in caplog.text
    assert sorted(tiffs()) == ["20240501.tif", "20240521.tif", "20240531.tif"]
    assert [item.id for item in pystac.Collection.from_file("collection.json").get_items()] == [
        "20240501", "20240521", "20240531",
    ]  # fmt: skip
    assert repr(result) == "<CollectionResult: 4 items in 'collection.json', 0 skipped, 1 failed>"


def test_chunks_of_the_grid_that_fail_are_nodata_in_the_index() -> None:
    cube = cube_of(Counted().cube(1, 48, 80).data)[1]
    failed = cube.copy(data=cube.data.map_blocks(_fail_at_the_top, dtype=PIXELS.dtype, meta=PIXELS[0, :0]))
    result = save_collection(failed, "{row}.tif", dim="chunk", nodata=0, on_item_error="log_and_continue")

    assert [item.index for item in result.errors] == [0]
    assert result.index is not None
    pixels = read_pixels(result.index)
    assert not pixels[:48].any()
    assert (pixels[48:] == PIXELS[1, 48:]).all()


def _fail_at_the_top(chunk: Any, block_info: Any = None) -> Any:
    if block_info[0]["array-location"][0][0] == 0:
        raise RuntimeError("no such chunk")
    return chunk


def test_the_first_error_is_raised_with_the_results_so_far_and_no_document() -> None:
    with pytest.raises(ReadError, match="no such scene") as caught:
        save_collection(failing(2), TEMPLATE, dim="time", n_workers=1)

    assert [(item.index, item.error is None) for item in caught.value.results] == [  # type: ignore[attr-defined]
        (0, True), (1, True), (2, False),
    ]  # fmt: skip
    assert sorted(os.listdir()) == ["20240501.json", "20240501.tif", "20240511.json", "20240511.tif"]
    assert any("item 2 (time=2024-05-21)" in note for note in caught.value.__notes__)


def test_items_that_share_a_chunk_that_fails_have_its_error(caplog: pytest.LogCaptureFixture) -> None:
    result = save_collection(
        failing(0, chunks=(2, 96, 80)), "new/{time:%Y}/{time:%m%d}.tif", dim="time", on_item_error="log_and_continue"
    )

    assert [item.index for item in result.errors] == [0, 1]
    assert (read_pixels("new/2024/0531.tif") == PIXELS[3]).all()
    assert len(caplog.records) == 2


def test_folders_of_items_that_failed_are_removed() -> None:
    with pytest.raises(ReadError):
        save_collection(failing(0), "new/{time:%Y%m%d}/a.tif", dim="time", n_workers=1)

    assert os.listdir() == []


def test_warnings_of_workers_are_given_once_at_the_callers_line() -> None:
    with pytest.warns(MetadataWarning, match="datetime is the time of the save") as caught:
        save_collection(cube_of().assign_coords(time=list("abcd")), "{time}.tif", dim="time", n_workers=2)

    assert [warning.filename for warning in caught] == [__file__]


# Resuming.


def test_items_that_exist_are_skipped_and_the_others_completed() -> None:
    save_collection(cube_of(), TEMPLATE, dim="time")
    before = tiffs()
    Path("20240511.tif").unlink()
    Path("20240521.json").unlink()
    Path("20240531.json").write_text("{")
    counted = Counted()

    result = save_collection(counted.cube(1, 96, 80), TEMPLATE, dim="time", skip_existing=True)

    assert [item.is_skipped for item in result.items] == [True, False, False, False]
    assert len(counted.times) == 3
    assert tiffs() == before
    assert len(list(pystac.Collection.from_file("collection.json").get_items())) == 4


def test_item_of_a_file_that_was_replaced_after_it_is_saved_again() -> None:
    """A run that replaces files may end between a file and its item."""
    save_collection(cube_of(), TEMPLATE, dim="time")
    save_cog(cube_of()[1] // 64, "20240511.tif")

    result = save_collection(cube_of(), TEMPLATE, dim="time", skip_existing=True)

    assert [item.is_skipped for item in result.items] == [True, False, True, True]
    assert (read_pixels("20240511.tif") == PIXELS[1]).all()
    item = json.loads(Path("20240511.json").read_text())
    assert item["assets"]["data"]["file:size"] == Path("20240511.tif").stat().st_size


def test_files_without_items_are_skipped_where_stac_is_false() -> None:
    save_collection(cube_of()[:2], TEMPLATE, dim="time", stac=False)

    result = save_collection(cube_of(), TEMPLATE, dim="time", stac=False, skip_existing=True)

    assert [item.is_skipped for item in result.items] == [True, True, False, False]


def test_items_of_a_shared_chunk_are_completed_alone() -> None:
    save_collection(cube_of()[:3], TEMPLATE, dim="time")
    counted = Counted()

    result = save_collection(counted.cube(4, 96, 80), TEMPLATE, dim="time", skip_existing=True)

    assert [item.is_skipped for item in result.items] == [True, True, True, False]
    assert set(counted.times.values()) == {1}
    assert (read_pixels("20240531.tif") == PIXELS[3]).all()


#: Saves 6 steps of a cube, of which the last three wait, and prints a line when each item is done.
SLOW = textwrap.dedent("""
    import sys, time, threading
    import numpy as np
    sys.path.insert(0, sys.argv[1])
    from cubes import cube_of
    from georeader import save_collection

    def wait(chunk, block_info=None):
        if block_info[0]["array-location"][0][0] >= 3:
            time.sleep(60)
        return chunk

    def say(done, total):
        print(done, flush=True)

    if __name__ == "__main__":
        import dask.array as da
        pixels = np.random.default_rng(1).integers(1, 4000, (4, 512, 512)).astype("uint16")
        array = da.from_array(pixels, chunks=(1, 512, 512))
        cube = cube_of(array.map_blocks(wait, dtype="uint16", meta=array._meta) if sys.argv[3] == "slow" else array)
        try:
            save_collection(
                cube, "out/{time:%Y%m%d}/{time:%H}.tif", dim="time", n_workers=2, executor=sys.argv[2], progress=say,
                skip_existing=True, dir_tmpfiles=sys.argv[4],
            )
        except KeyboardInterrupt:
            print("interrupted", threading.active_count(), flush=True)
""")


def start(executor: str, speed: str, folder: Path) -> subprocess.Popen[str]:
    (folder / "temporary").mkdir(exist_ok=True)
    script = folder / "run.py"
    script.write_text(SLOW)
    return subprocess.Popen(
        [sys.executable, str(script), str(SUPPORT), executor, speed, str(folder / "temporary")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, start_new_session=True,
    )  # fmt: skip


def until(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    for found in process.stdout:
        if found.strip() == line:
            return
    raise AssertionError(process.communicate()[1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to groups of processes")
def test_a_run_that_was_killed_is_resumed_to_the_same_files(folder: Path) -> None:
    pytest.importorskip("dask.array", reason="dask is not installed")
    (folder / "whole").mkdir()
    with start("thread", "fast", folder / "whole") as whole:
        assert whole.wait(60) == 0, whole.communicate()[1]
    with start("thread", "slow", folder) as process:
        until(process, "3")
        os.killpg(process.pid, signal.SIGKILL)
    found = {path.relative_to(folder / "out") for path in (folder / "out").rglob("*") if path.is_file()}
    assert found == {Path(name, "00.tif") for name in NAMES[:3]} | {Path(name, f"{name}_00.json") for name in NAMES[:3]}

    with start("thread", "fast", folder) as resumed:
        lines = resumed.communicate()[0].split()

    assert lines == ["0", "1", "2", "3", "4"]
    files = {path.relative_to(folder / "out"): path.read_bytes() for path in (folder / "out").rglob("*.tif")}
    whole_out = folder / "whole" / "out"
    assert files == {path.relative_to(whole_out): path.read_bytes() for path in whole_out.rglob("*.tif")}
    assert (folder / "out" / "index.vrt").read_bytes() == (whole_out / "index.vrt").read_bytes()
    assert len(list(pystac.Collection.from_file("out/collection.json").get_items())) == 4


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a signal cannot be sent to one process alone")
@pytest.mark.parametrize("executor", ["thread", pytest.param("process", marks=pytest.mark.thorough)])
def test_interrupt_ends_the_run_soon_and_keeps_finished_items(executor: str, folder: Path) -> None:
    pytest.importorskip("dask.array", reason="dask is not installed")
    with start(executor, "slow", folder) as process:
        until(process, "3")
        time.sleep(0.3)  # into the last save
        begun = time.perf_counter()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to its processes, too
        answer = process.stdout.readline() if process.stdout else ""
        answered_seconds = time.perf_counter() - begun
        process.wait(30)

    assert answer.startswith("interrupted")
    assert answered_seconds < LONGEST_SECONDS
    assert time.perf_counter() - begun < 2 * LONGEST_SECONDS
    names = {path.name for path in (folder / "out").iterdir()}
    assert names == set(NAMES[:3])
    assert os.listdir(folder / "temporary") == []


# Where the work is done.


@pytest.mark.slow
def test_processes_write_the_bytes_of_threads_and_one_that_dies_costs_its_items_alone() -> None:
    dask_array = pytest.importorskip("dask.array", reason="dask is not installed")
    array = dask_array.from_array(PIXELS, chunks=(1, 96, 80))
    cube = cube_of(array.map_blocks(dies_in_a_process, os.getpid(), dtype=PIXELS.dtype, meta=PIXELS[:0]))
    save_collection(cube, "threads/" + TEMPLATE, dim="time")

    result = save_collection(
        cube, "processes/" + TEMPLATE, dim="time", executor="process", n_workers=2, on_item_error="log_and_continue"
    )

    assert [(item.index, type(item.error)) for item in result.errors] == [(1, WorkerError)]
    expected = tiffs("threads")
    del expected["20240511.tif"]
    assert tiffs("processes") == expected
    assert result.items[3].receipts["data"].path == "processes/20240531.tif"


def test_a_script_that_processes_would_run_again_ends_with_its_remedy(tmp_path: Path) -> None:
    """The cube is larger than what a pipe holds."""
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(SUPPORT)!r})\n"
        "from cubes import cube_of\n"
        "from georeader import save_collection\n"
        "cube = cube_of().pad(y=(0, 200), mode='edge').assign_coords(y=range(296, 0, -1))\n"
        "save_collection(cube, '{time:%Y%m%d}.tif', dim='time', executor='process', n_workers=1, stac=False)\n"
    )

    command = [sys.executable, script]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    assert ended.returncode == 1
    assert "bootstrapping" in ended.stderr
    assert ended.stderr.rstrip().endswith('below: if __name__ == "__main__":')


def test_cubes_that_cannot_be_pickled_are_refused_for_processes() -> None:
    cube = cube_of().assign_attrs(lock=threading.Lock())

    with pytest.raises(OptionError, match='executor="process": the cube or an option cannot be sent'):
        save_collection(cube, TEMPLATE, dim="time", executor="process")


def test_progress_is_called_in_the_callers_thread() -> None:
    seen: list[tuple[int, int, threading.Thread]] = []

    save_collection(
        cube_of(), TEMPLATE, dim="time", progress=lambda *done: seen.append((*done, threading.current_thread()))
    )

    assert [done for done, _, _ in seen] == [0, 1, 2, 3, 4]
    assert {(total, thread) for _, total, thread in seen} == {(4, threading.main_thread())}


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [(1, 48, 80), (4, 96, 80)])
def test_a_cluster_computes_each_chunk_once_and_keeps_none(
    chunks: tuple[int, int, int], cluster: StartCluster, folder: Path
) -> None:
    client = cluster(2)
    dask_array = pytest.importorskip("dask.array", reason="dask is not installed")
    (folder / "times").mkdir()

    def note(chunk: Any, folder: str, block_info: Any = None) -> Any:
        import secrets

        place = "-".join(str(start) for start, _ in block_info[0]["array-location"])
        Path(folder, f"{place}_{secrets.token_hex(4)}").touch()
        return chunk

    array = dask_array.from_array(PIXELS, chunks=chunks)
    cube = cube_of(array.map_blocks(note, str(folder / "times"), dtype=PIXELS.dtype, meta=array._meta))

    result = save_collection(cube, str(folder / TEMPLATE), dim="time", executor=client)

    computed = [name.split("_")[0] for name in os.listdir(folder / "times")]
    assert len(computed) == len(set(computed)) == np.prod([len(axis) for axis in array.chunks])
    assert result.errors == ()
    for name, pixels in zip(NAMES, PIXELS, strict=True):
        assert (read_pixels(f"{name}.tif") == pixels).all()
    deadline = time.monotonic() + 10
    while client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) == 0


@pytest.mark.slow
def test_a_cluster_saves_cubes_of_dask_alone(cluster: StartCluster, folder: Path) -> None:
    with pytest.raises(OptionError, match=r"executor is a Client.*'B04' is not one; pass cube.chunk\(\)"):
        save_collection(cube_of(), TEMPLATE, dim="time", executor=cluster(2))

    assert list(folder.iterdir()) == []


# Stores.


def test_a_collection_in_s3_is_resumed_there(moto: MotoServer, use_env: UseEnv) -> None:
    use_env(moto.env())
    url = moto.url("cubes/" + TEMPLATE)
    save_collection(cube_of()[:2], url, dim="time", index=False)

    result = save_collection(cube_of(), url, dim="time", skip_existing=True, n_workers=2)

    assert [item.is_skipped for item in result.items] == [True, True, False, False]
    documents = {f"cubes/{name}" for name in ("collection.json", "index.vrt", "items.parquet")}
    items = {f"cubes/{name}.{suffix}" for name in NAMES for suffix in ("tif", "json")}
    assert set(moto.keys()) == documents | items
    assert result.collection == moto.url("cubes/collection.json")
    item = json.loads(_read(result.items[0].item or ""))
    assert item["assets"]["data"]["href"] == "./20240501.tif"
    assert {link["rel"]: link["href"] for link in item["links"]}["collection"] == "./collection.json"


def test_the_signature_of_a_url_is_sent_and_in_no_document(nginx: WebServer) -> None:
    result = save_collection(cube_of(), f"{nginx.base}/cubes/{{time:%Y%m%d}}.tif?sig=hunter22", dim="time")

    folder = nginx.folder / "cubes"
    assert len(os.listdir(folder)) == 2 * len(NAMES) + 3
    assert not any(b"hunter22" in path.read_bytes() for path in folder.iterdir())
    assert "hunter22" not in repr(result) + repr(result.items)
    assert read_pixels(folder / "index.vrt").shape == PIXELS.shape
    resumed = save_collection(
        cube_of(), f"{nginx.base}/cubes/{{time:%Y%m%d}}.tif?sig=hunter22", dim="time", skip_existing=True
    )
    assert all(item.is_skipped for item in resumed.items)


def _read(url: str) -> bytes:
    from georeader.storage import read_bytes

    return read_bytes(url)


def test_a_collection_in_a_filesystem_has_its_documents_there() -> None:
    import fsspec

    fs = fsspec.filesystem("memory")

    result = save_collection(cube_of(), "cubes/in-memory/" + TEMPLATE, dim="time", fs=fs)

    assert fs.exists("cubes/in-memory/collection.json")
    assert fs.exists("cubes/in-memory/20240511.json")
    assert result.index == "cubes/in-memory/index.vrt"
    assert os.listdir() == []
