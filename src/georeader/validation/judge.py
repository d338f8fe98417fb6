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

from georeader._readers.measurement import (
    MeasuredDirectory,
    Measurement,
    RoleKind,
    frame_bytes,
    overlapping,
    past_the_end,
    structure_of,
    tile_table,
    touching,
)
from georeader._tiff.parser import Fault, FaultKind
from georeader.validation.judge_pixels import judge_colours, judge_pyramid
from georeader.validation.problems import Problem, Severity, error, warning

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
    FaultKind.TAG_LIMIT: "readers do not accept it as a directory",
    FaultKind.TAG_ORDER: "TIFF 6.0 requires them sorted, and readers may miss it",
    FaultKind.TAG_TYPE: "readers leave it out",
    FaultKind.TAG_OUT_OF_FILE: "the file is cut short, or the offset is wrong",
    FaultKind.TAG_MISSING: "its pixels cannot be found",
    FaultKind.TAG_VALUE: "its pixels cannot be read",
    FaultKind.GHOST_MALFORMED: "GDAL may read tiles wrongly by it",
    FaultKind.GHOST_UNKNOWN: "it is left out",
    FaultKind.TILE_COUNT: "some tiles cannot be found",
    FaultKind.TILE_LIMIT: "it is not checked",
    FaultKind.TILE_LEADER: "GDAL reads its size from there",
    FaultKind.TILE_TRAILER: "GDAL takes the file's layout for broken",
    FaultKind.TILE_SIZE: "its pixels cannot be read",
    FaultKind.TILE_DECODE: "its pixels cannot be read",
    FaultKind.TILE_NOT_DECODED: "whether it is good is not known",
}


def judge(measurement: Measurement) -> tuple[Problem, ...]:
    """Return the problems of a file: errors first, then warnings.

    Example:
        >>> [str(problem) for problem in judge(Measurement(0, faults=(Fault(FaultKind.NOT_A_TIFF, "it is empty"),)))]
        ['error not-a-tiff: it is empty; no reader of GeoTIFFs opens it']
    """
    problems = [_problem_of_fault(fault, measurement) for fault in measurement.faults]
    if measurement.directories:
        for rule in _RULES:
            problems += rule(measurement)
    return tuple(sorted(problems, key=lambda problem: problem.severity is not Severity.ERROR))


def _problem_of_fault(fault: Fault, measurement: Measurement) -> Problem:
    message = f"{_location_of(fault, measurement)}{fault.detail}; {_MEANING[fault.kind]}{_and_more(fault.more)}"
    return (warning if fault.kind in _MILD else error)(fault.kind.value, message)


def _location_of(fault: Fault, measurement: Measurement) -> str:
    byte = f"byte {fault.offset_bytes}" if fault.offset_bytes else ""
    if fault.directory is None:
        return f"{byte}: " if byte else ""
    title = f"IFD {fault.directory}"
    if fault.directory < len(measurement.directories):
        directory = measurement.directories[fault.directory]
        if fault.tile is not None:
            return f"{directory.tile_title(fault.tile, fault.offset_bytes)}: "
        title += "" if directory.title == title else f" ({directory.title})"
    return f"{title}, {byte}: " if byte else f"{title}: "


def _and_more(count: int) -> str:
    return f" (and {count} more)" if count > 0 else ""


def _first_of(wrong: NDArray[np.bool_]) -> Iterator[tuple[int, str]]:
    """Iterate over the first place that is True, if any, and the text for the number of further ones."""
    if wrong.any():
        yield int(np.argmax(wrong)), _and_more(int(wrong.sum()) - 1)


def _says(measurement: Measurement, name: str, value: str) -> bool:
    """Return whether GDAL's structural metadata have a value."""
    return measurement.ghost is not None and measurement.ghost.says(name, value)


