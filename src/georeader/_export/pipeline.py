"""One export from end to end: source, plan, engine, sink. Invalid input is refused before the first byte."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.progress import check_progress, report_progress
from georeader._core.sentinels import UNSET, Unset
from georeader._core.threads import thread_count, usable_cpus
from georeader._core.windows import PixelWindow
from georeader._export.engine.assembler import Written
from georeader._export.engine.output_pixels import OutputPixels
from georeader._export.engine.pixel_buffer import PixelBuffer
from georeader._export.engine.stream import write_raster
from georeader._export.engine.window_reader import WindowReader
from georeader._export.geotiff_tags import descriptive_tags
from georeader._export.plan.engine_choice import check_engine, choose_engine
from georeader._export.plan.file_plan import StreamPlan, plan_stream
from georeader._export.plan.grid import pyramid_levels
from georeader._export.plan.memory_size import memory_bytes
from georeader._export.plan.order_of_work import SourceTraits, Work, plan_work
from georeader._export.plan.predictor import with_predictor, without_predictor
from georeader._export.plan.spec import ExportSpec, SourceSpec, plan_export
from georeader._export.receipt.facts import facts_of_spec
from georeader._export.receipt.receipt import Receipt
from georeader._export.sinks.protocol import Sink
from georeader._export.sources import open_source
from georeader._export.sources.protocol import Source
from georeader._export.sources.ref_counted import RefCountedSource
from georeader._tiff.checksum import checksum_text
from georeader.errors import OptionError, TileError, WriteError

_LOG = logging.getLogger("georeader")

#: Windows that were read to choose a predictor wait in so much of the memory, others in a spool.
_KEPT_SHARE = 0.2

#: GDAL's engine holds about so many times the raster.
_GDAL_COPIES = 4


@dataclass(frozen=True)
class SaveRequest:
    """What a caller asks of a file, as it was passed.

    Attributes:
        kind: "cog" or "tiled".
        default_profile: Options where ``profile_arg`` says nothing.
        profile_arg: The caller's creation options.
        descriptions: One name per band.
        tags: File-level metadata.
        nodata: Value of missing pixels.
        engine: One of `engine_choice.ENGINES`.
        verify: Decode each tile again and compare.
        max_memory: What may be held beyond the source, in bytes or in words.
        progress: Whom to tell how far it is.
    """

    kind: str
    default_profile: Mapping[str, Any]
    profile_arg: Any
    descriptions: Any
    tags: Any
    nodata: Any
    engine: Any
    verify: bool
    max_memory: Any
    progress: Any


def export(data: Any, sink: Sink, request: SaveRequest) -> Receipt:
    """Write a raster to a sink.

    Args:
        data: Anything that `open_source` takes.
        sink: Where it goes; it is opened here, and committed or aborted.
        request: The caller's options.

    Raises:
        GeoreaderError: One of its kinds.
    """
    begun = time.perf_counter()
    check_progress(request.progress)
    memory_bytes(request.max_memory)
    with sink:
        source = open_source(data, _said_missing(request), open_spool=sink.open_spool)
        return export_source(source, sink, request, begun=begun)


def _said_missing(request: SaveRequest) -> Any:
    """Give the nodata that the caller says, None for none; UNSET where nothing is said of it."""
    if request.nodata is not None or not isinstance(request.profile_arg, Mapping):
        return UNSET if request.nodata is None else request.nodata
    return {str(key).upper(): value for key, value in request.profile_arg.items()}.get("NODATA", UNSET)


def export_source(
    source: Source,
    sink: Sink,
    request: SaveRequest,
    spec: ExportSpec | None = None,
    *,
    begun: float | None = None,
) -> Receipt:
    """Write a source to a sink that is open, and close the source.

    Args:
        source: Where the pixels come from.
        sink: Where it goes; committed at the end. After an error the caller aborts it.
        request: As in `export`.
        spec: The file, where it is planned already (`check_request`).
        begun: `time.perf_counter` at the beginning of the save; by default it begins now.

    Raises:
        GeoreaderError: One of its kinds.
    """
    begun = time.perf_counter() if begun is None else begun
    source = RefCountedSource(source)
    try:
        return _write_source(source, sink, request, spec, begun)
    finally:
        source.close()


def _write_source(source: Source, sink: Sink, request: SaveRequest, spec: ExportSpec | None, begun: float) -> Receipt:
    """Write a source by the engine that the options need."""
    spec = plan_spec(source.spec, request) if spec is None else spec
    engine, reasons = choose_engine(check_engine(request.engine), spec, verify=request.verify)
    if reasons and request.engine == "auto":
        _LOG.info("%s: written by GDAL's engine, because of %s", sink.given, ", ".join(reasons))
    if engine == "gdal":
        _check_gdal_memory(source, spec, request)
        receipt = _by_gdal(OutputPixels(source, spec), sink, request.progress, begun)
    else:
        receipt = _by_us(source, spec, sink, request, begun)
    if request.verify:
        _LOG.info("%s", receipt)
    return receipt


def check_request(spec: SourceSpec, request: SaveRequest) -> ExportSpec:
    """Refuse what can't be done, before there are pixels; give the file that is wanted.

    Raises:
        GeoreaderError: One of its kinds.
    """
    check_progress(request.progress)
    memory_bytes(request.max_memory)
    wanted = plan_spec(spec, request)
    descriptive_tags(wanted, warns=False)  # not every CRS has a place in a GeoTIFF
    return wanted


def check_memory(source: Source, spec: ExportSpec, sink: Sink, request: SaveRequest) -> None:
    """Refuse a limit that can't be kept; no pixel is read.

    Raises:
        OptionError: It is too small.
    """
    engine, _ = choose_engine(check_engine(request.engine), spec, verify=request.verify)
    if engine == "gdal":
        _check_gdal_memory(source, spec, request)
    else:
        _work(source, plan_stream(without_predictor(spec), verify=request.verify), sink, request)


def plan_spec(spec: SourceSpec, request: SaveRequest) -> ExportSpec:
    """Turn what a source is and what is asked for into what the file will be.

    Raises:
        GeoreaderError: One of its kinds.
    """
    return plan_export(
        spec,
        kind=request.kind,
        default_profile=request.default_profile,
        profile_arg=request.profile_arg,
        descriptions=request.descriptions,
        tags=request.tags,
        nodata=request.nodata,
    )


def _by_us(source: Source, spec: ExportSpec, sink: Sink, request: SaveRequest, begun: float) -> Receipt:
    max_memory_bytes = memory_bytes(request.max_memory)
    plan = plan_stream(without_predictor(spec), verify=request.verify)
    work, facts = _work(source, plan, sink, request), facts_of_spec(spec)
    pixels = OutputPixels(source, spec)
    kept = PixelBuffer(int(_KEPT_SHARE * max_memory_bytes), sink.open_spool)
    with WindowReader(pixels, work, kept) as reader:
        chosen = with_predictor(spec, reader.peek)
        plan = plan if chosen is spec else plan_stream(chosen, verify=request.verify)
        with report_progress(
            request.progress, plan.place_count, name=sink.given, item_bytes=plan.tile_bytes
        ) as advance:
            written = _write(reader, plan, sink, advance)
            pixels.warn_of_nan()
            sink.commit()
    return Receipt(
        sink.given,
        written.size_bytes,
        "stream",
        written.largest_errors if request.verify else None,
        levels=written.levels,
        checksum=checksum_text(written.crc32),
        seconds=time.perf_counter() - begun,
        finished=datetime.now(UTC),
        statistics=written.statistics,
        **facts,
    )


def _write(reader: WindowReader, plan: StreamPlan, sink: Sink, advance: Any) -> Written:
    try:
        return write_raster(reader, plan, sink, progress=advance)
    except TileError as error:
        raise TileError(f"{sink.given!r}: {error}") from error


def _work(source: Source, plan: StreamPlan, sink: Sink, request: SaveRequest) -> Work:
    traits = SourceTraits(
        is_in_memory=source.is_in_memory,
        chunks=source.chunks,
        concurrent_reads=source.concurrent_reads,
        reader_bytes=source.reader_bytes,
        pixel_bytes=source.spec.dtype.itemsize,
    )
    threads = thread_count(plan.spec.encoding.num_threads, usable_cpus(), plan.task_count)
    is_firm = not isinstance(request.max_memory, Unset)
    limit_bytes = memory_bytes(request.max_memory)
    return plan_work(plan, traits, sink.traits, threads=threads, max_memory_bytes=limit_bytes, is_limit_firm=is_firm)


def _by_gdal(pixels: OutputPixels, sink: Sink, progress: Any, begun: float) -> Receipt:
    from georeader._export.gdal import engine as gdal_engine

    tiles, tile_bytes = _gdal_tiles(pixels.spec)
    with report_progress(progress, tiles, name=sink.given, item_bytes=tile_bytes) as advance:
        values, mask = pixels.whole()
        pixels.warn_of_nan()
        values = np.ascontiguousarray(values)
        spec = with_predictor(pixels.spec, partial(_cut, values))
        try:
            gdal_engine.write_raster(values, spec, sink.staging_path, mask=mask)
        except WriteError as error:
            said = str(error).replace(str(sink.staging_path), "the file")
            raise (sink.room_error() or WriteError(f"{sink.given!r}: {said}")) from (error.__cause__ or error)
        size_bytes, written = sink.size_bytes, gdal_engine.read_summary(sink.staging_path, spec)
        advance(tiles)  # while it is at work, GDAL doesn't say how far
        sink.commit()
    return Receipt(
        sink.given,
        size_bytes,
        "gdal",
        levels=written.levels,
        checksum=checksum_text(written.crc32),
        seconds=time.perf_counter() - begun,
        finished=datetime.now(UTC),
        statistics=written.statistics,
        **written.facts,
    )


def _gdal_tiles(spec: ExportSpec) -> tuple[int, int]:
    """Give the number of tiles, before any warp, and the size of a tile's pixels in bytes."""
    planes = spec.count if spec.encoding.interleave == "BAND" else 1
    tile_shape = (spec.encoding.tile_height_px, spec.encoding.tile_width_px)
    levels = pyramid_levels((spec.height_px, spec.width_px), tile_shape, planes, spec.overview_factors)
    tile_bytes = tile_shape[0] * tile_shape[1] * spec.count * spec.dtype.itemsize // planes
    return sum(level.tile_count for level in levels), tile_bytes


def _cut(values: NDArray[Any], region: PixelWindow, bands: slice) -> tuple[NDArray[Any], None]:
    rows, columns = slice(region.row_start, region.row_stop), slice(region.column_start, region.column_stop)
    return values[bands, rows, columns], None


def _check_gdal_memory(source: Source, spec: ExportSpec, request: SaveRequest) -> None:
    """Refuse a limit that GDAL's engine, which holds the whole raster, can't keep."""
    raster_bytes = spec.count * spec.height_px * spec.width_px * spec.dtype.itemsize
    needed_bytes = source.reader_bytes + _GDAL_COPIES * raster_bytes
    if not isinstance(request.max_memory, Unset) and needed_bytes > memory_bytes(request.max_memory):
        raise OptionError(
            f"max_memory={request.max_memory!r}: GDAL's engine, which these options need, holds the whole raster, "
            f"about {needed_bytes} bytes; give it that, or drop the options that only GDAL writes"
        )
