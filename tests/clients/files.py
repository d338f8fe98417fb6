"""A written file of one kind, with what a client should find in it: what rasterio reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioIOError

from clients.kinds import PATCH_PX, SHAPE, Kind
from clients.verdicts import Pixels
from georeader._export.receipt.receipt import Receipt


@dataclass(frozen=True, eq=False)
class File:
    """A file on disk that a range server on the loopback interface serves, too.

    Attributes:
        kind: What it is.
        path: Where it lies.
        url: Where it is served.
        receipt: That of save_cog, also for the control, whose place alone differs.
    """

    kind: Kind
    path: Path
    url: str
    receipt: Receipt

    @cached_property
    def pixels(self) -> Pixels:
        """(band, row, column) as rasterio reads them; where its GDAL lacks the codec, as they were saved."""
        return self._levels[0]

    @cached_property
    def overviews(self) -> list[Pixels]:
        """The overviews as rasterio reads them, the largest first; none where its GDAL lacks the codec."""
        return self._levels[1:]

    @cached_property
    def seen(self) -> Pixels:
        """(row, column): True where pixels are not missing."""
        return self.kind.seen

    @property
    def tolerance(self) -> float:
        """Return by how much pixels may differ: decoders of lossy codecs round differently."""
        return 8 if self.kind.is_lossy else 0

    @cached_property
    def compared(self) -> Pixels:
        """(row, column): True for pixels to compare: see `compared_in`."""
        return self.compared_in(SHAPE)

    def compared_in(self, shape: tuple[int, ...]) -> Pixels:
        """Return which pixels of a level are compared: the seen ones, of lossy codecs in the middle of patches."""
        rows, columns = (
            index * full // size for index, full, size in zip(np.indices(shape), SHAPE, shape, strict=True)
        )
        if not self.kind.is_lossy:
            return self.seen[rows, columns]
        middle = [np.abs(index % PATCH_PX - PATCH_PX / 2) < PATCH_PX / 4 for index in (rows, columns)]
        return self.seen[rows, columns] & middle[0] & middle[1]

    @cached_property
    def _levels(self) -> list[Pixels]:
        try:
            with rasterio.open(self.path) as dataset:
                found, levels = [dataset.read()], len(dataset.overviews(1))
        except RasterioIOError:
            return [self.kind.pixels]
        for level in range(levels):
            with rasterio.open(self.path, overview_level=level) as dataset:
                found.append(dataset.read())
        return found

    def as_colours(self) -> Pixels:
        """Return the picture that a viewer should draw: (row, column, RGBA) of 8 bits."""
        kind, bands = self.kind, self.pixels.real.astype(float)
        bands = bands[:-1] if kind.holes == "alpha" else bands
        low, high = kind.value_range
        bands = np.clip((bands - low) / (high - low) * 255, 0, 255)
        if kind.colours == "palette":
            index = self.pixels[0].astype(int)
            bands = np.stack([index, 255 - index, index // 2]).astype(float)
        if kind.colours == "white":
            bands = 255 - bands
        if len(bands) < 3:
            bands = bands[[0, 0, 0]]
        alpha = np.where(self.seen, 255.0, 0.0)[np.newaxis]
        return np.moveaxis(np.nan_to_num(np.concatenate([bands[:3], alpha])), 0, -1)

    def as_physical(self) -> Pixels:
        """Return values with scale and offset applied, and NaN where pixels are missing."""
        scale, offset = self.kind.scale or (1, 0)
        return np.where(self.seen, self.pixels * float(scale) + offset, np.nan)
