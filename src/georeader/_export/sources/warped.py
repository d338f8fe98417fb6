"""A source on another grid: each window is warped by GDAL from the pixels of the wrapped source that it needs.

The target grid is divided into blocks, which are warped as a whole, so that pixels do not depend on the windows in
which they are read. Of the wrapped source, the pixels below a block and the margin of the resampling method are read;
a block that needs too many of them is divided.

References:
    GDAL's documentation of ``gdalwarp`` and of ``GDALWarpOptions`` (INIT_DEST, UNIFIED_SRC_NODATA, XSCALE).
"""

from __future__ import annotations

import logging
import math
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.transform import GCPTransformer
from rasterio.warp import reproject

from georeader._core.dtypes import convert_pixels
from georeader._core.windows import Mask, MaskedPixels, PixelWindow
from georeader._export.plan.grid import BlockGrid, longest
from georeader._export.plan.spec import ExportSpec, SourceSpec
from georeader._export.plan.traits import Chunks, SourceTraits, regular_chunks
from georeader._export.plan.warp_plan import WarpPlan
from georeader._export.sources.protocol import Source
from georeader._export.sources.whole_chunks import WholeChunks
from georeader._export.spool import OpenSpool
from georeader.errors import ReadError
from georeader.window_utils import pixel_to_crs, regrid, transform_points

#: (rows, columns) of what is warped as a whole, by the bytes of a pixel up to which they hold. Wide, since GDAL locates
#: each row by a few of its pixels, and large, since preparing a warp takes a millisecond of Python's lock.
_BLOCKS_PX = {2: (1024, 2048), 6: (1024, 1024), 15: (512, 1024)}
_SMALL_BLOCK_PX = (256, 512)

#: Threads that warp at once.
_CONCURRENT_WARPS = 4

#: Points at which a block is located in the source, along each axis.
_POINTS = 11

#: Pixels that are read beside those that a method needs, for the error of GDAL's approximate transformer.
_SPARE_PX = 2

#: Cells of the grid along each axis by which the warper is compared with `transform_points`, and the differences that
#: are taken into account, in pixels.
_CELLS = 32
_LEAST_SHIFT_PX, _MOST_SHIFT_PX = 0.25, 256

#: Limits of the source's pixels that are read for a part of a block, in bytes.
_LEAST_PART_BYTES, _MOST_PART_BYTES = 2**20, 32 * 2**20

#: A part of a block needs up to so many times the pixels of the blocks that were tried.
_PART_SHARE = 1.5

#: Memory of a part in multiples of its source's pixels: as read and converted, as GDAL's dataset, and in its warper.
_PART_COPIES = 4

#: Memory for each pixel of a block besides its bands: GDAL's density, and what is missing.
_BLOCK_PIXEL_BYTES = 8

#: Radius of each method in pixels of the source; those of areas take the pixels below one of the target.
_RADIUS_PX = {"BILINEAR": 1, "CUBIC": 2, "CUBICSPLINE": 2, "LANCZOS": 3}

#: rasterio's methods by GDAL's names.
_RESAMPLING = {method.name.upper().replace("_", ""): method for method in Resampling}

#: CRS of areas of interest of CRSs without a geographic one; and their greatest width: of wider rasters it is not known
#: on which side they lie.
_DEGREES = "OGC:CRS84"
_WIDEST_DEGREES = 180

#: Value of opaque pixels in an alpha band of each dtype, as GDAL has it.
_OPAQUE = {"uint16": 65535, "int16": 32767}
_OPAQUE_ELSE = 255

#: Dtypes of which GDAL's warper picks the nearest pixels without converting them.
_PICKED_BY_GDAL = frozenset({"uint8", "int16", "uint16", "float32"})

#: Dtype that holds the values of another one and NaN.
_WITH_NAN = {"uint8": "float32", "int8": "float32", "uint16": "float32", "int16": "float32", "float32": "float32"}

