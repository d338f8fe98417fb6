"""Files that a command line names, and the destination of each."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import click

from georeader._storage.filesystems import has_magic, urls_like
from georeader._storage.urls import local_path_of, parse_address
from georeader.cli.printing import STANDARD_OUTPUT
from georeader.errors import DestinationError, GeoreaderError, ReadError
from georeader.storage import canonical_path, link_target_outside, redact_url

#: Suffixes of rasters: as the name of a folder they are refused as a probable mistake.
_RASTER_SUFFIXES = frozenset({
    ".tif", ".tiff", ".gtif", ".gtiff", ".cog", ".vrt", ".img", ".jp2", ".j2k", ".jpg", ".jpeg", ".png", ".webp",
    ".gif", ".bmp", ".nc", ".hdf", ".h5", ".grb", ".grib", ".grib2", ".asc", ".ecw", ".sid", ".ntf",
})  # fmt: skip


@dataclass(frozen=True)
class Found:
    """Files that a command line names: (source, destination) of each, and (source, error) of those not to be saved."""

    pairs: Sequence[tuple[str, str]]
    errors: Sequence[tuple[str, GeoreaderError]] = ()


def pair_files(sources: Sequence[str], destination: str) -> Found:
    """Return source and destination of each file, without creating any.

    The destination is a file or "-" for standard output; for several sources and for a pattern it is a folder, which
    exists or has no suffix of a raster.
    """
    if not destination or not all(sources):
        raise click.UsageError("a path is empty; name a file, such as out.tif")
    if len(sources) == 1 and not is_pattern(sources[0]) and not _is_folder(destination):
        return Found([(sources[0], destination)])
    _check_folder(destination)
    names, errors = expand_each(sources)
    pairs = [(name, _path_in(destination, name)) for name in names]
    places: dict[str, str] = {}
    read = {canonical_path(name): name for name in names}
    kept: list[tuple[str, str]] = []
    for source, place in pairs:
        if canonical_path(place) in read:
            replaced = read[canonical_path(place)]
            raise click.UsageError(f"{redact_url(replaced)!r} would be replaced; name another folder")
        if place in places:
            raise click.UsageError(
                f"{redact_url(places[place])!r} and {redact_url(source)!r} would both be {redact_url(place)!r}; "
                "save them to different folders"
            )
        places[place] = source
        try:
            _check_links(place, destination)
            kept.append((source, place))
        except DestinationError as error:
            errors.append((source, error))
    return Found(kept, errors)


def _check_links(place: str, folder: str) -> None:
    target = link_target_outside(place, folder)
    if target is not None:
        raise DestinationError(
            f"{place!r} is a link to {target!r}, outside of the folder; name that file itself, or remove the link"
        )


def _check_folder(destination: str) -> None:
    several = "several sources, or a pattern, go to a folder"
    if destination == STANDARD_OUTPUT:
        raise click.UsageError(f"- is standard output, which takes one file; {several}")
    if _is_local_file(destination):
        raise click.UsageError(f"{destination!r} is a file; {several}")
    suffix = PurePosixPath(_path_of(destination)).suffix.lower()
    if suffix in _RASTER_SUFFIXES and not _is_folder(destination):
        name = redact_url(destination)
        raise click.UsageError(f"{name!r} is named like a file; {several}: name one, or write {name + '/'!r}")


def check_picture(source: str, picture: str) -> None:
    """Check that the destination of a picture is neither empty nor the raster."""
    if not picture:
        raise click.UsageError("the path of the picture is empty; name a file, such as out.png")
    if picture != STANDARD_OUTPUT and canonical_path(picture) == canonical_path(source):
        raise click.UsageError(f"{redact_url(source)!r} would be replaced by its picture; name another file")


def expand_each(sources: Sequence[str]) -> tuple[list[str], list[tuple[str, GeoreaderError]]]:
    """Return the paths and URLs of several sources, and (pattern, error) of each pattern without matches."""
    names: list[str] = []
    errors: list[tuple[str, GeoreaderError]] = []
    for source in sources:
        try:
            names += expand(source)
        except GeoreaderError as error:
            errors.append((source, error))
    return names, errors


def expand(source: str) -> list[str]:
    """Return the paths or URLs that match a pattern, sorted; a source that is not a pattern is returned."""
    if not is_pattern(source):
        return [source]
    address = parse_address(source)
    local = source if address is None else local_path_of(address)
    if address is not None and local is None:
        found = urls_like(address)
    else:
        found = sorted(glob.glob(str(local), recursive=True))  # noqa: PTH207  (Path's takes no absolute pattern)
    if not found:
        raise ReadError(f"nothing matches {redact_url(source)!r}; list the folder, or quote the pattern")
    return found


def is_pattern(source: str) -> bool:
    """Return whether a source is a pattern."""
    if source.lower().startswith(("http://", "https://")):  # "?" begins a query
        return "*" in source.partition("?")[0]
    return has_magic(source) and not Path(source).exists()


def _is_folder(destination: str) -> bool:
    return destination.endswith(("/", os.sep)) or ("://" not in destination and Path(destination).is_dir())


def _is_local_file(destination: str) -> bool:
    return "://" not in destination and Path(destination).is_file()


def _path_in(folder: str, source: str) -> str:
    """Return the path of a file in a folder, named after its source."""
    return f"{folder.rstrip('/') or folder}{'' if folder == '/' else '/'}{PurePosixPath(_path_of(source)).stem}.tif"


def _path_of(name: str) -> str:
    return re.split(r"[?#]", name, maxsplit=1)[0] if "://" in name else Path(name).as_posix()
