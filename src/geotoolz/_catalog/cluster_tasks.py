"""What a worker of a Dask cluster does for a catalog: tasks that load the operator and process a row, and their end."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from georeader.errors import OptionError
from georeader.storage import local_path, redact_url, remove_empty_folders
from georeader.toolkit import Outcome, Run, pickle_outcome
from geotoolz._catalog.row_work import Job, RowPlan, process_row
from geotoolz.errors import WorkerError


def dumps(value: Any) -> bytes:
    """Pickle by cloudpickle, which comes with distributed: lambdas and classes of a notebook included."""
    content: bytes = import_module("cloudpickle").dumps(value)
    return content


class _WorkerRun:
    """A run as the process of a worker has it: one for all of its threads."""

    def __init__(self, job: Job, packed: PackedRun) -> None:
        self.job = job
        self.ends_with_error = packed.ends_with_error
        self.folder = packed.folder
        self.begins_no_rows, self.is_interrupted = threading.Event(), threading.Event()
        self.rows_at_work = 0
        self._lock = threading.Lock()

    @contextmanager
    def counted_row(self) -> Iterator[None]:
        """Count a row as being processed while the block lasts."""
        with self._lock:
            self.rows_at_work += 1
        try:
            yield
        finally:
            with self._lock:
                self.rows_at_work -= 1


#: Runs of this process by token; Dask's results and the tasks at work hold them.
_RUNS: WeakValueDictionary[str, _WorkerRun] = WeakValueDictionary()
_RUNS_LOCK = threading.Lock()


class PackedRun:
    """Pickled `Job`, unpickled once in each process.

    A copy for another worker is made of the same bytes: what an operator keeps once it was used, such as a lock or a
    connection, is not sent on.
    """

    def __init__(self, content: bytes, token: str, ends_with_error: bool, folder: str) -> None:
        self._content = content
        self._token = token
        self.ends_with_error = ends_with_error
        self.folder = folder  #: The client's current folder.
        self._opened: _WorkerRun | None = None

    def __reduce__(self) -> Any:
        return type(self), (self._content, self._token, self.ends_with_error, self.folder)

    def __sizeof__(self) -> int:
        return len(self._content)

    def __repr__(self) -> str:
        return f"<operator and reader, {len(self._content)} bytes>"

    def open(self) -> _WorkerRun:
        """Return the run of this process."""
        with _RUNS_LOCK:
            if self._opened is None:
                self._opened = _RUNS.get(self._token)
            if self._opened is None:
                job = pickle.loads(self._content)  # noqa: S301  (from the caller's client)
                self._opened = _RUNS[self._token] = _WorkerRun(job, self)
            return self._opened


class PackedRow:
    """Pickled `RowPlan`."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __repr__(self) -> str:
        return f"<row, {len(self.content)} bytes>"


def load_run(packed: PackedRun) -> PackedRun:
    """Check that operator and reader can be unpickled, and return them as they are."""
    packed.open()
    return packed


def work_on_row(row: PackedRow, packed: PackedRun) -> bytes:
    """Process a row: to a pickled `Outcome`, or None if no row is to be begun or the run was interrupted."""
    run = packed.open()
    with run.counted_row():
        if run.begins_no_rows.is_set():
            return dumps(None)
        state = Run(run.is_interrupted.is_set, threads_per_save=1)
        try:
            plan = pickle.loads(row.content)  # noqa: S301  (from the caller's client)
            error = _folder_error(plan, run.folder)
            outcome = process_row(plan, run.job, state) if error is None else Outcome(None, error, 0.0)
        except KeyboardInterrupt:  # of the run: a worker's signals end its process
            remove_empty_folders(state.made_folders)
            return dumps(None)
        except (Exception, SystemExit) as error:  # noqa: BLE001  (SystemExit would end the worker)
            outcome = Outcome(None, WorkerError(f"a worker could not work on its row: {error!r}"), 0.0)
        if run.ends_with_error and outcome.error is not None:
            run.begins_no_rows.set()
        return pickle_outcome(outcome, f"on the worker {import_module('distributed').get_worker().address}", dumps)


def _folder_error(plan: RowPlan, folder: str) -> OptionError | None:
    """Return an error for a row with a relative path, which on this worker is not the client's path."""
    for output in plan.outputs:
        local = local_path(output.path, output.fs)
        if local is not None and not Path(local).is_absolute() and os.getcwd() != folder:
            return OptionError(
                f"{redact_url(output.path)!r} is relative to the current folder of the client, {folder!r}, but the "
                f"current folder of a worker is {os.getcwd()!r}; pass the absolute path of a folder that both share, "
                "or a URL"
            )
    return None


def end_run(token: str, *, is_interrupted: bool) -> int:
    """Begin no more rows of a run on this worker, and end its running saves if it was interrupted.

    Returns:
        The number of its rows that are being processed.
    """
    run = _RUNS.get(token)
    if run is None:
        return 0
    run.begins_no_rows.set()
    if is_interrupted:
        run.is_interrupted.set()
    return run.rows_at_work
