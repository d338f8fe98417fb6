"""Overview resampling that a raster file records, as the default of a copy. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from georeader._core.band_attrs import RECORDING_TAGS
from georeader._resample.methods import METHODS


def recorded_resamplings(tags: Mapping[str, Any] | None, count: int) -> tuple[str, ...]:
    """Return the method that tags record for each band; empty if they record none that is known.

    Args:
        tags: Of the file.
        count: Bands of the file.

    Example:
        >>> recorded_resamplings({"OVR_RESAMPLING_ALG": "cubic_spline"}, 2)
        ('CUBICSPLINE', 'CUBICSPLINE')
        >>> recorded_resamplings({"OVERVIEW_RESAMPLING": "MODE,AVERAGE"}, 2)
        ('MODE', 'AVERAGE')
        >>> recorded_resamplings({"OVERVIEW_RESAMPLING": "NONE"}, 1)
        ()
    """
    if not isinstance(tags, Mapping):
        return ()
    upper = {str(key).upper(): value for key, value in tags.items()}
    for name in RECORDING_TAGS:
        methods = tuple(part.strip().upper().replace("_", "") for part in str(upper.get(name, "")).split(","))
        if all(method in METHODS for method in methods) and len(methods) in (1, count):
            return methods * (count if len(methods) == 1 else 1)
    return ()


def usable_resamplings(
    recorded: Sequence[str], dtype: np.dtype[Any], *, is_classes: bool, is_warped: bool
) -> tuple[str, ...]:
    """Return the recorded methods if they can be the default of a file, else nothing.

    Args:
        recorded: One per band, or empty.
        dtype: Of the file.
        is_classes: Values must not be mixed.
        is_warped: GDAL warps the raster, and has one method for all bands.
    """
    methods = [METHODS[name] for name in recorded]
    if is_classes and not all(method.picks for method in methods):
        return ()
    if is_warped and not (len(set(recorded)) == 1 and methods[0].is_in_gdal):
        return ()
    if dtype.kind == "c":
        is_defined = all(method.is_complex_option for method in methods)
    else:
        is_defined = all(dtype.kind in method.kinds for method in methods)
    return tuple(recorded) if is_defined else ()
