"""Bases of the sinks, which receive the bytes of a file, and the temporary files of a save."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from georeader._export.plan.traits import SectionSizes, SinkTraits
from georeader._export.sinks.temporary_file import PIECE_BYTES, TemporaryFile, temporary_folder
from georeader._readers.byte_source import ByteSource
from georeader._tiff.checksum import crc32, crc32_combine
from georeader.errors import DestinationError, WriteError


class Scratch:
    """Temporary files of one export, in the system's folder for them by default; `close` removes them.

    Those without a name also disappear when the process ends.
    """

    def __init__(self, name: str, folder: Path | None, stem: str = "georeader") -> None:
        self._name = name
        self._folder = folder or temporary_folder()
        self._stem = stem
        self._files: list[TemporaryFile] = []

    def open_spool(self) -> TemporaryFile:
        """Open a file that will never have a name; raises DestinationError."""
        return self._open(is_spool=True)

    def open_file(self) -> TemporaryFile:
        """Open a file that can be opened again by its ``path``; raises DestinationError."""
        return self._open(is_spool=False)

    def _open(self, *, is_spool: bool) -> TemporaryFile:
        place = str(self._folder)
        whose = f"{self._name!r}: a temporary file in {place!r}"
        try:
            file = TemporaryFile(self._folder, self._stem, whose=whose, is_spool=is_spool)
        except OSError as error:
            raise DestinationError(
                f"{self._name!r}: no temporary file can be made in {place!r}: {error.strerror}; name another folder by "
                "dir_tmpfiles"
            ) from error
        self._files.append(file)
        return file

    def close(self) -> None:
        """Remove all files."""
        while self._files:
            self._files.pop().close()


class Sink(ABC):
    """The destination of a file, as a context manager.

    A file has three sections, in this order: header, overviews, full resolution. The header is written last. The block
    ends in exactly one of `commit` and `abort`; leaving it without a commit aborts, and then no file is made. Methods
    raise DestinationError or WriteError. ``given`` is the destination in messages and receipts, without secrets.
    """

    traits = SinkTraits()

    def __init__(self, name: str, scratch: Scratch) -> None:
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

    @abstractmethod
    def begin(self, sizes: SectionSizes) -> None:
        """Take the sizes of the sections, once, before the first write.

        They are upper bounds. With random access those of header and overviews are exact.
        """

    @abstractmethod
    def write_header(self, *pieces: bytes | memoryview) -> None:
        """Write the header, one piece after the other."""

    @abstractmethod
    def write_overviews(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Write pieces, one after the other, from an offset in the overviews on.

        Without random access, the offset is the end of what was written.
        """

    @abstractmethod
    def write_full_resolution(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Write pieces, one after the other, from an offset in the full resolution on; as `write_overviews`."""

    def write_copy(self, header: bytes, source: ByteSource, start_bytes: int, length_bytes: int) -> int | None:
        """Write a whole file: a header, and behind it a range of another file.

        Returned is the CRC-32 of the file, or None where the range did not pass through this process. Memory: a piece.
        """
        self.begin(SectionSizes(len(header), 0, length_bytes))
        checksum = 0
        for offset_bytes in range(0, length_bytes, PIECE_BYTES):
            piece = source.read_at(start_bytes + offset_bytes, min(PIECE_BYTES, length_bytes - offset_bytes))
            self.write_full_resolution(offset_bytes, piece)
            checksum = crc32(piece, checksum)
        self.write_header(header)
        return crc32_combine(crc32(header), checksum, length_bytes)

    @abstractmethod
    def commit(self) -> None:
        """Make the file appear at its destination, whole, and remove temporary files."""

    def abort(self, *, is_urgent: bool = False) -> None:  # noqa: ARG002  (for sinks that abort requests)
        """Remove what was written; if the process is about to end, requests in flight are waited for only briefly."""
        self._close()

    def open_spool(self) -> TemporaryFile:
        """Open an unnamed temporary file; it is gone when the sink is committed or aborted."""
        self._check_open()
        return self._scratch.open_spool()

    @property
    def staging_path(self) -> Path:
        """A path for a writer that makes the whole file itself, as GDAL does; it is valid in this process alone."""
        return Path(self._staging().path)

    def room_error(self) -> WriteError | None:
        """Return why the file at `staging_path` cannot grow, or None; see `TemporaryFile.room_error`."""
        return None if self._staged is None else self._staged.room_error()

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


class RandomAccessSink(Sink):
    """A sink whose sections are written to one file, at any offset, by any number of threads."""

    _sizes = SectionSizes()

    def begin(self, sizes: SectionSizes) -> None:
        """Take the sizes of the sections."""
        self._sizes = sizes

    def write_header(self, *pieces: bytes | memoryview) -> None:
        """Write the header."""
        self._staging().write_at(0, *pieces)

    def write_overviews(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Write pieces of the overviews."""
        self._staging().write_at(self._sizes.header_bytes + offset_bytes, *pieces)

    def write_full_resolution(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Write pieces of the full resolution."""
        start_bytes = self._sizes.header_bytes + self._sizes.overviews_bytes
        self._staging().write_at(start_bytes + offset_bytes, *pieces)
