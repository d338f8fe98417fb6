"""Functions for packages that build on georeader, as `geotoolz` does.

- `check_progress` and `report_progress`: progress as in `georeader.save_cog`, a tqdm bar, a callback, or none;
- `Workers` and `usable_cpus`: threads, and how many CPUs this process may use;
- `linked_errors`: an error with its causes, contexts and groups;
- `without_bands` and `without_encoding`: ``attrs`` of values that an operator has computed, for `GeoTensor.like`.

Example:
    >>> attrs = {"descriptions": ["B04", "B08"], "units": ["DN", "DN"], "tags": {"sensor": "MSI"}}
    >>> without_bands(attrs), without_encoding(attrs)
    ({'tags': {'sensor': 'MSI'}}, {'descriptions': ['B04', 'B08'], 'tags': {'sensor': 'MSI'}})
"""

from georeader._core.band_attrs import without_bands, without_encoding
from georeader._core.reporting import check_progress, linked_errors, report_progress
from georeader._core.threads import Workers, usable_cpus

__all__ = [
    "Workers",
    "check_progress",
    "linked_errors",
    "report_progress",
    "usable_cpus",
    "without_bands",
    "without_encoding",
]
