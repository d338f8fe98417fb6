"""Judges tiles by their offsets and sizes: past the end, half there, over one another. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from georeader.validation.extents import TileTable, overlapping, past_the_end, structure_of, tile_table, touching
from georeader.validation.measurement import Directory, Measurement
from georeader.validation.problems import Problem, and_more, error, tile_title


def judge_tiles(measurement: Measurement) -> Iterator[Problem]:
    """Say which tiles can't be where they are said to be."""
    for directory in measurement.directories:
        yield from _judge_ends(directory, measurement.size_bytes)
        yield from _judge_halves(directory)
    table = tile_table(measurement.directories, measurement.size_bytes)
    yield from _judge_overlaps(table, measurement)
    yield from _judge_structure(table, measurement)


def _judge_ends(directory: Directory, size_bytes: int) -> Iterator[Problem]:
    found = np.flatnonzero(past_the_end(directory, size_bytes)).tolist()
    if found:
        offset, size = int(directory.tile_offsets_bytes[found[0]]), int(directory.tile_sizes_bytes[found[0]])
        yield error(
            "tile-out-of-file",
            f"{tile_title(directory, found[0], offset)}: its {size} bytes reach past the end of the file ({size_bytes} "
            f"bytes); the file is cut short, or the offset is wrong{and_more(len(found) - 1)}",
        )


def _judge_halves(directory: Directory) -> Iterator[Problem]:
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
