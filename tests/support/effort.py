"""How much the tests try: ``make test-thorough`` does more of what takes long, as before a release."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from zlib import crc32

#: Whether GEOREADER_THOROUGH is set.
IS_THOROUGH = bool(os.environ.get("GEOREADER_THOROUGH"))


def often(thorough: int, usually: int) -> int:
    """Return how often to do something."""
    return thorough if IS_THOROUGH else usually


def covering(rows: Sequence[Sequence[Hashable]]) -> list[int]:
    """Return the indices of rows that together hold each value of each column.

    Greedy: each row adds the most new values. Among equals a checksum decides, so that rows vary in all columns and are
    the same in each process.
    """
    values = [set(enumerate(row)) for row in rows]
    order = sorted(range(len(rows)), key=lambda index: crc32(repr(rows[index]).encode()))
    missing = set().union(*values)
    chosen = []
    while missing:
        best = max(order, key=lambda index: len(values[index] & missing))
        chosen.append(best)
        order.remove(best)
        missing -= values[best]
    return sorted(chosen)
