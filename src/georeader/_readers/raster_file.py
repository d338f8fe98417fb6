"""Raster files: opened, described and read in windows, as arrays."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
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

from georeader._readers.dataset_cache import opened
from georeader._readers.file_info import FileInfo, at_overview, read_file_info
from georeader._readers.opening import RasterPath, raster_path
from georeader._readers.windows import read_padded
from georeader._storage.obstores import is_obstore, key_in
from georeader._storage.redaction import Redactor, redact_url, redacted_logs, secrets_of_url
from georeader._storage.urls import parse_address
from georeader.errors import ReadError

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


def default_options(path: str, fs: Any = None) -> dict[str, str]:
    """Return the GDAL options for reading a raster: none for a local one.

    Folders of stores and servers are not listed. Beside a GeoTIFF, and beside a file that Python reads, GDAL requests
    the sidecars of `georeader._readers.opening.sidecars_to_read` by name: three requests if none exists, once in a
    process. Other names, such as URLs with a query, have no sidecars.

    Args:
        path: Local path, URL, or a path of GDAL's virtual filesystems.
        fs: As in `RasterioReader`.

    Raises:
        ReadError: As `georeader._readers.opening.raster_path`.
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


@contextmanager
def open_dataset(path: RasterPath, options: Mapping[str, Any], overview_level: int | None = None) -> Iterator[Any]:
    """Open a file in rasterio, or take it from `files_kept_open`; errors become a ReadError that names the file.

    Args:
        path: Of the file.
        options: GDAL configuration options while it is open.
        overview_level: Open this overview of it.

    Raises:
        ReadError: Opening failed, or reading while it was open.
    """
    settings = {**path.options, **options}
    with named_errors(path), rasterio.Env(**settings), opened(path, settings, overview_level) as dataset:
        yield dataset


@contextmanager
def named_errors(path: RasterPath | str) -> Iterator[None]:
    """Convert errors of rasterio and of memory to a ReadError that names the file; logs of clients are redacted.

    Args:
        path: Of the file, or the name of a dataset that the caller opened; its secrets are not shown.

    Raises:
        ReadError: See above.
    """
    name = redact_url(path) if isinstance(path, str) else path.name
    redactor = Redactor(secrets_of_url(path)) if isinstance(path, str) else path.redactor
    try:
        with redacted_logs(redactor):
            yield
    except MemoryError as error:
        raise ReadError(f"{name}: not enough memory ({error}); read a smaller window, or an overview") from error
    except (RasterioError, CPLE_BaseError) as error:
        caught: Exception = error
    else:
        unreported = None if isinstance(path, str) else path.failure()
        if unreported is not None:
            raise unreported  # GDAL reports an object that cannot be read as missing
        return
    # The message of GDAL is in the cause: "Read failed. See previous exception for details."
    cause = caught.__cause__
    reason = str(cause if cause and "previous exception" in str(caught) else caught)
    unreported = None if isinstance(path, str) else path.failure()
    if unreported is not None:
        raise unreported
    reason = redactor.clean(reason)
    raise ReadError(reason if name in reason else f"{name}: {reason}") from redactor.cause(caught)


def alpha_left_out(colorinterp: Sequence[str], indexes: Sequence[int]) -> int | None:
    """Return the alpha band that a selection of bands leaves out, from 1; None if there is none.

    Args:
        colorinterp: Of all bands of the file.
        indexes: The bands that are selected, from 1.

    Example:
        >>> alpha_left_out(["red", "green", "blue", "alpha"], [1, 2, 3])
        4
    """
    alpha = colorinterp.index("alpha") + 1 if "alpha" in colorinterp else None
    return None if alpha in indexes else alpha


def read_mask(dataset: Any, index: int, alpha_index: int | None, window: Any) -> NDArray[np.bool_]:
    """Read the validity of pixels.

    Args:
        dataset: Open in rasterio.
        index: A band, from 1, whose mask applies to all bands.
        alpha_index: An alpha band that is read in place of the mask, from 1, or None.
        window: As in rasterio.

    Returns:
        (row, column), True where pixels are valid.
    """
    found = (
        dataset.read_masks(index, window=window) if alpha_index is None else dataset.read(alpha_index, window=window)
    )
    return np.asarray(found != 0)


