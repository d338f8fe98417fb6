"""Specs of sources and files: the caller's input, normalised once into frozen values."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning

from georeader._core.dtypes import check_nodata, storage_dtype
from georeader._core.reporting import warn_at_caller
from georeader._core.windows import PixelWindow
from georeader._export.plan import grid
from georeader._export.plan.encoding import Encoding, resolve_encoding, with_bits
from georeader._export.plan.metadata import Metadata, resolve_metadata
from georeader._export.plan.nodata import check_nan_to_nodata, resolve_nodata, with_mask
from georeader._export.plan.options import Profile, is_of_dataset
from georeader._export.plan.request import SaveRequest
from georeader._resample.recorded import usable_resamplings
from georeader.abstract_reader import same_nodata
from georeader.errors import (
    GeoreferenceError,
    LayoutWarning,
    MetadataWarning,
    OptionError,
)
from georeader.window_utils import (
    check_epsg_code,
    compare_crs,
    counts_pixels,
    normalise_transform,
    rows_run_north,
    same_transform,
)

_LOG = logging.getLogger("georeader")

#: Largest side that the smallest overview may have, in pixels: where validators begin to miss overviews.
LARGEST_SMALLEST_OVERVIEW_PX = 512


@dataclass(frozen=True)
class SourceSpec:
    """The description of a source, known before any pixel is read.

    Attributes:
        count: Bands.
        height_px: Rows.
        width_px: Columns.
        dtype: numpy dtype of the pixels as read.
        crs: CRS, or None.
        transform: Pixel (column, row) to CRS (x, y).
        fill_value: The source's value for "no data", or None.
        fill_value_is_explicit: False while ``fill_value`` is 0 only because none was given.
        metadata: Of the source and its bands.
        has_mask: A validity mask goes with its pixels.
        overview_resamplings: Method of each band's overviews that the source records, or empty.
    """

    count: int
    height_px: int
    width_px: int
    dtype: np.dtype[Any]
    crs: CRS | None
    transform: Affine
    fill_value: Any
    fill_value_is_explicit: bool
    metadata: Metadata
    has_mask: bool = False
    overview_resamplings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExportSpec:
    """The description of a file to be written, known before any pixel is read.

    Attributes:
        kind: "cog", or "tiled" for a tiled GeoTIFF without overviews.
        count: Bands.
        height_px: Rows.
        width_px: Columns.
        dtype: Of the file.
        crs: CRS, or None.
        transform: Pixel (column, row) to CRS (x, y).
        nodata: Number that ``dtype`` holds, or None.
        metadata: Descriptions, scales, tags and the like.
        encoding: Codec, tiles and the like.
        resamplings: Of the overviews, one of `METHODS` per band.
        is_classes: The values are classes, which must not be averaged.
        mask: Origin of the file's validity mask: the "dataset" (the source has one), its "alpha" band (which is then
            not a band of the file), its "nodata" (which a lossy codec would blur); None: the file has no mask.
        nodata_as_mask: The value that the mask stands for, where ``mask`` is "nodata".
    """

    kind: str
    count: int
    height_px: int
    width_px: int
    dtype: np.dtype[Any]
    crs: CRS | None
    transform: Affine
    nodata: int | float | None
    metadata: Metadata
    encoding: Encoding
    resamplings: tuple[str, ...]
    is_classes: bool
    mask: str | None = None
    nodata_as_mask: int | float | None = None

    @property
    def has_cog_layout(self) -> bool:
        """Whether the file has GDAL's layout of a COG: a ghost area, and a leader and a trailer around each tile.

        GDAL opens such a file for update only with the open option that breaks the layout.
        """
        return self.kind == "cog"

    @property
    def overview_factors(self) -> tuple[int, ...]:
        """Decimation factors of the overviews that the file will have."""
        encoding = self.encoding
        if self.kind != "cog" or encoding.overviews == "NONE":
            return ()
        if encoding.overview_count is not None:
            return tuple(2 ** (level + 1) for level in range(encoding.overview_count))
        # Viewers show about a screen of pixels, so larger tiles do not make the pyramid shallower.
        height_px = min(encoding.tile_height_px, LARGEST_SMALLEST_OVERVIEW_PX)
        width_px = min(encoding.tile_width_px, LARGEST_SMALLEST_OVERVIEW_PX)
        return grid.overview_factors(self.height_px, self.width_px, height_px, width_px)

    @property
    def planes(self) -> int:
        """Planes of tiles: 1 where a tile holds all bands, the number of bands where it holds one."""
        return self.count if self.encoding.interleave == "BAND" else 1

    @cached_property
    def levels(self) -> tuple[grid.Level, ...]:
        """Levels from the full resolution to the smallest overview, without their masks."""
        tile_shape = (self.encoding.tile_height_px, self.encoding.tile_width_px)
        return grid.pyramid_levels((self.height_px, self.width_px), tile_shape, self.planes, self.overview_factors)

    @property
    def pixel_bytes(self) -> int:
        """Size of one pixel, all bands."""
        return self.count * self.dtype.itemsize

    @property
    def tile_bytes(self) -> int:
        """Size of a tile before it is encoded."""
        return self.encoding.tile_height_px * self.encoding.tile_width_px * self.pixel_bytes // self.planes

    @property
    def reads_twice(self) -> bool:
        """Whether overviews or statistics, which precede the full resolution in the file, are made of its pixels."""
        return bool(self.overview_factors) or self.statistics

    def tile_window(self, row: int, column: int) -> PixelWindow:
        """Return the pixels that a tile of the full resolution covers.

        Args:
            row: Of the tile, in tiles.
            column: Of the tile, in tiles.
        """
        level = self.levels[0]
        top, left = row * level.tile_height_px, column * level.tile_width_px
        bottom, right = (
            min(top + level.tile_height_px, level.height_px),
            min(left + level.tile_width_px, level.width_px),
        )
        return PixelWindow(top, bottom, left, right)

    @property
    def missing_value(self) -> int | float | None:
        """Value of missing pixels before they are encoded, whether the file has it as nodata or as a mask."""
        return self.nodata if self.nodata_as_mask is None else self.nodata_as_mask

    @property
    def numeric_nodata(self) -> int | float | None:
        """``missing_value`` where it is a number; None if it is NaN, or there is none."""
        value = self.missing_value
        return value if value is not None and value == value else None

    @property
    def resampling(self) -> str:
        """The method of all bands, or those of each, joined by commas."""
        return ",".join(dict.fromkeys(self.resamplings) if len(set(self.resamplings)) == 1 else self.resamplings)

    @property
    def photometric(self) -> str:
        """The colour model that the file declares: "MINISBLACK", "MINISWHITE", "RGB", "YCBCR" or "PALETTE"."""
        declared = self.metadata.photometric or "MINISBLACK"
        return "YCBCR" if self.encoding.codec == "JPEG" and self.turns_colours else declared

    @property
    def turns_colours(self) -> bool:
        """Whether JPEG stores the bands as YCbCr, in half the bytes: a picture, unless RGB is requested."""
        return self.metadata.photometric == "RGB" and self.encoding.photometric != "RGB"

    @property
    def alpha_band(self) -> int | None:
        """Position of the alpha band, or None."""
        names = self.metadata.colorinterp
        return names.index("alpha") if "alpha" in names else None

    @property
    def statistics(self) -> bool:
        """Whether exact statistics of the full resolution are written to the file."""
        return self.encoding.options.get("STATISTICS") == "YES" and not self.encoding.warps


def default_resampling(is_classes: bool) -> str:
    """Return the default method of overviews: nearest for classes, else average."""
    return "NEAREST" if is_classes else "AVERAGE"


def resolve_spec(source: SourceSpec, request: SaveRequest) -> ExportSpec:
    """Build an `ExportSpec` from a source and the caller's request.

    Raises:
        GeoreaderError: One of its kinds, for a request that does not fit the source.
    """
    options = request.options
    if options.ignored:
        keys = ", ".join(f"{key}={value!r}" for key, value in options.ignored)
        _LOG.info("profile_arg: %s ignored, which describe the file of the dataset that it was taken from", keys)
    _check_raster_keys(options, source)
    dtype = _stored(options.raster.get("DTYPE", request.defaults.raster.get("DTYPE", source.dtype)))
    nodata = resolve_nodata(request, source, dtype)
    encoding = resolve_encoding(request.defaults, options, dtype=dtype, count=source.count)
    encoding = _with_source_bits(encoding, source.metadata, dtype, nodata)
    metadata = resolve_metadata(
        source.metadata,
        count=source.count,
        dtype=dtype,
        descriptions=request.descriptions,
        tags=request.tags,
        photometric=encoding.photometric,
        packs_bits=encoding.bits is not None,
    )
    _check_size(encoding, source)
    has_colours = source.metadata.colormap is not None or "palette" in source.metadata.colorinterp
    is_classes = source.dtype.kind == "b" or has_colours
    check_nan_to_nodata(encoding, nodata)
    _warn_of_place(source)
    _warn_of_transparency(metadata, (nodata, source.fill_value))
    spec = ExportSpec(
        kind=request.kind,
        count=source.count,
        height_px=source.height_px,
        width_px=source.width_px,
        dtype=dtype,
        crs=source.crs,
        transform=source.transform,
        nodata=nodata,
        metadata=metadata,
        encoding=encoding,
        resamplings=_resamplings(encoding, is_classes, source, dtype),
        is_classes=is_classes,
        mask="dataset" if source.has_mask else None,
    )
    return with_mask(spec)


def _with_source_bits(
    encoding: Encoding, metadata: Metadata, dtype: np.dtype[Any], nodata: int | float | None
) -> Encoding:
    """Return the encoding with the bits of a MINISWHITE source, in which black is the largest value of so many bits."""
    if metadata.nbits is None or (encoding.photometric or metadata.photometric) != "MINISWHITE":
        return encoding
    kept = with_bits(encoding, metadata.nbits, dtype=dtype, nodata=nodata)
    if kept.bits is None and metadata.colormap is None:
        warn_at_caller(
            f"the {metadata.nbits} bits of the MINISWHITE source are stored as {8 * dtype.itemsize}, in which they are "
            "shown almost white; lzw, deflate, zstd, lzma and none keep them in the source's dtype, with no predictor",
            MetadataWarning,
        )
    return kept


def _resamplings(encoding: Encoding, is_classes: bool, source: SourceSpec, dtype: np.dtype[Any]) -> tuple[str, ...]:
    """Return the methods of the overviews: the requested ones, else those that the source records, else the default."""
    if isinstance(encoding.resampling, tuple):
        return encoding.resampling
    if encoding.resampling is not None:
        return (encoding.resampling,) * source.count
    recorded = source.overview_resamplings
    usable = usable_resamplings(recorded, dtype, is_classes=is_classes, is_warped=encoding.warps)
    return usable or (default_resampling(is_classes),) * source.count


def _check_size(encoding: Encoding, source: SourceSpec) -> None:
    """Check that the pyramid is not deeper than the raster, and that a raster to be warped has a CRS."""
    deepest = (max(source.height_px, source.width_px) - 1).bit_length()
    if encoding.overview_count is not None and encoding.overview_count > deepest:
        raise OptionError(
            f"profile_arg['OVERVIEW_COUNT']={encoding.overview_count}: a raster of {source.height_px} x "
            f"{source.width_px} pixels is a single pixel after {deepest} halvings; allowed: 0 to {deepest}"
        )
    if encoding.warps and source.crs is None:
        raise GeoreferenceError(
            "profile_arg asks GDAL to warp the raster (TILING_SCHEME or TARGET_SRS), but the data has no CRS"
        )


def _warn_of_place(source: SourceSpec) -> None:
    """Warn of georeferencing that is valid, but probably a mistake, such as a missing CRS."""
    shape = (source.count, source.height_px, source.width_px)
    if source.width_px <= 16 and min(source.count, source.height_px) >= 2 * source.width_px + 16:
        warn_at_caller(
            f"the shape {shape} is (band, row, column): {source.count} bands of {source.height_px} x {source.width_px} "
            "pixels. If the last axis is that of bands, pass numpy.moveaxis(array, -1, 0)",
            LayoutWarning,
        )
    metadata = source.metadata
    if source.crs is None and metadata.gcps is None and metadata.rpcs is None:
        warn_at_caller(
            "the raster has no CRS, so that maps cannot place the file; set it on the data, as in "
            "GeoTensor(values, transform, crs)",
            NotGeoreferencedWarning,
        )
    lost = check_epsg_code(source.crs)
    if lost is not None:
        warn_at_caller(f"the file gets the CRS without an EPSG code, if it has one: {lost}", MetadataWarning)
    if rows_run_north(source.transform) and not counts_pixels(source.crs, source.transform):
        warn_at_caller(
            f"rows run from south to north (transform {tuple(source.transform[:6])}): many viewers show such a file "
            "upside down or misplaced. Flip it first, as in gt.isel({'y': slice(None, None, -1)})",
            LayoutWarning,
        )


def _warn_of_transparency(metadata: Metadata, missing: tuple[Any, ...]) -> None:
    """Warn of lost transparency: TIFF's colour tables are opaque (TIFF 6.0, section 5), save for GDAL's nodata."""
    table = metadata.colormap or ()
    lost = [value for value, (*_, alpha) in table if alpha != 255 and value not in missing]
    if lost:
        warn_at_caller(
            f"the transparency of {len(lost)} colour table entries, such as that of {lost[0]}, has no place in a TIFF: "
            "they come back opaque",
            MetadataWarning,
        )


def _stored(dtype: Any) -> np.dtype[Any]:
    """Return the dtype in the file; rasterio's profiles call complex integers so, and it reads them as complex64."""
    return storage_dtype("complex64" if dtype == "complex_int16" else dtype)


