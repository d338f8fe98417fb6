"""save_collection: write a cube as a COG for each part of it, with STAC items and their collection."""

from __future__ import annotations

import logging
import os
import pickle
import re
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from georeader._batch.run import Outcome
from georeader._batch.template import Template, read_template, shown_labels, template_text
from georeader._batch.workers import check_executor, check_worker_count, run_in_processes, run_in_threads
from georeader._core.reporting import check_progress, held_warnings, import_extra, report_progress, warn_at_caller
from georeader._core.threads import usable_cpus
from georeader.errors import ExistsError, GeoreferenceError, MetadataWarning, OptionError, PathError
from georeader.storage import (
    exists,
    link_target_outside,
    make_folders,
    redact_text,
    redact_url,
    remove_empty_folders,
    write_bytes,
)

if TYPE_CHECKING:
    import pystac
    from xarray import DataArray, Dataset

    from georeader._collection.vrt import Grid
    from georeader._cube.axes import Cube
    from georeader._cube.job import CollectionJob, ItemOutcome
    from georeader._cube.plan import GroupPlan, ItemPlan
    from georeader._export.receipt.receipt import Receipt
    from georeader.profile_options import Engine, ProfileArg

__all__ = ["CollectionResult", "ItemResult", "SaveOptions", "save_collection"]

_LOGGER = logging.getLogger("georeader")

RAISE, LOG_AND_CONTINUE = "raise", "log_and_continue"

#: Items that a client's caller has on the cluster at once, unless ``n_workers`` is passed.
_AT_ONCE_ON_CLUSTER = 4

#: Letters of an error in the repr of a result; `str` has all of them.
_MOST_LETTERS = 100


class SaveOptions(TypedDict, total=False):
    """Arguments of `georeader.save_cog` for each file."""

    descriptions: Sequence[str | None] | None
    tags: Mapping[str, Any] | None
    profile_arg: ProfileArg | None
    fs: Any
    nodata: float | None
    dir_tmpfiles: str | os.PathLike[str] | None
    engine: Engine
    verify: bool
    durable: bool
    overwrite: bool
    http_headers: Mapping[str, str] | None
    max_memory: int | str


@dataclass(frozen=True, eq=False)
class ItemResult:
    """Result of one item of a collection.

    Attributes:
        index: Counted from 0.
        labels: What the item differs by: dimension to label; "row" and "column" of a chunk.
        paths: Asset to file.
        item: The path of the STAC item's JSON; None without.
        error: The exception, or None.
        seconds: Of reading, computing and writing.
        receipts: Asset to what `georeader.save_cog` returned; empty for a skipped item.
        is_skipped: Whether the item existed already, with ``skip_existing=True``.

    Example:
        >>> print(ItemResult(0, {"time": "2024-05-01"}, {"data": "20240501.tif"}, "20240501.json", None, 0.25))
        item 0 (time=2024-05-01): 20240501.tif in 0.25 s
    """

    index: int
    labels: Mapping[str, Any]
    paths: Mapping[str, str]
    item: str | None
    error: Exception | None
    seconds: float
    receipts: Mapping[str, Receipt] = field(default_factory=dict)
    is_skipped: bool = False

    def __str__(self) -> str:
        """Return one line."""
        if self.error is not None:
            what = f"{type(self.error).__name__}: {self.error}"
        else:
            what = ", ".join(map(redact_url, self.paths.values()))
        if self.is_skipped:
            return f"{self._name}: {what} was there already"
        return f"{self._name}: {what} in {self.seconds:.2f} s"

    def __repr__(self) -> str:
        """Return one line without receipts, with the beginning of a long message."""
        paths = [redact_url(path) for path in self.paths.values()]
        shown = repr(paths[0]) + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
        error = repr(self.error)
        error = error if len(error) <= _MOST_LETTERS else f"{error[: _MOST_LETTERS - 3]}..."
        state = "existed" if self.is_skipped else f"{self.seconds:.2f} s" if self.error is None else error
        return f"<ItemResult {self._name}: {shown}, {state}>"

    @property
    def _name(self) -> str:
        return f"item {self.index}" + (f" ({shown_labels(self.labels)})" if self.labels else "")


