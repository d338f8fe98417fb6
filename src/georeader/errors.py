"""Errors and warnings. Every error names the file, option, band or window it is about, and what to do instead.

Each class also derives from the built-in exception that fits, so that ``except ValueError`` written against numpy or
rasterio goes on working.
"""

from __future__ import annotations

from georeader._installation import check_import_name

check_import_name()  # here, too: the other package may have replaced georeader/__init__.py


class GeoreaderError(Exception):
    """Base of every error that georeader raises on purpose."""


class OptionError(GeoreaderError, ValueError):
    """An argument or a ``profile_arg`` entry is unknown, invalid or contradicts another."""


class PathError(OptionError):
    """A field of a path template has no value, or a value cannot be part of a path."""


class DtypeError(GeoreaderError, TypeError):
    """The dtype has no GeoTIFF counterpart; the message names what to cast to."""


class NodataError(GeoreaderError, ValueError):
    """The nodata value cannot be held by the dtype of the raster."""


class ShapeError(GeoreaderError, ValueError):
    """The array is neither (row, column) nor (band, row, column), or it is empty."""


class GeoreferenceError(GeoreaderError, ValueError):
    """CRS or transform are missing or unusable, or two grids that should match do not."""


class LostPlaceError(GeoreferenceError, AttributeError):
    """A numpy operation left the grid: its result has numbers, but no transform and no CRS."""


class MetadataError(GeoreaderError, ValueError):
    """Band descriptions or tags that a GeoTIFF cannot return unchanged."""


class IndexingError(GeoreaderError, NotImplementedError):
    """A selection whose result would have no well defined place; ``.values`` takes any index."""


class NotSupportedError(GeoreaderError, NotImplementedError):
    """A path of GDAL's virtual filesystems, or a URL that lost a slash: no file is saved there; nothing was written."""


class DestinationError(GeoreaderError, OSError):
    """The destination cannot take a file: its folder is missing, it is a directory, and the like."""


class ExistsError(DestinationError, FileExistsError):
    """Something is at the destination already, and ``overwrite=False``; it is as it was."""


class WriteError(GeoreaderError, OSError):
    """Writing failed; an earlier file at the destination is as it was, and nothing else is left."""


class ChangedError(WriteError):
    """The file was replaced by another while it was edited; that other one is as it was."""


class TileError(WriteError):
    """A tile cannot be encoded, or does not come back as it was; the message names level, band plane and tile."""


class ReadError(GeoreaderError, OSError):
    """A raster cannot be opened or read."""


class WorkerError(GeoreaderError, RuntimeError):
    """A worker process could not be started, or ended while it processed a row; or a cluster was lost."""


class MissingExtraError(GeoreaderError, ImportError):
    """An optional dependency is missing; the message names the extra to install."""


class FillValueWarning(UserWarning):
    """The nodata of a file is probably not what is meant: 0 that was not given, or a number beside NaN pixels."""


class LayoutWarning(UserWarning):
    """A layout is probably not as meant: (row, column, band), rows that run north, or a file that is not a COG."""


class MetadataWarning(UserWarning):
    """Metadata that the source carried cannot be kept in a GeoTIFF; the message names them."""
