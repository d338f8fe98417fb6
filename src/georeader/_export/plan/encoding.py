"""Encoding of pixels in a file: codec, predictor, tiles, pyramid. A frozen value, checked as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from georeader._codecs.registry import CODECS, check_dtype, check_tile_bands
from georeader._export.plan.options import Profile
from georeader._resample.methods import COMPLEX_METHODS, METHODS, WARP_METHODS
from georeader.errors import OptionError

#: Bits a pixel that NBITS may ask for, by dtype.
_NBITS = {"uint8": (1, 7), "uint16": (9, 15), "uint32": (17, 31), "float32": (16, 16)}

#: Options by which the raster is warped onto another grid.
_WARPS = ("TILING_SCHEME", "TARGET_SRS")
_NO_SCHEME = ("TILING_SCHEME", "CUSTOM")

#: Options that GDAL ignores without one of the others.
_PARTNERS = {
    "ZOOM_LEVEL": ("TILING_SCHEME",),
    "ZOOM_LEVEL_STRATEGY": ("TILING_SCHEME",),
    "ALIGNED_LEVELS": ("TILING_SCHEME",),
    "ADD_ALPHA": _WARPS,
    "WARP_RESAMPLING": _WARPS,
    "EXTENT": ("TARGET_SRS",),
    "RES": ("EXTENT",),
}

#: Fields that belong to one codec: a default for another codec than the chosen one is dropped.
CODEC_FIELDS = ("level", "quality", "lossless", "max_z_error", "effort", "distance", "predictor")


@dataclass(frozen=True)
class Encoding:
    """The encoding and layout of a raster in a file."""

    codec: str  #: One of `CODECS`
    tile_width_px: int
    tile_height_px: int
    level: int | None = None  #: Effort of the codec; None for codecs without
    quality: int | None = None  #: 1 to 100 for jpeg and webp; None: GDAL's 75
    lossless: bool | None = None  #: webp and jxl keep every pixel; None: the codec's default (webp does not, jxl does)
    max_z_error: float | None = None  #: Largest error that lerc may make
    effort: int | None = None  #: 1 to 9 for jxl; None: GDAL's 5
    distance: float | None = None  #: Butteraugli distance of lossy jxl, 1 being hardly visible; None: 1
    predictor: str = "NO"  #: "NO", "STANDARD" or "FLOATING_POINT"; "AUTO" until `choose_predictor`
    bigtiff: str = "IF_SAFER"  #: "YES", "NO", "IF_NEEDED" or "IF_SAFER"
    interleave: str = "PIXEL"  #: "PIXEL" or "BAND"
    photometric: str | None = None  #: Requested colour model; None: it follows from the bands
    bits: int | None = None  #: Bits of a sample, where the file keeps those of its source
    resampling: str | tuple[str, ...] | None = None  #: Of the overviews of all or of each band; None: by the raster
    warp_resampling: str | tuple[str, ...] | None = None  #: RESAMPLING where the raster is warped
    overviews: str = "AUTO"  #: "AUTO" or "IGNORE_EXISTING" build them, "NONE" does not
    overview_count: int | None = None  #: None: as many as it takes to fit one tile
    num_threads: str | int = "ALL_CPUS"
    nan_to_nodata: bool = False  #: NaN pixels become nodata
    options: Mapping[str, str] = field(default_factory=dict)  #: Options that only GDAL has, by its names

    @property
    def is_lossless(self) -> bool:
        """Whether every pixel is decoded without loss."""
        loss = CODECS[self.codec].loss
        if loss == "quality":
            return bool(self.lossless) or self.quality == 100
        if loss == "distance":
            return self.lossless is not False
        return loss != "always" and not self.max_z_error

    @property
    def effective_options(self) -> dict[str, str]:
        """Those options without TILING_SCHEME=CUSTOM, which means none in GDAL."""
        return {name: value for name, value in self.options.items() if (name, value.upper()) != _NO_SCHEME}

    @property
    def warps(self) -> bool:
        """Whether the raster is warped onto another grid."""
        return not self.effective_options.keys().isdisjoint(_WARPS)


def resolve_encoding(defaults: Profile, options: Profile, *, dtype: np.dtype[Any], count: int) -> Encoding:
    """Return the encoding that the caller's options and the defaults describe, checked as a whole."""
    base, own = defaults.fields, options.fields
    codec = own.get("codec", base.get("codec", "LZW"))
    _check_codec_options(codec, options)
    if codec != base.get("codec"):
        base = {name: value for name, value in base.items() if name not in CODEC_FIELDS}
    merged = {**base, **own, "codec": codec}
    if not merged.pop("tiled", True):
        raise OptionError("profile_arg asks for TILED=NO; what georeader writes is always tiled, so drop the key")
    merged.pop("ignored", None)
    merged["warp_resampling"] = merged.get("resampling")
    merged["resampling"] = merged.pop("overview_resampling", None) or merged.get("resampling")
    driver_options = {**defaults.driver_options, **options.driver_options}
    usual_predictor = "NO" if "NBITS" in driver_options else "AUTO"
    merged["predictor"] = _predictor(merged.get("predictor", usual_predictor), codec, dtype)
    merged.setdefault("level", CODECS[codec].default_level)
    encoding = Encoding(**merged, options=dict(sorted(driver_options.items())))
    check_codec(encoding, dtype, count)
    _check_contradictions(encoding)
    _check_resampling(encoding, dtype, count)
    _check_overview_codec(encoding, dtype, count)
    _check_driver_options(encoding, dtype)
    return encoding