@dataclass(frozen=True, eq=False)
class CollectionResult:
    """Result of `save_collection`.

    Attributes:
        items: The result of each item, in order.
        collection: The path of collection.json; None if it was not written, as the following ones.
        parquet: The path of items.parquet.
        index: The path of index.vrt.
    """

    items: tuple[ItemResult, ...]
    collection: str | None = None
    parquet: str | None = None
    index: str | None = None

    @property
    def errors(self) -> tuple[ItemResult, ...]:
        """The items that failed."""
        return tuple(item for item in self.items if item.error is not None)

    def __repr__(self) -> str:
        """Return one line."""
        skipped = sum(item.is_skipped for item in self.items)
        where = "" if self.collection is None else f" in {redact_url(self.collection)!r}"
        return f"<CollectionResult: {len(self.items)} items{where}, {skipped} skipped, {len(self.errors)} failed>"


def save_collection(  # noqa: PLR0913
    cube: DataArray | Dataset,
    path_template: str | os.PathLike[str],
    *,
    dim: str | Sequence[str],
    chunk_px: int | tuple[int, int] | None = None,
    n_workers: int | None = None,
    executor: Any = "thread",
    on_item_error: str = RAISE,
    skip_existing: bool = False,
    progress: bool | Callable[[int, int], Any] = False,
    stac: bool = True,
    index: bool = True,
    collection_id: str | None = None,
    title: str | None = None,
    description: str | None = None,
    license: str = "other",  # noqa: A002  (as STAC calls it)
    properties: Mapping[str, Any] | Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
    **save_options: Unpack[SaveOptions],
) -> CollectionResult:
    """Save a cube as a COG for each step of an axis, each variable, or each chunk of the grid, and describe them.

    Each file appears whole or not at all. Each chunk of a cube of dask, or of a lazy one's files, is computed or read
    once, even where several files are made of it: such files form a group, which one worker works through. Beside the
    files are a STAC item for each combination without "variable" and, in the folder before the template's first field,
    ``collection.json``, ``items.parquet`` (stac-geoparquet) and ``index.vrt``, by which GDAL and QGIS open all files as
    one raster. They are written when all items are done, of those that are whole. See docs/collections.md.

    Args:
        cube: A DataArray or Dataset, in memory, of dask or lazy. Never changed.
        path_template: Local path or URL with fields: the names in ``dim``, as in ``{time:%Y%m%d}`` and ``{variable}``,
            ``{row}`` and ``{column}`` of a chunk, counted from 0, and other coordinates along ``dim`` or without a
            dimension. Missing folders are made.
        dim: What becomes files: a dimension with labels, "variable" (each variable of a Dataset), "chunk" (each chunk
            of rows and columns), or a list of these, whose product it is. Without "variable", the variables of a
            Dataset are bands, as in `georeader.save_cog`.
        chunk_px: Size of the chunks in pixels, or (rows, columns); by default those of the cube. Chunks of the cube
            must not be cut.
        n_workers: Groups at a time; None: one for each CPU that this process may use, or 4 with a client. With more
            than one, the threads of each save are its share of the CPUs, unless ``profile_arg["NUM_THREADS"]`` is set.
        executor: "thread"; "process", for cubes that can be pickled, in scripts that begin below ``if __name__ ==
            "__main__":``; or a ``distributed.Client``, for cubes of dask: its workers compute, encode and send.
            Chunks that several files share stay in the memory of the cluster until these are saved.
        on_item_error: "raise": no more items are begun, those that were begun are completed, no document of the
            collection is written, and the error of the first item is raised, with the results so far as its
            ``results``. "log_and_continue": the logger ``georeader`` gets a warning, and the item's result the error.
        skip_existing: Skip items whose JSON and files exist: it is written after all of its files, whose sizes it has.
            An item with a file of another size is saved again.
        progress: True: a bar (extra ``progress``); a callable: called with (items done, all items) in the caller's
            thread.
        stac: False: files alone, without items, collection and index.
        index: Whether ``index.vrt`` is written.
        collection_id: By default the name of the folder.
        title: Of the collection.
        description: Of the collection.
        license: Of the collection, an SPDX identifier or "other".
        properties: Further properties of items, or a function of an item's labels that returns them. The time of an
            item is "datetime" among them, its label, or a scalar coordinate; others are those of
            `georeader.stac.item_of`.
        **save_options: Other arguments of `georeader.save_cog`: see `SaveOptions`.

    Returns:
        A `CollectionResult`: the result of each item, and the paths of the documents.

    Raises:
        OptionError: An argument is invalid, JSON does not have a property, or chunks are cut. Nothing was written, as
            after the next three.
        PathError: A label cannot be part of a path or link, leads out of the folder, or two items would get one path.
        MissingExtraError: A package is missing; the extras are ``collection`` and ``xarray``.
        ExistsError: With ``overwrite=False``, there is a collection already.
        WorkerError: No process can be started.
        Exception: With "raise", the first error of an item.

    Example:
        >>> import numpy as np
        >>> import xarray
        >>> places = {"y": 3999995 - 10 * np.arange(60.0), "x": 500005 + 10 * np.arange(50.0)}
        >>> days = np.array(["2024-05-01", "2024-05-11"], "datetime64[ns]")
        >>> pixels = np.ones((2, 60, 50), "uint16")
        >>> cube = xarray.DataArray(pixels, {"time": days} | places, name="B04", attrs={"crs": "EPSG:32630"})
        >>> result = save_collection(cube, "{time:%Y%m%d}.tif", dim="time", nodata=0)
        >>> [item.paths["data"] for item in result.items], result.collection, result.index
        (['20240501.tif', '20240511.tif'], 'collection.json', 'index.vrt')
    """
    from georeader._collection.summary import check_texts
    from georeader._cube.job import CollectionJob  # codecs and engines take time to import
    from georeader._cube.plan import root_name

    _check_arguments(executor, on_item_error, n_workers, progress, save_options)
    template = read_template(template_text(path_template), each="item", whole="cube")
    import_extra("rioxarray", extra="xarray", purpose="the georeference of a cube")
    found = _parse_cube(cube, dim, chunk_px)
    groups = _plan(found, template, properties, save_options.get("fs"))
    collection_id = root_name(template) if collection_id is None else collection_id
    about = {"title": title, "description": description, "license": license}
    if stac:
        check_texts(id=collection_id, **about)
        _check_documents(groups, template, save_options, skip_existing=skip_existing)
    job = CollectionJob(
        parts=found.parts,
        options=dict(save_options),
        root=_root(template),
        collection_id=collection_id,
        has_items=stac,
        skip_existing=skip_existing,
        ends_with_error=on_item_error == RAISE,
        client=None if isinstance(executor, str) else executor,
    )
    _check_executor(found, job, executor)
    results = _run(groups, job, executor, n_workers, on_item_error, progress)
    if not stac:
        return CollectionResult(tuple(result for result, _ in results))
    return _with_documents(results, template, job, found, about, index=index)


