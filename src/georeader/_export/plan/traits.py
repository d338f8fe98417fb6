"""Traits of sources and sinks, on which the order of work depends, and sizes of a file's sections and parts. Pure.

References:
    Amazon S3 User Guide, "Multipart upload limits": 1 to 10,000 parts, 5 MiB each but the last, 5 GiB at most. Numbers
    may be left out; the object is made of the parts in the order of their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Size of a part, unless a file would then have too many.
PART_BYTES = 6 * 2**20

#: Size of a part that a store copies by itself.
COPY_BYTES = 256 * 2**20

#: Part sizes are whole multiples of this.
_STEP_BYTES = 2**20

#: Parts that are neither full nor counted by size: the first, the last, and where head and tail meet.
_ODD_PARTS = 4


@dataclass(frozen=True)
class Chunks:
    """The edges of a source's chunks: what it stores, decodes or computes as one piece (tiles, strips, dask's chunks).

    Each sequence begins with 0 and ends with the raster's size along its axis. Those along rows and columns are empty
    where any window costs what its own pixels cost.
    """

    band_edges: tuple[int, ...]
    row_edges_px: tuple[int, ...]
    column_edges_px: tuple[int, ...]
    share_work: bool = False  #: Neighbouring chunks share work, which larger windows repeat less often


@dataclass(frozen=True)
class SourceTraits:
    """Cost of reading a source, and limits on concurrent reads."""

    is_in_memory: bool = False  #: Reading pixels costs nothing, and may be done twice
    chunks: Chunks | None = None  #: None: any window costs what its own pixels cost
    concurrent_reads: int = 1  #: Threads that may read at once
    reader_bytes: int = 0  #: Memory for each of them besides the window: decoded blocks, caches of an open file
    pixel_bytes: int = 1  #: Size of one pixel of one band
    arrives_by_rows: bool = False  #: A window can be read once its rows have come, from the first on
    is_borrowed: bool = False  #: The caller may close it once a save has ended: then no read may be running


@dataclass(frozen=True)
class SinkTraits:
    """What the order of work depends on in a sink."""

    parallel_writes: bool = True  #: Several threads may write at once
    #: The full resolution may be written before the overviews, each section one piece after the other. Else sections
    #: may be written at any offset, in any order.
    out_of_order_parts: bool = False
    min_part_bytes: int = 1  #: Of every part but the last
    max_parts: int | None = None  #: None: any number
    is_shared_file: bool = False  #: Other processes may write files beside it, and copy them into it


@dataclass(frozen=True)
class SectionSizes:
    """Sizes of the sections of a file, in the order in which they lie in it."""

    header_bytes: int = 0
    overviews_bytes: int = 0
    full_resolution_bytes: int = 0


@dataclass(frozen=True)
class PartPlan:
    """Sizes and numbers of the parts of a multipart upload whose last parts are sent first."""

    part_bytes: int  #: Of a full part
    first_tail_number: int  #: Of the tail's first part that goes off by itself; lower ones are left to the head


def regular_chunks(
    shape: tuple[int, int, int], chunk_shape: Sequence[int], offset: tuple[int, int, int] = (0, 0, 0)
) -> Chunks:
    """Return the chunks of a raster that is cut evenly, and begins at ``offset`` from the beginning of a chunk.

    Example:
        >>> regular_chunks((1, 700, 512), (1, 256, 512), (0, 100, 0)).row_edges_px
        (0, 156, 412, 668, 700)
    """
    axes = zip(shape, chunk_shape, offset, strict=True)
    bands, rows, columns = ((0, *range(chunk - start % chunk, size, chunk), size) for size, chunk, start in axes)
    return Chunks(bands, rows, columns)


def free_windows(count: int) -> Chunks:
    """Return the chunks of a raster of which any window can be read, with all bands at once."""
    return Chunks((0, count), (), ())


def even_edges(start_bytes: int, stop_bytes: int, max_parts: int) -> list[int]:
    """Return the edges of the parts of a range that a store copies: even ones of `COPY_BYTES`, longer if too many.

    Example:
        >>> even_edges(0, 600 * 2**20, 10_000)
        [0, 209715200, 419430400, 629145600]
    """
    count = max(1, min(-(-(stop_bytes - start_bytes) // COPY_BYTES), max_parts))
    return [start_bytes + (stop_bytes - start_bytes) * edge // count for edge in range(count + 1)]


def plan_parts(most_head_bytes: int, most_tail_bytes: int, *, min_part_bytes: int, max_parts: int | None) -> PartPlan:
    """Compute the size of parts, and how many low numbers are kept for header and overviews, which are sent last."""
    part_bytes = max(PART_BYTES, min_part_bytes)
    if max_parts is not None:
        least_bytes = -(-(most_head_bytes + most_tail_bytes) // (max_parts - 2 * _ODD_PARTS))
        part_bytes = max(part_bytes, -(-least_bytes // _STEP_BYTES) * _STEP_BYTES)
    return PartPlan(part_bytes, -(-most_head_bytes // part_bytes) + _ODD_PARTS)
