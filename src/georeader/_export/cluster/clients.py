"""Which client of dask.distributed a save uses, without importing anything of dask."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from georeader._batch.workers import is_client
from georeader._core.windows import PixelWindow
from georeader._export.plan.request import SaveRequest
from georeader._export.sources.protocol import Source, SourceWrapper
from georeader._export.sources.raster_file import RasterSource
from georeader._export.sources.sliced import DaskWindows, cuts_of, in_dask_task
from georeader._export.sources.warped import WarpedSource
from georeader.errors import OptionError

#: Time between two checks whether the task in which a save runs is wanted.
_WATCH_SECONDS = 1.0

_LOG = logging.getLogger("georeader")


def check_client(client: Any) -> None:
    """Raise OptionError unless a client that is passed can be used; None and False are none."""
    if client is None or client is False:
        return
    if not is_client(client):
        raise OptionError(f"client is a {type(client).__name__}; pass a distributed.Client, None or False")
    if client.asynchronous:
        raise OptionError("client is an asynchronous Client of dask; pass one made without asynchronous=True")
    if not is_open(client):
        raise OptionError("client is closed, or has lost its scheduler; pass one that is connected, None or False")


def choose_client(source: Source, request: SaveRequest, engine_name: str, given: str) -> Any:
    """Return the client that a save uses, or None.

    A client that is passed is used, or refused where it cannot be: OptionError. Without one, arrays of dask are
    computed by the current client, if there is one, but for saves within a task of a worker.
    """
    client = request.client
    if client is False:
        return None
    if client is None:
        client = current_client() if _is_of_dask(source) and engine_name == "stream" else None
        if client is not None:
            _LOG.info(
                "%s: written by the workers of %s, the current client of dask.distributed; pass client=False to encode "
                "in this process", given, client.scheduler.address,
            )  # fmt: skip
        return client
    if not request.client_is_required:
        return client if _is_possible(source) and engine_name == "stream" else None
    check_cluster_can(source, engine_name, given, "client")
    return client


def check_cluster_can(source: Source, engine_name: str, given: str, argument: str) -> None:
    """Raise OptionError where a save cannot be that of a cluster, for which an argument asks."""
    if engine_name == "gdal":
        raise OptionError(
            f"{given!r} is written by GDAL's engine, which runs in this process alone; leave out {argument}, or "
            "the options that only GDAL has"
        )
    if isinstance(source, WarpedSource) and not _is_possible(source):
        raise OptionError(
            f"{argument} goes with TILING_SCHEME and TARGET_SRS for paths and RasterioReaders only, which workers can "
            f"read; {source.name} is warped in this process: leave it out, or save to a file first"
        )
    if not _is_possible(source):
        raise OptionError(
            f"{argument} goes with arrays of dask, paths and RasterioReaders, which workers can read; {source.name} is "
            "neither; leave it out, or pass array.chunk()"
        )


def may_use_client(request: SaveRequest) -> bool:
    """Return whether a save may use a client, before its source is known."""
    return request.client is not False and (request.client is not None or current_client() is not None)


def is_open(client: Any) -> bool:
    """Return whether a client of dask.distributed is connected to its scheduler."""
    return bool(client.status in ("running", "newly-created", "connecting"))


def current_client() -> Any:
    """Return the client by which dask computes here, or None; None within a task of a worker, too."""
    base = sys.modules.get("dask.base")
    if base is None or "distributed" not in sys.modules or in_dask_task():
        return None
    # A bound method, ``client.get``, while a client is current and no other scheduler was chosen.
    found = getattr(base.get_scheduler(), "__self__", None)
    return found if is_client(found) and not getattr(found, "asynchronous", True) else None


def own_task() -> tuple[str, Any] | None:
    """Return the worker's address and the name of the task in which this runs; None outside of a worker."""
    if not in_dask_task():
        return None
    worker = import_module("distributed").get_worker()
    return worker.address, worker.get_current_task()


@contextmanager
def while_wanted(client: Any, cancel: Callable[[], None]) -> Iterator[None]:
    """Call ``cancel``, on another thread, if the task in which this runs is cancelled while the block lasts."""
    own = own_task()
    if own is None:
        yield
        return
    address, key = own
    ended = threading.Event()

    def watch() -> None:
        with suppress(OSError):  # the cluster is gone, which the save finds, too
            while not ended.wait(_WATCH_SECONDS):
                running = client.processing([address]).get(address, ())
                if key not in running and not ended.is_set():
                    cancel()
                    return

    watcher = threading.Thread(target=watch, name="georeader-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()


@contextmanager
def one_attempt(client: Any, mark: Any, remove: Callable[[Any], None]) -> Iterator[None]:
    """Remove what an earlier attempt at the task in which this runs has left, whose worker has died.

    ``mark`` describes what is begun, and is published on the scheduler while the block lasts; ``remove`` takes an
    earlier one.
    """
    own = own_task()
    if own is None:
        yield
        return
    name = f"georeader-{own[1]}"
    if name in client.list_datasets():
        remove(client.get_dataset(name))
        client.unpublish_dataset(name)
    client.publish_dataset(mark, name=name)
    try:
        yield
    finally:
        with suppress(OSError, KeyError):  # the cluster is gone, or another attempt has removed it
            client.unpublish_dataset(name)


def _is_possible(source: Source) -> bool:
    """Return whether workers can read a source."""
    return _is_of_dask(source) or _is_openable(source)


def _is_of_dask(source: Source) -> bool:
    """Return whether all pixels of a source are those of dask's arrays."""
    cuts = cuts_of(source, PixelWindow(0, 1, 0, 1), range(source.spec.count))
    covers = sum(1 for _ in _leaves(source))
    return len(cuts) == covers > 0 and all(isinstance(cut.source.windows, DaskWindows) for cut in cuts)


def _is_openable(source: Source) -> bool:
    """Return whether a source is a file that other processes can open."""
    leaves = list(_leaves(source))
    return all(isinstance(one, RasterSource) and not one.traits.is_borrowed for one in leaves)


def _leaves(source: Source) -> list[Source]:
    """Return the sources that a source reads through."""
    while isinstance(source, SourceWrapper):
        source = source.source
    inner = getattr(source, "sources", None)
    return [source] if inner is None else [leaf for one in inner for leaf in _leaves(one)]
