"""Judgement of a measurement by the rules for a Cloud Optimized GeoTIFF: header, directories, order and tiles. Pure.

`judge_pixels` judges what the directories declare of pixels, overviews and masks.

References:
    OGC 21-026 (Cloud Optimized GeoTIFF 1.0); TIFF 6.0; GDAL's validate_cloud_optimized_geotiff.py and rio-cogeo's
    cog_validate, all of whose checks are here.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from georeader._tiff.cog_layout import LEADER_BYTES, TRAILER_BYTES
from georeader._tiff.parser import Fault, FaultKind
from georeader.validation.extents import TileTable, overlapping, past_the_end, structure_of, tile_table, touching
from georeader.validation.judge_pixels import judge_colours, judge_pyramid
from georeader.validation.measurement import MeasuredDirectory, Measurement, RoleKind, frames_of
from georeader.validation.problems import Problem, Severity, and_more, error, tile_title, warning

#: Up to this size a raster needs neither tiles nor overviews (GDAL's and rio-cogeo's validators).
SMALL_PX = 512

#: Faults that readers tolerate.
_MILD = frozenset({FaultKind.TAG_TYPE, FaultKind.GHOST_UNKNOWN, FaultKind.TILE_NOT_DECODED})

#: Consequence of each fault.
_MEANING = {
    FaultKind.NOT_A_TIFF: "no reader of GeoTIFFs opens it",
    FaultKind.DIRECTORY_MISSING: "there is no image in it",
    FaultKind.DIRECTORY_OUT_OF_FILE: "the file is cut short, or the offset is wrong",
    FaultKind.DIRECTORY_LOOP: "readers may never end",
    FaultKind.DIRECTORY_OVERLAP: "one of the two is not what it seems",
    FaultKind.DIRECTORY_LIMIT: "it is not a pyramid",
    FaultKind.TAG_LIMIT: "readers take it for no directory",
    FaultKind.TAG_ORDER: "TIFF 6.0 wants them sorted, and readers may miss it",
    FaultKind.TAG_TYPE: "readers leave it out",
    FaultKind.TAG_OUT_OF_FILE: "the file is cut short, or the offset is wrong",
    FaultKind.TAG_MISSING: "its pixels can't be found",
    FaultKind.TAG_VALUE: "its pixels can't be read",
    FaultKind.GHOST_MALFORMED: "GDAL may read tiles wrongly by it",
    FaultKind.GHOST_UNKNOWN: "it is left out",
    FaultKind.TILE_COUNT: "some tiles can't be found",
    FaultKind.TILE_LIMIT: "it is not checked",
    FaultKind.TILE_LEADER: "GDAL reads its size from there",
    FaultKind.TILE_TRAILER: "GDAL takes the file's layout for broken",
    FaultKind.TILE_SIZE: "its pixels can't be read",
    FaultKind.TILE_DECODE: "its pixels can't be read",
    FaultKind.TILE_NOT_DECODED: "whether it is good is not known",
}


def judge(measurement: Measurement) -> tuple[Problem, ...]:
    """Return the problems of a file.

    Args:
        measurement: Of the file.

    Returns:
        Errors first, then warnings.

    Example:
        >>> [str(problem) for problem in judge(Measurement(0, faults=(Fault(FaultKind.NOT_A_TIFF, "it is empty"),)))]
        ['error not-a-tiff: it is empty; no reader of GeoTIFFs opens it']
    """
    problems = [_problem_of_fault(fault, measurement) for fault in measurement.faults]
    if measurement.directories:
        problems += [
            *_judge_layout(measurement),
            *judge_pyramid(measurement),
            *judge_colours(measurement),
            *_judge_tiles(measurement),
        ]
    return tuple(sorted(problems, key=lambda problem: problem.severity is not Severity.ERROR))


def _problem_of_fault(fault: Fault, measurement: Measurement) -> Problem:
    severity = Severity.WARNING if fault.kind in _MILD else Severity.ERROR
    location = _location_of(fault, measurement)
    message = f"{location}{fault.detail}; {_MEANING[fault.kind]}{and_more(fault.more)}"
    return Problem(severity, fault.kind.value, message)


def _location_of(fault: Fault, measurement: Measurement) -> str:
    known = fault.directory is not None and fault.directory < len(measurement.directories)
    if fault.directory is None:
        return f"byte {fault.offset_bytes}: " if fault.offset_bytes else ""
    if fault.tile is not None and known:
        return f"{tile_title(measurement.directories[fault.directory], fault.tile, fault.offset_bytes)}: "
    title = f"IFD {fault.directory}"
    if known and measurement.directories[fault.directory].title != title:
        title += f" ({measurement.directories[fault.directory].title})"
    return f"{title}, byte {fault.offset_bytes}: " if fault.offset_bytes else f"{title}: "


def _judge_layout(measurement: Measurement) -> Iterator[Problem]:
    """Iterate over problems of the positions of header, directories, levels and tiles."""
    yield from _judge_header(measurement)
    yield from _judge_tiling(measurement)
    yield from _judge_directories(measurement)
    yield from _judge_levels(measurement.images)
    for directory in measurement.directories:
        if directory.role.kind is not RoleKind.OTHER:
            yield from _judge_tile_order(directory, measurement)
    if measurement.ghost is not None and measurement.ghost.says("MASK_INTERLEAVED_WITH_IMAGERY", "YES"):
        yield from _judge_mask_places(measurement)


def _judge_header(measurement: Measurement) -> Iterator[Problem]:
    ghost, first = measurement.ghost, measurement.directories[0].extent.offset_bytes
    expected = ghost.extent.end_bytes + ghost.extent.end_bytes % 2 if ghost else measurement.header_bytes
    if first != expected:
        yield error(
            "main-directory-offset",
            f"the first IFD lies at byte {first}, where it should at {expected}, right after the header; readers "
            "have to look for it",
        )
    if ghost is not None and ghost.says("KNOWN_INCOMPATIBLE_EDITION", "YES"):
        yield error(
            "ghost-edition",
            "KNOWN_INCOMPATIBLE_EDITION=YES: the file was changed after it was written, and lost its layout; save it "
            "anew",
        )
    if measurement.has_external_overviews:
        yield error("external-overviews", "there is an .ovr file beside it; overviews belong into the file")


def _judge_tiling(measurement: Measurement) -> Iterator[Problem]:
    for directory in measurement.images:
        layout = directory.layout
        if layout is None or max(layout.width_px, layout.height_px) <= SMALL_PX:
            continue
        if not layout.is_tiled:
            yield error(
                "not-tiled",
                f"{directory.title} has {layout.width_px} x {layout.height_px} pixels in strips; to show a part of it "
                "takes whole rows",
            )
        if directory.role.level == 0 and len(measurement.images) == 1:
            yield warning(
                "overviews-missing",
                f"it has {layout.width_px} x {layout.height_px} pixels and no overviews; to show it takes all "
                "of its bytes",
            )


def _judge_directories(measurement: Measurement) -> Iterator[Problem]:
    images = measurement.images
    for before, after in pairwise(images):
        if after.extent.offset_bytes < before.extent.offset_bytes:
            yield error(
                "directory-order",
                f"the IFD of {after.title} lies at byte {after.extent.offset_bytes}, before that of {before.title} at "
                f"{before.extent.offset_bytes}",
            )
    smallest = _first_offset(images[-1]) if images else None
    if smallest is not None and smallest < images[-1].extent.offset_bytes:
        yield error(
            "data-before-directory",
            f"the first tile of {images[-1].title} lies at byte {smallest}, before its IFD at "
            f"{images[-1].extent.offset_bytes}; to open the file takes more requests",
        )
        return
    yield from _judge_ifds_first(measurement)


def _judge_ifds_first(measurement: Measurement) -> Iterator[Problem]:
    ours = [one for one in measurement.directories if one.role.kind is not RoleKind.OTHER]
    starts = [int(one.tile_offsets_bytes[one.present].min()) for one in ours if one.present.any()]
    last = max(ours, key=lambda one: one.extent.offset_bytes, default=None)
    if last is None or not starts or min(starts) >= last.extent.offset_bytes:
        return
    says_so = measurement.ghost is not None and measurement.ghost.says("LAYOUT", "IFDS_BEFORE_DATA")
    reason = "the file says LAYOUT=IFDS_BEFORE_DATA" if says_so else "to open the file takes more requests"
    yield (error if says_so else warning)(
        "directory-after-data",
        f"the IFD of {last.title} lies at byte {last.extent.offset_bytes}, behind tiles that begin at {min(starts)}; "
        f"{reason}",
    )


def _judge_levels(images: tuple[MeasuredDirectory, ...]) -> Iterator[Problem]:
    there = [one for one in images if one.present.any()]
    for larger, smaller in pairwise(there):
        first, following = _first_offset(smaller) or 0, _first_offset(larger) or 0
        if following < first:
            yield error(
                "data-order",
                f"the tiles of {larger.title} begin at byte {following}, before those of {smaller.title} at {first}; "
                "the smallest overview comes first",
            )
        elif int(larger.tile_offsets_bytes[larger.present].min()) < int(
            smaller.tile_offsets_bytes[smaller.present].max()
        ):
            yield warning(
                "levels-mixed",
                f"tiles of {larger.title} lie among those of {smaller.title}; to read an overview takes more requests",
            )


def _first_offset(directory: MeasuredDirectory) -> int | None:
    there = directory.present
    return int(directory.tile_offsets_bytes[int(np.argmax(there))]) if there.any() else None


def _judge_tile_order(directory: MeasuredDirectory, measurement: Measurement) -> Iterator[Problem]:
    ghost, layout = measurement.ghost, directory.layout
    if layout is None or not len(directory.tile_offsets_bytes):
        return
    says_so = ghost is not None and ghost.says("BLOCK_ORDER", "ROW_MAJOR")
    planes = np.arange(layout.tile_count).reshape(layout.planes, -1)
    if ghost is not None and ghost.says("INTERLEAVE", "TILE"):
        groups = [planes.T.ravel()]
    else:
        groups = [planes.ravel()] if says_so else list(planes)
    wrong = [tile for group in groups for tile in _descending(directory, group)]
    if wrong:
        at = int(directory.tile_offsets_bytes[wrong[0]])
        reason = "the file says BLOCK_ORDER=ROW_MAJOR" if says_so else "neighbours take requests of their own"
        yield (error if says_so else warning)(
            "tile-order",
            f"{tile_title(directory, wrong[0], at)}: it lies before the tile that it should follow; "
            f"{reason}{and_more(len(wrong) - 1)}",
        )


def _descending(directory: MeasuredDirectory, order: NDArray[np.int64]) -> list[int]:
    """Return the tiles that lie before the one that precedes them in some order, without sparse ones."""
    tiles = order[directory.present[order]]
    offsets = directory.tile_offsets_bytes[tiles]
    found: list[int] = tiles[1:][offsets[1:] < offsets[:-1]].tolist()
    return found


def _judge_mask_places(measurement: Measurement) -> Iterator[Problem]:
    frames = frames_of(measurement.ghost)
    between = np.uint64(LEADER_BYTES * frames.has_leader + TRAILER_BYTES * frames.has_trailer)
    for image in measurement.images:
        mask = measurement.mask_of(image.role.level or 0)
        if mask is None or image.layout is None or mask.layout is None or image.layout.planes > 1:
            continue
        if len(image.tile_offsets_bytes) != len(mask.tile_offsets_bytes):
            yield error(
                "mask-place", f"{mask.title} has other tiles than {image.title}; the file says that they follow them"
            )
            continue
        expected = image.tile_offsets_bytes + image.tile_sizes_bytes + between
        wrong = np.flatnonzero(image.present & mask.present & (mask.tile_offsets_bytes != expected)).tolist()
        if wrong:
            at = int(mask.tile_offsets_bytes[wrong[0]])
            yield error(
                "mask-place",
                f"{tile_title(mask, wrong[0], at)}: it should lie at byte {int(expected[wrong[0]])}, after the tile "
                f"that it masks; the file says MASK_INTERLEAVED_WITH_IMAGERY=YES{and_more(len(wrong) - 1)}",
            )


def _judge_tiles(measurement: Measurement) -> Iterator[Problem]:
    """Iterate over tiles whose offsets and sizes cannot be right: past the end, incomplete, or overlapping."""
    for directory in measurement.directories:
        yield from _judge_ends(directory, measurement.size_bytes)
        yield from _judge_halves(directory)
    table = tile_table(measurement.directories, measurement.size_bytes)
    yield from _judge_overlaps(table, measurement)
    yield from _judge_structure(table, measurement)


def _judge_ends(directory: MeasuredDirectory, size_bytes: int) -> Iterator[Problem]:
    found = np.flatnonzero(past_the_end(directory, size_bytes)).tolist()
    if found:
        offset, size = int(directory.tile_offsets_bytes[found[0]]), int(directory.tile_sizes_bytes[found[0]])
        yield error(
            "tile-out-of-file",
            f"{tile_title(directory, found[0], offset)}: its {size} bytes reach past the end of the file ({size_bytes} "
            f"bytes); the file is cut short, or the offset is wrong{and_more(len(found) - 1)}",
        )


def _judge_halves(directory: MeasuredDirectory) -> Iterator[Problem]:
    found = np.flatnonzero((directory.tile_offsets_bytes == 0) != (directory.tile_sizes_bytes == 0)).tolist()
    if found:
        offset, size = int(directory.tile_offsets_bytes[found[0]]), int(directory.tile_sizes_bytes[found[0]])
        yield error(
            "tile-half-sparse",
            f"{tile_title(directory, found[0])}: offset {offset} and {size} bytes; a tile that is not there has neither"
            f"{and_more(len(found) - 1)}",
        )


def _judge_overlaps(table: TileTable, measurement: Measurement) -> Iterator[Problem]:
    found = np.flatnonzero(overlapping(table)).tolist()
    if found:
        number = found[0]
        other = int(np.argmax(table.ends[:number]))
        yield error(
            "tile-overlap",
            f"{_title(table, number, measurement)} overlaps {_title(table, other, measurement)}; one of the two is not "
            f"what it seems{and_more(len(found) - 1)}",
        )


def _judge_structure(table: TileTable, measurement: Measurement) -> Iterator[Problem]:
    everything = measurement.directories, measurement.ghost, measurement.header_bytes
    found = np.flatnonzero(touching(table.starts, table.ends, structure_of(*everything, with_values=True))).tolist()
    if found:
        yield error(
            "tile-over-structure",
            f"{_title(table, found[0], measurement)} overlaps the header, an IFD or the values of its tags"
            f"{and_more(len(found) - 1)}",
        )
    values = [(one, extent) for one in measurement.directories for extent in (*one.values, *one.arrays)]
    starts = np.array([extent.offset_bytes for _, extent in values], np.int64)
    ends = np.array([extent.end_bytes for _, extent in values], np.int64)
    found = np.flatnonzero(touching(starts, ends, structure_of(*everything, with_values=False))).tolist()
    if found:
        directory, extent = values[found[0]]
        yield error(
            "tag-over-structure",
            f"a tag of IFD {directory.number} has its values at byte {extent.offset_bytes}, which overlap the header "
            f"or an IFD{and_more(len(found) - 1)}",
        )


def _title(table: TileTable, number: int, measurement: Measurement) -> str:
    directory = measurement.directories[int(table.directories[number])]
    return tile_title(directory, int(table.tiles[number]), int(table.starts[number]))
