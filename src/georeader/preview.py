"""Pictures of rasters: a PNG of the smallest overview that has enough pixels."""

from __future__ import annotations

import operator
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from typing import Any, Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

from georeader._core.windows import Mask, PixelWindow
from georeader._export.sinks.base import Scratch
from georeader._export.sources import open_source
from georeader._export.sources.protocol import Source, SourceWrapper
from georeader._export.sources.raster_file import RasterSource
from georeader._export.spool import OpenSpool
from georeader._render.bands import BandSelector, RasterBands
from georeader._render.colormaps import find_ramp
from georeader._render.colours import check_percentiles
from georeader._render.legend import check_class_names
from georeader._render.picture import PictureRequest, check_shape, encode_png, plan_picture, render
from georeader._render.sizes import Picture, best_level, picture_shape
from georeader.errors import GeoreaderError, MetadataWarning, OptionError, ReadError
from georeader.rasterio_reader import RasterioReader

#: Longest side of a picture, in pixels.
MAX_SIDE_DEFAULT_PX = 1024

#: Largest allowed value; rendering takes about 20 bytes for each pixel of the picture.
MAX_SIDE_LIMIT_PX = 2**15


class Png(bytes):
    """The bytes of a PNG, which a notebook shows as a picture.

    ``repr`` and ``str`` are one line: the size in pixels and in bytes. Parts of it are ``bytes``.

    Example:
        >>> import numpy as np
        >>> from georeader import GeoTensor
        >>> preview(GeoTensor(np.zeros((200, 300), "uint8"), (30, 0, 0, 0, -30, 0), 3857))
        Png(300 x 200, 0.2 kB)
    """

    def __new__(cls, content: bytes) -> Self:
        """Take the content of a file."""
        return super().__new__(cls, content)

    @property
    def width_px(self) -> int:
        """Columns of the picture."""
        return int.from_bytes(self[16:20])

    @property
    def height_px(self) -> int:
        """Rows of the picture."""
        return int.from_bytes(self[20:24])

    def __repr__(self) -> str:
        """Return one line: the size in pixels and in bytes."""
        return f"Png({self.width_px} x {self.height_px}, {len(self) / 1000:.{int(len(self) < 10_000)}f} kB)"

    __str__ = __repr__

    def _repr_png_(self) -> bytes:
        """Return the picture, for notebooks."""
        return bytes(self)