def with_bits(encoding: Encoding, bits: int, *, dtype: np.dtype[Any], nodata: int | float | None) -> Encoding:
    """Return the encoding with samples of fewer bits than the dtype has, where the codec can hold them."""
    low, high = _NBITS.get(dtype.name, (0, -1)) if dtype.kind == "u" else (0, -1)
    codecs = {encoding.codec, encoding.options.get("OVERVIEW_COMPRESS", encoding.codec)}
    is_free = encoding.predictor in ("AUTO", "NO") and not {"NBITS", "OVERVIEW_PREDICTOR"} & set(encoding.options)
    fits = low <= bits <= high and (nodata is None or 0 <= nodata < 2**bits)
    if not (fits and is_free and all(CODECS[codec].packs_bits for codec in codecs)) or encoding.warps:
        return encoding
    return replace(encoding, bits=bits, predictor="NO")


def _check_codec_options(codec: str, options: Profile) -> None:
    keys = [options.spelling[name] for name in options.fields] + list(options.driver_options)
    for key in keys:
        codecs = [name for name, facts in CODECS.items() if facts.has_option(key.upper())]
        if codecs and codec not in codecs:
            raise OptionError(
                f"profile_arg[{key!r}] has no meaning with compress={codec.lower()!r}; it goes with "
                f"{', '.join(codecs).lower()}"
            )
    level = options.fields.get("level")
    low, high = CODECS[codec].levels or (0, 0)
    if level is not None and not low <= level <= high:
        raise OptionError(
            f"profile_arg[{options.spelling['level']!r}]={level} is invalid with compress={codec.lower()!r}; "
            f"allowed: {low} to {high}"
        )


def _predictor(predictor: str, codec: str, dtype: np.dtype[Any]) -> str:
    """Return "NO", "STANDARD" or "FLOATING_POINT", or "AUTO" if the pixels decide."""
    if predictor == "AUTO":
        return "AUTO" if CODECS[codec].takes_predictor and dtype.kind != "c" else "NO"
    if predictor == "NO":
        return "NO"
    if not CODECS[codec].takes_predictor:
        raise OptionError(
            f"predictor={predictor} has no meaning with compress={codec.lower()!r}; it goes with lzw, deflate and zstd"
        )
    is_float = dtype.name in ("float32", "float64")
    if predictor == "YES":
        predictor = "FLOATING_POINT" if is_float else "STANDARD"
    if predictor == "FLOATING_POINT" and not is_float:
        raise OptionError(f"predictor 3 (FLOATING_POINT) is for float32 and float64, not {dtype}; use 2 (STANDARD)")
    if dtype.kind == "c":
        raise OptionError(f"predictor 2 (STANDARD) is for integers and floating-point numbers, not {dtype}; use 1 (NO)")
    return predictor


def check_codec(encoding: Encoding, dtype: np.dtype[Any], count: int) -> None:
    """Check that the codec takes so many bands of a dtype."""
    codec, facts = encoding.codec, CODECS[encoding.codec]
    check_dtype(codec, dtype)
    bands = facts.raster_bands
    if bands and count not in bands:
        raise OptionError(
            f"compress={codec.lower()!r} takes {' or '.join(map(str, bands))} bands, not {count}; "
            "use lzw, deflate or zstd"
        )
    if facts.is_pixel_interleaved and encoding.interleave == "BAND" and count > 1:
        raise OptionError(
            f"compress={codec.lower()!r} has all bands in one tile; drop INTERLEAVE=BAND, or use lzw, deflate or zstd"
        )
    if not facts.is_pixel_interleaved:
        check_tile_bands(codec, 1 if encoding.interleave == "BAND" else count)


