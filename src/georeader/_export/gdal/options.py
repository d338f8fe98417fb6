"""GDAL's driver and creation options for an `ExportSpec`. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from rasterio.env import GDALVersion

from georeader._codecs.registry import CODECS, PREDICTORS
from georeader._export.plan.metadata import RGB
from georeader._export.plan.options import WARP_OPTIONS
from georeader._export.plan.spec import ExportSpec
from georeader.errors import OptionError

#: Options of `options.OPTIONS` that GDAL's COG driver has and its GTiff driver lacks.
_COG_ONLY = (*WARP_OPTIONS, "OVERVIEW_COMPRESS", "OVERVIEW_QUALITY", "OVERVIEW_PREDICTOR", "STATISTICS")

#: Side of the smallest tile that GDAL's COG driver takes without a warning, in pixels.
_COG_SMALLEST_TILE_PX = 128


def creation_options(spec: ExportSpec, gdal: GDALVersion) -> tuple[str, dict[str, Any]]:
    """Return "COG" or "GTiff", and the creation options of that driver of the installed GDAL, save for its threads."""
    if spec.kind == "tiled":
        return "GTiff", _gtiff_options(spec)
    encoding = spec.encoding
    reasons = []
    is_square = encoding.tile_width_px == encoding.tile_height_px
    if not is_square or encoding.tile_width_px < _COG_SMALLEST_TILE_PX:
        reasons.append(f"tiles of {encoding.tile_width_px} x {encoding.tile_height_px} pixels")
    if encoding.interleave == "BAND" and spec.count > 1 and not gdal.at_least("3.11"):
        reasons.append(f"INTERLEAVE=BAND with GDAL {gdal}")
    if spec.photometric != _photometric_of_cog(spec):
        reasons.append(f"photometric={spec.photometric}")
    if not reasons:
        return "COG", _cog_options(spec)
    for name in encoding.options:
        if name in _COG_ONLY:
            raise OptionError(
                f"profile_arg[{name!r}] needs GDAL's COG driver, which does not write {' or '.join(reasons)}"
            )
    return "GTiff", {**_gtiff_options(spec), "COPY_SRC_OVERVIEWS": "YES"}


def overview_environment(spec: ExportSpec) -> dict[str, str]:
    """Return GDAL configuration with the options of overviews, which the caller's configuration would override."""
    options = spec.encoding.options
    predictor = options.get("OVERVIEW_PREDICTOR", spec.encoding.predictor)
    return {
        "COMPRESS_OVERVIEW": options.get("OVERVIEW_COMPRESS", spec.encoding.codec),
        "PREDICTOR_OVERVIEW": str(PREDICTORS.get(predictor, 2)),
    }


def _photometric_of_cog(spec: ExportSpec) -> str:
    """Return the colour model that GDAL's COG driver chooses, which has no option for it."""
    if spec.metadata.photometric == "PALETTE":
        return "PALETTE"
    if spec.encoding.codec == "JPEG" and spec.count == 3:
        return "YCBCR"
    is_rgb = spec.metadata.colorinterp[:3] == RGB or (spec.dtype == np.uint8 and spec.count in (3, 4))
    return "RGB" if is_rgb else "MINISBLACK"


def _common_options(spec: ExportSpec) -> dict[str, Any]:
    """Return the options that both drivers have by the same name."""
    encoding = spec.encoding
    options: dict[str, Any] = {"COMPRESS": encoding.codec, "BIGTIFF": encoding.bigtiff, **encoding.options}
    if encoding.max_z_error is not None:
        options["MAX_Z_ERROR"] = f"{encoding.max_z_error:.17g}"
    return options


def _cog_options(spec: ExportSpec) -> dict[str, Any]:
    encoding = spec.encoding
    options = {**_common_options(spec), "BLOCKSIZE": encoding.tile_width_px}
    if spec.statistics:
        # The source has them already: if GDAL 3.10 computes them itself, it loses the smallest overview.
        options["STATISTICS"] = "AUTO"
    if encoding.level is not None:
        options["LEVEL"] = encoding.level
    if encoding.codec == "WEBP" and encoding.lossless:
        options["QUALITY"] = 100
    elif encoding.quality is not None:
        options["QUALITY"] = encoding.quality
    if encoding.predictor != "NO":
        options["PREDICTOR"] = encoding.predictor
    if encoding.interleave == "BAND" and spec.count > 1:
        options["INTERLEAVE"] = "BAND"
    return options | _pyramid_options(spec)


def _pyramid_options(spec: ExportSpec) -> dict[str, Any]:
    """Return the options of overviews, which the source has already unless GDAL warps it first."""
    encoding = spec.encoding
    if not encoding.warps:
        return {"OVERVIEWS": "AUTO" if spec.overview_factors else "NONE"}
    options: dict[str, Any] = {"OVERVIEWS": encoding.overviews, "OVERVIEW_RESAMPLING": spec.resampling}
    if encoding.overview_count is not None:
        options["OVERVIEW_COUNT"] = encoding.overview_count
    method = encoding.warp_resampling or ("NEAREST" if spec.is_classes else None)
    if method and "WARP_RESAMPLING" not in encoding.options:
        options["WARP_RESAMPLING"] = method
    return options


def _gtiff_options(spec: ExportSpec) -> dict[str, Any]:
    encoding, codec = spec.encoding, CODECS[spec.encoding.codec]
    options = {
        **_common_options(spec),
        "TILED": "YES",
        "BLOCKXSIZE": encoding.tile_width_px,
        "BLOCKYSIZE": encoding.tile_height_px,
        "INTERLEAVE": encoding.interleave if spec.count > 1 else "PIXEL",
    }
    if encoding.level is not None:
        options[str(codec.level_option)] = encoding.level
    if encoding.codec == "WEBP":
        options["WEBP_LOSSLESS"] = "YES" if encoding.lossless or encoding.quality == 100 else "NO"
    if encoding.quality is not None:
        options[str(codec.quality_option)] = encoding.quality
    if encoding.predictor != "NO":
        options["PREDICTOR"] = PREDICTORS[encoding.predictor]
    if encoding.bits is not None:
        options["NBITS"] = encoding.bits
    if spec.photometric != "PALETTE":  # which follows from the colour table
        options["PHOTOMETRIC"] = spec.photometric
    return options
