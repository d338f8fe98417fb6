"""A problem of a file, and where it stands. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from georeader.validation.measurement import Directory


class Severity(StrEnum):
    """How bad it is: an error makes the file no good COG; a warning only where one is strict."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Problem:
    """Something that a Cloud Optimized GeoTIFF should not have.

    Attributes:
        severity: Error or warning.
        code: A name that stays the same from version to version; docs/validation.md lists them.
        message: One line: where it is, what is there, and what comes of it.
    """

    severity: Severity
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.severity} {self.code}: {self.message}"


def error(code: str, message: str) -> Problem:
    """Give an error."""
    return Problem(Severity.ERROR, code, message)


def warning(code: str, message: str) -> Problem:
    """Give a warning."""
    return Problem(Severity.WARNING, code, message)


def tile_title(directory: Directory, tile: int, offset_bytes: int | None = None) -> str:
    """Say which tile is meant, as in "level 1, tile row 0 column 2, byte 1234"."""
    title = f"{directory.title}, tile {tile}"
    if directory.layout is not None:
        plane, row, column = directory.layout.place_of(tile)
        kind = "tile" if directory.layout.is_tiled else "strip"
        title = f"{directory.title}, {kind} row {row} column {column}"
        title += f" of band {plane + 1}" if directory.layout.planes > 1 else ""
    return title if offset_bytes is None else f"{title}, byte {offset_bytes}"


def and_more(count: int) -> str:
    """Say that there are more of the same."""
    return f" (and {count} more)" if count > 0 else ""
