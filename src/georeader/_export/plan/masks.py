"""Choice of the rasters that get a validity mask, and of what it replaces. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from georeader._core.caller_warnings import warn_at_caller
from georeader._export.plan.metadata import pick_bands
from georeader.errors import MetadataWarning, OptionError

if TYPE_CHECKING:
    from georeader._export.plan.spec import ExportSpec


def with_mask(spec: ExportSpec) -> ExportSpec:
    """Let what a codec can't keep become a mask.

    JPEG has no place for alpha, and every lossy codec blurs nodata into its neighbours: both become an internal mask,
    as GDAL does it with alpha (GDAL's COG driver page, "COMPRESS=JPEG").

    Raises:
        OptionError: Four bands in JPEG, and the last of them is no alpha.
    """
    if spec.encoding.codec == "JPEG" and spec.count == 4:
        spec = _alpha_as_mask(spec)
    # lerc's error is bounded and known; what is a nodata there is the user's to choose.
    is_blurred = spec.encoding.codec in ("JPEG", "WEBP", "JXL") and not spec.encoding.is_lossless
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
