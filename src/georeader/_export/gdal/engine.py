"""The export through GDAL's own drivers, by rasterio: write, build overviews, copy into COG order.

Pixels are written to a GeoTIFF in memory, overviews are built on it, and GDAL's COG driver copies both into the file,
overviews and header first (GDAL's COG driver page; OGC 21-026). Memory, beyond the array: GDAL's copy of it, a third of
it for overviews, GDAL's temporary files (compressed) and its block cache (GDAL_CACHEMAX).
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.env import GDALVersion
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from georeader._core.band_attrs import RESAMPLING_TAG
from georeader._core.dtypes import WIDE_DTYPES, is_nodata_for_rasterio, nodata_text
from georeader._core.reporting import Advance, warn_at_caller
from georeader._core.threads import startable_threads, thread_count, usable_cpus
from georeader._core.windows import Mask, PixelWindow
from georeader._export.gdal.finished_file import read_finished
from georeader._export.gdal.options import creation_options, overview_environment
from georeader._export.gdal_dataset import ENVIRONMENT, creation_profile, describe
from georeader._export.output_pixels import OutputPixels
from georeader._export.plan.file_plan import FilePlan
from georeader._export.plan.request import SaveRequest
from georeader._export.plan.spec import ExportSpec
from georeader._export.receipt.receipt import Written
from georeader._export.sinks.base import Sink
from georeader._export.sources.protocol import Source
from georeader._resample.block import halve_mask
from georeader._resample.pyramid import halve
from georeader.errors import MetadataWarning, OptionError, WriteError

#: The process that imported this module; in its forks, GDAL uses one thread.
IMPORTED_BY_PID = os.getpid()

#: The engine holds about this many times the raster.
_COPIES = 4

#: rasterio's methods by GDAL's names.
_RESAMPLING_BY_NAME = {method.name.upper().replace("_", ""): method for method in Resampling}


class GdalEngine(AbstractContextManager["GdalEngine"]):
    """Writes a source by GDAL's drivers. The whole raster is in memory while the block lasts."""

    def __init__(self, source: Source, spec: ExportSpec, sink: Sink, request: SaveRequest) -> None:
        check_memory(source, spec, request)
        self._pixels = OutputPixels(source, spec)
        self._sink = sink
        self._values: NDArray[Any]
        self._mask: Mask

    def __enter__(self) -> GdalEngine:
        spec = self._pixels.spec
        values, self._mask = self._pixels.read(PixelWindow(0, spec.height_px, 0, spec.width_px))
        self._pixels.warn_of_nan()
        self._values = np.ascontiguousarray(values)
        return self

    def __exit__(self, *exception: object) -> None:
        del self._values, self._mask

    def peek(self, window: PixelWindow, bands: slice) -> NDArray[Any]:
        """Return the pixels of any window."""
        return self._values[bands, *window.slices]

    def write(self, plan: FilePlan, advance: Advance) -> Written:
        """Write the file; GDAL reports no progress until its end."""
        path = self._sink.staging_path
        try:
            _write_raster(self._values, plan.spec, path, self._mask)
            written = read_finished(path, plan.spec)
        except WriteError as error:
            reason = str(error).replace(str(path), "the file")
            failure = self._sink.room_error() or WriteError(f"{self._sink.given!r}: {reason}")
            raise failure from (error.__cause__ or error)
        advance(plan.place_count)
        return written


def check_memory(source: Source, spec: ExportSpec, request: SaveRequest) -> int:
    """Return the memory that the engine takes; raises OptionError where ``max_memory`` is less."""
    raster_bytes = math.prod(spec.shape) * spec.dtype.itemsize
    needed_bytes = source.traits.reader_bytes + _COPIES * raster_bytes
    if request.max_memory_is_explicit and needed_bytes > request.max_memory_bytes:
        raise OptionError(
            f"max_memory={request.max_memory_bytes} bytes: GDAL's engine, which these options need, holds the "
            f"whole raster, about {needed_bytes} bytes; allow that, or drop the options that only GDAL writes"
        )
    return needed_bytes


