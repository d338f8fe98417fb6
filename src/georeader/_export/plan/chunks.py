"""Chunks in which a source's pixels are stored: reading a whole one costs no more than reading a part of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Chunks:
    """The edges of what a source stores, decodes or computes as one piece: tiles, strips, dask's chunks.

    Each sequence begins with 0 and ends with the raster's size along its axis.

    Attributes:
        band_edges: Along bands.
        row_edges_px: Along rows; empty, as those along columns, where any window costs what its own pixels cost.
        column_edges_px: Along columns.
        share_work: Neighbouring chunks may share the work that makes them, which is done once for each window: the
            larger windows are, the less of it is repeated.
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
    bands, rows, columns = (_edges(*axis) for axis in zip(shape, chunk_shape, offset, strict=True))
    return Chunks(bands, rows, columns)


def free_windows(count: int) -> Chunks:
    """Give the chunks of a raster of which any window can be had, with all bands at once.

    Args:
        count: Bands.
    """
    return Chunks((0, count), (), ())


def _edges(size: int, chunk: int, offset: int) -> tuple[int, ...]:
    first = chunk - offset % chunk
    return (0, *range(first, size, chunk), size)
