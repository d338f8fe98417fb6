"""Catalogs: a file for each row, named after it."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from georeader import GeoTensor, RasterioReader
from georeader.errors import OptionError, PathError
from georeader.storage import link_target_outside, make_folders, redact_text, redact_url, remove_empty_folders
from georeader.toolkit import (
    Outcome,
    Template,
    check_executor,
    check_progress,
    check_worker_count,
    current_run,
    is_client,
    read_template,
    report_progress,
    run_in_processes,
    run_in_threads,
    template_text,
    usable_cpus,
)
from geotoolz._catalog.cluster import run_on_cluster
from geotoolz._catalog.cluster_tasks import dumps
from geotoolz._catalog.row_work import Job, RowPlan, check_paths, plan_row
from geotoolz._catalog.rows import read_rows
from geotoolz._rasters import ROW_KEY
from geotoolz._saving import check_save_options, save
from geotoolz.errors import RowError
from geotoolz.operator import Operator, Output

__all__ = ["CatalogPipeline", "RowResult", "WriteCOG"]

_LOGGER = logging.getLogger("geotoolz")

#: Letters of an error in the repr of a result; `str` has all of them.
MOST_LETTERS = 120

_Outcomes = Generator[tuple[RowPlan, Outcome], None, None]

RAISE, LOG_AND_CONTINUE = "raise", "log_and_continue"


@dataclass(frozen=True, eq=False, repr=False)
class CatalogPipeline:
    """Reads the raster of each row of a catalog, and applies an operator to it.

    Before any work, all rows are read and all paths formatted. Two rows that would write to one path are refused, and
    so is a row that would write where another reads.

    The operator is called with what the reader returned. Tensors have the row in ``attrs["row"]``, a dict of field to
    value, and the name of the file in ``attrs["source"]``. The operator should end with `WriteCOG` or another terminal
    operator: GeoTensors that it returns are not kept. Memory: all rows, and one raster for each worker.

    Attributes:
        catalog: A list of mappings; a pandas or geopandas frame (a named index is a field, too); the path or URL of a
            CSV file with a header (all values are text), a (Geo)Parquet file (extra ``catalog``; geometries are WKB)
            or a JSON file; a STAC ItemCollection: pystac's object, a dict, or the path of its JSON. The fields of a
            STAC item are its properties, id, collection, bbox, geometry and assets.
        op: The operator.
        reader: Called with the source that the row names; returns a GeoTensor or a lazy reader. For other credentials:
            ``functools.partial(RasterioReader, fs=...)``.
        n_workers: Rows at a time; None: one for each CPU that this process may use. With more than one, the
            threads of each save are its share of the CPUs, unless ``profile_arg["NUM_THREADS"]`` is set. On a cluster:
            the rows that are on it at once; None: three for each thread of its workers.
        on_row_error: "raise": no more rows are begun, those that were begun are completed, and the error of the first
            row is raised with the results so far as its ``results``. "log_and_continue": the logger ``geotoolz`` gets
            a warning, and the row's result the error.
        skip_existing: Skip rows whose files all exist, without reading their sources.
        progress: True: a bar on standard error (extra ``progress``); a callable: called with (rows done, all rows) in
            the caller's thread, first with 0. An exception that it raises ends the run.
        path_field: The field of the source, or a STAC item's asset; None: "path", "href", or the only asset (with the
            role "data"). With several names the reader is called with a list of paths.
        executor: "thread", or "process" for operators that hold the GIL. Processes are new Python interpreters;
            operator and reader must be picklable, and a script begins below ``if __name__ == "__main__":``. Where
            ``sys.executable`` is a host program (QGIS, ArcGIS) or a frozen application, "process" is refused, unless
            ``multiprocessing.set_executable`` names an interpreter. A process that dies does not affect other rows.
            Or a ``distributed.Client``: each row is a task of its Dask cluster, see docs/geotoolz.md.

    Raises:
        OptionError: At construction: an argument is invalid, or executor="process" would not start Python.

    Example:
        >>> import numpy as np
        >>> from geotoolz import Sequential
        >>> from geotoolz.catalog_ops import WriteCOG
        >>> from geotoolz.indices import NDVI
        >>> from georeader import GeoTensor, save_cog
        >>> stack = GeoTensor(np.ones((2, 64, 64), "uint16"), (10, 0, 0, 0, -10, 0), 32632, nodata=0)
        >>> rows = [{"path": save_cog(stack, f"{tile}.tif").path, "tile": tile} for tile in ("32TQM", "32TQN")]
        >>> op = Sequential([NDVI(red_idx=0, nir_idx=1), WriteCOG("ndvi_{tile}.tif")])
        >>> [result.path for result in CatalogPipeline(rows, op).run()]
        ['ndvi_32TQM.tif', 'ndvi_32TQN.tif']
    """

    catalog: Any
    op: Operator
    reader: Callable[[Any], Any] = RasterioReader
    n_workers: int | None = None
    on_row_error: str = RAISE
    skip_existing: bool = False
    progress: bool | Callable[[int, int], Any] = False
    path_field: str | Sequence[str] | None = None
    executor: Any = "thread"

    def __post_init__(self) -> None:
        """Check the arguments."""
        if not isinstance(self.op, Operator):
            raise OptionError(f"op is a {type(self.op).__name__}; pass a geotoolz.Operator")
        if not callable(self.reader):
            raise OptionError(f"reader is a {type(self.reader).__name__}; pass a callable that takes a path")
        if self.on_row_error not in (RAISE, LOG_AND_CONTINUE):
            raise OptionError(f"on_row_error={self.on_row_error!r} is neither {RAISE!r} nor {LOG_AND_CONTINUE!r}")
        object.__setattr__(self, "n_workers", check_worker_count(self.n_workers))
        _check_path_field(self.path_field)
        if self.reader is RasterioReader and not isinstance(self.path_field, (str, type(None))):
            raise OptionError(
                "path_field names several fields, and RasterioReader takes one path; pass a reader of lists"
            )
        check_progress(self.progress)
        self._check_executor()

    def _check_executor(self) -> None:
        check_executor(self.executor)
        arguments = {"op": self.op, "reader": self.reader}
        if is_client(self.executor):
            _check_picklable(arguments, dumps, "executor=Client", "a worker")
        elif self.executor == "process":
            advice = 'define its functions and classes at the top of a module, or use executor="thread"'
            _check_picklable(arguments, pickle.dumps, 'executor="process"', "a process", advice)

    def __repr__(self) -> str:
        executor = repr(self.executor) if isinstance(self.executor, str) else type(self.executor).__name__
        return f"CatalogPipeline({type(self.catalog).__name__}, {self.op!r}, executor={executor})"

    def run(self) -> list[RowResult]:
        """Process all rows.

        Ctrl-C ends the run within about a second, and running saves leave nothing behind. Files of finished rows
        remain; ``skip_existing=True`` resumes from there.

        Returns:
            The result of each row, in the order of the catalog.

        Raises:
            RowError: Before any work: two rows write to one path, or, with "raise", a row has no source, or no value
                for a field of the template.
            ReadError: The catalog cannot be read.
            WorkerError: No process can be started; the client of a cluster is closed or loses its scheduler, or its
                workers cannot load the operator.
            Exception: With "raise", the exception of a row's reader or operator; the results of the rows that were
                processed are its attribute ``results``.
        """
        rows = read_rows(self.catalog)
        plans = [plan_row(index, row, self.op, self.path_field) for index, row in enumerate(rows)]
        refused = next((plan.error for plan in plans if plan.error is not None), None)
        if refused is not None and self.on_row_error == RAISE:
            raise _with_results(refused, [])
        check_paths(plans)
        results: dict[int, RowResult] = {}
        made_folders: set[str] = set()
        try:
            report = report_progress(self.progress, len(plans), name="catalog", unit="rows")
            # Closed at once: an exception of progress, and Ctrl-C, ends the work.
            with report as advance, closing(self._outcomes(plans)) as outcomes:
                for plan, outcome in outcomes:
                    made_folders.update(outcome.made_folders)
                    results[plan.index] = RowResult(
                        plan.index, plan.row, outcome.path, outcome.error, outcome.seconds, plan.source,
                        outcome.receipt, outcome.is_skipped,
                    )  # fmt: skip
                    self._log(results[plan.index])
                    advance(1)
        finally:
            remove_empty_folders(made_folders)
        ordered = [results[index] for index in sorted(results)]
        failed = next((result for result in ordered if result.error is not None), None)
        if failed is not None and failed.error is not None and self.on_row_error == RAISE:
            failed.error.add_note(
                f"in row {failed.index} of the catalog; the results of the other rows are in this error's attribute "
                "results"
            )
            raise _with_results(failed.error, ordered)
        return ordered

    def _outcomes(self, plans: Sequence[RowPlan]) -> _Outcomes:
        """Iterate over rows as they are done, refused ones first."""
        yield from ((plan, Outcome(None, plan.error, 0.0)) for plan in plans if plan.error is not None)
        todo = [plan for plan in plans if plan.error is None]
        job = Job(self.op, self.reader, self.skip_existing)
        ends_with_error = self.on_row_error == RAISE
        if is_client(self.executor):
            rows_at_once = 1 if len(todo) == 1 else self.n_workers
            yield from run_on_cluster(todo, job, self.executor, rows_at_once, ends_with_error=ends_with_error)
            return
        wanted = usable_cpus() if self.n_workers is None else self.n_workers
        run_rows = run_in_processes if self.executor == "process" else run_in_threads
        if self.executor == "process":
            # Receipts are unpickled here. If Ctrl-C came while the module of their dataclasses is imported, CPython
            # would end the process by the signal, even if the exception is caught.
            import_module("georeader.stac")
        yield from run_rows(todo, job, min(wanted, len(todo)), ends_with_error=ends_with_error)

    def _log(self, result: RowResult) -> None:
        if result.error is not None and self.on_row_error == LOG_AND_CONTINUE:
            urls = [result.source] if isinstance(result.source, str) else []
            what = f"{type(result.error).__name__}: {result.error}"
            _LOGGER.warning("row %d: %s", result.index, redact_text(what, *urls))


def _with_results(error: Exception, results: list[RowResult]) -> Exception:
    """Attach the results of the rows to an error, which keeps its type."""
    error.results = results  # type: ignore[attr-defined]
    return error


def _check_path_field(path_field: Any) -> None:
    is_list = isinstance(path_field, (list, tuple)) and path_field and all(isinstance(name, str) for name in path_field)
    if path_field is not None and not isinstance(path_field, str) and not is_list:
        raise OptionError(f"path_field={path_field!r} is not a field's name; pass one, or a list of names")


def _check_picklable(
    arguments: dict[str, Any],
    pickle_value: Callable[[Any], bytes],
    option: str,
    destination: str,
    advice: str = 'make files, locks and connections where they are used, or use executor="thread"',
) -> None:
    for name, value in arguments.items():
        try:
            pickle_value(value)
        except Exception as error:
            raise OptionError(f"{option}: {name} cannot be sent to {destination} ({error}); {advice}") from error


@dataclass(frozen=True, eq=False)
class RowResult:
    """Result of a row of a catalog.

    Attributes:
        index: Of the row, counted from 0.
        row: Field to value, as the catalog has it.
        path: The file that was written, or existed already; None after an error, or where nothing is written.
        error: The exception, or None.
        seconds: From the beginning of reading to the file's end; 0 for a row that was refused before any work.
        source: The argument of the reader; None where the row names no source.
        receipt: Result of a terminal operator: of WriteCOG, save_cog's receipt.
        is_skipped: Whether the file existed already, with ``skip_existing=True``.

    Example:
        >>> print(RowResult(0, {"path": "a.tif"}, "ndvi.tif", None, 0.25, "a.tif"))
        row 0: ndvi.tif in 0.25 s
    """

    index: int
    row: Mapping[str, Any] = field(repr=False)
    path: str | None
    error: Exception | None
    seconds: float
    source: Any = field(default=None, repr=False)
    receipt: Any = field(default=None, repr=False)
    is_skipped: bool = False

    def __str__(self) -> str:
        """Return one line."""
        name = None if self.path is None else redact_url(self.path)
        if self.error is not None:
            what = f"{type(self.error).__name__}: {self.error}"
        elif self.is_skipped:
            return f"row {self.index}: {name} was there already"
        else:
            what = name or "done"
        return f"row {self.index}: {what} in {self.seconds:.2f} s"

    def __repr__(self) -> str:
        """Return the fields that hold no secret, with the beginning of a long message."""
        error = repr(self.error)
        error = error if len(error) <= MOST_LETTERS else f"{error[: MOST_LETTERS - 3]}..."
        path = None if self.path is None else redact_url(self.path)
        return (
            f"RowResult(index={self.index}, path={path!r}, error={error}, seconds={self.seconds:.3f}, "
            f"is_skipped={self.is_skipped})"
        )


@dataclass(frozen=True, repr=False, eq=False)
class WriteCOG(Operator):
    """Saves a raster as a COG, at a path built from the catalog's row in ``attrs["row"]``; returns the receipt.

    Terminal: it ends a `geotoolz.Sequential`. `CatalogPipeline` puts the row into ``attrs["row"]``, a dict of field to
    value, and operators keep it. Without a catalog, set it: ``gt.attrs["row"] = {"tile_id": "32TQM"}``.

    Templates contain ``{name}``, ``{name:%Y%m%d}`` (dates and times, also as ISO 8601 text; letters YmdHMSfjyGVUWuw),
    ``{{`` and ``}}`` only. A field that is not a Python name is written with underscores: ``{grid_code}`` for
    "grid:code". A value that would lead out of the template's folder is refused.

    Attributes:
        path_template: Local path or URL with fields; none in a URL's host or bucket. Missing folders are made, and
            removed again if the save fails and they are empty.
        save_options: Other arguments of `georeader.save_cog`: descriptions, tags, profile_arg, fs, nodata, ...

    Raises:
        OptionError: At construction: the template is invalid, or an option is unknown.
        RowError: ``attrs`` has no row; a field is missing or has no value; a value has a path separator, "..", a drive,
            a control character, "~" at its beginning, or dots alone; for URLs also "?", "#" and percent-encoded
            characters; or links lead the path out of the folder before the template's first field.
        GeoreaderError: As save_cog.

    Example:
        >>> import numpy as np
        >>> row = {"tile_id": "32TQM", "date": "2024-05-01"}
        >>> gt = GeoTensor(np.ones((1, 64, 64), "uint8"), (10, 0, 0, 0, -10, 0), 32632, nodata=0, attrs={"row": row})
        >>> WriteCOG("{tile_id}_{date:%Y%m%d}.tif", profile_arg={"compress": "zstd"})(gt).path
        '32TQM_20240501.tif'
    """

    path_template: str
    save_options: Mapping[str, Any]

    is_terminal = True

    def __init__(self, path_template: str | os.PathLike[str], **save_options: Any) -> None:
        """Read the template and check the options."""
        text = template_text(path_template)
        object.__setattr__(self, "_template", read_template(text))
        object.__setattr__(self, "path_template", text)
        object.__setattr__(self, "save_options", check_save_options(save_options, type(self).__name__))

    def apply(self, gt: GeoTensor) -> Any:
        """Save the raster."""
        row = gt.attrs.get(ROW_KEY)
        if not isinstance(row, Mapping):
            raise RowError(
                f"path_template={redact_url(self.path_template)!r}: the tensor has no attrs[{ROW_KEY!r}] to fill it in "
                f"with; CatalogPipeline sets it, or you: gt.attrs[{ROW_KEY!r}] = {{'tile_id': ...}}"
            )
        path, run = self.path_for(row), current_run()
        made = make_folders(path, self.save_options.get("fs"))
        try:
            return save(gt, path, self.save_options)
        except BaseException:
            if run is None:
                remove_empty_folders(made)
            else:  # other rows may be saving into them
                run.made_folders.extend(made)
            raise

    def path_for(self, row: Mapping[str, Any]) -> str:
        """Return the path of a row's file.

        Raises:
            RowError: See above.
        """
        template: Template = self.__dict__["_template"]
        try:
            path = template.format(row)
        except PathError as error:
            raise RowError(str(error)) from error.__cause__
        target = link_target_outside(path, template.root, self.save_options.get("fs")) if template.has_fields else None
        if target is not None:
            raise RowError(
                f"{path!r} leads by a link to {target!r}, outside of the template's folder {template.root!r}; "
                "name another value, or remove the link"
            )
        return path

    def outputs(self, row: Mapping[str, Any]) -> tuple[Output, ...]:
        """Return the row's file."""
        return (Output(self.path_for(row), self.save_options.get("fs"), self.save_options.get("http_headers")),)
