"""The peers: one small adapter for each way to write a COG, all under one protocol.

What a peer's users hold anyway (a GeoTensor, a DataArray, a dask array) is made by `prepare`, outside the time, of what
`forms.Given` opens: an array by default. All that has to happen for a file to be there is done by
`write`. Options that are None in the settings are not passed, so that the peer's default holds. README.md lists what
each one cannot be set.
"""

from __future__ import annotations

import inspect
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.codec_alone import CodecAlone, CodecAndPredictor, usable_cores
from benchmarks.forms import Pieces, dask_array
from benchmarks.objects import data_array, geotensor, odc_array
from benchmarks.options import (
    cog_options,
    colour,
    gtiff_options,
    overview_count,
    pixel_interleave,
    raster_profile,
)
from benchmarks.settings import Place, Settings


class Peer(Protocol):
    """One way to write a COG.

    Attributes:
        name: On the command line and in the results.
        label: In tables.
        distributions: Packages whose versions are recorded.
        programs: Programs whose versions are recorded.
        writes_file: Whether there is a file to check afterwards.
    """

    name: str
    label: str
    distributions: tuple[str, ...]
    programs: tuple[str, ...]
    writes_file: bool

    def available(self) -> str | None:
        """Return why it cannot run here, or None if it can."""

    def prepare(self, raster: Any, place: Place, settings: Settings) -> Any:
        """Make what the peer's users hold in memory: not part of the time."""

    def write(self, prepared: Any, place: Place, settings: Settings, path: str) -> int | None:
        """Write one COG. A peer that writes no file gives the number of bytes it made."""


class _Writer:
    """What most peers have in common."""

    distributions: tuple[str, ...] = ("rasterio",)
    programs: tuple[str, ...] = ()
    needs: tuple[str, ...] = ("rasterio",)
    writes_file = True

    def available(self) -> str | None:
        missing = [name for name in self.needs if find_spec(name) is None]
        missing += [name for name in self.programs if shutil.which(name) is None]
        return f"not installed: {', '.join(missing)}" if missing else None

    def prepare(self, raster: Any, place: Place, settings: Settings) -> Any:
        del place, settings
        return raster


class _Georeader(_Writer):
    """A package called georeader, this project or georeader-spaceml: its users hold GeoTensors."""

    needs: tuple[str, ...] = ("georeader",)

    def prepare(self, raster: Any, place: Place, settings: Settings) -> Any:
        del settings
        return geotensor(raster, place) if isinstance(raster, np.ndarray) else raster


class Ours(_Georeader):
    """`georeader.save_cog`, this project's own engine; for pieces, `georeader.CogWriter`."""

    name = "ours"
    label = "georeader-cog"
    distributions: tuple[str, ...] = ("georeader-cog", "rasterio", "imagecodecs", "numpy")

    def prepare(self, raster: Any, place: Place, settings: Settings) -> Any:
        is_dask = hasattr(raster, "dask")
        return data_array(raster, place) if is_dask else super().prepare(raster, place, settings)

    def write(self, prepared: Any, place: Place, settings: Settings, path: str) -> None:
        from georeader import save_cog

        if isinstance(prepared, Pieces):
            self._push(prepared, place, settings, path)
            return
        has_engines = "engine" in inspect.signature(save_cog).parameters
        engine = {"engine": "stream"} if has_engines else {}
        save_cog(prepared, path, profile_arg=cog_options(settings), **engine)

    def _push(self, pieces: Pieces, place: Place, settings: Settings, path: str) -> None:
        from rasterio.windows import Window

        from georeader import CogWriter

        profile = raster_profile(pieces.pixels, place)
        known = {name: profile[name] for name in ("dtype", "crs", "transform", "nodata")}
        options = {"profile_arg": cog_options(settings), "engine": "stream"}
        with CogWriter(path, shape=pieces.pixels.shape, **known, **options) as writer:
            for rows, columns in pieces:
                writer.write(pieces.pixels[:, rows, columns], Window.from_slices(rows, columns))


