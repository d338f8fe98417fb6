"""Workers that are killed in the middle of a save: the same file or one clear error, and nothing is left."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster_rasters import Painter, difference, visited
from cluster_stores import EARLIER, LAST_CHUNK, PAINTER, PLAIN, Bucket, large, set_small_parts
from dask_cluster import worker_pids
from effort import often
from fault_cases import SECOND_PART
from faults.exchange import Gate
from faults.kinds import HangAnswer
from faults.proxy import Fault
from georeader import save_cog
from georeader.errors import GeoreaderError

pytest.importorskip("distributed", reason="distributed is not installed")
cluster_watch = pytest.importorskip("cluster_watch")

pytestmark = [
    pytest.mark.fault,
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

#: At random moments, of each kind of destination.
KILLS = often(30, usually=1)

#: Workers of the cluster; each that is killed is replaced.
WORKERS = 2

#: Longest time of a save, kills included.
PATIENCE_SECONDS = 90.0


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    set_small_parts(monkeypatch)


@dataclass(frozen=True)
class Target:
    """A destination as these tests see it."""

    path: Any
    content: Callable[[], bytes | None]
    put: Callable[[bytes], Any]
    left_over: Callable[[], list[Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Target:
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "raster.tif"
    return Target(
        path,
        lambda: path.read_bytes() if path.exists() else None,
        path.write_bytes,
        lambda: sorted(set(os.listdir(path.parent)) - {path.name}),
    )


@pytest.fixture
def s3(bucket: Bucket) -> Target:
    return Target(
        bucket.url, bucket.content, lambda content: bucket.server.put(bucket.key, content), bucket.server.open_uploads
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file as it has to be there."""
    path = tmp_path_factory.mktemp("whole") / "out.tif"
    save_cog(large(), path, profile_arg=PLAIN, client=False)
    return path.read_bytes()


def save(painter: Painter, target: Target, client: Any) -> Any:
    return cluster_watch.within(
        PATIENCE_SECONDS, lambda: save_cog(large(painter), target.path, client=client, profile_arg=PLAIN)
    )


def duration(painter: Painter, target: Target, client: Any) -> float:
    """Return how long a save takes without a kill, in seconds."""
    begun = time.perf_counter()
    save(painter, target, client)
    return time.perf_counter() - begun


@dataclass
class Killer:
    """Kills workers after a while, in a thread.

    Attributes:
        has_struck_in_mid_run: Whether the save was under way when the last was killed.
    """

    client: Any
    pids: list[int]
    after_seconds: float
    is_saving: bool = True
    has_struck_in_mid_run: bool = False

    def run(self) -> None:
        time.sleep(self.after_seconds)
        self.has_struck_in_mid_run = self.is_saving
        for pid in self.pids:
            cluster_watch.kill(pid)


def save_with_kills(painter: Painter, target: Target, killer: Killer) -> GeoreaderError | None:
    """Save while workers are killed; return the error, and wait until the cluster is whole again."""
    thread = threading.Thread(target=killer.run)
    thread.start()
    error = None
    try:
        save(painter, target, killer.client)
    except GeoreaderError as caught:
        error = caught
    finally:
        killer.is_saving = False
        thread.join()
        cluster_watch.await_workers(killer.client, WORKERS, without=killer.pids)
    return error


