"""Presets: named tables of options, chosen by dtype and bands, that apply where the caller has none. Pure.

docs/presets.md has their sizes and times, and which readers they are for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from affine import Affine

from georeader._export.plan.encoding import CODEC_FIELDS
from georeader._export.plan.options import OPTIONS, Profile, parse_profile
from georeader._export.plan.spec import SourceSpec
from georeader.errors import OptionError
from georeader.ground_control import regrid_rpcs
from georeader.window_utils import counts_pixels

#: A rotated raster counts as one with north up if no pixel is farther off than this.
_PRECISION_PX = 1e-3

#: Dtypes that some clients do not have, and what to save instead. geotiff.js 3 has no 64-bit integers and no complex
#: numbers (geotiffimage.js, arrayForType); GDAL before 3.7 has int8 as bytes whose sign is in their metadata.
_NOT_FOR_WEB: Mapping[str, str] = {
    **dict.fromkeys(("int64", "uint64"), "geotiff.js does not read: pass dtype='int32' or 'float64' beside the preset"),
    **dict.fromkeys(("complex64", "complex128"), "geotiff.js does not read: save real and imaginary parts as bands"),
    "int8": "GDAL before 3.7 does not have: pass dtype='int16' beside the preset",
}


@dataclass(frozen=True)
class PresetRaster:
    """What a preset chooses by."""

    dtype: np.dtype[Any]  #: In the file
    count: int
    is_classes: bool  #: The values are classes: bool, or with a colour table
    has_alpha: bool  #: The last band is alpha
    chooses_codec: bool = True  #: The caller names no codec


@dataclass(frozen=True)
class Preset:
    """A named table of options."""

    options: Callable[[PresetRaster], dict[str, Any]]  #: As in profile_arg
    is_north_up: bool = False  #: Rows that run from south to north are written in the other order


def _predictor(raster: PresetRaster) -> str:
    """Return the predictor for a dtype; the pixels decide for 8 bits, which may be classes or shades of few values."""
    if raster.dtype.name in ("float32", "float64"):
        return "FLOATING_POINT"
    if raster.dtype.kind not in "iu" or raster.is_classes:
        return "NO"
    # Some readers do not undo a predictor of 64-bit integers.
    return {1: "AUTO", 8: "NO"}.get(raster.dtype.itemsize, "STANDARD")


def _web(raster: PresetRaster) -> dict[str, Any]:
    unread = _NOT_FOR_WEB.get(raster.dtype.name)
    if unread is not None:
        raise OptionError(f"preset='web' does not write {raster.dtype}, which {unread}, or use preset='analysis'")
    return {
        "COMPRESS": "DEFLATE", "PREDICTOR": _predictor(raster), "BLOCKSIZE": 256, "INTERLEAVE": "PIXEL",
    }  # fmt: skip


def _visual(raster: PresetRaster) -> dict[str, Any]:
    options = {"COMPRESS": "WEBP" if raster.count == 4 else "JPEG", "QUALITY": 85, "BLOCKSIZE": 256}
    if not raster.chooses_codec:
        return options
    problem, remedy = None, "stretch it to 0 to 255 and cast it to uint8"
    if raster.dtype != np.uint8:
        problem = f"not {raster.dtype}"
    elif raster.is_classes:
        problem, remedy = "not classes (bool, or a colour table), which a lossy codec mixes", "save red, green and blue"
    elif raster.count not in (1, 3, 4):
        problem, remedy = (
            f"not {raster.count} bands",
            "select one or three of them, as in data.isel({'band': [3, 2, 1]})",
        )
    elif raster.count == 4 and not raster.has_alpha:
        problem = "and the fourth band is not declared alpha"
        remedy = "set attrs['colorinterp'] to red, green, blue and alpha, or select three bands"
    if problem is not None:
        raise OptionError(
            f"preset='visual' writes pictures: 1, 3 or 4 bands of uint8, {problem}; {remedy}, or use preset='web'"
        )
    return options


def _analysis(raster: PresetRaster) -> dict[str, Any]:
    statistics = {} if raster.dtype.kind == "c" else {"STATISTICS": "YES"}
    return {"COMPRESS": "ZSTD", "LEVEL": 9, "PREDICTOR": _predictor(raster), "BLOCKSIZE": 512, **statistics}


def _archive(raster: PresetRaster) -> dict[str, Any]:
    if raster.dtype == np.uint8 and raster.count in (3, 4):
        return {"COMPRESS": "WEBP", "WEBP_LOSSLESS": "YES", "BLOCKSIZE": 512}
    if raster.dtype.name in ("uint16", "int16") and not raster.is_classes:
        return {"COMPRESS": "LERC_ZSTD", "LEVEL": 22, "MAX_Z_ERROR": 0, "BLOCKSIZE": 512}
    return {"COMPRESS": "ZSTD", "LEVEL": 22, "PREDICTOR": "AUTO", "BLOCKSIZE": 512}


#: Presets by the names of `options.PRESET_NAMES`.
PRESETS: Mapping[str, Preset] = {
    "WEB": Preset(_web, is_north_up=True),
    "VISUAL": Preset(_visual),
    "ANALYSIS": Preset(_analysis),
    "ARCHIVE": Preset(_archive),
}


def with_preset(defaults: Profile, options: Profile, source: SourceSpec, dtype: np.dtype[Any], kind: str) -> Profile:
    """Return the defaults with the options of the preset that is asked for, if one is, laid over them.

    Options of one codec are left out where the caller's codec is another one, as are those of the defaults.
    """
    name = options.preset or defaults.preset
    if name is None:
        return defaults
    raster = PresetRaster(
        dtype=dtype,
        count=source.count,
        is_classes=source.is_classes,
        has_alpha=source.metadata.colorinterp[-1:] == ("alpha",),
        chooses_codec="codec" not in options.fields,
    )
    table = {key: value for key, value in PRESETS[name].options(raster).items() if kind in OPTIONS[key].kinds}
    preset = parse_profile(table, kind, f"the options of preset={name.lower()!r}")
    kept = {field: value for field, value in defaults.fields.items() if field not in CODEC_FIELDS}
    fields = {**kept, **preset.fields}
    if "quality" in options.fields:
        fields.pop("lossless", None)
    if "NBITS" in options.driver_options:
        fields.pop("predictor", None)
    return replace(
        defaults, fields=fields, driver_options={**defaults.driver_options, **preset.driver_options}, preset=name
    )


def north_up(source: SourceSpec) -> SourceSpec | None:
    """Return the spec of a raster with its rows in the other order, so that north is up; None if it is up already."""
    transform = source.transform
    if counts_pixels(source.crs, transform):
        return None
    skew_px = max(abs(transform.b) * source.height_px, abs(transform.d) * source.width_px)
    is_straight = skew_px <= _PRECISION_PX * min(abs(transform.a), abs(transform.e))
    if not is_straight or transform.a < 0:
        state = "mirrored" if is_straight else "rotated"
        raise OptionError(
            f"preset='web' writes rasters with north up, got the {state} transform {tuple(transform[:6])}; warp it "
            "first, as in rasterio.vrt.WarpedVRT(dataset, crs=...), pass TARGET_SRS, or use preset='analysis'"
        )
    if transform.e < 0:
        return None
    metadata, last = source.metadata, source.height_px
    if metadata.rpcs is not None:
        metadata = replace(metadata, rpcs=regrid_rpcs(metadata.rpcs, 0, last, 1, -1))
    a, b, c, d, e, f = transform[:6]
    return replace(source, transform=Affine(a, -b, c + b * last, d, -e, f + e * last), metadata=metadata)
