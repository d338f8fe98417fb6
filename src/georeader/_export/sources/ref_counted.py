"""A source that is let go only when nobody reads it any more."""

from __future__ import annotations

import threading
from typing import Any

from numpy.typing import NDArray

from georeader._core.windows import PixelWindow
from georeader._export.sources.protocol import Source, SourceWrapper
from georeader._resample.pyramid import Mask
from georeader.errors import ReadError


class RefCountedSource(SourceWrapper):
    """A source whose `close` may be called while a thread still reads: the last one to finish lets go of it.

    Who interrupts a save does not wait for a read that takes long; but for one that goes through the caller's own
    dataset, since to close that meanwhile would end the process.
    """

    def __init__(self, source: Source) -> None:
        """Guard a source.

        Args:
            source: Nobody else closes it.
        """
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
        """Let go of the source, now or when the last read is done."""
        with self._changed:
            is_first, self._is_closed = not self._is_closed, True
            is_unused = not self._reading
            if self.source.is_borrowed:
                self._changed.wait_for(lambda: not self._reading)
        if is_first and is_unused:
            self.source.close()
