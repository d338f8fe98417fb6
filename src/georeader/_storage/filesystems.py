"""fsspec's filesystems: the one of a URL; and patterns of names in any store."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any

from georeader._storage import obstores, s3
from georeader._storage.redaction import Redactor, secrets_of_environment, secrets_of_url
from georeader._storage.remote_errors import ADVICE, RemoteErrors
from georeader._storage.urls import Address
from georeader.errors import DestinationError, MissingExtraError, ReadError

#: What to install for a store, where neither obstore nor fsspec has it.
EXTRAS = {
    "gs": "pip install obstore (it comes with georeader-cog's extra 'cloud'), or gcsfs",
    "az": "pip install obstore (it comes with georeader-cog's extra 'cloud'), or adlfs",
    "oss": "pip install ossfs",
}

_MAGIC = re.compile(r"[*?[]")


def is_filesystem(fs: Any) -> bool:
    """Return whether something is one of fsspec's filesystems, or does what they do."""
    return all(callable(getattr(fs, name, None)) for name in ("put_file", "open", "exists"))


def is_of(fs: Any, package: str) -> bool:
    """Return whether a filesystem's class, or one that it derives from, comes from a package."""
    return any(f"{kind.__module__}.".startswith(f"{package}.") for kind in type(fs).__mro__)


def filesystem_of(address: Address) -> tuple[Any, str]:
    """Return the filesystem that fsspec has for a URL, and the path in it.

    Raises MissingExtraError if its package is not installed, and DestinationError if fsspec does not know the protocol.
    """
    import fsspec

    redactor = Redactor(secrets_of_url(address.url))
    scheme = address.store if address.store in ("az", "gs", "s3") else address.scheme
    url = f"{scheme}://{address.bucket}/{address.key}" if address.bucket else address.url
    if scheme and not address.bucket:
        url = scheme + url[len(scheme) :]  # in lower case
    scheme = scheme or address.name.partition("::")[0]
    options = environment_options(url) | ({"account_name": address.account} if address.account else {})
    try:
        filesystem, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        install = EXTRAS.get(address.store, str(error))
        raise MissingExtraError(f"{address.name!r}: nothing that is installed knows {scheme}://; {install}") from error
    except ValueError as error:
        if "rotocol" not in str(error):
            raise DestinationError(
                f"{address.name!r}: {ADVICE['none']}, or check the URL ({redactor.clean(str(error))[:200]})"
            ) from redactor.cause(error)
        raise DestinationError(
            f"{address.name!r}: {scheme}:// is not a protocol of fsspec; pass a filesystem by fs, or a local path"
        ) from None
    except Exception as error:  # noqa: BLE001  (some connect at once, and raise anything)
        caught = error
    else:
        return filesystem, path
    raise RemoteErrors(address.name, redactor).error_of(caught) from redactor.cause(caught)


def check_protocol(address: Address) -> None:
    """Raise MissingExtraError or DestinationError, as `filesystem_of` does, unless fsspec knows a URL's protocol.

    No filesystem is made: some connect at once.
    """
    import fsspec

    scheme = address.store if address.store in ("az", "gs", "s3") else address.scheme
    scheme = scheme or address.name.partition("::")[0]
    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        install = EXTRAS.get(address.store, str(error))
        raise MissingExtraError(f"{address.name!r}: nothing that is installed knows {scheme}://; {install}") from error
    except ValueError:
        raise DestinationError(
            f"{address.name!r}: {scheme}:// is not a protocol of fsspec; pass a filesystem by fs, or a local path"
        ) from None


def environment_options(url: str) -> dict[str, Any]:
    """Return the options of the environment that s3fs, if it reads a URL or chain of URLs, does not read by itself.

    They are AWS_NO_SIGN_REQUEST and AWS_REQUEST_PAYER, by protocol, as ``fsspec.core.url_to_fs`` takes them.
    """
    settings = {"anon": True} if s3.is_unsigned() else {}
    settings |= {"requester_pays": True} if s3.pays_requests() else {}
    protocols = {link.partition("://")[0].lower() for link in url.split("::")} & {"s3", "s3a"}
    return {protocol: dict(settings) for protocol in protocols if settings and _is_by_s3fs(protocol)}


def _is_by_s3fs(protocol: str) -> bool:
    import fsspec

    try:
        found = fsspec.get_filesystem_class(protocol)
    except ImportError:
        return False
    return any(kind.__module__.partition(".")[0] == "s3fs" for kind in found.__mro__)


# Patterns.


def has_magic(text: str) -> bool:
    """Return whether a name is a pattern: names have no "*", "?" and "["."""
    return _MAGIC.search(text) is not None


def urls_like(address: Address) -> list[str]:
    """Return the URLs that match a pattern, sorted: "*" stands for anything within a folder, a folder "**" for any.

    The key of the address, or its path, is the pattern. Raises ReadError if the store cannot be listed.
    """
    if address.store == "http":
        raise ReadError(f"{address.name!r}: a web server does not list its files; name each file")
    redactor = Redactor([*secrets_of_environment(), *secrets_of_url(address.url)])
    if address.store == "s3" or (address.store in ("gs", "az") and find_spec("obstore") is not None):
        from fsspec.utils import glob_translate

        folder = _MAGIC.split(address.key, maxsplit=1)[0].rpartition("/")[0]
        if address.store == "s3":
            keys = s3.keys_below(address, folder and f"{folder}/")
        else:
            errors = RemoteErrors(address.name, redactor, obstores.explain)
            keys = errors.read(lambda: obstores.keys_below(address, folder))
        is_like = re.compile(glob_translate(address.key)).match
        return sorted(_url_of(address, key) for key in keys if is_like(key))
    filesystem, pattern = filesystem_of(address)
    errors = RemoteErrors(address.name, redactor)
    found = errors.read(lambda: [str(name) for name in filesystem.glob(pattern)])
    if address.bucket:
        return sorted(_url_of(address, name.partition("/")[2]) for name in found)
    return sorted(map(filesystem.unstrip_protocol, found))


def _url_of(address: Address, key: str) -> str:
    return address.url[: len(address.url) - len(address.key)] + key
