"""Target for a file object that the caller opened: the whole file is written at the end, from its position on."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from georeader._export.sinks.spooled import Finished
from georeader.errors import DestinationError, WriteError


class FileObject:
    """A `Target`: an object open for binary writing, such as `io.BytesIO`.

    Nothing is written before the file is whole. If writing then fails, the object is cut back to where it was, where it
    can be; what it overwrote of an earlier content is lost. It is neither flushed to the disk nor closed.
    """

    def __init__(self, file: Any) -> None:
        """Keep a file object.

        Args:
            file: Has ``write``.
        """
        self._file = file
        name = getattr(file, "name", None)
        self.name = name if isinstance(name, str) else f"<{type(file).__name__}>"

    def check(self) -> None:
        """Check that it can be written to.

        Raises:
            DestinationError: It is closed, or open only for reading, or for text.
        """
        file = self._file
        if getattr(file, "closed", False) is True:
            raise DestinationError(f"{self.name!r} is closed; pass it while it is open")
        if isinstance(file, io.TextIOBase) or isinstance(getattr(file, "encoding", None), str):
            raise DestinationError(f"{self.name!r} is open for text; open it with mode 'wb'")
        writable = getattr(file, "writable", None)
        if callable(writable) and not writable():
            raise DestinationError(f"{self.name!r} is not open for writing; open it with mode 'wb'")

    def send(self, finished: Finished) -> None:
        """Write the file.

        Raises:
            WriteError: The object refuses it.
        """
        start = self._position()
        try:
            for piece in finished.pieces():
                self._write_all(piece)
            if start is not None and hasattr(self._file, "truncate"):
                with contextlib.suppress(io.UnsupportedOperation):  # a stream that is encoded, gzip's for one
                    self._file.truncate()  # of a longer content that was there
        except BaseException as error:
            self._restore(start)
            if isinstance(error, (OSError, ValueError)) and not isinstance(error, WriteError):
                raise WriteError(f"{self.name!r}: it can't be written: {error}") from error
            raise

    def _write_all(self, piece: bytes) -> None:
        """Write a piece, of which an unbuffered object may take only a part at once."""
        view = memoryview(piece)
        while view:
            written = self._file.write(view if isinstance(self._file, io.IOBase) else bytes(view))
            if written is not None and not isinstance(written, int):
                raise WriteError(f"{self.name!r}: write() must return a number of bytes, got {written!r}")
            if written == 0:
                raise WriteError(f"{self.name!r}: it takes no more bytes")
            if written is not None and not 0 < written <= len(view):
                raise WriteError(f"{self.name!r}: write() returned {written} for {len(view)} bytes")
            view = view[len(view) if written is None else written :]

    def _position(self) -> int | None:
        """Return its position; None where it cannot seek."""
        try:
            return int(self._file.tell()) if self._file.seekable() else None
        except (AttributeError, OSError, ValueError):
            return None

    def _restore(self, start: int | None) -> None:
        if start is None:
            return
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._file.seek(start)
            self._file.truncate()
