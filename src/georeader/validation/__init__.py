"""Is this file a good Cloud Optimized GeoTIFF, and what is in it?

`validate` measures a file (`measure`), judges what was measured (`judge`) and gives a `Report`; `info` gives layout,
pyramid and georeferencing as an `Info`.
"""

from georeader.validation.info_report import Info
from georeader.validation.measurement import Measurement
from georeader.validation.problems import Problem, Severity
from georeader.validation.report import Report
from georeader.validation.run import info, validate

__all__ = ["Info", "Measurement", "Problem", "Report", "Severity", "info", "validate"]
