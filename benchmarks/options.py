"""Settings in the words of GDAL and rasterio: creation options, profiles, overviews."""

from __future__ import annotations

from typing import Any

from benchmarks.settings import Place, Settings

GDAL_PREDICTORS = {1: "NO", 2: "STANDARD", 3: "FLOATING_POINT"}


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
        "INTERLEAVE": settings.interleave,
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


def raster_profile(array: Any, place: Place) -> dict[str, Any]:
    """Return the profile of the raster as rasterio names it.

    Args:
        array: (band, row, column), or anything else with such a shape and a dtype.
        place: Where it lies.
    """
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


def pixel_interleave(array: Any) -> dict[str, str]:
    """Return the option for interleaved pixels where GDAL leaves a choice (its COG driver since 3.11)."""
    from rasterio.env import GDALVersion

    return {"INTERLEAVE": "PIXEL"} if len(array.shape) == 3 and GDALVersion.runtime().at_least("3.11") else {}


def colour(dataset: Any) -> None:
    """Set the colours of three bands of bytes to red, green and blue."""
    from rasterio.enums import ColorInterp

    if dataset.count == 3 and dataset.dtypes[0] == "uint8":
        dataset.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
