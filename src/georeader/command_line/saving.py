"""Saving one file after the other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from georeader.command_line import printing
from georeader.command_line.targets import STANDARD_OUTPUT, folder_for
from georeader.command_line.values import profile_of
from georeader.errors import GeoreaderError
from georeader.remote.redaction import redact_url
from georeader.where import Where


def arguments_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Give what `save_cog` takes: what was not said is left to it.

    Example:
        >>> arguments_of({"pairs": (("compress", "zstd"),), "nodata": 0, "tags": (), "verify": True})
        {'profile_arg': {'compress': 'zstd'}, 'nodata': 0, 'verify': True}
    """
    said = {name: value for name, value in options.items() if value not in (None, ())}
    nodata = said.pop("nodata", None)
    profile = profile_of(said.pop("pairs", ()), nodata)
    arguments: dict[str, Any] = {"profile_arg": profile} if profile else {}
    if nodata not in (None, "none"):
        arguments["nodata"] = nodata
    for name in ("tags", "http_headers"):
        if name in said:
            said[name] = dict(said[name])
    return arguments | said


def save_each(
    save: Callable[..., Any],
    pairs: Sequence[tuple[str, str]],
    arguments: Mapping[str, Any],
    *,
    is_shown: bool,
    as_json: bool,
) -> int:
    """Save each source to its destination, and tell of it; gives the exit code, the worst of all."""
    code = printing.DONE
    for source, destination in pairs:
        try:
            with opened(destination) as target, printing.bar(redact_url(destination), is_shown) as progress:
                receipt = save(source, target, progress=progress, **arguments)
        except GeoreaderError as error:
            named = {"source": redact_url(source), "path": redact_url(destination)}
            code = max(code, printing.tell_failure(error, named, as_json=as_json))
            continue
        if as_json:
            printing.print_json({"source": redact_url(source)} | receipt.to_dict())
        elif destination != STANDARD_OUTPUT:
            printing.print_for_people(receipt)
    return code


@contextmanager
def opened(destination: str) -> Iterator[Any]:
    """Give what a save can write to: standard output for "-"; anything else as it is, with its folder made.

    Raises:
        DestinationError: The folder can't be made.
    """
    if destination == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        return
    with folder_for(destination):
        yield destination


def save_bytes(content: bytes, destination: str) -> None:
    """Put bytes where any file can go, whole or not at all.

    Raises:
        GeoreaderError: They can't be put there.
    """
    from georeader.export.sinks.destinations import open_sink

    with opened(destination) as target:
        sink, _ = open_sink(Where(target))
        with sink:
            sink.expect(0, len(content))
            sink.write_at(0, content)
            sink.commit()
