"""Protocol of a source: a spec, and the pixels of any window."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from georeader._core.windows import PixelWindow
from georeader._export.plan.chunks import Chunks
from georeader._export.plan.spec import SourceSpec
from georeader._resample.pyramid import Mask


class Source(Protocol):
    """A raster to read from, as (band, row, column).

    Attributes:
        name: What to call it in messages: the file's path, or the object's type.
        spec: What it is, known without reading its pixels where it declares its dtype.
        chunks: How its pixels are stored; None: any window costs what its own pixels cost.
        is_in_memory: Its pixels are in memory already: to read them costs nothing, and may be done twice.
        concurrent_reads: How many threads may call `read` at once.
        reader_bytes: What reading holds for each of them besides the window: decoded blocks, caches of an open file.
        is_borrowed: Reads go through what the caller opened, and may close as soon as a save has ended. So no read is
            running when the save ends, even by an exception.
    """

    @property
    def name(self) -> str: ...

    @property
    def spec(self) -> SourceSpec: ...

    @property
    def chunks(self) -> Chunks | None: ...

    @property
    def is_in_memory(self) -> bool: ...

    @property
    def concurrent_reads(self) -> int: ...

    @property
    def reader_bytes(self) -> int: ...

    @property
    def is_borrowed(self) -> bool: ...

    def read(self, region: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read a window; nothing beyond it is loaded.

        Args:
            region: Within the raster.
            bands: Counted from 0, of step one.

        Returns:
            (band, row, column) pixels of the spec's dtype, and the (row, column) mask, True where pixels are valid;
            None where ``spec.has_mask`` is False. Whoever called does not change them.

        Raises:
            Exception: Whatever the source raises; who called tells which window it was.
        """
        ...

    def close(self) -> None:
        """Let go of what reading needed: open files, memory. Called once, when no `read` is running."""
        ...


class SourceWrapper:
    """A source that wraps another one, and delegates everything that a subclass does not override.

    Attributes:
        source: The wrapped one; closed by this one alone.
    """

    def __init__(self, source: Source) -> None:
        """Take a source."""
        self.source = source

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return self.source.name

    @property
    def spec(self) -> SourceSpec:
        """What it is."""
        return self.source.spec

    @property
    def chunks(self) -> Chunks | None:
        """How its pixels are stored where they come from."""
        return self.source.chunks

    @property
    def is_in_memory(self) -> bool:
        """Whether reading costs nothing but what is done here."""
        return self.source.is_in_memory

    @property
    def concurrent_reads(self) -> int:
        """How many threads may read at once."""
        return self.source.concurrent_reads

    @property
    def reader_bytes(self) -> int:
        """Memory that reading holds for each thread."""
        return self.source.reader_bytes

    @property
    def is_borrowed(self) -> bool:
        """Whether reads go through what the caller may close."""
        return self.source.is_borrowed

    def read(self, region: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read a window.

        Raises:
            Exception: What the source raises.
        """
        return self.source.read(region, bands)

    def close(self) -> None:
        """Let go of the source."""
        self.source.close()
