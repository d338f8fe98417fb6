"""CogWriter: a Cloud Optimized GeoTIFF from results that arrive in pieces."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from georeader import save
from georeader.errors import GeoreferenceError, IndexingError, OptionError, ShapeError, WriteError
from georeader.georeferenced import Georeferenced
from georeader.pixels import split_mask
from georeader.unsaid import Unsaid
from georeader.window_utils import same_transform, whole_pixel_window, window_transform

if TYPE_CHECKING:
    from georeader.export.canvas import Canvas
    from georeader.export.receipt import Receipt

#: Of ``max_memory``, pixels that were written and wait take so much; the rest is for the export.
_CANVAS_SHARE = 0.25


class CogWriter(AbstractContextManager["CogWriter"]):
    """Writes a COG from windows that come in any order, from one thread or several.

    It takes the place of a loop over ``rasterio.open(path, "w")`` and ``build_overviews``: tiled inference, mosaics.
    Windows need not follow tiles. Where they overlap, the one that was written last wins; pixels that nobody wrote are
    nodata (0 where there is none). The file is made when the block ends: it appears at its path whole, as by
    `georeader.save_cog`, and the same bytes come out. When the block ends by an exception, nothing appears.

    Memory: ``max_memory``. What was written and does not fit waits in a spool in ``dir_tmpfiles``, uncompressed; it is
    gone when the block ends, or with the process.

    Attributes:
        receipt: What was written, once the block has ended; None before.

    Example:
        >>> from affine import Affine
        >>> from georeader import CogWriter, RasterioReader
        >>> place = {"transform": Affine(10, 0, 500000, 0, -10, 4000000), "crs": "EPSG:32630"}
        >>> with CogWriter("classes.tif", shape=(600, 700), dtype="uint8", nodata=255, **place) as w:
        ...     for row in range(0, 600, 200):
        ...         w.write(np.full((200, 700), row // 200, "uint8"), Window(0, row, 700, 200))
        >>> RasterioReader("classes.tif").values[0, ::200, 0].tolist(), w.receipt.size_bytes > 0
        ([0, 1, 2], True)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        like: Any = None,
        shape: tuple[int, ...] | None = None,
        dtype: Any = None,
        transform: Any = None,
        crs: Any = None,
        nodata: float | None = None,
        descriptions: Sequence[str | None] | None = None,
        tags: Mapping[str, Any] | None = None,
        profile_arg: Mapping[str, Any] | None = None,
        fs: Any = None,
        dir_tmpfiles: str | os.PathLike[str] | None = None,
        engine: str = "auto",
        verify: bool = False,
        durable: bool = False,
        max_memory: int | str = Unsaid(save.MAX_MEMORY_DEFAULT_BYTES),
        progress: bool | Callable[[int, int], Any] = False,
    ) -> None:
        """Say what the file will be; whatever can be refused is refused here.

        Args:
            path: As in `georeader.save_cog`.
            like: A GeoTensor, reader, path, DataArray, or anything else that `georeader.save_cog` takes, whose grid the
                file gets: shape, dtype, transform and CRS, unless they are passed too. Its nodata, band descriptions,
                tags and other metadata are taken over only if dtype and number of bands are its own: a mask made of a
                scene is no scene. Its pixels are not read.
            shape: (row, column) or (band, row, column), in pixels.
            dtype: numpy dtype; the file's is what `georeader.profile_from_dtype` gives for it.
            transform: Pixel (column, row) to CRS (x, y).
            crs: Any CRS input; None: that of ``like``, or none.
            nodata: Value of missing pixels, and of those that nobody writes.
            descriptions: One name, or None, per band.
            tags: File-level metadata.
            profile_arg: As in `georeader.save_cog`.
            fs: As in `georeader.save_cog`.
            dir_tmpfiles: Folder for the spool; beside the destination by default.
            engine: As in `georeader.save_cog`.
            verify: As in `georeader.save_cog`.
            durable: As in `georeader.save_cog`.
            max_memory: As in `georeader.save_cog`: of pixels that wait and, at the end, of the export.
            progress: As in `georeader.save_cog`; it tells of the export at the end.

        Raises:
            GeoreaderError: One of its kinds, as in `georeader.save_cog`.
        """
        from georeader.export.blank import blank_spec
        from georeader.export.memory_size import memory_bytes
        from georeader.export.pipeline import Wishes, check_wishes

        self.receipt: Receipt | None = None
        self._sink, self._scratch = save._destination(path, fs, dir_tmpfiles, durable)
        self._spec = blank_spec(like, shape=shape, dtype=dtype, transform=transform, crs=crs)
        limit_bytes = memory_bytes(max_memory)
        self._canvas_bytes = int(_CANVAS_SHARE * limit_bytes)
        rest = type(max_memory) if isinstance(max_memory, Unsaid) else int
        self._wishes = Wishes(
            "cog", save._default_profile(), profile_arg, descriptions, tags, nodata, engine, verify,
            rest(limit_bytes - self._canvas_bytes), progress,
        )  # fmt: skip
        self._wanted = check_wishes(self._spec, self._wishes)
        self._canvas: Canvas | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(band, row, column), in pixels."""
        return self._spec.count, self._spec.height_px, self._spec.width_px

    def __enter__(self) -> CogWriter:
        """Begin; nothing is at the path yet."""
        from georeader.export.canvas import Canvas

        self._sink.__enter__()
        encoding, nodata = self._wanted.encoding, self._wanted.nodata_as_mask
        nodata = self._wanted.nodata if nodata is None else nodata
        self._canvas = Canvas(
            name=f"{self._sink.given!r}, as it was written",
            spec=self._spec,
            fill=0 if nodata is None else nodata,
            tile_shape=(encoding.tile_height_px, encoding.tile_width_px),
            limit_bytes=self._canvas_bytes,
            open_spool=self._sink.open_spool,
        )
        return self

    def write(self, array: Any, window: Window | None = None, *, indexes: int | Sequence[int] | None = None) -> None:
        """Write some pixels; may be called from several threads at once.

        Args:
            array: (row, column) or (band, row, column), of the window's size; numbers that the dtype can't hold are an
                error. It is copied.
            window: In pixels of the file, within it. None: where a GeoTensor's transform says, or for a plain array
                the whole raster.
            indexes: Bands, counted from 1; all by default.

        Raises:
            IndexingError: The window does not lie on whole pixels of the file; or a band is not there.
            ShapeError: The array is of another size than the window, or has another number of bands.
            DtypeError: A pixel does not fit the dtype.
            GeoreferenceError: A GeoTensor without ``window`` lies on another grid.
            OptionError: The array is masked, and there is no nodata.
            WriteError: The writer is not open, or the disk is full.
        """
        if self._canvas is None:
            raise WriteError(f"{self._sink.given!r}: the writer is not open; use it in a with block")
        from georeader.export.dtypes import convert_pixels
        from georeader.export.pyramid import Region

        bands = self._bands(indexes)
        pixels = self._pixels(array)
        whole = self._window(array, window)
        size = (int(whole.height), int(whole.width))
        if pixels.ndim == 2:
            pixels = pixels[np.newaxis]
        if pixels.shape != (len(bands), *size):
            raise ShapeError(
                f"{self._sink.given!r}: an array of shape {np.shape(array)} does not fit {len(bands)} bands of a "
                f"window of {size[0]} x {size[1]} pixels; cut one of them"
            )
        rows, columns = whole.toslices()
        region = Region(rows.start, rows.stop, columns.start, columns.stop)
        self._canvas.write(region, bands, convert_pixels(pixels, self._spec.dtype))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Make the file; or after an exception, let go of everything."""
        from georeader.export.pipeline import export_source

        canvas, self._canvas = self._canvas, None
        try:
            if kind is None and canvas is not None:
                self.receipt = export_source(canvas, self._sink, self._scratch, self._wishes)
        finally:
            self._sink.abort()

    def _bands(self, indexes: int | Sequence[int] | None) -> list[int]:
        if indexes is None:
            return list(range(self._spec.count))
        listed = indexes if isinstance(indexes, Sequence) else [indexes]
        bands = [operator.index(index) - 1 for index in listed]
        wrong = [band + 1 for band in bands if not 0 <= band < self._spec.count]
        if wrong or not bands:
            raise IndexingError(
                f"{self._sink.given!r}: bands {wrong or 'none'} asked for; there are 1 to {self._spec.count}"
            )
        return bands

    def _pixels(self, array: Any) -> NDArray[Any]:
        """Give an array's pixels; what its mask hides becomes nodata."""
        pixels, mask = split_mask(array)
        attrs = getattr(array, "attrs", None)
        said = attrs.get("mask") if isinstance(attrs, Mapping) else None
        for valid in (mask, said):
            if valid is None or valid.all():
                continue
            if self._wanted.nodata is None:
                raise OptionError(f"{self._sink.given!r}: a masked array, and the file has no nodata; pass nodata")
            pixels = np.where(valid, pixels, self._wanted.nodata)
        if pixels.ndim not in (2, 3):
            raise ShapeError(
                f"{self._sink.given!r}: an array of shape {pixels.shape}; write takes (row, column) or "
                "(band, row, column)"
            )
        return np.asarray(pixels)

    def _window(self, array: Any, window: Window | None) -> Window:
        """Give the window on whole pixels, within the file."""
        if window is None:
            window = self._window_of(array)
        try:
            whole = whole_pixel_window(window)
        except IndexingError as error:
            raise IndexingError(f"{self._sink.given!r}: {error}") from error
        height_px, width_px = self._spec.height_px, self._spec.width_px
        is_inside = 0 <= whole.row_off <= whole.row_off + whole.height <= height_px
        if not (is_inside and 0 <= whole.col_off <= whole.col_off + whole.width <= width_px):
            raise IndexingError(
                f"{self._sink.given!r}: {whole} reaches beyond the raster of {height_px} x {width_px} pixels; cut "
                "array and window at its edge"
            )
        return whole

    def _window_of(self, array: Any) -> Window:
        if not isinstance(array, Georeferenced):
            return Window(0, 0, self._spec.width_px, self._spec.height_px)
        own, place = self._spec.transform, array.transform
        column, row = ~own * (place.c, place.f)
        window = Window(column, row, array.shape[-1], array.shape[-2])
        if not same_transform(window_transform(window, own), place):
            raise GeoreferenceError(
                f"{self._sink.given!r}: the array lies on another grid than the file; resample it, or pass its window"
            )
        return window
