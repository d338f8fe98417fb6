"""edit_cog and repack: other metadata, or other overviews, of a GeoTIFF whose tiles are copied as they are encoded."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from georeader._core.reporting import report_progress, warn_at_caller
from georeader._core.sentinels import Unset
from georeader._export.edit.changes import ARGUMENTS, Changes
from georeader._export.edit.edit_plan import EditPlan, edit_plan
from georeader._export.edit.readings import (
    WITH_LISTED,
    WITH_SOUGHT,
    Reading,
    described_by_gdal,
    read_raster,
    with_metadata_beside,
)
from georeader._export.edit.rewrite import Rewrite, plan_rewrite, write_rewrite
from georeader._export.edit.tag_edits import edited_tags
from georeader._export.plan.spec import ExportSpec
from georeader._export.receipt.receipt import Receipt, Written, receipt_from_write
from georeader._export.sinks.opening import open_sink
from georeader._export.sinks.sidecars import names_read_beside
from georeader._export.sources.stored_file import StoredFile, check_frames, stored_file
from georeader._export.sources.stored_tiles import profile_of
from georeader._readers.byte_source import ByteSource, as_raster, open_bytes
from georeader._readers.measurement import FaultLog
from georeader._readers.opening import raster_path
from georeader._readers.raster_file import forget
from georeader._readers.structure import read_structure
from georeader._storage.redaction import redact_url
from georeader._storage.urls import Destination, local_path_of, parse_address
from georeader.abstract_reader import same_nodata
from georeader.errors import ChangedError, ExistsError, MetadataWarning, NotSupportedError, ReadError
from georeader.rasterio_reader import RasterioReader
from georeader.save import save_cog
from georeader.storage import exists
from georeader.validation.judge import judge
from georeader.validation.measure import Tiles, measure
from georeader.validation.problems import LAYOUT_CODES, Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from georeader._export.statistics import BandSummary

if os.name == "posix":
    import fcntl

__all__ = ["EditPlan", "edit_cog", "plan_edit", "repack"]

#: In place of an argument that is not passed: the file keeps what it has.
_KEEP: Any = Unset("keep")

#: Suffixes of the sidecars of an object in a store: of metadata, and of pixels.
PAM_SUFFIX, PIXEL_SIDECARS = ".aux.xml", (".ovr", ".msk")
SIDECARS = (PAM_SUFFIX, *PIXEL_SIDECARS)

#: Another edit of the same file is waited for so long.
PATIENCE_SECONDS = 10.0


def edit_cog(  # noqa: PLR0913
    path: str | os.PathLike[str],
    *,
    tags: Mapping[str, Any] | None = _KEEP,
    descriptions: Sequence[str | None] | None = _KEEP,
    nodata: float | None = _KEEP,
    crs: Any = _KEEP,
    transform: Any = _KEEP,
    scales: Sequence[float] | None = _KEEP,
    offsets: Sequence[float] | None = _KEEP,
    units: Sequence[str | None] | None = _KEEP,
    colormap: Mapping[int, Sequence[int]] | None = _KEEP,
    colorinterp: Sequence[Any] | None = _KEEP,
    category_names: Mapping[int, str] | Sequence[Any] | None = _KEEP,
    statistics: Sequence[BandSummary | Mapping[str, float] | None] | None = _KEEP,
    replace_tags: bool = False,
    out: str | os.PathLike[str] | Any = None,
    fs: Any = None,
    dir_tmpfiles: str | os.PathLike[str] | None = None,
    durable: bool = False,
    overwrite: bool = True,
    http_headers: Mapping[str, str] | None = None,
    progress: bool | Callable[[int, int], Any] = False,
) -> Receipt:
    """Change the metadata of a COG, or of a tiled GeoTIFF, without decoding a tile.

    A file with another header and the same encoded tiles takes the place of the old one, in one step. It is a COG: the
    header is at the front, tiles stand from the smallest overview to the full resolution, each between its leader and
    trailer (GDAL's COG driver page). What is not passed stays as it is, tags that this project does not know included.
    None removes. Metadata beside it (``.aux.xml``, world files) move inside. See docs/editing.md.

    Args:
        path: Local path or URL, as `georeader.RasterioReader` takes them.
        tags: File-level metadata. They are added to those of the file; None in place of a value removes a tag.
        descriptions: One name, or None, per band.
        nodata: Value of missing pixels, which the dtype must hold. Pixels do not change; a `MetadataWarning` is given
            where overviews were made with another one.
        crs: Anything that rasterio.crs.CRS.from_user_input takes.
        transform: affine.Affine or six numbers, pixel (column, row) to CRS (x, y).
        scales: One factor per band.
        offsets: One summand per band.
        units: One name of a unit, or None, per band.
        colormap: Colours by pixel values, (red, green, blue) or with alpha, of one band of uint8 or uint16.
        colorinterp: One colour interpretation per band, by GDAL's names.
        category_names: Names of classes by pixel values, or of 0, 1, 2, ...; for several bands one of these, or None,
            per band. They are stored as a raster attribute table.
        statistics: One `BandSummary`, mapping of its names to numbers, or None per band. They are not computed.
        replace_tags: ``tags`` replaces all tags of the file.
        out: Path, URL or file object to write to; by default the file is replaced.
        fs: A filesystem of fsspec or a store of obstore, for both paths.
        dir_tmpfiles: As in `georeader.save_cog`, as the following ones.
        durable: Flush file and folder to the disk.
        overwrite: False: an existing file at ``out`` is an error.
        http_headers: Headers of the request that writes to http(s)://.
        progress: True for a tqdm bar, or a callable (tiles done, all tiles).

    Returns:
        A `Receipt` with the number of ``tiles_reused``. Its checksum is None where the system copied the tiles.

    Raises:
        ReadError: There is no such file, or it is malformed.
        NotSupportedError: It is not tiled, holds more than a raster with overviews and masks, or has pixels beside it
            (``.ovr``, ``.msk``), or metadata that a GeoTIFF does not hold.
        ChangedError: It was replaced by another while it was edited.
        GeoreaderError: Another of its kinds, for an argument that is not valid. Nothing was written then.

    Memory: the tile arrays, and 40 MB. Time: a local COG is copied by the system, or its blocks are shared.

    Example:
        >>> import numpy as np
        >>> from georeader import GeoTensor, RasterioReader, edit_cog, save_cog
        >>> tensor = GeoTensor(np.ones((600, 500), "uint8"), (10, 0, 0, 0, -10, 0), "EPSG:32630", fill_value_default=0)
        >>> _ = save_cog(tensor, "scene.tif", tags={"model": "v1"})
        >>> receipt = edit_cog("scene.tif", crs="EPSG:32631", tags={"model": None, "checked": "yes"})
        >>> receipt.tiles_reused, str(RasterioReader("scene.tif").crs)
        (9, 'EPSG:32631')
    """
    arguments = {
        "tags": tags, "descriptions": descriptions, "nodata": nodata, "crs": crs, "transform": transform,
        "scales": scales, "offsets": offsets, "units": units, "colormap": colormap, "colorinterp": colorinterp,
        "category_names": category_names, "statistics": statistics,
    }  # fmt: skip
    begun = time.perf_counter()
    changes = Changes.parse(arguments, replace_tags=replace_tags)
    where = Destination(path if out is None else out, fs, dir_tmpfiles, durable, overwrite, http_headers)
    with open_bytes(path, fs) as source:
        edit = _edit_of(source, path, fs, changes, in_place=out is None)
        if out is None:
            _lock(source)
            where = replace(where, overwrite=True, if_match=_strong_etag(edit.version))
        checksum = _write(edit, where, progress)
        forget(where.path, fs)
        written = Written(
            engine="edit",
            size_bytes=edit.rewrite.size_bytes,
            crc32=checksum,
            levels=edit.rewrite.stored.levels(),
            tiles_reused=len(edit.rewrite.stored.order),
        )
        given = redact_url(str(where.path))
        return receipt_from_write(edit.after, written, path=given, seconds=time.perf_counter() - begun)


def repack(
    src: str | os.PathLike[str] | RasterioReader,
    dst: Any,
    *,
    profile_arg: Mapping[str, Any] | None = None,
    **options: Any,
) -> Receipt:
    """Save a GeoTIFF as a COG in the encoding that it has, with new overviews.

    Tiles of the full resolution are taken over as they are encoded. Each is decoded once, to compute overviews. Codec,
    predictor, tile size, interleave and byte order stay what they are. What cannot be taken over is encoded as by
    `georeader.save_cog`, in the codec of the file where that can be written: strips, samples of fewer bits than the
    dtype has, JPEG of four bands. See docs/editing.md.

    Args:
        src: Local path or URL, or a reader of a whole file.
        dst: As in `georeader.save_cog`.
        profile_arg: Options that do not concern the full resolution, such as RESAMPLING, OVERVIEW_COUNT, BIGTIFF or
            STATISTICS; others have it encoded anew.
        **options: As in `georeader.save_cog`: ``tags``, ``descriptions``, ``nodata``, ``fs``, ``overwrite``, ...

    Returns:
        A `Receipt` with the number of ``tiles_reused``.

    Raises:
        GeoreaderError: One of its kinds, as from a save.

    Example:
        >>> import numpy as np
        >>> from georeader import GeoTensor, repack, save_tiled_geotiff
        >>> tensor = GeoTensor(np.ones((600, 500), "uint8"), (10, 0, 0, 0, -10, 0), "EPSG:32630", fill_value_default=0)
        >>> _ = save_tiled_geotiff(tensor, "tiled.tif", profile_arg={"compress": "zstd"})
        >>> receipt = repack("tiled.tif", "scene.tif", profile_arg={"RESAMPLING": "nearest"})
        >>> receipt.tiles_reused, [level.factor for level in receipt.levels]
        (6, [1, 2, 4])
    """
    path, fs = (src.path, src.fs) if isinstance(src, RasterioReader) else (src, options.get("fs"))
    with open_bytes(path, fs) as source:
        own = profile_of(read_structure(source, FaultLog()))
    given = {str(name).upper() for name in profile_arg or ()}
    profile: Any = {name: value for name, value in own.items() if name.upper() not in given} | dict(profile_arg or {})
    return save_cog(src, dst, profile_arg=profile, **options)


def plan_edit(path: str | os.PathLike[str], *, out: Any = None, fs: Any = None, replace_tags: bool = False,
              **changes: Any) -> EditPlan:  # fmt: skip
    """Return what `edit_cog` would do with these arguments: nothing is written.

    Args:
        path: As in `edit_cog`.
        out: As in `edit_cog`; it is not opened.
        fs: As in `edit_cog`.
        replace_tags: As in `edit_cog`.
        **changes: The metadata that change, as in `edit_cog`.

    Returns:
        An `EditPlan`, frozen. ``print(plan)`` shows a line for each change.

    Raises:
        GeoreaderError: One of its kinds, as from an edit.

    Example:
        >>> import numpy as np
        >>> from georeader import GeoTensor, plan_edit, save_cog
        >>> tensor = GeoTensor(np.ones((600, 500), "uint8"), (10, 0, 0, 0, -10, 0), "EPSG:32630", fill_value_default=0)
        >>> _ = save_cog(tensor, "scene.tif", profile_arg={"compress": "none"})
        >>> plan = plan_edit("scene.tif", crs="EPSG:3857", descriptions=["mask"])
        >>> plan.changes
        (('crs', 'EPSG:32630', 'EPSG:3857'), ('descriptions[0]', None, 'mask'))
        >>> plan.tiles, plan.is_one_copy
        (9, True)
    """
    unknown = [name for name in changes if name not in ARGUMENTS]
    if unknown:
        raise TypeError(f"plan_edit() got an unexpected keyword argument {unknown[0]!r}")
    parsed = Changes.parse(changes, replace_tags=replace_tags)
    shown = redact_url(os.fsdecode(path))
    with open_bytes(path, fs) as source:
        edit = _edit_of(source, path, fs, parsed, in_place=out is None)
        target = shown if out is None else redact_url(str(out))
        return edit_plan(shown, target, (edit.before, edit.after), parsed, edit.rewrite)


@dataclass(frozen=True, eq=False)
class _Edit:
    """A file that is open, and what it will be."""

    source: ByteSource
    version: str | None  #: Of the file as it was opened.
    before: ExportSpec
    after: ExportSpec
    rewrite: Rewrite

    def check_unchanged(self, cause: Exception | None = None) -> None:
        """Raise ChangedError if the file is no longer the one that was opened."""
        if self.source.version() != self.version:
            raise self.changed() from cause

    def changed(self) -> ChangedError:
        """Return the error for a file that is no longer the one that was opened."""
        return ChangedError(f"{self.source.name}: it was replaced by another while it was edited; edit that one")


def _write(edit: _Edit, where: Destination, progress: Any) -> int | None:
    """Write the edited file, and return its CRC-32 if it is known."""
    with open_sink(where) as sink:
        edit.check_unchanged()
        try:
            with report_progress(progress, len(edit.rewrite.stored.order), name=sink.given) as advance:
                checksum = write_rewrite(edit.rewrite, edit.source, sink, advance)
            edit.check_unchanged()
            sink.commit()
        except (ReadError, ExistsError) as error:  # of a range that the other file does not have, or of a condition
            edit.check_unchanged(error)
            if isinstance(error, ExistsError) and where.overwrite:  # so it is not the destination's condition
                raise edit.changed() from error
            raise
    return checksum


def _strong_etag(version: str | None) -> str | None:
    """Return a version that is an ETag by which a server compares (RFC 9110, section 8.8.3), else None."""
    return version if version is not None and version.startswith('"') and version.endswith('"') else None


def _edit_of(source: ByteSource, path: str | os.PathLike[str], fs: Any, changes: Changes, *, in_place: bool) -> _Edit:
    """Plan the edit of a file that is open. Nothing is written."""
    version = source.version()
    names = _names_beside(source, os.fsdecode(path), fs)
    if names:
        _check_beside(source, os.fsdecode(path), fs, names, in_place=in_place)
    stored, before = _stored(source), read_raster(as_raster(source))
    if names:
        whole = _read_with_sidecars(source, os.fsdecode(path), fs)
        stored, before = with_metadata_beside(source, stored, before, whole, names), whole
    after = changes.applied(before.spec)
    statistics = changes.statistics(after.count) if "statistics" in changes else ()
    described = described_by_gdal(after, changes)
    images = tuple(replace(image, tags=edited_tags(image, described, changes, statistics)) for image in stored.images)
    _warn_of_overviews(source.name, before.spec, after, stored)
    return _Edit(source, version, before.spec, after, plan_rewrite(replace(stored, images=images)))


def _warn_of_overviews(name: str, before: ExportSpec, after: ExportSpec, stored: StoredFile) -> None:
    if stored.overview_count and not same_nodata(before.nodata, after.nodata):
        earlier, new = ("no nodata" if one is None else f"nodata={one}" for one in (before.nodata, after.nodata))
        warn_at_caller(
            f"{name}: overviews and statistics were made with {earlier}, and stay as they are; to make them with "
            f"{new}, save the file again by save_cog",
            MetadataWarning,
        )


# The file as it is stored.


def _stored(source: ByteSource) -> StoredFile:
    """Read a file's directories and tile arrays; raises ReadError or NotSupportedError if it cannot be edited."""
    measurement = measure(source, tiles=Tiles.UNREAD)
    for problem in judge(measurement):
        if problem.severity is Severity.ERROR and problem.code not in LAYOUT_CODES:
            raise ReadError(f"{source.name} cannot be edited: {problem.message}")
    stored = stored_file(source, measurement)
    check_frames(source, stored)
    return stored


# Files beside it.


def _names_beside(source: ByteSource, path: str, fs: Any) -> list[str]:
    """Return the names of the files that GDAL reads as part of a raster."""
    if source.is_local:
        return names_read_beside(_local_path(path))
    name = path.rpartition("/")[2]
    return [] if "?" in path else [f"{name}{end}" for end in SIDECARS if exists(f"{path}{end}", fs=fs)]


def _local_path(path: str) -> Path:
    address = parse_address(path)
    return Path(path if address is None else local_path_of(address) or path)


def _check_beside(source: ByteSource, path: str, fs: Any, names: Sequence[str], *, in_place: bool) -> None:
    """Raise NotSupportedError where an edit cannot take the content of these files over, or not remove them."""
    pixels = [name for name in names if name.lower().endswith(PIXEL_SIDECARS)]
    if pixels:
        raise NotSupportedError(
            f"{source.name} has pixels in {', '.join(pixels)}, which an edit would lose; "
            "save_cog(path, out) takes them into one file"
        )
    address = parse_address(path)
    if in_place and fs is None and address is not None and address.store == "http":
        raise NotSupportedError(
            f"{source.name} has metadata in {', '.join(names)}, which an edit over HTTP cannot remove, so that "
            "GDAL would read them instead of the edited ones; pass out"
        )


def _read_with_sidecars(source: ByteSource, path: str, fs: Any) -> Reading:
    """Return a raster as GDAL reads it with the files beside it."""
    if source.is_local:
        return read_raster(raster_path(path, fs), WITH_LISTED)
    with open_bytes(f"{path}{PAM_SUFFIX}", fs) as metadata:
        return read_raster(as_raster(source, {PAM_SUFFIX: metadata}), WITH_SOUGHT)


def _lock(source: ByteSource) -> None:
    """Lock a local file that is replaced, so that a second edit waits; released when it is closed (flock(2))."""
    if source.descriptor is None or os.name != "posix":
        return
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(source.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise ChangedError(f"{source.name}: another process edits it; try again") from None
            time.sleep(0.05)
        except OSError:  # some file systems have no locks
            return
        else:
            return
