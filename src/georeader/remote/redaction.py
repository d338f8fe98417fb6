"""Secrets out of messages: what a URL, a filesystem or a header holds that nobody but its store may see."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, unquote_plus

#: What stands in the place of a secret.
MASK = "***"

#: Shorter values are no secrets, and to mask them would spoil messages.
LEAST_SECRET_LENGTH = 4

_URL = re.compile(r"\b(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>[^\s\"'<>`\\)\]}]+)")
_WHOLE_URL = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)$", re.DOTALL)
_SECRET_NAME = re.compile(r"key|secret|token|passw|pwd|sas|sig|credential|connection_string|auth", re.IGNORECASE)

#: Where a URL's path is the object's name to the letter, "?" and "#" included: no query begins in it.
LITERAL_SCHEMES = ("s3", "s3a", "gs", "gcs", "oss")


def redact_url(url: str) -> str:
    """Give a URL without what may be secret: its query, and the password before its host.

    Example:
        >>> redact_url("https://me:secret@host/a.tif?X-Amz-Signature=abc")
        'https://***@host/a.tif?***'
        >>> redact_url("s3://bucket/what?.tif"), redact_url("a?b.tif")
        ('s3://bucket/what?.tif', 'a?b.tif')
    """
    match = _WHOLE_URL.match(url)
    return _redact(match["scheme"], match["rest"]) if match else url


def _redact_match(match: re.Match[str]) -> str:
    return _redact(match["scheme"], match["rest"])


def _redact(scheme: str, rest: str) -> str:
    host, slash, path = rest.partition("/")
    if scheme.lower() in LITERAL_SCHEMES:
        user, at, place = host.rpartition("@")
        shown = f"{MASK}@{place}" if at and ":" in user else host
        return f"{scheme}://{shown}{slash}{path}"
    user, at, place = host.rpartition("@")
    if at and (":" in user or scheme.lower() in ("http", "https")):
        host = f"{MASK}@{place}"
    shown, question, _ = f"{host}{slash}{path}".partition("?")
    return f"{scheme}://{shown}{'?' + MASK if question else ''}"


def secrets_of_url(url: str) -> tuple[str, ...]:
    """Give what of a URL is secret, as it is written and as it is meant: query values, query, password.

    Example:
        >>> secrets_of_url("https://host/a?sv=2024-01-01&sig=ab%2Bcd%3D")
        ('sv=2024-01-01&sig=ab%2Bcd%3D', '2024-01-01', 'ab%2Bcd%3D', 'ab+cd=')
    """
    found: list[str] = []
    match = _WHOLE_URL.match(url)
    if match is None:
        return ()
    rest = match["rest"]
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if at:
        found += [user, user.partition(":")[2], unquote(user.partition(":")[2])]
    if match["scheme"].lower() not in LITERAL_SCHEMES:
        query = rest.partition("?")[2].partition("#")[0]
        found.append(query)
        for pair in query.split("&"):
            value = pair.partition("=")[2]
            found += [value, unquote(value), unquote_plus(value)]
    return tuple(dict.fromkeys(text for text in found if len(text) >= LEAST_SECRET_LENGTH))


def secrets_of_options(options: Any) -> tuple[str, ...]:
    """Give the strings in (nested) options whose names speak of keys, tokens, passwords and the like.

    Example:
        >>> secrets_of_options({"key": "AKID1", "client_kwargs": {"endpoint_url": "http://x"}, "secret": "abcd"})
        ('AKID1', 'abcd')
    """
    found: list[str] = []
    for name, value in options.items() if isinstance(options, Mapping) else ():
        if isinstance(value, Mapping):
            found += secrets_of_options(value)
        elif isinstance(value, str) and _SECRET_NAME.search(str(name)):
            found.append(value)
            pairs = (part.partition("=") for part in value.split(";")) if ";" in value else ()
            found += secrets_of_options({key: part for key, _, part in pairs})  # of a connection string
    return tuple(dict.fromkeys(text for text in found if len(text) >= LEAST_SECRET_LENGTH))


class Redactor:
    """Takes secrets out of texts and errors.

    Example:
        >>> redactor = Redactor(["hunter22"])
        >>> redactor.clean("denied: hunter22 at https://host/x?sig=1")
        'denied: *** at https://host/x?***'
        >>> redactor
        Redactor(1 secrets)
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Take the secrets; they are kept out of its own repr too."""
        self._secrets = sorted({text for text in secrets if len(text) >= LEAST_SECRET_LENGTH}, key=len, reverse=True)

    def __repr__(self) -> str:
        return f"Redactor({len(self._secrets)} secrets)"

    def clean(self, text: str) -> str:
        """Give a text without secrets: all URLs in it lose their queries and passwords, too."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return _URL.sub(_redact_match, text)

    def cause(self, error: BaseException) -> BaseException:
        """Give an error to chain: itself where it and what it was caused by hold no secret, else a copy without.

        Args:
            error: What a client raised.
        """
        seen = []
        step: BaseException | None = error
        while step is not None and step not in seen:
            seen.append(step)
            step = step.__cause__ or step.__context__
        texts = [text for one in seen for text in (str(one), repr(one), *getattr(one, "__notes__", ()))]
        if all(self.clean(text) == text for text in texts):
            return error
        return self._copy(seen)

    def _copy(self, seen: list[BaseException]) -> BaseException:
        copied: BaseException | None = None
        for one in reversed(seen):
            step = RedactedError(f"{type(one).__module__}.{type(one).__qualname__}: {self.clean(str(one))}")
            step.__cause__, copied = copied, step
        return copied if copied is not None else RedactedError("unknown")


class RedactedError(Exception):
    """What a client said, without the secrets that it said too."""
