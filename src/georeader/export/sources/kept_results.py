"""Results that are needed more than once: each is made by one thread, and kept while it is needed and memory allows."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class KeptResults:
    """Results by name, bounded in bytes; the one that was asked for longest ago goes first.

    Example:
        >>> kept = KeptResults(limit_bytes=100)
        >>> kept.get("mean", lambda: 3.5), kept.get("mean", lambda: "never called")
        (3.5, 3.5)
        >>> kept.forget("mean")
        >>> "mean" in kept
        False
    """

    def __init__(self, limit_bytes: int) -> None:
        """Begin with none.

        Args:
            limit_bytes: Of those kept; a single one may be larger.
        """
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._results: OrderedDict[Any, Future[Any]] = OrderedDict()
        self._sizes_bytes: dict[Any, int] = {}

    def __contains__(self, name: Any) -> bool:
        with self._lock:
            return name in self._sizes_bytes

    def get(self, name: Any, make: Callable[[], Any]) -> Any:
        """Give a result; who asks first makes it, and others wait.

        Args:
            name: Of the result.
            make: What makes it. It may ask for other results, but for none that needs this one.

        Raises:
            Exception: What ``make`` raised, here and for those who waited; the next one to ask tries again.
        """
        with self._lock:
            result, is_mine = self._results.get(name), name not in self._results
            if result is None:
                result = self._results[name] = Future()
            self._results.move_to_end(name)
        if not is_mine:
            return result.result()
        try:
            value = make()
        except BaseException as error:
            self.forget(name)
            result.set_exception(error)
            raise
        result.set_result(value)
        with self._lock:
            if self._results.get(name) is result:
                self._sizes_bytes[name] = int(getattr(value, "nbytes", 0))
                self._drop_oldest(keep=1)
        return value

    def forget(self, name: Any) -> None:
        """Let go of a result."""
        with self._lock:
            self._results.pop(name, None)
            self._sizes_bytes.pop(name, None)

    def make_room(self, size_bytes: int) -> None:
        """Let go of what would not fit beside a result that is about to be made."""
        with self._lock:
            self._drop_oldest(keep=0, coming_bytes=size_bytes)

    def clear(self) -> None:
        """Let go of all results that are made."""
        with self._lock:
            for name in list(self._sizes_bytes):
                del self._results[name], self._sizes_bytes[name]

    def _drop_oldest(self, *, keep: int, coming_bytes: int = 0) -> None:
        made = [name for name in self._results if name in self._sizes_bytes]
        total_bytes = coming_bytes + sum(self._sizes_bytes.values())
        for name in made[: len(made) - keep]:
            if total_bytes <= self._limit_bytes:
                return
            total_bytes -= self._sizes_bytes.pop(name)
            del self._results[name]
