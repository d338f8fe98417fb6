"""Killed at any moment, a save leaves the earlier file or the whole new one, and nothing else."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from effort import often

KILLS = often(120, usually=16)

#: So many more where the machine is so busy that no save has come to its end; each is given a fifth more time.
MORE = 20

#: Imports once, then forks a process that saves for each line that it is sent, and buries it at the next line.
FORK_SERVER = textwrap.dedent("""
    import os, sys
    import numpy as np
    from affine import Affine
    from georeader import GeoTensor, save_cog

    path, kind = sys.argv[1:3]
    values = np.random.default_rng(0).integers(0, 2**16, (1, 1500, 1500)).astype("uint16")
    tensor = GeoTensor(values, Affine(10, 0, 0, 0, -10, 0), "EPSG:3857", 0)

    class Lazy:
        shape, dtype, transform, crs = tensor.shape, tensor.dtype, tensor.transform, tensor.crs
        fill_value_default = tensor.fill_value_default

        def read_from_window(self, window):
            return tensor.read_from_window(window)

    source, options = (tensor, {}) if kind == "in memory" else (Lazy(), {"max_memory": "12MiB"})  # which spools
    print("ready", flush=True)
    while sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            save_cog(source, path, profile_arg={"compress": "deflate", "LEVEL": 1, "predictor": 2}, **options)
            os._exit(0)
        print(pid, flush=True)
        sys.stdin.readline()  # until then its process id is not reused
        os.waitpid(pid, 0)
        print("gone", flush=True)
""")

pytestmark = [
    pytest.mark.fault,
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="this system has no unnamed files"),
]


@pytest.fixture
def fork_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "folder").mkdir()
    (tmp_path / "temporary").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", FORK_SERVER, str(tmp_path / "folder" / "out.tif"), request.param],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"TMPDIR": str(tmp_path / "temporary")},
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()
        assert process.wait(10) == 0


def save(fork_server: subprocess.Popen[str], kill_after_seconds: float | None, how: signal.Signals) -> float:
    """Start a process that saves, kill it after a while, and return how long it lived."""
    fork_server.stdin.write("save\n")
    fork_server.stdin.flush()
    pid = int(fork_server.stdout.readline())
    begun = time.perf_counter()
    if kill_after_seconds is not None:
        time.sleep(kill_after_seconds)
        os.kill(pid, how)
    fork_server.stdin.write("wait\n")
    fork_server.stdin.flush()
    assert fork_server.stdout.readline() == "gone\n"
    return time.perf_counter() - begun


def between_the_link_and_the_rename(folder: Path, whole: bytes) -> int:
    """Return whether a kill fell into those microseconds: then the folder for temporary files has the whole file."""
    found = list(folder.iterdir())
    for left in found:
        assert left.read_bytes() == whole
        left.unlink()
    assert len(found) <= 1
    return len(found)


@pytest.mark.parametrize(
    ("fork_server", "how", "kills"),
    [
        ("in memory", signal.SIGKILL, KILLS),
        ("in memory", signal.SIGTERM, KILLS // 4),
        ("streams", signal.SIGKILL, KILLS // 2),
    ],
    indirect=["fork_server"],
)
def test_kill_leaves_the_earlier_file_or_the_whole_new_one(
    how: signal.Signals, kills: int, fork_server: subprocess.Popen[str], tmp_path: Path
) -> None:
    path = tmp_path / "folder" / "out.tif"
    longest_seconds = max(save(fork_server, None, how) for _ in range(3))
    whole = path.read_bytes()
    chance = random.Random(20261122)
    outcomes = {"earlier": 0, "new": 0}
    struck_between = 0

    for number in range(kills + MORE):
        if number >= kills and outcomes["new"]:
            break
        earlier = None if number % 2 else b"the earlier file"
        path.unlink(missing_ok=True)
        if earlier is not None:
            path.write_bytes(earlier)
        after_seconds = chance.uniform(0, longest_seconds) if number < kills else longest_seconds
        save(fork_server, after_seconds, how)
        found = {entry.name: entry.read_bytes() for entry in path.parent.iterdir()}
        outcome = "new" if found.get("out.tif") == whole else "earlier"
        outcomes[outcome] += 1
        if outcome == "earlier" and after_seconds > 0.7 * longest_seconds:
            longest_seconds *= 1.2  # the machine is busier than it was: let some saves come to their end
        expected = {"out.tif": whole} if outcome == "new" else {"out.tif": earlier} if earlier else {}
        assert found == expected, f"kill {number}"
        left = between_the_link_and_the_rename(tmp_path / "temporary", whole)
        assert not left or (earlier is not None and outcome == "earlier"), f"kill {number}"
        struck_between += left

    assert struck_between <= 2
    # Both happened, so the kills did strike in mid-save.
    assert min(outcomes.values()) > 0
