"""Pictures of rasters: planned from a description of the raster, rendered from its pixels, as PNG and as HTML."""

from __future__ import annotations

import base64
import html
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from georeader._core.dtypes import check_nodata, convert_pixels, storage_dtype
from georeader._core.reporting import preformatted
from georeader._core.windows import Mask, PixelWindow, ReadWindow
from georeader._render.bands import BandSelector, RasterBands, ShownBands, choose_bands
from georeader._render.colormaps import Ramp
from georeader._render.colours import Colouring, colour, limits_of_picture, magnitude
from georeader._render.legend import ClassNames, Key, key_of_classes, names_in_table, with_legend
from georeader._render.sizes import Picture, Shape, halvings, north_up, picture_shape, resize
from georeader._resample.pyramid import Reduction, reduce_block
from georeader.errors import GeoreaderError, MissingExtraError, NodataError, OptionError, ShapeError, WriteError
from georeader.window_utils import counts_pixels

#: Pixels that are read at a time, in bytes, unless a pixel of the picture is made of more.
READ_BYTES = 32 * 2**20

#: Methods that pick values: rasters whose overviews were made by them hold classes.
_PICKING = ("NEAREST", "MODE")

#: Percentiles of classes on a ramp: none of them is an outlier.
_ALL = (0.0, 100.0)

#: Level of zlib; higher ones take longer and save little.
_PNG_LEVEL = 6

#: Smaller pictures are enlarged on a notebook's page, pixel by pixel, up to about this side.
LEAST_SHOWN_PX = 128


@dataclass(frozen=True)
class PictureRequest:
    """A picture as requested."""

    max_side_px: int
    bands: BandSelector | None = None  #: None: chosen by `choose_bands`.
    percentiles: tuple[float, float] | None = None  #: If not None, the stretch applies to 8-bit colours too.
    ramp: Ramp | None = None  #: Colours of one band; None: grey, or its colour table.
    has_legend: bool = False  #: At the right of a picture of one band.
    class_names: ClassNames = field(default_factory=dict)  #: For the legend, before those of the raster.


#: The picture that a notebook shows.
NOTEBOOK = PictureRequest(max_side_px=384)

#: Decoded bytes that are read at most for the picture in a notebook: enough for an overview of any dtype.
NOTEBOOK_READ_BYTES = 32 * 2**20

#: Pixels in memory that the picture in a notebook is made of at most.
NOTEBOOK_PIXELS_PX = 2**26


@dataclass(frozen=True)
class PicturePlan:
    """A picture as planned."""

    bands: tuple[int, ...]  #: To read, counted from 0: one or three, and alpha.
    dtype: np.dtype[Any]  #: Of the pixels, as a GeoTIFF stores them.
    colouring: Colouring
    method: str  #: Of the reduction of pixels.
    raster_shape: Shape  #: At full resolution.
    shape: Shape  #: Of the picture, as the raster's rows run.
    transform: Affine | None  #: Of the raster; None: the picture is shown as its rows run.
    are_classes: bool  #: Pixels are classes, which a legend lists.
    legend: ClassNames | None = None  #: Names for the legend; None: no legend.

    def read_bytes(self, level: Shape) -> int:
        """Return the size of the pixels that are read of a level, decoded."""
        return level[0] * level[1] * len(self.bands) * self.dtype.itemsize


def check_shape(shape: tuple[int, ...]) -> None:
    """Check that a raster of this shape has one time and some pixels."""
    if len(shape) == 4:
        raise ShapeError(f"a picture shows one time, and this raster of shape {shape} has several; pass one: gt[0]")
    if 0 in shape:
        raise ShapeError(f"a raster of shape {shape} has no pixels")


