"""Open raster files to read from: one's own, as many as there are threads, or the one that the caller opened."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from georeader.export.sources.gdal_environment import CACHE_BYTES, GdalEnvironment, bounded_cache
from georeader.file_info import named_errors
from georeader.remote.reading import RasterPath

#: A handle is closed and opened again after it has read so many bytes: GDAL keeps decoded blocks, up to a twentieth of
#: the machine's memory, for as long as the file is open.
REOPEN_BYTES = 8 * 2**20


class Handles(Protocol):
    """Where a read gets an open dataset from.

    Attributes:
        concurrent: How many threads may borrow at once.
        reader_bytes: What GDAL may keep for each of them.
    """

    concurrent: int
    reader_bytes: int

    def borrow(self, size_bytes: int) -> AbstractContextManager[Any]:
        """Give a dataset for one read.

        Args:
            size_bytes: Of what will be read.
        """
        ...

    def close(self) -> None:
        """Close what is one's own."""
        ...


class OwnHandles:
    """Handles of a file, opened when they are needed.

    GDAL's options of the thread that made this hold on every thread that reads.
    """

    concurrent = 4
    reader_bytes = REOPEN_BYTES

    def __init__(self, path: RasterPath, options: Mapping[str, Any], overview_level: int | None = None) -> None:
        """Say what is to be opened; nothing is yet.

        Args:
            path: Where it is.
            options: GDAL configuration options for each read.
            overview_level: Open this overview of the file.
        """
        self._path = path
        self._environment = GdalEnvironment({**path.options, **options})
        self._level = {} if overview_level is None else {"overview_level": overview_level}
        self._free: list[tuple[Any, int]] = []
        self._lock = threading.Lock()

    @contextmanager
    def borrow(self, size_bytes: int) -> Iterator[Any]:
        """Give a dataset that no other thread has.

        Raises:
            ReadError: The file can't be opened, or read while it was borrowed.
        """
        with named_errors(self._path), self._environment.held():
            with self._lock:
                dataset, read_bytes = self._free.pop() if self._free else (None, 0)
            if dataset is None:
                dataset = self._path.open(sharing=False, **self._level)
            try:
                yield dataset
            except BaseException:
                dataset.close()
                raise
            if read_bytes + size_bytes >= REOPEN_BYTES or self._path.is_bound_to_thread:
                dataset.close()
                return
            with self._lock:
                self._free.append((dataset, read_bytes + size_bytes))

    def close(self) -> None:
        """Close all handles; none is borrowed."""
        with self._lock:
            while self._free:
                self._free.pop()[0].close()


class CallersHandle:
    """The dataset that the caller opened: one read at a time, and never closed here.

    No other handle would do: of a name alone nobody knows by which options it was opened, nor whether the file has been
    replaced since. GDAL's cache is bounded while a read is running, by its own setting, which holds for the process.
    """

    concurrent = 1

    def __init__(self, dataset: Any, reader_bytes: int = CACHE_BYTES) -> None:
        """Take a dataset.

        Args:
            dataset: Open in rasterio.
            reader_bytes: What GDAL may keep of it.
        """
        self.reader_bytes = reader_bytes
        self._dataset = dataset
        self._environment = bounded_cache(reader_bytes)
        self._lock = threading.Lock()

    @contextmanager
    def borrow(self, size_bytes: int) -> Iterator[Any]:
        """Give the dataset.

        Raises:
            ReadError: It can't be read.
        """
        del size_bytes
        with self._lock, named_errors(self._dataset.name), self._environment.held():
            yield self._dataset

    def close(self) -> None:
        """Leave the dataset to who opened it."""