def _check_contradictions(encoding: Encoding) -> None:
    if encoding.photometric == "YCBCR" and encoding.codec != "JPEG":
        raise OptionError(
            f"profile_arg['photometric']='YCBCR' goes with compress='jpeg', got compress={encoding.codec.lower()!r}; "
            "pass 'RGB', or drop the key"
        )
    if encoding.overviews == "NONE" and encoding.overview_count is not None:
        raise OptionError("profile_arg says both OVERVIEWS=NONE and OVERVIEW_COUNT; keep one")
    if encoding.lossless and encoding.quality not in (None, 100):
        raise OptionError("profile_arg says both WEBP_LOSSLESS and a quality below 100; keep one")
    if CODECS[encoding.codec].loss == "distance" and encoding.is_lossless and encoding.distance is not None:
        raise OptionError("profile_arg['JXL_DISTANCE'] has a meaning only with JXL_LOSSLESS=NO")


def _check_resampling(encoding: Encoding, dtype: np.dtype[Any], count: int) -> None:
    wanted = encoding.resampling
    if isinstance(wanted, tuple) and len(wanted) != count:
        raise OptionError(
            f"RESAMPLING lists {len(wanted)} methods for {count} bands; pass one per band, or a single one"
        )
    methods = {wanted} if isinstance(wanted, str) else set(wanted or ())
    for method in sorted(methods):
        if dtype.kind == "c" and method not in COMPLEX_METHODS:
            raise OptionError(f"RESAMPLING={method} is not for {dtype}; allowed there: {', '.join(COMPLEX_METHODS)}")
        if dtype.kind not in METHODS[method].kinds:
            raise OptionError(f"RESAMPLING=OR joins the bits of integers, which {dtype} does not have; use MAX or MODE")
    is_needed = encoding.warps and "WARP_RESAMPLING" not in encoding.options
    if is_needed and not (encoding.warp_resampling is None or encoding.warp_resampling in WARP_METHODS):
        raise OptionError(
            f"RESAMPLING={encoding.warp_resampling} is not a method of a warp; allowed with TILING_SCHEME and "
            f"TARGET_SRS: {', '.join(WARP_METHODS)}; or pass WARP_RESAMPLING and OVERVIEW_RESAMPLING"
        )


def _check_overview_codec(encoding: Encoding, dtype: np.dtype[Any], count: int) -> None:
    """Check the codec of the overviews like the main one: GDAL writes empty tiles where it cannot encode them."""
    options = encoding.options
    codec = options.get("OVERVIEW_COMPRESS", encoding.codec)
    if (CODECS[codec].lerc_following is None) != (CODECS[encoding.codec].lerc_following is None):
        raise OptionError("profile_arg['OVERVIEW_COMPRESS'] cannot mix lerc with another codec in one file")
    check_codec(replace(encoding, codec=codec), dtype, count)
    if "OVERVIEW_PREDICTOR" in options:
        _predictor(options["OVERVIEW_PREDICTOR"], codec, dtype)


def _check_driver_options(encoding: Encoding, dtype: np.dtype[Any]) -> None:
    options = encoding.effective_options
    for name, partners in _PARTNERS.items():
        if name in options and not any(partner in options for partner in partners):
            raise OptionError(f"profile_arg[{name!r}] has a meaning only together with {' or '.join(partners)}")
    if "EXTENT" in options and "TILING_SCHEME" in options:
        raise OptionError("profile_arg['EXTENT'] and profile_arg['TILING_SCHEME'] exclude each other; drop one")
    overview_codec = options.get("OVERVIEW_COMPRESS", encoding.codec)
    if "OVERVIEW_QUALITY" in options and CODECS[overview_codec].quality_option is None:
        raise OptionError("profile_arg['OVERVIEW_QUALITY'] has a meaning only with overviews in jpeg or webp")
    if options.get("STATISTICS") == "YES" and dtype.kind == "c":
        raise OptionError(f"profile_arg['STATISTICS'] is for real numbers, not {dtype}; drop it")
    if "NBITS" in options:
        low, high = _NBITS.get(dtype.name, (0, -1))
        if not low <= int(options["NBITS"]) <= high:
            known = "; ".join(f"{name}: {a} to {b}" for name, (a, b) in _NBITS.items())
            raise OptionError(f"profile_arg['NBITS']={options['NBITS']} is invalid with {dtype}; allowed: {known}")
        if not CODECS[encoding.codec].packs_bits or encoding.predictor != "NO":
            raise OptionError("profile_arg['NBITS'] goes with lzw, deflate, zstd, lzma and none, without a predictor")
