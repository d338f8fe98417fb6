"""Killed, interrupted, or out of room in the middle of an edit: the earlier file or the whole edited one, no other."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import rasterio

from effort import often
from fault_places import Front, Maker
from faults.exchange import Gate, Request
from faults.kinds import Hang, HangAnswer
from faults.proxy import Fault, Match
from georeader import GeoTensor, edit_cog, save_cog, save_tiled_geotiff
from upload_fork_server import Child, ForkServer, running_fork_server

pytestmark = [
    pytest.mark.fault,
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="this system has no unnamed files"),
]

KILLS = often(100, usually=10)

#: So many more where no edit, or each, has come to its end.
MORE = 20

EDIT = {"tags": {"checked": "yes"}, "descriptions": ["one", "two"]}

#: A COG is copied as one range, a tiled GeoTIFF tile by tile.
LAYOUTS = {"COG": save_cog, "tiled": save_tiled_geotiff}

#: Metadata in a file beside it.
PAM = "<PAMDataset><Metadata><MDI key='beside'>yes</MDI></Metadata></PAMDataset>"

#: What is sent to a store arrives within so long.
ARRIVAL_SECONDS = 15.0


@cache
def contents_of(layout: str) -> tuple[bytes, bytes]:
    """Return a file of 11 MB before and after the edit."""
    values = np.random.default_rng(3).integers(1, 2000, (2, 1500, 1500)).astype("uint16")
    tensor = GeoTensor(values, (10, 0, 500000, 0, -10, 4000000), "EPSG:32630", fill_value_default=0)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "scene.tif"
        LAYOUTS[layout](tensor, path, profile_arg={"compress": "none"})
        before = path.read_bytes()
        edit_cog(path, **EDIT)
        return before, path.read_bytes()


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServer]:
    with running_fork_server() as fork_server:
        yield fork_server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "scene.tif"


def edit(fork_server: ForkServer, path: Path, **job: Any) -> Child:
    return fork_server.save(path.parent.parent, str(path), {}, edit=EDIT, **job)


# A local file.


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_kill_leaves_the_earlier_file_or_the_whole_edited_one(
    layout: str, fork_server: ForkServer, path: Path
) -> None:
    before, after = contents_of(layout)
    chance, outcomes, longest_seconds = random.Random(20261130), {before: 0, after: 0}, 0.0
    for _ in range(3):
        path.write_bytes(before)
        begun = time.perf_counter()
        edit(fork_server, path).wait()
        longest_seconds = max(longest_seconds, time.perf_counter() - begun)
        assert path.read_bytes() == after
    struck_between = 0

    for number in range(KILLS + MORE):
        if number >= KILLS and min(outcomes.values()):
            break
        path.write_bytes(before)
        child = edit(fork_server, path)
        time.sleep(chance.uniform(0, 1.3 * longest_seconds))
        child.signal(signal.SIGKILL)
        child.wait()
        found = path.read_bytes()
        assert found in outcomes, f"kill {number}: {len(found)} bytes"
        outcomes[found] += 1
        assert os.listdir(path.parent) == [path.name], f"kill {number}"
        struck_between += _between_the_link_and_the_rename(child, path, after)

    assert struck_between <= 2
    assert min(outcomes.values()) > 0  # so the kills did strike in mid-edit


def _between_the_link_and_the_rename(child: Child, path: Path, after: bytes) -> int:
    """Return whether a kill fell into those microseconds: the folder for temporary files then has the whole file."""
    left = [path.parent.parent / "scratch" / name for name in child.left_over()]
    for file in left:
        assert file.read_bytes() == after
        file.unlink()
    return len(left)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_full_disk_leaves_the_earlier_file(layout: str, fork_server: ForkServer, path: Path) -> None:
    before, after = contents_of(layout)
    path.write_bytes(before)

    for share in (0.01, 0.3, 0.9, 0.999):  # the least holds the traceback
        child = edit(fork_server, path, limit_bytes=int(share * len(after)))

        assert os.waitstatus_to_exitcode(child.wait()) == 1
        assert f"georeader.errors.WriteError: [Errno 27] {str(path)!r}: " in child.errors
        assert "File too large" in child.errors
        assert path.read_bytes() == before
        assert os.listdir(path.parent) == [path.name]
        assert child.left_over() == []


def test_a_kill_leaves_metadata_beside_the_earlier_file(fork_server: ForkServer, path: Path) -> None:
    before, _ = contents_of("COG")
    beside, chance, seconds = path.with_name("scene.tif.aux.xml"), random.Random(1130), 0.0
    outcomes: set[tuple[bool, bool]] = set()

    for number in range(KILLS + 1):
        path.write_bytes(before)
        beside.write_text(PAM)
        child, begun = edit(fork_server, path), time.perf_counter()
        if number:
            time.sleep(chance.uniform(0, 1.2 * seconds))
            child.signal(signal.SIGKILL)
        child.wait()
        seconds = seconds or time.perf_counter() - begun
        with rasterio.open(path) as dataset:
            assert dataset.tags()["beside"] == "yes", f"kill {number}"
        outcomes.add((path.read_bytes() == before, beside.exists()))

    assert (False, False) in outcomes
    assert (True, False) not in outcomes


# An object that its store copies.


def _is_copy(request: Request) -> bool:
    return "x-amz-copy-source" in request.headers


COMPLETE = Match("POST", query_contains="uploadId=")


@pytest.fixture
def front(request: pytest.FixtureRequest, use_env: Any) -> Iterator[Front]:
    with ExitStack() as stack:
        yield Maker(request, use_env, stack).make("s3")


def _soon(holds: Callable[[], object]) -> bool:
    until = time.monotonic() + ARRIVAL_SECONDS
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.server
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize(
    ("when", "is_done"), [(_is_copy, False), (_is_copy, True), (COMPLETE, False), (COMPLETE, True)],
    ids=["copy", "copy done", "complete", "complete done"],
)  # fmt: skip
def test_a_kill_while_the_store_copies_leaves_the_earlier_object_or_the_whole_edited_one(
    when: Callable[[Request], bool], is_done: bool, how: signal.Signals, front: Front, fork_server: ForkServer,
    tmp_path: Path,
) -> None:  # fmt: skip
    before, after = contents_of("COG")
    front.put(before)
    gate = Gate()
    front.proxy.add(Fault(when, HangAnswer(gate) if is_done else Hang(gate, 0)))
    env = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "NO_PROXY"))}
    child = fork_server.save(tmp_path, front.url, env, edit=EDIT)
    was_reached = gate.reached.wait(20)
    time.sleep(0.02)  # clients wait for the answer by now

    child.signal(how)
    child.wait()
    gate.open()

    assert was_reached, child.errors
    assert _soon(lambda: front.content() in (before, after))
    if when is _is_copy or not is_done:
        assert front.content() == before
    if how == signal.SIGINT:
        assert "KeyboardInterrupt" in child.errors
        assert _soon(lambda: not front.open_uploads()), front.open_uploads()
    else:  # one remains at most, which a lifecycle rule finds (docs/destinations.md)
        assert [one["Key"] for one in front.open_uploads()] in ([], [front.key])
    assert child.left_over() == []