def _judge_header(measurement: Measurement) -> Iterator[Problem]:
    ghost, first = measurement.ghost, measurement.directories[0].extent.offset_bytes
    expected = ghost.extent.end_bytes + ghost.extent.end_bytes % 2 if ghost else measurement.header_bytes
    if first != expected:
        yield error(
            "main-directory-offset",
            f"the first IFD lies at byte {first}, where it should at {expected}, right after the header; readers "
            "have to search for it",
        )
    if _says(measurement, "KNOWN_INCOMPATIBLE_EDITION", "YES"):
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
        size = f"{layout.width_px} x {layout.height_px} pixels"
        if not layout.is_tiled:
            yield error("not-tiled", f"{directory.title} has {size} in strips; to show a part of it takes whole rows")
        if directory.role.level == 0 and len(measurement.images) == 1:
            yield warning("overviews-missing", f"it has {size} and no overviews; to show it takes all of its bytes")


def _judge_directories(measurement: Measurement) -> Iterator[Problem]:
    images = measurement.images
    for before, after in pairwise(images):
        if after.extent.offset_bytes < before.extent.offset_bytes:
            yield error(
                "directory-order",
                f"the IFD of {after.title} lies at byte {after.extent.offset_bytes}, before that of {before.title} at "
                f"{before.extent.offset_bytes}",
            )
    offsets = _offsets(images[-1])
    if len(offsets) and int(offsets[0]) < images[-1].extent.offset_bytes:
        yield error(
            "data-before-directory",
            f"the first tile of {images[-1].title} lies at byte {offsets[0]}, before its IFD at "
            f"{images[-1].extent.offset_bytes}; to open the file takes more requests",
        )
    else:
        yield from _judge_ifds_first(measurement)


def _judge_ifds_first(measurement: Measurement) -> Iterator[Problem]:
    ours = [one for one in measurement.directories if one.role.kind is not RoleKind.OTHER]
    last = max(ours, key=lambda one: one.extent.offset_bytes)
    first_tile = min((int(_offsets(one).min()) for one in ours if one.present.any()), default=None)
    if first_tile is None or first_tile >= last.extent.offset_bytes:
        return
    says_so = _says(measurement, "LAYOUT", "IFDS_BEFORE_DATA")
    reason = "the file says LAYOUT=IFDS_BEFORE_DATA" if says_so else "to open the file takes more requests"
    yield (error if says_so else warning)(
        "directory-after-data",
        f"the IFD of {last.title} lies at byte {last.extent.offset_bytes}, behind tiles that begin at {first_tile}; "
        f"{reason}",
    )


def _judge_levels(measurement: Measurement) -> Iterator[Problem]:
    for larger, smaller in pairwise(one for one in measurement.images if one.present.any()):
        offsets, following = _offsets(smaller), _offsets(larger)
        if following[0] < offsets[0]:
            yield error(
                "data-order",
                f"the tiles of {larger.title} begin at byte {following[0]}, before those of {smaller.title} at "
                f"{offsets[0]}; the smallest overview comes first",
            )
        elif following.min() < offsets.max():
            yield warning(
                "levels-mixed",
                f"tiles of {larger.title} lie among those of {smaller.title}; to read an overview takes more requests",
            )


def _offsets(directory: MeasuredDirectory) -> NDArray[np.uint64]:
    """Return the offsets of tiles that are not sparse."""
    return directory.tile_offsets_bytes[directory.present]