# Checks, before anything is written.


def _check_arguments(
    executor: Any, on_item_error: Any, n_workers: Any, progress: Any, save_options: Mapping[str, Any]
) -> None:
    unknown = [name for name in save_options if name not in SaveOptions.__annotations__]
    if unknown:
        raise OptionError(
            f"save_collection does not take {', '.join(unknown)}; of save_cog it takes: "
            f"{', '.join(SaveOptions.__annotations__)}"
        )
    if on_item_error not in (RAISE, LOG_AND_CONTINUE):
        raise OptionError(f"on_item_error={on_item_error!r} is neither {RAISE!r} nor {LOG_AND_CONTINUE!r}")
    check_worker_count(n_workers)
    check_progress(progress)
    check_executor(executor)


def _parse_cube(cube: Any, dim: Any, chunk_px: Any) -> Cube:
    from georeader._cube.axes import parse_cube

    xarray = import_module("xarray")
    if not isinstance(cube, (xarray.DataArray, xarray.Dataset)):
        raise OptionError(f"cube is a {type(cube).__name__}; pass an xarray.DataArray or Dataset")
    return parse_cube(cube, dim, chunk_px)


def _plan(cube: Cube, template: Template, properties: Any, fs: Any) -> list[GroupPlan]:
    """Return the groups, whose paths lie in the template's folder, with the properties of their items."""
    from georeader._cube.plan import plan_items

    groups = plan_items(cube, template)
    if not groups:
        raise OptionError("the cube has no step along dim; there is nothing to save")
    for path in (path for group in groups for item in group.items for path in item.paths.values()):
        target = link_target_outside(path, template.root, fs) if template.has_fields else None
        if target is not None:
            raise PathError(
                f"{path!r} leads by a link to {target!r}, outside of the template's folder {template.root!r}; name "
                "another label, or remove the link"
            )
    return [replace(group, items=tuple(_with_properties(item, properties) for item in group.items)) for group in groups]


