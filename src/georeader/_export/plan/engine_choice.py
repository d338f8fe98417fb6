"""Choice of the engine that writes a file: the project's own, or GDAL for what only GDAL can do. Pure."""

from __future__ import annotations

from typing import Any

from georeader._core.option_names import GDAL_RESAMPLINGS
from georeader._export.plan.spec import ExportSpec
from georeader.errors import OptionError

ENGINES = ("auto", "stream", "gdal")

#: Creation options that the project does not write itself: they warp the raster, or pack pixels in odd bits.
_GDAL_ONLY = (
    "TILING_SCHEME", "ZOOM_LEVEL", "ZOOM_LEVEL_STRATEGY", "ALIGNED_LEVELS", "TARGET_SRS", "RES", "EXTENT", "ADD_ALPHA",
    "WARP_RESAMPLING", "NBITS",
)  # fmt: skip


def check_engine(engine: Any) -> str:
    """Give the name of an engine.

    Raises:
        OptionError: There is none of the name.
    """
    if engine not in ENGINES:
        raise OptionError(f"engine={engine!r} is unknown; allowed: {', '.join(ENGINES)}")
    return str(engine)


def choose_engine(engine: str, spec: ExportSpec, *, verify: bool) -> tuple[str, tuple[str, ...]]:
    """Choose between the engines.

    Args:
        engine: One of `ENGINES`.
        spec: The file that is wanted.
        verify: Tiles are to be decoded again and compared.

    Returns:
        "stream" or "gdal", and the creation options that leave no other choice than GDAL.

    Raises:
        OptionError: The engine that was asked for, or that an option needs, can't do the rest.
    """
    needed = tuple(name for name in _GDAL_ONLY if name in spec.encoding.options)
    if engine == "stream" and needed:
        raise OptionError(
            f"engine='stream' does not write profile_arg[{needed[0]!r}]; drop the option, or pass engine='gdal'"
        )
    if engine == "stream" or (engine == "auto" and not needed):
        return "stream", ()
    _check_gdal_can(spec, needed, verify=verify)
    return "gdal", needed


def _check_gdal_can(spec: ExportSpec, needed: tuple[str, ...], *, verify: bool) -> None:
    who = f"profile_arg[{needed[0]!r}] is written by GDAL, which" if needed else "engine='gdal'"
    own = sorted(set(spec.resamplings) - set(GDAL_RESAMPLINGS))
    if spec.overview_factors and own:
        raise OptionError(f"{who} has no RESAMPLING={own[0]}; allowed there: {', '.join(GDAL_RESAMPLINGS)}")
    if spec.overview_factors and len(set(spec.resamplings)) > 1:
        raise OptionError(f"{who} has one RESAMPLING for all bands, not {spec.resampling}; name one")
    if spec.encoding.codec == "JXL":
        raise OptionError(f"{who} is built without JPEG XL in rasterio; use engine='stream' or another codec")
    if spec.photometric == "MINISWHITE" and spec.count > 1 and (spec.count, spec.alpha_band) != (2, 1):
        raise OptionError(f"{who} has MINISWHITE for one band, with alpha or without; use engine='stream'")
    if verify:
        raise OptionError(f"{who} can't verify tiles while it writes; drop verify, or use engine='stream'")
