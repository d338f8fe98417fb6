"""CogWriter: a Cloud Optimized GeoTIFF from results that arrive in windows."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rasterio.windows import Window

from georeader import save
from georeader._core.threads import Workers
from georeader._storage.urls import Destination
from georeader.errors import GeoreaderError, OptionError, WriteError
from georeader.window_utils import WindowPair

if TYPE_CHECKING:
    from georeader._core.windows import PixelWindow
    from georeader._export.receipt.receipt import Receipt
    from georeader._export.writer.ordered import BackgroundSave, RowOrder
    from georeader._export.writer.score_file import ScoreFile
    from georeader._export.writer.window_buffer import WindowBuffer
    from georeader.profile_options import Engine, ProfileArg

#: Share of ``max_memory`` for pixels that were written and wait; the rest is for the export.
_BUFFER_SHARE = 0.25

#: The same for accumulators of a blend, to which later windows add, if the export keeps at least so much.
_BLEND_SHARE = 0.6
_EXPORT_BYTES = 128 * 2**20


class CogWriter(AbstractContextManager["CogWriter"]):
    """Writes a COG from windows that arrive in any order, from one thread or several.

    For tiled inference and mosaics, in place of ``rasterio.open(path, "w")`` and ``build_overviews``. Windows need not
    follow tiles. Where they overlap, the last one written wins; pixels that are not written are nodata (0 if there is
    none). The file is made when the block ends, with the same bytes as by `georeader.save_cog`, and appears at its path
    whole. After an exception in the block there is no file. See docs/saving.md.

    With ``blend``, pixels that are masked, NaN or nodata do not count, each band by itself, and pixels for which none
    counts are nodata; NaN in a float file without nodata. "last", "first", "max" and "min" choose one of the pixels.
    "mean", "hann", "gaussian", "linear" and a function are means, by equal weights or by weights that fall towards the
    edges of the window; "sum" is a sum. Sums of integer files are rounded half to even; results that would equal
    nodata become the number beside it.

    Order of windows: "first" and "last" depend on it. "max", "min", means and sums of at most two windows per pixel,
    and sums of integers that the accumulators hold exactly, do not. Others may differ in the last bits; with
    ``deterministic=True`` no file does.

    Memory: ``max_memory``. Windows or accumulators beyond it are spooled to an anonymous file in ``dir_tmpfiles``.

    Attributes:
        receipt: A `Receipt` once the block has ended; None before.
        score_receipt: That of the file of scores, if there is one.

    Example:
        >>> import numpy as np
        >>> from georeader import CogWriter, GeoTensor, RasterioReader
        >>> from rasterio.windows import Window
        >>> grid, crs = (10, 0, 500000, 0, -10, 4000000), "EPSG:32630"
        >>> with CogWriter("classes.tif", shape=(600, 700), dtype="uint8", nodata=255, transform=grid, crs=crs) as w:
        ...     for row in range(0, 600, 200):
        ...         w.write(np.full((200, 700), row // 200, "uint8"), Window.from_slices((row, row + 200), (0, 700)))
        >>> RasterioReader("classes.tif").values[0, ::200, 0].tolist(), w.receipt is None
        ([0, 1, 2], False)

        A file of one band on the grid of a raster of several, and a file of its second band:

        >>> scene = GeoTensor(np.ones((4, 60, 70), "uint8"), grid, crs, nodata=0)
        >>> with CogWriter("mask.tif", like=scene, count=1) as w:
        ...     w.write(np.ones((60, 70), "uint8"))
        >>> with CogWriter("green.tif", like=scene, indexes=2) as w:
        ...     w.write(scene.values[1])
        >>> RasterioReader("mask.tif").shape, RasterioReader("green.tif").shape
        ((1, 60, 70), (1, 60, 70))

        The class with the highest mean score, of windows that overlap:

        >>> scores = np.stack([np.full((60, 40), 0.2, "float32"), np.full((60, 40), 0.8, "float32")])
        >>> with CogWriter("best.tif", like=scene, dtype="uint8", nodata=255, blend="hann", argmax=True) as w:
        ...     for column in (0, 30):
        ...         w.write(scores, Window.from_slices((0, 60), (column, column + 40)))
        >>> np.unique(RasterioReader("best.tif").values)
        array([1], dtype=uint8)
    """

    def __init__(  # noqa: PLR0913
        self,
        path: str | os.PathLike[str] | Any,
        *,
        like: Any = None,
        shape: tuple[int, ...] | None = None,
        dtype: Any = None,
        transform: Any = None,
        crs: Any = None,
        count: int | None = None,
        indexes: int | Sequence[int] | None = None,
        nodata: float | None = None,
        descriptions: Sequence[str | None] | None = None,
        tags: Mapping[str, Any] | None = None,
        profile_arg: ProfileArg | None = None,
        fs: Any = None,
        dir_tmpfiles: str | os.PathLike[str] | None = None,
        engine: Engine = "auto",
        verify: bool = False,
        durable: bool = False,
        overwrite: bool = True,
        http_headers: Mapping[str, str] | None = None,
        max_memory: int | str = save._MAX_MEMORY_UNSET,
        progress: bool | Callable[[int, int], Any] = False,
        ordered: bool = False,
        windows: Collection[Window | WindowPair] | None = None,
        blend: str | Callable[[int, int], Any] | None = None,
        accumulator: str | None = None,
        argmax: bool = False,
        score: Any = False,
        deterministic: bool = False,
    ) -> None:
        """Resolve the file's spec; invalid arguments are refused here.

        Args:
            path: As in `georeader.save_cog`.
            like: Anything that `georeader.save_cog` takes, whose shape, dtype, transform and CRS the file gets unless
                they are passed. Its nodata and metadata are taken over only if dtype and number of bands are the same.
                Its pixels are read only if they are in memory.
            shape: (row, column) or (band, row, column), in pixels.
            dtype: numpy dtype, stored as `georeader.profile_from_dtype` returns.
            transform: Pixel (column, row) to CRS (x, y).
            crs: Any CRS input; None for that of ``like``, or none.
            count: Number of bands; by default that of ``shape`` or of ``like``.
            indexes: Bands of ``like`` that the file has, counted from 1, in this order: a number or several. Their
                nodata and metadata are taken over unless the dtype differs.
            nodata: Value of missing pixels, and of those that are not written.
            descriptions: One name, or None, per band.
            tags: File-level metadata.
            profile_arg: As in `georeader.save_cog`.
            fs: As in `georeader.save_cog`.
            dir_tmpfiles: As in `georeader.save_cog`.
            engine: As in `georeader.save_cog`.
            verify: As in `georeader.save_cog`.
            durable: As in `georeader.save_cog`.
            overwrite: As in `georeader.save_cog`.
            http_headers: As in `georeader.save_cog`.
            max_memory: As in `georeader.save_cog`; a quarter of it is for windows that wait, or up to
                60 % with ``blend``.
            progress: As in `georeader.save_cog`, from the end of the block on; with ``ordered`` from its beginning, and
                called in another thread.
            ordered: Windows arrive row by row, as `georeader.iter_windows` yields them: rows that no further window can
                touch are encoded and freed at once, beside the caller. A window must not begin above the row of windows
                before the newest one. The pixels are the same as without; a predictor that is chosen ("AUTO") is chosen
                by the first rows. Where rows have to be read in another order (GDAL's engine, a file on another grid,
                rows from south to north), they wait as without.
            windows: A list of all windows that will be written, such as those of `georeader.iter_windows`, each as
                often as it is written: as ``ordered``, but they may come from any threads in any order. Rows are
                encoded and freed once all windows over them are written; windows that are not listed are refused.
            blend: Of windows that overlap: None (each replaces what was written, nodata included), "last", "first",
                "max", "min", "mean", "sum", "hann", "gaussian", "linear", or a function of a window's (height, width)
                that returns its (row, column) weights.
            accumulator: "float32" or "float64" for weighted sums. None: float32; for files of float64 or of 32 or 64
                bit integers without ``argmax`` float64.
            argmax: Windows are (class, row, column) scores. They are blended, and the file's one band is the number of
                the class, from 0, with the highest result; of equal ones the first. Scores have no nodata; a pixel of
                which one score is NaN or masked does not count.
            score: With ``argmax``, where the result of that class goes: True for a second band of the file, whose dtype
                must then be floating, or a path or file object for a COG of the accumulators' dtype, which is written
                first. It has the default profile, and nodata NaN; the arguments of the destination apply to both.
            deterministic: The file does not depend on the order of writes; "first" and "last" are by position (row,
                then column). Windows are kept, in memory or spooled, until the block ends, or their rows are saved.

        Raises:
            GeoreaderError: One of its kinds, as in `georeader.save_cog`.
        """
        from georeader._export.geotiff_tags import descriptive_tags
        from georeader._export.pipeline import make_engine
        from georeader._export.plan.resolve import choose_engine, resolve_spec
        from georeader._export.sinks.opening import open_sink
        from georeader._export.sinks.sidecars import check_source_stays
        from georeader._export.sources.warped import on_target_grid
        from georeader._export.writer.arguments import Grid, blank_spec
        from georeader._export.writer.blend_arguments import BlendArguments, check_other_file, make_rules
        from georeader._export.writer.score_file import ScoreFile

        self.receipt: Receipt | None = None
        self.score_receipt: Receipt | None = None
        how = BlendArguments(blend, accumulator, argmax, score, deterministic)
        how.check()
        self._deterministic = deterministic
        where = Destination(path, fs, dir_tmpfiles, durable, overwrite, http_headers)
        request = save._parse_request(
            "cog",
            where,
            profile_arg=profile_arg,
            descriptions=descriptions,
            tags=tags,
            nodata=nodata,
            engine=engine,
            verify=verify,
            max_memory=max_memory,
            progress=progress,
        )
        self._buffer_bytes = _buffer_bytes(request.max_memory_bytes, is_blend=blend is not None)
        self._request = replace(request, max_memory_bytes=request.max_memory_bytes - self._buffer_bytes)
        check_source_stays(like, request.destination)
        self._sink = open_sink(request.destination)
        self._opened = ExitStack()
        source = blank_spec(like, how.grid(Grid(shape, dtype, transform, crs, count, indexes)))
        source = replace(source, holds_classes=how.argmax)
        self._spec = resolve_spec(source, request)
        descriptive_tags(self._spec, warns=False)  # raises for a CRS that a GeoTIFF does not hold
        #: What windows are converted to; values that do not fit are refused by `write`.
        self._source = replace(source, dtype=self._spec.dtype)
        self._rules = make_rules(source, self._spec, how)
        self._score: ScoreFile | None = None
        self._buffer: WindowBuffer | None = None
        buffer = self._new_buffer()
        if how.has_score_file:
            self._request = replace(self._request, max_memory_bytes=self._request.max_memory_bytes // 2)
            check_other_file(path, score)
            self._score = ScoreFile(replace(where, path=score), self._request, self._spec, buffer)
        chosen, _ = choose_engine(self._spec, self._request)
        keeps_grid = self._spec.warp is None or self._spec.warp.is_same_grid
        is_read_by_rows = chosen == "stream" and keeps_grid and not self._spec.is_mirrored
        listed = None if windows is None else self._places(windows)
        self._is_ordered = (bool(ordered) or listed is not None) and is_read_by_rows
        self._listed = listed
        self._order: RowOrder | None = None
        self._saves: list[BackgroundSave] = []
        self._failure: BaseException | None = None
        # Raises if max_memory is too small.
        make_engine(chosen, on_target_grid(buffer, self._spec), self._spec, self._sink, self._request)

    def _places(self, windows: Any) -> list[PixelWindow]:
        """Return the windows that are listed; a generator would be empty for the caller's loop."""
        if not isinstance(windows, Iterable):
            raise OptionError(f"windows is a {type(windows).__name__}; pass a list of windows")
        if isinstance(windows, Iterator):
            raise OptionError("windows can be iterated over only once; pass list(windows)")
        listed = [self._place(window) for window in windows]
        if not listed:
            raise OptionError("windows is empty; pass all windows that will be written")
        return listed

    def _place(self, window: Any) -> PixelWindow:
        """Return a window that is listed, or the one to write of a pair."""
        try:
            return self._rules.window(None, window.write if isinstance(window, WindowPair) else window)
        except GeoreaderError as error:
            raise type(error)(f"{self._sink.given!r}: windows: {error}") from error

    @property
    def shape(self) -> tuple[int, int, int]:
        """(band, row, column), in pixels."""
        return self._source.shape

    def __repr__(self) -> str:
        """Return one line: the destination, the raster and the state."""
        state = "open" if self._buffer is not None else "not open" if self.receipt is None else "written"
        axes = " x ".join(map(str, self.shape))
        return f"<CogWriter {self._sink.given!r}: {axes} (band, row, column) {self._spec.dtype}, {state}>"

    def __enter__(self) -> CogWriter:
        """Open the destination; nothing is at the path yet.

        Raises:
            WriteError: The writer is open already.
        """
        if self._buffer is not None:
            raise WriteError(f"{self._sink.given!r}: the writer is open already; leave its with block first")
        with ExitStack() as opening:
            for sink in (self._sink,) if self._score is None else (self._sink, self._score.sink):
                opening.enter_context(sink)
            self._opened = opening.pop_all()
        self._buffer = self._new_buffer()
        self._order = None if self._listed is None else self._new_order(self._buffer)
        if self._is_ordered:
            self._begin_saves(self._buffer)
        return self

    def _new_order(self, buffer: WindowBuffer) -> RowOrder:
        from georeader._export.writer.ordered import RowOrder

        return RowOrder(repr(self._sink.given), self._spec.height_px, buffer.block_height_px, self._listed)

    def _begin_saves(self, buffer: WindowBuffer) -> None:
        """Begin to save rows; where no thread can be started, the file is saved at the end of the block."""
        from georeader._export.pipeline import Hooks, write_source
        from georeader._export.writer.ordered import BackgroundSave, OrderedSource

        count = 1 if self._score is None else 2
        workers = self._opened.enter_context(Workers(count, name="georeader-save"))
        if workers.threads < count:
            return
        self._order = order = self._new_order(buffer)
        source, hooks = OrderedSource(buffer, order, buffer), Hooks(order.check)
        if self._score is not None:
            write_scores = self._score.writing(buffer, lambda source: OrderedSource(source, order, buffer), hooks)
            hooks = Hooks(order.check, partial(self._end_scores, BackgroundSave(order, workers, write_scores)))
        save = partial(write_source, source, self._sink, self._request, self._spec, hooks=hooks)
        self._saves = [BackgroundSave(order, workers, save)]

    def _end_scores(self, save: BackgroundSave) -> None:
        self.score_receipt = save.result()

    def write(
        self,
        array: Any,
        window: Window | None = None,
        *,
        indexes: int | Sequence[int] | None = None,
        weight: Any = None,
    ) -> None:
        """Write the pixels of a window; may be called from several threads at once.

        Args:
            array: (row, column) or (band, row, column), of the window's size; masked pixels become nodata. Copied.
            window: In pixels of the file, within it. None: located by a GeoTensor's transform; the whole raster for a
                plain array.
            indexes: Bands of the file, counted from 1, in the order of the array's: a number or several. By default
                all. With ``argmax``, arrays have all classes and windows no indexes.
            weight: With ``blend``, (row, column) or (band, row, column) weights in place of those by position, finite
                and not negative; pixels of weight 0 do not count.

        Raises:
            IndexingError: The window is not on whole pixels of the file, or a band does not exist.
            ShapeError: The array's size or number of bands differs from the window's.
            DtypeError: A pixel does not fit the dtype, or the number of a class does not.
            GeoreferenceError: A GeoTensor passed without ``window`` is on another grid.
            NodataError: Nodata is the number of a class.
            OptionError: The array is masked, and there is no nodata; or weights are negative, or there is no blend.
            WriteError: The writer is not open, or the disk is full.
        """
        buffer = self._buffer
        if buffer is None:
            raise WriteError(f"{self._sink.given!r}: the writer is not open; use it in a with block")
        try:
            bands = self._rules.bands(indexes)
            checked = self._rules.window(array, window)
            given = self._rules.check(array, weight, len(bands), checked.shape)
            buffer.check(given)
        except GeoreaderError as error:
            raise type(error)(f"{self._sink.given!r}: {error}") from error
        with nullcontext() if self._order is None else self._order.writing(checked):
            try:
                buffer.write(checked, bands, given)
            except BaseException as error:  # a part of the window may be written
                self._failure = self._failure or error
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the file, or after an exception release everything."""
        from georeader._export.pipeline import write_source

        buffer, self._buffer = self._buffer, None
        order, self._order = self._order, None
        saves, self._saves = self._saves, []
        failure, self._failure = self._failure, None
        if kind is not None:
            if order is not None:
                order.fail(error or kind())
            self._opened.__exit__(kind, error, trace)
        elif failure is not None:
            with self._opened:
                if order is not None:
                    order.fail(failure)
                raise WriteError(
                    f"{self._sink.given!r}: not saved, since a window could not be written: {failure}; do not continue "
                    "after an error of write"
                ) from failure
        elif order is not None and saves:
            with self._opened:
                order.finish()
                self.receipt = saves[0].result()
        elif buffer is not None:
            with self._opened:
                if self._score is not None:
                    self.score_receipt = self._score.writing(buffer)()
                self.receipt = write_source(buffer, self._sink, self._request, self._spec)

    def _new_buffer(self) -> WindowBuffer:
        from georeader._export.writer.blend_arguments import BlendRules
        from georeader._export.writer.blend_buffer import BlendBuffer
        from georeader._export.writer.window_buffer import WindowBuffer

        encoding, rules = self._spec.encoding, self._rules
        common: dict[str, Any] = {
            "name": f"{self._sink.given!r}, as it was written",
            "spec": self._source,
            "fill": rules.fill,
            "tile_shape": (encoding.tile_height_px, encoding.tile_width_px),
            "limit_bytes": self._buffer_bytes,
            "open_spool": self._sink.open_spool,
        }
        if not isinstance(rules, BlendRules):
            return WindowBuffer(**common)
        return BlendBuffer(
            **common,
            blend=rules.blend,
            nodata=rules.missing,
            is_argmax=rules.is_argmax,
            is_deterministic=self._deterministic,
        )


def _buffer_bytes(max_memory_bytes: int, *, is_blend: bool) -> int:
    """Return the part of ``max_memory`` that is for the buffer."""
    least_bytes = int(_BUFFER_SHARE * max_memory_bytes)
    most_bytes = int(_BLEND_SHARE * max_memory_bytes) if is_blend else least_bytes
    return max(least_bytes, min(most_bytes, max_memory_bytes - _EXPORT_BYTES))
