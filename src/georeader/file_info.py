"""Opening a raster file, and what it then says about itself, in one frozen value."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError

from georeader.errors import MetadataWarning, ReadError
from georeader.export.dtypes import WIDE_DTYPES
from georeader.wide_nodata import read_wide_nodata
from georeader.window_utils import regrid

#: GDAL options for reading over HTTP: do not list the folder, merge neighbouring ranges.
RIO_ENV_OPTIONS_DEFAULT = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIPLEX": "YES",
}

#: A URL, or a path of GDAL's virtual filesystems, that leads over the network.
_REMOTE = re.compile(r"(^|\+)(?!(file|zip|tar|gzip)\b)[a-z0-9]+://|/vsi(curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)\b")


def default_options(path: str) -> dict[str, str]:
    """Give the GDAL options for reading ``path``: none where it is on this machine."""
    return dict(RIO_ENV_OPTIONS_DEFAULT) if _REMOTE.search(path) else {}


@contextmanager
def open_dataset(path: str, options: Mapping[str, Any], overview_level: int | None = None) -> Iterator[Any]:
    """Open a file in rasterio; whatever goes wrong inside is a ReadError that names the file.

    Args:
        path: As rasterio takes it.
        options: GDAL configuration options while it is open.
        overview_level: Open this overview of it.

    Raises:
        ReadError: Opening failed, or reading while it was open.
    """
    level = {} if overview_level is None else {"overview_level": overview_level}
    try:
        with rasterio.Env(**options), rasterio.open(path, **level) as dataset:
            yield dataset
    except RasterioError as error:
        # What GDAL said is in the cause: "Read failed. See previous exception for details."
        reason = str(error.__cause__ if error.__cause__ and "previous exception" in str(error) else error)
        raise ReadError(reason if path in reason else f"{path}: {reason}") from error


@dataclass(frozen=True)
class FileInfo:
    """Metadata of a raster file; sequences have one entry per band of the file.

    Attributes:
        height_px: Rows.
        width_px: Columns.
        count: Bands.
        dtypes: numpy dtype of each band.
        crs: CRS, or None.
        transform: Pixel (column, row) to CRS (x, y).
        nodatavals: nodata of each band, None where there is none or none that its dtype can hold: an int
            for integer bands, else a float.
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
    dtypes: tuple[np.dtype[Any], ...]
    crs: CRS | None
    transform: Affine
    nodatavals: tuple[int | float | None, ...]
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
        if self.colormap is not None and list(indexes) == [1]:
            attrs["colormap"] = dict(self.colormap)
        if self.tags:
            attrs["tags"] = dict(self.tags)
        return attrs


def read_file_info(dataset: Any) -> FileInfo:
    """Read what an open rasterio dataset says about itself.

    Names that are not UTF-8 are left out with a `MetadataWarning`.
    """
    # rasterio reads complex integers, which numpy does not have, as complex64.
    dtypes = tuple(np.dtype("complex64" if name == "complex_int16" else name) for name in dataset.dtypes)
    nothing = (None,) * dataset.count
    info = FileInfo(
        height_px=dataset.height,
        width_px=dataset.width,
        count=dataset.count,
        dtypes=dtypes,
        crs=dataset.crs,
        transform=dataset.transform,
        nodatavals=_nodatavals_of(dataset, dtypes),
        descriptions=tuple(name or None for name in _read_text(dataset, "descriptions", nothing)),
        scales=tuple(dataset.scales),
        offsets=tuple(dataset.offsets),
        units=tuple(unit or None for unit in _read_text(dataset, "units", nothing)),
        colorinterp=tuple(interp.name for interp in dataset.colorinterp),
        colormap=_colormap_of(dataset),
        tags=dict(_read_text(dataset, "tags", {})),
    )
    _warn_of_what_is_not_read(dataset)  # last: it looks at masks, which a file that is cut short may not have
    return info


def _warn_of_what_is_not_read(dataset: Any) -> None:
    """Name what a file says of its pixels and georeader does not take up yet: a save would lose it."""
    try:
        masks = {flag for flags in dataset.mask_flag_enums for flag in flags}
    except CPLE_BaseError:
        return  # the file is cut short: reading its pixels will tell
    if MaskFlags.per_dataset in masks and MaskFlags.alpha not in masks:
        warnings.warn(
            f"{dataset.name}: its mask is not read, so masked pixels come as data; rasterio's dataset_mask() gives it",
            MetadataWarning,
            stacklevel=4,
        )
    if dataset.gcps[0]:
        warnings.warn(
            f"{dataset.name}: its ground control points are not read; warp it to a grid first (rasterio's WarpedVRT)",
            MetadataWarning,
            stacklevel=4,
        )


def at_overview(info: FileInfo, overview: Any) -> FileInfo:
    """Give the metadata of a file's overview: GDAL itself tells only part of them there.

    Args:
        info: Metadata of the whole file.
        overview: The overview, open in rasterio.
    """
    columns, rows = info.width_px / overview.width, info.height_px / overview.height
    # Written out, since rasterio gives unset memory for overviews of rasters without a place.
    transform = regrid(info.transform, 0, 0, columns, rows)
    return replace(info, height_px=overview.height, width_px=overview.width, transform=transform)


def _read_text(dataset: Any, name: str, default: Any) -> Any:
    try:
        value = getattr(dataset, name)
        return value() if callable(value) else value
    except UnicodeDecodeError as error:
        warnings.warn(
            f"{dataset.name}: {name} are left out, since they are not UTF-8 ({error})", MetadataWarning, stacklevel=2
        )
        return default


def _nodatavals_of(dataset: Any, dtypes: Sequence[np.dtype[Any]]) -> tuple[int | float | None, ...]:
    wide = read_wide_nodata(dataset) if any(dtype.name in WIDE_DTYPES for dtype in dtypes) else None
    return tuple(
        wide if dtype.name in WIDE_DTYPES and nodata == _as_double(wide, dtype) else _held_by(nodata, dtype)
        for nodata, dtype in zip(dataset.nodatavals, dtypes, strict=True)
    )


def _as_double(nodata: int | None, dtype: np.dtype[Any]) -> float | None:
    """Give what rasterio makes of a 64-bit nodata: None where the double lies beyond the dtype's range."""
    if nodata is None:
        return None
    limits = np.iinfo(dtype)
    return float(nodata) if limits.min <= float(nodata) <= limits.max else None


def _held_by(nodata: float | None, dtype: np.dtype[Any]) -> int | float | None:
    """Give nodata as a number of the dtype; None where no pixel can have that value."""
    if nodata is None or dtype.kind not in "iu":
        return nodata
    return int(nodata) if float(nodata).is_integer() else None


def _colormap_of(dataset: Any) -> dict[int, tuple[int, int, int, int]] | None:
    if dataset.count != 1 or dataset.colorinterp[0] is not ColorInterp.palette:
        return None
    return {int(value): tuple(colour) for value, colour in dataset.colormap(1).items()}
