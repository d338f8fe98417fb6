"""edit_cog and repack: other metadata, or other overviews, of a GeoTIFF whose tiles are copied as they are encoded."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
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
from georeader._export.sources.stored_file import (
    ANEW,
    StoredFile,
    check_frames,
    images_of,
    stored_file,
    with_masks,
    with_overviews,
)
from georeader._export.sources.stored_tiles import profile_of
from georeader._readers.byte_source import ByteSource, as_raster, open_bytes
from georeader._readers.measurement import FaultLog, Measurement
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

#: Suffixes of files with pixels beside a raster. The longest come first.
MASK_OVERVIEWS_SUFFIX, OVERVIEWS_SUFFIX, MASK_SUFFIX = PIXEL_SUFFIXES = (".msk.ovr", ".ovr", ".msk")

#: Suffixes of those that rasterio's openers read; and of all beside an object in a store.
READ_BY_OPENERS = (".aux.xml", MASK_SUFFIX)
SIDECARS = (".aux.xml", *PIXEL_SUFFIXES)

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
    None removes. What GDAL reads in files beside it (``.aux.xml``, ``.ovr``, ``.msk``, world files) moves inside. See
    docs/editing.md.

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
        NotSupportedError: It is not tiled, or holds more than a raster with overviews and masks; or files beside it
            have metadata that a GeoTIFF does not hold, or pixels that are stored in another way.
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
    with _opened_edit(path, fs, changes, in_place=out is None) as edit:
        if out is None:
            _lock(edit.sources[0])
            where = replace(where, overwrite=True, if_match=_strong_etag(edit.versions[0]), is_edit=True)
        checksum, given = _write(edit, where, progress)
        forget(where.path, fs)
        written = Written(
            engine="edit",
            size_bytes=edit.rewrite.size_bytes,
            crc32=checksum,
            levels=edit.rewrite.stored.levels(),
            tiles_reused=len(edit.rewrite.stored.order),
        )
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
    with _opened_edit(path, fs, parsed, in_place=out is None) as edit:
        target = shown if out is None else redact_url(str(out))
        return edit_plan(shown, target, (edit.before, edit.after), parsed, edit.rewrite)


@dataclass(frozen=True, eq=False)
class _Edit:
    """A file that is open, and what it will be."""

    sources: tuple[ByteSource, ...]  #: The file itself, and those beside it that have tiles.
    versions: tuple[str | None, ...]  #: Of them as they were opened.
    before: ExportSpec
    after: ExportSpec
    rewrite: Rewrite

    def check_unchanged(self, cause: Exception | None = None) -> None:
        """Raise ChangedError if the file is no longer the one that was opened."""
        if tuple(source.version() for source in self.sources) != self.versions:
            raise self.changed() from cause

    def changed(self) -> ChangedError:
        """Return the error for a file that is no longer the one that was opened."""
        return ChangedError(f"{self.sources[0].name}: it was replaced by another while it was edited; edit that one")


def _write(edit: _Edit, where: Destination, progress: Any) -> tuple[int | None, str]:
    """Write the edited file; return its CRC-32 if it is known, and its destination without secrets."""
    with open_sink(where) as sink:
        edit.check_unchanged()
        try:
            with report_progress(progress, len(edit.rewrite.stored.order), name=sink.given) as advance:
                checksum = write_rewrite(edit.rewrite, edit.sources, sink, advance)
            edit.check_unchanged()
            sink.commit()
        except (ReadError, ExistsError) as error:  # of a range that the other file does not have, or of a condition
            edit.check_unchanged(error)
            if isinstance(error, ExistsError) and where.overwrite:  # so it is not the destination's condition
                raise edit.changed() from error
            raise
    return checksum, sink.given


def _strong_etag(version: str | None) -> str | None:
    """Return a version that is an ETag by which a server compares (RFC 9110, section 8.8.3), else None."""
    return version if version is not None and version.startswith('"') and version.endswith('"') else None


@contextmanager
def _opened_edit(path: str | os.PathLike[str], fs: Any, changes: Changes, *, in_place: bool) -> Iterator[_Edit]:
    """Open a file and plan its edit. Nothing is written."""
    text = os.fsdecode(path)
    with open_bytes(path, fs) as source, ExitStack() as stack:
        names = _names_beside(source, text, fs)
        if names and in_place:
            _check_removable(source, text, fs, names)
        beside = [stack.enter_context(open_bytes(place, fs)) for place in _places_of_pixels(source, text, names)]
        sources = (source, *beside)
        versions = tuple(one.version() for one in sources)
        stored, before = _stored(sources), read_raster(as_raster(source))
        if names:
            whole = _read_with_sidecars(source, text, fs)
            stored, before = with_metadata_beside(source, stored, before, whole, names), whole
        after = changes.applied(before.spec)
        statistics = changes.statistics(after.count) if "statistics" in changes else ()
        described = described_by_gdal(after, changes)
        images = tuple(
            replace(image, tags=edited_tags(image, described, changes, statistics)) for image in stored.images
        )
        _warn_of_overviews(source.name, before.spec, after, stored)
        yield _Edit(sources, versions, before.spec, after, plan_rewrite(replace(stored, images=images)))


def _warn_of_overviews(name: str, before: ExportSpec, after: ExportSpec, stored: StoredFile) -> None:
    if stored.overview_count and not same_nodata(before.nodata, after.nodata):
        earlier, new = ("no nodata" if one is None else f"nodata={one}" for one in (before.nodata, after.nodata))
        warn_at_caller(
            f"{name}: overviews and statistics were made with {earlier}, and stay as they are; to make them with "
            f"{new}, save the file again by save_cog",
            MetadataWarning,
        )


# The file as it is stored.


def _stored(sources: Sequence[ByteSource]) -> StoredFile:
    """Read directories and tile arrays of a file and those beside it; raises ReadError or NotSupportedError."""
    source, *beside = sources
    stored = stored_file(source, _measured(source))
    check_frames(source, stored)
    for number, file in enumerate(beside, start=1):
        measurement = _measured(file)
        if (measurement.byte_order == "big-endian") != stored.is_big_endian:
            raise NotSupportedError(f"{file.name}: its byte order is not that of the raster; {ANEW}")
        add = with_overviews if _suffix_of(file.name) == OVERVIEWS_SUFFIX else with_masks
        stored = add(stored, images_of(file, measurement), number, file.name)
    return stored


def _measured(source: ByteSource) -> Measurement:
    measurement = measure(source, tiles=Tiles.UNREAD)
    for problem in judge(measurement):
        if problem.severity is Severity.ERROR and problem.code not in (*LAYOUT_CODES, "external-overviews"):
            raise ReadError(f"{source.name} cannot be edited: {problem.message}")
    return measurement


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


def _suffix_of(name: str) -> str | None:
    """Return which kind of file with pixels a name beside a raster is of; None for any other."""
    return next((suffix for suffix in PIXEL_SUFFIXES if name.lower().endswith(suffix)), None)


def _places_of_pixels(source: ByteSource, path: str, names: Sequence[str]) -> list[str]:
    """Return the paths of the files beside a raster that have pixels: overviews first, which masks may belong to."""
    pixels = [name for name in names if _suffix_of(name)]
    pixels.sort(key=lambda name: _suffix_of(name) != OVERVIEWS_SUFFIX)
    if source.is_local:
        return [str(_local_path(path).with_name(name)) for name in pixels]
    return [f"{path.rpartition('/')[0]}/{name}" for name in pixels]


def _check_removable(source: ByteSource, path: str, fs: Any, names: Sequence[str]) -> None:
    """Raise NotSupportedError for files beside a raster that stay when it is replaced."""
    address = parse_address(path)
    if fs is None and address is not None and address.store == "http":
        raise NotSupportedError(
            f"{source.name} has metadata or pixels in {', '.join(names)}, which an edit over HTTP cannot remove, so "
            "that GDAL would read them as part of the edited file; pass out"
        )


def _read_with_sidecars(source: ByteSource, path: str, fs: Any) -> Reading:
    """Return a raster as GDAL reads it with the files beside it."""
    if source.is_local:
        return read_raster(raster_path(path, fs), WITH_LISTED)
    with ExitStack() as stack:
        there = [end for end in READ_BY_OPENERS if exists(f"{path}{end}", fs=fs)]
        beside = {end: stack.enter_context(open_bytes(f"{path}{end}", fs)) for end in there}
        return read_raster(as_raster(source, beside), WITH_SOUGHT)


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
