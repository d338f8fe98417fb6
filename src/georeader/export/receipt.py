"""What a save gives back: where the file is, how large it became, and who wrote it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Receipt:
    """A file that was written.

    Attributes:
        path: Its destination, as it was given.
        size_bytes: Its length.
        engine: "stream", the project's own writer, or "gdal".
        largest_errors: With ``verify=True``: of each band, how far a decoded pixel lies from the one that was saved, 0
            for lossless codecs; else None.

    Example:
        >>> print(Receipt("ndvi.tif", 1_234_567, "stream", (0.0,)))
        ndvi.tif: 1,234,567 bytes by stream, verified, largest error 0
    """

    path: str
    size_bytes: int
    engine: str
    largest_errors: tuple[float, ...] | None = None

    def __str__(self) -> str:
        """Give one line."""
        verified = "" if self.largest_errors is None else f", verified, largest error {max(self.largest_errors):g}"
        return f"{self.path}: {self.size_bytes:,} bytes by {self.engine}{verified}"
