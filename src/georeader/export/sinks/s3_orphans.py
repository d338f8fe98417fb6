"""Uploads in parts whose beginning was not heard of: nobody was told their names, so the store is asked for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

#: Stores tell their time in whole seconds.
_EARLY, _LATE = timedelta(seconds=2), timedelta(seconds=1)


def orphans(
    call: Callable[..., Any], bucket: str, key: str, *, begun: datetime, ended: datetime, heard: str = ""
) -> Iterator[str]:
    """Give the names of uploads of a key that were begun within a time, and have no part.

    Another's that was begun in the same second, and has no part yet, looks the same.

    Args:
        call: Does an operation of S3.
        bucket: The bucket.
        key: The key in it.
        begun: When the first request was made, by the clock of this machine.
        ended: And when no more was.
        heard: The upload that was heard of; it is none of them.

    Raises:
        Exception: What the client raises: not everybody may list.
    """
    for page in _pages(call, bucket, key):
        ahead = _clock_of(page) - datetime.now(UTC)
        for upload in page.get("Uploads", []):
            name, is_of_key = upload["UploadId"], upload["Key"] == key
            is_young = begun + ahead - _EARLY <= upload["Initiated"] <= ended + ahead + _LATE
            if is_of_key and is_young and name != heard and not _has_parts(call, bucket, key, name):
                yield name


def _pages(call: Callable[..., Any], bucket: str, key: str) -> Iterator[Mapping[str, Any]]:
    """Give the list of a key's uploads, page by page: they come first among those whose keys begin with it."""
    after: dict[str, str] = {}
    while True:
        page = call("list_multipart_uploads", Bucket=bucket, Prefix=key, **after)
        yield page
        following = {"KeyMarker": page.get("NextKeyMarker", ""), "UploadIdMarker": page.get("NextUploadIdMarker", "")}
        if not page.get("IsTruncated") or following["KeyMarker"] != key or following == after:
            return
        after = following


def _has_parts(call: Callable[..., Any], bucket: str, key: str, upload: str) -> bool:
    return bool(call("list_parts", Bucket=bucket, Key=key, UploadId=upload).get("Parts"))


def _clock_of(answer: Mapping[str, Any]) -> datetime:
    """Give the store's time, by the head of an answer; this machine's where it does not tell."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        return parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        return datetime.now(UTC)
