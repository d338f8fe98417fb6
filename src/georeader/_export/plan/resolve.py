"""Resolution of a request for a source: the spec of the file, and the engine that writes it. Pure."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from rasterio.errors import NotGeoreferencedWarning

from georeader._codecs.registry import CODECS
from georeader._core.band_attrs import check_count
from georeader._core.dtypes import check_nodata, storage_dtype
from georeader._core.reporting import warn_at_caller
from georeader._core.sentinels import UNSET
from georeader._export.plan.encoding import Encoding, check_codec, resolve_encoding, with_bits
from georeader._export.plan.metadata import Metadata, pick_bands, resolve_metadata
from georeader._export.plan.options import DRIVERS, SHAPE_KEYS, Profile
from georeader._export.plan.presets import PRESETS, north_up, with_preset
from georeader._export.plan.request import SaveRequest
from georeader._export.plan.spec import ExportSpec, SourceSpec
from georeader._export.plan.warp_plan import plan_warp
from georeader._resample.methods import GDAL_METHODS, usable_resamplings
from georeader.abstract_reader import same_nodata
from georeader.errors import (
    FillValueWarning,
    GeoreferenceError,
    LayoutWarning,
    MetadataWarning,
    NodataError,
    OptionError,
)
from georeader.window_utils import (
    check_epsg_code,
    compare_crs,
    counts_pixels,
    normalise_transform,
    rows_run_north,
    same_transform,
)

_LOG = logging.getLogger("georeader")

#: Creation options that only GDAL's engine writes: they pack pixels in fewer bits.
_GDAL_ONLY = ("NBITS",)


def default_resampling(is_classes: bool) -> str:
    """Return the default method of overviews: nearest for classes, else average."""
    return "NEAREST" if is_classes else "AVERAGE"


def resolve_spec(source: SourceSpec, request: SaveRequest) -> ExportSpec:
    """Build an `ExportSpec` from a source and the caller's request."""
    options = request.options
    if options.ignored:
        keys = ", ".join(f"{key}={value!r}" for key, value in options.ignored)
        _LOG.info("profile_arg: %s ignored, which describe the file of the dataset that it was taken from", keys)
    _check_raster_keys(options, source)
    dtype = _stored(options.raster.get("DTYPE", request.defaults.raster.get("DTYPE", source.dtype)))
    nodata = _resolve_nodata(request, source, dtype)
    defaults = with_preset(request.defaults, options, source, dtype, request.kind)
    encoding = resolve_encoding(defaults, options, dtype=dtype, count=source.count)
    mirrored = None
    if defaults.preset is not None and PRESETS[defaults.preset].is_north_up and not encoding.warps:
        mirrored = north_up(source)
        source = source if mirrored is None else mirrored
    encoding = _with_source_bits(encoding, source.metadata, dtype, nodata)
    _check_nan(encoding, nodata)
    _warn_of_place(source, is_warped=encoding.warps)
    is_classes = source.is_classes
    fill_value = source.fill_value
    warp = plan_warp(source, encoding, nodata, dtype) if _is_warped_here(encoding, request) else None
    descriptions = request.descriptions
    if warp is not None:
        if descriptions is not None:
            check_count(descriptions, source.count, "descriptions")
            descriptions = (*descriptions, *(None,) * warp.adds_alpha)
        source, nodata = warp.target, warp.nodata
        check_codec(encoding, dtype, source.count)
    metadata = resolve_metadata(
        source.metadata,
        count=source.count,
        dtype=dtype,
        descriptions=descriptions,
        tags=request.tags,
        photometric=encoding.photometric,
        packs_bits=encoding.bits is not None,
    )
    _check_overview_count(encoding, source)
    _warn_of_transparency(metadata, (nodata, fill_value))
    spec = ExportSpec(
        kind=request.kind,
        count=source.count,
        height_px=source.height_px,
        width_px=source.width_px,
        dtype=dtype,
        crs=source.crs,
        transform=source.transform,
        nodata=nodata,
        metadata=metadata,
        encoding=encoding,
        resamplings=_resamplings(encoding, is_classes, source, dtype, by_gdal=encoding.warps and warp is None),
        is_classes=is_classes,
        mask="dataset" if source.has_mask else None,
        is_mirrored=mirrored is not None,
        warp=warp,
    )
    return _with_mask(spec)


