"""Problems of a file, the judgement. Frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial

#: Letters of a problem in its repr; `str` has all of them.
MOST_LETTERS = 120


#: Codes of problems of a layout, which another header and another order of the same tiles mend.
LAYOUT_CODES = frozenset({
    "main-directory-offset", "ghost-edition", "ghost-malformed", "directory-order", "data-before-directory",
    "directory-after-data", "data-order", "tile-order", "mask-place", "mask-missing", "tag-order", "not-tiled",
})  # fmt: skip

#: Codes of problems of overviews, which new ones mend.
OVERVIEW_CODES = frozenset({
    "overviews-missing", "external-overviews", "overview-order", "overview-size", "overview-kind",
    "overview-compression", "levels-mixed",
})  # fmt: skip


class Severity(StrEnum):
    """Severity: an error makes a file invalid, a warning only in strict mode, a note never."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Problem:
    """A deviation from the rules for Cloud Optimized GeoTIFFs, or a note on which clients read the file.

    Attributes:
        severity: Error, warning or note.
        code: A stable name; docs/validation.md lists them.
        message: One line: the place, the finding and its consequence.
    """

    severity: Severity
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.severity} {self.code}: {self.message}"

    def __repr__(self) -> str:
        """Return one line, with the beginning of a long message."""
        text = str(self)
        return f"Problem({text if len(text) <= MOST_LETTERS else f'{text[: MOST_LETTERS - 3]}...'})"


error = partial(Problem, Severity.ERROR)
warning = partial(Problem, Severity.WARNING)
note = partial(Problem, Severity.NOTE)
