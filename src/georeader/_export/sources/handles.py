"""Open raster files to read from: the source's own, as many as there are threads, or the one that the caller opened."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import Context, copy_context
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from rasterio.vrt import WarpedVRT

from georeader._export.sources.gdal_environment import GdalEnvironment
from georeader._readers.opening import RasterPath
from georeader._readers.raster_file import named_errors


class Handles(Protocol):
    """Provider of open datasets for reads."""

    def borrow(self, cache_bytes: int = 0) -> AbstractContextManager[Any]:
        """Return a dataset for one read.

        Args:
            cache_bytes: What GDAL's block cache may hold for it; 0: the cache is not bounded.
        """
        ...

    def close(self) -> None:
        """Close the datasets that were opened here."""
        ...


class OwnHandles:
    """Handles of a file, each opened when it is first needed and kept open until `close`.

    A format that is decoded from its beginning is decoded once for each handle, however many windows are read.
    GDAL's options of the thread that made this apply on every thread that reads.
    """

    def __init__(self, path: RasterPath, options: Mapping[str, Any], overview_level: int | None = None) -> None:
        """Keep the path and options; nothing is opened yet.

        Args:
            path: Where it is.
            options: GDAL configuration options for each read.
            overview_level: Open this overview of the file.
        """
        self._path = path
        self._environment = GdalEnvironment({**path.options, **options})
        self._level = {} if overview_level is None else {"overview_level": overview_level}
        self._free: list[_Open] = []
        self._open_count = 0
        self._lock = threading.Lock()

    @contextmanager
    def borrow(self, cache_bytes: int = 0) -> Iterator[Any]:
        """Return a dataset that no other thread has.

        Raises:
            ReadError: The file cannot be opened, or read while it was borrowed.
        """
        with named_errors(self._path), self._environment.held():
            with self._lock:
                handle = self._free.pop() if self._free else None
            if handle is None:
                handle = self._open()
            with self._lock:
                self._environment.bound_cache(self._open_count * cache_bytes)
            try:
                with handle.entered():
                    yield handle.dataset
            except BaseException:
                self._close(handle)
                raise
            with self._lock:
                self._free.append(handle)

    def close(self) -> None:
        """Close all handles; none is borrowed."""
        while self._free:
            self._close(self._free.pop())
        self._environment.release()

    def _open(self) -> _Open:
        handle = _Open(self._path, self._level)
        with self._lock:
            self._open_count += 1
        return handle

    def _close(self, handle: _Open) -> None:
        handle.close()
        with self._lock:
            self._open_count -= 1


class _Open:
    """An open dataset that any thread may close: rasterio keeps the opener of a path in the context of a thread."""

    def __init__(self, path: RasterPath, options: Mapping[str, Any]) -> None:
        self._context: Context = copy_context()
        self.dataset = self._context.run(path.open, sharing=False, **options)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Enter the opening thread's context, in which sidecars open: GDAL opens a mask when it is first read."""
        tokens = [(name, name.set(value)) for name, value in self._context.items() if "open" in name.name]
        try:
            yield
        finally:
            for name, token in tokens:
                name.reset(token)

    def close(self) -> None:
        self._context.run(self.dataset.close)


class CallersHandle:
    """The dataset that the caller opened: one read at a time in the whole process, and never closed here.

    It is not opened again: its name alone does not tell by which options it was opened, nor whether the file has been
    replaced since.
    """

    def __init__(self, dataset: Any) -> None:
        """Keep a dataset.

        Args:
            dataset: Open in rasterio.
        """
        self._dataset = dataset
        self._environment = GdalEnvironment({})

    @contextmanager
    def borrow(self, cache_bytes: int = 0) -> Iterator[Any]:
        """Return the dataset, which no other save uses meanwhile.

        Raises:
            ReadError: It cannot be read.
        """
        with lock_of(self._dataset), named_errors(self._dataset.name), self._environment.held():
            if cache_bytes:
                self._environment.bound_cache(cache_bytes)
            yield self._dataset

    def close(self) -> None:
        """Leave the dataset open, as the caller had it."""
        self._environment.release()


def lock_of(dataset: Any) -> AbstractContextManager[Any]:
    """Return the lock of a dataset that the caller opened.

    Neither GDAL's datasets nor rasterio's are safe to use from several threads at once, and the caller may save one
    from several threads. A WarpedVRT reads through its source dataset, and has the lock of that.

    Args:
        dataset: Open in rasterio, or a WarpedVRT.
    """
    while isinstance(dataset, WarpedVRT):
        dataset = dataset.src_dataset
    with _LOCKS_LOCK:
        return _LOCKS.setdefault(dataset, threading.RLock())


_LOCKS: WeakKeyDictionary[Any, AbstractContextManager[Any]] = WeakKeyDictionary()
_LOCKS_LOCK = threading.Lock()


def _forget_locks() -> None:
    """Drop all locks in a forked process, where the threads that hold them do not run."""
    global _LOCKS_LOCK
    _LOCKS_LOCK = threading.Lock()
    _LOCKS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)
