"""Protocol of a source, and sources that wrap another one."""

from __future__ import annotations

import threading
from typing import Any, Protocol

from georeader._core.windows import MaskedPixels, PixelWindow
from georeader._export.plan.spec import SourceSpec
from georeader._export.plan.traits import SourceTraits
from georeader.errors import ReadError


class Source(Protocol):
    """A raster to read from, as (band, row, column)."""

    @property
    def name(self) -> str: ...  #: subject of messages: the file's path, or the object's type

    @property
    def spec(self) -> SourceSpec: ...  #: known without reading pixels if the source declares its dtype

    @property
    def traits(self) -> SourceTraits: ...  #: cost of reading, and limits on concurrent reads

    def read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        """Read a window within the raster; nothing beyond it is loaded. The caller does not change the pixels.

        The mask is None if ``spec.has_mask`` is False. Any error may be raised; the caller names the window.
        """
        ...

    def close(self) -> None:
        """Release open files and memory. Called once, when no `read` is running."""
        ...


class SourceWrapper:
    """A source that reads through another one, by default with its name, spec and traits."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.name, self.spec, self.traits = source.name, source.spec, source.traits

    def read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        """Read a window."""
        return self.source.read(region, bands)

    def close(self) -> None:
        """Close the wrapped source."""
        self.source.close()


class RefCountedSource(SourceWrapper):
    """A source whose `close` may be called while threads read: the last read to end closes the wrapped source.

    An interrupted save therefore does not wait for a slow read. It does wait for reads of a borrowed dataset: closing
    that during a read would crash the process.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._changed = threading.Condition()
        self._reading = 0
        self._is_closed = False

    def __reduce__(self) -> Any:
        return _unwrapped, (self.source,)  # in another process the readers are others

    def read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        """Read a window of a source that is not closed."""
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


def _unwrapped(source: Source) -> Source:
    return source
