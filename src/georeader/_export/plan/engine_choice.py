"""Choice of the engine that writes a file: the project's own, or GDAL for what only GDAL can do. Pure."""

from __future__ import annotations

from georeader._codecs.registry import CODECS
from georeader._export.plan.request import SaveRequest
from georeader._export.plan.spec import ExportSpec
from georeader._resample.methods import GDAL_METHODS
from georeader.errors import OptionError

#: Creation options that only GDAL's engine writes: they warp the raster, or pack pixels in fewer bits.
_GDAL_ONLY = (
    "TILING_SCHEME", "ZOOM_LEVEL", "ZOOM_LEVEL_STRATEGY", "ALIGNED_LEVELS", "TARGET_SRS", "RES", "EXTENT", "ADD_ALPHA",
    "WARP_RESAMPLING", "NBITS",
)  # fmt: skip


def choose_engine(spec: ExportSpec, request: SaveRequest) -> tuple[str, tuple[str, ...]]:
    """Choose between the engines.

    Args:
        spec: The file that is wanted.
        request: The caller's arguments, of which the engine and ``verify`` count.

    Returns:
        "stream" or "gdal", and the creation options that leave no other choice than GDAL.

    Raises:
        OptionError: The engine that is asked for, or that an option needs, cannot do the rest.
    """
    needed = tuple(name for name in _GDAL_ONLY if name in spec.encoding.options)
    if request.engine == "stream" and needed:
        raise OptionError(
            f"engine='stream' does not write profile_arg[{needed[0]!r}]; drop the option, or pass engine='gdal'"
        )
    if request.engine == "stream" or (request.engine == "auto" and not needed):
        return "stream", ()
    _check_gdal_can(spec, needed, verify=request.verify)
    return "gdal", needed


def _check_gdal_can(spec: ExportSpec, needed: tuple[str, ...], *, verify: bool) -> None:
    subject = f"profile_arg[{needed[0]!r}] is written by GDAL, which" if needed else "engine='gdal'"
    own = sorted(set(spec.resamplings) - set(GDAL_METHODS))
    if spec.overview_factors and own:
        raise OptionError(f"{subject} has no RESAMPLING={own[0]}; allowed there: {', '.join(GDAL_METHODS)}")
    if spec.overview_factors and len(set(spec.resamplings)) > 1:
        raise OptionError(f"{subject} has one RESAMPLING for all bands, not {spec.resampling}; name one")
    if not CODECS[spec.encoding.codec].is_in_gdal:
        raise OptionError(f"{subject} is built without JPEG XL in rasterio; use engine='stream' or another codec")
    if spec.photometric == "MINISWHITE" and spec.count > 1 and (spec.count, spec.alpha_band) != (2, 1):
        raise OptionError(f"{subject} has MINISWHITE for one band, with alpha or without; use engine='stream'")
    if verify:
        raise OptionError(f"{subject} can't verify tiles while it writes; drop verify, or use engine='stream'")
