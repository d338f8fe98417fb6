"""State of a catalog's run that its saves read: how many threads they have, and whether to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Run:
    """A run of a catalog, as one of its workers sees it.

    Attributes:
        is_stopped: Returns whether the run was interrupted, and its saves should end.
        threads_per_save: Threads that each save may use; None: as many as there are.
        made_folders: Folders that were made for files that then failed. The run removes the empty ones at its end:
            other rows may be saving into them.
    """

    is_stopped: Callable[[], bool]
    threads_per_save: int | None = None
    made_folders: list[str] = field(default_factory=list, compare=False)

    def check(self) -> None:
        """End the work on a row once the run is interrupted.

        Raises:
            KeyboardInterrupt: As Ctrl-C does in the main thread, which is the only one that gets it.
        """
        if self.is_stopped():
            raise KeyboardInterrupt("the run of the catalog was interrupted")


#: A worker sets it for its own thread, and nobody else sees it.
_RUN: ContextVar[Run | None] = ContextVar("geotoolz_run", default=None)


def current_run() -> Run | None:
    """Give the run that this thread works for, or None."""
    return _RUN.get()


@contextmanager
def working_for(run: Run | None) -> Iterator[None]:
    """Let saves in this thread know of a run while the block lasts."""
    token = _RUN.set(run)
    try:
        yield
    finally:
        _RUN.reset(token)