def _check_raster_keys(options: Profile, source: SourceSpec) -> None:
    """Check that a profile does not describe another raster than the data."""
    given = options.raster
    sizes = {"COUNT": source.count, "HEIGHT": source.height_px, "WIDTH": source.width_px}
    for key, size in sizes.items():
        if key in given and str(given[key]).strip() != str(size) and not np.array_equal(given[key], size):
            raise OptionError(
                f"profile_arg[{options.spelling[key]!r}]={given[key]!r}, but the data has {size}; drop the key"
            )
    if "DRIVER" in given and str(given["DRIVER"]).upper() not in ("COG", "GTIFF"):
        raise OptionError(f"profile_arg['driver']={given['DRIVER']!r}; allowed: COG, GTiff (the result is the same)")
    _check_place(given, source)
    if is_of_dataset(given):
        _check_numbers(options, source)


def _check_numbers(options: Profile, source: SourceSpec) -> None:
    """Check that dtype and nodata of a dataset are those of the data.

    In any other profile they are options: to cast the data, and to set its nodata.
    """
    given, dtype = options.raster, storage_dtype(source.dtype)
    if "DTYPE" in given and _stored(given["DTYPE"]) != dtype:
        raise OptionError(
            f"profile_arg[{options.spelling['DTYPE']!r}]={given['DTYPE']!r}, but the data is {source.dtype}; cast the "
            "data, or drop the key"
        )
    own = source.fill_value if source.fill_value_is_explicit and source.dtype.kind != "b" else None
    if "NODATA" not in given or own is None:
        return
    stated = check_nodata(given["NODATA"], dtype, "profile_arg['nodata']")
    of_data = check_nodata(own, dtype, "data_save.fill_value_default")
    if not same_nodata(stated, of_data):
        raise OptionError(
            f"profile_arg[{options.spelling['NODATA']!r}]={given['NODATA']!r}, but the data's nodata is {own!r}; drop "
            "the key, or pass nodata= without it"
        )


def _check_place(given: Mapping[str, Any], source: SourceSpec) -> None:
    try:
        same_crs = "CRS" not in given or compare_crs(given["CRS"], source.crs)
        transform = normalise_transform(given.get("TRANSFORM", source.transform))
    except GeoreferenceError as error:
        raise OptionError(f"profile_arg: {error}; or drop the key, since the data has its own") from error
    if not same_crs:
        raise OptionError(
            f"profile_arg['crs']={given['CRS']!r} is not the data's CRS ({source.crs}); set it on the data, "
            "or drop the key"
        )
    if not same_transform(transform, source.transform):
        raise OptionError(
            f"profile_arg['transform']={given['TRANSFORM']!r} is not the data's {tuple(source.transform[:6])}; "
            "set it on the data, or drop the key"
        )
