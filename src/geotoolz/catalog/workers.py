"""Workers of a crew: one that works in its own thread, and one that works in a subprocess."""

from __future__ import annotations

import multiprocessing
import multiprocessing.spawn
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import PurePath
from time import monotonic
from types import TracebackType
from typing import Any

from georeader.errors import OptionError
from geotoolz.catalog.plan import RowPlan
from geotoolz.catalog.process_row import Job, work_on
from geotoolz.catalog.result import Outcome
from geotoolz.catalog.worker_pool import PATIENCE_SECONDS
from geotoolz.errors import WorkerError
from geotoolz.run_context import Run

#: How often a thread that waits for its process, and a process at work, look whether the run has ended.
_GLANCE_SECONDS = 0.05

#: Names of programs that run Python code.
_INTERPRETERS = ("python", "pypy", "graalpy")

#: The first word of a process that is ready.
_READY = "ready"


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
    """Check that what multiprocessing starts is Python: in a host program, such as QGIS, it would be the host.

    Raises:
        OptionError: It is not.
    """
    program = os.fsdecode(multiprocessing.spawn.get_executable() or "")
    is_python = PurePath(program).name.lower().startswith(_INTERPRETERS)
    if getattr(sys, "frozen", False) or not is_python:
        raise OptionError(
            f'executor="process": {program!r} is not a Python interpreter but a host program or a frozen application; '
            'use executor="thread", or name an interpreter by multiprocessing.set_executable'
        )


class ThreadWorker:
    """Works where it is called."""

    def __init__(self, job: Job, run: Run) -> None:
        """Take a job, and the run that it is part of."""
        self._job = job
        self._run = run

    def __enter__(self) -> ThreadWorker:
        return self

    def __exit__(self, *raised: object) -> None:
        """Leave nothing."""

    def work_on(self, plan: RowPlan) -> Outcome:
        """Work on a row."""
        return work_on(plan, self._job, self._run)


class ProcessWorker:
    """Works on rows in a subprocess; if that dies, its row has an error, and the next row gets another process.

    The process is a new Python interpreter (multiprocessing's "spawn", which leaves no file behind when a process is
    killed). It gets its rows through a pipe, and ends a running save when something comes through the pipe
    meanwhile, or when this process ends.
    """

    def __init__(self, job: Job, threads_per_save: int | None, is_stopped: Callable[[], bool]) -> None:
        """Begin with no process.

        Args:
            job: What is done with each row; it has to be picklable.
            threads_per_save: As in `geotoolz.run_context.Run`.
            is_stopped: Tells whether the run was interrupted.
        """
        self._job = job
        self._threads_per_save = threads_per_save
        self._is_stopped = is_stopped
        self._process: Any = None
        self._pipe: Connection[Any, Any] | None = None

    def __enter__(self) -> ProcessWorker:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process: its save ends, too, where the run was interrupted."""
        self._end()

    def work_on(self, plan: RowPlan) -> Outcome:
        """Have the process work on a row.

        Raises:
            WorkerError: No process can be started.
            KeyboardInterrupt: The run was interrupted.
        """
        if self._pipe is None:
            self._start()
        started = monotonic()
        try:
            outcome: Outcome = self._answer(plan)
        except (EOFError, OSError):
            code = self._end()
            died = WorkerError(
                f"the process that worked on row {plan.index} ended (exit code {code}) without an answer: it was "
                "killed, perhaps for want of memory, or crashed"
            )
            return Outcome(None, died, monotonic() - started)
        return outcome

    def _answer(self, plan: RowPlan) -> Any:
        if self._pipe is None:
            raise EOFError("there is no process")
        try:
            content = pickle.dumps(plan)
        except Exception as error:  # noqa: BLE001  (what a class of the caller's does when it is pickled)
            return Outcome(None, OptionError(f"row {plan.index} can't be sent to a process: {error}"), 0.0)
        self._pipe.send_bytes(content)
        while not self._pipe.poll(_GLANCE_SECONDS):
            if self._is_stopped():
                raise KeyboardInterrupt("the run of the catalog was interrupted")
        return self._pipe.recv()

    def _start(self) -> None:
        context: Any = multiprocessing.get_context("spawn")
        self._pipe, its_end = context.Pipe()
        arguments = (its_end, self._job, self._threads_per_save)
        process = context.Process(target=serve, args=arguments, name="geotoolz", daemon=True)
        try:
            with _interrupts_blocked():
                process.start()
                self._process = process
        except OSError as error:
            self._end()
            raise WorkerError(
                f"a process to work on rows can't be started: {error}; allow this user or container more processes, or "
                'pass executor="thread"'
            ) from error
        its_end.close()  # so that its end is the end of the pipe
        try:
            while not self._pipe.poll(_GLANCE_SECONDS):
                if self._is_stopped():
                    raise KeyboardInterrupt("the run of the catalog was interrupted")
            self._pipe.recv()
        except (EOFError, OSError) as error:
            raise WorkerError(
                f"a process to work on rows can't be started (exit code {self._end()}); standard error says why. "
                'A script that uses executor="process" begins its work below: if __name__ == "__main__":'
            ) from error

    def _end(self) -> int | None:
        """End the process, at last by force; give its exit code."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is None:
            return None
        process, self._process = self._process, None
        process.join(PATIENCE_SECONDS / 2)
        if process.exitcode is None:
            process.kill()
            process.join()
        code: int | None = process.exitcode
        process.close()
        return code


def serve(pipe: Connection[Any, Any], job: Job, threads_per_save: int | None) -> None:
    """Work on the rows that come through a pipe, until it ends; the main function of a subprocess.

    Args:
        pipe: Receives a `RowPlan`, sends an `Outcome`.
        job: What is done with each row.
        threads_per_save: As in `geotoolz.run_context.Run`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one handles it, and ends this one
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    run = Run(_Glances(pipe), threads_per_save)
    try:
        pipe.send(_READY)
        while True:
            _tell(pipe, work_on(pipe.recv(), job, run))
    except (EOFError, OSError, KeyboardInterrupt):
        return


class _Glances:
    """Tells whether something has come through a pipe, and looks only now and then: saves ask it for each tile."""

    def __init__(self, pipe: Connection[Any, Any]) -> None:
        self._pipe = pipe
        self._looked = monotonic()
        self._has_come = False

    def __call__(self) -> bool:
        now = monotonic()
        if not self._has_come and now - self._looked >= _GLANCE_SECONDS:
            self._looked = now
            self._has_come = self._pipe.poll()
        return self._has_come


def _tell(pipe: Connection[Any, Any], outcome: Outcome) -> None:
    """Send what became of a row, its error with the lines of its traceback, which pickle leaves out."""
    error = outcome.error
    if error is not None:
        error.add_note("in a process of its own:\n" + "".join(traceback.format_exception(error)))
    try:
        content = pickle.dumps(outcome)
        pickle.loads(content)  # noqa: S301  (one's own; some errors go in and don't come out)
    except Exception as problem:  # noqa: BLE001  (what a class of the caller's does when it is pickled)
        kind = type(outcome.receipt if error is None else error).__name__
        told = str(error or problem)
        stands_for = WorkerError(f"a {kind} can't be sent from one process to another: {told}")
        for note in getattr(error, "__notes__", ()):
            stands_for.add_note(note)
        content = pickle.dumps(Outcome(None, stands_for, outcome.seconds))
    pipe.send_bytes(content)
