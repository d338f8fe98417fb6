"""Bases of the sinks: their temporary files, and the sections of a file that is written at any offset."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from georeader._export.plan.traits import SectionSizes, SinkTraits
from georeader._export.sinks.temporary_file import Scratch, TemporaryFile
from georeader.errors import WriteError


class StagingSink:
    """Temporary files of a save, and whether the sink is open.

    Attributes:
        given: The destination, without secrets.
        traits: What it can do.
    """

    traits: SinkTraits

    def __init__(self, name: str, scratch: Scratch) -> None:
        """Keep the arguments; the sink is closed.

        Args:
            name: Of the destination.
            scratch: Makes temporary files.
        """
        self.given = name
        self._scratch = scratch
        self._is_open = False
        self._opening = threading.Lock()
        self._staged: TemporaryFile | None = None

    def __enter__(self) -> Self:
        self._is_open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_open:
            self.abort(is_urgent=kind is not None and not issubclass(kind, Exception))

    def open_spool(self) -> TemporaryFile:
        """Open an unnamed temporary file; it is gone when the sink is committed or aborted.

        Raises:
            DestinationError: The folder takes no files.
        """
        self._check_open()
        return self._scratch.open_spool()

    @property
    def staging_path(self) -> Path:
        """A path of the whole file, for a writer that needs one, as GDAL does; the file may have no name."""
        return Path(self._staging().path)

    def room_error(self) -> WriteError | None:
        """Return why the file at `staging_path` cannot grow, or None; see `TemporaryFile.room_error`."""
        return None if self._staged is None else self._staged.room_error()

    @property
    def size_bytes(self) -> int:
        """Length of what was written so far."""
        self._check_open()
        return 0 if self._staged is None else self._staged.size_bytes

    def abort(self, *, is_urgent: bool = False) -> None:  # noqa: ARG002  (for sinks that abort requests)
        """Remove what was written.

        Args:
            is_urgent: The process is about to end.
        """
        self._close()

    def _staging(self) -> TemporaryFile:
        """Open the file of `staging_path`, if it is not open yet."""
        self._check_open()
        with self._opening:
            if self._staged is None:
                self._staged = self._open_staged()
            return self._staged

    def _open_staged(self) -> TemporaryFile:
        return self._scratch.open_file()

    def _close(self) -> None:
        """Remove temporary files; the sink is closed."""
        self._is_open = False
        staged, self._staged = self._staged, None
        if staged is not None:
            staged.close()
        self._scratch.close()

    def _check_open(self) -> None:
        if not self._is_open:
            raise WriteError(f"{self.given!r}: the sink is not open; use it in a with block")


class RandomAccessSink(StagingSink):
    """A sink whose sections are written to one file, at any offset, by any number of threads."""

    traits = SinkTraits()

    def __init__(self, name: str, scratch: Scratch) -> None:
        """Keep the arguments; the sink is closed."""
        super().__init__(name, scratch)
        self._overviews_start_bytes = 0
        self._full_resolution_start_bytes = 0

    def begin(self, sizes: SectionSizes) -> None:
        """Take the sizes of the sections, once, before the first write; those of header and overviews are exact."""
        self._overviews_start_bytes = sizes.header_bytes
        self._full_resolution_start_bytes = sizes.header_bytes + sizes.overviews_bytes

    def write_header(self, *pieces: bytes | memoryview) -> None:
        """Write the header, one piece after the other.

        Raises:
            DestinationError: The folder takes no files.
            WriteError: The disk is full, or the system reports another error.
        """
        self._staging().write_at(0, *pieces)

    def write_overviews(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Write pieces, one after the other, from an offset in the overviews on; raises as `write_header`."""
        self._staging().write_at(self._overviews_start_bytes + offset_bytes, *pieces)

    def write_full_resolution(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Write pieces, one after the other, from an offset in the full resolution on; raises as `write_header`."""
        self._staging().write_at(self._full_resolution_start_bytes + offset_bytes, *pieces)
