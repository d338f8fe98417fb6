"""Rows of a catalog as tasks of a cluster of dask.distributed, through the public methods of its client.

A row is a task ``write-row-<index>-<run>``. Operator and reader are the result of one task, ``load-operator-<run>``:
Dask copies it to each worker that processes a row, runs it again if the workers that had it died, and drops it at the
end of the run, or when the client's process dies. Both are sent as bytes of cloudpickle, whose repr is their size:
keys, logs and the dashboard show no URL and no credential, and the scheduler imports no module of the operator.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from logging import getLogger
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import Any, NamedTuple
from uuid import uuid4

from georeader.errors import OptionError
from georeader.storage import redact_text
from georeader.toolkit import PATIENCE_SECONDS, POLL_SECONDS, Outcome
from geotoolz._catalog.cluster_tasks import PackedRow, PackedRun, dumps, end_run, load_run, work_on_row
from geotoolz._catalog.row_work import Job, RowPlan
from geotoolz.errors import WorkerError

#: Rows on the cluster for each thread of a worker. From more than two on, the scheduler holds back the rows that no
#: thread is free for, and sends each to the first free worker, wherever the operator is in memory.
ROWS_PER_THREAD = 3

#: How often the number of threads is asked for.
_COUNT_SECONDS = 1.0

#: Time without a worker after which a warning is logged.
_NO_WORKERS_SECONDS = 10.0

_LOGGER = getLogger("geotoolz")

#: A row with its outcome.
Done = tuple[RowPlan, Outcome]


def is_killed_worker(error: BaseException | None) -> bool:
    """Return whether Dask gave a task up because the workers that ran it died."""
    return isinstance(error, import_module("distributed").KilledWorker)


def run_on_cluster(
    plans: Iterable[RowPlan], job: Job, client: Any, rows_at_once: int | None, *, ends_with_error: bool
) -> Iterator[Done]:
    """Iterate over rows as the workers of a cluster finish them; see `georeader.toolkit.run_in_threads`.

    At most `rows_at_once` rows are on the cluster, by default `ROWS_PER_THREAD` for each thread of its workers.

    Raises:
        WorkerError: The client is closed or loses the scheduler, or no worker can load the operator.
    """
    remaining, suspects, finished = iter(plans), deque[RowPlan](), list[Done]()
    cluster = _Cluster(client, job, rows_at_once, ends_with_error)
    try:
        while True:
            unsendable = cluster.send_rows(remaining)  # first, so that workers are busy while the caller is
            if suspects and not cluster.rows:
                cluster.send_alone(suspects.popleft())
            yield from finished
            finished = unsendable
            if not cluster.rows and not finished:
                return
            finished += cluster.take_finished(suspects)
            has_error = any(outcome.error is not None for _, outcome in finished)
            if ends_with_error and (has_error or suspects):
                remaining = iter(())
            if ends_with_error and has_error:
                suspects.clear()
                cluster.begin_no_more_rows()
    except BaseException:
        cluster.stop()
        raise
    finally:
        cluster.release()


class _SentRow(NamedTuple):
    plan: RowPlan
    future: Any
    is_alone: bool  #: Whether no other row of the run can have been on the workers that processed it.


class _Cluster:
    """Rows that are on a cluster, and their futures."""

    def __init__(self, client: Any, job: Job, rows_at_once: int | None, ends_with_error: bool) -> None:
        self.rows: dict[int, _SentRow] = {}
        self._client = client
        self._rows_at_once = rows_at_once
        self._token = uuid4().hex
        self._done: SimpleQueue[int] = SimpleQueue()
        self._threads = 0
        self._counted_at = float("-inf")
        self._idle_since: float | None = None
        self._check_connected()
        packed = PackedRun(dumps(job), self._token, ends_with_error, os.getcwd())
        with self._connection():
            self._run = client.submit(load_run, packed, key=f"load-operator-{self._token}", pure=False)

    def send_rows(self, remaining: Iterator[RowPlan]) -> list[Done]:
        """Send rows until there are enough; return those that cannot be sent."""
        failed = []
        limit = self._limit()
        while len(self.rows) < limit:
            plan = next(remaining, None)
            if plan is None:
                break
            try:
                content = dumps(plan)
            except Exception as error:  # noqa: BLE001  (classes of the caller's raise anything)
                problem = OptionError(f"row {plan.index} cannot be sent to a worker: {error}")
                failed.append((plan, Outcome(None, problem, 0.0)))
                continue
            self._send(plan, content, is_alone=self._rows_at_once == 1)
        return failed

    def send_alone(self, plan: RowPlan) -> None:
        """Send a row again, while no other is on the cluster, to see whether its workers die of it."""
        self._send(plan, dumps(plan), is_alone=True)

    def _send(self, plan: RowPlan, content: bytes, *, is_alone: bool) -> None:
        what = "write-row" if plan.outputs else "process-row"
        key = f"{what}-{plan.index}-{self._token}" + ("-alone" if is_alone else "")
        with self._connection():
            future = self._client.submit(work_on_row, PackedRow(content), self._run, key=key, pure=False)
            self.rows[plan.index] = _SentRow(plan, future, is_alone)
            future.add_done_callback(lambda _, done=self._done, index=plan.index: done.put(index))

    def _limit(self) -> int:
        """Return how many rows may be on the cluster: it grows with the cluster, and is 1 without workers."""
        if self._rows_at_once is not None:
            return self._rows_at_once
        if monotonic() - self._counted_at >= _COUNT_SECONDS:
            with self._connection():
                self._threads = sum(self._client.nthreads().values())
            self._counted_at = monotonic()
            self._warn_without_workers()
        return max(1, ROWS_PER_THREAD * self._threads)

    def _warn_without_workers(self) -> None:
        if self._threads:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = monotonic()
        elif monotonic() - self._idle_since >= _NO_WORKERS_SECONDS:
            self._idle_since = float("inf")  # logged once
            _LOGGER.warning("the Dask cluster has no workers; the rows of the catalog wait for one")

    def take_finished(self, suspects: deque[RowPlan]) -> list[Done]:
        """Wait for rows, shortly, and return those that are done; append those that Dask may have wrongly given up."""
        self._check_connected()
        rows = {index: self.rows.pop(index) for index in self._await_done()}
        if not rows:
            return []
        with self._connection():  # a row whose result was lost with its worker runs again meanwhile
            contents = self._client.gather({index: row.future for index, row in rows.items()}, errors="skip")
        finished = []
        for index, row in rows.items():
            if contents[index] is not None:
                outcome: Outcome | None = pickle.loads(contents[index])  # noqa: S301  (from a worker of the caller's)
                finished += [] if outcome is None else [(row.plan, outcome)]
            elif is_killed_worker((error := self._error_of(row)).__cause__) and not row.is_alone:
                suspects.append(row.plan)  # Dask counts a worker's death against every row that was sent to it
            else:
                finished.append((row.plan, Outcome(None, error, 0.0)))
            row.future.release()
        return finished

    def _await_done(self) -> list[int]:
        """Return the rows whose futures are done, after a wait for the first."""
        done = []
        with suppress(Empty):
            if self.rows:
                done.append(self._done.get(timeout=POLL_SECONDS))
            while True:
                done.append(self._done.get_nowait())
        return done

    def _error_of(self, row: _SentRow) -> WorkerError:
        """Return why Dask has no result of a row, with Dask's exception as the cause.

        Raises:
            WorkerError: It concerns the whole run.
        """
        self._check_connected()
        with self._connection():
            cause = row.future.exception()
        if self._run.status == "error":
            raise WorkerError(
                f"a worker of the Dask cluster cannot load op and reader: {cause!r}; install georeader and the modules "
                "of operator and reader on workers and scheduler, or send a module by Client.upload_file"
            ) from cause
        if self._run.cancelled():
            raise self._lost() from cause
        if row.future.cancelled():
            what = "its task was cancelled"
        elif is_killed_worker(cause):
            what = "the workers that processed it died: killed, perhaps for want of memory, or crashed"
        else:
            what = "the Dask cluster could not process it"
        urls = [row.plan.source] if isinstance(row.plan.source, str) else []
        error = WorkerError(redact_text(f"row {row.plan.index}: {what}. {type(cause).__name__}: {cause}", *urls))
        error.__cause__ = cause
        return error

    def begin_no_more_rows(self) -> None:
        """Have the workers complete the rows that they have begun, and return no outcome of the others."""
        with self._connection():
            self._client.run(end_run, self._token, is_interrupted=False, on_error="ignore")

    def stop(self) -> None:
        """Cancel all rows and end running saves; wait for that, but not for long."""
        thread = threading.Thread(target=self._stop, name="geotoolz-stop", daemon=True)
        thread.start()
        thread.join(2 * PATIENCE_SECONDS)

    def _stop(self) -> None:
        deadline = monotonic() + PATIENCE_SECONDS
        with suppress(OSError, RuntimeError, AttributeError):  # the client is closed, or is being closed
            if self._client.status != "running":
                return
            self._client.cancel([*(row.future for row in list(self.rows.values())), self._run])
            while monotonic() < deadline:
                counts = self._client.run(end_run, self._token, is_interrupted=True, on_error="ignore")
                if not any(counts.values()):
                    return
                sleep(0.05)

    def release(self) -> None:
        """Drop what is on the cluster."""
        for row in self.rows.values():
            row.future.release()
        self._run.release()

    def _check_connected(self) -> None:
        if self._client.status != "running":
            raise self._lost()

    @contextmanager
    def _connection(self) -> Iterator[None]:
        """Raise the one error of a lost connection instead of what the client's methods raise then."""
        try:
            yield
        except Exception as error:
            if isinstance(error, OSError) or self._client.status != "running":
                raise self._lost() from error
            raise

    def _lost(self) -> WorkerError:
        return WorkerError(
            "executor: the client of the Dask cluster has no connection to the scheduler (its status is "
            f"{self._client.status!r}): the client or the cluster was closed, or the scheduler ended. Files of "
            "finished rows remain; pass a new client and skip_existing=True to resume"
        )