#: Where rasterio logs GDAL's warnings, and the option of which it warns.
_GDAL_LOG = logging.getLogger("rasterio._env")
_AREA = "AREA_OF_INTEREST"


def _is_of_another_option(record: logging.LogRecord) -> bool:
    return not record.getMessage().endswith(f"warp options does not support option {_AREA}")


class _Ignored(AbstractContextManager[None]):
    """Ignores two warnings while any thread warps.

    One is rasterio's of a dataset without georeference. rasterio ignores it, too, for arrays, by
    `warnings.catch_warnings`. Two threads that do so at once restore each other's filters.

    The other is that of GDAL 3.11 and newer that its warper has no option AREA_OF_INTEREST. rasterio passes all
    options to the transformer, which has it, and to the warper.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._count:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                _GDAL_LOG.addFilter(_is_of_another_option)
            self._count += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._count -= 1
            if not self._count:
                _GDAL_LOG.removeFilter(_is_of_another_option)
                self._filters.__exit__(None, None, None)


_IGNORED = _Ignored()


class _Part(NamedTuple):
    """A part of a block, and the source below it."""

    window: PixelWindow
    source: PixelWindow | None  #: The window of the source that it needs; None: it lies beside the source
    x_px: float  #: Columns of the source in a pixel
    y_px: float  #: Rows of the source in a pixel


def on_target_grid(source: Source, spec: ExportSpec, open_spool: OpenSpool | None = None) -> Source:
    """Return a source on the grid of the file: itself, unless the file is warped.

    Chunks that are computed are kept in the spool for all windows that need them. Without a spool each window computes
    those that it needs, as for a plan, by which nothing is read.
    """
    if spec.warp is None or spec.warp.is_same_grid:
        return source
    warped = WarpedSource(source, spec.warp)
    if open_spool is not None:
        warped.read_chunks_once(open_spool)
    return warped


class WarpedSource:
    """A source on the target grid of a plan, which is read in any windows."""

    def __init__(self, source: Source, plan: WarpPlan) -> None:
        self.sources: tuple[Source, ...] = (source,)  #: by the name under which a source of several sources has them
        self.plan = plan
        self.name = source.name
        self.spec: SourceSpec = plan.target
        fitting = (px for limit_bytes, px in _BLOCKS_PX.items() if self.spec.pixel_bytes <= limit_bytes)
        self.blocks = BlockGrid(*self.spec.shape[1:], *next(fitting, _SMALL_BLOCK_PX))
        self._part_bytes = self._most_part_bytes()
        self._turns = threading.BoundedSemaphore(max(1, source.traits.concurrent_reads))
        self.traits = self._traits(source.traits)

    def __reduce__(self) -> Any:
        return WarpedSource, (self.sources[0], self.plan)

    def read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        """Read a window: all blocks that it touches are warped."""
        with rasterio.Env():  # one for all calls of rasterio, each of which would make its own
            return self._read(region, bands)

    def _read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        blocks = list(self.blocks.touched(region))
        if len(blocks) == 1 and self.blocks.window(blocks[0]) == region:
            return self._warp(region, bands)
        pixels = np.empty((len(bands), *region.shape), self.spec.dtype)
        mask = np.empty(region.shape, bool) if self.spec.has_mask else None
        for index in blocks:
            block = self.blocks.window(index)
            shared = block.intersection(region)
            found, valid = self._warp(block, bands)
            pixels[:, *shared.within(region)] = found[:, *shared.within(block)]
            if mask is not None and valid is not None:
                mask[shared.within(region)] = valid[shared.within(block)]
        return pixels, mask

    def read_chunks_once(self, open_spool: OpenSpool) -> None:
        """Have the chunks of a source that computes them computed once, although windows overlap."""
        source, chunks = self.sources[0], self.sources[0].traits.chunks
        if chunks is None or not chunks.share_work:
            return
        touched = self.blocks.touched(self.blocks.whole)
        parts = (part for index in touched for part in self._parts(self.blocks.window(index)))
        windows = (part.source for part in parts if part.source is not None)
        self.sources = (WholeChunks(source, chunks, windows, open_spool),)

    def close(self) -> None:
        """Close the wrapped source."""
        self.sources[0].close()

    def _traits(self, source: SourceTraits) -> SourceTraits:
        block_px = self.blocks.block_height_px, self.blocks.block_width_px
        chunks = regular_chunks(self.spec.shape, (self.spec.count, *block_px))
        if self._is_by_band:
            edges = (0, self.spec.count) if source.chunks is None else source.chunks.band_edges
            chunks = Chunks(edges, chunks.row_edges_px, chunks.column_edges_px)
        inner_bytes = source.reader_bytes
        if source.chunks is not None and source.chunks.share_work:
            inner_bytes += self._chunks_bytes(source.chunks)
        block_bytes = math.prod(block_px) * (2 * self.spec.pixel_bytes + _BLOCK_PIXEL_BYTES)
        return SourceTraits(
            chunks=chunks,
            concurrent_reads=_CONCURRENT_WARPS,
            reader_bytes=inner_bytes + _PART_COPIES * self._part_bytes + block_bytes,
            is_borrowed=source.is_borrowed,
        )

    def _chunks_bytes(self, chunks: Chunks) -> int:
        """Return the size of the chunks that a part touches, which are computed together."""
        side_px = math.isqrt(self._part_bytes // self.plan.source.pixel_bytes)
        sides_px = [
            min(edges[-1], (-(-side_px // longest(edges)) + 1) * longest(edges))
            for edges in (chunks.row_edges_px, chunks.column_edges_px)
        ]
        return math.prod(sides_px) * self.plan.source.pixel_bytes

    @cached_property
    def _is_by_band(self) -> bool:
        """Whether each band is warped without the others."""
        plan = self.plan
        return not (plan.adds_alpha or plan.source_alpha is not None or self.spec.has_mask or plan.source.has_mask)

    # Blocks and their parts.

    def _warp(self, block: PixelWindow, bands: range) -> MaskedPixels:
        """Return the pixels of a block and its mask, part by part."""
        wanted = bands if self._is_by_band else range(self.spec.count)
        parts = list(self._parts(block))
        if len(parts) == 1:
            pixels, valid = self._warp_part(parts[0], wanted)
            return self._of_bands(pixels, bands), valid if self.spec.has_mask else None
        pixels = np.empty((len(wanted), *block.shape), self.spec.dtype)
        mask = np.empty(block.shape, bool) if self.spec.has_mask else None
        for part in parts:
            place = part.window.within(block)
            pixels[:, *place], valid = self._warp_part(part, wanted)
            if mask is not None:
                mask[place] = valid
        return self._of_bands(pixels, bands), mask

    def _of_bands(self, pixels: NDArray[Any], bands: range) -> NDArray[Any]:
        """Return the bands that are asked for of those that are warped together."""
        return pixels if self._is_by_band else pixels[bands.start : bands.stop]

    def _parts(self, window: PixelWindow) -> Iterator[_Part]:
        """Iterate over the parts of a window: itself, or those of its quarters if it needs too much of the source."""
        part = self._part(window)
        needed_px = 0 if part.source is None else math.prod(part.source.shape)
        if needed_px * self.plan.source.pixel_bytes <= self._part_bytes or window.shape == (1, 1):
            yield part
            return
        for rows, columns in product(_halves(window.row_start, window.row_stop), _halves(*window[2:])):
            yield from self._parts(PixelWindow(*rows, *columns))

    def _most_part_bytes(self) -> int:
        """Return the limit of what is read for a part of a block: somewhat more than some blocks need."""
        rows = -(-self.blocks.height_px // self.blocks.block_height_px)
        columns = -(-self.blocks.width_px // self.blocks.block_width_px)
        most_px = 0
        for row, column in product(_spread(rows), _spread(columns)):
            source = self._part(self.blocks.window((row, column))).source
            most_px = max(most_px, 0 if source is None else math.prod(source.shape))
        tried_bytes = int(_PART_SHARE * most_px * self.plan.source.pixel_bytes)
        return min(max(tried_bytes, _LEAST_PART_BYTES), _MOST_PART_BYTES)

    def _part(self, window: PixelWindow) -> _Part:
        """Locate a window of the target in the source."""
        for points in (_POINTS, max(window.shape) + 1):
            columns, rows = self._located(window, points, self._shift_px)
            if np.isfinite(columns).all():
                break
        is_known = np.isfinite(columns) & np.isfinite(rows)
        if not is_known.any():
            return _Part(window, None, 1.0, 1.0)
        x_px, y_px = _pixel_size(window, columns), _pixel_size(window, rows)
        axes = (rows, y_px, self.plan.place.height_px), (columns, x_px, self.plan.place.width_px)
        edges: list[int] = []
        for positions, size_px, limit_px in axes:
            margin_px = self._margin_px(positions, size_px)
            first, last = positions[is_known].min() - margin_px, positions[is_known].max() + margin_px
            edges += [math.floor(min(max(first, 0), limit_px)), math.ceil(min(max(last, 0), limit_px))]
        source = PixelWindow(*edges)
        return _Part(window, source if min(source.shape) > 0 else None, x_px, y_px)

    def _margin_px(self, positions: NDArray[np.float64], pixel_size: float) -> int:
        """Return what is read around the positions of a part: the method's reach, and what lies between the points."""
        reach = _RADIUS_PX.get(self.plan.method, 1) * max(1.0, pixel_size)
        bends = [np.abs(np.diff(positions, 2, axis=axis)) for axis in (0, 1)]
        bend = max((float(np.nanmax(one)) for one in bends if one.size and np.isfinite(one).any()), default=0.0)
        return math.ceil(reach + bend / 2 + self._shift_px[2]) + _SPARE_PX

    @cached_property
    def _shift_px(self) -> tuple[float, float, float]:
        """Columns and rows by which GDAL's warper finds pixels beside `transform_points`, and how much they vary.

        PROJ chooses a transformation for each point there, and one for the raster here, as for ED50. GDAL warps the
        coordinates of a coarse grid on the raster onto points of the target.
        """
        place, target = self.plan.place, self.spec
        if place.gcps is not None or not self._operation or target.crs == place.crs:
            return 0.0, 0.0, 0.0
        steps_px = place.width_px / _CELLS, place.height_px / _CELLS
        # One cell more on each side, since GDAL does not extrapolate.
        positions = np.arange(-1, _CELLS + 1) + 0.5
        coarse = np.stack(np.meshgrid(positions * steps_px[0], positions * steps_px[1]))
        rows_px, columns_px = (side / (_POINTS - 1) for side in target.shape[1:])
        points = np.full((2, _POINTS, _POINTS), np.nan)
        with _IGNORED:
            reproject(
                coarse,
                points,
                src_crs=place.crs,
                dst_crs=target.crs,
                src_transform=regrid(place.transform, -steps_px[0], -steps_px[1], *steps_px),
                dst_transform=regrid(target.transform, -columns_px / 2, -rows_px / 2, columns_px, rows_px),
                src_nodata=np.nan,
                dst_nodata=np.nan,
                resampling=Resampling.bilinear,
                tolerance=0.0,
                XSCALE=1,
                YSCALE=1,
                **self._operation,
            )
        shifts = points - np.stack(self._located(self.blocks.whole, _POINTS))
        inside = np.isfinite(shifts).all(axis=0)
        for axis, side_px in ((0, place.width_px), (1, place.height_px)):
            inside &= (points[axis] >= 0) & (points[axis] <= side_px)
        found = shifts[:, inside]
        if not found.size or np.abs(found).max() < _LEAST_SHIFT_PX:
            return 0.0, 0.0, 0.0
        middle = np.median(found, axis=1)
        vary_px = min(float(np.abs(found - middle[:, np.newaxis]).max()), _MOST_SHIFT_PX)
        return float(middle[0]), float(middle[1]), vary_px

    def _located(
        self, part: PixelWindow, points: int, shift_px: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the (columns, rows) in the source of a grid of points of a part; NaN where there are none."""
        place, target = self.plan.place, self.spec
        # Edges of the outermost pixels would lie on the antimeridian of a world's grid: on either side of it.
        inset = 1e-6
        rows = np.linspace(part.row_start + inset, part.row_stop - inset, points)
        columns = np.linspace(part.column_start + inset, part.column_stop - inset, points)
        own = target.transform
        x, y = np.meshgrid(own.c + own.a * columns, own.f + own.e * rows)
        xs, ys = x.ravel(), y.ravel()
        if target.crs != place.crs:
            xs, ys = transform_points(target.crs, place.crs, xs, ys)
        is_found = np.isfinite(xs) & np.isfinite(ys)
        xs, ys = np.where(is_found, xs, np.nan), np.where(is_found, ys, np.nan)
        if place.gcps is not None:
            found_rows, found_columns = np.full(xs.shape, np.nan), np.full(xs.shape, np.nan)
            with GCPTransformer(list(place.gcps.points)) as mapped:
                located = mapped.rowcol(xs[is_found], ys[is_found], op=float)
            found_rows[is_found], found_columns[is_found] = (np.asarray(one, float) for one in located)
        else:
            if place.crs.is_geographic:
                xs = xs + 360 * np.round((self._middle_longitude - xs) / 360)
            inverse = ~place.transform
            column_shift_px, row_shift_px, _ = shift_px
            found_columns = inverse.a * xs + inverse.b * ys + inverse.c + column_shift_px
            found_rows = inverse.d * xs + inverse.e * ys + inverse.f + row_shift_px
        return found_columns.reshape(x.shape), found_rows.reshape(x.shape)

    @cached_property
    def _middle_longitude(self) -> float:
        """The longitude in the middle of a raster that reaches beyond 180 degrees; 0 for others."""
        place = self.plan.place
        corners = [
            pixel_to_crs(place.transform, column, row)[0]
            for column, row in product((0, place.width_px), (0, place.height_px))
        ]
        low, high = min(corners), max(corners)
        return 0.0 if low >= -180.5 and high <= 180.5 else (low + high) / 2

    @cached_property
    def _operation(self) -> dict[str, str]:
        """The options by which GDAL transforms all parts in one way: the extent of the whole raster in degrees.

        Else it looks for the transformation of each part's extent, which takes long, and could be another one.
        """
        place = self.plan.place
        if place.gcps is None:
            edge_px = np.linspace(0, 1, _POINTS)
            columns, rows = (part.ravel() for part in np.meshgrid(edge_px * place.width_px, edge_px * place.height_px))
            own = place.transform
            xs, ys = own.a * columns + own.b * rows + own.c, own.d * columns + own.e * rows + own.f
        else:
            xs, ys = (np.array([getattr(point, axis) for point in place.gcps.points]) for axis in "xy")
        longitudes, latitudes = transform_points(place.crs, _geographic(place.crs), xs, ys)
        # Of a raster across the antimeridian, the west edge has a larger longitude than the east edge.
        east_of_first = (longitudes - longitudes[0] + 180) % 360 - 180
        edges = east_of_first.min(), east_of_first.max()
        if not np.isfinite([*edges, *latitudes]).all() or edges[1] - edges[0] > _WIDEST_DEGREES:
            return {}
        west, east = ((longitudes[0] + edge + 180) % 360 - 180 for edge in edges)
        extent = west, latitudes.min(), east, latitudes.max()
        return {_AREA: ",".join(f"{degrees:.6f}" for degrees in extent)}

    # One part.

    def _warp_part(self, part: _Part, bands: range) -> MaskedPixels:
        """Return the pixels of a part and its mask."""
        if part.source is None:
            return self._blank(part, bands), np.zeros(part.window.shape, bool)
        with self._turns:
            read, mask = self.sources[0].read(part.source, self._source_bands(bands))
        pixels = convert_pixels(read, self.spec.dtype)
        is_plain = self.plan.source_alpha is None and mask is None and self.spec.dtype.name in _PICKED_BY_GDAL
        warp = self._pick if self.plan.method == "NEAREST" and not is_plain else self._resample
        try:
            return warp(part, pixels, mask, bands)
        except (RasterioError, CPLE_BaseError) as error:
            raise ReadError(f"GDAL cannot warp it: {error}") from error

    def _source_bands(self, bands: range) -> range:
        """Return bands without the one that is added."""
        return range(bands.start, min(bands.stop, self.plan.source.count))

    def _blank(self, part: _Part, bands: range) -> NDArray[Any]:
        """Return pixels of a part beside the source."""
        fill = 0 if self.plan.nodata is None else self.plan.nodata
        return np.full((len(bands), *part.window.shape), fill, self.spec.dtype)

    def _pick(self, part: _Part, pixels: NDArray[Any], mask: Mask, bands: range) -> MaskedPixels:
        """Return the nearest pixels of any dtype, of which the positions are warped."""
        size_px = pixels[0].size
        dtype = "float32" if size_px < 2**24 else "float64"  # which hold so large integers
        positions = np.arange(1, size_px + 1, dtype=dtype).reshape(1, *pixels.shape[1:])
        found = np.zeros((1, *part.window.shape), dtype)
        self._reproject(part, positions, found, src_nodata=0, dst_nodata=0)
        index = found[0].astype(np.int64)
        is_found = index != 0
        index -= is_found
        if mask is not None:
            is_found &= mask.reshape(-1)[index]
        if self.plan.source_alpha is not None:
            is_found &= pixels[self.plan.source_alpha].reshape(-1)[index] != 0
        result = self._blank(part, bands)
        for band, plane in enumerate(pixels):
            np.copyto(result[band], plane.reshape(-1)[index], where=is_found)
        if self.plan.adds_alpha:
            result[-1] = np.where(is_found, _OPAQUE.get(self.spec.dtype.name, _OPAQUE_ELSE), 0)
        return result, is_found

    def _resample(self, part: _Part, pixels: NDArray[Any], mask: Mask, bands: range) -> MaskedPixels:
        """Return pixels that are computed of several ones, without those that are missing."""
        plan, dtype = self.plan, self.spec.dtype
        if plan.nodata is not None:
            pixels = _with_nodata(pixels, mask, plan.nodata)
            result = self._blank(part, bands)
            self._reproject(part, pixels, result, src_nodata=plan.nodata, dst_nodata=plan.nodata)
            return result, np.ones(part.window.shape, bool)
        alpha = plan.source_alpha
        if alpha is not None:
            if mask is not None:
                pixels = np.where(mask, pixels, dtype.type(0))
            result = self._blank(part, bands)
            self._reproject(part, pixels, result, src_alpha=alpha + 1, dst_alpha=alpha + 1)
            return result, result[alpha] != 0
        if mask is None and dtype.kind != "f" and not (plan.adds_alpha or self.spec.has_mask):
            result = self._blank(part, bands)
            self._reproject(part, pixels, result)
            return result, np.ones(part.window.shape, bool)
        options: dict[str, Any] = {}
        if mask is not None or dtype.kind == "f":
            wide = np.dtype(_WITH_NAN.get(dtype.name, "float64"))
            missing = np.isnan(pixels) if dtype.kind == "f" else False
            missing = missing if mask is None else missing | ~mask
            pixels = np.where(missing, wide.type(np.nan), pixels.astype(wide, copy=False))
            options = {"src_nodata": np.nan, "dst_nodata": 0}
        count = len(pixels)
        found = np.zeros((count + 1, *part.window.shape), pixels.dtype)
        self._reproject(part, pixels, found, dst_alpha=count + 1, **options)
        is_found = found[count] != 0
        found[:count, ~is_found] = 0
        result = self._blank(part, bands)
        result[:count] = _rounded(found[:count], dtype)
        if plan.adds_alpha:
            opaque = _OPAQUE.get(dtype.name, _OPAQUE_ELSE)
            result[-1] = np.where(is_found, opaque, 0) if options else found[count]
        return result, is_found

    def _reproject(self, part: _Part, pixels: NDArray[Any], result: NDArray[Any], **options: Any) -> None:
        """Warp pixels of a window of the source onto a part of the target grid."""
        place, target, source = self.plan.place, self.spec, part.source or part.window
        if place.gcps is None:
            own: dict[str, Any] = {"src_transform": _moved(place.transform, source)}
        else:
            moved = place.gcps.regrid(source.column_start, source.row_start)
            own = {"gcps": list(moved.points)}
        if self.plan.method in _RADIUS_PX:
            own |= {"XSCALE": 1 / max(1.0, part.x_px), "YSCALE": 1 / max(1.0, part.y_px)}
        with _IGNORED:
            reproject(
                np.ascontiguousarray(pixels),
                result,
                src_crs=place.crs,
                dst_crs=target.crs,
                dst_transform=_moved(target.transform, part.window),
                resampling=_RESAMPLING[self.plan.method],
                num_threads=1,
                UNIFIED_SRC_NODATA="PARTIAL",
                SAMPLE_GRID="YES",
                **self._operation,
                **own,
                **options,
            )


def _geographic(crs: CRS) -> Any:
    """Return the geographic CRS that a CRS is based on, in whose degrees GDAL has areas of interest."""
    if crs.is_geographic:
        return crs
    wkt = crs.to_wkt(version="WKT1_GDAL")
    start = wkt.find("GEOGCS[")
    depth = 0
    for stop in range(start, len(wkt)) if start >= 0 else ():
        depth += (wkt[stop] == "[") - (wkt[stop] == "]")
        if wkt[stop] == "]" and depth == 0:
            return CRS.from_wkt(wkt[start : stop + 1])
    return _DEGREES


def _halves(start: int, stop: int) -> list[tuple[int, int]]:
    """Return the halves of a range, or the whole of one that has no more than one number."""
    middle = (start + stop) // 2
    return [(start, stop)] if stop - start < 2 else [(start, middle), (middle, stop)]


def _spread(count: int) -> list[int]:
    """Return up to three numbers below a count, the first and the last among them."""
    return sorted({0, (count - 1) // 2, count - 1})


def _moved(own: Affine, window: PixelWindow) -> Affine:
    return regrid(own, window.column_start, window.row_start)


def _pixel_size(part: PixelWindow, positions: NDArray[np.float64]) -> float:
    """Return how far positions in the source move for a pixel of the target, along either axis together."""
    steps_px = [side / (points - 1) for side, points in zip(part.shape, positions.shape, strict=True)]
    slopes = [np.abs(np.diff(positions, axis=axis)) / step for axis, step in enumerate(steps_px)]
    middle = [float(np.nanmedian(one)) for one in slopes if np.isfinite(one).any()]
    return math.hypot(*middle) if middle else 1.0


def _with_nodata(pixels: NDArray[Any], mask: Mask, nodata: float) -> NDArray[Any]:
    """Return pixels with nodata in place of NaN and of masked pixels."""
    missing = np.isnan(pixels) if pixels.dtype.kind in "fc" and nodata == nodata else None
    if mask is not None:
        missing = ~mask if missing is None else missing | ~mask
    if missing is None or not missing.any():
        return pixels
    return np.where(missing, pixels.dtype.type(nodata), pixels)


def _rounded(pixels: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return pixels in a dtype, rounded half up where it is of integers, within its range."""
    if pixels.dtype == dtype or dtype.kind not in "iu":
        return pixels.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    high = np.nextafter(float(limits.max) + 1, 0) if limits.max > 2**53 else limits.max
    return np.asarray(np.clip(np.floor(pixels + pixels.dtype.type(0.5)), limits.min, high).astype(dtype))
