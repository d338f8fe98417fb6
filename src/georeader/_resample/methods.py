"""Table of resampling methods, and the methods that a file records. Imports nothing large: ``--help`` is fast. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Method:
    """Facts about a resampling method, by GDAL's name or this project's."""

    name: str
    kinds: str = "iufc"  #: Kinds of numpy dtypes for which it is defined: signed, unsigned, floating-point, complex.
    is_in_gdal: bool = True  #: GDAL has it for overviews and for warps.
    picks: bool = False  #: Results are values of the raster, or bits of such values, so that classes are not mixed.
    is_complex_option: bool = False  #: RESAMPLING takes it for complex rasters, as GDAL does.


#: Methods by name: those of GDAL for overviews, three of its warper, and OR.
METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("NEAREST", picks=True, is_complex_option=True),
        Method("AVERAGE", is_complex_option=True),
        Method("BILINEAR"),
        Method("CUBIC"),
        Method("CUBICSPLINE"),
        Method("LANCZOS"),
        Method("MODE", picks=True, is_complex_option=True),
        Method("RMS", is_complex_option=True),
        Method("GAUSS"),
        Method("MIN", kinds="iuf", is_in_gdal=False, picks=True),
        Method("MAX", kinds="iuf", is_in_gdal=False, picks=True),
        Method("MED", kinds="iuf", is_in_gdal=False, picks=True),
        Method("OR", kinds="iu", is_in_gdal=False, picks=True),
    )
}

#: Names of the methods that GDAL has.
GDAL_METHODS = tuple(name for name, method in METHODS.items() if method.is_in_gdal)

#: Names of the methods of a warp: those of GDAL's warper, which has no GAUSS and no OR.
WARP_METHODS = tuple(name for name in METHODS if name not in ("GAUSS", "OR"))

#: Names of the methods that RESAMPLING takes for complex rasters.
COMPLEX_METHODS = tuple(name for name, method in METHODS.items() if method.is_complex_option)


def recorded_resamplings(tags: Mapping[str, Any] | None, count: int) -> tuple[str, ...]:
    """Return the method that a file's tags record for each of its bands; empty if they record none that is known.

    Example:
        >>> recorded_resamplings({"OVR_RESAMPLING_ALG": "cubic_spline"}, 2)
        ('CUBICSPLINE', 'CUBICSPLINE')
        >>> recorded_resamplings({"OVERVIEW_RESAMPLING": "MODE,AVERAGE"}, 2)
        ('MODE', 'AVERAGE')
        >>> recorded_resamplings({"OVERVIEW_RESAMPLING": "NONE"}, 1)
        ()
    """
    from georeader._core.band_attrs import RECORDING_TAGS  # imports numpy

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
    """Return the methods recorded for each band if they can be the default of a file of some dtype, else nothing.

    Values of classes must not be mixed. GDAL warps with one method for all bands.
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
