"""The peers: one small adapter for each way to write a COG, all under one protocol.

What a peer's users hold anyway (a GeoTensor, a DataArray, a dask array) is made by `prepare`, outside the time; all
that has to happen for a file to be there is done by `write`. Options that are None in the settings are not passed, so
that the peer's default holds. README.md lists what each one can't be told.
"""

from __future__ import annotations

import inspect
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.codec_alone import CodecAlone, CodecAndPredictor, usable_cores
from benchmarks.settings import Place, Settings

GDAL_PREDICTORS = {1: "NO", 2: "STANDARD", 3: "FLOATING_POINT"}


class Peer(Protocol):
    """One way to write a COG.

    Attributes:
        name: On the command line and in the results.
        label: In tables.
        distributions: Packages whose versions are recorded.
        writes_file: Whether there is a file to look at afterwards.
    """

    name: str
    label: str
    distributions: tuple[str, ...]
    writes_file: bool

    def available(self) -> str | None:
        """Say why it can't run here, or None when it can."""

    def prepare(self, array: NDArray[Any], place: Place, settings: Settings) -> Any:
        """Make what the peer's users hold in memory: not part of the time."""

    def write(self, prepared: Any, place: Place, settings: Settings, path: str) -> int | None:
        """Write one COG. A peer that writes no file gives the number of bytes it made."""


class _Writer:
    """What most peers have in common."""

    distributions: tuple[str, ...] = ("rasterio",)
    needs: tuple[str, ...] = ("rasterio",)
    writes_file = True

    def available(self) -> str | None:
        missing = [name for name in self.needs if find_spec(name) is None]
        return f"not installed: {', '.join(missing)}" if missing else None

    def prepare(self, array: NDArray[Any], place: Place, settings: Settings) -> Any:
        del place, settings
        return array


class Ours(_Writer):
    """`georeader.save_cog`, this project's own engine."""

    name = "ours"
    label = "georeader-cog"
    distributions: tuple[str, ...] = ("georeader-cog", "rasterio", "imagecodecs", "numpy")
    needs: tuple[str, ...] = ("georeader",)

    def prepare(self, array: NDArray[Any], place: Place, settings: Settings) -> Any:
        del settings
        return _geotensor(array, place)

    def write(self, prepared: Any, place: Place, settings: Settings, path: str) -> None:
        from georeader import save_cog

        del place
        has_engines = "engine" in inspect.signature(save_cog).parameters
        engine = {"engine": "stream"} if has_engines else {}
        save_cog(prepared, path, profile_arg=cog_options(settings), **engine)


class Gdal(_Writer):
    """GDAL's COG driver, by way of rasterio: the pixels in a dataset in memory, copied by the driver."""

    name = "gdal"
    label = "GDAL COG driver"
    threads: int | str | None = None

    def write(self, prepared: NDArray[Any], place: Place, settings: Settings, path: str) -> None:
        import rasterio
        import rasterio.shutil

        settings = settings if self.threads is None else settings.with_threads(self.threads)
        with rasterio.open("pixels", "w+", driver="MEM", **raster_profile(prepared, place)) as dataset:
            _colour(dataset)
            dataset.write(prepared)
            rasterio.shutil.copy(dataset, path, driver="COG", **cog_options(settings), **_interleave(prepared))


class GdalOneThread(Gdal):
    """The same on one thread."""

    name = "gdal-1"
    label = "GDAL COG driver, 1 thread"
    threads = 1


class GdalAllThreads(Gdal):
    """The same with NUM_THREADS=ALL_CPUS, also where the others are left at their defaults."""

    name = "gdal-all"
    label = "GDAL COG driver, ALL_CPUS"
    threads = "ALL_CPUS"


class GdalWrite(_Writer):
    """GDAL's COG driver as most who use rasterio call it: open for writing, write."""

    name = "gdal-write"
    label = "GDAL COG driver, rasterio.open"

    def write(self, prepared: NDArray[Any], place: Place, settings: Settings, path: str) -> None:
        import rasterio

        options = raster_profile(prepared, place) | cog_options(settings) | _interleave(prepared)
        with rasterio.open(path, "w", driver="COG", **options) as dataset:
            _colour(dataset)
            dataset.write(prepared)


class RioCogeo(_Writer):
    """rio-cogeo's `cog_translate`, from a GeoTIFF in memory."""

    name = "rio-cogeo"
    label = "rio-cogeo cog_translate"
    distributions: tuple[str, ...] = ("rio-cogeo", "rasterio")
    needs: tuple[str, ...] = ("rio_cogeo",)

    def write(self, prepared: NDArray[Any], place: Place, settings: Settings, path: str) -> None:
        from rasterio.io import MemoryFile
        from rio_cogeo import cog_profiles, cog_translate

        profile = cog_profiles.get("raw" if settings.codec == "none" else settings.codec) | gtiff_options(settings)
        environment = {} if settings.threads is None else {"GDAL_NUM_THREADS": str(settings.threads)}
        overviews: dict[str, Any] = {} if settings.resampling is None else {"overview_resampling": settings.resampling}
        staging = raster_profile(prepared, place) | {"driver": "GTiff", "tiled": True, "BIGTIFF": "IF_SAFER"}
        with MemoryFile() as file:
            with file.open(**staging) as dataset:
                _colour(dataset)
                dataset.write(prepared)
            with file.open() as dataset:
                cog_translate(dataset, path, profile, config=environment, quiet=True, **overviews)


