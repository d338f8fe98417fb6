"""Sidecars that GDAL reads beside a GeoTIFF: those that belong to a raster which is being replaced.

There are three kinds, by their names:

- the raster's whole name and a suffix (``a.tif.aux.xml``): of this raster alone;
- its name without extension (``a.tfw``, ``a_RPC.TXT``): another raster, such as ``a.png``, may need the same file;
- ambiguous names (``a.tif.xml``, ``a.xml``, ``a.txt``, ``a.tab``): the content of the file decides.

Extensions are compared without regard to case, as GDAL does; the name before them is not.

References:
    GDAL's GTiff driver page, "Georeferencing" (PAM, world files, TAB files) and "Metadata" (IMD, RPB, RPC.TXT);
    GDAL's world file rule: first and last letter of the extension and "w", the extension and "w", or "wld".
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

import rasterio
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT

from georeader._core.reporting import warn_at_caller
from georeader._storage.redaction import redact_url
from georeader._storage.urls import Destination, local_path_of, parse_address
from georeader.errors import DestinationError, MetadataWarning

#: GDAL lists the files of a folder up to this number, and looks for each name by itself in a larger one.
MOST_NAMES = 1000

#: Behind the whole name.
_WHOLE_SUFFIXES = (".aux.xml", ".ovr", ".msk", ".msk.ovr", ".ovr.aux.xml", ".msk.aux.xml", ".ovr.ovr")

#: As those, if the content is ArcGIS's metadata, in which GDAL looks for a CRS.
_ARCGIS_SUFFIX = ".xml"

#: Behind the name without its extension, besides world files.
_STEM_SUFFIXES = (".imd", ".rpb", "_rpc.txt")

#: As those, if their content is that of a sidecar.
_ASKED_SUFFIXES = (".tab", ".xml", ".txt", ".rpc", ".pass", ".pvl", "_metadata.txt", "_mtl.txt")

#: Begins ArcGIS's metadata: those of ISO 19139 have another root.
_ARCGIS_METADATA = re.compile(r"\ufeff?(?:\s|<\?[^>]*>|<!--(?:(?!-->).)*-->|<![^>-][^>]*>)*<metadata[\s/>]", re.DOTALL)

#: Of a product, in whose folder all rasters share them.
_OF_FOLDER = ("METADATA.DIM", "summary.txt")

#: Extensions of rasters that have world files, TAB files and RPCs as GeoTIFFs do.
_RASTERS = frozenset({
    "tif", "tiff", "gtiff", "jpg", "jpeg", "png", "gif", "bmp", "webp", "jp2", "j2k", "jxl", "avif", "heic", "ecw",
    "sid", "img", "ntf", "nitf", "pix", "vrt", "bil", "bip", "bsq", "nc", "hdf", "h5", "asc", "grd", "ers", "dem",
    "pgm", "ppm", "til", "dim", "mrf", "kea", "dat", "raw", "cub",
})  # fmt: skip

#: Why a sidecar stays, and what to do.
SHARED = (
    "beside it belongs to other rasters, too, and stays; GDAL reads it as part of the new file, so save to another "
    "name or folder"
)
KEPT = (
    "beside it stays, since overwrite=False; GDAL reads it as part of the new file, so remove it, or save to another "
    "name or folder"
)
STUCK = "of an earlier file cannot be removed; GDAL reads it as part of the new file, so remove it by other means"


@dataclass(frozen=True)
class Sidecars:
    """Names of the files beside a raster."""

    own: tuple[str, ...] = ()  #: They belong to this raster alone.
    shared: tuple[str, ...] = ()  #: Another raster with the same name before its extension needs them, too.
    asked: tuple[str, ...] = ()  #: They are sidecars if their content is.


def sidecars_among(names: Iterable[str], raster: str) -> Sidecars:
    """Return the sidecars of a raster among the names in its folder. Pure.

    Example:
        >>> sidecars_among(["a.png", "a.tif.aux.xml", "a.TFW", "a.wld", "a.xml", "b.tfw"], "a.tif")
        Sidecars(own=('a.tif.aux.xml', 'a.TFW'), shared=('a.wld',), asked=('a.xml',))
    """
    stem, extension = _split(raster)
    others = set()
    own, shared, asked = [], [], []
    beside = {name for name in names if name.startswith(stem) or name in _OF_FOLDER} - {raster}
    for name in sorted(beside):
        if name.startswith(raster) and name[len(raster) :].lower() in _WHOLE_SUFFIXES:
            own.append(name)
        elif name.startswith(stem) and name[len(stem) :].lower() in (*_STEM_SUFFIXES, *_world_suffixes(extension)):
            shared.append(name)
        elif name in _OF_FOLDER or _is_asked(name, stem, raster):
            asked.append(name)
        elif _split(name)[0] == stem and _split(name)[1] in _RASTERS:
            others.add(_split(name)[1])
    needed = [name for name in shared if _is_needed(name[len(stem) :].lower(), others)]
    own += [name for name in shared if name not in needed]
    return Sidecars(tuple(own), tuple(needed), tuple(asked))


def is_raster_name(name: str) -> bool:
    """Return whether a file is a raster that GDAL reads with files beside it, by its name."""
    return _split(name)[1] in _RASTERS


def _split(name: str) -> tuple[str, str]:
    path = PurePosixPath(name)
    return path.stem, path.suffix[1:].lower()


def _is_asked(name: str, stem: str, raster: str) -> bool:
    is_arcgis = name.startswith(raster) and name[len(raster) :].lower() == _ARCGIS_SUFFIX
    return is_arcgis or (name.startswith(stem) and name[len(stem) :].lower() in _ASKED_SUFFIXES)


def _world_suffixes(extension: str) -> tuple[str, ...]:
    if len(extension) < 2:
        return (".wld",)
    return f".{extension[0]}{extension[-1]}w", f".{extension}w", ".wld"


def _is_needed(suffix: str, extensions: Iterable[str]) -> bool:
    """Return whether a raster with one of these extensions needs a file with this suffix."""
    is_world = suffix.startswith(".") and suffix.endswith("w")
    return any(not is_world or suffix in _world_suffixes(extension) for extension in extensions)


# Local rasters.


def remove_sidecars(path: Path) -> list[str]:
    """Remove the sidecars of a local raster, as it is from now on.

    Returns the names of files that GDAL reads beside it and that stay, since they belong to other rasters, too. Raises
    OSError if the folder cannot be listed, or a sidecar cannot be read or removed; all others are removed.
    """
    found = sidecars_among(_names_beside(path), path.name)
    read = _names_that_gdal_reads(path) if found.shared or found.asked else ()
    own: list[str] = []
    failures: list[OSError] = []
    for name in (*found.own, *found.asked):
        try:
            if name in found.own or _is_own(path, name, name in read):
                path.with_name(name).unlink(missing_ok=True)
                own.append(name)
        except OSError as error:
            failures.append(error)
    if failures:
        raise failures[0]
    return [name for name in (*found.shared, *found.asked) if name in read and name not in own]


def names_read_beside(path: Path) -> list[str]:
    """Return the names of the sidecars that GDAL reads as part of a local raster."""
    found = sidecars_among(_names_beside(path), path.name)
    return sorted(_names_that_gdal_reads(path)) if found != Sidecars() else []


def _names_beside(path: Path) -> list[str]:
    with os.scandir(path.parent) as entries:
        names = [entry.name for entry in islice(entries, MOST_NAMES + 1)]
    if len(names) <= MOST_NAMES:
        return names
    return [name for name in _possible_names(path.name) if os.path.lexists(path.with_name(name))]


def _names_that_gdal_reads(path: Path) -> Collection[str]:
    """Return the names of the files beside a raster that GDAL reads as part of it; none if GDAL cannot open it."""
    try:
        with (
            rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="FALSE", GDAL_PAM_ENABLED="YES"),
            rasterio.open(path, sharing=False) as dataset,
        ):
            return {os.path.basename(name) for name in dataset.files} - {path.name}  # noqa: PTH119
    except RasterioError:
        return ()


def _is_own(raster: Path, name: str, is_read: bool) -> bool:
    """Return whether a file with an ambiguous name is a sidecar of a raster.

    MapInfo's TAB files are tables of vectors, mostly; those of rasters name the raster. Of metadata that have the whole
    name of the raster, GDAL reads ArcGIS's alone, and does not list them.
    """
    if not name.startswith(raster.stem):
        return False
    is_arcgis = name[: -len(_ARCGIS_SUFFIX)] == raster.name
    if not is_arcgis and not name.lower().endswith(".tab"):
        return is_read
    with raster.with_name(name).open("rb") as file:
        text = file.read(4096).decode("utf-8", "replace")
    if is_arcgis:
        return _ARCGIS_METADATA.match(text) is not None
    fields = dict(re.findall(r'\b(File|Type)\s+"([^"]*)"', text))
    return fields.get("Type") == "RASTER" and re.split(r"[/\\]", fields.get("File", raster.name))[-1] == raster.name


def _possible_names(raster: str) -> Iterable[str]:
    """Return every name that `sidecars_among` looks for, with the extension in lower case and in upper case."""
    stem, extension = _split(raster)
    suffixes = (*_STEM_SUFFIXES, *_ASKED_SUFFIXES, *_world_suffixes(extension), *(f".{other}" for other in _RASTERS))
    for beginning, ends in ((raster, (*_WHOLE_SUFFIXES, _ARCGIS_SUFFIX)), (stem, suffixes)):
        for end in ends:
            yield from {beginning + end, beginning + end.upper()}
    yield from _OF_FOLDER


def warn_of(given: str, names: Collection[str], why: str) -> None:
    """Warn of sidecars beside a new raster that stay, for one of the reasons above."""
    if names:
        warn_at_caller(f"{given!r}: {', '.join(names)} {why}", MetadataWarning)


# Sources that are sidecars.


def check_source_stays(data: Any, where: Destination) -> None:
    """Raise DestinationError if a source is a sidecar of its destination, as ``a.tif.ovr`` is of ``a.tif``.

    A save removes the sidecars of the earlier file, since GDAL reads them as part of the new one.
    """
    for source, fs in _paths_of(data):
        if not _is_path(where.path) or (fs is not where.fs and fs != where.fs):
            continue
        destination = os.fsdecode(where.path)
        places = _places_of(destination)
        if any(
            folder == other_folder and sidecars_among([name], other).own
            for folder, name in _places_of(source)
            for other_folder, other in places
        ):
            raise DestinationError(
                f"{redact_url(destination)!r}: its source {redact_url(source)!r} is a sidecar of it: GDAL reads it as "
                "part of the destination, and a save removes it; save to another name or folder"
            )


def _paths_of(data: Any) -> Iterable[tuple[str, Any]]:
    """Return (path, filesystem) of the files that an object reads, where it names them."""
    while isinstance(data, WarpedVRT):
        data = data.src_dataset
    variables = getattr(data, "data_vars", None)  # of an xarray.Dataset
    parts = [data] if variables is None else [data, *variables.values()]
    for part in parts:
        encoding = getattr(part, "encoding", None)
        if isinstance(encoding, dict):  # xarray's objects name the file that they were opened from
            found, fs = encoding.get("source"), None
        else:
            # A path, a RasterioReader or a rasterio dataset.
            found = part if _is_path(part) else getattr(part, "path", getattr(part, "name", None))
            fs = getattr(part, "fs", None)
        if _is_path(found):
            yield os.fsdecode(found), fs


def _is_path(value: Any) -> TypeGuard[str | bytes | os.PathLike[str]]:
    return isinstance(value, (str, bytes, os.PathLike))


def _places_of(path: str) -> set[tuple[str, str]]:
    """Return (folder, name) of a path, and of what it links to; none of an invalid path, which is refused elsewhere."""
    try:
        address = parse_address(path)
        local = path if address is None else local_path_of(address)
        if local is None:
            folder, _, name = path.rpartition("/")
            return {(folder, name)}
        absolute = os.path.abspath(local)  # noqa: PTH100  (a link stays)
        folder, name = os.path.split(absolute)
        return {(os.path.realpath(folder), name), os.path.split(os.path.realpath(absolute))}
    except (OSError, ValueError):
        return set()
