"""A save as one step of a larger graph of dask, or as one task of a cluster."""

from __future__ import annotations

import inspect
import logging
import os
import secrets
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import Any

from georeader._core.reporting import held_warnings, import_extra, warn_at_caller
from georeader._export import pipeline
from georeader._export.cluster.clients import check_client, current_client, own_task
from georeader._export.cluster.deliveries import errors_of_cluster, result_of
from georeader._export.cluster.tasks import pickled
from georeader._export.plan.request import SaveRequest
from georeader._export.receipt.receipt import Receipt
from georeader._export.sinks.opening import is_in_order
from georeader._readers.raster_file import forget
from georeader._storage.redaction import redact_url
from georeader.errors import OptionError
from georeader.rasterio_reader import RasterioReader

_LOG = logging.getLogger("georeader")


class Step:
    """A raster and the request to save it. Its array of dask is not computed with the graph, but by the save."""

    def __init__(self, data: Any, request: SaveRequest) -> None:
        self._data, self._request = data, request

    def run(self) -> Receipt:
        """Save the raster: by the workers of the cluster on which this runs, else in this process."""
        if own_task() is None:
            return pipeline.save(self._data, replace(self._request, client=False))
        with import_module("distributed").worker_client() as client, client.as_current():
            return pipeline.save(self._data, replace(self._request, client=client))


def run_step(step: Step) -> Receipt:
    """Run a save."""
    return step.run()


def _run_for_caller(step: Step) -> tuple[Receipt, list[tuple[str, type[Warning]]]]:
    """Run a save; return its receipt and its warnings, which another process gives."""
    with held_warnings() as held:
        return step.run(), held


def save(data: Any, request: SaveRequest) -> Receipt:
    """Write a raster; where a store takes bytes in order only, and a cluster is used, by a task of a worker.

    That worker gathers the encoded tiles and sends them, so that they do not pass through this process.
    """
    check_client(request.client)  # before dask refuses an asynchronous one with an error of its own
    client = _client_for(data, request)
    if client is None or request.progress or not is_in_order(request.destination):
        return pipeline.save(data, request)
    given = redact_url(str(request.destination.path))
    _LOG.info("%s: sent by one worker of %s, since this store takes bytes in order only", given, client)
    step = Step(data, replace(request, client=None, client_is_required=request.client is not None))
    pickled(request.destination, given)  # which names what cannot be
    with errors_of_cluster(given):
        future = client.submit(_run_for_caller, step, key=f"save-{request.kind}-{secrets.token_hex(8)}", pure=False)
    try:
        receipt, held = result_of(future, given)
    except BaseException:
        with suppress(OSError):  # the cluster is gone
            future.cancel()
        raise
    forget(request.destination.path, request.destination.fs)
    for message, category in held:
        warn_at_caller(message, category)
    saved: Receipt = receipt
    return saved


def _client_for(data: Any, request: SaveRequest) -> Any:
    """Return the client that a save will use, found without opening anything; None for none."""
    if request.client is False or request.engine == "gdal":
        return None
    if request.client is None:
        return current_client() if _is_of_dask(data) else None
    is_file = isinstance(data, (str, os.PathLike, RasterioReader))
    return request.client if is_file or _is_of_dask(data) else None


def _is_of_dask(data: Any) -> bool:
    """Return whether an object, or its ``values``, is a collection of dask."""
    for held in (data, inspect.getattr_static(data, "values", None)):
        graph = getattr(held, "__dask_graph__", None)
        if callable(graph) and not isinstance(held, type) and graph() is not None:
            return True
    return False


def delayed_save(data: Any, request: SaveRequest) -> Any:
    """Return a save as a `dask.delayed.Delayed`, whose result is the receipt."""
    import_extra("dask", extra="dask", purpose="compute=False")
    if request.progress:
        raise OptionError("progress goes with compute=True: a step of a graph runs in another process; leave it out")
    if hasattr(request.destination.path, "write"):
        raise OptionError("compute=False takes a path or a URL, not a file object, which another process has not")
    if request.client:
        raise OptionError("client goes with compute=True: a step runs on the cluster that computes it; leave it out")
    delayed = import_module("dask").delayed
    step = Step(data, replace(request, client=None, client_is_required=False))
    return delayed(run_step, pure=False)(step, dask_key_name=f"save-{request.kind}-{secrets.token_hex(8)}")
