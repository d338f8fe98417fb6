"""Raster files: opened, perhaps kept open, described and read in windows, as arrays."""

from __future__ import annotations

import math
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window

from georeader._arrays.pixel_attrs import pad
from georeader._core.band_attrs import alpha_band
from georeader._core.dtypes import convert_pixels
from georeader._core.windows import MaskedPixels
from georeader._readers.file_info import FileInfo, at_overview, read_file_info
from georeader._readers.opening import RasterPath, raster_path
from georeader._storage.obstores import is_obstore, key_in
from georeader._storage.redaction import Redactor, redact_url, redacted_logs, secrets_of_url
from georeader._storage.remote_errors import ADVICE
from georeader._storage.urls import parse_address
from georeader.errors import DtypeError, GeoreaderError, ReadError
from georeader.window_utils import overlap

#: GDAL options for reading over HTTP: do not list the folder, merge neighbouring ranges.
RIO_ENV_OPTIONS_DEFAULT = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIPLEX": "YES",
}

#: URL or GDAL path of a GeoTIFF in a store or on a server, outside of archives.
_PLAIN_TIFF = re.compile(r"^(?:[a-z0-9]+://|/vsi(?!zip|tar|gzip)[a-z0-9_]+/(?!vsi))[^?#!]*\.(tiff?)$", re.IGNORECASE)

#: URL, or path of GDAL's virtual filesystems, on the network.
_REMOTE = re.compile(r"(^|\+)(?!(file|zip|tar|gzip)\b)[a-z0-9]+://|/vsi(curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)\b")

#: Number of files that `files_kept_open` keeps; the least recently read one is closed for the next.
FILES_KEPT = 8

#: Suffixes of the sidecars that GDAL reads beside a GeoTIFF.
_BESIDE = (".aux.xml", ".ovr", ".msk")


#: GDAL's filesystems that keep parts of what was read.
_NETWORKS = ("/vsicurl/", "/vsis3/", "/vsigs/", "/vsiaz/", "/vsiadls/", "/vsioss/", "/vsiswift/", "/vsiwebhdfs/")


def default_options(path: str, fs: Any = None) -> dict[str, str]:
    """Return the GDAL options for reading a raster: none for a local one.

    Folders of stores and servers are not listed. Beside a GeoTIFF, and beside a file that Python reads, GDAL requests
    ``.aux.xml``, ``.msk`` and the world file by name: three requests if none exists, once in a process. Other names,
    such as URLs with a query, have no sidecars.
    """
    is_remote = fs is not None or bool(_REMOTE.search(path))
    if is_remote and raster_path(path, fs).container is not None:
        return {"GDAL_DISABLE_READDIR_ON_OPEN": "TRUE"}
    if not is_remote:
        return {}
    plain = _PLAIN_TIFF.match(path)
    if plain is None:
        return dict(RIO_ENV_OPTIONS_DEFAULT)
    read = (f".{plain[1]}", f".{plain[1]}.aux.xml", f".{plain[1]}.msk", ".tfw")
    return RIO_ENV_OPTIONS_DEFAULT | {
        "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
        "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ",".join(read),
    }


def forget(path: Any, fs: Any = None) -> None:
    """Have GDAL drop the parts that it holds of a remote raster, after another file has taken its place.

    GDAL keeps parts of files that it has read over a network, and does not ask whether they are still the same.
    """
    if fs is not None or not isinstance(path, (str, os.PathLike)) or hasattr(path, "fs"):
        return
    text = os.fsdecode(path)
    with suppress(GeoreaderError):  # the file is saved, even where it cannot be read from here
        found = raster_path(text)
        if not found.was_opened:
            return
        settings = {**found.options, **default_options(text), "CPL_VSIL_CURL_NON_CACHED": ":".join(_NETWORKS)}
        with named_errors(found), rasterio.Env(**settings), found.open():
            pass  # dropped when it is closed


class _Kept:
    """Open datasets that are not being read, by the arguments that they were opened with."""

    def __init__(self) -> None:
        self.datasets: dict[Any, Any] = {}
        self._owner: tuple[int, int] | None = _this_thread()

    @property
    def is_mine(self) -> bool:
        """Whether this thread is in the block: a forked process shares its position in a file with the other one."""
        return self._owner == _this_thread()

    def put(self, key: Any, dataset: Any) -> None:
        """Add a dataset; another one of the same key is closed, and the oldest of too many."""
        self._close(key)
        self.datasets[key] = dataset
        if len(self.datasets) > FILES_KEPT:
            self._close(next(iter(self.datasets)))

    def close(self) -> None:
        """Close all; a task that continues after the block keeps nothing open."""
        self._owner = None
        for key in tuple(self.datasets):
            self._close(key)

    def _close(self, key: Any) -> None:
        dataset = self.datasets.pop(key, None)
        if dataset is not None:
            dataset.close()