def thinning_step(shape: tuple[int, ...]) -> int:
    """Return n where a notebook's picture of pixels in memory is made of every nth row and column."""
    return max(1, math.isqrt(math.prod(shape[-2:]) // NOTEBOOK_PIXELS_PX))


def plan_picture(
    bands: RasterBands, shape: tuple[int, ...], transform: Affine, crs: Any, request: PictureRequest
) -> PicturePlan:
    """Plan the picture of a raster of some shape (the last two axes are row and column) at full resolution."""
    check_shape(shape)
    rows_columns = shape[-2], shape[-1]
    dtype = storage_dtype(bands.dtype)
    shown = choose_bands(bands, request.bands)
    _check_one_band(shown, request)
    names = _class_names(bands, shown, request)
    are_classes = bool(names) or _are_classes(bands, dtype, request)
    colouring = _colouring(bands, dtype, shown, request, are_classes=are_classes)
    recorded = bands.resamplings[shown.colours[0]] if bands.resamplings else None
    default = "NEAREST" if are_classes else "AVERAGE"
    return PicturePlan(
        bands=shown.colours if shown.alpha is None else (*shown.colours, shown.alpha),
        dtype=dtype,
        colouring=colouring,
        method=recorded if recorded in _PICKING else default,
        raster_shape=rows_columns,
        shape=picture_shape(rows_columns, transform, request.max_side_px),
        transform=None if counts_pixels(crs, transform) else transform,
        are_classes=are_classes,
        legend=names,
    )


def _check_one_band(shown: ShownBands, request: PictureRequest) -> None:
    if len(shown.colours) == 1 or (request.ramp is None and not request.has_legend):
        return
    numbers = ", ".join(str(band + 1) for band in shown.colours)
    option = "legend=True explains" if request.ramp is None else f"colormap={request.ramp.name!r} colours"
    raise OptionError(f"{option} one band, and the picture has bands {numbers}; pass one as bands=")


def _class_names(bands: RasterBands, shown: ShownBands, request: PictureRequest) -> ClassNames | None:
    """Return the names of classes for the legend: the requested ones, then those of the raster; None: no legend."""
    if not request.has_legend:
        return None
    table = bands.attribute_tables[shown.colours[0]] if bands.attribute_tables else None
    return {**names_in_table(table), **request.class_names}


def _are_classes(bands: RasterBands, dtype: np.dtype[Any], request: PictureRequest) -> bool:
    """Return whether pixels are classes, of which no mean is computed."""
    has_table = bands.colormap is not None and bands.count == 1
    is_qualitative = request.ramp is not None and request.ramp.is_qualitative and dtype.kind in "iu"
    return bands.dtype.kind == "b" or has_table or is_qualitative


def _colouring(
    bands: RasterBands, dtype: np.dtype[Any], shown: ShownBands, request: PictureRequest, *, are_classes: bool
) -> Colouring:
    try:
        nodata = check_nodata(bands.nodata, dtype, "fill_value_default")
    except NodataError:
        nodata = None  # no pixel has it
    # Colour tables and colormaps have the colours as they are shown.
    is_inverted = bands.is_inverted and bands.colormap is None and request.ramp is None
    return Colouring(
        nodata=nodata,
        colormap=bands.colormap if bands.count == 1 and request.ramp is None else None,
        is_mask=bands.dtype.kind == "b",
        are_colours=shown.are_colours,
        inverted=shown.colours.index(0) if is_inverted and 0 in shown.colours else None,
        has_alpha=shown.alpha is not None,
        percentiles=request.percentiles or (_ALL if are_classes else None),
        ramp=request.ramp,
    )


def render(plan: PicturePlan, read: ReadWindow, level: Shape, *, reads_rows: bool = False) -> Picture:
    """Render a picture, with north up as far as quarter turns and mirroring reach.

    ``read`` returns pixels of the plan's bands in a window of the level that is read, the raster or an overview with
    enough pixels; it is called window by window, each of about `READ_BYTES`. With ``reads_rows``, whole rows cost no
    more than parts of them.
    """
    shapes = halvings(level, plan.raster_shape, plan.shape)
    pixels, mask = _reduce(plan, read, shapes, reads_rows=reads_rows)
    coloured = colour(pixels, mask, plan.colouring)
    picture = resize(coloured, plan.shape, picks=plan.method in _PICKING)
    picture = picture if plan.transform is None else north_up(picture, plan.transform)
    return picture if plan.legend is None else with_legend(picture, _key(plan, plan.legend, pixels, mask, coloured))


def _key(plan: PicturePlan, names: ClassNames, pixels: NDArray[Any], mask: Mask, coloured: Picture) -> Key:
    """Return what the legend of a picture of one band shows."""
    limits, rules = limits_of_picture(pixels, mask, plan.colouring), plan.colouring
    if plan.are_classes or limits is None or limits[0] == limits[1]:
        default = {0: "False", 1: "True"} if rules.is_mask else {}
        return key_of_classes(magnitude(pixels[0]), coloured, {**default, **names})
    if rules.ramp is not None:
        ramp = rules.ramp.colours[:, :3]
    else:
        ramp = np.repeat(np.arange(256, dtype=np.uint8)[:: 1 if rules.inverted is None else -1, None], 3, axis=1)
    return Key(limits=(limits[0].item(), limits[1].item()), ramp=ramp)


def render_pixels(plan: PicturePlan, bands: Sequence[NDArray[Any]], mask: Mask) -> Picture:
    """Render a picture of (row, column) pixels in memory of each of the plan's bands."""

    def read(window: PixelWindow) -> tuple[NDArray[Any], Mask]:
        inside = window.slices
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
            result[:, *window.slices] = pixels
            if mask is not None:
                is_valid = np.ones((rows, columns), bool) if is_valid is None else is_valid
                is_valid[window.slices] = mask
    return result, is_valid


def _block_shape(pixel_bytes: int, shapes: tuple[Shape, ...], *, reads_rows: bool) -> Shape:
    """Return the (rows, columns) of the result that are made at a time."""
    factor = 2 ** (len(shapes) - 1)
    most_px = READ_BYTES // pixel_bytes
    _, width_px = shapes[0]
    side_px = math.isqrt(most_px)
    read_width_px = width_px if reads_rows or width_px <= side_px else side_px
    return max(1, most_px // read_width_px // factor), max(1, -(-read_width_px // factor))


def encode_png(picture: Picture) -> bytes:
    """Return a picture as a PNG (ISO/IEC 15948) of 8 bits; an alpha that is 255 everywhere is left out."""
    import imagecodecs  # slow to import, and reading does not need it

    if not imagecodecs.PNG.available:
        raise MissingExtraError(
            "a picture needs libpng, which the installed imagecodecs was built without: pip install --force-reinstall "
            "imagecodecs (the wheels on PyPI have it)"
        )
    shown: NDArray[Any] = picture if (picture[..., -1] != 255).any() else picture[..., :-1]
    try:
        # A copy: imagecodecs checks strides, and those of numpy are arbitrary where a side is a single pixel.
        return bytes(imagecodecs.png_encode(shown.copy(), level=_PNG_LEVEL))
    except imagecodecs.PngError as error:
        raise WriteError(f"a picture of {picture.shape} cannot be encoded as a PNG: {error}") from error


def html_of(text: str, draw: Callable[[], Picture]) -> str:
    """Return the HTML of a raster: its picture and its text.

    A raster without a picture (four dimensions, no pixels, a file that is missing or that would have to be read as a
    whole) is shown as text with the reason. Nothing is raised, and warnings are not repeated.
    """
    content = preformatted(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # issued already when the raster was opened
            return f"<div>{_image(draw())}{content}</div>"
    except GeoreaderError as error:
        return f"<div>{content}<p>no picture: {html.escape(str(error))}</p></div>"


def _image(picture: Picture) -> str:
    height_px, width_px = picture.shape[:2]
    times = max(1, LEAST_SHOWN_PX // max(height_px, width_px))
    content = base64.b64encode(encode_png(picture)).decode("ascii")
    return (
        f'<img width="{width_px * times}" height="{height_px * times}" style="image-rendering: pixelated" '
        f'alt="preview" src="data:image/png;base64,{content}">'
    )
