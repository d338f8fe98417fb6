"""A run of many saves: what its workers are passed, and what they return."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol


class Plan(Protocol):
    """Plan of one unit of work; picklable where it is sent to a process."""

    @property
    def name(self) -> str: ...  #: subject of messages, such as "row 3"


@dataclass(frozen=True)
class Outcome:
    """The result of a unit of work, as a worker returns it."""

    path: str | None
    error: Exception | None
    seconds: float
    receipt: Any = field(default=None, repr=False)
    is_skipped: bool = False
    made_folders: tuple[str, ...] = ()  #: For files that failed.


@dataclass(frozen=True)
class Run:
    """Run of a batch, as one of its workers sees it."""

    is_stopped: Callable[[], bool] = field(repr=False)  #: Whether the run was interrupted, and its saves should end.
    threads_per_save: int | None = None  #: None: as many as there are.
    #: Folders made for files that then failed. The run removes the empty ones at its end: other workers may be saving
    #: into them.
    made_folders: list[str] = field(default_factory=list, compare=False)

    def check(self) -> None:
        """Raise KeyboardInterrupt once the run is interrupted, as Ctrl-C does in the main thread only."""
        if self.is_stopped():
            raise KeyboardInterrupt("the run was interrupted")

    def save_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return options of `georeader.save_cog` for a save that ends with the run, with the run's threads."""
        progress = options.get("progress")

        def check_and_report(done: int, total: int) -> None:
            self.check()
            if callable(progress):
                progress(done, total)

        name = "profile" if options.get("profile") is not None else "profile_arg"
        given = options.get(name) or {}
        profile = {"preset": given} if isinstance(given, str) else given
        is_set = self.threads_per_save is None or any(str(key).upper() == "NUM_THREADS" for key in profile)
        threads = {} if is_set else {name: {**profile, "NUM_THREADS": self.threads_per_save}}
        return {**options, **threads, "progress": check_and_report}


class Job(Protocol):
    """Work that is the same for each plan; picklable where it is sent to a process."""

    @property
    def unit(self) -> str: ...  #: what a plan is about, for messages, such as "row"

    def process(self, plan: Any, run: Run | None) -> Outcome:
        """Do the work of a plan; an error becomes part of the outcome, except a KeyboardInterrupt of the run."""
        ...


#: Set by each worker for its own thread.
_RUN: ContextVar[Run | None] = ContextVar("georeader_run", default=None)

#: Return the run that this thread works for, or None.
current_run = _RUN.get


@contextmanager
def use_run(run: Run | None) -> Iterator[None]:
    """Set the run of this thread while the block lasts."""
    token = _RUN.set(run)
    try:
        yield
    finally:
        _RUN.reset(token)
