"""Killed in the middle of an upload: the earlier object or the whole new one.

What remains is what docs/destinations.md says: after SIGKILL the parts of one upload that is not complete, which a
lifecycle rule removes; after Ctrl-C, and SIGTERM with a handler, nothing.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from effort import often
from fault_cases import COMPLETE, CREATE, FIRST_BLOCK, FIRST_PART, LARGE_PUT, LAST_PART, LIST, PUT, SECOND_PART, Point
from fault_places import DESTINATIONS, Front, Maker
from faults.exchange import Gate
from faults.kinds import Hang, HangAnswer
from faults.proxy import Fault
from georeader import GeoTensor, save_cog
from sink_contract import EARLIER, PLACE, PLAIN
from upload_fork_server import PARTED, SMALL, Child, ForkServer, running_fork_server

pytestmark = [
    pytest.mark.fault,
    pytest.mark.server,
    pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="this system has no unnamed files"),
]

#: Longer than this, and the user presses Ctrl-C again. It takes 0.2 to 0.8 s on a machine that does nothing else.
LONGEST_SECONDS = 3.0

#: What is in the system's buffers arrives at the store within so long.
ARRIVAL_SECONDS = 15.0

#: At random moments, of each kind of store.
KILLS = often(25, usually=3)

KILL, TERM, INT = signal.SIGKILL, signal.SIGTERM, signal.SIGINT


@cache
def whole(shape: tuple[int, ...]) -> bytes:
    """The file as it has to be there."""
    values = np.random.default_rng(3).integers(1, 2000, shape).astype("uint16")
    file = BytesIO()
    save_cog(GeoTensor(values, **PLACE, fill_value_default=0), file, profile_arg=PLAIN)
    return file.getvalue()


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServer]:
    with running_fork_server() as fork_server:
        yield fork_server


@pytest.fixture
def front_of(request: pytest.FixtureRequest, use_env: Any) -> Iterator[Callable[[str], Front]]:
    """Return a function that puts the proxy before a destination's server."""
    with ExitStack() as stack:
        yield lambda destination: Maker(request, use_env, stack).make(destination)


def child_of(fork_server: ForkServer, front: Front, folder: Path, shape: tuple[int, ...], **job: Any) -> Child:
    """Have a process save there, with the variables that this one has of the server."""
    env = {name: value for name, value in os.environ.items() if name.startswith(_VARIABLES)}
    return fork_server.save(folder, front.url, env, shape=shape, **job)


_VARIABLES = ("AWS_", "AZURE_", "GOOGLE_", "NO_PROXY", "no_proxy")


def fs_of(destination: str, front: Front) -> dict[str, Any]:
    """Return the arguments with which a child process saves by a filesystem, where the destination is one."""
    if destination != "s3fs":
        return {}
    server = front.server
    options = {"key": server.key, "secret": server.secret, "endpoint_url": front.proxy.url}
    return {"fs": ["s3", options | {"client_kwargs": {"region_name": server.region}}]}


def soon(holds: Callable[[], object], within_seconds: float = ARRIVAL_SECONDS) -> bool:
    deadline = time.monotonic() + within_seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


#: Where each destination is struck: destination, request, bytes of its body (None: when it was done, but not answered).
MOMENTS: list[tuple[str, Point, int | None]] = [
    ("s3", CREATE, 0),
    ("s3", FIRST_PART, 0),
    ("s3", SECOND_PART, 1_000_000),
    ("s3", LAST_PART, None),
    ("s3", COMPLETE, 0),
    ("s3", COMPLETE, None),
    ("s3", PUT, 1_000_000),
    ("s3", PUT, None),
    ("s3fs", SECOND_PART, 1_000_000),
    ("azure", PUT, 1_000_000),
    ("azure", FIRST_BLOCK, 1_000_000),
    ("azure", LIST, 0),
    ("sas", PUT, 1_000_000),
    ("gcs", PUT, 1_000_000),
    ("gcs", SECOND_PART, 1_000_000),
    ("gcs", COMPLETE, 0),
    ("http", PUT, 1_000_000),
    ("http", PUT, None),
    ("http", LARGE_PUT, 10_000_000),
]


