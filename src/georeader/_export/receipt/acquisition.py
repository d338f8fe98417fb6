"""Acquisition time of a raster, from its tags. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

#: Tags of the time, of which the first valid one is used: GDAL's IMAGERY domain has it in UTC, the tag of TIFF 6.0
#: (section 8, DateTime) has no time zone and is read as UTC.
TIME_TAGS = ("ACQUISITIONDATETIME", "TIFFTAG_DATETIME")


def acquisition_time(tags: Mapping[str, str]) -> datetime | None:
    """Return the acquisition time in a file's tags, in UTC; None if there is none that is valid.

    Args:
        tags: Key to text; `TIME_TAGS` in any case.

    Example:
        >>> acquisition_time({"TIFFTAG_DATETIME": "2024:05:01 10:30:31"})
        datetime.datetime(2024, 5, 1, 10, 30, 31, tzinfo=datetime.timezone.utc)
        >>> acquisition_time({"AcquisitionDateTime": "2024-05-01T12:30:31+02:00"}).isoformat()
        '2024-05-01T10:30:31+00:00'
    """
    found = {key.upper(): value for key, value in tags.items()}
    for name in TIME_TAGS:
        time = _parsed(str(found.get(name, "")).strip().rstrip("\0"))
        if time is not None:
            return time
    return None


def _parsed(text: str) -> datetime | None:
    day, _, rest = text.partition(" ")
    if day.count(":") == 2:  # TIFF's form: 2024:05:01 10:30:31
        text = f"{day.replace(':', '-')} {rest}".strip()
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):  # not a time, or beyond the years of datetime
        return None
