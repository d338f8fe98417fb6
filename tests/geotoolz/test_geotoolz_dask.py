"""Catalogs whose rows are tasks of a cluster of dask.distributed."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from dask_cluster import StartCluster, kill_worker, running_cluster, worker_pids
from georeader import RasterioReader
from georeader.errors import ExistsError, OptionError
from geotoolz import Sequential, WorkerError
from geotoolz.catalog_ops import CatalogPipeline, WriteCOG
from geotoolz.indices import NDVI
from geotoolz_helpers import Add, CountsLoads, DiesOnce, Fails, Marks, Names, Narrow, SavesDaskArray, write_chips

distributed = pytest.importorskip("distributed", reason="distributed is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")]

SECRET = "s3cr3t-t0ken"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def write(out: Path, **options: Any) -> WriteCOG:
    return WriteCOG(str(out / "{tile}.tif"), **options)


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def calls(marks: Path) -> Counter[str]:
    """Return how often `Marks` was called for each tile."""
    return Counter(path.name.partition(".")[0] for path in marks.iterdir())


def wait_until(holds: Callable[[], Any], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition does not hold")
        time.sleep(0.02)


# Results as with processes.


def test_rows_are_written_by_workers_with_the_bytes_of_processes(
    cluster: StartCluster, out: Path, tmp_path: Path
) -> None:
    rows = write_chips(tmp_path, 5)
    (tmp_path / "by_processes").mkdir()

    results = CatalogPipeline(rows, Sequential([NDVI(0, 1), write(out)]), executor=cluster(2)).run()
    CatalogPipeline(
        rows, Sequential([NDVI(0, 1), write(tmp_path / "by_processes")]), executor="process", n_workers=2
    ).run()

    assert [Path(result.path).name for result in results] == [f"T{number}.tif" for number in range(5)]
    assert [result.receipt.size_bytes for result in results] == [len(content) for content in files(out).values()]
    assert all(result.seconds > 0 and result.row == row for result, row in zip(results, rows, strict=True))
    assert files(out) == files(tmp_path / "by_processes")


def test_rows_are_processed_by_all_workers(cluster: StartCluster, tmp_path: Path) -> None:
    client = cluster(2)

    results = CatalogPipeline(write_chips(tmp_path, 12), Names(), executor=client).run()

    assert [result.receipt[0] for result in results] == [f"T{number}" for number in range(12)]
    assert {result.receipt[1] for result in results} == set(worker_pids(client).values())


def test_progress_is_called_in_the_thread_of_the_caller(cluster: StartCluster, tmp_path: Path) -> None:
    seen = []

    def note(done: int, total: int) -> None:
        seen.append((done, total, threading.get_ident()))

    CatalogPipeline(write_chips(tmp_path, 3), Names(), executor=cluster(2), progress=note).run()

    assert seen == [(done, 3, threading.get_ident()) for done in range(4)]


def test_existing_files_are_skipped(cluster: StartCluster, out: Path, marks: Path, tmp_path: Path) -> None:
    rows = write_chips(tmp_path, 3)
    (out / "T1.tif").write_bytes(b"there")

    results = CatalogPipeline(
        rows, Sequential([Marks(str(marks)), write(out)]), executor=cluster(2), skip_existing=True
    ).run()

    assert [result.is_skipped for result in results] == [False, True, False]
    assert (out / "T1.tif").read_bytes() == b"there"
    assert calls(marks) == {"T0": 1, "T2": 1}


def test_errors_are_logged_and_other_rows_are_processed(
    cluster: StartCluster, out: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    operator = Sequential([Fails(("T1",)), write(out)])

    with caplog.at_level(logging.WARNING, "geotoolz"):
        results = CatalogPipeline(
            write_chips(tmp_path, 3), operator, executor=cluster(2), on_row_error="log_and_continue"
        ).run()

    assert [type(result.error) for result in results] == [type(None), ValueError, type(None)]
    assert "row 1: ValueError: no T1, please" in caplog.messages
    assert "on the worker tcp://127.0.0.1:" in results[1].error.__notes__[0]
    assert "in apply" in results[1].error.__notes__[0]
    assert list(files(out)) == ["T0.tif", "T2.tif"]


def test_first_error_is_raised_and_no_more_rows_are_begun(cluster: StartCluster, marks: Path, tmp_path: Path) -> None:
    operator = Sequential([Marks(str(marks)), Fails(("T2",), slow_tiles=tuple(f"T{n}" for n in range(3, 40))), Names()])

    with pytest.raises(ValueError, match="no T2, please") as caught:
        CatalogPipeline(write_chips(tmp_path, 40, side_px=16), operator, executor=cluster(2)).run()

    results = caught.value.results
    assert {f"T{result.index}" for result in results} == set(calls(marks))
    assert [result.index for result in results if result.error is not None] == [2]
    assert len(results) < 8


def test_an_error_that_cannot_be_pickled_is_replaced_by_worker_error(cluster: StartCluster, tmp_path: Path) -> None:
    results = CatalogPipeline(
        write_chips(tmp_path, 2), Fails(("T0",), how="odd"), executor=cluster(2), on_row_error="log_and_continue"
    ).run()

    assert isinstance(results[0].error, WorkerError)
    assert "a OddError cannot be sent from one process to another: 1 and 2 do not fit" in str(results[0].error)
    assert results[1].error is None


def test_folders_of_failed_rows_are_removed(cluster: StartCluster, tmp_path: Path) -> None:
    days = ["a", "b", "a"]
    rows = [row | {"day": day} for row, day in zip(write_chips(tmp_path, 3), days, strict=True)]
    # Row 1 cannot be saved: its dtype does not hold the nodata.
    operator = Sequential([Narrow(("T1",)), WriteCOG(str(tmp_path / "made" / "{day}" / "{tile}.tif"), nodata=300)])

    results = CatalogPipeline(rows, operator, executor=cluster(2), on_row_error="log_and_continue").run()

    assert [result.error is None for result in results] == [True, False, True]
    found = sorted(str(path.relative_to(tmp_path / "made")) for path in (tmp_path / "made").rglob("*"))
    assert found == ["a", "a/T0.tif", "a/T2.tif"]


def test_an_empty_catalog_gives_no_results(cluster: StartCluster) -> None:
    assert CatalogPipeline([], Names(), executor=cluster(2)).run() == []


def test_functions_of_a_notebook_are_sent_by_value(cluster: StartCluster, tmp_path: Path) -> None:
    results = CatalogPipeline(
        write_chips(tmp_path, 2), Names(), reader=lambda path: RasterioReader(path), executor=cluster(2)
    ).run()

    assert [result.receipt[0] for result in results] == ["T0", "T1"]


def test_relative_path_is_refused_where_a_worker_has_another_folder(
    cluster: StartCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_chips(tmp_path, 1)
    client = cluster(2)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(OptionError, match="'{tile}.tif'|'T0.tif' is relative to the current folder of the client"):
        CatalogPipeline(rows, WriteCOG("{tile}.tif"), executor=client).run()
    assert [path.name for path in tmp_path.glob("T*")] == []


# What is sent.


@pytest.mark.parametrize(("n_workers", "most"), [(None, 6), (1, 1), (3, 3)])
def test_number_of_rows_on_the_cluster_is_bounded(
    cluster: StartCluster, marks: Path, tmp_path: Path, n_workers: int | None, most: int
) -> None:
    client = cluster(2)
    rows = write_chips(tmp_path, 3 * most, side_px=16)
    operator = Sequential([Marks(str(marks), tuple(row["tile"] for row in rows), 0.2), Names()])
    counts = []

    def note(done: int, total: int) -> None:
        time.sleep(0.05)  # until the scheduler has what was sent
        counts.append(client.run_on_scheduler(count_rows))

    CatalogPipeline(rows, operator, executor=client, n_workers=n_workers, progress=note).run()

    assert max(counts) == most


def count_rows(dask_scheduler: Any) -> int:
    """Return how many rows the scheduler has that are not done."""
    undone = ("waiting", "no-worker", "queued", "processing")
    return sum("-row-" in key and task.state in undone for key, task in dask_scheduler.tasks.items())


def test_operator_is_unpickled_once_in_each_worker(cluster: StartCluster, marks: Path, tmp_path: Path) -> None:
    client = cluster(2)

    results = CatalogPipeline(
        write_chips(tmp_path, 12, side_px=16), Sequential([CountsLoads(str(marks)), Names()]), executor=client
    ).run()

    used = Counter(str(result.receipt[1]) for result in results)
    assert calls(marks) == dict.fromkeys(used, 1)
    assert len(used) == 2


def test_keys_name_the_work_and_hold_no_secret(cluster: StartCluster, out: Path, tmp_path: Path) -> None:
    client = cluster(2)
    rows = [{"path": f"https://user:{SECRET}@127.0.0.1:9/{n}.tif?sig={SECRET}", "tile": f"T{n}"} for n in range(2)]
    keys: set[str] = set()

    def note(done: int, total: int) -> None:
        keys.update(client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks)))

    results = CatalogPipeline(
        rows, write(out, http_headers={"Authorization": SECRET}), executor=client, progress=note,
        on_row_error="log_and_continue",
    ).run()  # fmt: skip

    logs = f"{client.get_worker_logs()} {client.get_scheduler_logs()}"
    assert all(result.error is not None for result in results)
    names = {key.rpartition("-")[0] for key in keys}
    assert "load-operator" in names
    assert names & {"write-row-0", "write-row-1"}  # one may be gone before it is seen
    assert SECRET not in f"{keys} {logs} {[str(result) for result in results]}"


def test_logs_of_a_task_that_fails_hold_no_secret(cluster: StartCluster, tmp_path: Path) -> None:
    client = cluster(2)
    rows = [row | {"secret": SECRET} for row in write_chips(tmp_path, 1)]

    with pytest.raises(WorkerError, match="cannot load op and reader: RuntimeError"):
        CatalogPipeline(rows, CannotBeLoaded(), reader=CannotBeLoaded(), executor=client).run()

    logs = str(client.get_worker_logs())
    assert "load-operator-" in logs
    assert SECRET not in logs


class CannotBeLoaded(Add):
    """Raises when it is unpickled; by cloudpickle it is sent by value, since workers do not find this module."""

    def __reduce__(self) -> Any:
        return raise_runtime_error, (SECRET,)


def raise_runtime_error(secret: str) -> None:
    raise RuntimeError("there is no such model here")


def test_module_that_workers_lack_is_one_clear_error(
    cluster: StartCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = cluster(2)
    (tmp_path / "only_at_the_client.py").write_text("from geotoolz_helpers import Names\nclass Own(Names): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    operator = __import__("only_at_the_client").Own()

    with pytest.raises(WorkerError, match="cannot load op and reader: ModuleNotFoundError.*upload_file") as caught:
        CatalogPipeline(write_chips(tmp_path, 3), operator, executor=client, on_row_error="log_and_continue").run()

    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


# Arguments.


@pytest.mark.parametrize("name", ["op", "reader"])
def test_what_cannot_be_pickled_is_refused_at_construction(cluster: StartCluster, name: str) -> None:
    class Locked(Add):
        lock = property(lambda self: None)

        def __getstate__(self) -> Any:
            return {"lock": threading.Lock()}

        def __call__(self, path: Any) -> Any:
            return path

    with pytest.raises(OptionError, match=f"executor=Client: {name} cannot be sent to a worker"):
        CatalogPipeline([], **({"op": Add()} | {name: Locked()}), executor=cluster(2))


def test_row_that_cannot_be_pickled_is_the_error_of_its_row(cluster: StartCluster, tmp_path: Path) -> None:
    rows = write_chips(tmp_path, 3)
    rows[1]["lock"] = threading.Lock()

    results = CatalogPipeline(rows, Names(), executor=cluster(2), on_row_error="log_and_continue").run()

    assert [type(result.error) for result in results] == [type(None), OptionError, type(None)]
    assert "row 1 cannot be sent to a worker" in str(results[1].error)


def test_other_executors_are_refused(cluster: StartCluster) -> None:
    client = cluster(2)

    with ThreadPoolExecutor(1) as pool:
        for other in (pool, client.cluster, client.get_executor(), None):
            message = f"executor is a {type(other).__name__}, which is neither 'thread' nor 'process' nor a distributed"
            with pytest.raises(OptionError, match=message):
                CatalogPipeline([], Add(), executor=other)


def test_repr_names_the_class_of_the_executor(cluster: StartCluster) -> None:
    assert repr(CatalogPipeline([], Add(), executor=cluster(2))).endswith("executor=Client)")


def test_distributed_is_not_imported_without_a_client() -> None:
    code = (
        "import sys; from geotoolz import Operator; from geotoolz.catalog_ops import CatalogPipeline\n"
        "CatalogPipeline([], Operator()).run()\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'dask', 'distributed', 'cloudpickle'}))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert (done.stdout, done.stderr) == ("[]\n", "")


# Rasters over dask arrays.


@pytest.mark.parametrize("is_current", [False, True], ids=["client", "current client"])
def test_row_that_saves_a_dask_array_computes_it_in_its_own_thread(
    cluster: StartCluster, out: Path, marks: Path, tmp_path: Path, is_current: bool
) -> None:
    rows = write_chips(tmp_path, 6)  # more than threads: each is taken by a row that would wait for its chunks
    operator = SavesDaskArray(str(out / "{tile}.tif"), str(marks))

    results = CatalogPipeline(rows, operator, executor=cluster(2, is_current=is_current)).run()

    assert len(files(out)) == 6
    for computed_in, saved_in in (result.receipt for result in results):
        assert computed_in == {saved_in}


# Workers that are killed.


def test_row_of_a_killed_worker_runs_again(cluster: StartCluster, out: Path, marks: Path, tmp_path: Path) -> None:
    client = cluster(2)
    rows = write_chips(tmp_path, 8)
    operator = Sequential([Marks(str(marks), ("T3",), 1.5), NDVI(0, 1), write(out)])

    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(CatalogPipeline(rows, operator, executor=client).run)
        wait_until(lambda: calls(marks)["T3"])
        (begun,) = marks.glob("T3.*")
        kill_worker(client, int(begun.name.split(".")[1]))
        results = run.result(60)

    assert [result.error for result in results] == [None] * 8
    assert calls(marks)["T3"] == 2
    expected = tmp_path / "expected"
    expected.mkdir()
    CatalogPipeline(rows, Sequential([NDVI(0, 1), write(expected)])).run()
    assert files(out) == files(expected)


@pytest.mark.parametrize("allowed_failures", [0, pytest.param(1, marks=pytest.mark.thorough)])
def test_row_that_kills_workers_is_an_error_of_its_own(
    cluster: StartCluster, out: Path, tmp_path: Path, allowed_failures: int
) -> None:
    client = cluster(2, allowed_failures=allowed_failures)
    operator = Sequential([Fails(("T1",), how="kill"), NDVI(0, 1), write(out)])

    results = CatalogPipeline(
        write_chips(tmp_path, 8), operator, executor=client, on_row_error="log_and_continue"
    ).run()

    assert [result.index for result in results if result.error is not None] == [1]
    assert isinstance(results[1].error, WorkerError)
    assert isinstance(results[1].error.__cause__, distributed.KilledWorker)
    assert "row 1: the workers that processed it died" in str(results[1].error)
    assert list(files(out)) == [f"T{number}.tif" for number in (0, 2, 3, 4, 5, 6, 7)]


def test_row_that_kills_workers_is_raised(cluster: StartCluster, marks: Path, tmp_path: Path) -> None:
    client = cluster(2, allowed_failures=0)
    operator = Sequential([Marks(str(marks)), Fails(("T1",), how="kill"), Names()])

    with pytest.raises(WorkerError, match="row 1: the workers that processed it died") as caught:
        CatalogPipeline(write_chips(tmp_path, 40, side_px=16), operator, executor=client).run()

    assert [result.index for result in caught.value.results if result.error is not None] == [1]
    assert {f"T{result.index}" for result in caught.value.results} == set(calls(marks))
    assert len(calls(marks)) < 40


@pytest.mark.fault
@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.thorough)])
def test_files_of_a_run_do_not_depend_on_killed_workers(
    cluster: StartCluster, out: Path, marks: Path, tmp_path: Path, kills: int
) -> None:
    client = cluster(2, allowed_failures=1000)
    rows = write_chips(tmp_path, 10 * kills, side_px=16)
    operator = Sequential([Marks(str(marks), tuple(row["tile"] for row in rows), 0.1), NDVI(0, 1), write(out)])

    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(CatalogPipeline(rows, operator, executor=client).run)
        for number in range(kills):
            wait_until(lambda least=5 * number: len(calls(marks)) > least, seconds=60)
            client.wait_for_workers(1, timeout=60)
            kill_worker(client)
        results = run.result(600)

    expected = tmp_path / "expected"
    expected.mkdir()
    CatalogPipeline(rows, Sequential([NDVI(0, 1), write(expected)])).run()
    assert [result.error for result in results] == [None] * len(rows)
    assert files(out) == files(expected)


def test_row_whose_worker_dies_after_its_file_was_written_writes_the_same_file(
    cluster: StartCluster, out: Path, tmp_path: Path
) -> None:
    rows = write_chips(tmp_path, 3)
    operator = DiesOnce(Sequential([NDVI(0, 1), write(out)]), "T1", str(tmp_path))

    results = CatalogPipeline(rows, operator, executor=cluster(2)).run()

    expected = tmp_path / "expected"
    expected.mkdir()
    CatalogPipeline(rows, Sequential([NDVI(0, 1), write(expected)])).run()
    assert (tmp_path / "died").exists()
    assert results[1].receipt.size_bytes == len(files(expected)["T1.tif"])
    assert files(out) == files(expected)


def test_row_that_runs_again_finds_its_own_file_with_overwrite_false(
    cluster: StartCluster, out: Path, tmp_path: Path
) -> None:
    operator = DiesOnce(write(out, overwrite=False), "T0", str(tmp_path))

    with pytest.raises(ExistsError, match="T0.tif"):
        CatalogPipeline(write_chips(tmp_path, 1), operator, executor=cluster(2)).run()


# Interrupted runs and lost clusters.


@pytest.mark.parametrize("exception", [KeyboardInterrupt, LookupError])
def test_interrupted_run_cancels_its_rows_and_ends_running_saves(
    cluster: StartCluster, out: Path, marks: Path, tmp_path: Path, exception: type[BaseException]
) -> None:
    client = cluster(2)
    rows = write_chips(tmp_path, 12, side_px=16)
    slow = tuple(f"T{number}" for number in range(1, 12))
    operator = Sequential([Marks(str(marks), slow, 0.5), write(out)])

    def interrupt(done: int, total: int) -> None:
        if done == 1:
            raise exception("enough")

    with pytest.raises(exception, match="enough"):
        CatalogPipeline(rows, operator, executor=client, progress=interrupt).run()
    wait_until(lambda: client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) == 0)
    called, written = calls(marks), files(out)
    time.sleep(1)

    assert (calls(marks), files(out)) == (called, written)  # no row is begun, and none is written
    assert 1 <= len(written) <= len(called) < 12
    assert {name[-4:] for name in written} == {".tif"}


#: Works on a catalog whose saves last for minutes.
SLOW = textwrap.dedent("""
    import sys
    import numpy as np
    from dask_cluster import running_cluster
    from geotoolz import Sequential
    from geotoolz.catalog_ops import CatalogPipeline, WriteCOG
    from geotoolz_helpers import Marks
    from georeader import GeoTensor

    def make(side_px):
        values = np.random.default_rng(0).integers(0, 9999, (1, 256, 256), dtype="uint16")
        values = np.tile(values, (1, side_px // 256, side_px // 256))
        return GeoTensor(values, (10, 0, 0, 0, -10, 0), 3857, 0)

    if __name__ == "__main__":
        marks, out = sys.argv[1:]
        rows = [{"path": 16384, "tile": f"T{number}"} for number in range(20)]
        op = Sequential([Marks(marks), WriteCOG(out + "/{tile}.tif", profile_arg={"compress": "lzma"})])
        with running_cluster(2) as client:
            try:
                CatalogPipeline(rows, op, reader=make, executor=client).run()
            except KeyboardInterrupt:
                print("interrupted", client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))
""")


@pytest.mark.parametrize(
    "is_sent_to_workers", [pytest.param(False, marks=pytest.mark.thorough), True], ids=["client", "client and workers"]
)
def test_interrupt_ends_running_saves_and_cancels_rows(
    out: Path, marks: Path, tmp_path: Path, is_sent_to_workers: bool
) -> None:
    script, temporary = tmp_path / "run.py", tmp_path / "temporary"
    script.write_text(SLOW)
    temporary.mkdir()

    with subprocess.Popen(
        [sys.executable, str(script), str(marks), str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path)}, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            wait_until(lambda: calls(marks), seconds=60)
            time.sleep(0.5)  # into the saves
            begun = time.monotonic()
            if is_sent_to_workers:  # as a terminal does
                os.killpg(process.pid, signal.SIGINT)
            else:
                process.send_signal(signal.SIGINT)
            answer, errors = process.communicate(timeout=60)
            ended_seconds = time.monotonic() - begun
        finally:
            process.kill()

    assert (answer, process.returncode) == ("interrupted 0\n", 0), errors
    assert ended_seconds < 20  # the end of the cluster included; a save would last for minutes
    assert os.listdir(out) == []
    assert len(calls(marks)) <= 2
    assert [name for name in os.listdir(temporary) if not name.startswith("dask")] == []


def test_rows_at_work_are_completed_when_the_client_is_killed(
    cluster: StartCluster, out: Path, marks: Path, tmp_path: Path
) -> None:
    client = cluster(2)
    rows = write_chips(tmp_path, 8, side_px=16)
    operator = Sequential([Marks(str(marks), tuple(row["tile"] for row in rows), 1.0), write(out)])
    (tmp_path / "run.pickle").write_bytes(pickle.dumps((rows, operator)))
    code = (
        "import pickle, sys; from distributed import Client; from geotoolz.catalog_ops import CatalogPipeline\n"
        "rows, operator = pickle.load(open(sys.argv[2], 'rb'))\n"
        "CatalogPipeline(rows, operator, executor=Client(sys.argv[1])).run()"
    )

    with subprocess.Popen(
        [sys.executable, "-c", code, client.scheduler.address, str(tmp_path / "run.pickle")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        wait_until(lambda: calls(marks))
        process.kill()
        process.wait(30)
    wait_until(lambda: not client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))
    begun = set(calls(marks))
    wait_until(lambda: {f"{tile}.tif" for tile in begun} == set(os.listdir(out)))

    time.sleep(1)
    assert set(calls(marks)) == begun
    assert len(begun) < 8


def test_closed_client_is_a_clear_error(tmp_path: Path) -> None:
    with running_cluster(1) as client:
        other = distributed.Client(client.cluster, set_as_default=False)
        other.close()

        with pytest.raises(WorkerError, match="has no connection to the scheduler .its status is 'closed'"):
            CatalogPipeline(write_chips(tmp_path, 1), Names(), executor=other).run()


def test_cluster_closed_in_mid_run_is_a_clear_error(marks: Path, tmp_path: Path) -> None:
    with running_cluster(1) as client, ThreadPoolExecutor(1) as pool:
        operator = Sequential([Marks(str(marks), ("T1",), 2.0), Names()])
        run = pool.submit(
            CatalogPipeline(write_chips(tmp_path, 4), operator, executor=client, on_row_error="log_and_continue").run
        )
        wait_until(lambda: calls(marks)["T1"])
        client.cluster.close()

        with pytest.raises(WorkerError, match="the client or the cluster was closed"):
            run.result(30)


@pytest.mark.parametrize("seconds", [0.0, 1.0], ids=["before a result", "between results"])
def test_scheduler_that_is_killed_in_mid_run_is_a_clear_error(marks: Path, tmp_path: Path, seconds: float) -> None:
    operator = Sequential([Marks(str(marks), tuple(f"T{n}" for n in range(20)), 0.3), Names()])

    with running_scheduler(tmp_path) as (scheduler, client), ThreadPoolExecutor(1) as pool:
        run = pool.submit(CatalogPipeline(write_chips(tmp_path, 20, side_px=16), operator, executor=client).run)
        wait_until(lambda: calls(marks))
        time.sleep(seconds)
        scheduler.kill()

        with pytest.raises(WorkerError, match="has no connection to the scheduler"):
            run.result(30)


@contextmanager
def running_scheduler(folder: Path) -> Iterator[tuple[Any, Any]]:
    """Start a scheduler and a worker, each in a process of its own; yield the scheduler's process and a client."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "2s",
    }
    arguments = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(folder / "scheduler")]
    with ExitStack() as stack:

        def start(name: str, *options: str) -> subprocess.Popen[bytes]:
            code = f"from distributed.cli.dask_{name} import main; main()"
            process = subprocess.Popen(
                [sys.executable, "-c", code, *options], env=environment, cwd=folder,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            stack.callback(process.wait, 30)
            stack.callback(process.kill)
            return process

        scheduler = start("scheduler", *arguments)
        wait_until((folder / "scheduler").exists)
        start(
            "worker", "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard",
            "--scheduler-file", str(folder / "scheduler"),
        )  # fmt: skip
        client = stack.enter_context(
            distributed.Client(scheduler_file=str(folder / "scheduler"), set_as_default=False, timeout=5)
        )
        client.wait_for_workers(1, timeout=30)
        yield scheduler, client


def test_rows_wait_for_the_first_worker(tmp_path: Path) -> None:
    with running_cluster(0) as client, ThreadPoolExecutor(1) as pool:
        run = pool.submit(CatalogPipeline(write_chips(tmp_path, 6), Names(), executor=client).run)
        time.sleep(0.5)
        assert not run.done()
        client.cluster.scale(1)

        assert [result.receipt[0] for result in run.result(60)] == [f"T{number}" for number in range(6)]


def test_pipeline_runs_in_a_task_that_leaves_its_thread(cluster: StartCluster, out: Path, tmp_path: Path) -> None:
    client = cluster(1)

    future = client.submit(run_in_task, write_chips(tmp_path, 3), write(out), pure=False)

    assert future.result(60) == ["T0.tif", "T1.tif", "T2.tif"]


def run_in_task(rows: list[dict[str, Any]], operator: Any) -> list[str]:
    with distributed.worker_client() as client:
        return [Path(result.path).name for result in CatalogPipeline(rows, operator, executor=client).run()]