@pytest.mark.parametrize("destination", [pytest.param("folder", marks=pytest.mark.thorough), "s3"])
def test_workers_killed_at_random_moments_leave_the_same_file_or_one_error_and_nothing_else(
    destination: str, start_s3_workers: Callable[[], Any], whole: bytes,
    request: pytest.FixtureRequest, tmp_path: Path, record_property: Any,
) -> None:  # fmt: skip
    target, client = request.getfixturevalue(destination), start_s3_workers()
    before = cluster_watch.tasks(client)
    chance = random.Random(f"kills of {destination}")
    painter = visited(PAINTER, tmp_path / "calls", wait_seconds=0.03)
    seconds = min(duration(painter, target, client) for _ in range(2))
    outcomes: Counter[str] = Counter()

    for number in range(3 * KILLS):
        if outcomes["struck"] == KILLS:
            break
        earlier = EARLIER if number % 2 else b"another earlier file"
        target.put(earlier)
        pids = sorted(worker_pids(client).values())
        killer = Killer(client, chance.sample(pids, 1 + (number % 5 == 4)), chance.uniform(0.05, 0.95) * seconds)
        error = save_with_kills(painter, target, killer)
        said = f"kill {number} of {killer.pids} after {killer.after_seconds:.2f} s: {error}"
        outcomes["struck" if killer.has_struck_in_mid_run else "missed"] += 1
        seconds *= 1 if killer.has_struck_in_mid_run else 0.8
        outcomes["error" if error else "whole"] += 1
        if error is None:
            assert difference(target.content() or b"", whole) == "", said
        else:
            assert target.content() == earlier, said
            assert "worker" in str(error), said
        assert cluster_watch.soon(lambda: not target.left_over()), (said, target.left_over())
        cluster_watch.assert_no_task_is_left(client, before)

    record_property("faults", outcomes["struck"])
    assert outcomes["struck"] == KILLS
    assert outcomes["whole"] >= KILLS / 2


def test_every_worker_killed_once_is_the_same_file(
    folder: Target, start_s3_workers: Callable[[], Any], whole: bytes, tmp_path: Path, record_property: Any
) -> None:
    client = start_s3_workers()
    painter = visited(PAINTER, tmp_path / "calls", wait_seconds=0.03)
    killer = Killer(client, sorted(worker_pids(client).values()), 0.5)

    error = save_with_kills(painter, folder, killer)

    record_property("faults", len(killer.pids))
    assert killer.has_struck_in_mid_run
    assert error is None
    assert difference(folder.content() or b"", whole) == ""
    assert folder.left_over() == []


def test_part_whose_sender_is_killed_before_the_answer_is_sent_again(
    s3: Target, bucket: Bucket, whole: bytes, record_property: Any
) -> None:
    """The store has the part; the task that sent it runs again."""
    gate, client = Gate(), bucket.client
    bucket.proxy.add(Fault(SECOND_PART.when, HangAnswer(gate), skip=SECOND_PART.skip))
    pids = sorted(worker_pids(client).values())

    def strike() -> None:
        gate.reached.wait(30)
        for pid in pids:
            cluster_watch.kill(pid)
        gate.open()

    thread = threading.Thread(target=strike)
    thread.start()
    save(PAINTER, s3, client)
    thread.join()

    record_property("faults", len(pids))
    assert gate.reached.is_set()
    assert difference(s3.content() or b"", whole) == ""
    assert s3.left_over() == []
    cluster_watch.await_workers(client, WORKERS, without=pids)


@pytest.mark.parametrize("destination", ["folder", "s3"])
def test_chunk_that_kills_each_of_its_workers_is_one_error_and_leaves_nothing(
    destination: str, start_s3_workers: Callable[[], Any], request: pytest.FixtureRequest, tmp_path: Path,
    record_property: Any,
) -> None:  # fmt: skip
    target, client = request.getfixturevalue(destination), start_s3_workers()
    before = cluster_watch.tasks(client)
    target.put(EARLIER)
    painter = visited(PAINTER, tmp_path / "calls", kills_at=LAST_CHUNK, wait_seconds=0.05)

    with cluster_watch.allowed_failures(client, 0), pytest.raises(GeoreaderError, match="worker") as caught:
        save(painter, target, client)

    record_property("faults", 1)
    assert not isinstance(caught.value, BaseExceptionGroup)
    assert target.content() == EARLIER
    assert cluster_watch.soon(lambda: not target.left_over()), target.left_over()
    cluster_watch.await_workers(client, WORKERS)
    cluster_watch.assert_no_task_is_left(client, before)
