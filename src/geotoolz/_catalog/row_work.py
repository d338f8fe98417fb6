"""Work on one row of a catalog: its plan, the conflicts between plans, and its processing."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from georeader import GeoTensor, files_kept_open
from georeader.errors import GeoreaderError
from georeader.storage import canonical_path, exists, redact_url
from georeader.toolkit import Outcome, Run, linked_errors, use_run
from geotoolz._rasters import ROW_KEY, SOURCE_KEY, is_lazy, load_raster, with_more_attrs
from geotoolz.errors import RowError
from geotoolz.operator import Operator, Output

#: Fields that are looked for where no ``path_field`` is named.
PATH_FIELDS = ("path", "href")

#: Pairs of rows that a message names.
_SHOWN = 5


@dataclass(frozen=True)
class RowPlan:
    """Plan of the work on a row."""

    index: int  #: Counted from 0.
    row: Mapping[str, Any] = field(repr=False)
    source: Any = field(default=None, repr=False)  #: Argument of the reader.
    outputs: tuple[Output, ...] = ()
    error: GeoreaderError | None = None  #: Why the row cannot be processed.

    @property
    def name(self) -> str:
        """Subject of messages."""
        return f"row {self.index}"


@dataclass(frozen=True)
class Job:
    """Work that is the same for each row; picklable if operator and reader are."""

    operator: Operator
    reader: Callable[[Any], Any]
    skip_existing: bool
    unit = "row"

    def process(self, plan: RowPlan, run: Run | None) -> Outcome:
        """Process a row; an error becomes part of the outcome, except a KeyboardInterrupt of the run."""
        return process_row(plan, self, run)


def plan_row(index: int, row: Mapping[str, Any], operator: Operator, path_field: str | Sequence[str] | None) -> RowPlan:
    """Return the plan of a row, with its error if it cannot be processed."""
    source = None
    try:
        source = source_of(row, path_field)
        return RowPlan(index, row, source, _outputs(operator, row))
    except GeoreaderError as error:
        error.add_note(f"in row {index} of the catalog")
        return RowPlan(index, row, source, error=error)


def _outputs(operator: Operator, row: Mapping[str, Any]) -> tuple[Output, ...]:
    called = f"{type(operator).__name__}.outputs()"
    try:
        outputs = operator.outputs(row)
    except GeoreaderError:
        raise
    except Exception as error:  # an exception of an operator is this row's result
        raise RowError(f"{called} failed: {type(error).__name__}: {error}") from error
    if not isinstance(outputs, (tuple, list)) or not all(
        isinstance(one, Output) and isinstance(one.path, str) for one in outputs
    ):
        raise RowError(f"{called} returned {outputs!r}; it must return a tuple of geotoolz.Output(path as a str)")
    return tuple(outputs)


def source_of(row: Mapping[str, Any], path_field: str | Sequence[str] | None) -> Any:
    """Return the source that a row's raster is read from; a list of them where several fields are named.

    Example:
        >>> source_of({"id": 1, "assets": {"B04": {"href": "b4.tif"}}}, "B04"), source_of({"path": "a.tif"}, None)
        ('b4.tif', 'a.tif')
    """
    if path_field is None or isinstance(path_field, str):
        return _source_in(row, path_field or _field_of_path(row))
    return [_source_in(row, name) for name in path_field]


def _field_of_path(row: Mapping[str, Any]) -> str:
    for name in PATH_FIELDS:
        if name in row:
            return name
    assets = _assets(row)
    of_data = [
        name for name, asset in assets.items() if isinstance(asset, Mapping) and "data" in (asset.get("roles") or ())
    ]
    for names in (of_data, list(assets)):
        if len(names) == 1:
            return names[0]
    raise RowError(f"no field names the raster; pass path_field, one of: {_field_names(row)}")


def _assets(row: Mapping[str, Any]) -> Mapping[str, Any]:
    assets = row.get("assets")
    return assets if isinstance(assets, Mapping) else {}


def _source_in(row: Mapping[str, Any], name: str) -> Any:
    value = row[name] if name in row else _assets(row).get(name)
    value = value.get("href") if isinstance(value, Mapping) else value
    is_nan = isinstance(value, float) and value != value
    is_na = type(value).__name__ in ("NAType", "NaTType")  # pandas'
    if value is None or is_nan or is_na or (isinstance(value, str) and not value):
        state = "has no value" if name in row or name in _assets(row) else "is not there"
        raise RowError(f"field {name!r}, which names the raster, {state}; the row's fields are: {_field_names(row)}")
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _field_names(row: Mapping[str, Any]) -> str:
    return ", ".join([*map(str, row), *(f"{name} (asset)" for name in _assets(row))]) or "none at all"


def check_paths(plans: Sequence[RowPlan]) -> None:
    """Check that no two rows write to one path, and none to a path that another reads.

    Local paths, file:// and those of local filesystems among them, are compared as absolute ones, links resolved; on
    Windows and macOS, where most file systems ignore case, without case too. URLs are compared to the letter.
    """
    writers: dict[str, int] = {}
    problems: list[str] = []
    for plan in plans:
        for output in plan.outputs:
            path = canonical_path(output.path, output.fs)
            if path in writers:
                problems.append(f"rows {writers[path]} and {plan.index} to {redact_url(output.path)!r}")
            writers.setdefault(path, plan.index)
    if problems:
        raise RowError(
            f"{_join_problems(problems)}: one would overwrite the other; add a field that differs between them to the "
            "template"
        )
    for plan in plans:
        for source in plan.source if isinstance(plan.source, (list, tuple)) else [plan.source]:
            writer = writers.get(canonical_path(source)) if isinstance(source, str) else None
            if writer is not None:
                problems.append(f"row {writer} would write where row {plan.index} reads, {redact_url(source)!r}")
    if problems:
        raise RowError(f"{_join_problems(problems)}; write to another folder")


def _join_problems(problems: Sequence[str]) -> str:
    more = len(problems) - _SHOWN
    return "; ".join(problems[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def process_row(plan: RowPlan, job: Job, run: Run | None) -> Outcome:
    """Process a row; an error becomes part of the outcome, except a KeyboardInterrupt of the run."""
    start = perf_counter()
    try:
        with use_run(run), files_kept_open():  # opened to be described, and then to be read
            if job.skip_existing and plan.outputs and all(map(_exists, plan.outputs)):
                receipt, is_skipped = None, True
            else:
                receipt, is_skipped = _apply(plan, job, run), False
    except Exception as error:  # noqa: BLE001  (an exception of an operator is this row's result)
        for step in linked_errors(error):
            traceback.clear_frames(step.__traceback__)  # they hold rasters; the lines stay
        return Outcome(None, error, perf_counter() - start, made_folders=() if run is None else tuple(run.made_folders))
    path = plan.outputs[-1].path if plan.outputs else None
    return Outcome(path, None, perf_counter() - start, receipt, is_skipped)


def _exists(output: Output) -> bool:
    return exists(output.path, output.fs, http_headers=output.http_headers)


def _apply(plan: RowPlan, job: Job, run: Run | None) -> Any:
    """Read a row's raster and apply the operator; return what a terminal operator returns, else None."""
    raster = job.reader(plan.source)
    if not is_lazy(raster):
        raster = load_raster(raster, "CatalogPipeline")
    if run is not None:
        run.check()
    more: dict[str, Any] = {ROW_KEY: dict(plan.row)}
    if isinstance(plan.source, str):
        more[SOURCE_KEY] = redact_url(plan.source)
    result = job.operator(with_more_attrs(raster, more))
    return None if isinstance(result, GeoTensor) else result
