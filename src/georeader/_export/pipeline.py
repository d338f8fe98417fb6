"""One export from end to end: source, plan, engine, sink. Invalid input is refused before the first byte."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.progress import report_progress
from georeader._core.threads import thread_count, usable_cpus
from georeader._core.windows import PixelWindow
from georeader._export.engine.assembler import Written
from georeader._export.engine.output_pixels import OutputPixels
from georeader._export.engine.pixel_buffer import PixelBuffer
from georeader._export.engine.stream import write_raster
from georeader._export.engine.window_reader import WindowReader
from georeader._export.plan.engine_choice import choose_engine
from georeader._export.plan.file_plan import FilePlan, plan_file
from georeader._export.plan.order_of_work import Work, plan_work
from georeader._export.plan.predictor import choose_predictor
from georeader._export.plan.request import SaveRequest
from georeader._export.plan.spec import ExportSpec, resolve_spec
from georeader._export.receipt.facts import facts_of_spec
from georeader._export.receipt.receipt import Receipt
from georeader._export.sinks.opening import open_sink
from georeader._export.sinks.protocol import Sink
from georeader._export.sinks.sidecars import check_source_stays
from georeader._export.sources import open_source
from georeader._export.sources.protocol import RefCountedSource, Source
from georeader._tiff.checksum import checksum_text
from georeader.errors import OptionError, TileError, WriteError

_LOG = logging.getLogger("georeader")

#: Windows that were read to choose a predictor wait in so much of the memory, others in a spool.
_KEPT_SHARE = 0.2

#: GDAL's engine holds about so many times the raster.
_GDAL_COPIES = 4


def save(data: Any, request: SaveRequest) -> Receipt:
    """Write a raster.

    Args:
        data: Anything that `open_source` takes.
        request: The caller's arguments.

    Raises:
        GeoreaderError: One of its kinds.
    """
    begun = time.perf_counter()
    check_source_stays(data, request.destination)
    with open_sink(request.destination) as sink:
        source = open_source(data, request.requested_nodata, open_spool=sink.open_spool)
        return export_source(source, sink, request, begun=begun)


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
        request: The caller's arguments.
        spec: The file, if it is resolved already.
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
    spec = resolve_spec(source.spec, request) if spec is None else spec
    engine, reasons = choose_engine(spec, request)
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


def check_memory(source: Source, spec: ExportSpec, sink: Sink, request: SaveRequest) -> None:
    """Refuse a limit that can't be kept; no pixel is read.

    Raises:
        OptionError: It is too small.
    """
    engine, _ = choose_engine(spec, request)
    if engine == "gdal":
        _check_gdal_memory(source, spec, request)
    else:
        _work(source, spec, sink, request)


def _by_us(source: Source, spec: ExportSpec, sink: Sink, request: SaveRequest, begun: float) -> Receipt:
    kept = PixelBuffer(int(_KEPT_SHARE * request.max_memory_bytes), sink.open_spool)
    pixels = OutputPixels(source, spec)
    with WindowReader(pixels, _work(source, spec, sink, request), kept) as reader:
        plan = plan_file(choose_predictor(spec, reader.peek), verify=request.verify)
        with report_progress(
            request.progress, plan.place_count, name=sink.given, item_bytes=plan.spec.tile_bytes
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
        **facts_of_spec(spec),
    )


def _write(reader: WindowReader, plan: FilePlan, sink: Sink, advance: Any) -> Written:
    try:
        return write_raster(reader, plan, sink, progress=advance)
    except TileError as error:
        raise TileError(f"{sink.given!r}: {error}") from error


def _work(source: Source, spec: ExportSpec, sink: Sink, request: SaveRequest) -> Work:
    traits = replace(source.traits, pixel_bytes=source.spec.dtype.itemsize)
    threads = thread_count(spec.encoding.num_threads, usable_cpus(), spec.levels[0].tile_count)
    return plan_work(
        spec,
        traits,
        sink.traits,
        threads=threads,
        max_memory_bytes=request.max_memory_bytes,
        is_limit_firm=request.max_memory_is_explicit,
    )


def _by_gdal(pixels: OutputPixels, sink: Sink, progress: Any, begun: float) -> Receipt:
    from georeader._export.gdal import engine as gdal_engine

    tiles = sum(level.tile_count for level in pixels.spec.levels)  # before any warp
    with report_progress(progress, tiles, name=sink.given, item_bytes=pixels.spec.tile_bytes) as advance:
        values, mask = pixels.whole()
        pixels.warn_of_nan()
        values = np.ascontiguousarray(values)
        spec = choose_predictor(pixels.spec, partial(_cut, values))
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


def _cut(values: NDArray[Any], region: PixelWindow, bands: slice) -> tuple[NDArray[Any], None]:
    rows, columns = slice(region.row_start, region.row_stop), slice(region.column_start, region.column_stop)
    return values[bands, rows, columns], None


def _check_gdal_memory(source: Source, spec: ExportSpec, request: SaveRequest) -> None:
    """Refuse a limit that GDAL's engine, which holds the whole raster, can't keep."""
    raster_bytes = spec.count * spec.height_px * spec.width_px * spec.dtype.itemsize
    needed_bytes = source.traits.reader_bytes + _GDAL_COPIES * raster_bytes
    if request.max_memory_is_explicit and needed_bytes > request.max_memory_bytes:
        raise OptionError(
            f"max_memory={request.max_memory_bytes} bytes: GDAL's engine, which these options need, holds the whole "
            f"raster, about {needed_bytes} bytes; give it that, or drop the options that only GDAL writes"
        )