class Gdal(_Writer):
    """GDAL's COG driver, by way of rasterio: the pixels in a dataset in memory, or a file, copied by the driver."""

    name = "gdal"
    label = "GDAL COG driver"
    threads: int | str | None = None

    def write(self, prepared: NDArray[Any] | str, place: Place, settings: Settings, path: str) -> None:
        import rasterio
        import rasterio.shutil

        settings = settings if self.threads is None else settings.with_threads(self.threads)
        if isinstance(prepared, str):
            rasterio.shutil.copy(prepared, path, driver="COG", **cog_options(settings))
            return
        with rasterio.open("pixels", "w+", driver="MEM", **raster_profile(prepared, place)) as dataset:
            colour(dataset)
            dataset.write(prepared)
            rasterio.shutil.copy(dataset, path, driver="COG", **cog_options(settings), **pixel_interleave(prepared))


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


class GdalTranslate(_Writer):
    """GDAL's own program, a process for each file: its GDAL is that of the system, not rasterio's."""

    name = "gdal-translate"
    label = "gdal_translate -of COG"
    distributions: tuple[str, ...] = ()
    programs = ("gdal_translate",)

    def write(self, prepared: str, place: Place, settings: Settings, path: str) -> None:
        del place
        options = [part for name, value in cog_options(settings).items() for part in ("-co", f"{name}={value}")]
        subprocess.run(["gdal_translate", "-q", "-of", "COG", *options, prepared, path], check=True)


class GdalWrite(_Writer):
    """GDAL's COG driver as most users of rasterio call it: open for writing, write."""

    name = "gdal-write"
    label = "GDAL COG driver, rasterio.open"

    def write(self, prepared: NDArray[Any], place: Place, settings: Settings, path: str) -> None:
        import rasterio

        options = raster_profile(prepared, place) | cog_options(settings) | pixel_interleave(prepared)
        with rasterio.open(path, "w", driver="COG", **options) as dataset:
            colour(dataset)
            dataset.write(prepared)


class RioCogeo(_Writer):
    """rio-cogeo's `cog_translate`, from a file, or from a GeoTIFF in memory."""

    name = "rio-cogeo"
    label = "rio-cogeo cog_translate"
    distributions: tuple[str, ...] = ("rio-cogeo", "rasterio")
    needs: tuple[str, ...] = ("rio_cogeo",)

    def write(self, prepared: NDArray[Any] | str, place: Place, settings: Settings, path: str) -> None:
        from rasterio.io import MemoryFile
        from rio_cogeo import cog_profiles, cog_translate

        profile = cog_profiles.get("raw" if settings.codec == "none" else settings.codec) | gtiff_options(settings)
        environment = {} if settings.threads is None else {"GDAL_NUM_THREADS": str(settings.threads)}
        overviews: dict[str, Any] = {} if settings.resampling is None else {"overview_resampling": settings.resampling}
        if isinstance(prepared, str):
            cog_translate(prepared, path, profile, config=environment, quiet=True, **overviews)
            return
        staging = raster_profile(prepared, place) | {"driver": "GTiff", "tiled": True, "BIGTIFF": "IF_SAFER"}
        with MemoryFile() as file:
            with file.open(**staging) as dataset:
                colour(dataset)
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

    def prepare(self, raster: NDArray[Any], place: Place, settings: Settings) -> Any:
        del settings
        return odc_array(raster, place)

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
    distributions: tuple[str, ...] = ("odc-geo", "dask", "tifffile", "imagecodecs", "rasterio")
    needs: tuple[str, ...] = ("odc.geo", "dask", "tifffile", "imagecodecs")

    def prepare(self, raster: Any, place: Place, settings: Settings) -> Any:
        if not isinstance(raster, np.ndarray):
            return odc_array(raster, place)
        # Tiles are as large as chunks by default: 512, as the defaults of the others.
        side_px = 512 if settings.tile_px is None else settings.tile_px * 8
        bands_last = len(raster) in (3, 4)
        pixels = np.ascontiguousarray(np.moveaxis(raster, 0, -1)) if bands_last else raster
        return odc_array(dask_array(pixels, side_px, bands_last=bands_last), place)

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

    def prepare(self, raster: NDArray[Any], place: Place, settings: Settings) -> Any:
        del settings
        return data_array(raster, place)

    def write(self, prepared: Any, place: Place, settings: Settings, path: str) -> None:
        del place
        prepared.rio.to_raster(path, driver="COG", **cog_options(settings), **pixel_interleave(prepared))


