"""Worker threads with results in order and pending work bounded in bytes; CPU counting.

`concurrent.futures.ThreadPoolExecutor` is not used: the interpreter joins its threads at exit, so that a hanging read
would delay Ctrl-C forever, and it fails where the system refuses to start one of its threads.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic
from types import TracebackType
from typing import Any, Generic, TypeVar

_LOG = logging.getLogger("georeader")

Result = TypeVar("Result")

#: Limit of `Workers.ordered` for pending work, in bytes.
AHEAD_BYTES = 8 * 2**20

#: Longest wait after Ctrl-C for work that cannot be interrupted: a codec within a tile, a read over the network.
PATIENCE_SECONDS = 0.2


@dataclass(frozen=True)
class Task(Generic[Result]):
    """A unit of work that depends on no other task, and the memory that it may hold."""

    run: Callable[[], Result]
    size_bytes: int


class Workers(AbstractContextManager["Workers"]):
    """A pool of threads, for as long as the block lasts.

    Leaving the block waits for running tasks. After an exception, tasks that have not begun are dropped. After Ctrl-C
    the wait is limited to `PATIENCE_SECONDS`: the threads then end by themselves, and their results are dropped.
    Threads are not shared between blocks, so that a forked process never waits for threads of its parent.

    Example:
        >>> from functools import partial
        >>> with Workers(2) as workers:
        ...     print(list(workers.ordered(Task(partial(pow, n, 2), 1) for n in range(4))))
        [0, 1, 4, 9]
    """

    def __init__(self, threads: int, *, name: str = "georeader") -> None:
        """Set the number of threads, which are started when the block is entered.

        If the system allows fewer, ``threads`` becomes the number that was started.

        Args:
            threads: Number of threads; 0: tasks run in the caller's thread.
            name: Prefix of the threads' names.
        """
        self.threads = threads
        self._name = name
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def __repr__(self) -> str:
        """Return one line: the number of threads."""
        return f"Workers({self.threads})"

    def __enter__(self) -> Workers:
        for number in range(self.threads):
            # Daemons: the interpreter does not wait for them at exit, even if a read hangs.
            thread = threading.Thread(target=self._serve, name=f"{self._name}-{number}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # such as a container's limit of processes
                _LOG.info("%s: %d of %d threads could be started: %s", self._name, number, self.threads, error)
                break
            self._threads.append(thread)
        self.threads = len(self._threads)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            with suppress(Empty):
                while item := self._queue.get_nowait():
                    item[0].cancel()
        for _ in self._threads:
            self._queue.put(None)
        is_urgent = kind is not None and not issubclass(kind, Exception)
        deadline = monotonic() + PATIENCE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()) if is_urgent else None)

    def submit(self, run: Callable[[], Result]) -> Future[Result]:
        """Submit work to the threads; without threads it runs at once, in the caller's."""
        future: Future[Result] = Future()
        if self._threads:
            self._queue.put((future, run))
        else:
            _run(future, run)
        return future

    def ordered(self, tasks: Iterable[Task[Result]], ahead_bytes: int | None = None) -> Iterator[Result]:
        """Iterate over the results of tasks in their order; with threads, work begins at once.

        Tasks are taken from ``tasks``, in the caller's thread, while pending ones hold less than ``ahead_bytes``
        (`AHEAD_BYTES` by default). Independent of size, each thread gets one task and one more is queued, so that a
        single large task does not stop the others. The error of a task is raised in its place.
        """
        if not self.threads:
            return (task.run() for task in tasks)
        return InFlight(self, AHEAD_BYTES if ahead_bytes is None else ahead_bytes, tasks)

    def _serve(self) -> None:
        while item := self._queue.get():
            _run(*item)
            del item  # a task's memory is not held while the thread waits


def _run(future: Future[Any], run: Callable[[], Any]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(run())
        except BaseException as error:  # noqa: BLE001  (raised by the future's result)
            future.set_exception(error)


class InFlight(Iterator[Result]):
    """Submitted tasks, whose results are taken in the order of submission.

    The queue is full from ``limit_bytes`` of pending tasks on. Without threads, a task runs when its result is taken.
    Iterating also submits ``tasks``, as long as there is room. (A generator would hold the last result while paused.)

    Example:
        >>> from functools import partial
        >>> with Workers(1) as workers:
        ...     in_flight: InFlight[int] = InFlight(workers, limit_bytes=100)
        ...     for number in range(3):
        ...         in_flight.add(Task(partial(pow, number, 2), 60))
        ...     print(in_flight.is_full, [in_flight.take() for _ in range(len(in_flight))])
        True [0, 1, 4]
    """

    def __init__(self, workers: Workers, limit_bytes: int, tasks: Iterable[Task[Result]] = ()) -> None:
        self._workers = workers
        self._limit_bytes = limit_bytes
        self._waiting: deque[tuple[Callable[[], Result], int]] = deque()
        self._size_bytes = 0
        self._tasks = iter(tasks)
        self._next = next(self._tasks, None)
        self._submit()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, task: Task[Result]) -> None:
        """Submit a task."""
        take = self._workers.submit(task.run).result if self._workers.threads else task.run
        self._waiting.append((take, task.size_bytes))
        self._size_bytes += task.size_bytes

    def take(self) -> Result:
        """Wait for the oldest task and return its result, or raise its error."""
        take, size_bytes = self._waiting.popleft()
        self._size_bytes -= size_bytes
        return take()

    @property
    def is_full(self) -> bool:
        """Whether a result should be taken before another task is submitted."""
        is_over = self._size_bytes > self._limit_bytes or not self._workers.threads
        return is_over and len(self._waiting) > self._workers.threads

    def __next__(self) -> Result:
        if not self._waiting:
            raise StopIteration
        result = self.take()
        self._submit()
        return result

    def _submit(self) -> None:
        while self._next is not None and (
            len(self._waiting) <= self._workers.threads or self._size_bytes + self._next.size_bytes <= self._limit_bytes
        ):
            self.add(self._next)
            self._next = next(self._tasks, None)


def usable_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_count(num_threads: str | int, cpus: int, tasks: int) -> int:
    """Return the number of threads for some tasks, which is never larger; ``num_threads`` may be "ALL_CPUS"."""
    wanted = cpus if num_threads == "ALL_CPUS" else int(num_threads)
    return max(1, min(wanted, tasks))


def startable_threads(threads: int) -> int:
    """Return how many of some threads the system allows to start now."""
    with Workers(threads, name="georeader-probe") as workers:
        return workers.threads
