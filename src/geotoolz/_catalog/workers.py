"""Threads and processes that work on the rows of a catalog; each row is yielded as it is done."""

from __future__ import annotations

import multiprocessing
import multiprocessing.spawn
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from multiprocessing import connection, resource_tracker
from pathlib import PurePath
from time import monotonic
from typing import TYPE_CHECKING, Any

from georeader.errors import OptionError
from georeader.toolkit import Workers
from geotoolz._catalog.row_work import Job, Outcome, RowPlan, process_row
from geotoolz._saving import Run
from geotoolz.errors import WorkerError

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

#: A row with its outcome.
Done = tuple[RowPlan, Outcome]

#: Longest wait after Ctrl-C for work that cannot be interrupted: a codec within a tile, a read over the network.
PATIENCE_SECONDS = 0.7

#: Longest wait of a process whose parent died, for its row.
ORPHAN_SECONDS = 10.0

#: A process gets a second row while it works on one, so that it does not wait for this process in between. Where rows
#: take longer than this, the wait is negligible, and a queued row could sit behind a slow one while others are idle.
_SHORT_ROW_SECONDS = 1.0

#: How often a wait is interrupted for Ctrl-C where the system does not do it (Windows).
_POLL_SECONDS = 0.25


def run_in_threads(plans: Iterable[RowPlan], job: Job, workers: int, *, ends_with_error: bool) -> Iterator[Done]:
    """Iterate over rows as threads finish them; with one worker, or where no thread can be started, in this thread.

    With `ends_with_error`, no row is begun after one had an error; those that were begun are completed.
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
        if pool.threads:
            yield from _work_in_pool(plans, work, pool, is_stopped, has_error)
            return
        for plan in plans:
            outcome = work(plan)
            if outcome is None:
                return
            yield plan, outcome


def _work_in_pool(
    plans: Iterable[RowPlan],
    work: Callable[[RowPlan], Outcome | None],
    pool: Workers,
    is_stopped: threading.Event,
    has_error: threading.Event,
) -> Iterator[Done]:
    remaining, waiting = iter(plans), dict[Future[Outcome | None], RowPlan]()

    def refill() -> None:
        # As many rows as there are threads are queued, so that a thread does not wait for the caller.
        to_submit = () if has_error.is_set() else islice(remaining, 2 * pool.threads - len(waiting))
        waiting.update((pool.submit(partial(work, plan)), plan) for plan in to_submit)

    try:
        refill()
        while waiting:
            done = wait(waiting, _POLL_SECONDS, FIRST_COMPLETED).done
            finished = [(waiting.pop(future), future.result()) for future in done]
            refill()
            yield from ((plan, outcome) for plan, outcome in finished if outcome is not None)
    except BaseException:
        is_stopped.set()
        for future in waiting:
            future.cancel()
        wait(waiting, PATIENCE_SECONDS)
        raise


def run_in_processes(plans: Iterable[RowPlan], job: Job, workers: int, *, ends_with_error: bool) -> Iterator[Done]:
    """Iterate over rows as processes finish them; see `run_in_threads`.

    Raises:
        WorkerError: A process cannot be started.
    """
    remaining = iter(plans)
    processes = [_Process(job, 1 if workers > 1 else None, ends_with_error) for _ in range(workers)]
    try:
        for process in processes:
            process.start()
        finished = _send_rows(remaining, processes)
        while finished or any(process.rows for process in processes):
            waiting = {process.outcomes: process for process in processes if process.rows}
            ready = connection.wait(waiting, 0 if finished else _POLL_SECONDS) if waiting else ()
            finished += [done for one in ready for done in waiting[one].receive()]  # type: ignore[index]
            if ends_with_error and any(outcome.error is not None for _, outcome in finished):
                remaining = iter(())
                for process in processes:
                    process.begin_no_more_rows()
            unsendable = _send_rows(remaining, processes)  # first, so that processes are busy while the caller is
            yield from finished
            finished = unsendable
    except BaseException:
        _end(processes, PATIENCE_SECONDS)
        raise
    _end(processes, None)


def _send_rows(remaining: Iterator[RowPlan], processes: list[_Process]) -> list[Done]:
    """Send rows to processes until each has enough; return those that cannot be sent."""
    failed = []
    while ready := [process for process in processes if process.is_ready_for_row()]:
        plan = next(remaining, None)
        if plan is None:
            break
        try:
            content = pickle.dumps(plan)
        except Exception as error:  # noqa: BLE001  (classes of the caller's raise anything)
            problem = OptionError(f"row {plan.index} cannot be sent to a process: {error}")
            failed.append((plan, Outcome(None, problem, 0.0)))
            continue
        min(ready, key=lambda process: len(process.rows)).send(plan, content)
    return failed


def _end(processes: list[_Process], patience_seconds: float | None) -> None:
    """End processes, and wait for them: with a limit, after which they are killed, or without."""
    deadline = None if patience_seconds is None else monotonic() + patience_seconds
    for process in processes:
        process.stop()
    for process in processes:
        process.join(deadline)


class _Process:
    """Spawned Python interpreter that works through the rows sent to it; after one that died, another is started.

    One pipe takes pickled rows there, another takes pickled outcomes back, in the same order. So the row that was
    worked on when the process died is the first that has no outcome. The end of the first pipe ends a running save.
    """

    outcomes: connection.Connection[Any, Any]

    def __init__(self, job: Job, threads_per_save: int | None, ends_with_error: bool) -> None:
        self.rows: deque[tuple[RowPlan, bytes]] = deque()
        self._arguments = (job, threads_per_save, ends_with_error)
        self._process: SpawnProcess | None = None
        self._has_begun = False  # it sent its first message, after its imports
        self._row_began = 0.0
        self._last_row_seconds = _SHORT_ROW_SECONDS

    def start(self) -> None:
        """Start the process, without waiting for it."""
        context = multiprocessing.get_context("spawn")
        its_rows, self._inbox = context.Pipe(duplex=False)
        self.outcomes, its_outcomes = context.Pipe(duplex=False)
        process = context.Process(target=_serve, args=(its_rows, its_outcomes, *self._arguments), name="geotoolz")
        try:
            with its_rows, its_outcomes, _interrupts_blocked():
                process.start()
        except (OSError, RuntimeError) as error:
            raise WorkerError(
                f"a process to work on rows cannot be started: {error}; allow this user or container more processes, "
                'or pass executor="thread"'
            ) from error
        self._process, self._has_begun = process, False

    def is_ready_for_row(self) -> bool:
        return len(self.rows) < (2 if self._last_row_seconds < _SHORT_ROW_SECONDS else 1)

    def send(self, plan: RowPlan, content: bytes) -> None:
        if self._process is None:
            self.start()
        if not self.rows:
            self._row_began = monotonic()
        self.rows.append((plan, content))
        with suppress(OSError):  # the process died; `receive` sees it
            self._inbox.send_bytes(content)

    def begin_no_more_rows(self) -> None:
        with suppress(OSError):
            self._inbox.send_bytes(b"")

    def receive(self) -> list[Done]:
        """Return the first row with its outcome, which is an error if the process died; [] if it was not begun."""
        try:
            content = self.outcomes.recv_bytes()
        except (EOFError, OSError):
            return [self._died()]
        if not self._has_begun:
            self._has_begun = True
            return []
        plan, _ = self.rows.popleft()
        began, self._row_began = self._row_began, monotonic()
        self._last_row_seconds = self._row_began - began
        return [(plan, pickle.loads(content))] if content else []  # noqa: S301  (from a process of one's own)

    def _died(self) -> Done:
        seconds, process = monotonic() - self._row_began, self._process
        self.stop()
        self.join(None)
        if not self._has_begun or process is None:
            raise WorkerError(
                "a process to work on rows cannot be started; standard error says why. "
                'A script that uses executor="process" begins its work below: if __name__ == "__main__":'
            )
        plan, _ = self.rows.popleft()
        queued, self.rows = self.rows, deque()
        for row in queued:
            self.send(*row)
        error = WorkerError(
            f"the process that worked on row {plan.index} ended (exit code {process.exitcode}) without an answer: it "
            "was killed, perhaps for want of memory, or crashed"
        )
        return plan, Outcome(None, error, seconds)

    def stop(self) -> None:
        """End a running save, and the process after it."""
        if self._process is not None:
            self._inbox.close()

    def join(self, deadline: float | None) -> None:
        """Wait for the end of the process; after the deadline it is killed."""
        if self._process is None:
            return
        self._process.join(None if deadline is None else max(0.0, deadline - monotonic()))
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        self.outcomes.close()
        self._process = None


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
    """Check that multiprocessing starts Python: in a host program, such as QGIS, it would start the host."""
    program = os.fsdecode(multiprocessing.spawn.get_executable() or "")
    if getattr(sys, "frozen", False) or not PurePath(program).name.lower().startswith(("python", "pypy", "graalpy")):
        raise OptionError(
            f'executor="process": {program!r} is not a Python interpreter but a host program or a frozen application; '
            'use executor="thread", or name an interpreter by multiprocessing.set_executable'
        )


def _serve(
    inbox: connection.Connection[Any, Any],
    outbox: connection.Connection[Any, Any],
    job: Job,
    threads_per_save: int | None,
    ends_with_error: bool,
) -> None:
    """Work on the rows that arrive, in a process of their own, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process handles it, and ends this one
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    rows, is_stopped, has_error = queue.SimpleQueue[bytes | None](), threading.Event(), threading.Event()
    threading.Thread(
        target=_receive_rows, args=(inbox, rows, is_stopped, has_error), name="geotoolz-receive", daemon=True
    ).start()
    with suppress(KeyboardInterrupt, BrokenPipeError):  # the run was interrupted, or the parent died
        outbox.send_bytes(b"")
        while (content := rows.get()) is not None and not is_stopped.is_set():
            if has_error.is_set():
                outbox.send_bytes(b"")
                continue
            try:
                outcome = process_row(pickle.loads(content), job, Run(is_stopped.is_set, threads_per_save))  # noqa: S301
            except (Exception, SystemExit) as error:  # noqa: BLE001  (as any error of a row)
                outcome = Outcome(None, WorkerError(f"a process could not work on its row: {error!r}"), 0.0)
            if ends_with_error and outcome.error is not None:
                has_error.set()
            outbox.send_bytes(_pickled(outcome))


def _receive_rows(
    inbox: connection.Connection[Any, Any],
    rows: queue.SimpleQueue[bytes | None],
    is_stopped: threading.Event,
    has_error: threading.Event,
) -> None:
    """Queue rows; when the pipe ends, end a running save, and the whole process some time after its parent died."""
    with suppress(EOFError, OSError):
        while True:
            content = inbox.recv_bytes()
            if content:
                rows.put(content)
            else:
                has_error.set()
    is_stopped.set()
    rows.put(None)
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        threading.main_thread().join(ORPHAN_SECONDS)
    os._exit(1)


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
        substitute = WorkerError(f"a {kind} cannot be sent from one process to another: {error or problem}")
        for note in getattr(error, "__notes__", ()):
            substitute.add_note(note)
        content = pickle.dumps(Outcome(None, substitute, outcome.seconds))
    return content
