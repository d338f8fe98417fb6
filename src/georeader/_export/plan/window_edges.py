"""Windows in which a source is read: whole chunks where memory allows, whole cells of work where chunks allow. Pure."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise


def merge_edges(edges_px: tuple[int, ...], most_px: int, align_px: int) -> tuple[int, ...]:
    """Join neighbouring chunks along an axis.

    Args:
        edges_px: From 0 to the raster's size.
        most_px: Joined ones are at most so long; a chunk that is longer stays one.
        align_px: They end at a multiple of this where one of the chunks does.

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
    """Cut what is too long, at multiples of a length counted from the raster's beginning.

    Args:
        edges_px: From 0 to the raster's size.
        most_px: Nothing is longer afterwards.
        align_px: Cuts lie at multiples of this where ``most_px`` allows.

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
    """Group the windows along an axis that lie in one chunk.

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
    """Give the length of the longest part between two edges.

    Example:
        >>> longest((0, 156, 412, 500))
        256
    """
    return max(stop - start for start, stop in pairwise(edges_px))


def even_edges(size_px: int, part_px: int) -> tuple[int, ...]:
    """Cut an axis evenly.

    Example:
        >>> even_edges(700, 256)
        (0, 256, 512, 700)
    """
    return (*range(0, size_px, part_px), size_px)
