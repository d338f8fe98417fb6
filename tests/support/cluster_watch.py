"""What a scheduler of dask.distributed has seen, and workers that differ from the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from dask_cluster import worker_pids

distributed = pytest.importorskip("distributed", reason="distributed is not installed")

#: Longest wait for a state that follows without a further cause.
PATIENCE_SECONDS = 20.0


class KeyRecorder(distributed.SchedulerPlugin):
    """Records the key of each task that the scheduler handles."""

    name = "georeader-tests-keys"

    def __init__(self) -> None:
        self.keys: set[str] = set()

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        self.keys.add(str(key))


def _recorded_keys(dask_scheduler: Any = None) -> set[str]:
    recorder = dask_scheduler.plugins.get(KeyRecorder.name)
    return set() if recorder is None else set(recorder.keys)


def _tasks(dask_scheduler: Any = None) -> dict[str, str]:
    return {str(key): task.state for key, task in dask_scheduler.tasks.items()}


@contextmanager
def recorded_keys(client: Any) -> Iterator[Callable[[], set[str]]]:
    """Record keys of tasks while the block runs; yield a function that returns them, also later."""
    client.register_plugin(KeyRecorder())
    found: set[str] = set()

    def keys() -> set[str]:
        found.update(client.run_on_scheduler(_recorded_keys))
        return found

    try:
        yield keys
    finally:
        keys()
        client.unregister_scheduler_plugin(KeyRecorder.name)


def prefixes(keys: set[str]) -> set[str]:
    """Return what the dashboard shows in place of keys."""
    from dask.utils import key_split

    return {key_split(key) for key in keys}


def soon(holds: Callable[[], Any], within_seconds: float = PATIENCE_SECONDS) -> bool:
    """Return whether something holds within some time."""
    deadline = time.monotonic() + within_seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def tasks(client: Any) -> dict[str, str]:
    """Return the tasks that the scheduler holds, with their states."""
    found: dict[str, str] = client.run_on_scheduler(_tasks)
    return found


def assert_no_task_is_left(client: Any, before: Collection[str]) -> None:
    """Check that the scheduler soon holds no other tasks than before."""

    def left() -> dict[str, str]:
        return {key: state for key, state in tasks(client).items() if key not in before}

    assert soon(lambda: not left()), left()


def within(seconds: float, run: Callable[[], Any]) -> Any:
    """Return the result of a function that must end within some time, or raise its error.

    It runs in a thread, which is left behind if it does not end: a save must not wait forever for a worker that died.
    """
    outcome: list[Any] = []

    def call() -> None:
        try:
            outcome.extend((True, run()))
        except BaseException as error:  # noqa: BLE001  (raised again in the thread of the test)
            outcome.extend((False, error))

    # The current client is that of the context.
    thread = threading.Thread(target=copy_context().run, args=(call,), daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"the save did not end within {seconds} s"
    is_result, value = outcome
    if is_result:
        return value
    raise value


def kill(pid: int) -> None:
    """Kill a worker's process by SIGKILL, unless it has ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def await_workers(client: Any, workers: int, without: Collection[int] = ()) -> None:
    """Wait until a cluster has so many workers that answer, and none of them is one of these processes."""

    def is_whole() -> bool:
        pids = set(worker_pids(client).values())
        return len(pids) == workers and not pids & set(without)

    assert soon(is_whole, 60), f"the cluster has {worker_pids(client)} instead of {workers} workers"


@contextmanager
def allowed_failures(client: Any, number: int) -> Iterator[None]:
    """Let so many workers die at a task, while the block runs, before the scheduler fails it with KilledWorker."""
    before = client.run_on_scheduler(_set_allowed_failures, number)
    try:
        yield
    finally:
        client.run_on_scheduler(_set_allowed_failures, before)


def _set_allowed_failures(number: int, dask_scheduler: Any = None) -> int:
    before, dask_scheduler.allowed_failures = dask_scheduler.allowed_failures, number
    return int(before)


@contextmanager
def blind_worker(client: Any, folder: Path) -> Iterator[str]:
    """Add a worker to a cluster that has another folder in place of this one; yield its address."""
    apart = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    mount = ["sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(folder)]
    _skip_unless_possible([*apart, *mount, "true"])
    before = set(client.nthreads())
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1", "--memory-limit", "0"]
    worker = [sys.executable, "-m", "dask", "worker", client.scheduler.address, *options]
    with subprocess.Popen(
        [*apart, *mount, *worker],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=folder.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert soon(lambda: set(client.nthreads()) - before, 60), "the worker did not start"
            (address,) = set(client.nthreads()) - before
            yield address
        finally:
            process.terminate()
            process.wait(30)
    assert soon(lambda: set(client.nthreads()) == before), "the worker did not end"


def _skip_unless_possible(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"this system has no separate mounts for a process: {error}")
    if done.returncode:
        pytest.skip(f"this system has no separate mounts for a process: {done.stderr.strip()}")
