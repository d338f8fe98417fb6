"""save_cog and save_tiled_geotiff: write a raster as a GeoTIFF."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from georeader._core.dtypes import storage_dtype
from georeader._core.sentinels import Unset
from georeader._storage.urls import Destination
from georeader.errors import GeoreferenceError, OptionError, ShapeError
from georeader.geotensor import GeoTensor

if TYPE_CHECKING:
    from georeader._export.plan.request import SaveRequest
    from georeader._export.receipt.receipt import Receipt
    from georeader.abstract_reader import GeoData
    from georeader.profile_options import Engine, ProfileArg, ProfileOptions

    # Any object with write(bytes), too.
    DestinationArg = str | os.PathLike[str] | Any

    # Includes rasterio's datasets and xarray's objects, whose types are unknown without their packages.
    Raster = GeoData | str | os.PathLike[str] | Any

#: Schemes of remote destinations; those of fsspec are remote, too.
REMOTE_FILE_EXTENSIONS = ["gs://", "s3://", "az://", "abfs://", "oss://", "http://", "https://"]

#: Side of a tile, in pixels.
BLOCKSIZE_DEFAULT = 256

#: Memory that a save may hold beyond its source, unless ``max_memory`` is passed.
MAX_MEMORY_DEFAULT_BYTES = 512 * 2**20

#: Creation options that apply where profile_arg has none.
PROFILE_TILED_GEOTIFF_DEFAULT: dict[str, Any] = {
    "compress": "lzw",
    "BIGTIFF": "IF_SAFER",
    "blockxsize": BLOCKSIZE_DEFAULT,
    "blockysize": BLOCKSIZE_DEFAULT,
}

#: Tile side of the profile above as shipped: of the two constants, the changed one applies.
_SHIPPED_BLOCKSIZE = BLOCKSIZE_DEFAULT

#: Of type Any, so that the parameters keep the types of what callers pass.
_MAX_MEMORY_UNSET: Any = Unset("512MiB")
_BLOCKSIZE_UNSET: Any = Unset("BLOCKSIZE_DEFAULT")


def save_cog(  # noqa: PLR0913
    data_save: Raster,
    path_tiff_save: DestinationArg,
    descriptions: Sequence[str | None] | None = None,
    tags: Mapping[str, Any] | None = None,
    profile_arg: ProfileArg | None = None,
    fs: Any = None,
    nodata: float | None = None,
    *,
    dir_tmpfiles: str | os.PathLike[str] | None = None,
    profile: ProfileArg | None = None,
    engine: Engine = "auto",
    verify: bool = False,
    durable: bool = False,
    overwrite: bool = True,
    http_headers: Mapping[str, str] | None = None,
    max_memory: int | str = _MAX_MEMORY_UNSET,
    progress: bool | Callable[[int, int], Any] = False,
    client: Any = None,
    compute: bool = True,
    reuse_tiles: bool = True,
) -> Receipt:
    """Save a raster as a Cloud Optimized GeoTIFF.

    The file appears at its path whole or not at all. Descriptions, scales, offsets, units, tags, colours, masks, ground
    control points and RPCs of the source are kept unless overridden. Overviews halve the raster until both sides fit in
    one tile; they are averages without nodata, NaN and masked pixels, or nearest pixels of classes (bool, or with a
    colour table). Invalid arguments are refused before anything is written. See docs/saving.md.

    Args:
        data_save: GeoTensor, RasterioReader, path, open rasterio dataset or WarpedVRT, xarray.DataArray or Dataset, or
            object of the GeoData protocol, (row, column) or (band, row, column). What is not in memory is read in
            windows, each pixel once. Never changed.
        path_tiff_save: Local path, URL (s3://, gs://, az://, https://, any filesystem of fsspec), or an object open for
            binary writing. See docs/destinations.md.
        descriptions: One name, or None, per band.
        tags: File-level metadata; scalars of any type, written as text.
        profile_arg: Creation options in GDAL's or rasterio's spelling, such as compress (default lzw), predictor,
            BLOCKSIZE (256), INTERLEAVE, RESAMPLING, STATISTICS, nodata, dtype: see `ProfileOptions` and
            docs/codecs.md. Or a preset: "web", "visual", "analysis", "archive", also as ``{"preset": "web", "level":
            9}``: docs/presets.md. Never changed.
        fs: A filesystem of fsspec or a store of obstore for the path.
        nodata: Value of missing pixels; ``data_save.fill_value_default`` by default. For a file without nodata pass
            ``profile_arg={"nodata": None}``. A lossy codec (jpeg, webp, jxl) stores it as a mask.
        dir_tmpfiles: Folder for temporary files; by default beside a local destination, else the system's.
        profile: Another name of ``profile_arg``.
        engine: "stream", the project's own writer; "gdal", GDAL's drivers; "auto": the first, but the second for what
            only GDAL can do. See docs/engine.md.
        verify: Decode each tile again after it is encoded. With a lossless codec any difference is an error; with a
            lossy one the receipt has the largest error of each band.
        durable: Flush file and folder to the disk before returning.
        overwrite: False: an existing file is an error.
        http_headers: Headers of requests to http(s)://, such as ``{"Authorization": "Bearer ..."}``.
        max_memory: Memory that the save may hold beyond its source, in bytes or as text such as "2GB". It changes no
            byte of the file. The default is exceeded where a few tiles need more; a limit that is passed is an error
            then.
        progress: True for a tqdm bar (extra ``progress``), or a callable (tiles done, all tiles), called in the
            caller's thread; an exception that it raises ends the save.
        client: A distributed.Client, whose workers read, encode and send a dask-backed raster, a path or a
            RasterioReader. None: the current client, for dask-backed rasters. False: none. See docs/clusters.md.
        compute: False returns a `dask.delayed.Delayed`, whose result is the receipt.
        reuse_tiles: Tiles of a path or a RasterioReader of a whole file are taken over as they are encoded, where the
            encoding stays what it is: codec, tile size, dtype, and what ``profile_arg`` names. False: never. See
            docs/editing.md.

    Returns:
        A `Receipt`: path, size, levels, CRC-32, and on request statistics and errors. It prints as one line;
        ``to_stac()`` builds a STAC item.

    Raises:
        GeoreaderError: One of its kinds (`georeader.errors`). Messages contain no secrets.

    Example:
        >>> import numpy as np
        >>> from affine import Affine
        >>> from georeader import GeoTensor, RasterioReader, save_cog
        >>> ndvi = np.random.default_rng(0).random((600, 700), dtype="float32")
        >>> gt = GeoTensor(ndvi, Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630", fill_value_default=np.nan)
        >>> receipt = save_cog(gt, "ndvi.tif", descriptions=["NDVI"], profile_arg={"compress": "zstd", "predictor": 3})
        >>> RasterioReader("ndvi.tif").overviews()
        [2, 4]
    """
    return _save(
        data_save,
        Destination(path_tiff_save, fs, dir_tmpfiles, durable, overwrite, http_headers),
        "cog",
        profile_arg=profile_arg,
        profile=profile,
        descriptions=descriptions,
        tags=tags,
        nodata=nodata,
        engine=engine,
        verify=verify,
        max_memory=max_memory,
        progress=progress,
        client=client,
        compute=compute,
        reuse_tiles=reuse_tiles,
    )


def save_tiled_geotiff(  # noqa: PLR0913
    data_save: Raster,
    path_tiff_save: DestinationArg,
    descriptions: Sequence[str | None] | None = None,
    tags: Mapping[str, Any] | None = None,
    profile_arg: ProfileArg | None = None,
    fs: Any = None,
    nodata: float | None = None,
    *,
    dir_tmpfiles: str | os.PathLike[str] | None = None,
    profile: ProfileArg | None = None,
    blocksize: int = _BLOCKSIZE_UNSET,
    engine: Engine = "auto",
    verify: bool = False,
    durable: bool = False,
    overwrite: bool = True,
    http_headers: Mapping[str, str] | None = None,
    max_memory: int | str = _MAX_MEMORY_UNSET,
    progress: bool | Callable[[int, int], Any] = False,
    client: Any = None,
    compute: bool = True,
    reuse_tiles: bool = True,
) -> Receipt:
    """Save a raster as a tiled GeoTIFF, without overviews.

    For data read only by programs: smaller and faster to write than a COG. The file is not in GDAL's COG layout, so it
    opens for update: tags can be changed and overviews built later, by ``rasterio.open(path, "r+")`` or ``gdaladdo``.
    Arguments, receipt and errors are those of `save_cog`, but ``profile_arg`` takes no options that only GDAL's COG
    driver has, options of overviews have no effect, and ``blocksize`` is the side of a tile in pixels, a multiple of
    16; by default ``BLOCKSIZE_DEFAULT``, as it is at the call.

    Example:
        >>> import numpy as np
        >>> from affine import Affine
        >>> mask = GeoTensor(np.eye(64, dtype=bool), Affine(1, 0, 0, 0, -1, 64), "EPSG:3857")
        >>> receipt = save_tiled_geotiff(mask, "mask.tif", tags={"model": "v2", "threshold": 0.5})
        >>> import rasterio
        >>> with rasterio.open("mask.tif", "r+") as dataset:
        ...     dataset.build_overviews([2, 4])
        ...     dataset.overviews(1)
        [2, 4]
    """
    return _save(
        data_save,
        Destination(path_tiff_save, fs, dir_tmpfiles, durable, overwrite, http_headers),
        "tiled",
        profile_arg=profile_arg,
        profile=profile,
        blocksize=blocksize,
        descriptions=descriptions,
        tags=tags,
        nodata=nodata,
        engine=engine,
        verify=verify,
        max_memory=max_memory,
        progress=progress,
        client=client,
        compute=compute,
        reuse_tiles=reuse_tiles,
    )


def profile_from_dtype(dtype: Any) -> dict[str, Any]:
    """Return the rasterio profile in which a dtype (what `numpy.dtype` takes) is saved, as a new dict.

    Dtypes of a GeoTIFF keep their names: int8, int64, uint64 and complex128 where the installed GDAL has them. bool
    becomes uint8 {0, 1}, and float16 float32. Byte order does not matter: pixels are converted.

    Raises:
        DtypeError: A GeoTIFF does not hold the dtype; the message names one to cast to.

    Example:
        >>> profile_from_dtype(bool)["dtype"]
        'uint8'
    """
    return {**_default_profile(), "driver": "GTiff", "tiled": True, "dtype": storage_dtype(dtype).name}


def _save_cog(
    out_np: NDArray[Any],
    path_tiff_save: str | os.PathLike[str],
    profile: Mapping[str, Any],
    descriptions: Sequence[str | None] | None = None,
    tags: Mapping[str, Any] | None = None,
    dir_tmpfiles: str | os.PathLike[str] | None = None,
    fs: Any = None,
) -> None:
    """Save a (band, row, column) array as `save_cog` does, by a profile that has its crs and transform."""
    if not isinstance(profile, Mapping):
        raise OptionError(f"profile is a {type(profile).__name__}; pass a mapping with 'crs' and 'transform'")
    keys = {str(key).lower(): key for key in profile}
    missing = [name for name in ("crs", "transform") if name not in keys]
    if missing:
        raise GeoreferenceError(f"profile has no {' and no '.join(missing)}; add them")
    pixels = np.asanyarray(out_np)
    if pixels.ndim != 3:
        raise ShapeError(f"out_np is of shape {pixels.shape}; _save_cog takes (band, row, column)")
    place = {name: profile[keys[name]] for name in ("transform", "crs")}
    tensor = GeoTensor(pixels, **place, fill_value_default=None)
    options = cast("ProfileOptions", profile)
    save_cog(tensor, path_tiff_save, descriptions, tags, options, fs, dir_tmpfiles=dir_tmpfiles)


def _add_overviews(rst_out: Any, tile_size: int, verbose: bool = False) -> None:
    """Build overviews on a rasterio dataset open for update, down to the first with both sides within ``tile_size``.

    They are averages that leave out nodata, and NaN where there is no nodata; or picked (nearest) for a raster with a
    colour table. The method that was used is recorded in the tag OVERVIEW_RESAMPLING and in the namespace rio_overview.
    """
    from rasterio.enums import ColorInterp

    from georeader._export.gdal.engine import add_overviews
    from georeader._export.plan.grid import overview_factors
    from georeader._export.plan.resolve import default_resampling

    factors = overview_factors(rst_out.height, rst_out.width, tile_size, tile_size)
    resampling = default_resampling(ColorInterp.palette in rst_out.colorinterp)
    if verbose:
        print(f"building overviews {list(factors)} by {resampling.lower()}")
    if not factors:
        return
    nan_is_missing = rst_out.nodata is None and np.dtype(rst_out.dtypes[0]).kind == "f"
    if nan_is_missing:
        rst_out.nodata = np.nan
    try:
        add_overviews(rst_out, factors, resampling)
    finally:
        if nan_is_missing:
            rst_out.nodata = None


def _save(data_save: Raster, destination: Destination, kind: str, **arguments: Any) -> Receipt:
    # Codecs, engine and sinks are imported by a save, not by a process that only reads.
    from georeader._export import step

    compute = arguments.pop("compute", True)
    request = _parse_request(kind, destination, **arguments)
    saved: Receipt = step.save(data_save, request) if compute else step.delayed_save(data_save, request)
    return saved


def _parse_request(kind: str, destination: Destination, **arguments: Any) -> SaveRequest:
    """Parse the arguments of a save, with this module's defaults as they are at the call."""
    from georeader._export.plan.request import SaveRequest

    defaults: dict[str, Any] = {"default_profile": _default_profile(), "default_memory_bytes": MAX_MEMORY_DEFAULT_BYTES}
    return SaveRequest.parse(kind, destination, **defaults, **arguments)


def _default_profile() -> dict[str, Any]:
    """Return the module's default profile; its tile side is that of the constant that was changed."""
    defaults = dict(PROFILE_TILED_GEOTIFF_DEFAULT)
    for key in ("blockxsize", "blockysize"):
        if defaults.get(key, _SHIPPED_BLOCKSIZE) == _SHIPPED_BLOCKSIZE:
            defaults[key] = BLOCKSIZE_DEFAULT
    return defaults
