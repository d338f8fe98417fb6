"""Types of ``profile_arg``: its keys and their values, for editors and type checkers.

What is allowed is decided in `plan.options`; here the same names are written down once more, since a type
checker reads no tables. Keys and values are in lower or in upper case; any other case is understood, too, but flagged.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Sequence
from enum import Enum
from typing import Any, Literal, TypeAlias, TypedDict

#: The writer: see `georeader.save_cog`.
Engine: TypeAlias = Literal["auto", "stream", "gdal"]

#: Compression of tiles.
Codec: TypeAlias = Literal[
    "lzw", "deflate", "zstd", "lzma", "packbits", "jpeg", "webp", "jxl", "lerc", "lerc_deflate", "lerc_zstd",
    "none", "LZW", "DEFLATE", "ZSTD", "LZMA", "PACKBITS", "JPEG", "WEBP", "JXL", "LERC", "LERC_DEFLATE",
    "LERC_ZSTD", "NONE",
]  # fmt: skip

#: Methods of a warp.
WarpResampling: TypeAlias = Literal[
    "nearest", "average", "bilinear", "cubic", "cubicspline", "cubic_spline", "lanczos", "mode", "rms", "min", "max",
    "med", "NEAREST", "AVERAGE", "BILINEAR", "CUBIC", "CUBICSPLINE", "CUBIC_SPLINE", "LANCZOS", "MODE", "RMS", "MIN",
    "MAX", "MED",
]  # fmt: skip

#: Methods that overviews are made by.
Resampling: TypeAlias = Literal[
    "nearest", "average", "bilinear", "cubic", "cubicspline", "cubic_spline", "lanczos", "mode", "rms", "gauss",
    "min", "max", "med", "or", "NEAREST", "AVERAGE", "BILINEAR", "CUBIC", "CUBICSPLINE", "CUBIC_SPLINE",
    "LANCZOS", "MODE", "RMS", "GAUSS", "MIN", "MAX", "MED", "OR",
]  # fmt: skip

YesNo: TypeAlias = bool | Literal["YES", "NO", "yes", "no"]
Integer: TypeAlias = int | str
Real: TypeAlias = float | str
_PredictorName: TypeAlias = Literal[
    "no", "none", "yes", "standard", "floating_point", "NO", "NONE", "YES", "STANDARD", "FLOATING_POINT",
]  # fmt: skip
OverviewPredictor: TypeAlias = _PredictorName | Literal[1, 2, 3, "1", "2", "3"]
Predictor: TypeAlias = OverviewPredictor | Literal["auto", "AUTO"]
BigTiff: TypeAlias = Literal["yes", "no", "if_needed", "if_safer", "YES", "NO", "IF_NEEDED", "IF_SAFER"]
Interleave: TypeAlias = Literal["pixel", "band", "PIXEL", "BAND"]
Photometric: TypeAlias = Literal[
    "minisblack", "miniswhite", "rgb", "ycbcr", "palette", "black", "white", "MINISBLACK", "MINISWHITE", "RGB",
    "YCBCR", "PALETTE", "BLACK", "WHITE",
]  # fmt: skip
Overviews: TypeAlias = Literal["auto", "ignore_existing", "none", "AUTO", "IGNORE_EXISTING", "NONE"]
ZoomLevelStrategy: TypeAlias = Literal["auto", "lower", "upper", "AUTO", "LOWER", "UPPER"]
Statistics: TypeAlias = YesNo | Literal["AUTO", "auto"]
GeotiffVersion: TypeAlias = Literal["AUTO", "auto", "1.0", "1.1"]


#: Names of tables of options: docs/presets.md.
Preset: TypeAlias = Literal["web", "visual", "analysis", "archive", "WEB", "VISUAL", "ANALYSIS", "ARCHIVE"]


class _LowerCase(TypedDict, total=False):
    """Keys as rasterio spells them."""

    preset: Preset | None
    compress: Codec | Enum | None
    level: Integer
    zlevel: Integer
    zstd_level: Integer
    lzma_preset: Integer
    quality: Integer
    jpeg_quality: Integer
    webp_level: Integer
    webp_lossless: YesNo
    jxl_lossless: YesNo
    jxl_effort: Integer
    jxl_distance: Real
    max_z_error: Real
    predictor: Predictor
    blockxsize: Integer
    blockysize: Integer
    blocksize: Integer
    bigtiff: BigTiff
    interleave: Interleave | Enum
    photometric: Photometric | Enum
    resampling: Resampling | Enum | Sequence[Resampling | Enum]
    overview_resampling: Resampling | Enum | Sequence[Resampling | Enum]
    overviews: Overviews
    overview_count: Integer
    num_threads: int | str
    nan_to_nodata: YesNo
    tiled: YesNo
    copy_src_overviews: YesNo
    tiling_scheme: str
    zoom_level: Integer
    zoom_level_strategy: ZoomLevelStrategy
    aligned_levels: Integer
    target_srs: Any
    res: Real
    extent: str | Sequence[float]
    add_alpha: YesNo
    warp_resampling: WarpResampling | Enum
    overview_compress: Codec | Enum
    overview_quality: Integer
    overview_predictor: OverviewPredictor
    max_z_error_overview: Real
    statistics: Statistics
    nbits: Integer
    sparse_ok: YesNo
    geotiff_version: GeotiffVersion
    nodata: float | None
    dtype: Any
    crs: Any
    transform: Any
    count: int
    height: int
    width: int
    driver: str


class _UpperCase(TypedDict, total=False):
    """Keys as GDAL spells them."""

    PRESET: Preset | None
    COMPRESS: Codec | Enum | None
    LEVEL: Integer
    ZLEVEL: Integer
    ZSTD_LEVEL: Integer
    LZMA_PRESET: Integer
    QUALITY: Integer
    JPEG_QUALITY: Integer
    WEBP_LEVEL: Integer
    WEBP_LOSSLESS: YesNo
    JXL_LOSSLESS: YesNo
    JXL_EFFORT: Integer
    JXL_DISTANCE: Real
    MAX_Z_ERROR: Real
    PREDICTOR: Predictor
    BLOCKXSIZE: Integer
    BLOCKYSIZE: Integer
    BLOCKSIZE: Integer
    BIGTIFF: BigTiff
    INTERLEAVE: Interleave | Enum
    PHOTOMETRIC: Photometric | Enum
    RESAMPLING: Resampling | Enum | Sequence[Resampling | Enum]
    OVERVIEW_RESAMPLING: Resampling | Enum | Sequence[Resampling | Enum]
    OVERVIEWS: Overviews
    OVERVIEW_COUNT: Integer
    NUM_THREADS: int | str
    NAN_TO_NODATA: YesNo
    TILED: YesNo
    COPY_SRC_OVERVIEWS: YesNo
    TILING_SCHEME: str
    ZOOM_LEVEL: Integer
    ZOOM_LEVEL_STRATEGY: ZoomLevelStrategy
    ALIGNED_LEVELS: Integer
    TARGET_SRS: Any
    RES: Real
    EXTENT: str | Sequence[float]
    ADD_ALPHA: YesNo
    WARP_RESAMPLING: WarpResampling | Enum
    OVERVIEW_COMPRESS: Codec | Enum
    OVERVIEW_QUALITY: Integer
    OVERVIEW_PREDICTOR: OverviewPredictor
    MAX_Z_ERROR_OVERVIEW: Real
    STATISTICS: Statistics
    NBITS: Integer
    SPARSE_OK: YesNo
    GEOTIFF_VERSION: GeotiffVersion
    NODATA: float | None
    DTYPE: Any
    CRS: Any
    TRANSFORM: Any
    COUNT: int
    HEIGHT: int
    WIDTH: int
    DRIVER: str


class ProfileOptions(_LowerCase, _UpperCase, total=False):
    """The keys of ``profile_arg``, all optional.

    For a dict that is built before it is passed, annotate it, so that its keys are checked there.

    Example:
        >>> options: ProfileOptions = {"compress": "zstd", "predictor": 3}
    """


#: What ``profile_arg`` takes: the name of a preset, a dict of options, or a profile of rasterio (``dataset.profile``).
#: Other mappings work, too, but type checkers do not know their keys: annotate them as `ProfileOptions`.
ProfileArg: TypeAlias = Preset | ProfileOptions | UserDict[str, Any]
