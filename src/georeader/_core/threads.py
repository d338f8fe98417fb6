"""Worker threads, with the results in order and the work ahead of them bounded in bytes."""

from __future__ import annotations

import logging
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

#: Results that may wait to be taken, in bytes of what they are made of.
AHEAD_BYTES = 8 * 2**20

#: Who is interrupted waits so long for work that can't be: a codec in the middle of a tile, a read over the network.
PATIENCE_SECONDS = 0.2


@dataclass(frozen=True)
class Task(Generic[Result]):
    """A piece of work.

    Attributes:
        run: What to do; it depends on no other task.
        size_bytes: What it may hold in memory.
    """

    run: Callable[[], Result]
    size_bytes: int


class Workers(AbstractContextManager["Workers"]):
    """A pool of threads, for as long as the block lasts.

    Leaving the block waits for what is running; after an exception it drops what has not begun; after Ctrl-C it waits
    `PATIENCE_SECONDS` at most: the threads then end by themselves, and their results are dropped. Threads are not
    shared between blocks, so that a forked process finds nothing that its parent's threads would have to do.

    Example:
        >>> with Workers(2) as workers:
        ...     print(list(workers.ordered(Task(lambda n=n: n * n, 1) for n in range(4))))
        [0, 1, 4, 9]
    """

    def __init__(self, threads: int, *, name: str = "georeader") -> None:
        """Keep the number of threads to start.

        Where the system allows fewer, there are fewer; ``threads`` is then their number.

        Args:
            threads: Number of them; 0: work is done where its result is taken.
            name: Beginning of the threads' names.
        """
        self.threads = threads
        self._name = name
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Workers:
        for number in range(self.threads):
            # As daemons: an interpreter that ends does not wait for a read that hangs.
            thread = threading.Thread(target=self._serve, name=f"{self._name}-{number}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the system allows no more: a container's limit of processes, say
                _LOG.info("%s: %d of %d threads could be started: %s", self._name, number, self.threads, error)
                break
            self._threads.append(thread)
        self.threads = len(self._threads)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._drop()
        for _ in self._threads:
            self._queue.put(None)
        is_urgent = kind is not None and not issubclass(kind, Exception)
        deadline = monotonic() + PATIENCE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()) if is_urgent else None)

    def submit(self, run: Callable[[], Result]) -> Future[Result]:
        """Begin a piece of work as soon as a thread is free; without threads it is done at once in the caller's."""
        future: Future[Result] = Future()
        if self._threads:
            self._queue.put((future, run))
        else:
            _run(future, run)
        return future

    def ordered(self, tasks: Iterable[Task[Result]], ahead_bytes: int | None = None) -> Iterator[Result]:
        """Give the results of tasks in their order; with threads, work begins at once.

        Tasks are taken from ``tasks``, in the caller's thread, while those ahead hold less than ``ahead_bytes``
        (`AHEAD_BYTES` by default); each thread has one task whatever it holds, and one more waits, so that a single
        large one stops nobody.

        Raises:
            Exception: What a task raised, in its place.
        """
        if not self.threads:
            return (task.run() for task in tasks)
        return _Ahead(InFlight(self, AHEAD_BYTES if ahead_bytes is None else ahead_bytes), iter(tasks))

    def _drop(self) -> None:
        with suppress(Empty):
            while True:
                item = self._queue.get_nowait()
                if item is not None:
                    item[0].cancel()

    def _serve(self) -> None:
        while (item := self._queue.get()) is not None:
            future, run = item
            _run(future, run)
            del item, future, run


def _run(future: Future[Any], run: Callable[[], Any]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(run())
        except BaseException as error:  # noqa: BLE001  (it is raised where the result is taken)
            future.set_exception(error)


class InFlight(Generic[Result]):
    """Tasks that were begun, and whose results are taken in the order in which they were given.

    Example:
        >>> with Workers(1) as workers:
        ...     in_flight = InFlight(workers, limit_bytes=100)
        ...     for number in range(3):
        ...         in_flight.add(Task(lambda n=number: n * n, 60))
        ...     print(in_flight.is_full, [in_flight.take() for _ in range(len(in_flight))])
        True [0, 1, 4]
    """

    def __init__(self, workers: Workers, limit_bytes: int) -> None:
        """Begin with none.

        Args:
            workers: Who does them; without threads they are done when their results are taken.
            limit_bytes: Where more should wait.
        """
        self._workers = workers
        self._limit_bytes = limit_bytes
        self._waiting: deque[tuple[Callable[[], Result], int]] = deque()
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, task: Task[Result]) -> None:
        """Begin a task."""
        take = self._workers.submit(task.run).result if self._workers.threads else task.run
        self._waiting.append((take, task.size_bytes))
        self._size_bytes += task.size_bytes

    def take(self) -> Result:
        """Wait for the result of the oldest task.

        Raises:
            Exception: What the task raised.
        """
        take, size_bytes = self._waiting.popleft()
        self._size_bytes -= size_bytes
        return take()

    @property
    def is_full(self) -> bool:
        """Whether a result should be taken before another task is begun."""
        is_over = self._size_bytes > self._limit_bytes or not self._workers.threads
        return is_over and len(self._waiting) > self._workers.threads

    def has_room(self, size_bytes: int) -> bool:
        """Tell whether a task of some size can be begun."""
        return len(self._waiting) <= self._workers.threads or self._size_bytes + size_bytes <= self._limit_bytes


class _Ahead(Iterator[Result]):
    """Results of tasks that threads work on ahead of who takes them."""

    def __init__(self, in_flight: InFlight[Result], tasks: Iterator[Task[Result]]) -> None:
        self._in_flight = in_flight
        self._tasks = tasks
        self._next = next(tasks, None)
        self._submit()

    def __next__(self) -> Result:
        if not self._in_flight:
            raise StopIteration
        result = self._in_flight.take()
        self._submit()
        return result

    def _submit(self) -> None:
        while self._next is not None and self._in_flight.has_room(self._next.size_bytes):
            self._in_flight.add(self._next)
            self._next = next(self._tasks, None)


def thread_count(num_threads: str | int, cpus: int, tasks: int) -> int:
    """Give the number of threads for some tasks: never more than there are tasks.

    Args:
        num_threads: "ALL_CPUS" or a number.
        cpus: Processors of this process.
        tasks: Number of tasks.
    """
    wanted = cpus if num_threads == "ALL_CPUS" else int(num_threads)
    return max(1, min(wanted, tasks))


def startable_threads(threads: int) -> int:
    """Return how many of some threads the system allows to start now.

    Args:
        threads: Number of threads that are wanted.
    """
    with Workers(threads, name="georeader-probe") as workers:
        return workers.threads
