"""Plan of a collection: its items, their files and paths, and the groups of items that share chunks."""

from __future__ import annotations

import os
import posixpath
import re
from bisect import bisect_right
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

from georeader._batch.template import Field, Template, as_date, problem_in_url, shown_labels
from georeader._cube.axes import (
    VARIABLE,
    Cube,
    as_time,
    common_edges,
    labels_along,
    other_times,
    scalar_labels,
    windows_along,
)
from georeader._storage.redaction import redact_url
from georeader.errors import PathError
from georeader.storage import canonical_path

#: Pairs of items that a message names.
_SHOWN = 5


@dataclass(frozen=True)
class ItemPlan:
    """Plan of an item: its part of the cube, and its files."""

    index: int  #: Counted from 0.
    id: str
    labels: Mapping[str, Any]  #: by which it differs from others
    place: Mapping[Hashable, Any]  #: dimension to position, or to slice of rows or columns
    paths: Mapping[str, str]  #: asset to file
    json_path: str
    datetime: datetime | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Subject of messages."""
        return f"item {self.index}" + (f" ({shown_labels(self.labels)})" if self.labels else "")


@dataclass(frozen=True)
class GroupPlan:
    """Items that one worker works through, since they share chunks of the cube."""

    items: tuple[ItemPlan, ...]
    box: Mapping[Hashable, slice]  #: What they have of the cube.

    @property
    def name(self) -> str:
        """Subject of messages."""
        first, last = self.items[0].index, self.items[-1].index
        return f"item {first}" if first == last else f"items {first} to {last}"


@dataclass(frozen=True)
class _Step:
    """A step along one of the axes that a cube is split along."""

    place: Mapping[Hashable, Any]
    fields: Mapping[str, Any]  #: for the template
    labels: Mapping[str, Any]
    group: int  #: Steps of one number share chunks.
    box: Mapping[Hashable, slice]


def plan_items(cube: Cube, template: Template) -> list[GroupPlan]:
    """Return the groups of a collection, each with its items in order.

    Raises:
        PathError: A field of the template has no value, or two files would get one path.
    """
    axes = [list(_label_steps(cube, dim)) for dim in cube.label_dims]
    if cube.row_edges_px:
        axes.append(list(_chunk_steps(cube)))
    combinations = list(product(*axes))
    common = scalar_labels(cube)
    rows = [common | _merged(step.fields for step in steps) for steps in combinations]
    names = _names(cube, template, rows)
    times = other_times(cube)
    span = {"start_datetime": times[0], "end_datetime": times[-1]} if times else {}
    groups: dict[tuple[int, ...], list[ItemPlan]] = {}
    boxes: dict[tuple[int, ...], Mapping[Hashable, slice]] = {}
    for index, (steps, row, (name, json_path)) in enumerate(zip(combinations, rows, names, strict=True)):
        labels = _merged(step.labels for step in steps)
        rows_of = {key: row | ({VARIABLE: key} if cube.is_by_variable else {}) for key in cube.parts}
        paths = {key: _format(template, own, index) for key, own in rows_of.items()}
        place = _merged(step.place for step in steps)
        time = _time_of(labels, row, template)
        item = ItemPlan(index, name, labels, place, paths, json_path, time, {} if time is not None else span)
        group = tuple(step.group for step in steps)
        groups.setdefault(group, []).append(item)
        boxes[group] = _merged(step.box for step in steps)
    _check_paths([item for items in groups.values() for item in items])
    return [GroupPlan(tuple(items), boxes[group]) for group, items in groups.items()]


def _label_steps(cube: Cube, dim: Hashable) -> Iterator[_Step]:
    edges = common_edges(cube.arrays, dim)
    for position, fields in enumerate(labels_along(cube, dim)):
        group = position if edges is None else bisect_right(edges, position) - 1
        box = slice(position, position + 1) if edges is None else slice(edges[group], edges[group + 1])
        yield _Step({dim: position}, fields, {str(dim): fields[str(dim)]}, group, {dim: box})


def _chunk_steps(cube: Cube) -> Iterator[_Step]:
    row_dim, column_dim = cube.spatial_dims
    rows, columns = windows_along(cube.row_edges_px), windows_along(cube.column_edges_px)
    for group, ((row, its_rows), (column, its_columns)) in enumerate(product(enumerate(rows), enumerate(columns))):
        place = {row_dim: its_rows, column_dim: its_columns}
        labels = {"row": row, "column": column}
        yield _Step(place, labels, labels, group, place)


def _merged(mappings: Any) -> dict[Any, Any]:
    return {key: value for mapping in mappings for key, value in mapping.items()}


def _format(template: Template, row: Mapping[str, Any], index: int) -> str:
    try:
        return template.format(row)
    except PathError as error:
        raise PathError(f"item {index}: {error}") from error


def _time_of(labels: Mapping[str, Any], row: Mapping[str, Any], template: Template) -> datetime | None:
    """Return the only time among the labels of an item, or else among its other coordinates.

    Labels that the template formats as dates are times, too. Of several others, it is the only one that the template
    formats, or the one that is called "time".
    """
    dated = {part.name for part in template.parts if isinstance(part, Field) and part.directive}
    labels = {
        name: as_date(label, name) if name in dated and isinstance(label, (str, int)) else label
        for name, label in labels.items()
    }
    times = {name: time for name, label in labels.items() if (time := as_time(label)) is not None}
    if times:
        return next(iter(times.values())) if len(times) == 1 else None
    times = {name: time for name, label in row.items() if (time := as_time(label)) is not None}
    for names in (times, dated & times.keys(), {"time"} & times.keys()):
        if len(names) == 1:
            return times[next(iter(names))]
    return None


# Names of items, and of their documents.


def _names(cube: Cube, template: Template, rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return the id of each item and the path of its JSON: that of its file, or that of its files without variables.

    Ids are names of files without suffixes; with folders, where items of several folders have one name.
    """
    bare = [part for part in template.parts if not (isinstance(part, Field) and part.name == VARIABLE)]
    own = replace(template, parts=tuple(bare))
    found = [_split(template, _format(own, row, index)) for index, row in enumerate(rows)] if cube.parts else []
    short = [stem or (folder.rpartition("/")[2] or _last_folder(template)) for folder, stem, _ in found]
    long = ["_".join([*filter(None, folder.split("/")), stem]).strip("_") for folder, stem, _ in found]
    ids = next((ids for ids in (short, long) if len(set(ids)) == len(ids)), None)
    if ids is None:
        ids = [f"{name}_{index}" for index, name in enumerate(long)]
    root = "" if template.root == os.curdir else template.root
    folders = [root + (f"{folder}/" if folder else "") for folder, _, _ in found]
    return [
        (name, f"{folder}{name}.json{query}") for name, folder, (*_, query) in zip(ids, folders, found, strict=True)
    ]


