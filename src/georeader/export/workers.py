"""Work on threads, with the results in order and the work ahead of them bounded in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

Result = TypeVar("Result")

#: Results that may wait to be taken, in bytes of what they are made of.
AHEAD_BYTES = 8 * 2**20


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
    """Some threads of one's own, for as long as the block lasts.

    Leaving the block waits for what is running and drops what is not, also when an exception (Ctrl-C) ends it. One
    thread means none: work is done where its result is taken. Threads are not shared between blocks, so that a forked
    process finds nothing that its parent's threads would have to do.

    Example:
        >>> with Workers(2) as workers:
        ...     print(list(workers.ordered(Task(lambda n=n: n * n, 1) for n in range(4))))
        [0, 1, 4, 9]
    """

    def __init__(self, threads: int) -> None:
        """Say how many threads to start."""
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Workers:
        if self.threads > 1:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="georeader")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def ordered(self, tasks: Iterable[Task[Result]]) -> Iterator[Result]:
        """Give the results of tasks in their order; with threads, work begins at once.

        Tasks are taken from ``tasks``, in the caller's thread, while those ahead hold less than `AHEAD_BYTES`; each
        thread has one task whatever it holds, and one more waits, so that a single large one stops nobody.

        Raises:
            Exception: What a task raised, in its place.
        """
        if self._pool is None:
            return (task.run() for task in tasks)
        return _Ahead(self._pool, iter(tasks), self.threads)


class _Ahead(Iterator[Result]):
    """Results of tasks that threads work on ahead of who takes them."""

    def __init__(self, pool: ThreadPoolExecutor, tasks: Iterator[Task[Result]], threads: int) -> None:
        self._pool = pool
        self._tasks = tasks
        self._threads = threads
        self._next = next(tasks, None)
        self._waiting: deque[tuple[Future[Result], int]] = deque()
        self._ahead_bytes = 0
        self._submit()

    def __next__(self) -> Result:
        if not self._waiting:
            raise StopIteration
        future, size_bytes = self._waiting.popleft()
        result = future.result()
        self._ahead_bytes -= size_bytes
        self._submit()
        return result

    def _submit(self) -> None:
        while self._next is not None:
            size_bytes = self._next.size_bytes
            if len(self._waiting) > self._threads and self._ahead_bytes + size_bytes > AHEAD_BYTES:
                return
            self._waiting.append((self._pool.submit(self._next.run), size_bytes))
            self._ahead_bytes += size_bytes
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
