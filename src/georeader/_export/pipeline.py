"""The path of a save: source, spec, engine, plan, receipt. Invalid input is refused before the first byte."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Protocol, Self

from numpy.typing import NDArray

from georeader._core.reporting import Advance, report_progress
from georeader._core.windows import PixelWindow
from georeader._export.cluster.clients import choose_client, may_use_client
from georeader._export.engine.stream import StreamEngine
from georeader._export.plan.file_plan import FilePlan, choose_predictor, plan_file
from georeader._export.plan.request import SaveRequest
from georeader._export.plan.resolve import choose_engine, resolve_spec
from georeader._export.plan.spec import ExportSpec
from georeader._export.receipt.receipt import Receipt, Written, receipt_from_write
from georeader._export.sinks.base import Sink
from georeader._export.sinks.opening import open_sink
from georeader._export.sinks.sidecars import check_source_stays
from georeader._export.sources import open_source
from georeader._export.sources.mirrored import in_order_of_file
from georeader._export.sources.protocol import RefCountedSource, Source
from georeader._export.sources.stored_pixels import decoded_here
from georeader._export.sources.stored_tiles import StoredTiles, open_stored, take_over
from georeader._export.sources.warped import on_target_grid
from georeader._readers.raster_file import forget

_LOG = logging.getLogger("georeader")


class Engine(Protocol):
    """Writes one source to one sink; it reads while its block lasts."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None: ...

    def peek(self, window: PixelWindow, bands: slice) -> NDArray[Any]:
        """Return the pixels of a window at full resolution, before `write`."""
        ...

    def write(self, plan: FilePlan, advance: Advance) -> Written:
        """Write the file; the caller commits the sink."""
        ...


@dataclass(frozen=True)
class Hooks:
    """Functions that are called during a save, and end it by an exception."""

    after_tiles: Callable[[], Any] = lambda: None
    before_commit: Callable[[], Any] = lambda: None


NO_HOOKS = Hooks()


def save(data: Any, request: SaveRequest) -> Receipt:
    """Write a raster."""
    begun = time.perf_counter()
    check_source_stays(data, request.destination)
    with open_sink(request.destination, is_shared=may_use_client(request)) as sink:
        source = open_source(data, request.requested_nodata, open_spool=sink.open_spool)
        return write_source(source, sink, request, begun=begun, stored=open_stored(data, source, request))


def write_source(
    source: Source,
    sink: Sink,
    request: SaveRequest,
    spec: ExportSpec | None = None,
    *,
    begun: float | None = None,
    stored: AbstractContextManager[StoredTiles | None] | None = None,
    hooks: Hooks = NO_HOOKS,
) -> Receipt:
    """Write a source to a sink that is open, commit the sink and close the source. After an error the caller aborts.

    The spec is resolved unless it is passed; the save has begun at that time of `time.perf_counter`, or begins now.
    Stored tiles of the source are taken over where the encoding stays what it is.
    """
    begun = time.perf_counter() if begun is None else begun
    source = counted = RefCountedSource(source)
    try:
        spec = resolve_spec(source.spec, request) if spec is None else spec
        source = on_target_grid(in_order_of_file(source, spec), spec, sink.open_spool)
        engine_name, reasons = choose_engine(spec, request)
        if reasons and request.engine == "auto":
            _LOG.info("%s: written by GDAL's engine, because of %s", sink.given, ", ".join(reasons))
        client = choose_client(source, request, engine_name, sink.given)
        request = replace(request, client=client)
        with ExitStack() as stack:
            can_reuse = stored is not None and engine_name == "stream" and not client
            tiles = stack.enter_context(stored) if stored is not None and can_reuse else None
            spec = take_over(spec, tiles, source.spec, request)
            source = decoded_here(source, tiles, spec)
            engine = stack.enter_context(make_engine(engine_name, source, spec, sink, request, tiles))
            spec = choose_predictor(spec, engine.peek, only_first_row=source.traits.arrives_by_rows)
            plan = plan_file(spec, verify=request.verify)
            advance = stack.enter_context(
                report_progress(request.progress, plan.place_count, name=sink.given, item_bytes=spec.tile_bytes)
            )

            def advance_or_end(count: int) -> None:
                hooks.after_tiles()
                advance(count)

            written = engine.write(plan, advance_or_end)
            hooks.before_commit()
            sink.commit()
        forget(request.destination.path, request.destination.fs)
        receipt = receipt_from_write(spec, written, path=sink.given, seconds=time.perf_counter() - begun)
    finally:
        counted.close()
    if request.verify:
        _LOG.info("%s", receipt)
    return receipt


def make_engine(
    name: str,
    source: Source,
    spec: ExportSpec,
    sink: Sink,
    request: SaveRequest,
    stored: StoredTiles | None = None,
) -> Engine:
    """Return the engine of a name; nothing is read yet."""
    if request.client and name == "stream":
        from georeader._export.cluster.engine import ClusterEngine

        return ClusterEngine(source, spec, sink, request, request.client)
    if name == "stream":
        return StreamEngine(source, spec, sink, request, stored)
    from georeader._export.gdal.engine import GdalEngine

    return GdalEngine(source, spec, sink, request)
