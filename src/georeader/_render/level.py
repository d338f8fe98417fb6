"""The pixels that a picture is made of: those of the smallest overview that is enough, halved where none is."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from georeader._core.dtypes import convert_pixels, storage_dtype
from georeader._core.windows import PixelWindow
from georeader._export.plan.block_grid import BlockGrid
from georeader._export.sinks.scratch import Scratch
from georeader._export.sources.opening import open_source
from georeader._export.sources.protocol import Source, SourceWrapper
from georeader._export.sources.raster_file import RasterSource
from georeader._export.spool import OpenSpool
from georeader._render.size import Shape, best_level, halvings, picture_shape
from georeader._resample.pyramid import Mask, Reduction, reduce_block
from georeader.errors import GeoreaderError, MetadataWarning, ReadError
from georeader.rasterio_reader import RasterioReader

#: Pixels that are read at a time, in bytes, unless a pixel of the picture is made of more.
READ_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Level:
    """What a picture is made of.

    Attributes:
        source: The overview, or the raster itself.
        shapes: (rows, columns) of the source, and as often as it has to be halved.
        picture: (rows, columns) of the picture.
    """

    source: Source
    shapes: tuple[Shape, ...]
    picture: Shape


@contextmanager
def opened_level(raster: Any, max_side_px: int) -> Iterator[Level]:
    """Open the level of a raster that its picture is made of; no pixel is read.

    Args:
        raster: What `georeader.save_cog` takes; never changed.
        max_side_px: Longest side of the picture.

    Raises:
        GeoreaderError: As `open_source` does.
    """
    with closing(Scratch("the picture", None)) as scratch:
        with warnings.catch_warnings():
            # Warnings of metadata that a GeoTIFF cannot hold do not concern a picture.
            warnings.simplefilter("ignore", MetadataWarning)
            source, shape, picture = _open_level(raster, max_side_px, scratch.open_spool)
        spec = source.spec
        with closing(source):
            yield Level(source, halvings((spec.height_px, spec.width_px), shape, picture), picture)


def _open_level(raster: Any, max_side_px: int, open_spool: OpenSpool) -> tuple[Source, Shape, Shape]:
    """Return the source, and the (rows, columns) of the raster and of the picture."""
    if type(raster) is RasterioReader:
        shape = raster.height, raster.width
        picture = picture_shape(shape, raster.transform, max_side_px)
        return open_source(_reader_at_overview(raster, picture)), shape, picture
    source = open_source(raster, open_spool=open_spool)
    shape = source.spec.height_px, source.spec.width_px
    picture = picture_shape(shape, source.spec.transform, max_side_px)
    if isinstance(source, RasterSource):  # a dataset that the caller opened
        with source.handles.borrow() as dataset:
            factors = dataset.overviews(source.indexes[0])
        source = _dataset_at_overview(source, factors, picture)
    return source, shape, picture


def _reader_at_overview(reader: RasterioReader, picture: Shape) -> RasterioReader:
    """Return a reader of the smallest overview that is enough for a picture, with the same window and bands."""
    shape = reader.height, reader.width
    level = best_level(shape, reader.overviews(reader.indexes[0]), picture)
    if level is None or 0 in shape:
        return reader
    whole = reader.copy()
    whole.set_window(None)
    overview = whole.reader_overview(level)
    if overview.height > whole.height or overview.width > whole.width:
        return reader  # its factor is that of one side alone
    rows, columns = (
        (math.floor(start * new / old), math.ceil(stop * new / old))
        for (start, stop), old, new in zip(
            reader.window_focus.toranges(), whole.shape[1:], overview.shape[1:], strict=True
        )
    )
    overview.set_window(Window.from_slices(rows, columns, boundless=True), relative=False)
    return overview


def _dataset_at_overview(source: RasterSource, factors: Sequence[int], picture: Shape) -> Source:
    shape = source.spec.height_px, source.spec.width_px
    level = best_level(shape, factors, picture)
    return source if level is None else _OverviewOfDataset(source, factors[level])


class _OverviewOfDataset(SourceWrapper):
    """An overview of a dataset that the caller opened: GDAL takes it where so many pixels fewer are asked for."""

    source: RasterSource

    def __init__(self, source: RasterSource, factor: int) -> None:
        whole = source.spec
        spec = replace(whole, height_px=-(-whole.height_px // factor), width_px=-(-whole.width_px // factor))
        super().__init__(source, spec, replace(source.traits, chunks=None))  # an overview's chunks are not known

    def read(self, region: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read a window of the overview.

        Raises:
            ReadError: The file can't be read.
        """
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


def read_level(level: Level, bands: Sequence[int], reduction: Reduction) -> tuple[NDArray[Any], Mask]:
    """Read some bands of a level, reduced by two as often as it takes.

    The overviews of `georeader.save_cog` are made in the same way, so that a raster and its file give one picture.

    Args:
        level: Where pixels come from.
        bands: Counted from 0.
        reduction: How they are reduced, band by band.

    Returns:
        (band, row, column) in the dtype of a file, and the (row, column) mask, or None.

    Raises:
        ReadError: The source can't be read.

    Memory: the result, and about three times `READ_BYTES`.
    """
    source, shapes = level.source, level.shapes
    dtype = storage_dtype(source.spec.dtype)

    def read(region: PixelWindow) -> tuple[NDArray[Any], Mask]:
        pixels, mask = _read_bands(source, region, bands)
        return convert_pixels(pixels, dtype), mask

    grid = BlockGrid(*shapes[-1], *_block_shape(source, len(bands) * dtype.itemsize, shapes))
    result = np.empty((len(bands), *shapes[-1]), dtype)
    is_valid = np.ones(shapes[-1], bool) if source.spec.has_mask else None
    for block in grid.touched(grid.whole):
        region = grid.region(block)
        pixels, mask = reduce_block(read, reduction, shapes, region)
        rows, columns = region.within(grid.whole)
        result[:, rows, columns] = pixels
        if is_valid is not None and mask is not None:
            is_valid[rows, columns] = mask
    return result, is_valid


def _block_shape(source: Source, pixel_bytes: int, shapes: tuple[Shape, ...]) -> Shape:
    """Give the (rows, columns) of the result that are made at a time: whole rows where the source stores those."""
    factor = 2 ** (len(shapes) - 1)
    most_px = READ_BYTES // pixel_bytes
    _, width_px = shapes[0]
    chunks = source.traits.chunks
    has_rows = chunks is not None and len(chunks.column_edges_px) == 2
    side_px = math.isqrt(most_px)
    read_width_px = width_px if has_rows or width_px <= side_px else side_px
    return max(1, most_px // read_width_px // factor), max(1, -(-read_width_px // factor))


def _read_bands(source: Source, region: PixelWindow, bands: Sequence[int]) -> tuple[NDArray[Any], Mask]:
    """Read bands in any order, those that follow one another at once."""
    wanted = sorted(set(bands))
    breaks = [at for at, (one, other) in enumerate(pairwise(wanted), start=1) if other != one + 1]
    runs = [wanted[start:stop] for start, stop in pairwise([0, *breaks, len(wanted)])]
    parts = []
    try:
        for run in runs:
            pixels, mask = source.read(region, range(run[0], run[-1] + 1))
            parts.append(pixels)
    except GeoreaderError:
        raise
    except Exception as error:  # a source of the caller's may raise anything
        raise ReadError(f"{source.name}: can't be read: {error or type(error).__name__}") from error
    pixels = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return pixels if list(bands) == wanted else pixels[[wanted.index(band) for band in bands]], mask