def moment_id(moment: object) -> str:
    """Stays the same from run to run."""
    if isinstance(moment, Point):
        return moment.name
    return "done" if moment is None else str(moment).replace(" ", "-")


def is_cleaned(destination: str, how: str, point: Point) -> bool:
    """Whether nothing is to be left open in the store; docs/destinations.md, "What remains when something dies"."""
    if destination == "gcs":  # obstore aborts no upload of which it has sent all
        return how in ("INT", "handled TERM") and point is not COMPLETE
    return destination in ("s3", "s3fs") and how in ("INT", "handled TERM")


#: A handler that raises is as good as Ctrl-C, and SIGTERM without one as good as SIGKILL: some are enough.
HOW = [
    (how, *moment)
    for number, moment in enumerate(MOMENTS)
    for how in ("KILL", "INT", *(("TERM",) if number % 4 == 2 else ()), *(("handled TERM",) if number % 4 == 3 else ()))
]


@pytest.mark.covering(
    columns=lambda how, destination, point, body_bytes: ((destination, how), (destination, point.name, body_bytes)),
)
@pytest.mark.parametrize(("how", "destination", "point", "body_bytes"), HOW, ids=moment_id)
def test_a_kill_at_a_known_request_leaves_the_earlier_object_or_the_whole_new_one(
    how: str, destination: str, point: Point, body_bytes: int | None,
    front_of: Any, fork_server: ForkServer, tmp_path: Path, record_property: Any,
) -> None:  # fmt: skip
    front, gate = front_of(destination), Gate()
    front.put(EARLIER)
    hang = HangAnswer(gate) if body_bytes is None else Hang(gate, body_bytes)
    front.proxy.add(Fault(point.when, hang, skip=point.skip))
    shape = PARTED if point.is_large else SMALL
    child = child_of(
        fork_server, front, tmp_path, shape, handles_term=how == "handled TERM", **fs_of(destination, front)
    )
    was_reached = gate.reached.wait(20)
    time.sleep(0.02)  # clients wait for the answer by now
    begun = time.perf_counter()
    child.signal({"KILL": KILL, "INT": INT}.get(how, TERM))
    status = child.wait()
    seconds = time.perf_counter() - begun
    gate.open()

    record_property("faults", 1)
    assert was_reached
    assert soon(lambda: front.content() in (EARLIER, whole(shape))), len(front.content() or b"")
    if body_bytes is not None and point.is_large:  # what is small is in the system's buffers, and arrives after death
        assert front.content() == EARLIER
    if is_cleaned(destination, how, point):
        assert soon(lambda: not front.open_uploads()), front.open_uploads()
    else:
        assert_one_upload_remains_at_most(front)
    assert child.left_over() == []
    if how == "INT":
        assert "KeyboardInterrupt" in child.errors
        assert seconds < LONGEST_SECONDS
    elif how == "handled TERM":
        assert os.waitstatus_to_exitcode(status) == 143
        assert seconds < LONGEST_SECONDS
    else:
        assert os.waitstatus_to_exitcode(status) == -{"KILL": KILL, "TERM": TERM}[how]


def assert_one_upload_remains_at_most(front: Front) -> None:
    """It is one that AbortIncompleteMultipartUpload finds: of this object, begun and not completed."""
    found = front.open_uploads()
    assert len(found) <= 1
    assert [one["Key"] for one in found] in ([], [front.key])


@pytest.mark.parametrize("how", ["KILL", "INT"])
@pytest.mark.parametrize("destination", ["s3", "s3fs"])
def test_kill_before_the_creation_response_leaves_one_open_upload(
    destination: str, how: str, front_of: Any, fork_server: ForkServer, tmp_path: Path, record_property: Any
) -> None:
    """The store has an upload whose id no client has received."""
    front, gate = front_of(destination), Gate()
    front.proxy.add(Fault(CREATE.when, HangAnswer(gate)))

    child = child_of(fork_server, front, tmp_path, PARTED, **fs_of(destination, front))
    assert gate.reached.wait(20)
    soon(front.open_uploads)
    child.signal({"KILL": KILL, "INT": INT}[how])
    child.wait()
    gate.open()

    record_property("faults", 1)
    assert front.content() is None
    assert child.left_over() == []
    assert_one_upload_remains_at_most(front)


