"""Objects of the GeoData protocol that give windows of themselves."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from rasterio.windows import Window

from georeader._core.windows import PixelWindow
from georeader._export.plan.chunks import free_windows
from georeader._export.plan.order_of_work import SourceTraits
from georeader._export.plan.spec import SourceSpec
from georeader._export.sources.described import check_pixels, describe
from georeader._export.sources.in_memory import Loaded, says_it_has_a_mask, take


@dataclass
class WindowedSource:
    """An object with ``read_from_window``; its ``values`` and its own ``load`` are never touched.

    Nothing is known of how it stores its pixels, nor whether threads may read at once: one thread reads.

    Attributes:
        name: What to call it in messages.
        spec: What it is.
        data: The object.
        traits: One thread reads windows of all bands.
    """

    name: str
    spec: SourceSpec
    data: Any
    traits: SourceTraits

    def read(self, region: PixelWindow, bands: range) -> Loaded:
        """Ask for a window, and load it.

        Raises:
            GeoreaderError: The window is not of the shape, dtype or kind that the object said.
        """
        height_px, width_px = region.shape
        part = self.data.read_from_window(Window(region.column_start, region.row_start, width_px, height_px))
        pixels, mask = check_pixels(self.data, self.spec, *take(part), size=region.shape)
        return pixels[bands.start : bands.stop], mask

    def close(self) -> None:
        """Leave the object to who made it."""


def open_windowed(data: Any) -> WindowedSource:
    """See an object with ``read_from_window`` as a source; of one that doesn't say its dtype, a pixel is read.

    Raises:
        GeoreaderError: As `describe` does.
    """
    dtype = getattr(data, "dtype", None)
    if dtype is None:
        dtype = take(data.read_from_window(Window(0, 0, 1, 1)))[0].dtype
    spec = describe(data, dtype=dtype, has_mask=says_it_has_a_mask(data))
    # Windows come with all bands: bands that are not asked for would be read in vain.
    return WindowedSource(type(data).__name__, spec, data, SourceTraits(chunks=free_windows(spec.count)))


def gives_windows(data: Any) -> bool:
    """Tell whether an object has a method ``read_from_window``, without touching its pixels."""
    return callable(inspect.getattr_static(type(data), "read_from_window", None)) or callable(
        getattr(data, "__dict__", {}).get("read_from_window")
    )
