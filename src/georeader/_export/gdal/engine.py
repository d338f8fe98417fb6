"""The export through GDAL's own drivers, by rasterio: write, build overviews, copy into COG order.

Pixels are laid into a GeoTIFF in memory, overviews are built on it, and GDAL's COG driver copies both into the
file, overviews and header first (GDAL's COG driver page; OGC 21-026). What that driver can't do, oblong tiles
and, before GDAL 3.11, band interleave, goes through the GTiff driver with COPY_SRC_OVERVIEWS, on which the
COG driver itself is built. Memory, beyond the array: GDAL's copy of it, a third of it for overviews, what GDAL makes
for a while (a warped raster, overviews of a mask, both compressed), and GDAL's block cache (GDAL_CACHEMAX, 5% of the
machine's memory unless set).
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import Interleaving
from rasterio.env import GDALVersion
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from georeader._core.caller_warnings import warn_at_caller
from georeader._core.dtypes import is_nodata_for_rasterio, nodata_text
from georeader._core.threads import startable_threads, thread_count, usable_cpus
from georeader._export.gdal.level_sizes import level_receipts
from georeader._export.gdal.options import creation_options, overview_environment
from georeader._export.gdal.pyramid import averages, averages_are_ours, build_pyramid
from georeader._export.gdal_dataset import ENVIRONMENT, describe, place_and_kind
from georeader._export.geotiff_tags import check_crs
from georeader._export.plan.grid import tile_grid
from georeader._export.plan.spec import ExportSpec
from georeader._export.receipt.facts import facts_of_file, facts_of_spec
from georeader._export.receipt.receipt import LevelReceipt
from georeader._export.statistics import BandSummary, summary_of_tags
from georeader._readers.int64_nodata import nodata_sidecar
from georeader._tiff.checksum import crc32
from georeader.errors import MetadataWarning, OptionError, WriteError

#: The process that imported this module; in its forks, GDAL works on one thread.
IMPORTED_BY_PID = os.getpid()

#: A finished file is read in pieces of so many bytes.
_PIECE_BYTES = 2**20


@dataclass(frozen=True)
class Finished:
    """What is told of a file that GDAL wrote.

    Attributes:
        levels: From the full resolution to the smallest overview.
        crc32: Of the whole file.
        statistics: One per band, or None where nobody asked for them.
        facts: What `receipt_facts` gives.
    """

    levels: tuple[LevelReceipt, ...]
    crc32: int
    statistics: tuple[BandSummary, ...] | None
    facts: dict[str, Any]


def write_raster(pixels: NDArray[Any], spec: ExportSpec, path: Path, *, mask: NDArray[np.bool_] | None = None) -> None:
    """Write a raster file.

    Args:
        pixels: (band, row, column), of ``spec``'s shape and dtype.
        spec: The file that is wanted.
        path: An empty file, which may have no name (``/proc/self/fd/7``); the caller moves or removes it.
        mask: (row, column), True where the pixels are valid; it becomes the file's internal mask. None: no mask.

    Raises:
        WriteError: GDAL failed, or the file came out short (a full disk).
        OptionError: The installed GDAL can't do what ``spec`` asks for.
    """
    _warn_of_metadata(spec)
    driver, options = creation_options(spec, GDALVersion.runtime())
    _check_nbits(pixels, spec)
    threads = _gdal_threads(spec.encoding.num_threads)
    options["NUM_THREADS"] = threads
    environment = {"GDAL_NUM_THREADS": threads, "GDAL_PAM_ENABLED": "NO"}
    environment |= overview_environment(spec)
    if driver == "COG" and mask is not None and averages_are_ours(spec, has_mask=True):
        # It takes overviews in sidecars as they are, but makes those of the mask itself: as we would, and without a
        # predictor, which single bits can't have.
        options["OVERVIEW_RESAMPLING"] = spec.resampling
        environment["PREDICTOR_OVERVIEW"] = "1"
    try:
        with rasterio.Env(**ENVIRONMENT, GDAL_NUM_THREADS=threads), _staging(pixels, spec, mask) as staged:
            build_pyramid(staged, pixels, spec, has_mask=mask is not None)
            if spec.statistics:
                staged.stats(approx=False)  # which notes them as the bands' STATISTICS_... tags
            # What GDAL needs for a while, a warped raster or the overviews of a mask, lies beside the staging file in
            # memory: nothing of it can outlive the process.
            with rasterio.Env(**environment, CPL_TMPDIR=str(PurePosixPath(staged.name).parent)):
                rasterio.shutil.copy(staged, str(path), driver=driver, **options)
    except (RasterioError, CPLE_BaseError, SystemError) as error:
        # rasterio raises SystemError for failures that GDAL does not explain, a full disk among them.
        raise WriteError(f"GDAL's {driver} driver failed: {error} (options {options})") from error
    check_whole(path, is_sparse=dict(spec.encoding.driver_options).get("SPARSE_OK") == "YES")
    if spec.crs is not None and not spec.encoding.warps:
        _check_crs(path, spec.crs)


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
    """Return GDAL's number of threads: one, where a pool of them would make it wait forever.

    GDAL's pool does not live on in a forked process, and its driver waits for threads that the system refused to start.
    """
    wanted = thread_count(num_threads, usable_cpus(), sys.maxsize)
    is_forked = os.getpid() != IMPORTED_BY_PID
    return "1" if is_forked or startable_threads(wanted) < wanted else str(num_threads)


def _check_nbits(pixels: NDArray[Any], spec: ExportSpec) -> None:
    """Check that values fit NBITS, which cuts off larger ones: 2**bits for integers, or the range of a 16-bit float."""
    bits = spec.encoding.bits or dict(spec.encoding.driver_options).get("NBITS")
    if bits is None:
        return
    limit = 65504 if spec.dtype.kind == "f" else 2 ** int(bits) - 1
    numbers = [spec.nodata] if spec.nodata is not None else []
    highest = max([*numbers, np.max(np.abs(pixels), where=np.isfinite(pixels), initial=0)])
    if highest > limit:
        where = "profile_arg['NBITS']" if spec.encoding.bits is None else "attrs['nbits']"
        raise OptionError(f"{where}={bits} holds values up to {limit}; data or nodata reach {highest}")


@contextmanager
def _staging(pixels: NDArray[Any], spec: ExportSpec, mask: NDArray[np.bool_] | None) -> Iterator[Any]:
    """Open a rasterio dataset in memory that holds pixels and metadata.

    A GeoTIFF, not GDAL's MEM format: a named file can have sidecars. They pass on what rasterio has no call for: nodata
    that it does not take, and overviews that are not GDAL's.
    """
    profile = _staging_profile(spec)
    with MemoryFile(filename="staging.tif") as file, ExitStack() as sidecars:
        with file.open(**profile) as dataset:
            describe(dataset, spec)
            dataset.write(pixels)
            if mask is not None:
                dataset.write_mask(mask)
        _write_sidecars(file.name, pixels, spec, mask, sidecars)
        # Whatever the caller's own GDAL configuration says: here the sidecars are to be read.
        with (
            rasterio.Env(GDAL_PAM_ENABLED="YES", GDAL_DISABLE_READDIR_ON_OPEN="FALSE"),
            rasterio.open(file.name, "r+") as dataset,
        ):
            yield dataset


def _write_sidecars(
    path: str, pixels: NDArray[Any], spec: ExportSpec, mask: NDArray[np.bool_] | None, sidecars: ExitStack
) -> None:
    """Write ``.aux.xml`` for a nodata that rasterio does not take, and ``.ovr``, ``.ovr.ovr``, ... for own overviews.

    Args:
        path: The staging file, in GDAL's memory.
        pixels: (band, row, column) at full resolution.
        spec: The file that is wanted.
        mask: (row, column), True where the pixels are valid, or None.
        sidecars: Keeps the files until the staging file is done with.
    """
    name = PurePosixPath(path)
    if spec.nodata is not None and not is_nodata_for_rasterio(spec.nodata, spec.dtype):
        content = nodata_sidecar(nodata_text(spec.nodata), spec.count)
        sidecars.enter_context(MemoryFile(content, dirname=name.parent.name, filename=f"{name.name}.aux.xml"))
    if not averages_are_ours(spec, has_mask=mask is not None):
        return
    suffix = ""
    for overview, overview_mask in averages(pixels, spec, mask):
        suffix += ".ovr"
        file = sidecars.enter_context(MemoryFile(dirname=name.parent.name, filename=name.name + suffix))
        _, height_px, width_px = overview.shape
        profile = _staging_profile(spec) | {"height": height_px, "width": width_px}
        with rasterio.open(file.name, "w", **profile) as dataset:
            dataset.write(overview)
            if overview_mask is not None:
                dataset.write_mask(overview_mask)


def _staging_profile(spec: ExportSpec) -> dict[str, Any]:
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 256, "BIGTIFF": "IF_SAFER"}
    return place_and_kind(spec) | layout | {"height": spec.height_px, "width": spec.width_px}


def _check_crs(path: Path, crs: CRS) -> None:
    """Compare the CRS with what GeoTIFF's keys made of it: not every CRS has a place in them.

    Raises:
        GeoreferenceError: Nothing is left of it.
    """
    with rasterio.Env(GDAL_PAM_ENABLED="NO"), rasterio.open(path) as dataset:
        found = dataset.crs
    check_crs(found, crs)


def read_summary(path: Path, spec: ExportSpec) -> Finished:
    """Read what a receipt tells of a finished file; each byte of it once.

    Args:
        path: The file.
        spec: What was asked for.

    Raises:
        WriteError: It can't be read.
    """
    try:
        with rasterio.Env(GDAL_PAM_ENABLED="NO"), rasterio.open(path) as dataset:
            factors = (1, *(dataset.overviews(1) if spec.encoding.warps else spec.overview_factors))
            found = [summary_of_tags(dataset.tags(band)) for band in dataset.indexes]
            facts = facts_of_file(spec, dataset) if spec.encoding.warps else facts_of_spec(spec)
        with path.open("rb") as file:

            def read(offset_bytes: int, length_bytes: int) -> bytes:
                file.seek(offset_bytes)
                return file.read(length_bytes)

            levels = level_receipts(read, factors)
            file.seek(0)
            value = 0
            while piece := file.read(_PIECE_BYTES):
                value = crc32(piece, value)
    except (RasterioError, OSError) as error:
        if isinstance(error, WriteError):
            raise
        raise WriteError(f"the file that GDAL wrote can't be opened again: {error}") from error
    is_asked = spec.encoding.options.get("STATISTICS") == "YES"
    told = tuple(summary for summary in found if summary is not None) if is_asked else ()
    return Finished(levels, value, told if len(told) == len(found) else None, facts)


def check_whole(path: Path, *, is_sparse: bool) -> None:
    """Look at each tile: GDAL reports neither an encoder that failed in a thread nor a disk that is full at closing.

    Args:
        path: The finished file.
        is_sparse: Tiles may take no bytes (SPARSE_OK).

    Raises:
        WriteError: The file can't be opened again, is too short, or a tile of it is empty.
    """
    try:
        size_bytes = path.stat().st_size
        with rasterio.open(path) as dataset:
            for level in (None, *range(len(dataset.overviews(1)))):
                with rasterio.open(path, **({} if level is None else {"overview_level": level})) as part:
                    _check_tiles(dataset, level, part, size_bytes, is_sparse)
    except (RasterioError, CPLE_BaseError, OSError) as error:
        if isinstance(error, WriteError):
            raise
        raise WriteError(f"the file that GDAL wrote can't be opened again: {error}") from error


def _check_tiles(dataset: Any, level: int | None, part: Any, size_bytes: int, is_sparse: bool) -> None:
    tile_height, tile_width = part.block_shapes[0]
    bands = part.indexes if part.interleaving is Interleaving.band else [1]
    name = "full resolution" if level is None else f"overview {level}"
    grid = [range(count) for count in tile_grid(part.height, part.width, tile_height, tile_width)]
    for band, row, column in itertools.product(bands, *grid):
        items = [
            dataset.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=band, ovr=level)
            for what in ("OFFSET", "SIZE")
        ]
        offset_bytes, tile_bytes = (int(item or 0) for item in items)
        if not tile_bytes and not is_sparse:
            raise WriteError(
                f"{name}: the tile at row {row}, column {column} of band {band} is empty: its encoder failed"
            )
        if offset_bytes + tile_bytes > size_bytes:
            raise WriteError(
                f"{name}: the tile at row {row}, column {column} of band {band} ends at byte "
                f"{offset_bytes + tile_bytes}, the file at {size_bytes}; is the disk full?"
            )