def _split(template: Template, path: str) -> tuple[str, str, str]:
    """Return the folder below the template's, the name without suffix, and the query of a URL."""
    below = path if template.root == os.curdir else path[len(template.root) :]
    bare, query = below, ""
    if template.is_url:
        bare = re.split(r"[?#]", below, maxsplit=1)[0]
        query = below[len(bare) :]
    *folders, name = re.split(r"[/\\]" if os.sep == "\\" else "/", bare)
    stem = name.rpartition(".")[0] if "." in name else name
    return "/".join(filter(None, folders)), stem.strip(" ._-"), query


def _last_folder(template: Template) -> str:
    """Return the name of the folder of a template, "" for the root of a store or of a disk."""
    if template.is_url:
        return posixpath.basename(template.root.partition("://")[2].rstrip("/"))
    return Path(template.root).resolve().name


def root_name(template: Template) -> str:
    """Return the name of the folder of a template, by which a collection is called."""
    return _last_folder(template) or "collection"


def check_links(items: Sequence[ItemPlan], template: Template, documents: Sequence[str]) -> None:
    """Check that links of a collection lead to all files, and that none is one of its documents.

    Raises:
        PathError: A path is that of a document, or has what is not part of a path in a link.
    """
    reserved = {canonical_path(path) for path in documents}
    for item in items:
        for path in (*item.paths.values(), item.json_path):
            if canonical_path(path) in reserved:
                raise PathError(f"{item.name}: {redact_url(path)!r} is a document of the collection; change the label")
            below = path if template.root == os.curdir else path[len(template.root) :]
            problem = None if template.is_url else problem_in_url(below)
            if problem is not None:
                raise PathError(f"{item.name}: {path!r} {problem}; change the label, or pass stac=False")


def _check_paths(items: Sequence[ItemPlan]) -> None:
    """Check that no two documents have one path."""
    writers: dict[str, int] = {}
    problems = []
    for item in items:
        for path in (*item.paths.values(), item.json_path):
            key = canonical_path(path)
            if key in writers:
                problems.append(f"items {writers[key]} and {item.index} to {redact_url(path)!r}")
            writers.setdefault(key, item.index)
    if problems:
        more = len(problems) - _SHOWN
        raise PathError(
            "; ".join(problems[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
            + ": one would overwrite the other; add a field that differs between them to the template"
        )  # fmt: skip
