"""edit_cog: other metadata in a COG or tiled GeoTIFF, whose tiles are copied as they are encoded."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from georeader._core.reporting import held_warnings, report_progress, warn_at_caller
from georeader._core.sentinels import Unset
from georeader._export.edit.changes import ARGUMENTS, Changes
from georeader._export.edit.edit_plan import EditPlan, edit_plan
from georeader._export.edit.rewrite import Rewrite, plan_rewrite, write_rewrite
from georeader._export.edit.stored_file import StoredFile, StoredImage
from georeader._export.edit.tag_edits import edited_tags
from georeader._export.geotiff_tags import descriptive_tags
from georeader._export.plan.encoding import Encoding
from georeader._export.plan.metadata import resolve_metadata
from georeader._export.plan.spec import ExportSpec
from georeader._export.receipt.receipt import Receipt, Written, receipt_from_write
from georeader._export.sinks.opening import open_sink
from georeader._export.sinks.sidecars import names_read_beside
from georeader._export.sources.raster_file import open_dataset_source
from georeader._readers.byte_source import ByteSource, as_raster, open_bytes
from georeader._readers.measurement import MeasuredDirectory, RoleKind
from georeader._readers.pixel_layout import PixelLayout
from georeader._readers.raster_file import forget, open_dataset
from georeader._storage.redaction import redact_url
from georeader._storage.urls import Destination, local_path_of, parse_address
from georeader._tiff.cog_layout import LEADER_BYTES, TRAILER_BYTES
from georeader._tiff.directories import BIG, Tag, TagNumber, TagType
from georeader._tiff.parser import ParsedDirectory, read_directories
from georeader.abstract_reader import same_nodata
from georeader.errors import ChangedError, ExistsError, MetadataWarning, NotSupportedError, ReadError
from georeader.storage import exists
from georeader.validation.judge import judge
from georeader.validation.measure import Tiles, measure
from georeader.validation.problems import Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from georeader._export.statistics import BandSummary

if os.name == "posix":
    import fcntl

__all__ = ["EditPlan", "edit_cog", "plan_edit"]

#: In place of an argument that is not passed: the file keeps what it has.
_KEEP: Any = Unset("keep")

#: Problems of a layout that a new header mends; any other error makes a file one that is not edited.
_MENDED = frozenset({
    "main-directory-offset", "ghost-edition", "ghost-malformed", "directory-order", "data-before-directory",
    "directory-after-data", "data-order", "tile-order", "mask-place", "mask-missing", "tag-order", "not-tiled",
})  # fmt: skip

#: Tags whose values are offsets of further directories.
_POINTERS = {330: "SubIFDs", 34665: "Exif IFD", 34853: "GPS IFD", 40965: "Interoperability IFD"}

_ARRAYS = (TagNumber.TILE_OFFSETS, TagNumber.TILE_BYTE_COUNTS)

#: Suffixes of the sidecars of an object in a store.
SIDECARS = (".aux.xml", ".ovr", ".msk")

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
    None removes. See docs/editing.md.

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
        NotSupportedError: It is not tiled, has sidecars, or holds more than a raster with overviews and masks.
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
        edit = _edit_of(source, path, fs, changes)
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
        >>> print(plan_edit("scene.tif", nodata=255, descriptions=["mask"]))
        scene.tif
          nodata: 0 -> 255
          descriptions[0]: none -> mask
          9 tiles copied as one range, 591,124 bytes in all
    """
    unknown = [name for name in changes if name not in ARGUMENTS]
    if unknown:
        raise TypeError(f"plan_edit() got an unexpected keyword argument {unknown[0]!r}")
    parsed = Changes.parse(changes, replace_tags=replace_tags)
    shown = redact_url(os.fsdecode(path))
    with open_bytes(path, fs) as source:
        edit = _edit_of(source, path, fs, parsed)
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
            name = self.source.name
            raise ChangedError(f"{name}: it was replaced by another while it was edited; edit that one") from cause


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
            raise
    return checksum


def _strong_etag(version: str | None) -> str | None:
    """Return a version that is an ETag by which a server compares (RFC 9110, section 8.8.3), else None."""
    return version if version is not None and version.startswith('"') and version.endswith('"') else None


def _edit_of(source: ByteSource, path: str | os.PathLike[str], fs: Any, changes: Changes) -> _Edit:
    """Plan the edit of a file that is open. Nothing is written."""
    version = source.version()
    stored = _stored(source, os.fsdecode(path), fs)
    before = _spec_of(source)
    after = changes.applied(before)
    statistics = changes.statistics(before.count) if "statistics" in changes else ()
    described = _described(after, changes)
    images = tuple(replace(image, tags=edited_tags(image, described, changes, statistics)) for image in stored.images)
    _warn_of_overviews(source.name, before, after, stored)
    return _Edit(source, version, before, after, plan_rewrite(replace(stored, images=images)))


def _described(spec: ExportSpec, changes: Changes) -> tuple[Tag, ...]:
    """Return GDAL's tags of a raster; without its place where that does not change, which GDAL might not express."""
    if not changes.moves:
        metadata = replace(spec.metadata, gcps=None, rpcs=None)
        spec = replace(spec, crs=None, transform=Affine(2, 0, 0, 0, -2, 0), metadata=metadata)
    return descriptive_tags(spec, warns="crs" in changes)


