"""GDAL's options for threads that read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import rasterio
from rasterio.env import getenv, hasenv, setenv

#: GDAL's cache of decoded blocks while a window is read, by whichever way a lazy array leads to GDAL.
CACHE_BYTES = 32 * 2**20


class GdalEnvironment:
    """GDAL's options of the thread that made this, for other threads; they come before those that are given."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Take up the options that hold here and now.

        Args:
            options: Hold too, where those say nothing.
        """
        self._options = dict(options)
        self._inherited = dict(getenv()) if hasenv() else {}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the options hold."""
        with rasterio.Env(**self._options):
            if self._inherited:
                setenv(**self._inherited)
            yield


def bounded_cache(cache_bytes: int = CACHE_BYTES) -> GdalEnvironment:
    """Give an environment in which GDAL's cache is bounded, unless the options say how large it may be.

    GDAL keeps decoded blocks, up to a twentieth of the machine's memory, for as long as a file is open, and what others
    opened stays open.

    Args:
        cache_bytes: Of decoded blocks, for the whole process, while a window is read.
    """
    return GdalEnvironment({"GDAL_CACHEMAX": cache_bytes})
