"""Redaction of secrets in messages: those of URLs, filesystems and headers."""

from __future__ import annotations

import base64
import html
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, unquote_plus

from georeader._core.reporting import directly_linked, linked_errors

#: Replaces a secret.
MASK = "***"

#: Shorter values are not secrets; masking them would spoil messages.
LEAST_SECRET_LENGTH = 4

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
    if len(_CHAIN.split(url)) > 1 or url.startswith("/vsi"):
        return _redact_nested(url)
    match = _WHOLE_URL.match(url)
    if match:
        return _redact(match["scheme"], match["rest"])
    short = _SHORTENED_URL.match(url)  # as pathlib leaves a URL
    return _redact(short["scheme"], short["rest"]).replace("://", ":/", 1) if short else url


def _redact_nested(text: str) -> str:
    """Redact a chain of URLs, or one of GDAL's virtual paths: whatever follows a question mark may be a secret."""
    links = _CHAIN.split(text)
    if len(links) > 1:
        return "::".join(map(redact_url, links))
    shown, question, _ = text.partition("?")
    return _URL.sub(_redact_match, shown) + (question + MASK if question else "")


def _redact_match(match: re.Match[str]) -> str:
    return _redact(match["scheme"], match["rest"])


def _redact(scheme: str, rest: str) -> str:
    user, rest = _split_user(rest)
    if user and (":" in user or scheme.lower() in ("http", "https")):
        user = MASK
    before = f"{user}@" if user else ""
    if scheme.lower() in LITERAL_SCHEMES:
        return f"{scheme}://{before}{rest}"
    shown = re.split(r"[?#]", rest, maxsplit=1)[0]
    return f"{scheme}://{before}{shown}{rest[len(shown) : len(shown) + 1]}{MASK if len(shown) < len(rest) else ''}"


def _split_user(rest: str) -> tuple[str, str]:
    """Split user and password from a host; a password may hold slashes that are not encoded."""
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in host:
        user, _, place = host.rpartition("@")
        return user, place + rest[len(host) :]
    match = _USER.match(rest)
    return (match["user"], rest[match.end() :]) if match else ("", rest)


def secrets_of_url(url: str) -> tuple[str, ...]:
    """Return the secrets in a URL, encoded and decoded: query values, query, password.

    Example:
        >>> secrets_of_url("https://host/a?sv=2024-01-01&sig=ab%2Bcd%3D")
        ('sv=2024-01-01&sig=ab%2Bcd%3D', '2024-01-01', 'ab%2Bcd%3D', 'ab+cd=')
    """
    links = _CHAIN.split(url)
    if len(links) > 1:
        return tuple(dict.fromkeys(secret for link in links for secret in secrets_of_url(link)))
    found: list[str] = []
    match = _INNER_URL.search(url)
    if match is None:
        return _of_query(url.partition("?")[2]) if url.startswith("/vsi") else ()
    rest = match["rest"]
    user, rest = _split_user(rest)
    if user:
        found.append(base64.b64encode(unquote(user).encode()).decode())  # as basic authentication
        found += [user, user.partition(":")[2], unquote(user.partition(":")[2])]
    if match["scheme"].lower() not in LITERAL_SCHEMES:
        for query in re.split(r"[?#]", rest)[1:]:
            found += _of_query(query)
    return tuple(dict.fromkeys(text for text in found if len(text) >= LEAST_SECRET_LENGTH))


def _of_query(query: str) -> tuple[str, ...]:
    """Return the secrets in a query, and in a query that is encoded within it."""
    found = [query]
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if _OPEN_NAMES.match(name):
            continue
        found += [value, unquote(value), unquote_plus(value)]
        if "%3F" in value.upper():
            found += _of_query(unquote(value).partition("?")[2])
    return tuple(dict.fromkeys(text for text in found if len(text) >= LEAST_SECRET_LENGTH))


def secrets_of_options(options: Any) -> tuple[str, ...]:
    """Return the strings in (nested) options whose names mean keys, tokens, passwords and the like.

    Example:
        >>> secrets_of_options({"key": "AKID1", "client_kwargs": {"endpoint_url": "http://x"}, "secret": "abcd"})
        ('AKID1', 'abcd')
    """
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
    return tuple(dict.fromkeys(text for text in found if len(text) >= LEAST_SECRET_LENGTH))


def secrets_of_environment(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the secrets that clouds' tools take from the environment: a store may repeat them."""
    clouds = ("AWS_", "AZURE_", "GOOGLE_", "GCS_", "OSS_")
    return secrets_of_options({name: value for name, value in environment.items() if name.startswith(clouds)})


class Redactor:
    """A set of secrets that are removed from texts and errors.

    Example:
        >>> redactor = Redactor(["hunter22"])
        >>> redactor.clean("denied: hunter22 at https://host/x?sig=1")
        'denied: *** at https://host/x?***'
        >>> redactor
        Redactor(1 secrets)
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Keep the secrets; its repr does not show them."""
        self._secrets = sorted({text for text in secrets if len(text) >= LEAST_SECRET_LENGTH}, key=len, reverse=True)

    def __repr__(self) -> str:
        return f"Redactor({len(self._secrets)} secrets)"

    @property
    def has_secrets(self) -> bool:
        """Whether any secret is known."""
        return bool(self._secrets)

    def clean(self, text: str) -> str:
        """Return a text without secrets, and without the queries and passwords of all URLs in it."""
        for secret in self._secrets:
            text = text.replace(secret, MASK).replace(html.escape(secret), MASK)
        text = _AUTHORIZATION.sub(lambda match: f"{match[1]}{MASK}", text)
        text = _SIGNATURE.sub(lambda match: f"{match[1]}{MASK}", text)
        return _URL.sub(_redact_match, text)

    def cause(self, error: BaseException) -> BaseException:
        """Return an error to chain: itself where its chain holds no secret and no cycle, else a copy without them.

        Args:
            error: What a client raised.
        """
        seen = linked_errors(error)
        # Clients' errors hold requests and answers, too.
        texts = [text for one in seen for text in (str(one), repr(one), repr(vars(one)))]
        if all(self.clean(text) == text for text in texts) and not _has_cycle(error):
            return error
        return self._copy(seen)

    def _copy(self, seen: list[BaseException]) -> BaseException:
        copied: BaseException | None = None
        for one in reversed(seen):
            step = RedactedError(f"{type(one).__module__}.{type(one).__qualname__}: {self.clean(str(one))}")
            step.__cause__, copied = copied, step
        return copied if copied is not None else RedactedError("unknown")


def _has_cycle(error: BaseException) -> bool:
    """Return whether an error of a chain is among its own causes; some clients raise an error from itself."""
    above: set[int] = set()
    done: set[int] = set()

    def leads_back(one: BaseException) -> bool:
        if id(one) in done:
            return False
        if id(one) in above:
            return True
        above.add(id(one))
        found = any(map(leads_back, directly_linked(one)))
        above.remove(id(one))
        done.add(id(one))
        return found

    return leads_back(error)


class RedactedError(Exception):
    """The text of a client's error, without secrets."""