class Odc(_Writer):
    """odc-geo's `write_cog`."""

    name = "odc"
    label = "odc-geo write_cog"
    distributions: tuple[str, ...] = ("odc-geo", "rasterio", "xarray")
    needs: tuple[str, ...] = ("odc.geo", "xarray")

    def available(self) -> str | None:
        return "not installed: odc-geo" if find_spec("odc") is None else super().available()

    def prepare(self, array: NDArray[Any], place: Place, settings: Settings) -> Any:
        del settings
        return _odc_array(array, place)

    def write(self, prepared: Any, place: Place, settings: Settings, path: str) -> None:
        import rasterio
        from odc.geo.cog import write_cog

        del place
        # It hands all options to its file without compression too, where GDAL refuses YCbCr.
        options = {key: value for key, value in gtiff_options(settings).items() if key != "photometric"}
        environment = {} if settings.threads is None else {"GDAL_NUM_THREADS": str(settings.threads)}
        if settings.tile_px is not None:
            # Its own default is 2, 4, ... 32, however large the raster is.
            count = overview_count(prepared.shape[-2:], settings.tile_px)
            options |= {"blocksize": settings.tile_px, "overview_levels": [2**n for n in range(1, count + 1)]}
        if settings.resampling is not None:
            options["overview_resampling"] = settings.resampling
        with rasterio.Env(**environment):
            write_cog(prepared, path, **options)


class OdcDask(Odc):
    """odc-geo's `save_cog_with_dask`, on dask's threads."""

    name = "odc-dask"
    label = "odc-geo save_cog_with_dask"
    distributions: tuple[str, ...] = ("odc-geo", "dask", "tifffile", "imagecodecs")
    needs: tuple[str, ...] = ("odc.geo", "dask", "tifffile", "imagecodecs")

    def prepare(self, array: NDArray[Any], place: Place, settings: Settings) -> Any:
        from dask.array import from_array

        # Tiles are as large as chunks unless told: 512, as the defaults of the others.
        side_px = 512 if settings.tile_px is None else settings.tile_px * 8
        pixels = array
        chunks: tuple[int, ...] = (len(array), side_px, side_px)
        if len(array) in (3, 4):
            pixels, chunks = np.ascontiguousarray(np.moveaxis(array, 0, -1)), (side_px, side_px, len(array))
        # A name, since dask would spend seconds to make one of all the pixels.
        return _odc_array(from_array(pixels, chunks=chunks, name=f"pixels-{id(array)}"), place)

    def write(self, prepared: Any, place: Place, settings: Settings, path: str) -> None:
        import dask
        from odc.geo.cog import save_cog_with_dask

        del place
        wishes: dict[str, Any] = {
            "compression": settings.codec.upper(),
            "level": settings.level if settings.quality is None else settings.quality,
            "compressionargs": {"lossless": False} if settings.codec == "webp" else None,
            "predictor": settings.predictor,
            "blocksize": settings.tile_px,
            "overview_resampling": settings.resampling,
            "bigtiff": None if settings.tile_px is None else False,
        }
        options = {name: value for name, value in wishes.items() if value is not None}
        threads = usable_cores() if settings.threads in (None, "ALL_CPUS") else int(settings.threads)
        with dask.config.set(scheduler="threads", num_workers=threads):
            save_cog_with_dask(prepared, path, **options).compute()


class Rioxarray(_Writer):
    """rioxarray's `.rio.to_raster`, by GDAL's COG driver."""

    name = "rioxarray"
    label = "rioxarray to_raster"
    distributions: tuple[str, ...] = ("rioxarray", "rasterio", "xarray")
    needs: tuple[str, ...] = ("rioxarray",)

    def prepare(self, array: NDArray[Any], place: Place, settings: Settings) -> Any:
        import rioxarray  # noqa: F401 - gives DataArray its .rio
        import xarray
        from affine import Affine

        del settings
        pixels = xarray.DataArray(array, dims=("band", "y", "x"))
        pixels = pixels.rio.write_crs(place.crs).rio.write_transform(Affine(*place.transform))
        return pixels if place.nodata is None else pixels.rio.write_nodata(place.nodata)

    def write(self, prepared: Any, place: Place, settings: Settings, path: str) -> None:
        del place
        prepared.rio.to_raster(path, driver="COG", **cog_options(settings), **_interleave(prepared))


