"""The export through GDAL's own drivers, by rasterio: write, build overviews, copy into COG order.

Pixels are laid into a GeoTIFF in memory, overviews are built on it, and GDAL's COG driver copies both into the
file, overviews and header first (GDAL's COG driver page; OGC 21-026). What that driver can't do, oblong tiles
and, before GDAL 3.11, band interleave, goes through the GTiff driver with COPY_SRC_OVERVIEWS, on which the
COG driver itself is built. Memory, beyond the array: GDAL's copy of it, a third of it for overviews, and GDAL's
block cache (GDAL_CACHEMAX, 5% of the machine's memory unless set).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp
from rasterio.env import GDALVersion
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from georeader.errors import OptionError, WriteError
from georeader.export.gdal_options import creation_options
from georeader.export.gdal_pyramid import averages_are_ours, build_pyramid, complex_averages
from georeader.export.spec import ExportSpec
from georeader.wide_nodata import WIDE_DTYPES, wide_nodata_sidecar


def write_raster(pixels: NDArray[Any], spec: ExportSpec, path: Path, scratch: Path) -> None:
    """Write a raster file.

    Args:
        pixels: (band, row, column), of ``spec``'s shape and dtype.
        spec: The file that is wanted.
        path: Where to write it; the caller moves or removes it.
        scratch: Folder for GDAL's temporary files.

    Raises:
        WriteError: GDAL failed, or the file came out short (a full disk).
        OptionError: The installed GDAL can't do what ``spec`` asks for.
    """
    driver, options = creation_options(spec, GDALVersion.runtime())
    _check_nbits(pixels, spec)
    threads = str(spec.encoding.num_threads)
    environment = {"CPL_TMPDIR": str(scratch), "GDAL_NUM_THREADS": threads, "GDAL_PAM_ENABLED": "NO"}
    try:
        with _staging(pixels, spec) as staged, rasterio.Env(**environment):
            build_pyramid(staged, pixels, spec)
            if spec.statistics:
                staged.stats(approx=False)  # which notes them as the bands' STATISTICS_... tags
            rasterio.shutil.copy(staged, str(path), driver=driver, **options)
    except (RasterioError, CPLE_BaseError) as error:
        raise WriteError(f"GDAL's {driver} driver failed: {error} (options {options})") from error
    check_whole(path)


def _check_nbits(pixels: NDArray[Any], spec: ExportSpec) -> None:
    bits = dict(spec.encoding.driver_options).get("NBITS")
    if bits is not None and spec.dtype.kind == "u" and int(pixels.max()) >= 2 ** int(bits):
        raise OptionError(
            f"profile_arg['NBITS']={bits} holds values below {2 ** int(bits)}; the data has {pixels.max()}"
        )


@contextmanager
def _staging(pixels: NDArray[Any], spec: ExportSpec) -> Iterator[Any]:
    """Give an open rasterio dataset in memory that holds pixels and metadata.

    A GeoTIFF, not GDAL's MEM format: a named file can have sidecars. By them, what rasterio has no call for is told:
    64-bit nodata, and overviews that are not GDAL's.
    """
    profile = _staging_profile(spec)
    with MemoryFile(filename="staging.tif") as file, ExitStack() as sidecars:
        with file.open(**profile) as dataset:
            _describe(dataset, spec)
            dataset.write(pixels)
        _write_sidecars(file.name, pixels, spec, sidecars)
        # Whatever the caller's own GDAL configuration says: here the sidecars are to be read.
        with (
            rasterio.Env(GDAL_PAM_ENABLED="YES", GDAL_DISABLE_READDIR_ON_OPEN="FALSE"),
            rasterio.open(file.name, "r+") as dataset,
        ):
            yield dataset


def _write_sidecars(path: str, pixels: NDArray[Any], spec: ExportSpec, sidecars: ExitStack) -> None:
    """Write ``.aux.xml`` for a 64-bit nodata, and ``.ovr``, ``.ovr.ovr``, ... for overviews of our own.

    Args:
        path: The staging file, in GDAL's memory.
        pixels: (band, row, column) at full resolution.
        spec: The file that is wanted.
        sidecars: Keeps the files until the staging file is done with.
    """
    name = PurePosixPath(path)
    if spec.dtype.name in WIDE_DTYPES and spec.nodata is not None:
        content = wide_nodata_sidecar(int(spec.nodata), spec.count)
        sidecars.enter_context(MemoryFile(content, dirname=name.parent.name, filename=f"{name.name}.aux.xml"))
    if not averages_are_ours(spec):
        return
    suffix = ""
    for overview in complex_averages(pixels, spec):
        suffix += ".ovr"
        file = sidecars.enter_context(MemoryFile(dirname=name.parent.name, filename=name.name + suffix))
        _, height_px, width_px = overview.shape
        profile = _staging_profile(spec) | {"height": height_px, "width": width_px}
        with rasterio.open(file.name, "w", **profile) as dataset:
            dataset.write(overview)


def _staging_profile(spec: ExportSpec) -> dict[str, Any]:
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": spec.count,
        "height": spec.height_px,
        "width": spec.width_px,
        "dtype": spec.dtype.name,
        "crs": spec.crs,
        "nodata": None if spec.dtype.name in WIDE_DTYPES else spec.nodata,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "BIGTIFF": "IF_SAFER",
        "photometric": "MINISBLACK",
        "ALPHA": "NO",
    }
    if not spec.transform.is_identity:
        profile["transform"] = spec.transform
    return profile


def _describe(dataset: Any, spec: ExportSpec) -> None:
    metadata = spec.metadata
    if metadata.colormap is not None:
        dataset.write_colormap(1, dict(metadata.colormap))
    elif metadata.colorinterp[1:] or metadata.colorinterp[0] != "gray":
        dataset.colorinterp = [ColorInterp[name] for name in metadata.colorinterp]
    if metadata.tags:
        dataset.update_tags(**dict(metadata.tags))
    if metadata.scales:
        dataset.scales = metadata.scales
    if metadata.offsets:
        dataset.offsets = metadata.offsets
    if metadata.units:
        dataset.units = [unit or "" for unit in metadata.units]
    for band, name in enumerate(metadata.descriptions, start=1):
        if name:
            dataset.set_band_description(band, name)


def check_whole(path: Path) -> None:
    """Refuse a file that ends before its last tile does: GDAL does not report a disk that fills up at closing.

    Raises:
        WriteError: The file can't be opened again, or is too short.
    """
    size_bytes = path.stat().st_size
    try:
        with rasterio.open(path) as dataset:
            end_bytes = _end_of_last_tile(dataset)
    except (RasterioError, CPLE_BaseError) as error:
        raise WriteError(f"the file that GDAL wrote can't be opened again: {error}") from error
    if end_bytes > size_bytes:
        raise WriteError(
            f"the file ends after {size_bytes} bytes, {end_bytes - size_bytes} before its last tile does; "
            "is the disk full?"
        )


def _end_of_last_tile(dataset: Any) -> int:
    """Give the offset just behind the last tile of the last band, in bytes; 0 when it is left out as empty."""
    tile_height, tile_width = dataset.block_shapes[-1]
    row, column = (dataset.height - 1) // tile_height, (dataset.width - 1) // tile_width
    found = []
    for name in ("OFFSET", "SIZE"):
        item = dataset.get_tag_item(f"BLOCK_{name}_{column}_{row}", "TIFF", bidx=dataset.count)
        found.append(int(item) if item else 0)
    return sum(found) if all(found) else 0