_KEPT: ContextVar[_Kept | None] = ContextVar("georeader_kept_open", default=None)


def _this_thread() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


@contextmanager
def files_kept_open() -> Iterator[None]:
    """Open each GeoTIFF that this thread reads by `georeader.RasterioReader` once, and close it after the block.

    Saves time in many reads of few files, and in reads of many small files, which are opened once instead of twice. It
    applies to files on local disks alone. All others are opened for each read, and so is a file that was replaced or
    written to meanwhile (except through a memory map), or in whose folder a file appeared. At most `FILES_KEPT` files
    stay open. Other threads, and processes forked in the block, are not affected; nested blocks are one block. On
    Windows, where an open file cannot be replaced, no file stays open.

    Memory: the blocks of each file in GDAL's cache (GDAL_CACHEMAX).

    Example:
        >>> import numpy as np
        >>> from georeader import GeoTensor, RasterioReader, files_kept_open, save_cog
        >>> for number in range(3):
        ...     chip = GeoTensor(np.full((1, 64, 64), number, "uint8"), (10, 0, 640 * number, 0, -10, 0), 3857, None)
        ...     _ = save_cog(chip, f"chip-{number}.tif")
        >>> with files_kept_open():
        ...     [int(RasterioReader(f"chip-{number}.tif").load().max()) for number in range(3)]
        [0, 1, 2]
    """
    around = _KEPT.get()
    if around is not None and around.is_mine:
        yield
        return
    kept = _Kept()
    token = _KEPT.set(kept)
    with ExitStack() as stack:
        stack.callback(kept.close)
        stack.callback(_KEPT.reset, token)
        stack.enter_context(rasterio.Env())  # one for all files: it takes a tenth of the time of opening a file
        yield


@contextmanager
def open_dataset(path: RasterPath, options: Mapping[str, Any], overview_level: int | None = None) -> Iterator[Any]:
    """Open a file or its overview, or take it from `files_kept_open`; errors meanwhile become a ReadError."""
    settings = {**path.options, **options}
    with named_errors(path), rasterio.Env(**settings), _opened(path, settings, overview_level) as dataset:
        yield dataset


@contextmanager
def _opened(path: RasterPath, settings: Mapping[str, Any], overview_level: int | None) -> Iterator[Any]:
    """Open a file, or take it from those that are kept open; after the block it is closed, or kept."""
    level = {} if overview_level is None else {"overview_level": overview_level}
    kept = _KEPT.get()
    if kept is None or not kept.is_mine or path.container is not None:
        with path.open(**level) as dataset:
            yield dataset
        return
    state = _state_of(path.path)
    key = (path.path, repr(settings), overview_level, state)
    dataset = kept.datasets.pop(key, None) or path.open(**level)
    try:
        yield dataset
    except BaseException:
        dataset.close()
        raise
    if state is not None and dataset.driver == "GTiff" and kept.is_mine:
        kept.put(key, dataset)
    else:
        dataset.close()


def _state_of(path: str) -> tuple[Any, ...] | None:
    """Return values that change if a local file or its sidecars are replaced or written to; None for other files.

    The folder's own time changes if files appear in it or are removed; the ctime of a file cannot be set back.
    """
    if os.name == "nt":
        return None
    try:
        states = [os.stat(path), os.stat(os.path.dirname(path) or ".")]  # noqa: PTH116, PTH120
    except (OSError, ValueError):  # one of GDAL's paths, mostly
        return None
    for suffix in _BESIDE:
        with suppress(OSError):
            states.append(os.stat(path + suffix))  # noqa: PTH116
    return tuple((one.st_dev, one.st_ino, one.st_size, one.st_ctime_ns) for one in states)


