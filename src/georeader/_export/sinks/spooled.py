"""Sink for destinations that take a file as a whole: it is written to a temporary file without a name, then sent."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from georeader._export.sinks.base import RandomAccessSink
from georeader._export.sinks.temporary_file import Scratch, TemporaryFile
from georeader.errors import WriteError

#: A finished file is read in pieces of so many bytes.
PIECE_BYTES = 4 * 2**20

#: Media type of the file, for destinations that store one.
CONTENT_TYPE = "image/tiff"


@dataclass(frozen=True)
class Finished:
    """A complete file in a temporary file.

    Attributes:
        file: Holds it.
        size_bytes: Its length.
    """

    file: TemporaryFile
    size_bytes: int

    @property
    def path(self) -> str:
        """A path by which this process can open it."""
        return self.file.path

    def open(self) -> BinaryIO:
        """Open it for reading."""
        return io.BufferedReader(_FinishedReader(self), PIECE_BYTES)

    def pieces(self, piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
        """Iterate over its content.

        Raises:
            WriteError: The temporary file cannot be read.
        """
        for offset_bytes in range(0, self.size_bytes, piece_bytes):
            yield self.file.read_at(offset_bytes, min(piece_bytes, self.size_bytes - offset_bytes))

    @cached_property
    def md5(self) -> bytes:
        """Its MD5; the file is read once for it."""
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self.pieces():
            digest.update(piece)
        return digest.digest()


class _FinishedReader(io.RawIOBase):
    """A position in a complete file."""

    def __init__(self, finished: Finished) -> None:
        super().__init__()
        self._finished = finished
        self._offset_bytes = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset_bytes, os.SEEK_END: self._finished.size_bytes}[whence]
        self._offset_bytes = origin + offset
        return self._offset_bytes

    def tell(self) -> int:
        return self._offset_bytes

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        size_bytes = min(len(view), max(0, self._finished.size_bytes - self._offset_bytes))
        view[:size_bytes] = self._finished.file.read_at(self._offset_bytes, size_bytes)
        self._offset_bytes += size_bytes
        return size_bytes


class Target(Protocol):
    """A destination that takes a file as a whole.

    Attributes:
        name: Of the destination, without secrets.
    """

    name: str

    def check(self) -> None:
        """Raise DestinationError, before anything is written, if `send` is sure to fail."""
        ...

    def send(self, finished: Finished) -> None:
        """Send the file, so that it appears whole or not at all; raises DestinationError or WriteError."""
        ...


class SpooledSink(RandomAccessSink):
    """A sink that sends to a `Target`, as a context manager.

    The temporary file lies in ``dir_tmpfiles``, by default the system's folder. It has no name where the system
    supports that, and then disappears with the process. Elsewhere it is removed on every exit but a kill, or by the
    next save.

    Example:
        >>> class Shelf:
        ...     name = "shelf://out.tif"
        ...     def check(self): pass
        ...     def send(self, finished): print(finished.size_bytes, b"".join(finished.pieces()))
        >>> with SpooledSink(Shelf()) as sink:
        ...     sink.write_header(b"whole")
        ...     sink.commit()
        5 b'whole'
    """

    def __init__(self, target: Target, *, dir_tmpfiles: Path | None = None) -> None:
        """Check whether the target can be written to; nothing is written yet.

        Args:
            target: Where the file is sent.
            dir_tmpfiles: Folder for temporary files; the system's by default.

        Raises:
            DestinationError: The target cannot be written to.
        """
        super().__init__(target.name, Scratch(target.name, dir_tmpfiles))
        self._target = target
        target.check()

    def commit(self) -> None:
        """Send the file, and remove the temporary files.

        Raises:
            DestinationError: The destination refuses it.
            WriteError: It cannot be sent; the destination is as it was.
        """
        self._check_open()
        file = self._staged
        if file is None:
            raise WriteError(f"{self.given!r}: there is no file to send")
        self._target.send(Finished(file, file.size_bytes))
        self._close()
