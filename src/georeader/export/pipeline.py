"""Source, plan, engine, sink: one export from end to end. What can be refused is refused before the first byte."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from georeader.errors import DestinationError, TileError
from georeader.export.engine_choice import check_engine, choose_engine
from georeader.export.file_pixels import FilePixels
from georeader.export.predictor_choice import with_predictor
from georeader.export.receipt import Receipt
from georeader.export.sinks.local import LocalSink
from georeader.export.sources import open_source
from georeader.export.spec import ExportSpec, plan_export
from georeader.export.stream_engine import write_raster
from georeader.export.stream_plan import check_plan, plan_stream
from georeader.export.workers import thread_count

_LOG = logging.getLogger("georeader")


@dataclass(frozen=True)
class Wishes:
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
    """

    kind: str
    default_profile: Mapping[str, Any]
    profile_arg: Any
    descriptions: Any
    tags: Any
    nodata: Any
    engine: Any
    verify: bool


def export(data: Any, sink: LocalSink, dir_tmpfiles: Path | None, wishes: Wishes) -> Receipt:
    """Write a raster to a sink.

    Args:
        data: An object of the GeoData protocol.
        sink: Where it goes; committed at the end, or aborted.
        dir_tmpfiles: Folder for GDAL's temporary files, or None: beside the destination.
        wishes: What is asked for.

    Raises:
        GeoreaderError: One of its kinds.
    """
    source = open_source(data)
    spec = plan_export(
        source.spec,
        kind=wishes.kind,
        default_profile=wishes.default_profile,
        profile_arg=wishes.profile_arg,
        descriptions=wishes.descriptions,
        tags=wishes.tags,
        nodata=wishes.nodata,
    )
    engine, reasons = choose_engine(check_engine(wishes.engine), spec, verify=wishes.verify)
    if reasons and wishes.engine == "auto":
        _LOG.info("%s: written by GDAL's engine, for the sake of %s", sink.given, ", ".join(reasons))
    if engine == "stream":
        check_plan(spec)
    pixels = FilePixels(source.read(), source.read_mask(), spec)
    spec = with_predictor(spec, pixels.read)
    with sink:
        errors = None
        if engine == "gdal":
            _by_gdal(pixels, spec, sink, dir_tmpfiles)
        else:
            errors = _by_us(pixels, spec, sink, wishes)
        size_bytes = sink.size_bytes
        sink.commit()
    receipt = Receipt(sink.given, size_bytes, engine, errors)
    if wishes.verify:
        _LOG.info("%s", receipt)
    return receipt


def _by_us(pixels: FilePixels, spec: ExportSpec, sink: LocalSink, wishes: Wishes) -> tuple[float, ...] | None:
    plan = plan_stream(spec, verify=wishes.verify)
    threads = thread_count(spec.encoding.num_threads, _processors(), plan.task_count)
    try:
        written = write_raster(pixels, plan, sink, threads=threads)
    except TileError as error:
        raise TileError(f"{sink.given!r}: {error}") from error
    return written.largest_errors if wishes.verify else None


def _by_gdal(pixels: FilePixels, spec: ExportSpec, sink: LocalSink, dir_tmpfiles: Path | None) -> None:
    from georeader.export import gdal_engine

    values, mask = pixels.whole()
    with _scratch_folder(dir_tmpfiles, sink) as scratch:
        gdal_engine.write_raster(np.ascontiguousarray(values), spec, sink.staging_path, scratch, mask=mask)


def _processors() -> int:
    """Give how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _scratch_folder(dir_tmpfiles: Path | None, sink: LocalSink) -> Iterator[Path]:
    """Give GDAL a folder of its own, so that nothing it leaves can outlive the save."""
    if dir_tmpfiles is None:
        yield sink.folder
        return
    try:
        folder = tempfile.TemporaryDirectory(prefix=".georeader-", dir=dir_tmpfiles)
    except OSError as error:
        raise DestinationError(f"dir_tmpfiles={str(dir_tmpfiles)!r}: can't write there: {error.strerror}") from error
    with folder as name:
        yield Path(name)