@contextmanager
def named_errors(path: RasterPath | str) -> Iterator[None]:
    """Convert errors to a ReadError that names the file or dataset; messages and logs are redacted."""
    if isinstance(path, str):
        path = RasterPath(redact_url(path), path, redactor=Redactor(secrets_of_url(path)))
    try:
        with redacted_logs(path.redactor):
            yield
    except MemoryError as error:
        raise ReadError(f"{path.name}: not enough memory ({error}); read a smaller window, or an overview") from error
    except (RasterioError, CPLE_BaseError) as error:
        caught: Exception | None = error
    else:
        caught = None
    unreported = path.failure()  # GDAL reports an object that cannot be read as missing
    if unreported is not None:
        raise unreported
    if caught is None:
        return
    # The message of GDAL is in the cause: "Read failed. See previous exception for details."
    cause = caught.__cause__
    reason = path.redactor.clean(str(cause if cause and "previous exception" in str(caught) else caught))
    if "AWS_NO_SIGN_REQUEST" in reason:
        reason = f"{ADVICE['none']}; AWS_NO_SIGN_REQUEST=YES reads a public bucket ({reason})"
    message = reason if path.name in reason else f"{path.name}: {reason}"
    raise ReadError(message) from path.redactor.cause(caught)


def alpha_left_out(colorinterp: Sequence[str], indexes: Sequence[int]) -> int | None:
    """Return the alpha band that a selection of bands of a file leaves out, all from 1; None if there is none."""
    alpha = alpha_band(colorinterp)
    return None if alpha is None or alpha + 1 in indexes else alpha + 1


def read_mask(dataset: Any, index: int, alpha_index: int | None, window: Any) -> NDArray[np.bool_]:
    """Read the (row, column) mask of a band, or an alpha band in its place, from 1: True where pixels are valid."""
    found = (
        dataset.read_masks(index, window=window) if alpha_index is None else dataset.read(alpha_index, window=window)
    )
    return np.asarray(found != 0)


def read_padded(
    window: Window,
    shape: tuple[int, int],
    read: Callable[[Window], MaskedPixels],
    *,
    count: int,
    dtype: np.dtype[Any],
    fill: Any,
    has_mask: bool,
) -> MaskedPixels:
    """Read a window on whole pixels, which may reach beyond the edge of a raster of (rows, columns).

    ``read`` returns the (band, row, column) pixels and the (row, column) mask, or None, of a window inside the raster.
    It is not called where window and raster do not meet. Beyond the edge pixels are ``fill``, and the mask is False.
    """
    inside = Window.from_slices(*overlap(window, *shape)[0])
    if 0 in (inside.height, inside.width):
        size = int(window.height), int(window.width)
        return np.full((count, *size), fill, dtype), np.zeros(size, bool) if has_mask else None
    pixels, mask = read(inside)
    return pad(pixels, window, shape, fill), None if mask is None else pad(mask, window, shape, fill=False)


