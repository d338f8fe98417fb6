"""Validation: whether a file is a good Cloud Optimized GeoTIFF, and what is in it.

`validate` measures a file (`measure`), judges the measurement (`judge`) and returns a `Report`; `info` returns layout,
pyramid and georeference as an `Info`.
"""

from georeader.validation.measurement import Measurement
from georeader.validation.problems import Problem, Severity
from georeader.validation.reports import Info, Report
from georeader.validation.run import info, validate

__all__ = ["Info", "Measurement", "Problem", "Report", "Severity", "info", "validate"]
