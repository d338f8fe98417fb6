"""Overview resampling that a raster file records: the names of its tags, and its use as the default of a copy. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from georeader._core.option_names import GDAL_RESAMPLINGS, RESAMPLINGS

#: Tag of the method, as rio-cogeo from 6.0 on writes it; GDAL from 3.12 on has it in its IMAGE_STRUCTURE domain.
RESAMPLING_TAG = "OVERVIEW_RESAMPLING"

#: Tags that record the method: those of this project and of rio-cogeo before 6.0, too.
RECORDING_TAGS = (RESAMPLING_TAG, "OVR_RESAMPLING_ALG")

#: Methods whose results are values of the raster, or bits of such values.
PICKING = frozenset({"NEAREST", "MODE", "MIN", "MAX", "MED", "OR"})

#: Methods that are defined for complex numbers.
_COMPLEX = frozenset({"NEAREST", "AVERAGE", "RMS", "MODE"})


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
        if all(method in RESAMPLINGS for method in methods) and len(methods) in (1, count):
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
    methods = set(recorded)
    allowed = set(RESAMPLINGS)
    if is_classes:
        allowed &= PICKING
    if is_warped:
        allowed &= set(GDAL_RESAMPLINGS) if len(methods) == 1 else set()
    if dtype.kind == "c":
        allowed &= _COMPLEX
    elif dtype.kind not in "iu":
        allowed -= {"OR"}
    return tuple(recorded) if methods <= allowed else ()