def _write_raster(pixels: NDArray[Any], spec: ExportSpec, path: Path, mask: Mask) -> None:
    """Write a raster file."""
    _warn_of_metadata(spec)
    driver, options = creation_options(spec, GDALVersion.runtime())
    _check_nbits(pixels, spec)
    threads = _gdal_threads(spec.encoding.num_threads)
    options["NUM_THREADS"] = threads
    environment = {"GDAL_NUM_THREADS": threads, "GDAL_PAM_ENABLED": "NO", **overview_environment(spec)}
    if driver == "COG" and mask is not None and _averages_are_ours(spec, mask):
        # It copies overviews in sidecars, but builds those of the mask itself: by the same method, and without a
        # predictor, which single bits do not take.
        options["OVERVIEW_RESAMPLING"] = spec.resampling
        environment["PREDICTOR_OVERVIEW"] = "1"
    try:
        with rasterio.Env(**ENVIRONMENT, GDAL_NUM_THREADS=threads), _staging(pixels, spec, mask) as staged:
            _build_pyramid(staged, pixels, spec, mask)
            if spec.statistics:
                staged.stats(approx=False)  # which sets the bands' STATISTICS_... tags
            # Temporary files of GDAL, a warped raster or the overviews of a mask, are in memory beside the staging
            # file, so that none of them outlives the process.
            with rasterio.Env(**environment, CPL_TMPDIR=str(PurePosixPath(staged.name).parent)):
                rasterio.shutil.copy(staged, str(path), driver=driver, **options)
    except (RasterioError, CPLE_BaseError, SystemError) as error:
        # rasterio raises SystemError for failures that GDAL does not explain, a full disk among them.
        raise WriteError(f"GDAL's {driver} driver failed: {error} (options {options})") from error


def _warn_of_metadata(spec: ExportSpec) -> None:
    """Warn of metadata that GDAL's drivers do not copy."""
    namespaces = (spec.metadata.namespaces, *spec.metadata.band_namespaces)
    lost = [domain for of_one in namespaces for domain, _ in of_one if domain != "COLOR_PROFILE"]
    lost += ["raster attribute tables"] * any(spec.metadata.attribute_tables)
    if lost:
        warn_at_caller(
            f"engine='gdal' leaves out {', '.join(dict.fromkeys(lost))}; engine='stream' writes them", MetadataWarning
        )


def _gdal_threads(num_threads: str | int) -> str:
    """Return GDAL's number of threads: one where its pool would wait forever, for threads lost in a fork or refused."""
    wanted = thread_count(num_threads, usable_cpus(), sys.maxsize)
    is_forked = os.getpid() != IMPORTED_BY_PID
    return "1" if is_forked or startable_threads(wanted) < wanted else str(num_threads)


def _check_nbits(pixels: NDArray[Any], spec: ExportSpec) -> None:
    """Check that values fit NBITS, which cuts off larger ones: 2**bits for integers, or the range of a 16-bit float."""
    bits = spec.encoding.bits or spec.encoding.options.get("NBITS")
    if bits is None:
        return
    limit = 65504 if spec.dtype.kind == "f" else 2 ** int(bits) - 1
    highest = max(spec.nodata or 0, np.max(np.abs(pixels), where=np.isfinite(pixels), initial=0))
    if highest > limit:
        where = "profile_arg['NBITS']" if spec.encoding.bits is None else "attrs['nbits']"
        raise OptionError(f"{where}={bits} holds values up to {limit}; data or nodata reach {highest}")


@contextmanager
def _staging(pixels: NDArray[Any], spec: ExportSpec, mask: Mask) -> Iterator[Any]:
    """Open a rasterio dataset in memory that holds pixels and metadata: a GeoTIFF, which can have sidecars."""
    with MemoryFile(filename="staging.tif") as file, ExitStack() as sidecars:
        with file.open(**_staging_profile(spec, pixels)) as dataset:
            describe(dataset, spec)
            _write_pixels(dataset, pixels, mask)
        _write_sidecars(file.name, pixels, spec, mask, sidecars)
        # The sidecars must be read with any GDAL configuration of the caller.
        with (
            rasterio.Env(GDAL_PAM_ENABLED="YES", GDAL_DISABLE_READDIR_ON_OPEN="FALSE"),
            rasterio.open(file.name, "r+") as dataset,
        ):
            yield dataset


def _write_sidecars(path: str, pixels: NDArray[Any], spec: ExportSpec, mask: Mask, sidecars: ExitStack) -> None:
    """Write ``.aux.xml`` for a nodata that rasterio does not take, and ``.ovr``, ``.ovr.ovr``, ... for overviews."""
    name = PurePosixPath(path)
    if spec.nodata is not None and not is_nodata_for_rasterio(spec.nodata, spec.dtype):
        of_band = f"<NoDataValue>{nodata_text(spec.nodata)}</NoDataValue>"
        bands = (f'<PAMRasterBand band="{band}">{of_band}</PAMRasterBand>' for band in range(1, spec.count + 1))
        content = f"<PAMDataset>{''.join(bands)}</PAMDataset>".encode()
        sidecars.enter_context(MemoryFile(content, dirname=name.parent.name, filename=f"{name.name}.aux.xml"))
    if not _averages_are_ours(spec, mask):
        return
    suffix = ""
    for overview, overview_mask in _averages(pixels, spec, mask):
        suffix += ".ovr"
        file = sidecars.enter_context(MemoryFile(dirname=name.parent.name, filename=name.name + suffix))
        with rasterio.open(file.name, "w", **_staging_profile(spec, overview)) as dataset:
            _write_pixels(dataset, overview, overview_mask)