def _with_properties(item: ItemPlan, properties: Any) -> ItemPlan:
    """Return an item with its properties: labels that are not times or places, and the caller's."""
    from georeader._cube.axes import as_time
    from georeader._cube.properties import plain_properties
    from georeader._export.sources.xarray_metadata import label_text

    given = properties(dict(item.labels)) if callable(properties) else properties or {}
    if not isinstance(given, Mapping):
        raise OptionError(
            f"properties of {item.name} are a {type(given).__name__}; pass a mapping, or a function to one"
        )
    own: dict[str, Any] = {
        name: label if isinstance(label, (str, int, float)) else label_text(label)
        for name, label in item.labels.items()
        if as_time(label) is None and name not in ("row", "column")
    }
    found = plain_properties({**item.properties, **own, **given}, item.name)
    time = found.pop("datetime", None)
    has_time = "datetime" in given
    return replace(
        item, properties=found, datetime=(time and datetime.fromisoformat(time)) if has_time else item.datetime
    )


def _check_documents(
    groups: Sequence[GroupPlan], template: Template, save_options: Mapping[str, Any], *, skip_existing: bool
) -> None:
    from georeader._collection.documents import COLLECTION_FILE, INDEX_FILE, ITEMS_FILE, check_installed
    from georeader._collection.geoparquet import check_types
    from georeader._cube.plan import check_links

    check_installed()
    items = [item for group in groups for item in group.items]
    check_links(items, template, [_beside(template, name) for name in (COLLECTION_FILE, ITEMS_FILE, INDEX_FILE)])
    check_types([item.properties for item in items])
    if save_options.get("overwrite", True) or skip_existing:
        return
    path = _beside(template, COLLECTION_FILE)
    if exists(path, save_options.get("fs"), http_headers=save_options.get("http_headers")):
        raise ExistsError(
            f"{redact_url(path)!r} exists already; pass overwrite=True, skip_existing=True or another path"
        )


def _check_executor(cube: Cube, job: CollectionJob, executor: Any) -> None:
    """Check that workers can be sent the cube."""
    here = next((array for array in cube.arrays if array.chunks is None), None)
    if job.client is not None and here is not None:
        raise OptionError(
            f"executor is a Client, whose workers compute cubes of dask, but {here.name!r} is not one; pass "
            'cube.chunk(), or executor="thread"'
        )
    if executor == "process":
        try:
            pickle.dumps(job)
        except Exception as error:
            raise OptionError(
                f'executor="process": the cube or an option cannot be sent to a process ({error}); use '
                'executor="thread"'
            ) from error


