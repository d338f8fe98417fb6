"""Traits of a sink, and the sizes of a file's sections. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SinkTraits:
    """What the order of work depends on in a sink.

    Attributes:
        random_access: Each section may be written at any offset, in any order.
        parallel_writes: Several threads may write at once.
        out_of_order_parts: The file is sent in parts, of which the last ones may go first: the full resolution may be
            written before the overviews. Each section is then written one piece after the other.
        min_part_bytes: Of every part but the last.
        max_parts: None: any number.
    """

    random_access: bool = True
    parallel_writes: bool = True
    out_of_order_parts: bool = False
    min_part_bytes: int = 1
    max_parts: int | None = None


@dataclass(frozen=True)
class SectionSizes:
    """Sizes of the sections of a file, in the order in which they lie in it.

    Attributes:
        header_bytes: Header and directories.
        overviews_bytes: Tiles of all overviews.
        full_resolution_bytes: Tiles of the full resolution.
    """

    header_bytes: int = 0
    overviews_bytes: int = 0
    full_resolution_bytes: int = 0
