"""Functions for packages that build on georeader, as `geotoolz` does.

- `check_progress` and `report_progress`: progress as in `georeader.save_cog`, a tqdm bar, a callback, or none;
- `Workers` and `usable_cpus`: threads, and how many CPUs this process may use;
- `Template` and `read_template`: paths with fields that rows of a catalog fill in;
- `run_in_threads` and `run_in_processes`: the work of many saves, each yielded with its `Outcome` as it is done; a
  `Run` is what a worker sees of the whole;
- `linked_errors`: an error with its causes, contexts and groups;
- `without_bands` and `without_encoding`: ``attrs`` of values that an operator has computed, for `GeoTensor.like`.

Example:
    >>> attrs = {"descriptions": ["B04", "B08"], "units": ["DN", "DN"], "tags": {"sensor": "MSI"}}
    >>> without_bands(attrs), without_encoding(attrs)
    ({'tags': {'sensor': 'MSI'}}, {'descriptions': ['B04', 'B08'], 'tags': {'sensor': 'MSI'}})
"""

from georeader._batch.run import Outcome, Run, current_run, use_run
from georeader._batch.template import Template, read_template, template_text
from georeader._batch.workers import (
    PATIENCE_SECONDS,
    POLL_SECONDS,
    check_executor,
    check_worker_count,
    is_client,
    pickle_outcome,
    run_in_processes,
    run_in_threads,
)
from georeader._core.band_attrs import without_bands, without_encoding
from georeader._core.reporting import check_progress, linked_errors, report_progress
from georeader._core.threads import Workers, usable_cpus

__all__ = [
    "PATIENCE_SECONDS",
    "POLL_SECONDS",
    "Outcome",
    "Run",
    "Template",
    "Workers",
    "check_executor",
    "check_progress",
    "check_worker_count",
    "current_run",
    "is_client",
    "linked_errors",
    "pickle_outcome",
    "read_template",
    "report_progress",
    "run_in_processes",
    "run_in_threads",
    "template_text",
    "usable_cpus",
    "use_run",
    "without_bands",
    "without_encoding",
]
