"""Overviews of a dataset that GDAL copies: built by GDAL, or here where GDAL would average missing pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling

from georeader._core.band_attrs import RESAMPLING_TAG
from georeader._core.dtypes import WIDE_DTYPES
from georeader._core.windows import Mask
from georeader._export.plan.spec import ExportSpec
from georeader._resample.block import halve_mask
from georeader._resample.pyramid import halve

_RESAMPLING_BY_NAME = {method.name.upper().replace("_", ""): method for method in Resampling}


def add_overviews(dataset: Any, factors: tuple[int, ...], resampling: str) -> None:
    """Build overviews on an open dataset and record by which method."""
    dataset.build_overviews(list(factors), _RESAMPLING_BY_NAME[resampling])
    _record_resampling(dataset, resampling)


def _record_resampling(dataset: Any, resampling: str) -> None:
    """Write the method as rasterio does (namespace ``rio_overview``) and as the tag OVERVIEW_RESAMPLING.

    Copies into COG order drop the namespace; the tag stays.
    """
    dataset.update_tags(ns="rio_overview", resampling=_RESAMPLING_BY_NAME[resampling].name)
    dataset.update_tags(**{RESAMPLING_TAG: resampling})


def averages_are_ours(spec: ExportSpec, mask: Mask) -> bool:
    """Return whether overviews come from `averages`.

    GDAL averages complex numbers with nodata, 64-bit integers as doubles, and rasters with a mask without masked
    pixels, but with nodata and NaN.
    """
    is_average = bool(spec.overview_factors) and spec.resampling == "AVERAGE"
    is_ours = spec.dtype.kind == "c" or spec.dtype.name in WIDE_DTYPES
    is_ours = is_ours or (mask is not None and (spec.dtype.kind == "f" or spec.nodata is not None))
    return is_ours and is_average and not spec.encoding.warps


def averages(pixels: NDArray[Any], spec: ExportSpec, mask: Mask) -> Iterator[tuple[NDArray[Any], Mask]]:
    """Compute the overviews of a raster and their masks, from large to small, without NaN, nodata and masked pixels.

    A valid average that equals nodata is replaced by the next number, as in GDAL.
    """
    level = pixels
    for _ in spec.overview_factors:
        level = np.stack([halve(band, "AVERAGE", nodata=spec.nodata, is_valid=mask) for band in level])
        mask = None if mask is None else halve_mask(mask)
        yield level, mask


def build_pyramid(dataset: Any, pixels: NDArray[Any], spec: ExportSpec, mask: Mask) -> None:
    """Build the overviews of a file, with NaN as missing whatever the nodata is.

    GDAL leaves out only pixels that equal nodata; one NaN would spread over its whole overview pixel. So NaN is nodata
    while overviews are built, and pixels and nodata are restored afterwards.
    """
    if spec.encoding.warps:
        _prepare_warp(dataset, spec)
        return
    if not spec.overview_factors:
        return
    if averages_are_ours(spec, mask):
        _record_resampling(dataset, spec.resampling)
        return
    nan_counts_as_data = spec.dtype.kind == "f" and spec.nodata == spec.nodata and spec.resampling != "NEAREST"
    has_nan = nan_counts_as_data and bool(np.isnan(pixels).any())
    if has_nan and spec.nodata is None:
        dataset.nodata = float("nan")
    elif has_nan:
        dataset.write(np.where(np.isnan(pixels), pixels.dtype.type(spec.nodata), pixels))
    add_overviews(dataset, spec.overview_factors, spec.resampling)
    if has_nan and spec.nodata is None:
        dataset.nodata = None
    elif has_nan:
        dataset.write(pixels)


def _prepare_warp(dataset: Any, spec: ExportSpec) -> None:
    """Set NaN as nodata and record the method for overviews that GDAL builds after the warp."""
    if spec.dtype.kind == "f" and spec.nodata is None:
        dataset.nodata = float("nan")
    if spec.encoding.overviews != "NONE":
        _record_resampling(dataset, spec.resampling)
