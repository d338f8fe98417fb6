"""Reads of an object in S3, each by a client of its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from georeader import RasterioReader, save_cog
from georeader._storage.filesystems import urls_like
from georeader._storage.urls import parse_address
from georeader.cli.targets import expand
from georeader.preview import preview
from georeader.storage import exists
from georeader.validation import info, validate


def read_by_reader(url: str) -> object:
    return RasterioReader(url).load().values


def with_key(url: str, look: Callable[[Any], object]) -> object:
    """List the folder of a URL."""
    return look(parse_address(url.rpartition("/")[0] + "/*.tif"))


#: Functions that read, by name.
READS: dict[str, Callable[[str], Any]] = {
    "RasterioReader": read_by_reader,
    "preview": preview,
    "save_cog from a path": lambda url: save_cog(url, f"memory://{secrets.token_hex(4)}.tif"),
    "validate": validate,
    "info": info,
    "a pattern": lambda url: with_key(url, urls_like),
    "the command line's pattern": lambda url: expand(url.rpartition("/")[0] + "/*.tif"),
    "skip_existing": exists,
}
