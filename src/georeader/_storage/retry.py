"""Retries of requests that failed by a transient error: how many, and after how long.

References:
    AWS Architecture Blog, "Exponential Backoff And Jitter"; RFC 9110, section 10.2.3 (Retry-After).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

Result = TypeVar("Result")

#: Attempts of a request, at most.
ATTEMPTS = 6

#: Longest wait before the second attempt; it doubles with each.
FIRST_WAIT_SECONDS = 0.2

#: Longest wait before any attempt, also where a store says Retry-After.
LONGEST_WAIT_SECONDS = 20.0

#: Transient statuses; every other 4xx and 5xx is final.
TRANSIENT_STATUS = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Verdict:
    """Whether a request is retried after an error.

    Attributes:
        is_transient: Another attempt may succeed.
        after_seconds: Shortest wait, as the store demands.
    """

    is_transient: bool
    after_seconds: float | None = None


LASTING = Verdict(False)
PASSING = Verdict(True)


def verdict_of_status(status: int, retry_after: str | None = None) -> Verdict:
    """Return whether an HTTP status is transient.

    Example:
        >>> verdict_of_status(503, "2"), verdict_of_status(403).is_transient
        (Verdict(is_transient=True, after_seconds=2.0), False)
    """
    if status not in TRANSIENT_STATUS:
        return LASTING
    return Verdict(True, retry_after_seconds(retry_after))


def retry_after_seconds(text: str | None) -> float | None:
    """Parse a Retry-After header, seconds or a date; None where it is neither.

    Example:
        >>> retry_after_seconds("120"), retry_after_seconds("soon")
        (120.0, None)
    """
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def wait_seconds(attempt: int, verdict: Verdict, chance: float) -> float:
    """Return the wait after an attempt: at random up to a limit that doubles; not less than the store demands.

    Args:
        attempt: Number of the attempt that failed, from 1.
        verdict: Of its error.
        chance: In [0, 1).

    Example:
        >>> wait_seconds(3, PASSING, 0.5), wait_seconds(1, Verdict(True, 4.0), 0.5)
        (0.4, 4.1)
    """
    jitter = chance * min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1))
    return min(LONGEST_WAIT_SECONDS, (verdict.after_seconds or 0.0) + jitter)


def retrying(
    run: Callable[[], Result],
    judge: Callable[[Exception], Verdict],
    *,
    attempts: int | None = None,
    wait: Callable[[float], object] = time.sleep,
) -> Result:
    """Call a function, and again after transient errors.

    Args:
        run: The function.
        judge: Returns whether an error is transient.
        attempts: `ATTEMPTS` by default.
        wait: Waits so many seconds; an error in it ends the retries.

    Raises:
        Exception: The last one that ``run`` raised.
    """
    most = ATTEMPTS if attempts is None else attempts
    for attempt in range(1, most + 1):
        try:
            return run()
        except Exception as error:
            verdict = judge(error)
            if not verdict.is_transient or attempt == most:
                raise
            seconds = wait_seconds(attempt, verdict, random.random())  # noqa: S311  (no secret)
        wait(seconds)
    raise ValueError(f"attempts must be at least 1, got {most}")
