"""Limits of readers that hold for files of any writer: the only reason for which a test of a reader is skipped.

A limit is held to its word: the reader has to refuse the file, or to misread it, or the test fails. GDAL's engine is
under the same limits as the project's own, which shows that they are not ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from foreign.cases import Case


@dataclass(frozen=True)
class Limit:
    """Limit of a reader.

    Attributes:
        reader: Its name.
        holds: Whether it is met by a case.
        reason: What pytest says.
    """

    reader: str
    holds: Callable[[Case], bool]
    reason: str


def _is_float_with_nan_in_lerc(case: Case) -> bool:
    return case.codec == "lerc" and case.holes == "NaN"


def _is_predicted_band_by_band(case: Case) -> bool:
    return case.options.get("predictor", "NO") != "NO" and case.options.get("interleave") == "BAND" and case.bands > 1


def _is_lerc_of_bands_with_nan(case: Case) -> bool:
    return _is_float_with_nan_in_lerc(case) and case.bands > 1


_LERC_OF_BANDS = "is of 2022, before libtiff could read masks in LERC of several bands"
_NAN_IN_LERC = "gives 0 where LERC's own mask says that a pixel is missing (NaN)"

LIMITS = [
    Limit("tifffile", _is_float_with_nan_in_lerc, _NAN_IN_LERC),
    Limit("async-tiff", _is_float_with_nan_in_lerc, _NAN_IN_LERC),
    Limit("geotiff.js", _is_float_with_nan_in_lerc, _NAN_IN_LERC),
    Limit("Debian's GDAL", _is_lerc_of_bands_with_nan, _LERC_OF_BANDS),
    Limit("tiffinfo", _is_lerc_of_bands_with_nan, _LERC_OF_BANDS),
    Limit("async-tiff", _is_predicted_band_by_band, "undoes a predictor as if the bands lay pixel by pixel"),
    Limit("async-tiff", lambda case: case.codec == "packbits", "has no PackBits"),
    Limit("geotiff.js", lambda case: case.codec == "lzma", "has no LZMA"),
    Limit("geotiff.js", lambda case: case.codec == "webp", "decodes WebP by the browser, which Node is not"),
    Limit("geotiff.js", lambda case: case.dtype in ("int64", "uint64"), "has no integers of 64 bits"),
    Limit(
        "geotiff.js",
        lambda case: case.dtype == "float64" and case.options.get("predictor") == 2,
        "has no predictor 2 of 64 bits",
    ),
]


def limit_of(reader: str, case: Case) -> str | None:
    """Return why a reader cannot read a case; None: it can."""
    reasons = [limit.reason for limit in LIMITS if limit.reader == reader and limit.holds(case)]
    return f"{reader} {reasons[0]}" if reasons else None
