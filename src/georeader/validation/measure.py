"""Measurement of a file: its structure and its tiles, without a judgement.

This module and `tile_checks` read the file; the other modules of the package work on what these return.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from georeader._readers.byte_source import ByteSource
from georeader._readers.measurement import FaultLog, Measurement, overlapping, structure_of, tile_table, touching
from georeader._readers.structure import read_structure
from georeader.validation.tile_checks import check_tiles
from georeader.validation.viewer import viewer_cost


class Tiles(Enum):
    """Extent to which tiles are read."""

    UNREAD = "unread"
    FRAMED = "framed"  # leaders and trailers of local files
    DECODED = "decoded"  # and the tiles themselves


def measure(source: ByteSource, *, tiles: Tiles = Tiles.DECODED) -> Measurement:
    """Measure a file; raise ReadError if it cannot be read.

    Memory: some megabytes, 50 bytes a tile, and tiles that are being decoded.
    """
    log = FaultLog()
    measured = read_structure(source, log)
    if measured.version is None:
        return replace(measured, faults=log.faults())
    if tiles is not Tiles.UNREAD:
        # Those inside the file that overlap neither one another nor its structure.
        table = tile_table(measured.directories, source.size_bytes)
        structure = structure_of(measured, with_values=True)
        table = table.chosen(~(overlapping(table) | touching(table.starts, table.ends, structure)))
        decoded, has_frames = check_tiles(source, table, measured, log, decode=tiles is Tiles.DECODED)
        measured = replace(measured, tiles_decoded=decoded, has_checked_frames=has_frames)
    return replace(measured, faults=log.faults(), viewer=viewer_cost(measured))
