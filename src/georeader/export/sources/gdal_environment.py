"""GDAL's options for threads that read what somebody else opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import rasterio
from rasterio.env import getenv, hasenv, setenv

#: GDAL's cache of decoded blocks while a window is read, by whichever way a lazy array leads to GDAL.
CACHE_BYTES = 32 * 2**20


class GdalEnvironment:
    """GDAL's options of the thread that made this, for other threads.

    GDAL keeps decoded blocks, up to a twentieth of the machine's memory, for as long as a file is open; lazy arrays
    keep their files open. While a window is read the cache is bounded, unless the options say how large it may be.
    """

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        """Take up the options that hold here and now.

        Args:
            cache_bytes: Of decoded blocks, for the whole process, while a window is read.
        """
        self._cache_bytes = cache_bytes
        self._inherited = dict(getenv()) if hasenv() else {}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the options hold."""
        with rasterio.Env(GDAL_CACHEMAX=self._cache_bytes):
            if self._inherited:
                setenv(**self._inherited)
            yield
