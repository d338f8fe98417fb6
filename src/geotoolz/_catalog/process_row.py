"""Work on one row of a catalog: check whether its files exist, read, run the operator."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from georeader import GeoTensor, files_kept_open
from georeader.storage import exists, redact_url
from georeader.toolkit import linked_errors
from geotoolz._catalog.plan import RowPlan
from geotoolz.loading import ROW_KEY, SOURCE_KEY, is_lazy, load_raster, with_more_attrs
from geotoolz.operator import Operator, Output
from geotoolz.saving import Run, use_run


@dataclass(frozen=True)
class Job:
    """Work on each row; it can be pickled.

    Attributes:
        operator: Called with the raster, with the row in ``attrs["row"]``.
        reader: Called with the source that the row names; returns a GeoTensor or a lazy reader.
        skip_existing: Whether rows whose files exist are skipped.
    """

    operator: Operator
    reader: Callable[[Any], Any]
    skip_existing: bool


def process_row(plan: RowPlan, job: Job, run: Run | None) -> Outcome:
    """Process a row; an error becomes part of the outcome.

    Args:
        plan: The row.
        job: What is done with it.
        run: That it is part of; None where nothing ends it but Ctrl-C itself.

    Raises:
        KeyboardInterrupt: The run was interrupted.
    """
    start = perf_counter()
    try:
        with use_run(run), files_kept_open():  # opened to be described, and then to be read
            receipt, is_skipped = _finished(plan, job, run)
    except Exception as error:  # noqa: BLE001  (whatever an operator raises is this row's result, and no other's)
        clear_frames(error)
        return Outcome(None, error, perf_counter() - start, made_folders=() if run is None else tuple(run.made_folders))
    path = plan.outputs[-1].path if plan.outputs else None
    return Outcome(path, None, perf_counter() - start, receipt, is_skipped)


def _finished(plan: RowPlan, job: Job, run: Run | None) -> tuple[Any, bool]:
    if job.skip_existing and plan.outputs and all(map(_exists, plan.outputs)):
        return None, True
    raster = job.reader(plan.source)
    if not is_lazy(raster):
        raster = load_raster(raster, "CatalogPipeline")
    if run is not None:
        run.check()
    more: dict[str, Any] = {ROW_KEY: dict(plan.row)}
    if isinstance(plan.source, str):
        more[SOURCE_KEY] = redact_url(plan.source)
    result = job.operator(with_more_attrs(raster, more))
    return None if isinstance(result, GeoTensor) else result, False


def _exists(output: Output) -> bool:
    return exists(output.path, output.fs, http_headers=output.http_headers)


def clear_frames(error: BaseException) -> None:
    """Release the rasters that an error's traceback holds; its lines stay."""
    for step in linked_errors(error):
        traceback.clear_frames(step.__traceback__)


@dataclass(frozen=True)
class Outcome:
    """The result of a row as a worker returns it; it can be pickled.

    Attributes:
        path: As in `RowResult`.
        error: As in `RowResult`.
        seconds: As in `RowResult`.
        receipt: As in `RowResult`.
        is_skipped: As in `RowResult`.
        made_folders: Folders that were made for a file that failed.
    """

    path: str | None
    error: Exception | None
    seconds: float
    receipt: Any = None
    is_skipped: bool = False
    made_folders: tuple[str, ...] = ()
