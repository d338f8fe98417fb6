"""Sink for destinations that take a file as a whole: it is written to a temporary file without a name, then sent."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

from georeader._export.plan.sink_traits import SinkTraits
from georeader._export.sinks.remote import RemoteSink
from georeader._export.sinks.target import Finished, Target
from georeader.errors import WriteError


class SpooledSink(RemoteSink):
    """A sink that sends to a `Target`, as a context manager.

    The temporary file lies in ``dir_tmpfiles``, by default the system's folder. It has no name where the system
    supports that, and then disappears with the process. Elsewhere it is removed on every exit but a kill, or by the
    next save.

    Attributes:
        given: The destination, without secrets.

    Example:
        >>> class Shelf:
        ...     name = "shelf://out.tif"
        ...     def check(self): pass
        ...     def send(self, finished): print(finished.size_bytes, b"".join(finished.pieces()))
        >>> with SpooledSink(Shelf()) as sink:
        ...     sink.write_at(0, b"whole")
        ...     sink.commit()
        5 b'whole'
    """

    traits = SinkTraits()
    writes_in_parallel = True

    def __init__(self, target: Target, *, dir_tmpfiles: Path | None = None) -> None:
        """Check whether the target can be written to; nothing is written yet.

        Args:
            target: Where the file is sent.
            dir_tmpfiles: Folder for temporary files; the system's by default.

        Raises:
            DestinationError: The target cannot be written to.
        """
        super().__init__(target.name, dir_tmpfiles)
        self._target = target
        self._opening = threading.Lock()
        target.check()

    def __enter__(self) -> SpooledSink:
        self._is_open = True
        return self

    def expect(self, most_head_bytes: int, most_tail_bytes: int) -> None:
        """Need not know."""

    def write_at(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Write bytes, one piece after the other, from an offset on; gaps are zeros. Threads may do so at once.

        Raises:
            DestinationError: The folder for temporary files takes none.
            WriteError: Its disk is full, or the system reports another error.
        """
        self._check_open()
        with self._opening:
            file = self._staging()
        file.write_at(offset_bytes, *pieces)

    @property
    def size_bytes(self) -> int:
        """Length of what was written so far."""
        self._check_open()
        return 0 if self._staged is None else self._staged.size_bytes

    def commit(self) -> None:
        """Send the file, and remove what was temporary.

        Raises:
            DestinationError: The destination refuses it.
            WriteError: It can't be sent; the destination is as it was.
        """
        self._check_open()
        file = self._staged
        if file is None:
            raise WriteError(f"{self.given!r}: there is no file to send")
        self._target.send(Finished(file, file.size_bytes))
        self.abort()

    def abort(self) -> None:
        """Remove what was written; after a commit, only temporary files."""
        self._is_open = False
        self._close_files()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()