def _write_pixels(dataset: Any, pixels: NDArray[Any], mask: Mask) -> None:
    dataset.write(pixels)
    if mask is not None:
        dataset.write_mask(mask)


def _staging_profile(spec: ExportSpec, pixels: NDArray[Any]) -> dict[str, Any]:
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 256, "BIGTIFF": "IF_SAFER"}
    return creation_profile(spec) | layout | {"height": pixels.shape[1], "width": pixels.shape[2]}


# Overviews: built by GDAL, or here where GDAL would average missing pixels.


def add_overviews(dataset: Any, factors: tuple[int, ...], resampling: str) -> None:
    """Build overviews on an open dataset and record by which method."""
    dataset.build_overviews(list(factors), _RESAMPLING_BY_NAME[resampling])
    _record_resampling(dataset, resampling)


def _record_resampling(dataset: Any, resampling: str) -> None:
    """Write the method as rasterio does (namespace ``rio_overview``), and as a tag, which stays in copies."""
    dataset.update_tags(ns="rio_overview", resampling=_RESAMPLING_BY_NAME[resampling].name)
    dataset.update_tags(**{RESAMPLING_TAG: resampling})


def _averages_are_ours(spec: ExportSpec, mask: Mask) -> bool:
    """Return whether overviews come from `_averages`.

    GDAL averages complex numbers with nodata, 64-bit integers as doubles, and rasters with a mask without masked
    pixels, but with nodata and NaN.
    """
    is_average = bool(spec.overview_factors) and spec.resampling == "AVERAGE"
    is_ours = spec.dtype.kind == "c" or spec.dtype.name in WIDE_DTYPES
    is_ours = is_ours or (mask is not None and (spec.dtype.kind == "f" or spec.nodata is not None))
    return is_ours and is_average and not spec.encoding.warps


def _averages(pixels: NDArray[Any], spec: ExportSpec, mask: Mask) -> Iterator[tuple[NDArray[Any], Mask]]:
    """Compute the overviews of a raster and their masks, from large to small, of valid pixels alone."""
    level = pixels
    for _ in spec.overview_factors:
        level = np.stack([halve(band, "AVERAGE", nodata=spec.nodata, is_valid=mask) for band in level])
        mask = None if mask is None else halve_mask(mask)
        yield level, mask


def _build_pyramid(dataset: Any, pixels: NDArray[Any], spec: ExportSpec, mask: Mask) -> None:
    """Build the overviews of a file, with NaN as missing for any nodata.

    GDAL leaves out only pixels that equal nodata; one NaN would spread over its whole overview pixel. So NaN is nodata
    while overviews are built, and pixels and nodata are restored afterwards.
    """
    if spec.encoding.warps:
        _prepare_warp(dataset, spec)
        return
    if not spec.overview_factors:
        return
    if _averages_are_ours(spec, mask):
        _record_resampling(dataset, spec.resampling)
        return
    nan_counts_as_data = spec.dtype.kind == "f" and spec.nodata == spec.nodata and spec.resampling != "NEAREST"
    has_nan = nan_counts_as_data and bool(np.isnan(pixels).any())
    if has_nan and spec.nodata is None:
        dataset.nodata = float("nan")
    elif has_nan:
        dataset.write(np.where(np.isnan(pixels), pixels.dtype.type(spec.nodata), pixels))
    add_overviews(dataset, spec.overview_factors, spec.resampling)
    if has_nan and spec.nodata is None:
        dataset.nodata = None
    elif has_nan:
        dataset.write(pixels)


def _prepare_warp(dataset: Any, spec: ExportSpec) -> None:
    """Set NaN as nodata and record the method for overviews that GDAL builds after the warp."""
    if spec.dtype.kind == "f" and spec.nodata is None:
        dataset.nodata = float("nan")
    if spec.encoding.overviews != "NONE":
        _record_resampling(dataset, spec.resampling)
