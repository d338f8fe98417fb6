"""Open raster files to read from, with GDAL's options of the calling thread and a bound on GDAL's block cache."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import Context, copy_context
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import rasterio
from rasterio._env import get_gdal_config, set_gdal_config
from rasterio.env import getenv, hasenv, setenv
from rasterio.vrt import WarpedVRT

from georeader._readers.opening import RasterPath
from georeader._readers.raster_file import named_errors

#: Bytes of GDAL's block cache for an array whose windows may be read by GDAL, and for a warp.
CACHE_BYTES = 32 * 2**20

_OPTION = "GDAL_CACHEMAX"


class GdalEnvironment:
    """GDAL's options of the thread that made this, for other threads; they come before the options passed.

    GDAL keeps decoded blocks, up to a twentieth of the machine's memory, for as long as a file is open. From the first
    `bound_cache` to that of 0 bytes its cache is held down to the sum that running saves need, unless GDAL_CACHEMAX is
    set.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)
        self._inherited = dict(getenv()) if hasenv() else {}
        names = {name.upper() for name in (*self._options, *self._inherited, *os.environ)}
        self._cache_is_set = _OPTION in names

    @contextmanager
    def held(self) -> Iterator[None]:
        """Set the options in this thread."""
        environment = copy(self._made)
        environment.options = dict(self._made.options)  # rasterio adds credentials to them
        with environment:
            if self._inherited:
                setenv(**self._inherited)
            yield

    @cached_property
    def _made(self) -> Any:
        """An environment of rasterio that is never entered: with credentials in os.environ, one takes 10 ms to make."""
        return rasterio.Env(**self._options)

    def bound_cache(self, cache_bytes: int) -> None:
        """Set this source's part of GDAL's block cache, for all its open files; the last to set 0 restores its size."""
        if not self._cache_is_set:
            _BLOCK_CACHE.bound(self, cache_bytes)


class _BlockCache:
    """The size of GDAL's block cache, which is one for the process: the sum of the parts of the sources."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: dict[object, int] = {}
        self._before_bytes = self._set_bytes = 0

    def bound(self, owner: object, cache_bytes: int) -> None:
        """Set the part of an owner; 0 removes it."""
        with self._lock:
            if self._parts.get(owner, 0) == cache_bytes:
                return
            now_bytes = int(get_gdal_config(_OPTION))
            if not self._parts and now_bytes != self._set_bytes:
                self._before_bytes = self._set_bytes = now_bytes
            self._parts.pop(owner, None)
            if cache_bytes:
                self._parts[owner] = cache_bytes
            if now_bytes == self._set_bytes:  # else the program has set it meanwhile, and it is not changed
                total_bytes = min(self._before_bytes, sum(self._parts.values())) or self._before_bytes
                set_gdal_config(_OPTION, total_bytes)
                self._set_bytes = total_bytes


_BLOCK_CACHE = _BlockCache()


class OwnHandles:
    """Handles of a file, opened when needed, kept until `close`, with GDAL's options of the thread that made this."""

    def __init__(self, path: RasterPath, options: Mapping[str, Any], overview_level: int | None = None) -> None:
        self._path = path
        self._arguments = options, overview_level
        self._environment = GdalEnvironment({**path.options, **options})
        self._level = {} if overview_level is None else {"overview_level": overview_level}
        self._free: list[_Open] = []
        self._open_count = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> Any:
        # The current folder of another process may be another one.
        is_local = Path(self._path.path).exists()
        path = replace(self._path, path=str(Path(self._path.path).absolute())) if is_local else self._path
        return OwnHandles, (path, *self._arguments)

    @contextmanager
    def borrow(self, cache_bytes: int = 0) -> Iterator[Any]:
        """Return a dataset that no other thread has, for one read; GDAL's block cache is bounded unless by 0 bytes."""
        with named_errors(self._path), self._environment.held():
            with self._lock:
                handle = self._free.pop() if self._free else None
            if handle is None:
                handle = _Open(self._path, self._level)
                with self._lock:
                    self._open_count += 1
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
        self._environment.bound_cache(0)

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
    """The dataset that the caller opened: one read at a time in the process, never closed or opened again here."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self._environment = GdalEnvironment({})

    @contextmanager
    def borrow(self, cache_bytes: int = 0) -> Iterator[Any]:
        """Return the dataset, which no other save uses meanwhile, as `OwnHandles.borrow`."""
        with lock_of(self._dataset), named_errors(self._dataset.name), self._environment.held():
            if cache_bytes:
                self._environment.bound_cache(cache_bytes)
            yield self._dataset

    def close(self) -> None:
        """Leave the dataset open, as the caller had it."""
        self._environment.bound_cache(0)


#: Providers of open datasets for reads.
Handles = OwnHandles | CallersHandle

_LOCKS: WeakKeyDictionary[Any, AbstractContextManager[Any]] = WeakKeyDictionary()
_LOCKS_LOCK = threading.Lock()


def lock_of(dataset: Any) -> AbstractContextManager[Any]:
    """Return the lock of a dataset that the caller opened, and may save from several threads.

    A WarpedVRT reads through its source dataset, and has the lock of that.
    """
    while isinstance(dataset, WarpedVRT):
        dataset = dataset.src_dataset
    with _LOCKS_LOCK:
        return _LOCKS.setdefault(dataset, threading.RLock())


def _after_fork() -> None:
    """Drop all locks and parts of the cache, whose threads do not run in a forked process.

    GDAL is not called: another thread may have held its locks. The next source to release its part restores the cache.
    """
    global _LOCKS_LOCK
    _LOCKS_LOCK = threading.Lock()
    _LOCKS.clear()
    _BLOCK_CACHE._lock = threading.Lock()
    _BLOCK_CACHE._parts.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
