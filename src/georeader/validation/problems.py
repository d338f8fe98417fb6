"""Problems of a file, and their titles in messages. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from georeader.validation.measurement import MeasuredDirectory


class Severity(StrEnum):
    """Severity: an error makes a file invalid, a warning only in strict mode."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Problem:
    """A deviation from the rules for Cloud Optimized GeoTIFFs.

    Attributes:
        severity: Error or warning.
        code: A stable name; docs/validation.md lists them.
        message: One line: the place, the finding and its consequence.
    """

    severity: Severity
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.severity} {self.code}: {self.message}"


def error(code: str, message: str) -> Problem:
    """Return an error."""
    return Problem(Severity.ERROR, code, message)


def warning(code: str, message: str) -> Problem:
    """Return a warning."""
    return Problem(Severity.WARNING, code, message)


def tile_title(directory: MeasuredDirectory, tile: int, offset_bytes: int | None = None) -> str:
    """Return the name of a tile in messages, such as "level 1, tile row 0 column 2, byte 1234"."""
    title = f"{directory.title}, tile {tile}"
    if directory.layout is not None:
        plane, row, column = directory.layout.place_of(tile)
        kind = "tile" if directory.layout.is_tiled else "strip"
        title = f"{directory.title}, {kind} row {row} column {column}"
        title += f" of band {plane + 1}" if directory.layout.planes > 1 else ""
    return title if offset_bytes is None else f"{title}, byte {offset_bytes}"


def and_more(count: int) -> str:
    """Return the text for further problems of the same kind."""
    return f" (and {count} more)" if count > 0 else ""