def _with_source_bits(
    encoding: Encoding, metadata: Metadata, dtype: np.dtype[Any], nodata: int | float | None
) -> Encoding:
    """Return the encoding with the bits of a MINISWHITE source, in which black is the largest value of so many bits."""
    if metadata.nbits is None or (encoding.photometric or metadata.photometric) != "MINISWHITE":
        return encoding
    kept = with_bits(encoding, metadata.nbits, dtype=dtype, nodata=nodata)
    if kept.bits is None and metadata.colormap is None:
        warn_at_caller(
            f"the {metadata.nbits} bits of the MINISWHITE source are stored as {8 * dtype.itemsize}, in which they are "
            "shown almost white; lzw, deflate, zstd, lzma and none keep them in the source's dtype, with no predictor",
            MetadataWarning,
        )
    return kept


def _resamplings(
    encoding: Encoding, is_classes: bool, source: SourceSpec, dtype: np.dtype[Any], *, by_gdal: bool
) -> tuple[str, ...]:
    """Return the methods of the overviews: the requested ones, else those that the source records, else the default."""
    if isinstance(encoding.resampling, tuple):
        return (*encoding.resampling, *encoding.resampling[-1:])[: source.count]  # with alpha, where a warp adds it
    if encoding.resampling is not None:
        return (encoding.resampling,) * source.count
    recorded = source.overview_resamplings
    usable = usable_resamplings(recorded, dtype, is_classes=is_classes, is_warped=by_gdal)
    return usable or (default_resampling(is_classes),) * source.count


def _is_warped_here(encoding: Encoding, request: SaveRequest) -> bool:
    """Return whether the project's own engine warps the raster: unless GDAL's is requested, or needed for NBITS."""
    is_by_gdal = request.engine == "gdal" or any(name in encoding.options for name in _GDAL_ONLY)
    return encoding.warps and not is_by_gdal


def _check_overview_count(encoding: Encoding, source: SourceSpec) -> None:
    """Check that the size of the raster allows as many overviews."""
    deepest = (max(source.shape[1:]) - 1).bit_length()
    if encoding.overview_count is not None and encoding.overview_count > deepest:
        raise OptionError(
            f"profile_arg['OVERVIEW_COUNT']={encoding.overview_count}: a raster of {source.height_px} x "
            f"{source.width_px} pixels is a single pixel after {deepest} halvings; allowed: 0 to {deepest}"
        )


def _check_nan(encoding: Encoding, nodata: int | float | None) -> None:
    """Check that there is a nodata to replace NaN by."""
    if encoding.nan_to_nodata and (nodata is None or nodata != nodata):
        raise OptionError(
            f"profile_arg['NAN_TO_NODATA'] replaces NaN by a numeric nodata, got nodata={nodata}; pass a number, as in "
            "nodata=-9999, or drop the key"
        )


def _warn_of_place(source: SourceSpec, *, is_warped: bool) -> None:
    """Warn of georeferencing that is valid, but probably a mistake, such as a missing CRS."""
    if source.width_px <= 16 and min(source.count, source.height_px) >= 2 * source.width_px + 16:
        warn_at_caller(
            f"the shape {source.shape} is (band, row, column): {source.count} bands of {source.height_px} x "
            f"{source.width_px} pixels. If the last axis is that of bands, pass numpy.moveaxis(array, -1, 0)",
            LayoutWarning,
        )
    if is_warped:
        return
    if source.crs is None and source.metadata.gcps is None and source.metadata.rpcs is None:
        warn_at_caller(
            "the raster has no CRS, so that maps cannot place the file; set it on the data, as in "
            "GeoTensor(values, transform, crs) or array.rio.write_crs(crs)",
            NotGeoreferencedWarning,
        )
    lost = check_epsg_code(source.crs)
    if lost is not None:
        warn_at_caller(f"the file gets the CRS without an EPSG code, if it has one: {lost}", MetadataWarning)
    if rows_run_north(source.transform) and not counts_pixels(source.crs, source.transform):
        warn_at_caller(
            f"rows run from south to north (transform {tuple(source.transform[:6])}): many viewers show such a file "
            "upside down or misplaced. Flip it first, as in gt.isel({'y': slice(None, None, -1)}), or pass "
            "profile_arg={'preset': 'web'}, which writes it north up",
            LayoutWarning,
        )