def _spec_of(source: ByteSource) -> ExportSpec:
    """Return a raster as GDAL reads it."""
    with held_warnings(), open_dataset(as_raster(source), {}) as dataset:  # of what an edit does not touch
        raster = open_dataset_source(dataset).spec
        metadata = resolve_metadata(raster.metadata, count=raster.count, dtype=raster.dtype)
    return ExportSpec(
        kind="cog",
        count=raster.count,
        height_px=raster.height_px,
        width_px=raster.width_px,
        dtype=raster.dtype,
        crs=raster.crs,
        transform=raster.transform,
        nodata=raster.fill_value,
        metadata=metadata,
        encoding=Encoding("NONE", 256, 256, overviews="NONE"),
        resamplings=("NEAREST",) * raster.count,
        is_classes=raster.is_classes,
    )


def _warn_of_overviews(name: str, before: ExportSpec, after: ExportSpec, stored: StoredFile) -> None:
    if stored.overview_count and not same_nodata(before.nodata, after.nodata):
        earlier, new = ("no nodata" if one is None else f"nodata={one}" for one in (before.nodata, after.nodata))
        warn_at_caller(
            f"{name}: overviews and statistics were made with {earlier}, and stay as they are; to make them with "
            f"{new}, save the file again by save_cog",
            MetadataWarning,
        )


# The file as it is stored.


def _stored(source: ByteSource, path: str, fs: Any) -> StoredFile:
    """Read a file's directories and tile arrays; raises ReadError or NotSupportedError if it cannot be edited."""
    _check_sidecars(source, path, fs)
    measurement = measure(source, tiles=Tiles.UNREAD)
    for problem in judge(measurement):
        if problem.severity is Severity.ERROR and problem.code not in _MENDED:
            raise ReadError(f"{source.name} cannot be edited: {problem.message}")
    parsed = {one.number: one for one in read_directories(source, report=lambda _: None)}
    measured = [(one, _tiled_layout(source.name, one)) for one in measurement.directories]
    measured.sort(key=lambda pair: _place_in_header(pair[0]))
    stored = StoredFile(
        size_bytes=source.size_bytes,
        is_bigtiff=measurement.version == BIG.name,
        is_big_endian=measurement.byte_order == "big-endian",
        structure={} if measurement.ghost is None else measurement.ghost.items,
        images=tuple(_image(source.name, one, layout, parsed[one.number]) for one, layout in measured),
    )
    _check_frames(source, stored)
    return stored


def _check_frames(source: ByteSource, stored: StoredFile) -> None:
    """Check leaders and trailers that are copied with the tiles; of a remote file, reading them would take requests."""
    if not source.is_local or stored.data_range_bytes is None:
        return
    start_bytes, _ = stored.data_range_bytes
    leader = source.read_at(start_bytes, LEADER_BYTES)
    sizes = stored.order.sizes_bytes.tolist()
    for end, size, following in zip(
        (stored.order.starts_bytes + stored.order.sizes_bytes).tolist(), sizes, [*sizes[1:], 0], strict=True
    ):
        kept = min(size, TRAILER_BYTES)
        length = kept + TRAILER_BYTES + LEADER_BYTES * bool(following)
        around = source.read_at(end - kept, length)
        last, trailer = around[:kept], around[kept : kept + TRAILER_BYTES]
        if int.from_bytes(leader, "little") != size or (kept == TRAILER_BYTES and trailer != last):
            raise ReadError(
                f"{source.name} cannot be edited: the bytes around the tile that ends at byte {end} are not its size "
                "and its last bytes; GDAL reads tiles by them; save_cog(path, out) writes the file anew"
            )
        leader = around[kept + TRAILER_BYTES :]


def _check_sidecars(source: ByteSource, path: str, fs: Any) -> None:
    address = parse_address(path)
    local = path if address is None else local_path_of(address)
    if source.descriptor is None:
        beside = [] if "?" in path else [f"{path}{end}" for end in SIDECARS if exists(f"{path}{end}", fs=fs)]
    else:
        beside = names_read_beside(Path(local or path))
    if beside:
        raise NotSupportedError(
            f"{source.name} has metadata or pixels in {', '.join(map(redact_url, beside))}, which an edit would lose; "
            "save_cog(path, out) takes them into one file"
        )


def _place_in_header(directory: MeasuredDirectory) -> tuple[bool, bool, int]:
    level = directory.role.level or 0
    return level > 0, directory.role.kind is RoleKind.MASK, level


def _tiled_layout(name: str, directory: MeasuredDirectory) -> PixelLayout:
    """Return the layout of the raster, an overview or a mask; raises NotSupportedError for anything else."""
    if directory.role.kind is RoleKind.OTHER or directory.role.level is None or directory.layout is None:
        raise NotSupportedError(
            f"{name}: IFD {directory.number} is neither the raster, an overview nor a mask; an edit would lose it"
        )
    if not directory.layout.is_tiled:
        raise NotSupportedError(f"{name}: {directory.title} is stored in strips; save_cog(path, out) writes tiles")
    return directory.layout


def _image(name: str, measured: MeasuredDirectory, layout: PixelLayout, parsed: ParsedDirectory) -> StoredImage:
    tags = []
    for entry in parsed.entries.values():
        if entry.number in _POINTERS or entry.type in (TagType.IFD, TagType.IFD8):
            title = _POINTERS.get(entry.number, f"tag {entry.number}")
            raise NotSupportedError(f"{name}: {measured.title} has {title}, which an edit would lose")
        if entry.number not in _ARRAYS and entry.is_readable:
            tags.append(entry.tag())
    return StoredImage(
        level=measured.role.level or 0,
        is_mask=measured.role.kind is RoleKind.MASK,
        width_px=layout.width_px,
        height_px=layout.height_px,
        planes=layout.planes,
        tags=tuple(tags),
        offsets_bytes=measured.tile_offsets_bytes.astype(np.int64),
        sizes_bytes=np.where(measured.present, measured.tile_sizes_bytes, 0).astype(np.int64),
    )


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