def lifetime(fork_server: ForkServer, front: Front, folder: Path, shape: tuple[int, ...]) -> float:
    """How long a save takes that is not killed."""
    begun = time.perf_counter()
    child = child_of(fork_server, front, folder, shape)
    assert os.waitstatus_to_exitcode(child.wait()) == 0, child.errors
    return time.perf_counter() - begun


@pytest.mark.parametrize(
    ("destination", "shape", "kills", "seed"),
    [
        ("s3", PARTED, KILLS, 1),
        pytest.param("s3", PARTED, KILLS, 2, marks=pytest.mark.thorough),
        ("http", PARTED, KILLS, 3),
    ],
    ids=["s3-1", "s3-2", "http"],
)
def test_kills_at_random_moments_leave_whole_objects(
    destination: str, shape: tuple[int, ...], kills: int, seed: int,
    front_of: Any, fork_server: ForkServer, tmp_path: Path, record_property: Any,
) -> None:  # fmt: skip
    front, chance = front_of(destination), random.Random(seed)
    longest_seconds = max(lifetime(fork_server, front, tmp_path, shape) for _ in range(2))

    for number in range(kills):
        front.put(EARLIER)
        after_seconds, how = chance.uniform(0, longest_seconds), chance.choice((KILL, KILL, TERM, INT))
        child = child_of(fork_server, front, tmp_path, shape)
        time.sleep(after_seconds)
        child.signal(how)
        child.wait()
        said = f"kill {number}: {how.name} after {after_seconds:.2f} s"
        assert soon(lambda: front.content() in (EARLIER, whole(shape))), said
        if how is INT:
            assert soon(lambda: not front.open_uploads()), (said, front.open_uploads())
        assert_one_upload_remains_at_most(front)
        for upload in front.open_uploads():  # as the lifecycle rule does
            front.abort(upload)
        assert child.left_over() == [], said

    record_property("faults", kills)


class TestFullDisk:
    """The folder for temporary files takes no more than some MB: a limit of the process, as if its disk were full."""

    @pytest.mark.parametrize("limit_bytes", [1_000_000, 20_000_000])
    @pytest.mark.parametrize("destination", ["azure", "gcs", "http", "sas", "memory"])
    def test_spooled_files_disappear_after_a_kill(
        self,
        destination: str,
        limit_bytes: int,
        front_of: Any,
        fork_server: ForkServer,
        tmp_path: Path,
        record_property: Any,
    ) -> None:
        front = front_of(destination) if destination in DESTINATIONS else None
        if front is None:
            child = fork_server.save(tmp_path, "memory://folder/raster", {}, limit_bytes=limit_bytes)
        else:
            front.put(EARLIER)
            child = child_of(fork_server, front, tmp_path, PARTED, limit_bytes=limit_bytes)

        assert os.waitstatus_to_exitcode(child.wait()) == 1

        record_property("faults", 1)
        assert "georeader.errors.WriteError: " in child.errors
        assert f"a temporary file in '{tmp_path / 'scratch'}'" in child.errors
        assert "File too large" in child.errors
        assert child.left_over() == []
        assert front is None or front.content() == EARLIER

    def test_full_disk_while_spooling_overviews_is_an_error(
        self, front_of: Any, fork_server: ForkServer, tmp_path: Path, record_property: Any
    ) -> None:
        front = front_of("s3")
        front.put(EARLIER)

        child = child_of(
            fork_server, front, tmp_path, PARTED, limit_bytes=100_000, is_lazy=True, options={"max_memory": "9MiB"}
        )

        assert os.waitstatus_to_exitcode(child.wait()) == 1
        record_property("faults", 1)
        assert "georeader.errors.WriteError: " in child.errors
        assert str(tmp_path / "scratch") in child.errors
        assert front.content() == EARLIER
        assert child.left_over() == []
        assert soon(lambda: not front.open_uploads()), front.open_uploads()
