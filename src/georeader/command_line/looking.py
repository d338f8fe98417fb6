"""Looking at one file after the other."""

from __future__ import annotations

from collections.abc import Sequence

import click

from georeader.command_line import printing
from georeader.command_line.targets import expand
from georeader.errors import GeoreaderError
from georeader.remote.redaction import redact_url
from georeader.validation import validate


def judge_each(paths: Sequence[str], *, strict: bool, decode: bool, as_json: bool) -> int:
    """Tell of each file whether it is good; gives the exit code, the worst of all.

    Raises:
        ReadError: Nothing is like a pattern.
    """
    code = printing.DONE
    for name in [name for path in paths for name in expand(path)]:
        try:
            report = validate(name, strict=strict, decode=decode)
        except GeoreaderError as error:
            code = max(code, printing.tell_failure(error, {"path": redact_url(name)}, as_json=as_json))
            continue
        code = code if report.is_valid else max(code, printing.FAILED)
        if as_json:
            printing.print_json(report.to_dict())
        else:
            click.echo(str(report))
    return code
