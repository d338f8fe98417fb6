"""Protocol of a sink, which takes an export's bytes. It states what it can do, and ends in commit or abort."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol

from georeader._export.plan.sink_traits import SinkTraits
from georeader._export.spool import Spool
from georeader.errors import WriteError


class Sink(Protocol):
    """The destination of an export, as a context manager: without a commit, no file is made and nothing remains.

    Attributes:
        given: The destination in messages and receipts, without secrets.
        traits: What it can do.
        writes_in_parallel: Threads may write to different places at once.
    """

    given: str
    traits: SinkTraits
    writes_in_parallel: bool

    def __enter__(self) -> Sink:
        """Open it."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Abort, unless it was committed."""
        ...

    def expect(self, most_head_bytes: int, most_tail_bytes: int) -> None:
        """Be told, before the first write, how much there may be before the full resolution, and of it."""
        ...

    def write_at(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Write bytes, one piece after the other, from an offset on; raises WriteError."""
        ...

    def open_spool(self) -> Spool:
        """Open a file for what has to wait; it is gone when this sink is committed or aborted."""
        ...

    @property
    def staging_path(self) -> Path:
        """A path of the file for a writer that needs one, as GDAL does; it is valid in this process alone."""
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

    def abort(self) -> None:
        """Remove what was written; after a commit there is nothing of value left."""
        ...
