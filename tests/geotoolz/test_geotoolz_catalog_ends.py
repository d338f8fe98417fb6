"""How a run of a catalog ends: Ctrl-C, processes that die, and what is left in the folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from georeader.errors import ReadError
from geotoolz import Sequential, WorkerError
from geotoolz.catalog_ops import CatalogPipeline, WriteCOG
from geotoolz.indices import NDVI
from geotoolz_helpers import Fails, Names, write_chips
from places import SUPPORT

pytestmark = pytest.mark.slow

#: Longer than this, and the user presses Ctrl-C again. It takes 0.2 to 0.8 s on a machine that does nothing else.
LONGEST_SECONDS = 3.0

#: Works on a catalog whose saves last for minutes, and says when it is at them.
SLOW = textwrap.dedent("""
    import sys, time, threading
    from dataclasses import dataclass
    import numpy as np
    from geotoolz import Operator, Sequential
    from geotoolz.catalog_ops import CatalogPipeline, WriteCOG
    from georeader import GeoTensor

    def make(side_px):
        values = np.random.default_rng(0).integers(0, 9999, (1, 256, 256), dtype="uint16")
        values = np.tile(values, (1, side_px // 256, side_px // 256))
        return GeoTensor(values, (10, 0, 0, 0, -10, 0), 3857, 0)

    @dataclass(frozen=True, eq=False, repr=False)
    class Waits(Operator):
        seconds: float

        def apply(self, gt):
            if gt.attrs["row"]["tile"] == "late":
                say("at it")
                time.sleep(self.seconds)
            return gt

    def say(line):
        sys.stdout.write(line + "\\n")
        sys.stdout.flush()

    def tell(done, total):
        if done == 1:
            say("at it")

    if __name__ == "__main__":
        executor, workers, how, folder = sys.argv[1:5]
        rows = [{"path": 512, "tile": "first"}] + [{"path": 16384, "tile": f"T{n}"} for n in range(20)]
        if how == "hangs":
            rows = [{"path": 512, "tile": "late"}] + [{"path": 512, "tile": f"T{n}"} for n in range(1)]
        write = WriteCOG(folder + "/{tile}.tif", profile_arg={"compress": "lzma"})
        op = Sequential([Waits(60.0), write]) if how == "hangs" else write
        pipeline = CatalogPipeline(
            rows, op, reader=make, n_workers=int(workers), executor=executor, progress=tell if how != "hangs" else False
        )
        try:
            pipeline.run()
        except KeyboardInterrupt:
            say("interrupted")
            say("threads " + str(threading.active_count()))
""")


@pytest.mark.skipif(sys.platform == "win32", reason="a signal cannot be sent to one process alone")
@pytest.mark.parametrize(
    ("executor", "workers", "how"),
    [
        ("thread", 2, "saves"),
        ("process", 2, "hangs"),
        pytest.param("thread", 1, "saves", marks=pytest.mark.thorough),
        pytest.param("thread", 2, "hangs", marks=pytest.mark.thorough),
        pytest.param("process", 2, "saves", marks=pytest.mark.thorough),
    ],
)
def test_interrupt_ends_the_run_soon_and_keeps_finished_rows(
    executor: str, workers: int, how: str, tmp_path: Path
) -> None:
    script, out = tmp_path / "run.py", tmp_path / "out"
    script.write_text(SLOW)
    out.mkdir()

    with tempfile.TemporaryDirectory() as temporary, subprocess.Popen(
        [sys.executable, str(script), executor, str(workers), how, str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": temporary},
        start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "at it\n"
        time.sleep(0.4)  # into the next saves
        begun = time.perf_counter()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to its processes, too
        answer = process.stdout.readline()
        answered_seconds = time.perf_counter() - begun
        threads = process.stdout.readline()
        process.wait(30)
        ended_seconds = time.perf_counter() - begun
        errors = process.stderr.read()
        left_over = os.listdir(temporary)

    assert (answer, errors, process.returncode) == ("interrupted\n", "", 0)
    assert answered_seconds < LONGEST_SECONDS
    assert ended_seconds < 2 * LONGEST_SECONDS
    if how == "saves":
        assert threads == "threads 1\n"
        assert [path.name for path in out.glob("*.tif")] == ["first.tif"]
    else:
        assert not (out / "late.tif").exists()
    assert left_over == [path.name for path in out.iterdir() if path.suffix != ".tif"] == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no groups of processes to look for")
@pytest.mark.parametrize("executor", ["thread", "process"])
def test_killed_run_leaves_no_processes_or_temporary_files(executor: str, tmp_path: Path) -> None:
    script, out, temporary = tmp_path / "run.py", tmp_path / "out", tmp_path / "temporary"
    script.write_text(SLOW)
    out.mkdir()
    temporary.mkdir()

    with subprocess.Popen(
        [sys.executable, str(script), executor, "2", "saves", str(out)],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(temporary)}, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "at it\n"
        process.kill()
        process.wait(30)
        group = process.pid

    assert soon(lambda: not is_there(group))
    assert os.listdir(temporary) == []
    assert sorted(path.name for path in out.iterdir()) == ["first.tif"]


def is_there(group: int) -> bool:
    """Return whether a group still has a process."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def soon(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def run(tmp_path: Path, *operators: Any, count: int = 4, **options: Any) -> list[Any]:
    (tmp_path / "out").mkdir()
    rows = write_chips(tmp_path, count)
    operator = Sequential([*operators, WriteCOG(str(tmp_path / "out" / "{tile}.tif"))])
    return CatalogPipeline(rows, operator, executor="process", **options).run()


def test_processes_write_the_files_of_all_rows(tmp_path: Path) -> None:
    results = run(tmp_path, NDVI(0, 1), n_workers=2)

    assert [Path(result.path).name for result in results] == ["T0.tif", "T1.tif", "T2.tif", "T3.tif"]
    assert all(result.receipt.size_bytes == Path(result.path).stat().st_size for result in results)


def test_rows_are_processed_in_other_processes(tmp_path: Path) -> None:
    results = CatalogPipeline(write_chips(tmp_path, 4), Names(), executor="process", n_workers=2).run()

    assert [result.receipt[0] for result in results] == ["T0", "T1", "T2", "T3"]
    assert os.getpid() not in {result.receipt[1] for result in results}


def test_process_that_dies_is_an_error_of_its_row_only(tmp_path: Path) -> None:
    results = run(tmp_path, Fails(tiles=("T1",), how="kill"), NDVI(0, 1), n_workers=2, on_row_error="log_and_continue")

    assert [type(result.error) for result in results] == [type(None), WorkerError, type(None), type(None)]
    assert "row 1 ended (exit code -9) without an answer" in str(results[1].error)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["T0.tif", "T2.tif", "T3.tif"]


def test_a_queued_row_is_processed_after_the_process_died_on_another(tmp_path: Path) -> None:
    results = run(
        tmp_path, Fails(tiles=("T3",), how="kill"), NDVI(0, 1), n_workers=1, count=6, on_row_error="log_and_continue"
    )

    assert [type(result.error) for result in results] == [*[type(None)] * 3, WorkerError, *[type(None)] * 2]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"T{n}.tif" for n in (0, 1, 2, 4, 5)]


def test_a_queued_row_is_not_begun_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no T3, please") as caught:
        run(tmp_path, Fails(tiles=("T3",)), NDVI(0, 1), n_workers=1, count=6)

    assert [result.index for result in caught.value.results] == [0, 1, 2, 3]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["T0.tif", "T1.tif", "T2.tif"]


def test_errors_of_processes_have_their_traceback(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no T0, please") as caught:
        run(tmp_path, Fails(tiles=("T0",)), n_workers=1)

    assert "in apply" in "".join(caught.value.__notes__)
    assert [result.index for result in caught.value.results] == [0]


def test_an_error_that_cannot_be_pickled_is_replaced_by_worker_error(tmp_path: Path) -> None:
    results = run(tmp_path, Fails(tiles=("T0",), how="odd"), n_workers=1, count=2, on_row_error="log_and_continue")

    assert isinstance(results[0].error, WorkerError)
    assert "a OddError cannot be sent from one process to another: 1 and 2 do not fit" in str(results[0].error)
    assert results[1].error is None


def test_reading_errors_keep_their_kind_across_processes(tmp_path: Path) -> None:
    rows = [{"path": str(tmp_path / "missing.tif"), "tile": "x"}]

    with pytest.raises(ReadError, match="missing.tif"):
        CatalogPipeline(rows, Names(), executor="process").run()


def test_a_script_without_main_guard_raises_an_error_that_names_it(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(SUPPORT)!r})\n"
        "from geotoolz.catalog_ops import CatalogPipeline\n"
        "from geotoolz_helpers import Names\n"
        "CatalogPipeline([{'path': 'a.tif'}], Names(), executor='process').run()\n"
    )

    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 1
    assert "cannot be started" in done.stderr.splitlines()[-1]
    assert '__name__ == "__main__"' in done.stderr.splitlines()[-1]
