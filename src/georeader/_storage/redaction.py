"""Redaction of secrets, those of URLs, filesystems and headers: in messages, in errors, and in clients' logs.

rasterio logs GDAL's messages, which hold whole URLs, and botocore logs whole requests. Every log record is made by the
process's log record factory, whichever thread and logger it comes from: there records are redacted.
"""

from __future__ import annotations

import base64
import html
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any
from urllib.parse import unquote, unquote_plus

from georeader._core.reporting import directly_linked, linked_errors

#: Replaces a secret.
MASK = "***"

#: Shorter values are not secrets; masking them would spoil messages.
LEAST_SECRET_LENGTH = 4

#: Packages whose log records are redacted; the caller's own are not changed.
CLIENTS = frozenset({
    "adlfs", "aiobotocore", "aiohttp", "asyncio", "azure", "boto3", "botocore", "fsspec", "gcsfs", "google", "obstore",
    "oss2", "ossfs", "paramiko", "rasterio", "requests", "s3fs", "s3transfer", "urllib3",
})  # fmt: skip

_AUTHORIZATION = re.compile(
    r"((?:authorization|x-amz-security-token)\\*['\"]?\s*[:=,]\s*b?\\*['\"]?)(?:[\w-]+ )?[^'\"\s,}\\]+", re.IGNORECASE
)
_SIGNATURE = re.compile(
    r"\b((?:sig|signature|x-(?:amz|goog)-(?:signature|security-token))=)[^&\s\"'<>]+", re.IGNORECASE
)

#: Where one link of a chain of URLs ends, and the next begins.
_CHAIN = re.compile(r"::(?=[A-Za-z][A-Za-z0-9+.-]*(?:://|::))")

#: Parameters of a signed URL that are not secret, and may be in messages: "host", "3600".
_OPEN_NAMES = re.compile(r"x-(amz|goog)-(expires|signedheaders|algorithm)$|x-id$", re.IGNORECASE)

_URL = re.compile(r"\b(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>[^\s\"'<>`\\)\]}]+)")
_WHOLE_URL = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)$", re.DOTALL)
_INNER_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):/(?!:)/?(?P<rest>.*)$", re.DOTALL)
_SHORTENED_URL = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/(?P<rest>.*)$", re.DOTALL)
_USER = re.compile(r"(?P<user>[^@/:?#]*:(?!\d+(?:/|$))[^@?#]*)@")
_QUERY = re.compile(r"([?#]).*", re.DOTALL)
_SECRET_NAME = re.compile(r"key|secret|token|passw|pwd|sas|sig|credential|connection_string|auth", re.IGNORECASE)

#: Where a URL's path is the object's name to the letter, "?" and "#" included: no query begins in it.
LITERAL_SCHEMES = ("s3", "s3a", "gs", "gcs", "oss")


def redact_url(url: str) -> str:
    """Return a URL or a path for a message: without its query and the password before its host, and always printable.

    Bytes of a path that are not UTF-8, which Python keeps as lone surrogates, are escaped.

    Example:
        >>> redact_url("https://me:secret@host/a.tif?X-Amz-Signature=abc")
        'https://***@host/a.tif?***'
        >>> redact_url("s3://bucket/what?.tif"), redact_url("a?b.tif")
        ('s3://bucket/what?.tif', 'a?b.tif')
    """
    url = url.encode("utf-8", "backslashreplace").decode("utf-8")
    links = _CHAIN.split(url)
    if len(links) > 1:
        return "::".join(map(redact_url, links))
    if url.startswith("/vsi"):  # all that follows a question mark may be a secret
        shown, question, _ = url.partition("?")
        return _redact_urls_in(shown) + (question and question + MASK)
    match = _WHOLE_URL.match(url)
    if match:
        return _redact(match)
    short = _SHORTENED_URL.match(url)  # as pathlib leaves a URL
    return _redact(short).replace("://", ":/", 1) if short else url


def _redact_urls_in(text: str) -> str:
    return _URL.sub(_redact, text)


def _redact(url: re.Match[str]) -> str:
    scheme = url["scheme"]
    user, rest = _split_user(url["rest"])
    if user and (":" in user or scheme.lower() in ("http", "https")):
        user = MASK
    before = f"{user}@" if user else ""
    if scheme.lower() not in LITERAL_SCHEMES:
        rest = _QUERY.sub(rf"\1{MASK}", rest)
    return f"{scheme}://{before}{rest}"


def _split_user(rest: str) -> tuple[str, str]:
    """Split user and password from a host; a password may hold slashes that are not encoded."""
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in host:
        user, _, place = host.rpartition("@")
        return user, place + rest[len(host) :]
    match = _USER.match(rest)
    return (match["user"], rest[match.end() :]) if match else ("", rest)