@dataclass(frozen=True)
class RasterFile:
    """A raster file or one of its overviews, opened for each read."""

    path: str = field(repr=False)  #: as the caller passed it; it may hold secrets
    fs: Any = field(repr=False)
    options: Mapping[str, Any] = field(repr=False)  #: of GDAL's
    info: FileInfo  #: of the file, or of the overview
    overview_level: int | None = None  #: from 0; None: the full resolution

    @classmethod
    def open(cls, path: str, fs: Any, options: Mapping[str, Any]) -> RasterFile:
        """Open a file, read its metadata, close it."""
        found = raster_path(path, fs)
        with open_dataset(found, options) as dataset:
            info = read_file_info(dataset)
            has_georeference = info.transform != Affine.identity() or info.gcps is not None
            world = None if has_georeference or found.container is None else found.container.world_file()
        return cls(path, fs, options, info if world is None else replace(info, transform=world))

    def overview(self, level: int) -> RasterFile:
        """Return an overview of the file at full resolution."""
        found = replace(self, overview_level=level)
        with found.dataset() as dataset:
            return replace(found, info=at_overview(self.info, dataset))

    def dataset(self) -> AbstractContextManager[Any]:
        """Open the file in rasterio for as long as the context lasts."""
        return open_dataset(raster_path(self.path, self.fs), self.options, self.overview_level)

    @property
    def name(self) -> str:
        """The path without the secrets that a URL may hold, for messages."""
        return redact_url(self.path)

    def _converted(self, pixels: NDArray[Any], index: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the pixels of a band in the dtype of all, which may not hold large integers."""
        try:
            return convert_pixels(pixels, dtype)
        except DtypeError as error:
            raise DtypeError(f"{self.name}, band {index}: {error}; read bands of one dtype at a time") from error

    def read(
        self, window: Window, indexes: Sequence[int], *, fill: Any, has_mask: bool, alpha_index: int | None = None
    ) -> MaskedPixels:
        """Read the (band, row, column) pixels of a window, which may reach beyond the edge, and perhaps its mask."""
        info = self.info
        dtype = np.result_type(*(info.dtypes[index - 1] for index in indexes))
        shape = len(indexes), int(window.height), int(window.width)
        if math.prod(shape) * dtype.itemsize > sys.maxsize:  # numpy would raise a ValueError
            raise ReadError(
                f"{self.name}: {' x '.join(map(str, shape))} (band, row, column) pixels of {dtype} are more than an "
                "array can hold; read a smaller window, or an overview"
            )

        def read_inside(inside: Window) -> MaskedPixels:
            with self.dataset() as dataset:
                sizes = (dataset.count, dataset.height, dataset.width), (info.count, info.height_px, info.width_px)
                now, before = (" x ".join(map(str, size)) for size in sizes)
                if now != before:
                    raise ReadError(
                        f"{self.name}: it has {now} (band, row, column) pixels now, and had {before} when this reader "
                        "was made; make a new one"
                    )
                mask = read_mask(dataset, indexes[0], alpha_index, inside) if has_mask else None
                if len({info.dtypes[index - 1] for index in indexes}) == 1:
                    return dataset.read(list(indexes), window=inside), mask
                bands = [self._converted(dataset.read(index, window=inside), index, dtype) for index in indexes]
                return np.stack(bands), mask

        return read_padded(
            window,
            (info.height_px, info.width_px),
            read_inside,
            count=len(indexes),
            dtype=dtype,
            fill=0 if fill is None else fill,
            has_mask=has_mask,
        )


class LoadedRaster(NamedTuple):
    """A raster in memory: (band, row, column) pixels, and metadata under the keys of `GeoTensor.attrs`."""

    pixels: NDArray[Any]
    transform: Affine
    crs: CRS | None
    nodata: int | float | None
    attrs: dict[str, Any]


def load_file(
    path: str | os.PathLike[str],
    *,
    fs: Any = None,
    load_tags: bool = True,
    load_descriptions: bool = True,
    rio_env_options: Mapping[str, Any] | None = None,
) -> LoadedRaster:
    """Read a whole raster file; see `georeader.GeoTensor.load_file`."""
    if fs is not None:
        options = {"load_tags": load_tags, "load_descriptions": load_descriptions, "rio_env_options": rio_env_options}
        given = os.fsdecode(path)
        name = redact_url(given)
        return _load_named_bytes(_read_bytes(given, fs), name, PurePath(name).name or None, **options)
    text = os.fsdecode(path)
    file = RasterFile.open(text, None, dict(default_options(text) if rio_env_options is None else rio_env_options))
    info = file.info
    indexes = list(range(1, info.count + 1))
    window = Window(0, 0, info.width_px, info.height_px)
    pixels, mask = file.read(window, indexes, fill=0, has_mask=info.has_mask)
    choices = (("tags", load_tags), ("band_tags", load_tags), ("descriptions", load_descriptions))
    unwanted = [key for key, is_wanted in choices if not is_wanted]
    attrs = {key: value for key, value in info.attrs(indexes).items() if key not in unwanted}
    if mask is not None:
        attrs["mask"] = mask
    return LoadedRaster(pixels, info.transform, info.crs, info.nodatavals[0], attrs)


def load_bytes(bytes_read: bytes | bytearray | memoryview, **options: Any) -> LoadedRaster:
    """Read a raster file whose bytes are in memory; see `georeader.GeoTensor.load_bytes`."""
    content = bytes(bytes_read)
    return _load_named_bytes(content, f"the {len(content)} bytes given", None, **options)


def _read_bytes(path: str, fs: Any) -> bytes:
    try:
        if is_obstore(fs):
            return bytes(fs.get(key_in(fs, path, parse_address(path))).bytes())
        with fs.open(path, "rb") as file:
            return bytes(file.read())
    except OSError as error:
        raise ReadError(str(error) if path in str(error) else f"{path}: {error}") from error


def _load_named_bytes(content: bytes, name: str, filename: str | None, **options: Any) -> LoadedRaster:
    """Load bytes under a name for messages, in place of the file's name in GDAL's memory."""
    with MemoryFile(content, filename=filename) as file:
        try:
            return load_file(file.name, **options)
        except ReadError as error:
            in_memory = rf"'?(/vsimem/\S+/)?{re.escape(PurePath(file.name).name)}'?:?\s*"
            raise ReadError(f"{name}: {re.sub(in_memory, '', str(error))}") from error
