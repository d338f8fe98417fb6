"""Judges a measurement by the rules for a Cloud Optimized GeoTIFF. Pure.

References:
    OGC 21-026 (Cloud Optimized GeoTIFF 1.0); TIFF 6.0; GDAL's validate_cloud_optimized_geotiff.py and rio-cogeo's
    cog_validate, all of whose checks are here.
"""

from __future__ import annotations

from georeader.validation.judge_colours import judge_colours
from georeader.validation.judge_layout import judge_layout
from georeader.validation.judge_pyramid import judge_pyramid
from georeader.validation.judge_tiles import judge_tiles
from georeader.validation.measurement import Fault, FaultKind, Measurement
from georeader.validation.problems import Problem, Severity, and_more, tile_title

#: What readers can live with.
_MILD = frozenset({FaultKind.TAG_TYPE, FaultKind.GHOST_UNKNOWN, FaultKind.TILE_NOT_DECODED})

#: What comes of it.
_MEANING = {
    FaultKind.NOT_A_TIFF: "no reader of GeoTIFFs opens it",
    FaultKind.DIRECTORY_MISSING: "there is no image in it",
    FaultKind.DIRECTORY_OUT_OF_FILE: "the file is cut short, or the offset is wrong",
    FaultKind.DIRECTORY_LOOP: "readers may never end",
    FaultKind.DIRECTORY_OVERLAP: "one of the two is not what it seems",
    FaultKind.DIRECTORY_LIMIT: "it is no pyramid",
    FaultKind.TAG_LIMIT: "readers take it for no directory",
    FaultKind.TAG_ORDER: "TIFF 6.0 wants them sorted, and readers may miss it",
    FaultKind.TAG_TYPE: "readers leave it out",
    FaultKind.TAG_OUT_OF_FILE: "the file is cut short, or the offset is wrong",
    FaultKind.TAG_MISSING: "its pixels can't be found",
    FaultKind.TAG_VALUE: "its pixels can't be read",
    FaultKind.GHOST_MALFORMED: "GDAL may read tiles wrongly by it",
    FaultKind.GHOST_UNKNOWN: "it is left out",
    FaultKind.TILE_COUNT: "some tiles can't be found",
    FaultKind.TILE_LIMIT: "it is not looked at",
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
    problems = [_of_fault(fault, measurement) for fault in measurement.faults]
    if measurement.directories:
        problems += [
            *judge_layout(measurement),
            *judge_pyramid(measurement),
            *judge_colours(measurement),
            *judge_tiles(measurement),
        ]
    return tuple(sorted(problems, key=lambda problem: problem.severity is not Severity.ERROR))


def _of_fault(fault: Fault, measurement: Measurement) -> Problem:
    severity = Severity.WARNING if fault.kind in _MILD else Severity.ERROR
    place = _place_of(fault, measurement)
    message = f"{place}{fault.detail}; {_MEANING[fault.kind]}{and_more(fault.more)}"
    return Problem(severity, fault.kind.value, message)


def _place_of(fault: Fault, measurement: Measurement) -> str:
    known = fault.directory is not None and fault.directory < len(measurement.directories)
    if fault.directory is None:
        return f"byte {fault.offset_bytes}: " if fault.offset_bytes else ""
    if fault.tile is not None and known:
        return f"{tile_title(measurement.directories[fault.directory], fault.tile, fault.offset_bytes)}: "
    title = f"IFD {fault.directory}"
    if known and measurement.directories[fault.directory].title != title:
        title += f" ({measurement.directories[fault.directory].title})"
    return f"{title}, byte {fault.offset_bytes}: " if fault.offset_bytes else f"{title}: "
