"""Overviews on a dataset that GDAL is going to copy: built by GDAL, or by us where GDAL would count what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling

from georeader.export.resample import average_2x2
from georeader.export.spec import ExportSpec

_RESAMPLING_BY_NAME = {method.name.upper().replace("_", ""): method for method in Resampling}


def add_overviews(dataset: Any, factors: tuple[int, ...], resampling: str) -> None:
    """Build overviews on an open dataset and record by which method.

    Args:
        dataset: Open for update.
        factors: Decimation factors, such as (2, 4, 8).
        resampling: One of `options.RESAMPLINGS`.
    """
    dataset.build_overviews(list(factors), _RESAMPLING_BY_NAME[resampling])
    record_resampling(dataset, resampling)


def record_resampling(dataset: Any, resampling: str) -> None:
    """Note the method as rasterio does (namespace ``rio_overview``) and as the tag OVR_RESAMPLING_ALG.

    Copies into COG order drop the namespace; the tag stays.
    """
    dataset.update_tags(ns="rio_overview", resampling=_RESAMPLING_BY_NAME[resampling].name)
    dataset.update_tags(OVR_RESAMPLING_ALG=resampling)


def averages_are_ours(spec: ExportSpec) -> bool:
    """Whether overviews come from `complex_averages`: GDAL's average of complex numbers leaves out nothing."""
    is_average = bool(spec.overview_factors) and spec.resampling == "AVERAGE"
    return spec.dtype.kind == "c" and is_average and not spec.encoding.warps


def complex_averages(pixels: NDArray[Any], spec: ExportSpec) -> Iterator[NDArray[Any]]:
    """Give the overviews of a complex raster, from large to small, leaving out NaN and nodata.

    Args:
        pixels: (band, row, column) at full resolution.
        spec: The file that is wanted.
    """
    with np.errstate(invalid="ignore"):
        is_valid = ~np.isnan(pixels) if spec.nodata is None else ~np.isnan(pixels) & (pixels != spec.nodata)
    missing = np.nan if spec.nodata is None else spec.nodata
    level = pixels
    for _ in spec.overview_factors:
        level, is_valid = average_2x2(level, is_valid)
        yield np.where(is_valid, level, spec.dtype.type(missing))


def build_pyramid(dataset: Any, pixels: NDArray[Any], spec: ExportSpec) -> None:
    """Build the overviews that ``spec`` asks for, counting NaN as missing whatever the nodata is.

    GDAL leaves out only what equals nodata; one NaN would spread over its whole overview pixel. So NaN is nodata
    while overviews are built, and the true pixels and nodata come back after.

    Args:
        dataset: Open for update; has ``pixels`` and, where `averages_are_ours`, its overviews already.
        pixels: (band, row, column) at full resolution.
        spec: The file that is wanted.
    """
    factors = spec.overview_factors
    if not factors or spec.encoding.warps:
        return
    if averages_are_ours(spec):
        record_resampling(dataset, spec.resampling)
        return
    nan_counts_as_data = spec.dtype.kind == "f" and spec.nodata == spec.nodata and spec.resampling != "NEAREST"
    has_nan = nan_counts_as_data and bool(np.isnan(pixels).any())
    if has_nan and spec.nodata is None:
        dataset.nodata = float("nan")
    elif has_nan:
        dataset.write(np.where(np.isnan(pixels), pixels.dtype.type(spec.nodata), pixels))
    add_overviews(dataset, factors, spec.resampling)
    if has_nan and spec.nodata is None:
        dataset.nodata = None
    elif has_nan:
        dataset.write(pixels)
