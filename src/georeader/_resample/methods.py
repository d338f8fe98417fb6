"""Table of resampling methods. It imports nothing large, so that ``--help`` is fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """Facts about a resampling method.

    Attributes:
        name: GDAL's name, or this project's.
        kinds: Kinds of numpy dtypes for which it is defined: signed, unsigned, floating-point, complex.
        is_in_gdal: GDAL has it for overviews and for warps.
        picks: Results are values of the raster, or bits of such values, so that classes are not mixed.
        is_complex_option: RESAMPLING takes it for complex rasters, as GDAL does.
    """

    name: str
    kinds: str = "iufc"
    is_in_gdal: bool = True
    picks: bool = False
    is_complex_option: bool = False


def _table(*methods: Method) -> Mapping[str, Method]:
    return {method.name: method for method in methods}


#: Methods by name: those of GDAL for overviews, three of its warper, and OR.
METHODS: Mapping[str, Method] = _table(
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

#: Names of the methods that GDAL has.
GDAL_METHODS = tuple(name for name, method in METHODS.items() if method.is_in_gdal)

#: Names of the methods that RESAMPLING takes for complex rasters.
COMPLEX_METHODS = tuple(name for name, method in METHODS.items() if method.is_complex_option)