class Spaceml(_Writer):
    """georeader-spaceml's `save_cog`, in an environment of its own, since its import name is this project's."""

    name = "spaceml"
    label = "georeader-spaceml save_cog"
    distributions: tuple[str, ...] = ("georeader-spaceml", "rasterio")
    needs: tuple[str, ...] = ("georeader",)

    def prepare(self, array: NDArray[Any], place: Place, settings: Settings) -> Any:
        del settings
        return _geotensor(array, place)

    def write(self, prepared: Any, place: Place, settings: Settings, path: str) -> None:
        from georeader.save import save_cog

        del place
        save_cog(prepared, path, profile=cog_options(settings) | _interleave(prepared))


_ALL: list[Peer] = [
    Ours(), Gdal(), GdalOneThread(), GdalAllThreads(), GdalWrite(), RioCogeo(), Odc(), OdcDask(), Rioxarray(),
    Spaceml(), CodecAlone(), CodecAndPredictor(),
]  # fmt: skip

PEERS: dict[str, Peer] = {peer.name: peer for peer in _ALL}


def cog_options(settings: Settings) -> dict[str, Any]:
    """Spell settings as creation options of GDAL's COG driver."""
    predictor = None if settings.predictor is None else GDAL_PREDICTORS[settings.predictor]
    options = {
        "COMPRESS": settings.codec.upper(),
        "LEVEL": settings.level,
        "QUALITY": settings.quality,
        "PREDICTOR": predictor if settings.codec in ("lzw", "deflate", "zstd") else None,
        "BLOCKSIZE": settings.tile_px,
        "RESAMPLING": settings.resampling and settings.resampling.upper(),
        "NUM_THREADS": settings.threads,
    }
    return {name: value for name, value in options.items() if value is not None}


def gtiff_options(settings: Settings) -> dict[str, Any]:
    """Spell settings as creation options of GDAL's GTiff driver; the pyramid is not its business."""
    level_name = {"deflate": "zlevel", "zstd": "zstd_level", "lzma": "lzma_preset"}.get(settings.codec, "level")
    quality_name = {"jpeg": "jpeg_quality", "webp": "webp_level"}.get(settings.codec, "quality")
    options = {
        "compress": settings.codec,
        level_name: settings.level,
        quality_name: settings.quality,
        "predictor": settings.predictor if settings.codec in ("lzw", "deflate", "zstd") else None,
        "blockxsize": settings.tile_px,
        "blockysize": settings.tile_px,
        "num_threads": settings.threads,
        "photometric": "YCBCR" if settings.codec == "jpeg" else None,
    }
    return {name: value for name, value in options.items() if value is not None}


def raster_profile(array: NDArray[Any], place: Place) -> dict[str, Any]:
    """Say what the raster is in rasterio's words."""
    from affine import Affine

    count, height_px, width_px = array.shape
    return {"count": count, "height": height_px, "width": width_px, "dtype": array.dtype.name, "crs": place.crs,
            "transform": Affine(*place.transform), "nodata": place.nodata}  # fmt: skip


def overview_count(shape: tuple[int, ...], tile_px: int) -> int:
    """Count the halvings until both sides fit into a tile."""
    sides_px, count = list(shape), 0
    while max(sides_px) > tile_px:
        sides_px, count = [(side_px + 1) // 2 for side_px in sides_px], count + 1
    return count


def _interleave(array: Any) -> dict[str, str]:
    """Ask for bands pixel by pixel where the installed GDAL leaves a choice (its COG driver since 3.11)."""
    from rasterio.env import GDALVersion

    return {"INTERLEAVE": "PIXEL"} if len(array.shape) == 3 and GDALVersion.runtime().at_least("3.11") else {}


def _colour(dataset: Any) -> None:
    from rasterio.enums import ColorInterp

    if dataset.count == 3 and dataset.dtypes[0] == "uint8":
        dataset.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]


def _geotensor(array: NDArray[Any], place: Place) -> Any:
    """Make a GeoTensor, of this project or of georeader-spaceml, whichever is installed."""
    from affine import Affine

    from georeader.geotensor import GeoTensor

    return GeoTensor(array, Affine(*place.transform), place.crs, fill_value_default=place.nodata)


def _odc_array(pixels: Any, place: Place) -> Any:
    from affine import Affine
    from odc.geo.geobox import GeoBox
    from odc.geo.xr import wrap_xr

    axis = 0 if pixels.shape[-1] in (3, 4) else 1
    geobox = GeoBox(pixels.shape[axis : axis + 2], Affine(*place.transform), place.crs)
    dims = ("y", "x", "band") if axis == 0 else ("band", "y", "x")
    return wrap_xr(pixels, geobox, nodata=place.nodata, dims=dims, axis=axis)
