"""Protocol of a sink, which receives the bytes of a file."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol

from georeader._export.plan.traits import SectionSizes, SinkTraits
from georeader._export.spool import Spool
from georeader.errors import WriteError


class Sink(Protocol):
    """The destination of a file, as a context manager.

    A file has three sections, in this order: header, overviews, full resolution. The header is written last. The block
    ends in exactly one of `commit` and `abort`; leaving it without a commit aborts, and then no file is made.

    Attributes:
        given: The destination in messages and receipts, without secrets.
        traits: What it can do.
    """

    given: str
    traits: SinkTraits

    def __enter__(self) -> Sink:
        """Open it."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Abort, unless it was committed."""
        ...

    def begin(self, sizes: SectionSizes) -> None:
        """Take the sizes of the sections, once, before the first write.

        Args:
            sizes: Upper bounds. With random access those of header and overviews are exact.
        """
        ...

    def write_header(self, *pieces: bytes | memoryview) -> None:
        """Write the header, one piece after the other; raises WriteError."""
        ...

    def write_overviews(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Write pieces, one after the other; raises WriteError.

        Args:
            offset_bytes: From the first byte of the overviews on. Without random access: behind what was written.
            pieces: Bytes.
        """
        ...

    def write_full_resolution(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Write pieces, one after the other; raises WriteError.

        Args:
            offset_bytes: From the first byte of the full resolution on. Without random access: behind what was written.
            pieces: Bytes.
        """
        ...

    def open_spool(self) -> Spool:
        """Open a temporary file; it is gone when this sink is committed or aborted."""
        ...

    @property
    def staging_path(self) -> Path:
        """A path for a writer that makes the whole file itself, as GDAL does; it is valid in this process alone."""
        ...

    def room_error(self) -> WriteError | None:
        """Return why the file at `staging_path` cannot grow, or None where it can; its content is lost."""
        ...

    @property
    def size_bytes(self) -> int:
        """Length of what was written so far."""
        ...

    def commit(self) -> None:
        """Make the file appear at its destination, whole; raises DestinationError or WriteError."""
        ...

    def abort(self, *, is_urgent: bool = False) -> None:
        """Remove what was written.

        Args:
            is_urgent: The process is about to end, so requests in flight are not waited for.
        """
        ...
