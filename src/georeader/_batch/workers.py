"""Threads and processes that work on plans; each plan is yielded as it is done, with its outcome.

Processes are `ProcessPoolExecutor`s of one process each: of a larger pool it is not known which plan a process that
died was working on.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.spawn
import operator
import os
import pickle
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from multiprocessing import connection, resource_tracker
from pathlib import PurePath
from time import monotonic
from typing import Any, NamedTuple

from georeader._batch.run import Job, Outcome, Plan, Run
from georeader._core.threads import Workers, usable_cpus
from georeader.errors import OptionError, WorkerError

#: A plan with its outcome.
Done = tuple[Any, Outcome]

#: Prefix of the names of threads.
_NAME = "georeader-batch"

#: Longest wait after Ctrl-C for work that cannot be interrupted: a codec within a tile, a read over the network.
PATIENCE_SECONDS = 0.7

#: Longest wait of a process whose parent died, for its plan.
ORPHAN_SECONDS = 10.0

#: A process gets a second plan while it works on one, so that it does not wait for this process in between. Where plans
#: take longer than this, the wait is negligible, and a queued plan could sit behind a slow one while others are idle.
_SHORT_SECONDS = 1.0

_GUARD = 'A script that uses executor="process" begins its work below: if __name__ == "__main__":'

#: How often a wait is interrupted for Ctrl-C where the system does not do it (Windows).
POLL_SECONDS = 0.25


def threads_per_save(workers: int) -> int | None:
    """Return the threads of each save where the CPUs are divided among workers; None for a single worker's: all."""
    return None if workers == 1 else max(1, usable_cpus() // workers)


def run_in_threads(plans: Iterable[Plan], job: Job, workers: int, *, ends_with_error: bool) -> Iterator[Done]:
    """Iterate over plans as threads finish them; with one worker, or where no thread can be started, in this thread.

    With `ends_with_error`, no plan is begun after one had an error; those that were begun are completed.
    """
    is_stopped, has_error = threading.Event(), threading.Event()

    def work(plan: Plan) -> Outcome | None:
        if has_error.is_set():
            return None
        # In the caller's thread, Ctrl-C needs no help.
        outcome = job.process(plan, Run(is_stopped.is_set, threads_per_save(workers)) if workers > 1 else None)
        if outcome.error is not None and ends_with_error:
            has_error.set()
        return outcome

    with Workers(workers if workers > 1 else 0, name=_NAME) as pool:
        if pool.threads:
            yield from _work_in_pool(plans, work, pool, is_stopped, has_error)
            return
        for plan in plans:
            outcome = work(plan)
            if outcome is None:
                return
            yield plan, outcome


def _work_in_pool(
    plans: Iterable[Plan],
    work: Callable[[Plan], Outcome | None],
    pool: Workers,
    is_stopped: threading.Event,
    has_error: threading.Event,
) -> Iterator[Done]:
    remaining, waiting = iter(plans), dict[Future[Outcome | None], Plan]()

    def refill() -> None:
        # As many plans as there are threads are queued, so that a thread does not wait for the caller.
        to_submit = () if has_error.is_set() else islice(remaining, 2 * pool.threads - len(waiting))
        waiting.update((pool.submit(partial(work, plan)), plan) for plan in to_submit)

    try:
        refill()
        while waiting:
            done = wait(waiting, POLL_SECONDS, FIRST_COMPLETED).done
            finished = [(waiting.pop(future), future.result()) for future in done]
            refill()
            yield from ((plan, outcome) for plan, outcome in finished if outcome is not None)
    except BaseException:
        is_stopped.set()
        for future in waiting:
            future.cancel()
        wait(waiting, PATIENCE_SECONDS)
        raise


def run_in_processes(plans: Iterable[Plan], job: Job, workers: int, *, ends_with_error: bool) -> Iterator[Done]:
    """Iterate over plans as processes finish them; see `run_in_threads`.

    Raises:
        WorkerError: A process cannot be started.
    """
    remaining = iter(plans)
    content = pickle.dumps(job)
    processes = [_Process(job.unit, content, threads_per_save(workers), ends_with_error) for _ in range(workers)]
    try:
        for process in processes:
            process.start()
        finished = _send_plans(remaining, processes)
        while finished or any(process.sent for process in processes):
            futures = [one.future for process in processes for one in process.sent]
            wait(futures, 0 if finished else POLL_SECONDS, FIRST_COMPLETED)
            finished += [done for process in processes for done in process.take_finished()]
            if ends_with_error and any(outcome.error is not None for _, outcome in finished):
                remaining = iter(())
                for process in processes:
                    process.begin_no_more()
            unsendable = _send_plans(remaining, processes)  # first, so that processes are busy while the caller is
            yield from finished
            finished = unsendable
    except BaseException:
        for process in processes:
            process.stop()
        wait([one.future for process in processes for one in process.sent], PATIENCE_SECONDS)
        for process in processes:
            process.kill()
        raise
    finally:
        with Workers(len(processes), name=f"{_NAME}-end") as pool:  # each waits for its process
            for process in processes:
                pool.submit(process.close)


def _send_plans(remaining: Iterator[Plan], processes: list[_Process]) -> list[Done]:
    """Send plans to processes until each has enough; return those that cannot be sent."""
    failed = []
    while ready := [process for process in processes if process.is_ready()]:
        plan = next(remaining, None)
        if plan is None:
            break
        try:
            content = pickle.dumps(plan)
        except Exception as error:  # noqa: BLE001  (classes of the caller's raise anything)
            problem = OptionError(f"{plan.name} cannot be sent to a process: {error}")
            failed.append((plan, Outcome(None, problem, 0.0)))
            continue
        min(ready, key=lambda process: len(process.sent)).send(plan, content)
    return failed


class _Sent(NamedTuple):
    plan: Plan
    content: bytes  #: The plan, pickled
    future: Future[bytes]


class _Process:
    """Spawned Python interpreter that works through the plans sent to it; after one that died, another is started.

    Rows are worked on in their order, so the plan that was worked on when the process died is the first that has no
    outcome. The end of a pipe ends a running save, and a message in it the beginning of plans.
    """

    def __init__(self, unit: str, job: bytes, threads_per_save: int | None, ends_with_error: bool) -> None:
        self.sent: deque[_Sent] = deque()
        self._units = f"{unit}s"
        self._job = job  #: Pickled
        self._arguments = (unit, threads_per_save, ends_with_error)
        self._executor: ProcessPoolExecutor | None = None
        self._pipe: connection.Connection[Any, Any] | None = None
        self._pid: Future[int] = Future()
        self._process: Any = None
        self._began = 0.0
        self._last_seconds = _SHORT_SECONDS

    def start(self) -> None:
        """Start the process, without waiting for it."""
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
            self._tell(None)  # so that a process without an executor ends
            self.stop()
            is_imported = "bootstrapping" in str(error)  # by a process that was started, which runs the script again
            remedy = _GUARD if is_imported else 'allow this user or container more processes, or pass executor="thread"'
            raise WorkerError(f"a process to work on {self._units} cannot be started: {error}; {remedy}") from error

    def _await_start(self) -> None:
        while self._process is None:
            try:
                pid = self._pid.result(POLL_SECONDS)
            except FutureTimeoutError:
                continue
            except BrokenProcessPool as error:
                raise WorkerError(
                    f"a process to work on {self._units} cannot be started; standard error says why. {_GUARD}"
                ) from error
            self._process = next((child for child in multiprocessing.active_children() if child.pid == pid), None)
            # Not with the process: multiprocessing waits for ever where one ends before it has read a large argument.
            self._executor.submit(_take_job, self._job)  # type: ignore[union-attr]
            return

    def is_ready(self) -> bool:
        return len(self.sent) < (2 if self._last_seconds < _SHORT_SECONDS else 1)

    def send(self, plan: Plan, content: bytes) -> None:
        if self._executor is None:
            self.start()
        self._await_start()
        if not self.sent:
            self._began = monotonic()
        try:
            future = self._executor.submit(_work, content)  # type: ignore[union-attr]
        except BrokenProcessPool as error:  # it died between two plans
            future = Future()
            future.set_exception(error)
        self.sent.append(_Sent(plan, content, future))

    def take_finished(self) -> list[Done]:
        """Return the plans that are done with their outcomes: an error for the plan whose process died."""
        finished = []
        while self.sent and self.sent[0].future.done():
            plan, _, future = self.sent.popleft()
            began, self._began = self._began, monotonic()
            self._last_seconds = self._began - began
            try:
                outcome: Outcome | None = pickle.loads(future.result())  # noqa: S301  (from a process of one's own)
            except BrokenProcessPool:
                outcome = self._died(plan)
            finished += [] if outcome is None else [(plan, outcome)]
        return finished

    def _died(self, plan: Plan) -> Outcome:
        process = self._process
        self.close()
        queued, self.sent = self.sent, deque()
        for one in queued:
            self.send(one.plan, one.content)
        error = WorkerError(
            f"the process that worked on {plan.name} ended (exit code {process and process.exitcode}) without an "
            "answer: it was killed, perhaps for want of memory, or crashed"
        )
        return Outcome(None, error, self._last_seconds)

    def begin_no_more(self) -> None:
        self._tell(_NO_MORE)

    def _tell(self, message: str | None) -> None:
        if self._pipe is not None:
            with suppress(OSError):  # the process died, or was not started
                self._pipe.send(message)

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


def is_client(value: Any) -> bool:
    """Return whether something is a client of dask.distributed, which is not imported for that."""
    client = getattr(sys.modules.get("distributed"), "Client", None)
    return isinstance(client, type) and isinstance(value, client)


def check_worker_count(n_workers: Any) -> int | None:
    """Return a number of workers, or None for the default; raises OptionError for anything else."""
    if n_workers is None:
        return None
    is_integer = hasattr(n_workers, "__index__") and not isinstance(n_workers, bool)
    if not is_integer or operator.index(n_workers) < 1:
        raise OptionError(f"n_workers={n_workers!r} is not a number of workers; pass 1 or more, or None")
    return operator.index(n_workers)


def check_executor(executor: Any) -> None:
    """Raise OptionError unless an executor is "thread", "process" where that starts Python, or a synchronous client."""
    if is_client(executor):
        if executor.asynchronous:
            raise OptionError("executor is an asynchronous Client of dask; pass one made without asynchronous=True")
    elif executor == "process":
        _check_interpreter()
    elif executor != "thread":
        kind = type(executor).__name__
        given = f"executor={executor!r}" if isinstance(executor, str) else f"executor is a {kind}, which"
        raise OptionError(f"{given} is neither 'thread' nor 'process' nor a distributed.Client")


def _check_interpreter() -> None:
    """Check that multiprocessing starts Python: in a host program, such as QGIS, it would start the host."""
    program = os.fsdecode(multiprocessing.spawn.get_executable() or "")
    if getattr(sys, "frozen", False) or not PurePath(program).name.lower().startswith(("python", "pypy", "graalpy")):
        raise OptionError(
            f'executor="process": {program!r} is not a Python interpreter but a host program or a frozen application; '
            'use executor="thread", or name an interpreter by multiprocessing.set_executable'
        )


# Within a process.

#: Message to a process.
_NO_MORE = "no more"

#: Work on each plan, and how the run that it is part of goes; set when the process starts.
_job: Job | None = None
_pickled_job = b""
_unit: str
_threads_per_save: int | None
_ends_with_error: bool
_is_stopped, _begins_no_more = threading.Event(), threading.Event()

#: Held while a plan is worked on.
_at_work = threading.Lock()


def _begin(
    pipe: connection.Connection[Any, Any], unit: str, threads_per_save: int | None, ends_with_error: bool
) -> None:
    """Prepare a process for its plans."""
    global _unit, _threads_per_save, _ends_with_error
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process handles it, and ends this one
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _unit, _threads_per_save, _ends_with_error = unit, threads_per_save, ends_with_error
    threading.Thread(target=_watch, args=(pipe,), name=f"{_NAME}-watch", daemon=True).start()


def _take_job(content: bytes) -> None:
    global _pickled_job
    _pickled_job = content


def _loaded_job() -> Job:
    global _job, _pickled_job
    if _job is None:
        _job, _pickled_job = pickle.loads(_pickled_job), b""  # noqa: S301  (from the parent process)
    return _job


def _watch(pipe: connection.Connection[Any, Any]) -> None:
    """End a running save when the run is interrupted, and the process when its parent dies or did not need it."""
    parent = multiprocessing.parent_process()
    sentinels = [] if parent is None else [parent.sentinel]
    is_needed = True
    with suppress(EOFError, OSError):
        while is_needed and pipe in connection.wait([pipe, *sentinels]):
            is_needed = pipe.recv() == _NO_MORE
            _begins_no_more.set()
    _is_stopped.set()
    if is_needed:
        connection.wait(sentinels)
        _at_work.acquire(timeout=ORPHAN_SECONDS)
    os._exit(1)  # the pool's own loop waits for ever


def _work(content: bytes) -> bytes:
    """Process a plan: from a pickled `Plan` to a pickled `Outcome`, or None if no plan is to be begun."""
    with _at_work:
        if _begins_no_more.is_set():
            return pickle.dumps(None)
        try:
            plan = pickle.loads(content)  # noqa: S301  (from the parent process)
            outcome = _loaded_job().process(plan, Run(_is_stopped.is_set, _threads_per_save))
        except (Exception, SystemExit) as error:  # noqa: BLE001  (the pool would raise SystemExit in the parent)
            outcome = Outcome(None, WorkerError(f"a process could not work on its {_unit}: {error!r}"), 0.0)
        if _ends_with_error and outcome.error is not None:
            _begins_no_more.set()
        return pickle_outcome(outcome, "in a process of its own")


def pickle_outcome(outcome: Outcome, place: str, dumps: Callable[[Any], bytes] = pickle.dumps) -> bytes:
    """Pickle an outcome, its error with the lines of its traceback, which pickle leaves out, and with its place."""
    error = outcome.error
    if error is not None:
        error.add_note(f"{place}:\n" + "".join(traceback.format_exception(error)))
    try:
        content = dumps(outcome)
        pickle.loads(content)  # noqa: S301  (some errors can be pickled and not unpickled)
    except Exception as problem:  # noqa: BLE001  (classes of the caller's raise anything)
        kind = type(outcome.receipt if error is None else error).__name__
        substitute = WorkerError(f"a {kind} cannot be sent from one process to another: {error or problem}")
        for note in getattr(error, "__notes__", ()):
            substitute.add_note(note)
        content = dumps(Outcome(None, substitute, outcome.seconds))
    return content
