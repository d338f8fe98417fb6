"""Chunks in which a source stores its pixels, and the windows in which they are read. Pure.

Reading a whole chunk costs no more than reading a part of it. So windows are whole chunks where memory allows, and
whole blocks of the work where chunks allow.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Chunks:
    """The edges of a source's chunks: what it stores, decodes or computes as one piece (tiles, strips, dask's chunks).

    Each sequence begins with 0 and ends with the raster's size along its axis.

    Attributes:
        band_edges: Along bands.
        row_edges_px: Along rows; empty, as those along columns, where any window costs what its own pixels cost.
        column_edges_px: Along columns.
        share_work: Neighbouring chunks share some of the work that computes them, which is done once per window: larger
            windows repeat less of it.
    """

    band_edges: tuple[int, ...]
    row_edges_px: tuple[int, ...]
    column_edges_px: tuple[int, ...]
    share_work: bool = False


def regular_chunks(
    shape: tuple[int, int, int], chunk_shape: Sequence[int], offset: tuple[int, int, int] = (0, 0, 0)
) -> Chunks:
    """Return the chunks of a raster that is cut evenly.

    Args:
        shape: (bands, rows, columns).
        chunk_shape: (bands, rows, columns) of a chunk.
        offset: Where the raster begins, counted from the beginning of a chunk: that of a window in its file.

    Example:
        >>> regular_chunks((1, 700, 512), (1, 256, 512), (0, 100, 0)).row_edges_px
        (0, 156, 412, 668, 700)
    """
    bands, rows, columns = (_chunk_edges(*axis) for axis in zip(shape, chunk_shape, offset, strict=True))
    return Chunks(bands, rows, columns)


def free_windows(count: int) -> Chunks:
    """Return the chunks of a raster of which any window can be read, with all bands at once.

    Args:
        count: Bands.
    """
    return Chunks((0, count), (), ())


def _chunk_edges(size: int, chunk: int, offset: int) -> tuple[int, ...]:
    first = chunk - offset % chunk
    return (0, *range(first, size, chunk), size)


def merge_edges(edges_px: tuple[int, ...], most_px: int, align_px: int) -> tuple[int, ...]:
    """Return edges with neighbouring chunks joined along an axis.

    Args:
        edges_px: From 0 to the raster's size.
        most_px: Largest length of joined chunks; a longer chunk stays as it is.
        align_px: Joined chunks end at a multiple of this where one of the chunks does.

    Example:
        >>> merge_edges((0, 100, 200, 300, 400, 500, 512), 256, 200)
        (0, 200, 400, 512)
    """
    merged = [0]
    while merged[-1] != edges_px[-1]:
        first = bisect_right(edges_px, merged[-1])
        last = max(first + 1, bisect_right(edges_px, merged[-1] + most_px))
        reach = edges_px[first:last]
        is_end = reach[-1] == edges_px[-1]
        aligned = [] if is_end else [edge for edge in reach if edge % align_px == 0]
        merged.append(aligned[-1] if aligned else reach[-1])
    return tuple(merged)


def split_edges(edges_px: tuple[int, ...], most_px: int, align_px: int) -> tuple[int, ...]:
    """Return edges with long parts split at multiples of a length, counted from the raster's beginning.

    Args:
        edges_px: From 0 to the raster's size.
        most_px: Largest length of a part.
        align_px: Parts are split at multiples of this where ``most_px`` allows.

    Example:
        >>> split_edges((0, 1000), 512, 256)
        (0, 512, 1000)
    """
    cut = [0]
    for edge in edges_px[1:]:
        while edge - cut[-1] > most_px:
            following = cut[-1] + most_px
            aligned = following // align_px * align_px
            cut.append(aligned if aligned > cut[-1] else following)
        cut.append(edge)
    return tuple(cut)


def grouped_edges(edges_px: tuple[int, ...], chunk_edges_px: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the edges of the windows along an axis, grouped by chunk.

    Args:
        edges_px: Of the windows, from 0 to the raster's size.
        chunk_edges_px: Of the chunks, from 0 to the raster's size; empty: there are none, and each window is a group.

    Example:
        >>> grouped_edges((0, 100, 200, 300), (0, 200, 300)), grouped_edges((0, 200, 300), (0, 100, 200, 300))
        ([(0, 100, 200), (200, 300)], [(0, 200), (200, 300)])
    """
    borders = set(chunk_edges_px or edges_px)
    groups = [[edges_px[0]]]
    for edge in edges_px[1:]:
        groups[-1].append(edge)
        if edge in borders:
            groups.append([edge])
    return [tuple(group) for group in groups if len(group) > 1]


def longest(edges_px: tuple[int, ...]) -> int:
    """Return the length of the longest part between two edges.

    Example:
        >>> longest((0, 156, 412, 500))
        256
    """
    return max(stop - start for start, stop in pairwise(edges_px))


def even_edges(size_px: int, part_px: int) -> tuple[int, ...]:
    """Return the edges of even parts of an axis.

    Example:
        >>> even_edges(700, 256)
        (0, 256, 512, 700)
    """
    return (*range(0, size_px, part_px), size_px)
