"""CatalogPipeline: an operator over each row of a catalog."""

from __future__ import annotations

import logging
import operator
import pickle
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from georeader import RasterioReader
from georeader.errors import OptionError
from georeader.storage import redact_text, remove_empty_folders
from georeader.toolkit import check_progress, report_progress, usable_cpus
from geotoolz.catalog.plan import RowPlan, check_paths, plan_row
from geotoolz.catalog.process_row import Job
from geotoolz.catalog.result import Outcome, RowResult
from geotoolz.catalog.rows import read_rows
from geotoolz.catalog.workers import check_interpreter, run_in_processes, run_in_threads
from geotoolz.operator import Operator

_LOGGER = logging.getLogger("geotoolz")

_Outcomes = Generator[tuple[RowPlan, Outcome], None, None]

RAISE, LOG_AND_CONTINUE = "raise", "log_and_continue"


@dataclass(frozen=True, eq=False, repr=False)
class CatalogPipeline:
    """Reads the raster of each row of a catalog, and runs an operator on it.

    Before any work, all rows are read, and the paths of all files that are to be written are formatted: rows that would
    write to one path, or where another reads, are refused. Paths are compared as absolute ones; on Windows and macOS
    without case.

    The operator gets what the reader returned, and reads of it what it needs; tensors have the row in ``attrs["row"]``,
    a dict of field to value, and what was read in ``attrs["source"]``. It should end with `WriteCOG` or another
    terminal operator: GeoTensors that it returns are not kept.

    Memory: all rows, and for each worker what reading, operator and save take of one raster.

    Attributes:
        catalog: A list of mappings; a pandas or geopandas frame (an index that has a name is a field, too); the path or
            URL of a CSV file with a header (all values are text), of a (Geo)Parquet file (extra ``catalog``;
            geometries are WKB), or of a JSON file; a STAC ItemCollection: pystac's object, a dict, or the path of its
            JSON, by which relative links of assets are found. Of a STAC item, its properties, id, collection, bbox,
            geometry and assets are fields.
        op: What is run on each raster.
        reader: Is called with what the row names, and returns a GeoTensor or a lazy reader. For other credentials:
            ``functools.partial(RasterioReader, fs=...)``.
        n_workers: Rows that are worked on at a time; None: one for each processor that this process may use. With more
            than one, each save has one thread of its own, unless ``profile_arg["NUM_THREADS"]`` says otherwise.
        on_row_error: "raise": begin no more rows, let those that were begun come to their end, and raise the first
            error, in the order of rows, with the results so far as its ``results``; what is known before any work is
            raised before any work. "log_and_continue": a warning of the logger ``geotoolz``, and the error in the
            row's result.
        skip_existing: Leave rows alone whose files all are there; nothing is read for them. Local files are looked for
            on the disk, others by fsspec (or obstore), with credentials from the environment, or by ``fs``.
        progress: True: a bar on standard error (extra ``progress``); a callable: is called with (rows done, all rows)
            in the caller's thread, first with 0. What it raises ends the run.
        path_field: The field that says what is read, or the name of a STAC item's asset; None: "path", or "href", or
            the only asset (with the role "data"). Several: the reader is called with a list of paths.
        executor: "thread", or "process": for operators that hold the GIL. Processes are new Python interpreters;
            operator and reader must be picklable, and a script begins below ``if __name__ == "__main__":``. Where
            ``sys.executable`` is a host program (QGIS, ArcGIS) or a frozen application, "process" is refused, unless
            ``multiprocessing.set_executable`` names an interpreter. A process that dies does not affect other rows.

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
    executor: str = "thread"

    def __post_init__(self) -> None:
        """Check the arguments."""
        if not isinstance(self.op, Operator):
            raise OptionError(f"op is a {type(self.op).__name__}, no geotoolz.Operator")
        if not callable(self.reader):
            raise OptionError(f"reader is a {type(self.reader).__name__}; pass what is called with a path")
        for name, choices in (("on_row_error", (RAISE, LOG_AND_CONTINUE)), ("executor", ("thread", "process"))):
            if getattr(self, name) not in choices:
                raise OptionError(f"{name}={getattr(self, name)!r} is neither {choices[0]!r} nor {choices[1]!r}")
        if self.n_workers is not None:
            object.__setattr__(self, "n_workers", _count(self.n_workers))
        _check_path_field(self.path_field)
        if self.reader is RasterioReader and not isinstance(self.path_field, (str, type(None))):
            raise OptionError(
                "path_field names several fields, and RasterioReader takes one path; pass a reader of lists"
            )
        check_progress(self.progress)
        if self.executor == "process":
            check_interpreter()
            _check_picklable({"op": self.op, "reader": self.reader})

    def __repr__(self) -> str:
        return f"CatalogPipeline({type(self.catalog).__name__}, {self.op!r}, executor={self.executor!r})"

    def run(self) -> list[RowResult]:
        """Work on all rows.

        Ctrl-C ends the run within about a second: no row is begun, saves that are at work end with nothing left behind,
        and KeyboardInterrupt is raised. Files of rows that were done stay; ``skip_existing=True`` goes on from there.

        Returns:
            The result of each row, in the order of the catalog.

        Raises:
            RowError: Before any work: two rows that write to one path, or, with "raise", a row that can't be read,
                or that the template can't be filled in with.
            ReadError: The catalog can't be read.
            WorkerError: No process can be started.
            Exception: With "raise", whatever a row's reader or operator raised; the results of rows that were worked
                on are its attribute ``results``.
        """
        rows = read_rows(self.catalog)
        plans = [plan_row(index, row, self.op, self.path_field) for index, row in enumerate(rows)]
        refused = [plan for plan in plans if plan.error is not None]
        if refused and self.on_row_error == RAISE:
            raise _with_results(refused[0].error, [])
        check_paths(plans)
        results: dict[int, RowResult] = {}
        # Closed at once: what progress raises, and Ctrl-C, ends the work.
        made_folders: set[str] = set()
        try:
            report = report_progress(self.progress, len(plans), name="catalog", unit="rows")
            with report as advance, closing(self._outcomes(plans)) as outcomes:
                for plan, outcome in outcomes:
                    made_folders.update(outcome.made_folders)
                    results[plan.index] = _result(plan, outcome)
                    self._log(results[plan.index])
                    advance(1)
        finally:
            remove_empty_folders(made_folders)
        ordered = [results[index] for index in sorted(results)]
        failed = next((result for result in ordered if result.error is not None), None)
        if failed is not None and self.on_row_error == RAISE:
            raise _with_results(failed.error, ordered)
        return ordered

    def _outcomes(self, plans: Sequence[RowPlan]) -> _Outcomes:
        """Give rows as they are done, refused ones first."""
        yield from ((plan, Outcome(None, plan.error, 0.0)) for plan in plans if plan.error is not None)
        todo = [plan for plan in plans if plan.error is None]
        job = Job(self.op, self.reader, self.skip_existing)
        wanted = usable_cpus() if self.n_workers is None else self.n_workers
        run_rows = run_in_processes if self.executor == "process" else run_in_threads
        yield from run_rows(todo, job, min(wanted, len(todo)), ends_with_error=self.on_row_error == RAISE)

    def _log(self, result: RowResult) -> None:
        if result.error is not None and self.on_row_error == LOG_AND_CONTINUE:
            urls = [result.source] if isinstance(result.source, str) else []
            what = f"{type(result.error).__name__}: {result.error}"
            _LOGGER.warning("row %d: %s", result.index, redact_text(what, *urls))


def _result(plan: RowPlan, outcome: Outcome) -> RowResult:
    return RowResult(
        plan.index, plan.row, outcome.path, outcome.error, outcome.seconds, plan.source, outcome.receipt,
        outcome.is_skipped,
    )  # fmt: skip


def _with_results(error: Exception | None, results: list[RowResult]) -> Exception:
    """Attach to an error what became of the rows: it keeps its own kind, which the caller knows to expect."""
    raised = error if error is not None else OptionError("no error")
    raised.results = results  # type: ignore[attr-defined]
    failed = next((result for result in results if result.error is error), None)
    if failed is not None:
        raised.add_note(f"in row {failed.index} of the catalog; this error's results tell of the others")
    return raised


def _count(value: Any) -> int:
    try:
        count = operator.index(value)
    except TypeError as error:
        raise OptionError(f"n_workers={value!r} is no number of workers; pass 1 or more, or None") from error
    if count < 1 or isinstance(value, bool):
        raise OptionError(f"n_workers={value!r} is no number of workers; pass 1 or more, or None")
    return count


def _check_path_field(path_field: Any) -> None:
    is_list = isinstance(path_field, (list, tuple)) and path_field and all(isinstance(name, str) for name in path_field)
    if path_field is not None and not isinstance(path_field, str) and not is_list:
        raise OptionError(f"path_field={path_field!r} names no field; pass a field's name, or a list of names")


def _check_picklable(arguments: dict[str, Any]) -> None:
    for name, value in arguments.items():
        try:
            pickle.dumps(value)
        except Exception as error:
            raise OptionError(
                f'executor="process": {name} can\'t be sent to a process ({error}); define its functions and classes '
                'at the top of a module, or use executor="thread"'
            ) from error