def _check_saves(groups: Sequence[GroupPlan], job: CollectionJob) -> None:
    """Refuse what `georeader.save_cog` would refuse, by a dry run for each file of the first item."""
    from georeader._cube.group import GroupPixels, cut_group
    from georeader.planning import plan_export

    first = groups[0].items[0]
    pixels = GroupPixels(cut_group(job.parts, groups[0]), groups[0])
    for key, path in first.paths.items():
        options = {name: value for name, value in job.options.items() if name not in ("overwrite", "verify")}
        with held_warnings():  # which the save gives
            plan_export(pixels.cut(key, first), path, client=False if job.client is None else job.client, **options)


# The work.


def _run(
    groups: Sequence[GroupPlan],
    job: CollectionJob,
    executor: Any,
    n_workers: int | None,
    on_item_error: str,
    progress: Any,
) -> list[tuple[ItemResult, bytes]]:
    """Save all items; return the result of each with its JSON, in order."""
    items = {item.index: item for group in groups for item in group.items}
    results: dict[int, tuple[ItemResult, bytes]] = {}
    messages: dict[tuple[str, type[Warning]], None] = {}
    made_folders: list[str] = []
    try:
        for path in (path for item in items.values() for path in (*item.paths.values(), item.json_path)):
            made_folders += make_folders(path, job.options.get("fs"))
        _check_saves(groups, job)
        report = report_progress(progress, len(items), name="collection", unit="items")
        # Closed at once: an exception of progress, and Ctrl-C, ends the work.
        with report as advance, closing(_outcomes(groups, job, executor, n_workers)) as outcomes:
            for plan, outcome in outcomes:
                done = _outcomes_of(plan, outcome)
                messages |= dict.fromkeys(() if outcome.receipt is None else outcome.receipt.warnings)
                for one in done:
                    results[one.index] = _result(items[one.index], one, job), one.document
                    _log(results[one.index][0], on_item_error)
                advance(len(done))
    finally:
        remove_empty_folders(made_folders)
    for message, category in messages:
        warn_at_caller(message, category)
    ordered = [results[index] for index in sorted(results)]
    failed = next((result for result, _ in ordered if result.error is not None), None)
    if failed is not None and failed.error is not None and on_item_error == RAISE:
        failed.error.add_note(f"in {items[failed.index].name}; the results of others are in this error's results")
        failed.error.results = [result for result, _ in ordered]  # type: ignore[attr-defined]
        raise failed.error
    return ordered


def _outcomes(
    groups: Sequence[GroupPlan], job: CollectionJob, executor: Any, n_workers: int | None
) -> Generator[tuple[GroupPlan, Outcome], None, None]:
    default = _AT_ONCE_ON_CLUSTER if job.client is not None else usable_cpus()
    workers = min(default if n_workers is None else n_workers, len(groups))
    run = run_in_processes if executor == "process" else run_in_threads
    yield from run(groups, job, workers, ends_with_error=job.ends_with_error)


def _outcomes_of(plan: GroupPlan, outcome: Outcome) -> Sequence[ItemOutcome]:
    """Return the outcomes of a group's items; those of a worker that died have its error."""
    from georeader._cube.job import ItemOutcome

    if outcome.receipt is not None:
        found: tuple[ItemOutcome, ...] = outcome.receipt.items
        return found
    return [ItemOutcome(item.index, outcome.error, outcome.seconds) for item in plan.items]


def _result(item: ItemPlan, outcome: ItemOutcome, job: CollectionJob) -> ItemResult:
    json_path = item.json_path if job.has_items and outcome.error is None else None
    return ItemResult(
        item.index, item.labels, item.paths, json_path, outcome.error, outcome.seconds, outcome.receipts,
        outcome.is_skipped,
    )  # fmt: skip


def _log(result: ItemResult, on_item_error: str) -> None:
    if result.error is not None and on_item_error == LOG_AND_CONTINUE:
        _LOGGER.warning("%s", redact_text(str(result), *result.paths.values()))


