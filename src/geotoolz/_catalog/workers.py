"""Rows of a catalog, worked on by threads or by processes; each is yielded as it is done.

Threads are those of `georeader.toolkit.Workers`. Processes are `ProcessPoolExecutor`s of one process each: of a larger
pool it is not known which row a process that dies was working on, and the rows of all others would be lost.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.spawn
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing import connection, resource_tracker
from pathlib import PurePath
from time import monotonic
from typing import Any

from georeader.errors import OptionError
from georeader.toolkit import Workers
from geotoolz._catalog.plan import RowPlan
from geotoolz._catalog.process_row import Job, Outcome, process_row
from geotoolz.errors import WorkerError
from geotoolz.saving import Run

#: A row with its outcome.
Done = tuple[RowPlan, Outcome]

#: Longest wait after Ctrl-C for work that cannot be interrupted: a codec within a tile, a read over the network.
PATIENCE_SECONDS = 0.7

#: Longest wait of a process whose parent died, for its row.
ORPHAN_SECONDS = 10.0

#: How often a wait looks for Ctrl-C where the system does not interrupt it (Windows).
_GLANCE_SECONDS = 0.25

#: Names of programs that run Python code.
_INTERPRETERS = ("python", "pypy", "graalpy")


def run_in_threads(plans: Iterable[RowPlan], job: Job, workers: int, *, ends_with_error: bool) -> Iterator[Done]:
    """Iterate over rows as threads finish them; with one worker, or where no thread can be started, in this thread.

    Args:
        plans: Rows.
        job: Work on each row.
        workers: Number of threads.
        ends_with_error: Begin no row after one had an error; those that were begun come to their end.
    """
    is_stopped, has_error = threading.Event(), threading.Event()

    def work(plan: RowPlan) -> Outcome | None:
        if has_error.is_set():
            return None
        # In the caller's thread, Ctrl-C needs no help.
        outcome = process_row(plan, job, Run(is_stopped.is_set, threads_per_save=1) if workers > 1 else None)
        if outcome.error is not None and ends_with_error:
            has_error.set()
        return outcome

    with Workers(workers if workers > 1 else 0, name="geotoolz") as pool:
        if not pool.threads:
            for plan in plans:
                outcome = work(plan)
                if outcome is None:
                    return
                yield plan, outcome
            return
        rows = _Submitted(lambda plan: pool.submit(lambda: work(plan)), lambda future, _: future.result())
        # As many rows as there are threads are queued, so that a thread does not wait for the caller.
        yield from rows.as_completed(plans, 2 * pool.threads, is_stopped.set, ends_with_error=ends_with_error)


def run_in_processes(plans: Iterable[RowPlan], job: Job, workers: int, *, ends_with_error: bool) -> Iterator[Done]:
    """Iterate over rows as processes finish them.

    Args:
        plans: Rows.
        job: Work on each row; it must be picklable.
        workers: Number of processes.
        ends_with_error: Begin no row after one had an error; those that were begun come to their end.

    Raises:
        WorkerError: A process cannot be started.
    """
    pool = _ProcessPool(job, workers, threads_per_save=1 if workers > 1 else None)
    try:
        pool.start()
        rows = _Submitted(pool.submit, pool.outcome_of)
        yield from rows.as_completed(plans, workers, pool.stop, ends_with_error=ends_with_error)
    except BaseException:
        pool.close(is_urgent=True)
        raise
    pool.close()


class _Submitted:
    """Rows that were submitted and are not done.

    Attributes:
        submit: Submits a row.
        outcome_of: Returns the outcome of a future that is done; None for a row that was not begun.
    """

    def __init__(
        self,
        submit: Callable[[RowPlan], Future[Any]],
        outcome_of: Callable[[Future[Any], RowPlan], Outcome | None],
    ) -> None:
        self.submit = submit
        self.outcome_of = outcome_of
        self._waiting: dict[Future[Any], RowPlan] = {}

    def as_completed(
        self, plans: Iterable[RowPlan], limit: int, stop: Callable[[], None], *, ends_with_error: bool
    ) -> Iterator[Done]:
        """Iterate over rows as they are done.

        Args:
            plans: Rows.
            limit: Number of rows that are submitted at a time.
            stop: Called when the iteration is left before its end: running saves should end.
            ends_with_error: Submit no row after one had an error.
        """
        remaining = iter(plans)
        try:
            self._fill(remaining, limit)
            while self._waiting:
                finished = self._next_finished()
                if ends_with_error and any(outcome.error is not None for _, outcome in finished):
                    remaining = iter(())
                self._fill(remaining, limit)  # so that workers are busy while the caller handles results
                yield from finished
        except BaseException:
            stop()
            for future in self._waiting:
                future.cancel()
            wait(self._waiting, PATIENCE_SECONDS)
            raise

    def _fill(self, remaining: Iterator[RowPlan], limit: int) -> None:
        for plan in islice(remaining, limit - len(self._waiting)):
            self._waiting[self.submit(plan)] = plan

    def _next_finished(self) -> list[Done]:
        finished: list[Done] = []
        for future in wait(self._waiting, _GLANCE_SECONDS, FIRST_COMPLETED).done:
            plan = self._waiting.pop(future)
            outcome = self.outcome_of(future, plan)
            finished += [] if outcome is None else [(plan, outcome)]
        return finished


class _ProcessPool:
    """Processes, each with at most one row."""

    def __init__(self, job: Job, workers: int, threads_per_save: int | None) -> None:
        self._idle = [_Process(job, threads_per_save) for _ in range(workers)]
        self._all = tuple(self._idle)
        self._busy: dict[Future[bytes], _Process] = {}

    def start(self) -> None:
        for process in self._all:
            process.start()

    def submit(self, plan: RowPlan) -> Future[bytes]:
        process = self._idle.pop()
        future = process.submit(plan)
        self._busy[future] = process
        return future

    def outcome_of(self, future: Future[bytes], plan: RowPlan) -> Outcome:
        process = self._busy.pop(future)
        self._idle.append(process)
        return process.outcome_of(future, plan)

    def stop(self) -> None:
        for process in self._all:
            process.stop()

    def close(self, *, is_urgent: bool = False) -> None:
        if is_urgent:
            for process in self._all:
                process.kill()
        with Workers(len(self._all), name="geotoolz-end") as pool:  # each waits for its process
            for process in self._all:
                pool.submit(process.close)


class _Process:
    """A process that works on rows; after one that died, the next row gets another.

    It is a new Python interpreter (multiprocessing's "spawn"). A pipe tells it that the run was interrupted: its
    end ends a running save.
    """

    def __init__(self, job: Job, threads_per_save: int | None) -> None:
        self._arguments = (job, threads_per_save)
        self._executor: ProcessPoolExecutor | None = None
        self._pipe: connection.Connection[Any, Any] | None = None
        self._pid: Future[int] = Future()
        self._process: Any = None
        self._started = 0.0

    def start(self) -> None:
        """Start the process, without waiting for it.

        Raises:
            WorkerError: It cannot be started.
        """
        context = multiprocessing.get_context("spawn")
        its_end, self._pipe = context.Pipe(duplex=False)
        try:
            with its_end, _interrupts_blocked():
                self._executor = ProcessPoolExecutor(
                    1, context, initializer=_begin, initargs=(its_end, *self._arguments)
                )
                self._pid = self._executor.submit(os.getpid)
        except (OSError, RuntimeError) as error:
            self._executor = None  # without a thread it cannot be shut down
            with suppress(OSError):  # there is no process
                self._pipe.send(None)  # so that a process without an executor ends
            self.stop()
            raise WorkerError(
                f"a process to work on rows can't be started: {error}; allow this user or container more processes, or "
                'pass executor="thread"'
            ) from error

    def submit(self, plan: RowPlan) -> Future[bytes]:
        """Submit a row, once the process is there.

        Raises:
            WorkerError: The process cannot be started.
        """
        failed: Future[bytes] = Future()
        try:
            content = pickle.dumps(plan)
        except Exception as error:  # noqa: BLE001  (classes of the caller's raise anything)
            problem = OptionError(f"row {plan.index} can't be sent to a process: {error}")
            failed.set_result(pickle.dumps(Outcome(None, problem, 0.0)))
            return failed
        if self._executor is None:
            self.start()
        self._await_start()
        self._started = monotonic()
        try:
            return self._executor.submit(_work, content)  # type: ignore[union-attr]
        except BrokenProcessPool as error:  # it died between two rows
            failed.set_exception(error)
            return failed

    def _await_start(self) -> None:
        while self._process is None:
            try:
                pid = self._pid.result(_GLANCE_SECONDS)
            except FutureTimeoutError:
                continue
            except BrokenProcessPool as error:
                raise WorkerError(
                    "a process to work on rows can't be started; standard error says why. "
                    'A script that uses executor="process" begins its work below: if __name__ == "__main__":'
                ) from error
            found = [process for process in multiprocessing.active_children() if process.pid == pid]
            self._process = found[0] if found else None
            return

    def outcome_of(self, future: Future[bytes], plan: RowPlan) -> Outcome:
        """Return the outcome of a row; an error if the process died."""
        try:
            outcome: Outcome = pickle.loads(future.result())  # noqa: S301  (from a process of one's own)
        except BrokenProcessPool:
            seconds, process = monotonic() - self._started, self._process
            self.close()
            code = None if process is None else process.exitcode
            died = WorkerError(
                f"the process that worked on row {plan.index} ended (exit code {code}) without an answer: it was "
                "killed, perhaps for want of memory, or crashed"
            )
            return Outcome(None, died, seconds)
        return outcome

    def stop(self) -> None:
        """End a running save."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def kill(self) -> None:
        """End the process by force."""
        self.stop()
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """Shut the process down, and wait for its end."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
        self.stop()
        self._executor = self._process = None


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Start a process in which SIGINT is blocked: Ctrl-C must not end it with a traceback while it still imports.

    The mask of this thread is inherited. Windows has none.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which changes the mask when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def check_interpreter() -> None:
    """Check that multiprocessing starts Python: in a host program, such as QGIS, it would start the host.

    Raises:
        OptionError: It does not.
    """
    program = os.fsdecode(multiprocessing.spawn.get_executable() or "")
    is_python = PurePath(program).name.lower().startswith(_INTERPRETERS)
    if getattr(sys, "frozen", False) or not is_python:
        raise OptionError(
            f'executor="process": {program!r} is not a Python interpreter but a host program or a frozen application; '
            'use executor="thread", or name an interpreter by multiprocessing.set_executable'
        )


# Within a process.

#: Work on each row, and the run that it is part of; set when the process starts.
_job: Job
_threads_per_save: int | None
_is_stopped = threading.Event()

#: Held while a row is worked on.
_at_work = threading.Lock()


def _begin(pipe: connection.Connection[Any, Any], job: Job, threads_per_save: int | None) -> None:
    """Prepare a process for its rows."""
    global _job, _threads_per_save
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process handles it, and ends this one
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _job, _threads_per_save = job, threads_per_save
    threading.Thread(target=_watch, args=(pipe,), name="geotoolz-watch", daemon=True).start()


def _watch(pipe: connection.Connection[Any, Any]) -> None:
    """End a running save when the run is interrupted, and the process when its parent dies."""
    parent = multiprocessing.parent_process()
    sentinels = [] if parent is None else [parent.sentinel]
    is_unused = pipe in connection.wait([pipe, *sentinels]) and _is_message(pipe)
    _is_stopped.set()
    if not is_unused:
        connection.wait(sentinels)
        _at_work.acquire(timeout=ORPHAN_SECONDS)
    os._exit(1)  # the pool's own loop waits for ever


def _is_message(pipe: connection.Connection[Any, Any]) -> bool:
    try:
        pipe.recv()
    except EOFError:
        return False
    return True


def _work(content: bytes) -> bytes:
    """Process a row: from a pickled `RowPlan` to a pickled `Outcome`."""
    plan: RowPlan | None = None
    with _at_work:
        try:
            plan = pickle.loads(content)  # noqa: S301  (from the parent process)
            outcome = process_row(plan, _job, Run(_is_stopped.is_set, _threads_per_save))
        except (Exception, SystemExit) as error:  # noqa: BLE001  (the pool would raise SystemExit in the parent)
            outcome = Outcome(None, WorkerError(f"a process could not work on its row: {error!r}"), 0.0)
        return _pickled(outcome)


def _pickled(outcome: Outcome) -> bytes:
    """Pickle an outcome, its error with the lines of its traceback, which pickle leaves out."""
    error = outcome.error
    if error is not None:
        error.add_note("in a process of its own:\n" + "".join(traceback.format_exception(error)))
    try:
        content = pickle.dumps(outcome)
        pickle.loads(content)  # noqa: S301  (some errors can be pickled and not unpickled)
    except Exception as problem:  # noqa: BLE001  (classes of the caller's raise anything)
        kind = type(outcome.receipt if error is None else error).__name__
        substitute = WorkerError(f"a {kind} can't be sent from one process to another: {error or problem}")
        for note in getattr(error, "__notes__", ()):
            substitute.add_note(note)
        content = pickle.dumps(Outcome(None, substitute, outcome.seconds))
    return content