def preview(  # noqa: PLR0913
    data: Any,
    *,
    max_side_px: int = MAX_SIDE_DEFAULT_PX,
    bands: BandSelector | None = None,
    percentiles: tuple[float, float] | None = None,
    colormap: str | None = None,
    legend: bool = False,
    class_names: Mapping[int, str] | None = None,
    fs: Any = None,
) -> Png:
    """Return a picture of a raster as a PNG.

    The smallest overview that has enough pixels is read; without one, the whole raster is read block by block. Pixels
    are averaged without nodata, NaN, masked and transparent ones. Classes are picked instead: bool, rasters with a
    colour table, and rasters whose overviews are recorded as NEAREST or MODE.

    Each band is stretched between two percentiles of its valid pixels in the level that was read; three bands of uint8
    that are red, green and blue, or have no colour interpretation, are shown unchanged. bool is black and white, a
    colour table defines the colours, a MINISWHITE band is inverted, complex numbers are shown by their magnitude.
    Pixels are transparent if they are masked, nodata, NaN or infinite in all shown bands, or not in the colour table.
    An alpha band of uint8 is the alpha of the picture; one of another dtype is opaque where it is not 0.

    With ``colormap``, one band is coloured after its stretch, from the first colour to the last; classes are stretched
    over all of their values. A qualitative one (tab10, Set1) colours integers one by one: 0 has the first colour, 1 the
    second. It takes the place of a colour table.

    North is up as far as mirroring and quarter turns reach. If the sides of a pixel differ by more than 1 % in units of
    the CRS, the coarser axis is enlarged.

    Args:
        data: What `georeader.save_cog` takes: (row, column) or (band, row, column). Never changed.
        max_side_px: Longest side of the picture. A smaller raster is not enlarged.
        bands: One (grey) or three (red, green, blue), counted from 1 as in `RasterioReader.indexes`, or by description
            in any case. By default the bands whose colour interpretation is red, green and blue; else those with such
            descriptions, or with B04, B03 and B02; else all three, if there are three; else the first.
        percentiles: (lower, upper), from 0 to 100; by default (2, 98). If passed, uint8 colours are stretched, too.
        colormap: Name of a colormap of matplotlib, such as "viridis"; with "_r" at its end it is reversed. Also one of
            the other collections of the cmap package, as "collection:name". Extra ``pictures``.
        legend: Add a legend at the right of the picture of one band, beyond ``max_side_px``: a colour bar with numbers,
            or the classes that occur. Extra ``pictures``.
        class_names: Names of classes by pixel value for the legend. They come before those of the raster's attribute
            table or categories, and pixels are then classes: picked, not averaged.
        fs: A filesystem of fsspec or a store of obstore to open the path in, as in `RasterioReader`.

    Returns:
        The bytes of a PNG of 8 bits: grey or red, green and blue, with alpha if a pixel is transparent. A notebook
        shows them as a picture.

    Raises:
        OptionError: An argument is invalid, a band or a colormap does not exist, or a colormap or a legend is requested
            for three bands.
        ShapeError: The raster is empty, or has more than three dimensions.
        GeoreferenceError: ``data`` is not a raster.
        DtypeError: A GeoTIFF cannot hold its dtype.
        ReadError: ``data`` cannot be opened or read.
        MissingExtraError: The installed imagecodecs was built without PNG, or the extra ``pictures`` is needed.

    Memory: about 100 MiB, and about 20 bytes for each pixel of the level that is read. That has less than
    (2 * ``max_side_px``)**2 pixels if each overview halves the raster and pixels are squares.

    Example:
        >>> import numpy as np
        >>> from affine import Affine
        >>> from georeader import GeoTensor, save_cog
        >>> height_m = np.add.outer(np.arange(600.0), np.arange(900.0))
        >>> _ = save_cog(GeoTensor(height_m, Affine(30, 0, 0, 0, -30, 0), 3857, np.nan), "height.tif")
        >>> png = preview("height.tif", max_side_px=300)
        >>> png[1:4], png.width_px, png.height_px
        (b'PNG', 300, 200)
    """
    request = PictureRequest(
        max_side_px=_side_px(max_side_px),
        bands=bands,
        percentiles=None if percentiles is None else check_percentiles(percentiles),
        ramp=None if colormap is None else find_ramp(colormap),
        has_legend=legend,
        class_names=check_class_names(class_names or {}),
    )
    if class_names and not legend:
        raise OptionError("class_names goes with legend=True, which shows them")
    if isinstance(data, (str, bytes, os.PathLike)):
        return Png(encode_png(_draw(RasterioReader(os.fsdecode(data), fs=fs), request)))
    if fs is not None:
        raise OptionError(f"fs goes with a path, and data is a {type(data).__name__}; leave it out")
    return Png(encode_png(_draw(data, request)))


def _side_px(value: Any) -> int:
    try:
        side_px = operator.index(value)
    except TypeError as error:
        raise OptionError(f"max_side_px={value!r} is not a whole number of pixels") from error
    if not 1 <= side_px <= MAX_SIDE_LIMIT_PX:
        raise OptionError(f"max_side_px={side_px}; pass 1 to {MAX_SIDE_LIMIT_PX} pixels")
    return side_px


