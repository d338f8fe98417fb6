"""Nodata and validity mask of a file. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from georeader._codecs.registry import CODECS
from georeader._core.dtypes import check_nodata, storage_dtype
from georeader._core.reporting import warn_at_caller
from georeader._core.sentinels import UNSET
from georeader._export.plan.encoding import Encoding
from georeader._export.plan.metadata import pick_bands
from georeader.abstract_reader import same_nodata
from georeader.errors import FillValueWarning, MetadataWarning, NodataError, OptionError

if TYPE_CHECKING:
    from georeader._export.plan.request import SaveRequest
    from georeader._export.plan.spec import ExportSpec, SourceSpec


def resolve_nodata(request: SaveRequest, source: SourceSpec, dtype: np.dtype[Any]) -> int | float | None:
    """Return the nodata of the file: the caller's, else that of the default profile, else the source's fill value.

    Args:
        request: The caller's arguments; ``nodata`` and ``profile_arg["nodata"]`` must agree.
        source: The raster.
        dtype: Of the file.

    Raises:
        NodataError: ``dtype`` does not hold the value.
        OptionError: The two arguments contradict.
    """

    def held(value: Any, where: str) -> int | float | None:
        return _held_by_pixels(check_nodata(value, dtype, where), source.dtype, dtype)

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


def _held_by_pixels(nodata: int | float | None, pixels: np.dtype[Any], dtype: np.dtype[Any]) -> int | float | None:
    """Return nodata as pixels hold it that are widened: float32 for -9999.99 is -9999.990234375 in float64 too."""
    if pixels.kind != "f" or dtype.kind not in "fc":
        return nodata
    try:
        return check_nodata(nodata, storage_dtype(pixels), "nodata")
    except NodataError:
        return nodata  # no pixel has it, but the file can declare it


def check_nan_to_nodata(encoding: Encoding, nodata: int | float | None) -> None:
    """Raise OptionError where NAN_TO_NODATA is asked for and nodata is not a number."""
    if encoding.nan_to_nodata and (nodata is None or nodata != nodata):
        raise OptionError(
            f"profile_arg['NAN_TO_NODATA'] replaces NaN by a numeric nodata, got nodata={nodata}; pass a number, as in "
            "nodata=-9999, or drop the key"
        )


def with_mask(spec: ExportSpec) -> ExportSpec:
    """Return the spec with a validity mask in place of what its codec cannot keep.

    JPEG does not store alpha, and every lossy codec blurs nodata into its neighbours: both become an internal mask.
    GDAL does the same with alpha (GDAL's COG driver page, "COMPRESS=JPEG").

    Raises:
        OptionError: Four bands in JPEG, of which the last is not alpha.
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
    return replace(
        spec,
        count=3,
        metadata=pick_bands(spec.metadata, range(3)),
        resamplings=spec.resamplings[:3],
        mask="alpha",
    )
