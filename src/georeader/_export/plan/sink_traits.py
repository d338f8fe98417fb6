"""What the order of work depends on in a sink. Pure."""

from __future__ import annotations

from dataclasses import dataclass

#: Offsets from here on count from the full resolution's first byte: where that will lie shows only at the end.
TAIL_ORIGIN_BYTES = 1 << 62


@dataclass(frozen=True)
class SinkTraits:
    """What the order of work depends on in a sink.

    Attributes:
        random_access: Bytes may be written anywhere, at offsets from the file's first byte.
        out_of_order_parts: The file is sent in parts, of which the last ones may go first: the full resolution is then
            written at offsets from `TAIL_ORIGIN_BYTES` on, one piece after the other, and what lies before it last.
        min_part_bytes: Of every part but the last.
        max_parts: None: any number.
    """

    random_access: bool = True
    out_of_order_parts: bool = False
    min_part_bytes: int = 1
    max_parts: int | None = None
