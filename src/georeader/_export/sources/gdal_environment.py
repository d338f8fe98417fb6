"""GDAL's options for threads that read, and the bound on GDAL's block cache while they do."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import rasterio
from rasterio._env import get_gdal_config, set_gdal_config
from rasterio.env import getenv, hasenv, setenv

#: Bytes of GDAL's block cache for an array whose windows may be read by GDAL, and for a warp.
CACHE_BYTES = 32 * 2**20

_OPTION = "GDAL_CACHEMAX"


class GdalEnvironment:
    """GDAL's options of the thread that made this, for other threads; they come before the options passed.

    GDAL keeps decoded blocks, up to a twentieth of the machine's memory, for as long as a file is open. From the first
    `bound_cache` to `release` its cache is held down to what the saves at work have asked for, unless GDAL_CACHEMAX is
    set.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Copy GDAL's options of this thread.

        Args:
            options: Further options; those of the thread come first.
        """
        self._options = dict(options)
        self._inherited = dict(getenv()) if hasenv() else {}
        names = {name.upper() for name in (*self._options, *self._inherited, *os.environ)}
        self._cache_is_set = _OPTION in names

    @contextmanager
    def held(self) -> Iterator[None]:
        """Set the options in this thread."""
        with rasterio.Env(**self._options):
            if self._inherited:
                setenv(**self._inherited)
            yield

    def bound_cache(self, cache_bytes: int) -> None:
        """Bound GDAL's block cache to the sum of all sources' parts, and set this source's part.

        Args:
            cache_bytes: Of decoded blocks, for all files that the source has open.
        """
        if not self._cache_is_set:
            _BLOCK_CACHE.bound(self, cache_bytes)

    def release(self) -> None:
        """Release this source's part of GDAL's block cache; the last one restores the cache's size."""
        _BLOCK_CACHE.bound(self, 0)


class _BlockCache:
    """The size of GDAL's block cache, which is one for the process: the sum of the parts that sources asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: dict[object, int] = {}
        self._before_bytes = self._set_bytes = 0

    def bound(self, owner: object, cache_bytes: int) -> None:
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

    def forget_parts(self) -> None:
        """Drop the parts in a forked process, where the threads of their sources do not run.

        GDAL is not asked: another thread may have held its locks. The next source to release its part restores the
        cache.
        """
        self._lock = threading.Lock()
        self._parts.clear()


_BLOCK_CACHE = _BlockCache()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_BLOCK_CACHE.forget_parts)
