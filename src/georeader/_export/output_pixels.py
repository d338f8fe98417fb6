"""Source pixels converted to the file's dtype and mask, window by window."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.dtypes import convert_pixels, replace_nan
from georeader._core.reporting import warn_at_caller
from georeader._core.windows import Mask, PixelWindow
from georeader._export.plan.spec import ExportSpec
from georeader._export.sources.protocol import Source
from georeader.errors import DestinationError, FillValueWarning, GeoreaderError, ReadError, WriteError


@dataclass(frozen=True)
class OutputPixels:
    """A source's pixels, converted to the file's dtype and mask. Only requested windows are read."""

    source: Source  #: The source, whose bands may include an alpha band that becomes the mask
    spec: ExportSpec
    #: Bands, counted from 1, in which NaN was read beside a numeric nodata.
    nan_bands: set[int] = field(default_factory=set, compare=False)

    def read(self, window: PixelWindow, bands: range | None = None) -> tuple[NDArray[Any], Mask]:
        """Return the pixels of a window, (band, row, column), and its mask, (row, column) or None."""
        bands = range(self.spec.count) if bands is None else bands
        is_loaded = self.source.traits.is_in_memory
        if is_loaded:  # as a whole, so that errors do not belong to a window
            pixels, mask = self._read(window, bands)
        try:
            if not is_loaded:
                pixels, mask = self._read(window, bands)
            return convert_pixels(pixels, self.spec.dtype), mask
        except (DestinationError, WriteError):
            raise  # of a spool, whose message names its folder
        except Exception as error:
            # A lazy source may raise any error; it is kept as the cause.
            reason = str(error) or type(error).__name__
            place = (
                f"{self.source.name}: rows {window.row_start} to {window.row_stop}, columns {window.column_start} to "
                f"{window.column_stop}, bands {bands.start + 1} to {bands.stop}"
            )
            if isinstance(error, GeoreaderError):
                raise type(error)(f"{place}: {reason}") from error
            raise ReadError(f"{place}: cannot be read: {reason}") from error

    def warn_of_nan(self) -> None:
        """Warn of NaN pixels that were read and stay beside a numeric nodata."""
        if not self.nan_bands:
            return
        bands = ", ".join(map(str, sorted(self.nan_bands)))
        warn_at_caller(
            f"{self.source.name}: NaN pixels in band{'s' * (len(self.nan_bands) > 1)} {bands} beside "
            f"nodata={self.spec.missing_value}: GDAL counts them as valid. Pass nodata=numpy.nan, or "
            "profile_arg={'NAN_TO_NODATA': 'YES'} to write nodata in their place",
            FillValueWarning,
        )

    def _read_source(self, window: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read pixels of the source; replace or record NaN beside a numeric nodata."""
        pixels, mask = self.source.read(window, bands)
        nodata = self.spec.missing_value
        if nodata is None or nodata != nodata or pixels.dtype.kind not in "fc":
            return pixels, mask
        if self.spec.encoding.nan_to_nodata:
            return replace_nan(pixels, nodata), mask
        for band, plane in zip(bands, pixels, strict=True):
            if band + 1 not in self.nan_bands and np.isnan(plane if mask is None else plane[mask]).any():
                self.nan_bands.add(band + 1)
        return pixels, mask

    def _read(self, window: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read pixels of the source, and the mask of the file."""
        spec = self.spec
        if spec.mask is None:
            return self._read_source(window, bands)[0], None
        if spec.mask == "dataset":
            pixels, mask = self._read_source(window, bands)
        else:
            # The mask depends on all bands, or on one that is not in the file.
            everything, mask = self._read_source(window, range(spec.count + (spec.mask == "alpha")))
            pixels = everything[bands.start : bands.stop]
        valid = np.ones(window.shape, bool) if mask is None else mask
        if spec.mask == "alpha":
            valid = valid & (everything[spec.count] != 0)
        elif spec.mask == "nodata":
            valid = valid & (everything != spec.nodata_as_mask).any(axis=0)
        return pixels, valid
