"""Links between the files of a collection, relative to the file that holds them, so that all can move together."""

from __future__ import annotations

import os
import posixpath
import re

from georeader._storage.folders import local_path

_HOST = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
_ABSOLUTE = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://|/|[A-Za-z]:[/\\])")


def folder_of(path: str) -> str:
    """Return the folder of a path or URL.

    Example:
        >>> folder_of("s3://bucket/a/item.json"), folder_of("item.json")
        ('s3://bucket/a', '')
    """
    end = max(path.rfind("/"), path.rfind(os.sep))
    return path[: max(end, 1)] if end >= 0 else ""


def path_in(folder: str, name: str) -> str:
    """Return the path or URL of a file in a folder; "" is the current one."""
    return f"{folder.rstrip('/')}/{name}" if folder else name


def relative_href(path: str, folder: str) -> str:
    """Return a path or URL as a link from a folder; as it is where none leads there, to another host or drive.

    Example:
        >>> relative_href("s3://bucket/a/b.tif", "s3://bucket/a"), relative_href("out/collection.json", "out/2024")
        ('./b.tif', '../collection.json')
        >>> relative_href("https://host/b.tif", "s3://bucket/a")
        'https://host/b.tif'
    """
    host, own = _split(path)
    other_host, other = _split(folder)
    if host != other_host:
        return path
    if own.startswith(f"{other.rstrip('/')}/"):
        return "./" + own[len(other.rstrip("/")) + 1 :]
    if own[:1] != "/":  # two drives
        return path
    relative = posixpath.relpath(own, other)
    return relative if relative.startswith("../") else f"./{relative}"


def _split(path: str) -> tuple[str, str]:
    """Return the host of a URL, "" for a local path, and the absolute path on it."""
    if path.startswith(("file://", "local://")):
        path = local_path(path) or path
    found = _HOST.match(path)
    if found:
        return found[0], path[found.end() :] or "/"
    return "", os.path.abspath(path).replace(os.sep, "/")  # noqa: PTH100  (links are not followed)


def resolve_href(href: str, folder: str) -> str:
    """Return the path or URL that a link from a folder means; the inverse of `relative_href`.

    Example:
        >>> resolve_href("./b.tif", "s3://bucket/a"), resolve_href("../collection.json", "out/2024")
        ('s3://bucket/a/b.tif', 'out/collection.json')
    """
    if _ABSOLUTE.match(href):
        return href
    href = href.removeprefix("./")
    while href.startswith("../") and folder and posixpath.basename(folder) not in ("..", "."):
        href, folder = href[3:], folder_of(folder)
    return path_in(folder, href)
