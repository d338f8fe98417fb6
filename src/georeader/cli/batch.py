"""Work on one file after the other: saving and validating."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from georeader._storage.destination import Destination, PathInNewFolder
from georeader._storage.redaction import redact_url
from georeader.cli import printing
from georeader.cli.targets import STANDARD_OUTPUT, Found, expand_each
from georeader.errors import GeoreaderError

#: Keys of profile_arg that are options of their own; ``--profile KEY=VALUE`` sets the others.
PROFILE_OPTIONS = ("compress", "level", "quality", "predictor", "blocksize", "resampling")


def arguments_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return keyword arguments of `save_cog`, without options that were not typed.

    Args:
        options: Name of each option to its value, None or () where it was not typed; "pairs" are those of --profile.

    Raises:
        click.UsageError: --profile sets what another option sets.

    Example:
        >>> arguments_of({"compress": "zstd", "pairs": (("BIGTIFF", "YES"),), "nodata": 0, "tags": (), "verify": True})
        {'profile_arg': {'compress': 'zstd', 'BIGTIFF': 'YES'}, 'nodata': 0, 'verify': True}
    """
    typed = {name: value for name, value in options.items() if value not in (None, ())}
    own = {name: typed.pop(name) for name in PROFILE_OPTIONS if name in typed}
    if "nodata" in typed:
        own["nodata"] = None if typed["nodata"] == "none" else typed["nodata"]
        del typed["nodata"]
    pairs = _each_once(typed.pop("pairs", ()))
    _check_conflicts(own, pairs)
    nodata = {"nodata": own.pop("nodata")} if own.get("nodata") is not None else {}
    profile = {name: _one_or_list(value) for name, value in own.items()} | pairs
    for name in ("tags", "http_headers"):
        if name in typed:
            typed[name] = dict(typed[name])
    return ({"profile_arg": profile} if profile else {}) | nodata | typed


def _each_once(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return values by key; those of a repeated key are a list, one for each band."""
    found: dict[str, list[str]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return {key: _one_or_list(values) for key, values in found.items()}


def _one_or_list(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        return value
    return value[0] if len(value) == 1 else list(value)


def _check_conflicts(own: Mapping[str, Any], pairs: Mapping[str, Any]) -> None:
    from georeader._export.plan.options import OPTIONS

    def meaning(key: str) -> str:
        option = OPTIONS.get(key.upper())
        return key.upper() if option is None else option.field

    names = {meaning(name): name for name in own}
    for key in pairs:
        name = names.get(meaning(key))
        if name is not None:
            raise click.UsageError(f"--{name} and --profile {key} set the same option; keep one of them")


def save_each(
    save: Callable[..., Any], found: Found, arguments: Mapping[str, Any], *, is_shown: bool, as_json: bool
) -> int:
    """Save each source to its destination, and print the result.

    Returns:
        The exit code, the worst of all.
    """
    todo = "not begun or interrupted"
    counts = {"saved": 0, "failed": len(found.errors), todo: len(found.pairs)}
    code = printing.DONE
    try:
        for pattern, error in found.errors:
            code = max(code, printing.print_failure(error, {"source": redact_url(pattern)}, as_json=as_json))
        for source, destination in found.pairs:
            try:
                receipt = _save_one(save, source, destination, arguments, is_shown=is_shown)
            except GeoreaderError as error:
                _count(counts, todo, "failed")
                named = {"source": redact_url(source), "path": redact_url(destination)}
                code = max(code, printing.print_failure(error, named, as_json=as_json))
                continue
            _count(counts, todo, "saved")
            if as_json:
                printing.print_json({"source": redact_url(source)} | receipt.to_dict())
            elif destination != STANDARD_OUTPUT:
                printing.print_on_terminal(receipt)
    finally:
        if sum(counts.values()) > 1:
            printing.print_summary(counts)
    return code


def _count(counts: dict[str, int], before: str, after: str) -> None:
    counts[before] -= 1
    counts[after] += 1


def _save_one(
    save: Callable[..., Any], source: str, destination: str, arguments: Mapping[str, Any], *, is_shown: bool
) -> Any:
    with open_destination(destination) as target, printing.bar(redact_url(destination), is_shown) as progress:
        return save(source, target, progress=progress, **arguments)


@contextmanager
def open_destination(destination: str) -> Iterator[Any]:
    """Open the destination of a save: standard output for "-", else a path whose folders are made with the file.

    Raises:
        DestinationError: Standard output is closed.
    """
    if destination == STANDARD_OUTPUT:
        yield printing.standard_output()
        return
    yield PathInNewFolder(destination)


def save_bytes(content: bytes, destination: str) -> None:
    """Write bytes to any destination, completely or not at all.

    Raises:
        GeoreaderError: They cannot be written.
    """
    from georeader._export.sinks.opening import open_sink

    with open_destination(destination) as target:
        sink = open_sink(Destination(target))
        with sink:
            sink.write_header(content)
            sink.commit()


def validate_each(paths: Sequence[str], *, strict: bool, decode: bool, as_json: bool) -> int:
    """Print for each file whether it is a good COG.

    Returns:
        The exit code, the worst of all.
    """
    from georeader.validation import validate

    names, errors = expand_each(paths)
    counts = {"valid": 0, "not valid": 0, "failed": len(errors)}
    code = printing.DONE
    for pattern, error in errors:
        code = max(code, printing.print_failure(error, {"path": redact_url(pattern)}, as_json=as_json))
    for name in names:
        try:
            report = validate(name, strict=strict, decode=decode)
        except GeoreaderError as error:
            code = max(code, printing.print_failure(error, {"path": redact_url(name)}, as_json=as_json))
            counts["failed"] += 1
            continue
        counts["valid" if report.is_valid else "not valid"] += 1
        code = code if report.is_valid else max(code, printing.FAILED)
        if as_json:
            printing.print_json(report.to_dict())
        else:
            printing.print_result(str(report))
    if sum(counts.values()) > 1:
        printing.print_summary(counts)
    return code
