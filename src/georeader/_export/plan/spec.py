"""Specs of sources and files: the caller's input, normalised once into frozen values. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from georeader._core.band_attrs import alpha_band
from georeader._core.reporting import warn_at_caller
from georeader._export.plan import grid
from georeader._export.plan.encoding import Encoding
from georeader._export.plan.metadata import Metadata
from georeader.errors import GeoreferenceError, MetadataWarning
from georeader.window_utils import compare_crs, counts_pixels

if TYPE_CHECKING:
    from georeader._export.plan.reused import ReusedTiles
    from georeader._export.plan.warp_plan import WarpPlan

#: Largest side that the smallest overview may have, in pixels: where validators begin to miss overviews.
LARGEST_SMALLEST_OVERVIEW_PX = 512

#: Largest number of ground control points in a TIFF: six numbers each, of which GDAL writes at most 65535.
MOST_CONTROL_POINTS = 65535 // 6


@dataclass(frozen=True)
class RasterSpec:
    """The description of a raster, known before any pixel is read."""

    count: int
    height_px: int
    width_px: int
    dtype: np.dtype[Any]
    crs: CRS | None
    transform: Affine  #: Pixel (column, row) to CRS (x, y)
    metadata: Metadata

    @property
    def shape(self) -> tuple[int, int, int]:
        """(band, row, column)."""
        return self.count, self.height_px, self.width_px

    @property
    def pixel_bytes(self) -> int:
        """Size of one pixel, all bands."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True)
class SourceSpec(RasterSpec):
    """The description of a source."""

    fill_value: Any  #: The source's value for "no data", or None
    fill_value_is_explicit: bool  #: False while ``fill_value`` is 0 only because none was given
    has_mask: bool = False  #: A validity mask goes with its pixels
    overview_resamplings: tuple[str, ...] = ()  #: Method of each band's overviews that the source records, or empty
    holds_classes: bool = False  #: The source says that its values are classes

    @property
    def is_classes(self) -> bool:
        """Whether the values are classes, which must not be averaged: by the source, bool, or with a colour table."""
        has_colours = self.metadata.colormap is not None or "palette" in self.metadata.colorinterp
        return self.holds_classes or self.dtype.kind == "b" or has_colours


@dataclass(frozen=True)
class ExportSpec(RasterSpec):
    """The description of a file to be written.

    Its validity mask comes from the "dataset" (the source has one), its "alpha" band (which is then not a band of the
    file) or its "nodata" (which a lossy codec would blur); None: the file has no mask.
    """

    kind: str  #: "cog", or "tiled" for a tiled GeoTIFF without overviews
    nodata: int | float | None  #: Number that ``dtype`` holds, or None
    encoding: Encoding
    resamplings: tuple[str, ...]  #: Of the overviews, one of `METHODS` per band
    is_classes: bool  #: The values are classes, which must not be averaged
    mask: str | None = None
    nodata_as_mask: int | float | None = None  #: The value that the mask stands for, where ``mask`` is "nodata"
    is_mirrored: bool = False  #: Its first row is the last one of the source
    reused: ReusedTiles | None = None  #: The full resolution is taken over from the source as it is encoded
    warp: WarpPlan | None = None  #: Of the source onto the file's grid; None: it is on it, or GDAL's engine warps it

    @property
    def is_big_endian(self) -> bool:
        """Whether the file has its numbers in big-endian byte order, as the tiles that it takes over."""
        return self.reused is not None and self.reused.is_big_endian

    @property
    def has_cog_layout(self) -> bool:
        """Whether the file has GDAL's layout of a COG: a ghost area, and a leader and a trailer around each tile."""
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
        shapes = (grid.overview_shape(*self.shape[1:], factor) for factor in (1, *self.overview_factors))
        return tuple(grid.Level(number, *own, *tile_shape, self.planes) for number, own in enumerate(shapes))

    @property
    def tile_bytes(self) -> int:
        """Size of a tile before it is encoded."""
        return self.encoding.tile_height_px * self.encoding.tile_width_px * self.pixel_bytes // self.planes

    @property
    def reads_twice(self) -> bool:
        """Whether overviews or statistics, which precede the full resolution in the file, are made of its pixels."""
        return bool(self.overview_factors) or self.statistics

    @property
    def missing_value(self) -> int | float | None:
        """Value of missing pixels before they are encoded, whether the file has it as nodata or as a mask."""
        return self.nodata if self.nodata_as_mask is None else self.nodata_as_mask

    @property
    def resampling(self) -> str:
        """The method of all bands, or those of each, joined by commas."""
        return ",".join(self.resamplings[:1] if len(set(self.resamplings)) == 1 else self.resamplings)

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
        return alpha_band(self.metadata.colorinterp)

    @property
    def statistics(self) -> bool:
        """Whether exact statistics of the full resolution are written to the file."""
        is_known = self.warp is not None or not self.encoding.warps
        return self.encoding.options.get("STATISTICS") == "YES" and is_known


def choose_georeference(metadata: Metadata, crs: CRS | None, transform: Affine) -> tuple[Metadata, CRS | None, Affine]:
    """Choose between transform, ground control points and rational polynomials where a GeoTIFF cannot hold them all.

    A GeoTIFF has either a transform and its CRS, or ground control points and theirs (OGC 19-008r4, ModelTiepointTag):
    those come with no CRS and the identity. The transform comes first, as in GDAL. One that only counts pixels, as that
    of a raster without georeference or of a window of it, is dropped for the points or polynomials.
    """
    gcps = metadata.gcps
    is_unplaced = counts_pixels(crs, transform)
    if gcps is None:
        only_polynomials = metadata.rpcs is not None and crs is None and is_unplaced
        return metadata, crs, Affine.identity() if only_polynomials else transform
    if not is_unplaced or len(gcps.points) > MOST_CONTROL_POINTS:
        limit = f"at most {MOST_CONTROL_POINTS}" if is_unplaced else "them or a transform"
        warn_at_caller(
            f"the {len(gcps.points)} ground control points are left out: a GeoTIFF has {limit}", MetadataWarning
        )
        return replace(metadata, gcps=None), crs, transform
    if crs is not None and gcps.crs is not None and not compare_crs(crs, gcps.crs):
        raise GeoreferenceError(
            f"the ground control points are in {gcps.crs}, the raster in {crs} without a transform; a GeoTIFF has one "
            "CRS for both: set the raster's crs to None"
        )
    return replace(metadata, gcps=replace(gcps, crs=gcps.crs or crs)), None, Affine.identity()