def _draw(raster: Any, request: PictureRequest) -> Picture:
    shape = getattr(raster, "shape", None)
    if isinstance(shape, tuple):
        check_shape(shape)
    with closing(Scratch("the picture", None)) as scratch:
        with warnings.catch_warnings():
            # Warnings of metadata that a GeoTIFF cannot hold do not concern a picture.
            warnings.simplefilter("ignore", MetadataWarning)
            source, rows_columns, transform = _open_level(raster, request.max_side_px, scratch.open_spool)
        with closing(source):
            spec, metadata = source.spec, source.spec.metadata
            described = RasterBands(
                count=spec.count,
                dtype=spec.dtype,
                nodata=spec.fill_value,
                colorinterp=metadata.colorinterp,
                descriptions=metadata.descriptions,
                colormap=metadata.colormap,
                is_inverted=metadata.photometric == "MINISWHITE",
                resamplings=spec.overview_resamplings,
                attribute_tables=metadata.attribute_tables,
            )
            plan = plan_picture(described, rows_columns, transform, spec.crs, request)
            chunks = source.traits.chunks
            has_rows = chunks is not None and len(chunks.column_edges_px) == 2
            level = spec.height_px, spec.width_px
            return render(plan, lambda region: _read_bands(source, region, plan.bands), level, reads_rows=has_rows)


def _open_level(raster: Any, max_side_px: int, open_spool: OpenSpool) -> tuple[Source, tuple[int, int], Affine]:
    """Open the smallest level that has enough pixels; return it with (rows, columns) and transform of the raster."""
    if type(raster) is RasterioReader:
        shape = raster.height, raster.width
        overview = raster._overview_for(picture_shape(shape, raster.transform, max_side_px))
        return open_source(overview), shape, raster.transform
    source = open_source(raster, open_spool=open_spool)
    spec = source.spec
    shape = spec.shape[1:]
    if isinstance(source, RasterSource):  # a dataset that the caller opened
        with source.handles.borrow() as dataset:
            factors = dataset.overviews(source.indexes[0])
        level = best_level(shape, factors, picture_shape(shape, spec.transform, max_side_px))
        source = source if level is None else _OverviewOfDataset(source, factors[level])
    return source, shape, spec.transform


class _OverviewOfDataset(SourceWrapper):
    """An overview of a dataset that the caller opened: GDAL reads it where fewer pixels are requested."""

    source: RasterSource

    def __init__(self, source: RasterSource, factor: int) -> None:
        super().__init__(source)
        whole = source.spec
        self.spec = replace(whole, height_px=-(-whole.height_px // factor), width_px=-(-whole.width_px // factor))
        self.traits = replace(source.traits, chunks=None)  # an overview's chunks are not known

    def read(self, region: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read a window of the overview."""
        whole = self.source.spec
        down, across = whole.height_px / self.spec.height_px, whole.width_px / self.spec.width_px
        rows, columns = region.shape
        window = Window(region.column_start * across, region.row_start * down, columns * across, rows * down)
        indexes = [self.source.indexes[band] for band in bands]
        with self.source.handles.borrow(self.source.cache_bytes) as dataset:
            # One by one: rasterio does not read bands of several dtypes at once.
            pixels = np.stack([dataset.read(index, window=window, out_shape=(rows, columns)) for index in indexes])
            if not whole.has_mask:
                return pixels, None
            return pixels, dataset.read_masks(indexes[0], window=window, out_shape=(rows, columns)) != 0


def _read_bands(source: Source, region: PixelWindow, bands: Sequence[int]) -> tuple[NDArray[Any], Mask]:
    """Read bands in any order, adjacent ones at once."""
    ordered = sorted(set(bands))
    breaks = [at for at, (one, other) in enumerate(pairwise(ordered), start=1) if other != one + 1]
    runs = [ordered[start:stop] for start, stop in pairwise([0, *breaks, len(ordered)])]
    parts = []
    try:
        for run in runs:
            pixels, mask = source.read(region, range(run[0], run[-1] + 1))
            parts.append(pixels)
    except GeoreaderError:
        raise
    except Exception as error:  # a source of the caller's may raise anything
        raise ReadError(f"{source.name}: cannot be read: {error or type(error).__name__}") from error
    pixels = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return pixels if list(bands) == ordered else pixels[[ordered.index(band) for band in bands]], mask
