"""The tasks of a dask array, run chunk by chunk: what chunks share is computed once where memory allows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from georeader.export.sources.kept_results import KeptResults
from georeader.export.sources.task_units import units_of

#: Runs a graph: (graph, keys) to their results.
Get = Callable[[Mapping[Any, Any], list[Any]], Any]

#: Results that several chunks need are kept in so much memory; they are computed anew beyond it.
KEPT_BYTES = 128 * 2**20

#: Chunks that are larger are computed one at a time.
LARGE_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Scheduler:
    """Who runs dask's tasks.

    Attributes:
        get: For the chunks of a window.
        get_wide: For what depends on much of the array, and which everyone waits for: a mean, say.
        concurrent: Windows to compute at once.
    """

    get: Get
    get_wide: Get
    concurrent: int


def find_scheduler() -> Scheduler:
    """Take the scheduler that the user chose; else each window is computed by the thread that asks for it.

    That keeps what is in memory to the windows that are being read: dask's own threads would compute the chunks of one
    window at the same time, and wait for the slowest of them.
    """
    config, threaded_get = import_module("dask").config, import_module("dask.threaded").get
    chosen = import_module("dask.base").get_scheduler()
    if chosen is None and config.get("pool", None) is not None:
        chosen = threaded_get
    if chosen is not None:
        return Scheduler(chosen, chosen, concurrent=2)
    workers = int(config.get("num_workers", None) or import_module("dask.system").CPU_COUNT)
    return Scheduler(import_module("dask").get, threaded_get, concurrent=workers)


class ChunkGraph:
    """The tasks of an array, or of some rows of its chunks."""

    def __init__(self, array: Any, scheduler: Scheduler, kept: KeptResults) -> None:
        """Let dask optimise the array's tasks. Memory: some 2 KiB for each task.

        Args:
            array: A dask array.
            scheduler: Runs its tasks.
            kept: Keeps results that several chunks need.
        """
        (optimised,) = import_module("dask").optimize(array)
        core = import_module("dask.core")
        self._graph = dict(optimised.__dask_graph__())
        self._names = optimised.__dask_keys__()
        self._scheduler, self._kept = scheduler, kept
        self._chunk_bytes = -(-array.nbytes // array.npartitions)
        self._dependencies = {name: tuple(core.get_dependencies(self._graph, name)) for name in self._graph}
        tasks = {
            name for name, task in self._graph.items() if core.istask(task)
        }  # the others are data: they cost nothing
        units = units_of(
            {name: [needed for needed in self._dependencies[name] if needed in tasks] for name in tasks},
            tasks.intersection(_flat(self._names)),
        )
        self._needs, self._users = units.needs, dict(units.users)
        self._done: set[Any] = set()
        self._lock, self._one_large = threading.Lock(), threading.Lock()

    def name(self, chunk: tuple[int, ...]) -> Any:
        """Give the name of a chunk's task.

        Args:
            chunk: Its position along each axis.
        """
        found = self._names
        for position in chunk:
            found = found[position]
        return found

    def compute(self, names: list[Any]) -> list[Any]:
        """Compute chunks, each of which is asked for once.

        Raises:
            Exception: What a task raised.
        """
        known = {name: self._result(name, 0) for name in names if self._users.get(name) or name in self._kept}
        others = [name for name in names if name not in known]
        known.update(zip(others, self._run(others, 0), strict=True))
        self._let_go(names)
        return [known[name] for name in names]

    def compute_and_keep(self, name: Any, size_bytes: int) -> Any:
        """Compute a chunk that will be asked for again; `forget` lets go of it.

        Args:
            name: Of its task.
            size_bytes: Of the chunk.

        Raises:
            Exception: What a task raised.
        """
        return self._result(name, size_bytes)

    def forget(self, name: Any) -> None:
        """Let go of a chunk that was kept."""
        if not self._users.get(name):
            self._kept.forget(name)

    def _result(self, name: Any, size_bytes: int) -> Any:
        """Give the result of a unit, once computed for all that need it."""

        def make() -> Any:
            (result,) = self._run([name], size_bytes)
            self._let_go([name])
            return result

        return self._kept.get(name, make)

    def _run(self, names: list[Any], size_bytes: int) -> list[Any]:
        """Run the tasks that lead to some results, as one graph."""
        given, is_wide = self._given(names)
        graph = self._part(names, given)
        get = self._scheduler.get_wide if is_wide else self._scheduler.get
        with self._alone(size_bytes):
            return list(get(graph, names)) if names else []

    def _given(self, names: Iterable[Any]) -> tuple[dict[Any, Any], bool]:
        """Give results that several units need, in the order in which they need each other.

        Those of a unit that needs too many of them at once (a mean of everything, say) are not kept: they are computed
        within it, and let go of as soon as dask has used them.

        Returns:
            Name to result, and whether there are too many.
        """
        needed = dict.fromkeys(need for name in names for need in self._needs.get(name, ()) if need not in names)
        is_wide = len(needed) * self._chunk_bytes > KEPT_BYTES
        return {name: self._result(name, 0) for name in needed if not is_wide or name in self._kept}, is_wide

    def _part(self, names: Iterable[Any], given: Mapping[Any, Any]) -> dict[Any, Any]:
        """Give the graph of what leads to some results."""
        part: dict[Any, Any] = {}
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in given:
                part[name] = (_Result(given[name]),)
            elif name not in part:
                part[name] = self._graph[name]
                waiting.extend(self._dependencies[name])
        return part

    def _let_go(self, names: Iterable[Any]) -> None:
        """Forget results that nobody needs any more, now that these units are done."""
        with self._lock:
            new = [name for name in names if name not in self._done]
            self._done.update(new)
            needs = [need for name in new for need in self._needs.get(name, ())]
            for need in needs:
                self._users[need] -= 1
            unneeded = [need for need in needs if self._users[need] == 0]
        for need in unneeded:
            self._kept.forget(need)

    @contextmanager
    def _alone(self, size_bytes: int) -> Iterator[None]:
        """Compute one large chunk at a time, with nothing beside it."""
        if size_bytes <= LARGE_BYTES:
            yield
            return
        with self._one_large:
            self._kept.make_room(size_bytes)
            yield


@dataclass(frozen=True)
class _Result:
    """A result as a task: what it is can't be taken for the name of another one."""

    value: Any

    def __call__(self) -> Any:
        return self.value


def _flat(names: Any) -> Iterator[Any]:
    """Go through nested lists."""
    if isinstance(names, list):
        for name in names:
            yield from _flat(name)
    else:
        yield names
