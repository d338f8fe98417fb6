"""Worker threads for the rows of a catalog: which takes which row, and how a run ends early."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue
from time import monotonic
from types import TracebackType
from typing import Protocol

from geotoolz.catalog.plan import RowPlan
from geotoolz.catalog.result import Outcome

#: Who is interrupted waits so long for what can't be: a codec in the middle of a tile, a read over the network.
PATIENCE_SECONDS = 0.7

#: How often a wait looks up, where the system does not interrupt it.
_GLANCE_SECONDS = 0.25

#: A row and what became of it; or an error that ends the run; or None: a worker has nothing more to do.
_Message = tuple[RowPlan, Outcome] | BaseException | None


class Worker(AbstractContextManager["Worker"], Protocol):
    """One pair of hands, used by one thread."""

    def work_on(self, plan: RowPlan) -> Outcome:
        """Work on a row, whatever comes of it."""
        ...


class WorkerPool(AbstractContextManager["WorkerPool"]):
    """Threads, each with a worker of its own, that take rows in order as they come free.

    Where the system allows for fewer threads there are fewer; without any, rows are worked on in the caller's thread.

    Leaving the block waits for rows that are being worked on. After Ctrl-C, or another error in the caller's thread, it
    has them end, and waits `PATIENCE_SECONDS` at most: a thread that hangs then ends by itself, and saves nothing.
    """

    def __init__(
        self,
        plans: Iterable[RowPlan],
        workers: int,
        open_worker: Callable[[WorkerPool], Worker],
        *,
        ends_with_error: bool,
    ) -> None:
        """Say who works on what; nothing begins yet.

        Args:
            plans: Rows.
            workers: How many threads.
            open_worker: Is called in each thread.
            ends_with_error: Begin no row after one had an error; those that are being worked on come to their end.
        """
        self._plans = iter(plans)
        self._lock = threading.Lock()
        self._open_worker = open_worker
        self._ends_with_error = ends_with_error
        self._messages: SimpleQueue[_Message] = SimpleQueue()
        # As daemons: an interpreter that ends does not wait for a read that hangs.
        self._threads = [
            threading.Thread(target=self._serve, name=f"geotoolz-{number}", daemon=True) for number in range(workers)
        ]
        self._is_closed = threading.Event()
        self._is_stopped = threading.Event()

    @property
    def is_stopped(self) -> bool:
        """Whether rows that are being worked on should end."""
        return self._is_stopped.is_set()

    def outcomes(self) -> Iterator[tuple[RowPlan, Outcome]]:
        """Iterate over rows as they are done.

        Raises:
            BaseException: An error of no row: a worker cannot be opened, or Ctrl-C.
        """
        if not self._threads:
            yield from self._outcomes_here()
            return
        active = len(self._threads)
        while active:
            message = self._next_message()
            if message is None:
                active -= 1
            elif isinstance(message, BaseException):
                raise message
            else:
                yield message

    def _next_message(self) -> _Message:
        while True:
            try:
                return self._messages.get(timeout=_GLANCE_SECONDS)
            except Empty:
                continue

    def __enter__(self) -> WorkerPool:
        for number, thread in enumerate(self._threads):
            try:
                thread.start()
            except RuntimeError:  # the system allows no more: a container's limit of processes, say
                del self._threads[number:]
                break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closed.set()
        if kind is not None:
            self._is_stopped.set()
        deadline = monotonic() + PATIENCE_SECONDS
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - monotonic()) if kind is not None else None)

    def _outcomes_here(self) -> Iterator[tuple[RowPlan, Outcome]]:
        """Iterate over rows that are worked on in this thread."""
        with self._open_worker(self) as worker:
            while (plan := self._next_plan()) is not None:
                outcome = worker.work_on(plan)
                if outcome.error is not None and self._ends_with_error:
                    self._is_closed.set()
                yield plan, outcome

    def _serve(self) -> None:
        try:
            for done in self._outcomes_here():
                self._messages.put(done)
        except BaseException as error:  # noqa: BLE001  (it is raised in the caller's thread)
            if not self.is_stopped:
                self._messages.put(error)
        finally:
            self._messages.put(None)

    def _next_plan(self) -> RowPlan | None:
        with self._lock:
            return None if self._is_closed.is_set() else next(self._plans, None)
