"""Saves of operators through `save_cog`, and the state of a catalog's run that they read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from georeader import GeoTensor, save_cog
from georeader.errors import OptionError
from geotoolz.operator import CREDENTIAL_ARGS, to_jsonable

#: What save_cog takes beyond pixels and path.
SAVE_OPTIONS = tuple(inspect.signature(save_cog).parameters)[2:]


@dataclass(frozen=True)
class Run:
    """Run of a catalog, as one of its workers sees it."""

    is_stopped: Callable[[], bool]  #: Whether the run was interrupted, and its saves should end.
    threads_per_save: int | None = None  #: None: as many as there are.
    #: Folders made for files that then failed. The run removes the empty ones at its end: other rows may be saving
    #: into them.
    made_folders: list[str] = field(default_factory=list, compare=False)

    def check(self) -> None:
        """Raise KeyboardInterrupt once the run is interrupted, as Ctrl-C does in the main thread only."""
        if self.is_stopped():
            raise KeyboardInterrupt("the run of the catalog was interrupted")


#: Set by each worker for its own thread.
_RUN: ContextVar[Run | None] = ContextVar("geotoolz_run", default=None)

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


def check_save_options(options: Mapping[str, Any], caller: str) -> dict[str, Any]:
    """Return options for `save_cog` as types of JSON; ``fs``, ``http_headers`` and ``progress`` unchanged."""
    unknown = [name for name in options if name not in SAVE_OPTIONS]
    if unknown:
        raise OptionError(
            f"{caller} does not take {', '.join(unknown)}; beyond its own arguments: {', '.join(SAVE_OPTIONS)}"
        )
    if options.get("compute", True) is not True:
        raise OptionError(f"compute={options['compute']!r}: {caller} saves when it is called; leave compute out")
    if options.get("client") not in (None, False):
        raise OptionError(
            f"client is a {type(options['client']).__name__}: {caller} saves pixels that are in memory, in the process "
            "that has them; pass a client as the executor of CatalogPipeline"
        )
    return {name: value if name in CREDENTIAL_ARGS else to_jsonable(value, name) for name, value in options.items()}


def save(gt: GeoTensor, path: str, options: Mapping[str, Any]) -> Any:
    """Save a COG with options of `check_save_options`, and return the receipt.

    In a run of a catalog with several workers, each save has one thread unless ``profile_arg["NUM_THREADS"]`` says
    otherwise, and ends when the run is interrupted, with nothing left behind.
    """
    run = current_run()
    return save_cog(gt, path, **(options if run is None else _options_in_run(run, options)))


def _options_in_run(run: Run, options: Mapping[str, Any]) -> dict[str, Any]:
    progress = options.get("progress")
    if progress is True:
        raise OptionError("bars of several saves would overwrite each other; pass progress=True to CatalogPipeline")

    def check_and_report(done: int, total: int) -> None:
        run.check()
        if callable(progress):
            progress(done, total)

    name = "profile" if options.get("profile") is not None else "profile_arg"
    given = options.get(name) or {}
    profile = {"preset": given} if isinstance(given, str) else given
    is_set = run.threads_per_save is None or any(str(key).upper() == "NUM_THREADS" for key in profile)
    threads = {} if is_set else {name: {**profile, "NUM_THREADS": run.threads_per_save}}
    return {**options, **threads, "progress": check_and_report}