def _judge_tile_order(measurement: Measurement) -> Iterator[Problem]:
    says_so = _says(measurement, "BLOCK_ORDER", "ROW_MAJOR")
    reason = "the file says BLOCK_ORDER=ROW_MAJOR" if says_so else "neighbours take requests of their own"
    for directory in measurement.directories:
        if directory.role.kind is RoleKind.OTHER or directory.layout is None or not len(directory.tile_offsets_bytes):
            continue
        planes = np.arange(directory.layout.tile_count).reshape(directory.layout.planes, -1)
        groups = [planes.ravel()] if says_so else list(planes)
        if _says(measurement, "INTERLEAVE", "TILE"):
            groups = [planes.T.ravel()]
        wrong: list[int] = []
        for group in groups:
            tiles = group[directory.present[group]]
            offsets = directory.tile_offsets_bytes[tiles]
            wrong += tiles[1:][offsets[1:] < offsets[:-1]].tolist()
        if wrong:
            title = directory.tile_title(wrong[0], int(directory.tile_offsets_bytes[wrong[0]]))
            yield (error if says_so else warning)(
                "tile-order",
                f"{title}: it lies before the tile that it should follow; {reason}{_and_more(len(wrong) - 1)}",
            )


def _judge_mask_places(measurement: Measurement) -> Iterator[Problem]:
    if not _says(measurement, "MASK_INTERLEAVED_WITH_IMAGERY", "YES"):
        return
    between = np.uint64(sum(frame_bytes(measurement)))
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
        for tile, more in _first_of(image.present & mask.present & (mask.tile_offsets_bytes != expected)):
            yield error(
                "mask-place",
                f"{mask.tile_title(tile, int(mask.tile_offsets_bytes[tile]))}: it should lie at byte {expected[tile]}, "
                f"after the tile that it masks; the file says MASK_INTERLEAVED_WITH_IMAGERY=YES{more}",
            )


def _judge_tiles(measurement: Measurement) -> Iterator[Problem]:
    """Iterate over problems of offsets and sizes: past the end, incomplete, or overlapping."""
    for directory in measurement.directories:
        offsets, sizes = directory.tile_offsets_bytes, directory.tile_sizes_bytes
        for tile, more in _first_of(past_the_end(directory, measurement.size_bytes)):
            yield error(
                "tile-out-of-file",
                f"{directory.tile_title(tile, int(offsets[tile]))}: its {sizes[tile]} bytes reach past the end of the "
                f"file ({measurement.size_bytes} bytes); the file is cut short, or the offset is wrong{more}",
            )
        for tile, more in _first_of((offsets == 0) != (sizes == 0)):
            yield error(
                "tile-half-sparse",
                f"{directory.tile_title(tile)}: offset {offsets[tile]} and {sizes[tile]} bytes; a tile that is not "
                f"there has neither{more}",
            )


def _judge_overlaps(measurement: Measurement) -> Iterator[Problem]:
    table = tile_table(measurement.directories, measurement.size_bytes)

    def title(position: int) -> str:
        directory = measurement.directories[int(table.directories[position])]
        return directory.tile_title(int(table.tiles[position]), int(table.starts[position]))

    for position, more in _first_of(overlapping(table)):
        other = title(int(np.argmax(table.ends[:position])))
        yield error("tile-overlap", f"{title(position)} overlaps {other}; one of the two is not what it seems{more}")
    structure = structure_of(measurement, with_values=True)
    for position, more in _first_of(touching(table.starts, table.ends, structure)):
        yield error(
            "tile-over-structure", f"{title(position)} overlaps the header, an IFD or the values of its tags{more}"
        )
    values = [(one, extent) for one in measurement.directories for extent in (*one.values, *one.arrays)]
    starts = np.array([extent.offset_bytes for _, extent in values], np.int64)
    ends = np.array([extent.end_bytes for _, extent in values], np.int64)
    for position, more in _first_of(touching(starts, ends, structure_of(measurement, with_values=False))):
        directory, extent = values[position]
        yield error(
            "tag-over-structure",
            f"a tag of IFD {directory.number} has its values at byte {extent.offset_bytes}, which overlap the header "
            f"or an IFD{more}",
        )


_RULES = (
    _judge_header, _judge_tiling, _judge_directories, _judge_levels, _judge_tile_order, _judge_mask_places,
    judge_pyramid, judge_colours, _judge_tiles, _judge_overlaps,
)  # fmt: skip