def _warn_of_transparency(metadata: Metadata, missing: tuple[Any, ...]) -> None:
    """Warn of lost transparency: TIFF's colour tables are opaque (TIFF 6.0, section 5), save for GDAL's nodata."""
    lost = [value for value, (*_, alpha) in metadata.colormap or () if alpha != 255 and value not in missing]
    if lost:
        warn_at_caller(
            f"the transparency of {len(lost)} colour table entries, such as that of {lost[0]}, has no place in a TIFF: "
            "they come back opaque",
            MetadataWarning,
        )


def _stored(dtype: Any) -> np.dtype[Any]:
    """Return the dtype in the file; rasterio's profiles call complex integers so, and it reads them as complex64."""
    return storage_dtype("complex64" if dtype == "complex_int16" else dtype)


def _check_raster_keys(options: Profile, source: SourceSpec) -> None:
    """Check that a profile does not describe another raster than the data."""
    given = options.raster
    for key, size in (("COUNT", source.count), ("HEIGHT", source.height_px), ("WIDTH", source.width_px)):
        if key in given and str(given[key]).strip() != str(size) and not np.array_equal(given[key], size):
            raise OptionError(
                f"profile_arg[{options.spelling[key]!r}]={given[key]!r}, but the data has {size}; drop the key"
            )
    if "DRIVER" in given and str(given["DRIVER"]).upper() not in DRIVERS:
        raise OptionError(f"profile_arg['driver']={given['DRIVER']!r}; allowed: COG, GTiff (the result is the same)")
    _check_place(given, source)
    if given.keys() >= SHAPE_KEYS:
        _check_numbers(options, source)


def _check_numbers(options: Profile, source: SourceSpec) -> None:
    """Check that dtype and nodata of a dataset are those of the data; in any other profile they are options."""
    given, dtype = options.raster, storage_dtype(source.dtype)
    if "DTYPE" in given and _stored(given["DTYPE"]) != dtype:
        raise OptionError(
            f"profile_arg[{options.spelling['DTYPE']!r}]={given['DTYPE']!r}, but the data is {source.dtype}; cast the "
            "data, or drop the key"
        )
    own = source.fill_value if source.fill_value_is_explicit and source.dtype.kind != "b" else None
    if "NODATA" not in given or own is None:
        return
    stated = check_nodata(given["NODATA"], dtype, "profile_arg['nodata']")
    of_data = check_nodata(own, dtype, "data_save.fill_value_default")
    if not same_nodata(stated, of_data):
        raise OptionError(
            f"profile_arg[{options.spelling['NODATA']!r}]={given['NODATA']!r}, but the data's nodata is {own!r}; drop "
            "the key, or pass nodata= without it"
        )


def _check_place(given: Mapping[str, Any], source: SourceSpec) -> None:
    try:
        same_crs = "CRS" not in given or compare_crs(given["CRS"], source.crs)
        transform = normalise_transform(given.get("TRANSFORM", source.transform))
    except GeoreferenceError as error:
        raise OptionError(f"profile_arg: {error}; or drop the key, since the data has its own") from error
    if not same_crs:
        raise OptionError(
            f"profile_arg['crs']={given['CRS']!r} is not the data's CRS ({source.crs}); set it on the data, "
            "or drop the key"
        )
    if not same_transform(transform, source.transform):
        raise OptionError(
            f"profile_arg['transform']={given['TRANSFORM']!r} is not the data's {tuple(source.transform[:6])}; "
            "set it on the data, or drop the key"
        )


