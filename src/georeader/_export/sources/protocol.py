"""Protocol of a source, and sources that wrap another one."""

from __future__ import annotations

import threading
from typing import Any, Protocol

from numpy.typing import NDArray

from georeader._core.windows import PixelWindow
from georeader._export.plan.spec import SourceSpec
from georeader._export.plan.traits import SourceTraits
from georeader._resample.pyramid import Mask
from georeader.errors import ReadError


class Source(Protocol):
    """A raster to read from, as (band, row, column).

    Attributes:
        name: Subject of messages: the file's path, or the object's type.
        spec: Description of the raster, known without reading its pixels if it declares its dtype.
        traits: Cost of reading, and limits on concurrent reads.
    """

    @property
    def name(self) -> str: ...

    @property
    def spec(self) -> SourceSpec: ...

    @property
    def traits(self) -> SourceTraits: ...

    def read(self, region: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read a window; nothing beyond it is loaded.

        Args:
            region: Within the raster.
            bands: Counted from 0, of step one.

        Returns:
            (band, row, column) pixels of the spec's dtype, which the caller does not change, and the (row, column)
            mask, True where pixels are valid; None if ``spec.has_mask`` is False.

        Raises:
            Exception: Any error of the source; the caller names the window.
        """
        ...

    def close(self) -> None:
        """Release open files and memory. Called once, when no `read` is running."""
        ...


class SourceWrapper:
    """A source that reads through another one, with its name, spec and traits unless they are replaced.

    Attributes:
        source: The wrapped source, closed by this one alone.
        name: As in `Source`.
        spec: As in `Source`.
        traits: As in `Source`.
    """

    def __init__(self, source: Source, spec: SourceSpec | None = None, traits: SourceTraits | None = None) -> None:
        """Wrap a source.

        Args:
            source: Source to read from.
            spec: Spec of what is read here; that of ``source`` by default.
            traits: Traits of reading here; those of ``source`` by default.
        """
        self.source = source
        self.name = source.name
        self.spec = source.spec if spec is None else spec
        self.traits = source.traits if traits is None else traits

    def read(self, region: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read a window.

        Raises:
            Exception: Any error of the source.
        """
        return self.source.read(region, bands)

    def close(self) -> None:
        """Close the source."""
        self.source.close()


class RefCountedSource(SourceWrapper):
    """A source whose `close` may be called while threads read: the last read to end closes the wrapped source.

    An interrupted save therefore does not wait for a slow read. It does wait for reads of a borrowed dataset: closing
    that during a read would crash the process.
    """

    def __init__(self, source: Source) -> None:
        """Wrap a source that nothing else closes."""
        super().__init__(source)
        self._changed = threading.Condition()
        self._reading = 0
        self._is_closed = False

    def read(self, region: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read a window.

        Raises:
            ReadError: It is closed.
        """
        with self._changed:
            if self._is_closed:
                raise ReadError("it is closed")
            self._reading += 1
        try:
            return self.source.read(region, bands)
        finally:
            with self._changed:
                self._reading -= 1
                is_last = self._is_closed and not self._reading
                self._changed.notify_all()
            if is_last:
                self.source.close()

    def close(self) -> None:
        """Close the source, now or when the last read has ended."""
        with self._changed:
            is_first, self._is_closed = not self._is_closed, True
            is_unused = not self._reading
            if self.traits.is_borrowed:
                self._changed.wait_for(lambda: not self._reading)
        if is_first and is_unused:
            self.source.close()
