"""Plans of rows, and the conflicts that are refused between two of them. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from georeader.errors import GeoreaderError
from georeader.storage import canonical_path, redact_url
from geotoolz.errors import RowError
from geotoolz.operator import Operator, Output

#: Fields that are looked for where no ``path_field`` is named.
PATH_FIELDS = ("path", "href")

#: Pairs of rows that a message names.
_SHOWN = 5


@dataclass(frozen=True)
class RowPlan:
    """Plan of the work on a row.

    Attributes:
        index: Of the row, counted from 0.
        row: Field to value.
        source: Argument of the reader.
        outputs: Files that are to be written.
        error: Why the row cannot be processed, or None.
    """

    index: int
    row: Mapping[str, Any] = field(repr=False)
    source: Any = field(default=None, repr=False)
    outputs: tuple[Output, ...] = ()
    error: GeoreaderError | None = None


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
    asked = f"{type(operator).__name__}.outputs()"
    try:
        outputs = operator.outputs(row)
    except GeoreaderError:
        raise
    except Exception as error:  # whatever an operator raises is this row's result
        raise RowError(f"{asked} failed: {type(error).__name__}: {error}") from error
    if not isinstance(outputs, (tuple, list)) or not all(
        isinstance(one, Output) and isinstance(one.path, str) for one in outputs
    ):
        raise RowError(f"{asked} returned {outputs!r}; it must return a tuple of geotoolz.Output(path as a str)")
    return tuple(outputs)


def source_of(row: Mapping[str, Any], path_field: str | Sequence[str] | None) -> Any:
    """Return the source that a row's raster is read from.

    Args:
        row: Field to value.
        path_field: A field, or of a STAC item the name of an asset; several of them; None: see CatalogPipeline.

    Returns:
        The field's value, of a path a string; a list of them where several are named.

    Raises:
        RowError: There is no such field, or it has no value.

    Example:
        >>> source_of({"id": 1, "assets": {"B04": {"href": "b4.tif"}}}, "B04"), source_of({"path": "a.tif"}, None)
        ('b4.tif', 'a.tif')
    """
    if path_field is None:
        return _value(row, _field_of_path(row))
    if isinstance(path_field, str):
        return _value(row, path_field)
    return [_value(row, name) for name in path_field]


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


def _value(row: Mapping[str, Any], name: str) -> Any:
    value = row[name] if name in row else _assets(row).get(name)
    value = value.get("href") if isinstance(value, Mapping) else value
    is_nan = isinstance(value, float) and value != value
    is_na = type(value).__name__ in ("NAType", "NaTType")  # pandas'
    if value is None or is_nan or is_na or (isinstance(value, str) and not value):
        state = "has no value" if name in row or name in _assets(row) else "is not there"
        raise RowError(f"field {name!r}, which names the raster, {state}; the row's fields are: {_field_names(row)}")
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _field_names(row: Mapping[str, Any]) -> str:
    names = [*map(str, row), *(f"{name} (asset)" for name in _assets(row))]
    return ", ".join(names) or "none at all"


def check_paths(plans: Sequence[RowPlan]) -> None:
    """Check that no two rows write to one path, and none to a path that another reads.

    Local paths, file:// and those of local filesystems among them, are compared as absolute ones, links resolved; on
    Windows and macOS, where most file systems ignore case, without case too. URLs are compared to the letter.

    Raises:
        RowError: The message names rows and paths.
    """
    writers: dict[str, int] = {}
    problems: list[str] = []
    for plan in plans:
        for output in plan.outputs:
            key = canonical_path(output.path, output.fs)
            if key in writers:
                problems.append(f"rows {writers[key]} and {plan.index} to {redact_url(output.path)!r}")
            writers.setdefault(key, plan.index)
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