class Spaceml(_Georeader):
    """georeader-spaceml's `save_cog`, in an environment of its own, since its import name is this project's."""

    name = "spaceml"
    label = "georeader-spaceml save_cog"
    distributions: tuple[str, ...] = ("georeader-spaceml", "rasterio")

    def write(self, prepared: Any, place: Place, settings: Settings, path: str) -> None:
        from georeader.save import save_cog

        del place
        save_cog(prepared, path, profile=cog_options(settings) | pixel_interleave(prepared))


class Xrspatial(_Writer):
    """xarray-spatial's `to_geotiff(cog=True)`: LZW and predictors by numba, no GDAL."""

    name = "xrspatial"
    label = "xarray-spatial to_geotiff"
    distributions: tuple[str, ...] = ("xarray-spatial", "numba", "deflate", "zstandard")
    needs: tuple[str, ...] = ("xrspatial", "odc.geo")
    codecs = ("none", "packbits", "lzw", "deflate", "zstd")

    def available(self) -> str | None:
        if find_spec("xrspatial") is None:
            return "not installed: xarray-spatial, whose to_geotiff needs Python 3.12"
        return super().available()

    def prepare(self, raster: NDArray[Any], place: Place, settings: Settings) -> Any:
        if settings.codec not in self.codecs:
            raise NotImplementedError(f"no {settings.codec} here: it has {', '.join(self.codecs)}")
        return odc_array(raster, place)

    def write(self, prepared: Any, place: Place, settings: Settings, path: str) -> None:
        from xrspatial.geotiff import to_geotiff

        options = {
            "compression_level": settings.level,
            "predictor": settings.predictor,
            "overview_resampling": {"average": "mean"}.get(settings.resampling or "", settings.resampling),
        }
        if settings.tile_px is not None:
            count = overview_count(prepared.shape[-2:], settings.tile_px)
            options |= {"tile_size": settings.tile_px, "overview_levels": [2**n for n in range(1, count + 1)]}
        options = {name: value for name, value in options.items() if value is not None}
        # It does not read the CRS of the DataArray's coordinate spatial_ref.
        to_geotiff(prepared, path, crs=place.crs, compression=settings.codec, cog=True, **options)


class Loop(_Writer):
    """The loop that many write by hand: a tiled GeoTIFF, window by window, overviews, and a copy of it as COG.

    The first file is not compressed: if it is, the whole takes up to twice as long.
    """

    name = "loop"
    label = "rasterio.open, loop, overviews, copy"

    def write(self, prepared: Pieces, place: Place, settings: Settings, path: str) -> None:
        import rasterio
        import rasterio.shutil
        from rasterio.enums import Resampling
        from rasterio.windows import Window

        pixels = prepared.pixels
        staging = f"{path}.staging.tif"
        factors = [2**n for n in range(1, overview_count(pixels.shape[1:], settings.tile_px or 256) + 1)]
        tiles = {"driver": "GTiff", "tiled": True, "blockxsize": settings.tile_px, "blockysize": settings.tile_px}
        profile = tiles | raster_profile(pixels, place)
        threads = {} if settings.threads is None else {"GDAL_NUM_THREADS": str(settings.threads)}
        try:
            with rasterio.Env(**threads), rasterio.open(staging, "w", BIGTIFF="IF_SAFER", **profile) as dataset:
                for rows, columns in prepared:
                    dataset.write(pixels[:, rows, columns], window=Window.from_slices(rows, columns))
                dataset.build_overviews(factors, Resampling[settings.resampling or "nearest"])
            rasterio.shutil.copy(staging, path, driver="COG", **cog_options(settings))
        finally:
            Path(staging).unlink(missing_ok=True)


_ALL: list[Peer] = [
    Ours(), Gdal(), GdalOneThread(), GdalAllThreads(), GdalWrite(), GdalTranslate(), RioCogeo(), Odc(), OdcDask(),
    Rioxarray(), Spaceml(), Xrspatial(), Loop(), CodecAlone(), CodecAndPredictor(),
]  # fmt: skip

PEERS: dict[str, Peer] = {peer.name: peer for peer in _ALL}
