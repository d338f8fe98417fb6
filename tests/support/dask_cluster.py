"""Clusters of dask.distributed on the loopback interface: one process for each worker, which a test can kill.

::

    def test_something(cluster):            # the fixture is in conftest.py; clusters end with the module of the test
        client = cluster(2)                 # the same client at each call with the same arguments
        kill_worker(client)

`running_cluster` starts one for a block. The scheduler runs in the process of the test.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

#: Longest wait for a worker to start or to end.
PATIENCE_SECONDS = 60.0

#: Arguments as of `running_cluster`; returns a client.
StartCluster = Callable[..., Any]


@contextmanager
def running_cluster(
    n_workers: int = 2,
    threads_per_worker: int = 1,
    *,
    allowed_failures: int = 3,
    is_current: bool = False,
    config: Mapping[str, Any] | None = None,
    **options: Any,
) -> Iterator[Any]:
    """Start a cluster of processes for a block, and yield a client of it.

    Args:
        n_workers: Processes; one that is killed is replaced by its nanny.
        threads_per_worker: Threads of each.
        allowed_failures: Workers that may die at a task before the scheduler fails it with KilledWorker.
        is_current: Whether the client becomes the scheduler of dask.compute while it is open.
        config: More configuration of dask, of which scheduler and workers read some only when they start.
        **options: Of distributed.LocalCluster.
    """
    dask = pytest.importorskip("dask", reason="dask is not installed")
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    settings = {
        "distributed.scheduler.allowed-failures": allowed_failures,
        # By default LocalCluster closes a nanny whose worker is absent 15 seconds after one of its workers died.
        "distributed.deploy.lost-worker-timeout": "1 hour",
        **(config or {}),
    }
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dask-", ignore_cleanup_errors=True))
        stack.enter_context(dask.config.set(settings))
        arguments = {
            "n_workers": n_workers,
            "threads_per_worker": threads_per_worker,
            "processes": True,
            "host": "127.0.0.1",
            "dashboard_address": "127.0.0.1:0",
            "worker_dashboard_address": "127.0.0.1:0",
            "memory_limit": 0,
            "local_directory": folder,
        }
        cluster = stack.enter_context(distributed.LocalCluster(**arguments | options))
        client = stack.enter_context(distributed.Client(cluster, set_as_default=is_current))
        if n_workers:
            client.wait_for_workers(n_workers, timeout=PATIENCE_SECONDS)
        yield client


@pytest.fixture(scope="module")
def cluster() -> Iterator[StartCluster]:
    """Return a function with the arguments of `running_cluster` that returns a client; kept for the module."""
    with ExitStack() as stack:
        clients: dict[str, Any] = {}

        def start(n_workers: int = 2, threads_per_worker: int = 1, **options: Any) -> Any:
            key = repr((n_workers, threads_per_worker, sorted(options.items())))
            if key not in clients:
                clients[key] = stack.enter_context(running_cluster(n_workers, threads_per_worker, **options))
            clients[key].wait_for_workers(n_workers, timeout=PATIENCE_SECONDS)  # after one was killed
            return clients[key]

        yield start


def worker_pids(client: Any) -> dict[str, int]:
    """Return the address of each worker with the id of its process; busy workers answer, too."""
    return dict(client.run(os.getpid, on_error="ignore"))


def kill_worker(client: Any, pid: int | None = None) -> int:
    """Kill a worker's process by SIGKILL, the first if no id is passed; return its id once the scheduler knows."""
    pids = worker_pids(client)
    address = next(address for address, its_pid in pids.items() if pid in (None, its_pid))
    os.kill(pids[address], signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while address in client.nthreads():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the scheduler still lists {address} after its process {pids[address]} was killed")
        time.sleep(0.01)
    return pids[address]
