"""Plan of an edit as the caller sees it: what changes, and how the tiles are copied. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from georeader._core.reporting import to_jsonable
from georeader._export.edit.changes import Changes
from georeader._export.edit.rewrite import Rewrite
from georeader._export.plan.spec import ExportSpec
from georeader.window_utils import describe_crs

#: Arguments that are a value for each band.
_PER_BAND = ("descriptions", "scales", "offsets", "units", "colorinterp")


@dataclass(frozen=True)
class EditPlan:
    """The plan of an edit.

    Attributes:
        path: The file that is edited.
        out: The file that is written; the same by default.
        changes: What changes: (name, value before, value after), None where there is none.
        tiles: How many tiles are copied, those of masks included.
        tiles_bytes: Their length, with the eight bytes around each.
        header_bytes: Length of the header that is written.
        is_one_copy: Whether the tiles are copied as one range of bytes; else each is put in its place.
    """

    path: str
    out: str
    changes: tuple[tuple[str, Any, Any], ...]
    tiles: int
    tiles_bytes: int
    header_bytes: int
    is_one_copy: bool

    @property
    def size_bytes(self) -> int:
        """Length of the file that is written."""
        return self.header_bytes + self.tiles_bytes

    def to_dict(self) -> dict[str, Any]:
        """Convert everything to types of JSON."""
        changes = [{"name": name, "before": before, "after": after} for name, before, after in self.changes]
        values: dict[str, Any] = asdict(self) | {"changes": changes, "size_bytes": self.size_bytes}
        return {name: to_jsonable(value) for name, value in values.items()}

    def __repr__(self) -> str:
        """Return one line."""
        names = ", ".join(name for name, *_ in self.changes) or "nothing"
        return f"<EditPlan {self.out!r}: {names}; {self.tiles} tiles, {self.size_bytes:,} bytes>"

    def __str__(self) -> str:
        """Return a line for each change, and one for what is copied."""
        target = self.path if self.path == self.out else f"{self.path} to {self.out}"
        how = "as one range" if self.is_one_copy else "each to its place"
        lines = [target, *(f"  {name}: {_shown(before)} -> {_shown(after)}" for name, before, after in self.changes)]
        lines += [] if self.changes else ["  nothing changes"]
        return "\n".join([*lines, f"  {self.tiles} tiles copied {how}, {self.size_bytes:,} bytes in all"])


def edit_plan(
    path: str, out: str, specs: tuple[ExportSpec, ExportSpec], changes: Changes, rewrite: Rewrite
) -> EditPlan:
    """Return the plan of an edit from the specs before and after it."""
    before, after = specs
    return EditPlan(
        path=path,
        out=out,
        changes=tuple(_differences(before, after, changes)),
        tiles=len(rewrite.stored.order),
        tiles_bytes=rewrite.tiles_bytes,
        header_bytes=len(rewrite.header),
        is_one_copy=rewrite.copies_whole_range,
    )


def _differences(before: ExportSpec, after: ExportSpec, changes: Changes) -> Iterator[tuple[str, Any, Any]]:
    old, new = _facts(before), _facts(after)
    for name in old | new:
        if not _is_same(old.get(name), new.get(name)):
            yield name, old.get(name), new.get(name)
    if "statistics" in changes:
        yield "statistics", None, [None if one is None else asdict(one) for one in changes.statistics(before.count)]


def _is_same(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)  # NaN is a common nodata


def _facts(spec: ExportSpec) -> dict[str, Any]:
    metadata = spec.metadata
    crs = metadata.gcps.crs if metadata.gcps is not None else spec.crs
    facts: dict[str, Any] = {
        "crs": None if crs is None else describe_crs(crs),
        "transform": tuple(spec.transform[:6]),
        "nodata": spec.nodata,
        "colormap": None if metadata.colormap is None else f"{len(metadata.colormap)} colours",
        "category_names": tuple(metadata.attribute_tables) if any(metadata.attribute_tables) else None,
        "ground control points": None if metadata.gcps is None else len(metadata.gcps.points),
    }
    facts |= {f"tags[{key}]": text for key, text in metadata.tags}
    for name in _PER_BAND:
        values = getattr(metadata, name) or (None,) * spec.count
        facts |= {f"{name}[{band}]": value for band, value in enumerate(values)}
    return facts


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
