"""Result of a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from georeader.storage import redact_url


@dataclass(frozen=True)
class Outcome:
    """The result of a row as a worker returns it; it can be pickled.

    Attributes:
        path: As in `RowResult`.
        error: As in `RowResult`.
        seconds: As in `RowResult`.
        receipt: As in `RowResult`.
        is_skipped: As in `RowResult`.
        made_folders: Folders that were made for a file that failed.
    """

    path: str | None
    error: Exception | None
    seconds: float
    receipt: Any = None
    is_skipped: bool = False
    made_folders: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class RowResult:
    """What became of a row of a catalog.

    Attributes:
        index: Of the row, counted from 0.
        row: Field to value, as the catalog has it.
        path: The file that was written, or was there already; None where an error came, or nothing is written.
        error: What was raised, or None.
        seconds: From the beginning of reading to the file's end; 0 for a row that was refused before any work.
        source: What was read, as it was given to the reader; None where the row does not say.
        receipt: What a terminal operator gave back: of WriteCOG, save_cog's receipt. None otherwise: rasters are not
            kept.
        is_skipped: Whether the file was there already, with ``skip_existing=True``.

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
        """Give one line."""
        name = None if self.path is None else redact_url(self.path)
        if self.error is not None:
            what = f"{type(self.error).__name__}: {self.error}"
        elif self.is_skipped:
            return f"row {self.index}: {name} was there already"
        else:
            what = name or "done"
        return f"row {self.index}: {what} in {self.seconds:.2f} s"

    def __repr__(self) -> str:
        """Give what is no secret."""
        path = None if self.path is None else redact_url(self.path)
        return (
            f"RowResult(index={self.index}, path={path!r}, error={self.error!r}, seconds={self.seconds:.3f}, "
            f"is_skipped={self.is_skipped})"
        )
