"""Verdicts on what a client made of a file: right, or how not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

Pixels = np.ndarray[Any, Any]

#: What a cell can say, and what it means.
MEANINGS = {
    "right": "pixels and missing pixels are the saved ones",
    "holes": "pixels are right, but missing pixels are shown, or seen ones are hidden",
    "wrong": "pixels differ",
    "blank": "nothing is shown, or one value everywhere",
    "refused": "an error",
}


@dataclass(frozen=True)
class Verdict:
    """Verdict on one cell.

    Attributes:
        word: One of `MEANINGS`.
        reason: Why it is not right: the client's own message, or what differs.
    """

    word: str
    reason: str = ""


RIGHT = Verdict("right")


class NotRightError(Exception):
    """What a client shows is not right.

    Attributes:
        verdict: How.
    """

    def __init__(self, word: str, reason: str) -> None:
        super().__init__(reason)
        self.verdict = Verdict(word, reason)


def refusal(message: str) -> Verdict:
    """Return the verdict on an error: its first line, without the file's place."""
    first = message.strip().splitlines()[0] if message.strip() else "no message"
    return Verdict("refused", first[:160].rstrip(".: "))


def check_equal(what: str, found: Any, expected: Any) -> None:
    """Compare facts such as a CRS, a nodata value, or a shape.

    Raises:
        NotRightError: They differ.
    """
    if json.dumps(found) != json.dumps(expected):
        raise NotRightError("wrong", f"{what} is {found}, not {expected}")


def check_pixels(what: str, found: Pixels, expected: Pixels, seen: Pixels | None = None, tolerance: float = 0) -> None:
    """Compare pixels, (band, row, column), where ``seen`` is true.

    Raises:
        NotRightError: The shape differs, pixels are off by more than the tolerance (where there is one, one in a
            hundred may be), or all are the same.
    """
    check_equal(f"the shape of {what}", list(found.shape), list(expected.shape))
    if seen is not None:
        found, expected = found[:, seen], expected[:, seen]
    if not found.size:
        return
    is_same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    if tolerance:
        is_same |= np.abs(found.astype(float) - expected) <= tolerance
    if (off := 1 - is_same.mean()) <= (0.01 if tolerance else 0):
        return
    if (found == found.flat[0]).all() or np.isnan(found).all():
        raise NotRightError("blank", f"{what}: {found.flat[0]:g} everywhere")
    raise NotRightError("wrong", f"{what}: {off:.0%} of the pixels differ")


def check_seen(what: str, found: Pixels, expected: Pixels) -> None:
    """Compare which pixels are missing, (row, column), True where one is seen.

    Raises:
        NotRightError: They differ.
    """
    check_equal(f"the shape of the mask of {what}", list(found.shape), list(expected.shape))
    shown, hidden = (found & ~expected).sum() / max(1, (~expected).sum()), (expected & ~found).sum() / expected.size
    if expected.any() and not found.any():
        raise NotRightError("blank", f"{what}: every pixel is missing")
    if shown:
        raise NotRightError("holes", f"{what}: {shown:.0%} of the missing pixels are shown")
    if hidden:
        raise NotRightError("holes", f"{what}: {hidden:.0%} of the pixels are hidden")
