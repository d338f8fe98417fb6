"""Redaction of what the loggers of GDAL and of stores' clients report while the project reads or writes.

rasterio repeats GDAL's messages, which hold whole URLs, and botocore's logger repeats whole requests. Every log record
is made by the process's log record factory, whichever thread and logger it comes from: the one place where a record can
be redacted before any handler formats it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from georeader._storage.redaction import Redactor

#: Packages whose log records are redacted; the caller's own are not changed.
CLIENTS = frozenset({
    "adlfs", "aiobotocore", "aiohttp", "asyncio", "azure", "boto3", "botocore", "fsspec", "gcsfs", "google", "obstore",
    "oss2", "ossfs", "paramiko", "rasterio", "requests", "s3fs", "s3transfer", "urllib3",
})  # fmt: skip


class _RedactingFactory:
    """Log record factory that redacts the records of clients by the redactors that are active."""

    def __init__(self, inner: Callable[..., logging.LogRecord]) -> None:
        """Wrap the factory in force."""
        self.inner = inner

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        """Return a record whose message and error hold no known secret."""
        record = self.inner(*args, **kwargs)
        if str(record.name).partition(".")[0] in CLIENTS:  # `logging.makeLogRecord` asks for one without a name
            for redactor in tuple(_active):
                _redact(record, redactor)
        return record


def _redact(record: logging.LogRecord, redactor: Redactor) -> None:
    message = _text_of(record)
    cleaned = redactor.clean(message)
    if cleaned != message:
        record.msg, record.args = cleaned, ()
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        shown = redactor.cause(error)
        if shown is not error:
            record.exc_info = (type(shown), shown, None)


def _text_of(record: logging.LogRecord) -> str:
    """Return the message of a record; where arguments do not fit it, which logging reports itself, both as they are."""
    with suppress(Exception):  # arguments are the caller's objects, which may raise anything
        return record.getMessage()
    with suppress(Exception):
        return f"{record.msg} {record.args!r}"
    return ""


#: Redactors of the reads and writes that are under way in this process, one entry each.
_active: list[Redactor] = []
_lock = threading.Lock()


def _renew_lock() -> None:
    """Make a new lock in a forked process, where a thread that holds the old one does not run."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def redacted_logs(redactor: Redactor) -> Iterator[None]:
    """Redact the log records of `CLIENTS`, in every thread, for as long as the block lasts.

    The log record factory is replaced with the first block and restored after the last one; a factory that other code
    has set in the meantime stays.

    Args:
        redactor: Has the secrets. One without secrets changes nothing.
    """
    if not redactor.has_secrets:
        yield
        return
    with _lock:
        _active.append(redactor)
        factory = logging.getLogRecordFactory()
        if not isinstance(factory, _RedactingFactory):
            logging.setLogRecordFactory(_RedactingFactory(factory))
    try:
        yield
    finally:
        with _lock:
            _active.remove(redactor)
            factory = logging.getLogRecordFactory()
            if not _active and isinstance(factory, _RedactingFactory):
                logging.setLogRecordFactory(factory.inner)
