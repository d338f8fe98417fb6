"""Work on one row: check whether its file exists, read, run the operator."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from georeader import GeoTensor, files_kept_open
from georeader.storage import exists, redact_url
from georeader.toolkit import linked_errors
from geotoolz.catalog.plan import RowPlan
from geotoolz.catalog.result import Outcome
from geotoolz.loading import ROW_KEY, SOURCE_KEY, is_lazy, loaded, noted
from geotoolz.operator import Operator, Output
from geotoolz.run_context import Run, working_for


@dataclass(frozen=True)
class Job:
    """What is done with each row; it crosses from process to process.

    Attributes:
        operator: Gets the raster, with the row in ``attrs["row"]``.
        reader: Called with what the row names, gives a GeoTensor or a lazy reader.
        skip_existing: Whether rows whose files are there are left alone.
    """

    operator: Operator
    reader: Callable[[Any], Any]
    skip_existing: bool


def work_on(plan: RowPlan, job: Job, run: Run | None) -> Outcome:
    """Work on a row; an error becomes part of the outcome.

    Args:
        plan: The row.
        job: What is done with it.
        run: That it is part of; None where nothing ends it but Ctrl-C itself.

    Raises:
        KeyboardInterrupt: The run was interrupted.
    """
    start = perf_counter()
    try:
        with working_for(run), files_kept_open():  # opened to be described, and then to be read
            receipt, is_skipped = _finished(plan, job, run)
    except Exception as error:  # noqa: BLE001  (whatever an operator raises is this row's result, and no other's)
        release_frames(error)
        return Outcome(None, error, perf_counter() - start, made_folders=() if run is None else tuple(run.made_folders))
    path = plan.outputs[-1].path if plan.outputs else None
    return Outcome(path, None, perf_counter() - start, receipt, is_skipped)


def _finished(plan: RowPlan, job: Job, run: Run | None) -> tuple[Any, bool]:
    if job.skip_existing and plan.outputs and all(map(_exists, plan.outputs)):
        return None, True
    raster = job.reader(plan.source)
    if not is_lazy(raster):
        raster = loaded(raster, "CatalogPipeline")
    if run is not None:
        run.check()
    more: dict[str, Any] = {ROW_KEY: dict(plan.row)}
    if isinstance(plan.source, str):
        more[SOURCE_KEY] = redact_url(plan.source)
    result = job.operator(noted(raster, more))
    return None if isinstance(result, GeoTensor) else result, False


def _exists(output: Output) -> bool:
    return exists(output.path, output.fs, http_headers=output.http_headers)


def release_frames(error: BaseException) -> None:
    """Let go of the rasters that an error's traceback holds; its lines stay."""
    for step in linked_errors(error):
        traceback.clear_frames(step.__traceback__)
