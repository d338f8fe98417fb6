"""The pixels of a file, cut by region: the source's, in the file's dtype, with the validity mask that the file gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader.export.dtypes import convert_pixels
from georeader.export.pyramid import Mask, Region
from georeader.export.spec import ExportSpec


@dataclass(frozen=True)
class FilePixels:
    """Pixels in memory, as a file takes them. Nothing is copied but what is asked for.

    Attributes:
        pixels: (band, row, column), as the source has them; an alpha band that becomes the mask included.
        mask: (row, column), True where pixels are valid, or None.
        spec: The file that is wanted.
    """

    pixels: NDArray[Any]
    mask: Mask
    spec: ExportSpec

    def read(self, region: Region, bands: slice = slice(None)) -> tuple[NDArray[Any], Mask]:
        """Give the pixels of a region, (band, row, column), and its mask, (row, column) or None.

        Args:
            region: At full resolution.
            bands: Of the file; all by default.

        Raises:
            DtypeError: A pixel does not fit the file's dtype.
        """
        rows, columns = slice(region.row_start, region.row_stop), slice(region.column_start, region.column_stop)
        window = self.pixels[: self.spec.count, rows, columns][bands]
        return convert_pixels(window, self.spec.dtype), self.read_mask(region)

    def read_mask(self, region: Region) -> Mask:
        """Give the mask of a region, (row, column); None where the file has none."""
        rows, columns = slice(region.row_start, region.row_stop), slice(region.column_start, region.column_stop)
        spec = self.spec
        if spec.mask is None:
            return None
        valid = np.ones(region.shape, bool) if self.mask is None else self.mask[rows, columns]
        if spec.mask == "alpha":
            valid = valid & (self.pixels[spec.count, rows, columns] != 0)
        elif spec.mask == "nodata":
            valid = valid & (self.pixels[: spec.count, rows, columns] != spec.nodata_as_mask).any(axis=0)
        return valid

    def whole(self) -> tuple[NDArray[Any], Mask]:
        """Give everything: all pixels of the file and its mask."""
        return self.read(Region(0, self.spec.height_px, 0, self.spec.width_px))