@dataclass(frozen=True)
class RasterFile:
    """A raster file or one of its overviews, opened for each read.

    Attributes:
        path: As the caller passed it, as a string; it may hold secrets.
        fs: As the caller passed it, or None.
        options: GDAL configuration options.
        info: Metadata of the file, or of the overview.
        overview_level: Position of the overview, from 0; None: the full resolution.
    """

    path: str = field(repr=False)
    fs: Any = field(repr=False)
    options: Mapping[str, Any] = field(repr=False)
    info: FileInfo
    overview_level: int | None = None

    @classmethod
    def open(cls, path: str, fs: Any, options: Mapping[str, Any]) -> RasterFile:
        """Open a file, read its metadata, close it.

        Raises:
            ReadError: The file cannot be opened.
        """
        found = raster_path(path, fs)
        with open_dataset(found, options) as dataset:
            info = read_file_info(dataset)
            has_georeference = info.transform != Affine.identity() or info.gcps is not None
            world = None if has_georeference else found.world_file()
        return cls(path, fs, options, info if world is None else replace(info, transform=world))

    def overview(self, level: int) -> RasterFile:
        """Return an overview of the file at full resolution.

        Raises:
            ReadError: The file cannot be opened.
        """
        found = replace(self, overview_level=level)
        with found.dataset() as dataset:
            return replace(found, info=at_overview(self.info, dataset))

    def dataset(self) -> AbstractContextManager[Any]:
        """Open the file in rasterio for as long as the context lasts.

        Raises:
            ReadError: Opening failed, or reading while it was open.
        """
        return open_dataset(raster_path(self.path, self.fs), self.options, self.overview_level)

    @property
    def name(self) -> str:
        """The path without the secrets that a URL may hold, for messages."""
        return redact_url(self.path)

    def read(
        self, window: Window, indexes: Sequence[int], *, fill: Any, has_mask: bool, alpha_index: int | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Read a window, which may reach beyond the edge.

        Args:
            window: On whole pixels.
            indexes: Bands, counted from 1.
            fill: Of pixels beyond the edge; None: 0.
            has_mask: Read the mask, too.
            alpha_index: An alpha band that is read in place of the mask, counted from 1, or None.

        Returns:
            (band, row, column) pixels, and the (row, column) mask, False beyond the edge; or None.

        Raises:
            ReadError: The file cannot be read, or its pixels do not fit into memory.
        """
        dtypes = [self.info.dtypes[index - 1] for index in indexes]
        dtype = np.result_type(*dtypes)
        self._check_addressable((len(indexes), int(window.height), int(window.width)), dtype)

        def read_inside(inside: Window) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
            with self.dataset() as dataset:
                self._check_size(dataset)
                mask = read_mask(dataset, indexes[0], alpha_index, inside) if has_mask else None
                if len(set(dtypes)) == 1:
                    return dataset.read(list(indexes), window=inside), mask
                return np.stack([dataset.read(index, window=inside) for index in indexes]), mask

        return read_padded(
            window,
            (self.info.height_px, self.info.width_px),
            read_inside,
            count=len(indexes),
            dtype=dtype,
            fill=0 if fill is None else fill,
            has_mask=has_mask,
        )

    def _check_addressable(self, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
        """Check that an array can hold a window's pixels; numpy raises ValueError for one that is too large."""
        if math.prod(shape) * dtype.itemsize > sys.maxsize:
            raise ReadError(
                f"{self.name}: {' x '.join(map(str, shape))} (band, row, column) pixels of {dtype} are more than an "
                "array can hold; read a smaller window, or an overview"
            )

    def _check_size(self, dataset: Any) -> None:
        info = self.info
        if (dataset.height, dataset.width) != (info.height_px, info.width_px) or dataset.count != info.count:
            raise ReadError(
                f"{self.name}: it has {dataset.count} x {dataset.height} x {dataset.width} (band, row, column) pixels "
                f"now, and had {info.count} x {info.height_px} x {info.width_px} when this reader was made; make a new "
                "one"
            )


class LoadedRaster(NamedTuple):
    """A raster in memory.

    Attributes:
        pixels: (band, row, column).
        transform: Pixel (column, row) to CRS (x, y).
        crs: CRS, or None.
        nodata: Value of missing pixels, or None.
        attrs: Metadata under the keys of `georeader._core.band_attrs`.
    """

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
