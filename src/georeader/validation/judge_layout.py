"""Judges where things lie: header, directories, levels, tiles. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from georeader._tiff.cog_layout import LEADER_BYTES, TRAILER_BYTES
from georeader.validation.measurement import Directory, Measurement, RoleKind, frames_of
from georeader.validation.problems import Problem, and_more, error, tile_title, warning

#: Up to this size a raster needs neither tiles nor overviews (GDAL's and rio-cogeo's validators).
SMALL_PX = 512


def judge_layout(measurement: Measurement) -> Iterator[Problem]:
    """Say what is wrong with where things lie."""
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
            f"the first IFD lies at byte {first}, where it should at {expected}, right after the header; who opens the "
            "file has to look for it",
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


def _judge_levels(images: tuple[Directory, ...]) -> Iterator[Problem]:
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


def _first_offset(directory: Directory) -> int | None:
    there = directory.present
    return int(directory.tile_offsets_bytes[int(np.argmax(there))]) if there.any() else None


def _judge_tile_order(directory: Directory, measurement: Measurement) -> Iterator[Problem]:
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


def _descending(directory: Directory, order: NDArray[np.int64]) -> list[int]:
    """Give the tiles that lie before the one that precedes them in some order, sparse ones left out."""
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
