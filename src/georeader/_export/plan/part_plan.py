"""Sizes and numbers of the parts of a multipart upload whose last parts are sent first. Pure.

References:
    Amazon S3 User Guide, "Multipart upload limits": 1 to 10,000 parts, 5 MiB each but the last, 5 GiB at most. Numbers
    may be left out; the object is made of the parts in the order of their numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Size of a part, unless a file would then have too many.
PART_BYTES = 6 * 2**20

#: Part sizes are whole multiples of this.
_STEP_BYTES = 2**20

#: Parts that are neither full nor counted by size: the first, the last, and where head and tail meet.
_ODD_PARTS = 4


@dataclass(frozen=True)
class PartPlan:
    """Sizes and numbers of parts.

    Attributes:
        part_bytes: Of a full part.
        first_tail_number: Number of the tail's first part that goes off by itself; lower ones are left to the head.
    """

    part_bytes: int
    first_tail_number: int


def plan_parts(most_head_bytes: int, most_tail_bytes: int, *, min_part_bytes: int, max_parts: int | None) -> PartPlan:
    """Compute the size of parts, and how many low numbers are kept for the parts that are sent last.

    Args:
        most_head_bytes: Header and overviews, at most.
        most_tail_bytes: The full resolution, at most.
        min_part_bytes: Of every part but the last.
        max_parts: None: any number.

    Example:
        >>> plan_parts(30 * 2**20, 90 * 2**20, min_part_bytes=5 * 2**20, max_parts=10_000)
        PartPlan(part_bytes=6291456, first_tail_number=9)
    """
    part_bytes = max(PART_BYTES, min_part_bytes)
    if max_parts is not None:
        least_bytes = -(-(most_head_bytes + most_tail_bytes) // (max_parts - 2 * _ODD_PARTS))
        part_bytes = max(part_bytes, -(-least_bytes // _STEP_BYTES) * _STEP_BYTES)
    return PartPlan(part_bytes, -(-most_head_bytes // part_bytes) + _ODD_PARTS)