def secrets_of_url(url: str) -> tuple[str, ...]:
    """Return the secrets in a URL, encoded and decoded: query values, query, password."""
    links = _CHAIN.split(url)
    if len(links) > 1:
        return _distinct(secret for link in links for secret in secrets_of_url(link))
    match = _INNER_URL.search(url)
    if match is None:
        return _distinct(_of_query(url.partition("?")[2])) if url.startswith("/vsi") else ()
    found: list[str] = []
    user, rest = _split_user(match["rest"])
    if user:
        password = user.partition(":")[2]
        basic = base64.b64encode(unquote(user).encode()).decode()  # basic authentication
        found += [basic, user, password, unquote(password)]
    if match["scheme"].lower() not in LITERAL_SCHEMES:
        for query in re.split(r"[?#]", rest)[1:]:
            found += _of_query(query)
    return _distinct(found)


def _of_query(query: str) -> list[str]:
    """Return the values in a query, and in a query that is encoded within it."""
    found = [query]
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if _OPEN_NAMES.match(name):
            continue
        found += [value, unquote(value), unquote_plus(value)]
        if "%3F" in value.upper():
            found += _of_query(unquote(value).partition("?")[2])
    return found


def _distinct(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in found if len(text) >= LEAST_SECRET_LENGTH))


def secrets_of_options(options: Any) -> tuple[str, ...]:
    """Return the strings in (nested) options whose names mean keys, tokens, passwords and the like."""
    found: list[str] = []
    for name, value in options.items() if isinstance(options, Mapping) else ():
        if isinstance(value, Mapping):
            found += secrets_of_options(value)
        elif isinstance(value, (list, tuple)):
            for place, one in enumerate(value):
                is_pair = isinstance(one, tuple) and len(one) == 2
                found += secrets_of_options({one[0]: one[1]} if is_pair else {f"{name}[{place}]": one})
        elif hasattr(value, "storage_options"):  # a filesystem within another
            found += secrets_of_options(value.storage_options)
        elif isinstance(value, str) and _SECRET_NAME.search(str(name)):
            found += [value, value.rpartition(" ")[2], *(_of_query(value) if "=" in value else ())]
            pairs = (part.partition("=") for part in value.split(";")) if ";" in value else ()
            found += secrets_of_options({key: part for key, _, part in pairs})  # of a connection string
    return _distinct(found)


def secrets_of_filesystem(fs: Any) -> tuple[str, ...]:
    """Return the secrets in the options of a filesystem of fsspec, or of a store of obstore."""
    return secrets_of_options(
        {name: getattr(fs, name, None) for name in ("storage_options", "config", "client_options")}
    )


def secrets_of_environment(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the secrets that clouds' tools take from the environment: a store may repeat them."""
    clouds = ("AWS_", "AZURE_", "GOOGLE_", "GCS_", "OSS_")
    return secrets_of_options({name: value for name, value in environment.items() if name.startswith(clouds)})


class Redactor:
    """A set of secrets that are removed from texts and errors; its repr does not show them."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = sorted(_distinct(secrets), key=len, reverse=True)

    def __repr__(self) -> str:
        return f"Redactor({len(self._secrets)} secrets)"

    def clean(self, text: str) -> str:
        """Return a text without secrets, and without the queries and passwords of all URLs in it."""
        for secret in self._secrets:
            text = text.replace(secret, MASK).replace(html.escape(secret), MASK)
        for pattern in (_AUTHORIZATION, _SIGNATURE):
            text = pattern.sub(lambda match: f"{match[1]}{MASK}", text)
        return _redact_urls_in(text)

    def cause(self, error: BaseException) -> BaseException:
        """Return an error to chain: itself where its chain holds no secret and no cycle, else a copy without them."""
        chain = linked_errors(error)
        # Clients' errors hold requests and answers, too.
        texts = [text for one in chain for text in (str(one), repr(one), repr(vars(one)))]
        if all(self.clean(text) == text for text in texts) and not _has_cycle(chain):
            return error
        copied: BaseException | None = None
        for one in reversed(chain):
            step = RedactedError(f"{type(one).__module__}.{type(one).__qualname__}: {self.clean(str(one))}")
            step.__cause__, copied = copied, step
        return step


def _has_cycle(chain: list[BaseException]) -> bool:
    """Return whether an error of a chain is among its own causes; some clients raise an error from itself."""
    try:
        TopologicalSorter({id(one): map(id, directly_linked(one)) for one in chain}).prepare()
    except CycleError:
        return True
    return False


class RedactedError(Exception):
    """The text of a client's error, without secrets."""


# Logs.


@dataclass(frozen=True)
class _RedactingFactory:
    """Log record factory that redacts the records of `CLIENTS` by the redactors that are active."""

    inner: Callable[..., logging.LogRecord]

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self.inner(*args, **kwargs)
        if str(record.name).partition(".")[0] in CLIENTS:  # `logging.makeLogRecord` asks for one without a name
            for redactor in tuple(_active):
                _redact_record(record, redactor)
        return record


def _redact_record(record: logging.LogRecord, redactor: Redactor) -> None:
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
    has set in the meantime stays. A redactor without secrets changes nothing.
    """
    if not redactor._secrets:
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