def _resolve_nodata(request: SaveRequest, source: SourceSpec, dtype: np.dtype[Any]) -> int | float | None:
    """Return the nodata of the file: the caller's, else that of the default profile, else the source's fill value."""

    def held(value: Any, where: str) -> int | float | None:
        nodata = check_nodata(value, dtype, where)
        if source.dtype.kind == "f" and dtype.kind in "fc":
            # Widened pixels keep their precision: float32 for -9999.99 is -9999.990234375 in float64, too.
            with suppress(NodataError):  # no pixel has it, but the file can declare it
                return check_nodata(nodata, storage_dtype(source.dtype), "nodata")
        return nodata

    option = request.options.raster.get("NODATA", UNSET)
    if request.nodata is not None:
        argument = held(request.nodata, "nodata")
        if option is not UNSET and not same_nodata(argument, other := held(option, "profile_arg['nodata']")):
            raise OptionError(f"nodata={request.nodata!r} and profile_arg['nodata']={other!r} contradict; keep one")
        return argument
    option = request.defaults.raster.get("NODATA", UNSET) if option is UNSET else option
    if option is not UNSET:
        return held(option, "profile_arg['nodata']")
    resolved = held(source.fill_value, "data_save.fill_value_default")
    if resolved == 0 and not source.fill_value_is_explicit:
        wanted = "nodata=numpy.nan, or nodata=0" if dtype.kind in "fc" else "nodata=0"
        warn_at_caller(
            f"nodata of this {dtype} raster is 0 only because no fill value was given: pixels of 0 will read as "
            f"missing, and overviews leave them out. Pass {wanted} if that is meant; for a raster without nodata, "
            "GeoTensor(..., fill_value_default=None) or profile_arg={'nodata': None}",
            FillValueWarning,
        )
    return resolved


def _with_mask(spec: ExportSpec) -> ExportSpec:
    """Return the spec with a validity mask in place of what its codec cannot keep.

    JPEG does not store alpha, and every lossy codec blurs nodata into its neighbours: both become an internal mask.
    GDAL does the same with alpha (GDAL's COG driver page, "COMPRESS=JPEG").
    """
    codec = CODECS[spec.encoding.codec]
    if codec.alpha_is_mask and spec.count == 4:
        spec = _alpha_as_mask(spec)
    # LERC's error is bounded, so that the caller can choose a nodata beyond it.
    is_blurred = codec.blurs and not spec.encoding.is_lossless
    if not is_blurred or spec.nodata is None or spec.alpha_band is not None:
        return spec
    if spec.mask is not None:
        warn_at_caller(
            f"nodata={spec.nodata} is left out: the raster has a mask already, and {spec.encoding.codec.lower()} "
            "would blur the value",
            MetadataWarning,
        )
        return replace(spec, nodata=None)
    return replace(spec, nodata=None, mask="nodata", nodata_as_mask=spec.nodata)


def _alpha_as_mask(spec: ExportSpec) -> ExportSpec:
    if spec.alpha_band != 3:
        raise OptionError(
            "compress='jpeg' takes 1 or 3 bands, and a fourth that is alpha; here the fourth is "
            f"{spec.metadata.colorinterp[3]!r}. Set attrs['colorinterp'] where it is alpha, "
            "or use webp (4 bands), lzw, deflate or zstd"
        )
    colours = pick_bands(spec.metadata, range(3))
    return replace(spec, count=3, metadata=colours, resamplings=spec.resamplings[:3], mask="alpha")


def choose_engine(spec: ExportSpec, request: SaveRequest) -> tuple[str, tuple[str, ...]]:
    """Return "stream" or "gdal", and the creation options that leave no other choice than GDAL."""
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
        raise OptionError(f"{subject} cannot verify tiles while it writes; drop verify, or use engine='stream'")
