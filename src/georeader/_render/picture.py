"""Pictures of rasters: planned from a description of the raster, rendered from its pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from georeader._core.dtypes import check_nodata, convert_pixels, storage_dtype
from georeader._core.windows import PixelWindow
from georeader._render.bands import BandSelector, RasterBands, ShownBands, choose_bands
from georeader._render.colours import Colouring, colour
from georeader._render.sizes import Picture, Shape, halvings, north_up, picture_shape, resize
from georeader._resample.pyramid import Mask, ReadWindow, Reduction, reduce_block
from georeader.errors import NodataError, ShapeError
from georeader.window_utils import counts_pixels

#: Pixels that are read at a time, in bytes, unless a pixel of the picture is made of more.
READ_BYTES = 32 * 2**20

#: Methods that pick values: rasters whose overviews were made by them hold classes.
_PICKING = ("NEAREST", "MODE")


@dataclass(frozen=True)
class PictureRequest:
    """A picture as requested.

    Attributes:
        max_side_px: Its longest side.
        bands: One or three, counted from 1, or by name; None: chosen by `choose_bands`.
        percentiles: Of the stretch, which then applies to 8-bit colours too; None: the default.
    """

    max_side_px: int
    bands: BandSelector | None = None
    percentiles: tuple[float, float] | None = None


#: The picture that a notebook shows.
NOTEBOOK = PictureRequest(max_side_px=384)

#: Decoded bytes that are read at most for the picture in a notebook: enough for an overview of any dtype.
NOTEBOOK_READ_BYTES = 32 * 2**20

#: Pixels in memory that the picture in a notebook is made of at most.
NOTEBOOK_PIXELS_PX = 2**26


@dataclass(frozen=True)
class PicturePlan:
    """A picture as planned.

    Attributes:
        bands: Bands to read, counted from 0: one or three, and alpha.
        dtype: Of the pixels, as a GeoTIFF stores them.
        colouring: How pixels become colours.
        method: How pixels are reduced.
        raster_shape: (rows, columns) of the raster at full resolution.
        shape: (rows, columns) of the picture, as the raster's rows run.
        transform: Of the raster; None: the picture is shown as its rows run.
    """

    bands: tuple[int, ...]
    dtype: np.dtype[Any]
    colouring: Colouring
    method: str
    raster_shape: Shape
    shape: Shape
    transform: Affine | None

    def read_bytes(self, level: Shape) -> int:
        """Return the size of the pixels that are read of a level, decoded."""
        return level[0] * level[1] * len(self.bands) * self.dtype.itemsize


def check_shape(shape: tuple[int, ...]) -> None:
    """Check that a raster of this shape can be shown.

    Raises:
        ShapeError: It has several times, or no pixels.
    """
    if len(shape) == 4:
        raise ShapeError(f"a picture shows one time, and this raster of shape {shape} has several; give one: gt[0]")
    if 0 in shape:
        raise ShapeError(f"a raster of shape {shape} has no pixels")


def thinning_step(shape: tuple[int, ...]) -> int:
    """Return n where a notebook's picture of pixels in memory is made of every nth row and column.

    Example:
        >>> thinning_step((3, 10980, 10980)), thinning_step((4, 20000, 20000))
        (1, 2)
    """
    return max(1, math.isqrt(math.prod(shape[-2:]) // NOTEBOOK_PIXELS_PX))


def plan_picture(
    bands: RasterBands, shape: tuple[int, ...], transform: Affine, crs: Any, request: PictureRequest
) -> PicturePlan:
    """Plan the picture of a raster.

    Args:
        bands: Of the raster.
        shape: Of the raster at full resolution, the last two axes (row, column).
        transform: Of the raster at full resolution.
        crs: Of the raster, or None.
        request: The picture.

    Raises:
        ShapeError: The raster has several times, or no pixels.
        DtypeError: A GeoTIFF cannot hold the dtype.
        OptionError: A requested band does not exist.
    """
    check_shape(shape)
    rows_columns = shape[-2], shape[-1]
    dtype = storage_dtype(bands.dtype)
    shown = choose_bands(bands, request.bands)
    colouring = _colouring(bands, dtype, shown, request)
    recorded = bands.resamplings[shown.colours[0]] if bands.resamplings else None
    default = "NEAREST" if colouring.is_mask or colouring.colormap is not None else "AVERAGE"
    return PicturePlan(
        bands=shown.colours if shown.alpha is None else (*shown.colours, shown.alpha),
        dtype=dtype,
        colouring=colouring,
        method=recorded if recorded in _PICKING else default,
        raster_shape=rows_columns,
        shape=picture_shape(rows_columns, transform, request.max_side_px),
        transform=None if counts_pixels(crs, transform) else transform,
    )


def _colouring(bands: RasterBands, dtype: np.dtype[Any], shown: ShownBands, request: PictureRequest) -> Colouring:
    try:
        nodata = check_nodata(bands.nodata, dtype, "fill_value_default")
    except NodataError:
        nodata = None  # no pixel has it
    is_inverted = bands.is_inverted and bands.colormap is None  # a colour table has the colours as they are shown
    return Colouring(
        nodata=nodata,
        colormap=bands.colormap if bands.count == 1 else None,
        is_mask=bands.dtype.kind == "b",
        are_colours=shown.are_colours,
        inverted=shown.colours.index(0) if is_inverted and 0 in shown.colours else None,
        has_alpha=shown.alpha is not None,
        percentiles=request.percentiles,
    )


def render(plan: PicturePlan, read: ReadWindow, level: Shape, *, reads_rows: bool = False) -> Picture:
    """Render a picture.

    Args:
        plan: The picture.
        read: Returns (band, row, column) pixels of the plan's bands in a window of the level, and the (row, column)
            mask, or None. Called window by window, each of about `READ_BYTES`.
        level: (rows, columns) of the level that is read: the raster, or an overview with enough pixels.
        reads_rows: Whole rows cost no more than parts of them.

    Returns:
        (row, column, channel) of grey and alpha, or of red, green, blue and alpha; north is up as far as quarter turns
        and mirroring reach.

    Raises:
        Exception: As ``read`` does.
    """
    shapes = halvings(level, plan.raster_shape, plan.shape)
    pixels, mask = _reduce(plan, read, shapes, reads_rows=reads_rows)
    picture = resize(colour(pixels, mask, plan.colouring), plan.shape, picks=plan.method in _PICKING)
    return picture if plan.transform is None else north_up(picture, plan.transform)


def render_pixels(plan: PicturePlan, bands: Sequence[NDArray[Any]], mask: Mask) -> Picture:
    """Render a picture of pixels in memory.

    Args:
        plan: The picture.
        bands: (row, column) pixels of each of the plan's bands; never changed.
        mask: (row, column), True where pixels are valid; None: everywhere.
    """

    def read(window: PixelWindow) -> tuple[NDArray[Any], Mask]:
        inside = window.within(PixelWindow(0, rows, 0, columns))
        return np.stack([band[inside] for band in bands]), None if mask is None else mask[inside]

    rows, columns = bands[0].shape
    return render(plan, read, (rows, columns))


def _reduce(
    plan: PicturePlan, read: ReadWindow, shapes: tuple[Shape, ...], *, reads_rows: bool
) -> tuple[NDArray[Any], Mask]:
    """Read a level and halve it down to the last of some shapes, block by block.

    The overviews of `georeader.save_cog` are made in the same way, so that a raster and its file have one picture.
    """
    alpha = len(plan.bands) - 1 if plan.colouring.has_alpha else None
    reduction = Reduction((plan.method,) * len(plan.bands), plan.colouring.nodata, alpha)

    def read_stored(window: PixelWindow) -> tuple[NDArray[Any], Mask]:
        pixels, mask = read(window)
        return convert_pixels(pixels, plan.dtype), mask

    rows, columns = shapes[-1]
    step_rows, step_columns = _block_shape(len(plan.bands) * plan.dtype.itemsize, shapes, reads_rows=reads_rows)
    result, is_valid = np.empty((len(plan.bands), rows, columns), plan.dtype), None
    for row in range(0, rows, step_rows):
        for column in range(0, columns, step_columns):
            window = PixelWindow(row, min(row + step_rows, rows), column, min(column + step_columns, columns))
            pixels, mask = reduce_block(read_stored, reduction, shapes, window)
            block = window.within(PixelWindow(0, rows, 0, columns))
            result[:, *block] = pixels
            if mask is not None:
                is_valid = np.ones((rows, columns), bool) if is_valid is None else is_valid
                is_valid[block] = mask
    return result, is_valid


def _block_shape(pixel_bytes: int, shapes: tuple[Shape, ...], *, reads_rows: bool) -> Shape:
    """Return the (rows, columns) of the result that are made at a time."""
    factor = 2 ** (len(shapes) - 1)
    most_px = READ_BYTES // pixel_bytes
    _, width_px = shapes[0]
    side_px = math.isqrt(most_px)
    read_width_px = width_px if reads_rows or width_px <= side_px else side_px
    return max(1, most_px // read_width_px // factor), max(1, -(-read_width_px // factor))
