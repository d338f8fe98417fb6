"""A dry run of a save: the checks of one, and its plan. No pixel is computed, and nothing is written or requested."""

from __future__ import annotations

import operator
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from typing import Any

from georeader._core.windows import PixelWindow
from georeader._export.cluster.clients import check_client, check_cluster_can, choose_client, may_use_client
from georeader._export.engine.stream import stream_work, traits_of
from georeader._export.geotiff_tags import descriptive_tags
from georeader._export.plan.cluster_plan import plan_cluster
from georeader._export.plan.export_plan import (
    ExportPlan,
    PlannedCluster,
    PlannedSource,
    bigtiff_of,
    client_bytes,
    levels_of,
    parts_of,
    plan_of_cluster,
    predictor_of,
)
from georeader._export.plan.file_plan import FilePlan, plan_file
from georeader._export.plan.order_of_work import work_bytes
from georeader._export.plan.request import SaveRequest
from georeader._export.plan.resolve import choose_engine, resolve_spec
from georeader._export.plan.spec import ExportSpec
from georeader._export.sinks.base import Sink
from georeader._export.sinks.local import LocalSink
from georeader._export.sinks.multipart import PartedSink
from georeader._export.sinks.opening import open_sink
from georeader._export.sinks.sidecars import check_source_stays
from georeader._export.sources import open_source
from georeader._export.sources.mirrored import in_order_of_file
from georeader._export.sources.protocol import RefCountedSource, Source
from georeader._export.sources.sliced import DaskWindows, cuts_of
from georeader._export.sources.warped import on_target_grid
from georeader.errors import OptionError


def plan(data: Any, request: SaveRequest, workers: int | None) -> ExportPlan:
    """Check a save and return its plan; with a number of workers, that of a save on such a cluster."""
    if workers is not None:
        workers = _check_workers(workers, request)
    check_client(request.client)
    destination = replace(request.destination, is_dry_run=True)
    check_source_stays(data, destination)
    sink = open_sink(destination, is_shared=workers is not None or may_use_client(request))
    with closing(RefCountedSource(open_source(data, request.requested_nodata, may_read=False))) as opened:
        spec = resolve_spec(opened.spec, request)
        source = on_target_grid(in_order_of_file(opened, spec), spec)
        engine_name, _ = choose_engine(spec, request)
        workers = _workers_of(source, request, engine_name, sink, workers)
        return _plan(source, spec, sink, request, "cluster" if workers is not None else engine_name, workers or 0)


def _check_workers(workers: Any, request: SaveRequest) -> int:
    """Return the number of workers to plan for."""
    if not hasattr(workers, "__index__") or isinstance(workers, bool) or operator.index(workers) < 1:
        raise OptionError(f"workers={workers!r} is not a number of workers; pass 1 or more, or leave it out")
    if request.client is not None:
        raise OptionError("workers and client exclude each other: a client knows its workers; keep one of them")
    return operator.index(workers)


def _workers_of(source: Source, request: SaveRequest, engine_name: str, sink: Sink, workers: int | None) -> int | None:
    """Return the number of workers of the cluster that a save uses; None: it uses none."""
    if workers is not None:
        check_cluster_can(source, engine_name, sink.given, "workers")
        return workers
    client = choose_client(source, request, engine_name, sink.given)
    return len(client.nthreads()) if client else None


def _plan(source: Source, spec: ExportSpec, sink: Sink, request: SaveRequest, engine: str, workers: int) -> ExportPlan:
    encoding = spec.encoding
    predictor = predictor_of(spec)
    plan = plan_file(replace(spec, encoding=replace(encoding, predictor="NO" if predictor == "AUTO" else predictor)))
    cluster, planned = None, None
    if engine == "cluster":
        cluster = plan_cluster(plan, source.traits, sink.traits)
        planned = plan_of_cluster(cluster, _dask_of(source), workers=workers, route=_route_of(sink))
    is_known = spec.warp is not None or not encoding.warps
    bigtiff = bigtiff_of(plan) if is_known and engine != "gdal" else "depends on the size"
    if engine != "gdal":
        descriptive_tags(spec)  # GDAL refuses some CRSs
    part_count, part_bytes = parts_of(plan, sink.traits, cluster)
    return ExportPlan(
        path=sink.given,
        kind=spec.kind,
        shape=spec.shape,
        dtype=spec.dtype.name,
        levels=levels_of(plan) if is_known else (),
        tile_height_px=encoding.tile_height_px,
        tile_width_px=encoding.tile_width_px,
        interleave=encoding.interleave,
        codec=encoding.codec,
        predictor=predictor,
        least_bytes=plan.least_base_bytes or None if is_known else None,
        most_bytes=plan.most_base_bytes + plan.most_head_bytes if is_known else None,
        bigtiff=bigtiff,
        engine=engine,
        memory_bytes=_memory_bytes(source, plan, sink, request, planned),
        part_count=part_count if is_known else None,
        part_bytes=part_bytes if is_known else None,
        cluster=planned,
    )


def _memory_bytes(
    source: Source, plan: FilePlan, sink: Sink, request: SaveRequest, cluster: PlannedCluster | None
) -> int:
    """Return the approximate memory of this process; raises OptionError where ``max_memory`` is less."""
    if cluster is not None:
        return client_bytes(plan, cluster)
    if choose_engine(plan.spec, request)[0] == "stream":
        return work_bytes(plan.spec, traits_of(source), stream_work(source, plan.spec, sink.traits, request))
    from georeader._export.gdal.engine import check_memory

    return check_memory(source, plan.spec, request)


def _dask_of(source: Source) -> PlannedSource:
    """Return the dask arrays of a source as numbers; none of one that workers open."""
    cuts = cuts_of(source, PixelWindow(0, 1, 0, 1), range(source.spec.count))
    arrays = [cut.source.windows.array for cut in cuts if isinstance(cut.source.windows, DaskWindows)]
    if not arrays:
        return PlannedSource()
    graphs = import_module("dask.highlevelgraph").HighLevelGraph.merge(*(array.__dask_graph__() for array in arrays))
    return PlannedSource(len(graphs), source.traits.chunks)


def _route_of(sink: Sink) -> str:
    """Return how bytes come from workers to a destination."""
    if isinstance(sink, PartedSink):
        return "parts"
    return "files" if isinstance(sink, LocalSink) else "uploader"
