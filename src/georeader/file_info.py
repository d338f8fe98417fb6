"""What an open raster file says about itself, in one frozen value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from georeader.wide_nodata import WIDE_DTYPES, read_wide_nodata


@dataclass(frozen=True)
class FileInfo:
    """Metadata of a raster file; sequences have one entry per band of the file.

    Attributes:
        height_px: Rows.
        width_px: Columns.
        count: Bands.
        dtype: numpy dtype of the first band.
        crs: CRS, or None.
        transform: Pixel (column, row) to CRS (x, y).
        nodata: The first band's, or None.
        descriptions: Band names, None where there is none.
        scales: Physical value = stored value * scale + offset.
        offsets: See ``scales``.
        units: Unit names, None where there is none.
        colorinterp: GDAL's names of the colour interpretations.
        colormap: Colour table of a one-band file, or None.
        tags: File-level metadata.
    """

    height_px: int
    width_px: int
    count: int
    dtype: np.dtype[Any]
    crs: CRS | None
    transform: Affine
    nodata: int | float | None
    descriptions: tuple[str | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    units: tuple[str | None, ...]
    colorinterp: tuple[str, ...]
    colormap: dict[int, tuple[int, int, int, int]] | None
    tags: dict[str, str]

    def attrs(self, indexes: Sequence[int]) -> dict[str, Any]:
        """Give the metadata of some bands under the keys of `georeader.band_attrs`, empty ones left out.

        Args:
            indexes: Bands, counted from 1.
        """
        per_band = {
            "descriptions": (self.descriptions, None),
            "scales": (self.scales, 1.0),
            "offsets": (self.offsets, 0.0),
            "units": (self.units, None),
            "colorinterp": (self.colorinterp, "undefined"),
        }
        attrs: dict[str, Any] = {}
        for key, (values, unsaid) in per_band.items():
            chosen = [values[index - 1] for index in indexes]
            if any(value != unsaid for value in chosen):
                attrs[key] = chosen
        if self.colormap is not None:
            attrs["colormap"] = dict(self.colormap)
        if self.tags:
            attrs["tags"] = dict(self.tags)
        return attrs


def read_file_info(dataset: Any) -> FileInfo:
    """Read what an open rasterio dataset says about itself."""
    dtype = np.dtype(dataset.dtypes[0])
    return FileInfo(
        height_px=dataset.height,
        width_px=dataset.width,
        count=dataset.count,
        dtype=dtype,
        crs=dataset.crs,
        transform=dataset.transform,
        nodata=_nodata_of(dataset, dtype),
        descriptions=tuple(name or None for name in dataset.descriptions),
        scales=tuple(dataset.scales),
        offsets=tuple(dataset.offsets),
        units=tuple(unit or None for unit in dataset.units),
        colorinterp=tuple(interp.name for interp in dataset.colorinterp),
        colormap=_colormap_of(dataset),
        tags=dict(dataset.tags()),
    )


def _nodata_of(dataset: Any, dtype: np.dtype[Any]) -> int | float | None:
    """Give the first band's nodata, an int for integer bands."""
    if dtype.name in WIDE_DTYPES:
        return read_wide_nodata(dataset)
    nodata: float | None = dataset.nodata
    is_whole = nodata is not None and dtype.kind in "iu" and float(nodata).is_integer()
    return int(nodata) if nodata is not None and is_whole else nodata


def _colormap_of(dataset: Any) -> dict[int, tuple[int, int, int, int]] | None:
    if dataset.count != 1 or dataset.colorinterp[0] is not ColorInterp.palette:
        return None
    return {int(value): tuple(colour) for value, colour in dataset.colormap(1).items()}