# The documents of a collection.


def _root(template: Template) -> str:
    """Return the folder of a collection; "" for the current one."""
    from georeader._collection.hrefs import folder_of

    return folder_of(_bare(_beside(template, "x")))


def _beside(template: Template, name: str) -> str:
    """Return the path of a document in the template's folder, with the query of a signed URL."""
    query = template.text[len(_bare(template.text)) :]
    return name if template.root == os.curdir else f"{template.root}{name}{query}"


def _with_documents(
    results: Sequence[tuple[ItemResult, bytes]],
    template: Template,
    job: CollectionJob,
    cube: Cube,
    about: Mapping[str, Any],
    *,
    index: bool,
) -> CollectionResult:
    """Write the documents of the items that are whole."""
    from georeader._collection.documents import (
        COLLECTION_FILE,
        INDEX_FILE,
        ITEMS_FILE,
        collection_documents,
        read_item,
    )
    from georeader.stac import collection_of

    whole = {
        _bare(result.item): (result, read_item(content, _bare(result.item)))
        for result, content in results
        if result.item
    }
    items = tuple(result for result, _ in results)
    if not whole:
        return CollectionResult(items)
    found = {path: item for path, (_, item) in whole.items()}
    names = _step_names(items)
    build = partial(
        collection_documents,
        found,
        job.root,
        collection=collection_of(list(found.values()), id=job.collection_id, **about),
        steps={_bare(item.item): name for item, name in zip(items, names, strict=True) if item.item},
        step_names=names,
        grid=_grid(cube, next(iter(found.values()))),
    )
    try:
        files = build(index=index)
    except GeoreferenceError as error:
        warn_at_caller(f"there is no index.vrt: {error}", MetadataWarning)
        files = build(index=False)
    for name, content in files.items():
        fs, headers = job.options.get("fs"), job.options.get("http_headers")
        write_bytes(_beside(template, name), content, fs, http_headers=headers)
    paths = {name: _beside(template, name) for name in files}
    return CollectionResult(items, paths.get(COLLECTION_FILE), paths.get(ITEMS_FILE), paths.get(INDEX_FILE))


def _bare(path: str) -> str:
    """Return a URL without its query, which may have a secret."""
    return re.split(r"[?#]", path, maxsplit=1)[0] if "://" in path else path


def _step_names(items: Sequence[ItemResult]) -> list[str]:
    """Return the name of each item's step in the index: those of several places have one step."""
    from georeader._collection.vrt import time_names
    from georeader._cube.axes import as_time
    from georeader._export.sources.xarray_metadata import label_text

    columns = []
    for dim in (name for name in items[0].labels if name not in ("row", "column")):
        labels = [item.labels[dim] for item in items]
        times = [as_time(label) for label in labels]
        texts = (label_text(label) or "" for label in labels)
        columns.append(list(texts) if None in times else time_names([[time] for time in times]))
    names = [" ".join(own) for own in zip(*columns, strict=True)] if columns else [""] * len(items)
    seen: Counter[Any] = Counter()
    for position, (item, name) in enumerate(zip(items, names, strict=True)):
        key = name, item.labels.get("row"), item.labels.get("column")
        seen[key] += 1
        if seen[key] > 1:  # labels of several steps are equal
            names[position] = f"{name} ({seen[key]})"
    return names


def _grid(cube: Cube, item: pystac.Item) -> Grid | None:
    """Return the whole grid of a cube of which chunks are files, in the CRS of an item; None for other cubes."""
    from georeader._collection.vrt import Grid
    from georeader._export.sources.xarray_georeference import georeference_of

    if not cube.row_edges_px:
        return None
    fields = item.properties | next(iter(item.assets.values())).extra_fields
    transform = georeference_of(cube.arrays[0], *cube.spatial_dims).transform
    return Grid(
        cube.row_edges_px[-1], cube.column_edges_px[-1], transform, fields.get("proj:code") or fields.get("proj:wkt2")
    )
