"""Runs servers of the tests: a process at free ports, with a folder that is removed when it ends.

Not in a thread of the tests: rasterio holds the interpreter's lock in some of the calls in which GDAL waits for an
answer, so a thread could never give it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

#: How long a server may take to answer: they need some seconds, and a machine may be busy with the other tests.
_PATIENCE_SECONDS = 60

#: How often a server is started anew: a port that was free a moment ago may be taken when the server wants it.
_TRIES = 3


@dataclass(frozen=True)
class Plan:
    """How to run a server.

    Attributes:
        name: What to call it, in a word.
        ports: How many it needs.
        command: (ports, its folder) -> its command line.
        is_up: (ports) -> whether it does what the tests need; an OSError, too, says that it does not yet.
        kill: Whether to stop it at once, for one that takes long to say farewell.
        variables: What it has in its environment beside the little that `_environment` leaves.
    """

    name: str
    ports: int
    command: Callable[[list[int], Path], Sequence[str]]
    is_up: Callable[[list[int]], bool]
    kill: bool = False
    variables: dict[str, str] = field(default_factory=dict)


def need(server: str, how_to_install: str | None) -> None:
    """Skip the test where a server is not installed; fail it where all must be (GEOREADER_REQUIRE_READERS)."""
    if how_to_install is None:
        return
    message = f"{server} is not on this machine: {how_to_install}"
    if os.environ.get("GEOREADER_REQUIRE_READERS"):
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def running(plan: Plan) -> Iterator[tuple[list[int], Path]]:
    """Run a server while the block runs; return its ports and its folder."""
    with ExitStack() as stack:
        for _ in range(_TRIES):
            ports = free_ports(plan.ports)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{plan.name}-")))
            process = stack.enter_context(_process(plan, ports, folder))
            if _comes_up(process, plan, ports):
                yield ports, folder
                return
        said = (folder / "log").read_text(errors="replace")[-4000:]
        raise RuntimeError(f"{plan.name} does not come up:\n{said}")


@contextmanager
def _process(plan: Plan, ports: list[int], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [*_dies_with_this_process(), *plan.command(ports, folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=_environment(folder) | plan.variables,
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield process
    finally:
        _stop(process, plan)


def _stop(process: subprocess.Popen[bytes], plan: Plan) -> None:
    if not plan.kill:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            pass
        else:
            return
    process.kill()
    process.wait()


def _dies_with_this_process() -> list[str]:
    """Have the kernel end the server with these tests, however they end; that needs util-linux, as on any Debian."""
    return ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []


def _environment(folder: Path) -> dict[str, str]:
    """Environment of a server: no credentials or settings, and its own folder as home."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8"}


def _comes_up(process: subprocess.Popen[bytes], plan: Plan, ports: list[int]) -> bool:
    """Wait for a server; False: it ended, or its time is over."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if plan.is_up(ports):
                return True
        except OSError:
            pass
        time.sleep(0.05)
    return False


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 at which nothing listens."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
